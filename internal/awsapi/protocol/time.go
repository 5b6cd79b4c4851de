// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// errTime is a timestamp outside the years 1 to 9999, or none at all.
var errTime = errors.New("not a timestamp")

const (
	minEpoch = -62135596800 // 0001-01-01
	maxEpoch = 253402300799 // 9999-12-31
)

// appendEpoch writes seconds since the epoch, with milliseconds when there are any.
func appendEpoch(b []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms%1000 == 0 {
		return strconv.AppendInt(b, ms/1000, 10)
	}
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	frac := ms % 1000
	return append(b, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
}

// parseEpoch reads seconds since the epoch, exactly to the nanosecond unless they
// come with an exponent.
func parseEpoch(s string) (time.Time, error) {
	if strings.ContainsAny(s, "eE") {
		return parseFloatEpoch(s)
	}
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec < minEpoch || sec > maxEpoch {
		return time.Time{}, errTime
	}
	frac = (frac + "000000000")[:9]
	nsec, err := strconv.ParseUint(frac, 10, 32)
	if err != nil {
		return time.Time{}, errTime
	}
	n := int64(nsec)
	if strings.HasPrefix(whole, "-") {
		n = -n
	}
	return time.Unix(sec, n).UTC(), nil
}

func parseFloatEpoch(s string) (time.Time, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < minEpoch || f > maxEpoch {
		return time.Time{}, errTime
	}
	sec, frac := math.Modf(f)
	return time.Unix(int64(sec), int64(math.Round(frac*1e6))*1000).UTC(), nil
}

// ParseEpoch reads a timestamp as headers carry it: seconds since the epoch.
func ParseEpoch(s string) (time.Time, error) {
	if numberLength([]byte(s)) != len(s) || s == "" {
		return time.Time{}, errTime
	}
	return parseEpoch(s)
}

// parseISO reads an ISO 8601 timestamp, with or without a fraction, in any zone.
func parseISO(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, errTime
	}
	return t.UTC(), nil
}

// formatISO writes an ISO 8601 timestamp in UTC, with milliseconds when there are any.
func formatISO(b []byte, t time.Time) []byte {
	t = t.UTC()
	if t.Nanosecond()/1e6 == 0 {
		return t.AppendFormat(b, "2006-01-02T15:04:05Z")
	}
	return t.AppendFormat(b, "2006-01-02T15:04:05.000Z")
}
