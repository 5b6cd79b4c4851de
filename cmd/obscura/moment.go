// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"
)

// parseMoment reads a time as people write it: 14:32, yesterday 14:32, 2026-11-22 14:32, RFC 3339, -10m. A time
// without a zone is in now's; one of the day that is yet to come is meant as it stands.
func parseMoment(s string, now time.Time) (time.Time, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		if d, err := time.ParseDuration(s); err == nil {
			return now.Add(d), nil
		}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	day, clock, ok := strings.Cut(s, " ")
	offset := 0
	switch {
	case !ok:
		clock = day
	case day == "yesterday":
		offset = -1
	case day == "tomorrow":
		offset = 1
	case day != "today":
		return time.Time{}, momentError(s)
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, strings.TrimSpace(clock)); err == nil {
			y, m, d := now.Date()
			return time.Date(y, m, d+offset, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), now.Location()), nil
		}
	}
	return time.Time{}, momentError(s)
}

func momentError(s string) error {
	return usageError{fmt.Errorf("time %q: want 14:32, \"yesterday 14:32\", 2026-11-22T14:32:07Z or -10m", s)}
}

// sayMoment is a time with the zone that it is in.
func sayMoment(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST (-07:00)") }
