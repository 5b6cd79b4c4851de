// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"errors"
	"testing"
	"time"
)

func TestKeysOfAnotherFragmentLetOneJoinInBetween(t *testing.T) {
	w := newWorld(t)
	cfg := SealerConfig{
		Identity: w.camera, Trust: w.trust, Stream: testStream, Tracks: testTracks(), KeysPerMille: 1, Now: w.clock,
	}
	s, err := NewSealer(cfg)
	w.ok(err)
	f := w.produceAll(s, 3) // the key package is in the first one alone
	o := w.opener(w.anna.fp)
	_, err = o.Block(f[2][0])
	var e *Error
	if !errors.As(err, &e) || e.Code != ErrNoPackage || e.SeekTo != w.now.Add(-6*time.Second) {
		t.Fatalf("got %v", err)
	}
	o.Cut()
	w.ok(o.TakeKeys(f[0][0]))
	if n, r, err := consume(o, f[2]); err != nil || n != 6 || r.Sequence != 2 {
		t.Fatalf("%d samples, %+v, %v", n, r, err)
	}
	// What was taken is a key, not a place: the fragment itself is still an old one.
	if _, _, err := consume(o, f[0]); codeOf(err) != ErrOrder {
		t.Fatalf("got %v", err)
	}
	w.ok(o.TakeKeys(f[0][0]))
	if _, _, err := consume(o, f[2]); codeOf(err) != ErrOrder {
		t.Fatalf("a halt was lifted: %v", err)
	}
}

func TestKeysAreTakenFromAuthenticFragmentsOnly(t *testing.T) {
	w := newWorld(t)
	f := w.produce(w.sealer(nil))
	damaged := func(at int) Block {
		b := cloneBlocks(f[:1])[0]
		b.Payload[at] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		block Block
		want  Code
	}{
		"readable":       {Block{Payload: []byte("picture")}, ErrFormat},
		"empty":          {Block{}, ErrDowngrade},
		"a later block":  {f[1], ErrDowngrade},
		"statement":      {damaged(4 + statementBytes - 1), ErrStatement},
		"header":         {damaged(4 + statementBytes + headerBytes - 1), ErrHeader},
		"another stream": {damaged(4 + 2), ErrStream},
	} {
		if err := w.opener(w.anna.fp).TakeKeys(c.block); codeOf(err) != c.want {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if err := w.opener(w.ben.fp).TakeKeys(f[0]); codeOf(err) != ErrNotAdmitted {
		t.Errorf("got %v", err)
	}
}
