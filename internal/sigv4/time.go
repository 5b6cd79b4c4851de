// SPDX-License-Identifier: Apache-2.0

package sigv4

import "time"

const (
	timeLayout = "20060102T150405Z"
	dateLayout = "20060102"
)

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// parseTime reads yyyymmddThhmmssZ and nothing else, for years from 0 to 9999.
func parseTime(s string) (time.Time, bool) {
	if len(s) != len(timeLayout) || s[8] != 'T' || s[15] != 'Z' {
		return time.Time{}, false
	}
	var n [7]int // pairs of digits
	for i, at := range [...]int{0, 2, 4, 6, 9, 11, 13} {
		tens, ones := s[at]-'0', s[at+1]-'0'
		if tens > 9 || ones > 9 {
			return time.Time{}, false
		}
		n[i] = int(tens)*10 + int(ones)
	}
	year, month, day, hour, minute, second := n[0]*100+n[1], time.Month(n[2]), n[3], n[4], n[5], n[6]
	if hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	return t, t.Month() == month && t.Day() == day // a day that is not would have become another
}
