// SPDX-License-Identifier: Apache-2.0

package e2ee

import "testing"

// cutShort seals a fragment and forgets its last n blocks, the signature among them, as a process does that is killed.
func cutShort(w *world, s *Sealer, n int) []Block {
	f := w.produce(s)
	return f[:len(f)-n]
}

func TestFragmentCutShortIsSignedByTheNextProcess(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	whole := w.produceAll(s, 2)
	kept := s.last
	torn := cutShort(w, s, 3)

	next := w.sealer(&kept)
	sig, link, err := next.Finish(torn)
	w.ok(err)
	if link.Sequence != 2 || link.Session != kept.Session {
		t.Fatalf("%+v", link)
	}
	o := w.opener(w.anna.fp)
	w.consumeAll(o, whole)
	if n, r, err := consume(o, append(torn, sig)); err != nil || n != len(torn) || r.Missing != 0 {
		t.Fatalf("%d samples, %+v, %v", n, r, err)
	}
	if _, r, err := consume(o, w.produce(next)); err != nil || r.Missing != 0 || r.Unlinked {
		t.Fatalf("the session after: %+v, %v", r, err)
	}
}

func TestFinishRepeatsASignatureThatDidNotReachTheBuffer(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	f := w.produce(s)
	kept := s.last
	sig, link, err := w.sealer(&kept).Finish(f[:len(f)-1])
	w.ok(err)
	if link != kept || string(sig.Payload) != string(f[len(f)-1].Payload[len(f[len(f)-1].Payload)-len(sig.Payload):]) {
		t.Fatalf("%+v, want %+v", link, kept)
	}
	if sig, link, err := w.sealer(&kept).Finish(f); err != nil || len(sig.Payload) != 0 || link != kept {
		t.Fatalf("already signed: %d bytes, %+v, %v", len(sig.Payload), link, err)
	}
}

func TestFinishSignsTheVeryFirstFragment(t *testing.T) {
	w := newWorld(t)
	torn := cutShort(w, w.sealer(nil), 2)
	if _, _, err := w.sealer(nil).Finish(torn); err != nil {
		t.Fatal(err)
	}
}

// Whoever can put old files into the camera's buffer must not get a second history signed.
func TestFinishSignsNoSecondHistory(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	first := w.produce(s)
	first0 := s.last
	second := w.produce(s)
	kept := s.last
	other := w.sealer(nil)
	w.produce(other)

	for name, c := range map[string]struct {
		blocks   []Block
		previous *Link
		want     Code
	}{
		"one that was completed later":   {second[:3], &kept, ErrChain},
		"one from before":                {first[:3], &kept, ErrChain},
		"of another session":             {first[:3], &other.last, ErrChain},
		"not the first without Previous": {second[:3], nil, ErrChain},
		"another stream": {func() []Block {
			c := other.cfg
			c.Stream = "other"
			s, err := NewSealer(c)
			w.ok(err)
			s.cfg.Trust.roster.Members[1].Streams = nil
			return cutShort(w, s, 2)
		}(), nil, ErrStatement},
		"with a statement of nobody": {func() []Block {
			c := cloneBlocks(second[:3])
			c[0].Payload[1+3+statementBytes-1] ^= 1
			return c
		}(), &first0, ErrStatement},
		"readable":      {[]Block{{Track: 1, Payload: []byte("picture")}}, nil, ErrFormat},
		"nothing":       {nil, nil, ErrMisuse},
		"after its end": {append(first[:len(first):len(first)], first[1]), &Link{}, ErrFormat},
	} {
		if b, _, err := w.sealer(c.previous).Finish(c.blocks); codeOf(err) != c.want || b.Payload != nil {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	s = w.sealer(nil)
	w.produce(s)
	if _, _, err := s.Finish(first[:3]); codeOf(err) != ErrMisuse {
		t.Errorf("after Begin: %v", err)
	}
}
