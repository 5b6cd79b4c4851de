// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
)

func TestRawFragmentIsAsItWasSent(t *testing.T) {
	calls := 0
	s := &script{byList: func(numbers []string) answer {
		if calls++; len(numbers) != 1 || numbers[0] != "102" {
			t.Errorf("asked for %q", numbers)
		}
		b := chunk(2, false)
		if calls == 1 {
			return answer{body: b[:len(b)-20], cut: true}
		}
		return answer{body: b}
	}}
	c := open(t, s, Options{})
	b, err := c.Raw(t.Context(), "102")
	if err != nil || !bytes.Equal(b, chunk(2, false)) || calls != 2 {
		t.Fatalf("%d calls, %v", calls, err)
	}
	f, err := Parse(b)
	if err != nil || f.Number != "102" || len(f.Frames) != 3 || string(f.Frames[2].Data) != "2/2" {
		t.Errorf("%+v, %v", f, err)
	}
	n := 0
	for got, err := range c.Get(t.Context(), "102") {
		if n++; err != nil || got.Number != "102" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if n != 1 {
		t.Errorf("%d fragments", n)
	}
}

func TestRawFragmentIsTheOneAskedForAndWhole(t *testing.T) {
	var sent []byte
	s := &script{byList: func([]string) answer { return answer{body: sent} }}
	c := open(t, s, Options{})
	for name, tt := range map[string]struct {
		sent []byte
		want error
	}{
		"another":        {chunk(3, false), errNotAsked},
		"gone":           {failure(4000, "FRAGMENT_NOT_FOUND"), new(MediaError)},
		"nothing":        {nil, io.ErrUnexpectedEOF},
		"half":           {chunk(2, false)[:250], io.ErrUnexpectedEOF},
		"two":            {slices.Concat(chunk(2, false), chunk(2, false)), nil},
		"no Matroska":    {[]byte("hello, world"), nil},
		"rest of a file": {append(chunk(2, false), 0xFF), nil},
	} {
		sent = tt.sent
		_, err := c.Raw(t.Context(), "102")
		var media *MediaError
		if err == nil || tt.want == errNotAsked && !errors.Is(err, errNotAsked) || name == "gone" && !errors.As(err, &media) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
