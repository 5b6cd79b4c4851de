// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkSeal is a frame's way through the Sealer: AES-256-GCM, and SHA-256 for the fragment's digest.
func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{1 << 10, 20_000, 150_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := newWorld(b)
			s := w.sealer(nil)
			sm := Sample{Track: 1, Time: w.now, Data: make([]byte, size)}
			w.ok(s.Begin(w.now))
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := s.Seal(sm); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen is the same frame's way through the Opener.
func BenchmarkOpen(b *testing.B) {
	w := newWorld(b)
	s := w.sealer(nil)
	w.ok(s.Begin(w.now))
	first, err := s.Seal(Sample{Track: 1, Time: w.now, Data: make([]byte, 20_000)})
	w.ok(err)
	second, err := s.Seal(Sample{Track: 1, Time: w.now, Data: make([]byte, 20_000)})
	w.ok(err)
	o := w.opener(w.anna.fp)
	_, err = o.Block(first)
	w.ok(err)
	b.SetBytes(20_000)
	for b.Loop() {
		if _, err := o.Block(second); err != nil {
			b.Fatal(err)
		}
		o.cur.next[1], o.cur.bytes = 1, 0 // the same again
	}
}

// BenchmarkGeneration is what a change of the roster costs the camera, with four recipients.
func BenchmarkGeneration(b *testing.B) {
	w := fourRecipients(b)
	s := w.sealer(nil)
	for b.Loop() {
		s.Rotate()
		w.ok(s.Begin(w.now))
		s.Abandon()
	}
}

// BenchmarkJoin is what the first fragment costs a viewer: statement, X-Wing, commitment.
func BenchmarkJoin(b *testing.B) {
	w := newWorld(b)
	f := w.produce(w.sealer(nil))
	o := w.opener(w.anna.fp)
	for b.Loop() {
		clear(o.known)
		o.order = nil
		o.Seek()
		if _, _, err := consume(o, f); err != nil {
			b.Fatal(err)
		}
	}
}

// fourRecipients has three viewers and the recovery kit.
func fourRecipients(t testing.TB) *world {
	w := newWorld(t)
	carl := mustIdentity(t, RoleConsumer, "carl")
	w.keys[carl.fp] = mustKEM(t, "carl")
	w.ok(w.trust.Advance(w.change(func(r *Roster) {
		r.Admit(Member{Role: RoleConsumer, Name: "Ben", Key: w.ben.Public()})
		r.Admit(Member{Role: RoleConsumer, Name: "Carl", Key: carl.Public()})
	})))
	w.certify(w.trust, w.ben, 1)
	w.certify(w.trust, carl, 1)
	return w
}

// TestOverhead: at 2 Mbit/s, 30 frames a second, fragments of two seconds, four recipients: at most 3 %.
func TestOverhead(t *testing.T) {
	w := fourRecipients(t)
	s := w.sealer(nil)
	var media, sealed int
	for range 10 {
		w.ok(s.Begin(w.now))
		for n := range 60 {
			size := 6_500
			if n == 0 {
				size = 116_500
			}
			b, err := s.Seal(Sample{Track: 1, Key: n == 0, Time: w.now.Add(time.Duration(n) * time.Second / 30), Data: make([]byte, size)})
			w.ok(err)
			media, sealed = media+size, sealed+len(b.Payload)
		}
		b, _, err := s.End()
		w.ok(err)
		sealed += len(b.Payload)
		w.now = w.now.Add(2 * time.Second)
		if s.keysSent.Add(2*time.Second) != w.now {
			t.Error("no key package in the fragment")
		}
	}
	percent := 100 * float64(sealed-media) / float64(media)
	t.Logf("%d bytes of media, %d sealed: %.2f %% (%d bytes a fragment)", media, sealed, percent, (sealed-media)/10)
	if percent > 3 {
		t.Errorf("overhead %.2f %%", percent)
	}
}
