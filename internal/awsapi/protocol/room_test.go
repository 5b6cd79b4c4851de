// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bytes"
	"io"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

// TestBodyIsWholeWhateverIsAnnounced: the announced length makes room and nothing else.
func TestBodyIsWholeWhateverIsAnnounced(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, 5000, 3 * trusted} {
		want := bytes.Repeat([]byte("x"), size)
		for _, announced := range []int64{-1, 0, int64(size), int64(size) - 1, int64(size) + 1, math.MaxInt64} {
			for _, r := range []io.Reader{bytes.NewReader(want), iotest.OneByteReader(bytes.NewReader(want)), iotest.DataErrReader(bytes.NewReader(want))} {
				got, err := readAnnounced(r, announced)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, announced %d: got %d, %v", size, announced, len(got), err)
				}
			}
		}
	}
	if b, err := readAnnounced(iotest.ErrReader(io.ErrUnexpectedEOF), math.MaxInt64); err != io.ErrUnexpectedEOF || cap(b) >= trusted {
		t.Errorf("%v, room for %d bytes that did not come", err, cap(b))
	}
}

// TestRoomOfAnAnswerKeepsNothing: no key that was sent lies in memory until the next answer.
func TestRoomOfAnAnswerKeepsNothing(t *testing.T) {
	s := NewService(Service{Protocol: JSON11})
	for _, secret := range []string{"a key", strings.Repeat("a long key ", 1000)} { // the second grows its room
		var made []byte
		w := httptest.NewRecorder()
		s.sendMade(w, "r-1", func(b []byte) []byte { made = append(b, secret...); return made })
		if w.Body.String() != secret {
			t.Errorf("sent %q", w.Body)
		}
		if left := bytes.Trim(made[:cap(made)], "\x00"); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}
