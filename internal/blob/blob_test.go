// SPDX-License-Identifier: Apache-2.0

package blob_test

import (
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
)

func TestClassIsTheShortestThatKeepsLongEnough(t *testing.T) {
	for _, c := range []struct {
		hours int
		want  blob.Class
	}{
		{-1, blob.Hour},
		{0, blob.Hour},
		{1, blob.Hour},
		{2, blob.Day},
		{24, blob.Day},
		{25, blob.Week},
		{168, blob.Week},
		{169, blob.Month},
		{720, blob.Month},
		{721, blob.Year},
		{8760, blob.Year},
		{8761, blob.Forever},
		{87600, blob.Forever},
		{1 << 62, blob.Forever},
	} {
		if got := blob.ClassForHours(c.hours); got != c.want {
			t.Errorf("%d hours are class %d, want %d", c.hours, got, c.want)
		}
	}
	if got := blob.ClassFor(time.Hour + 1); got != blob.Day {
		t.Errorf("an hour and a nanosecond are class %d", got)
	}
}

func TestSessionOf(t *testing.T) {
	s := blob.NewSession()
	if got, ok := blob.SessionOf(blob.Prefix(s) + "1"); !ok || got != s {
		t.Errorf("SessionOf = %q, %t", got, ok)
	}
	for _, name := range []string{"", "b/", "b/x", "b//1", "b/x/", "b/x/1/2", "c/x/1"} {
		if _, ok := blob.SessionOf(name); ok {
			t.Errorf("SessionOf(%q) accepted", name)
		}
	}
}
