// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"testing"
	"time"
)

// resigned changes the header of a fragment's first block and makes statement and MAC right again, as the producer could.
func (w *world) resigned(s *Sealer, edit func(*statement, *header)) Block {
	w.ok(s.Begin(w.now))
	st, h := *s.gen.statement, s.open.header
	edit(&st, &h)
	raw := st.body()
	sig, err := w.camera.sign("statement", raw)
	w.ok(err)
	hdr := append(append(raw, sig...), h.body()...)
	hdr = append(hdr, make([]byte, macBytes)...)
	return Block{Track: 1, Payload: appendRecord(appendRecord(nil, recHDR, hdr), recKeys, s.gen.keys)}
}

func TestHugeEpochIsRefused(t *testing.T) {
	w := newWorld(t)
	o := w.opener(w.anna.fp)
	start := time.Now()
	_, err := o.Block(w.resigned(w.sealer(nil), func(_ *statement, h *header) { h.epoch = 1 << 22 }))
	if codeOf(err) != ErrFormat {
		t.Fatalf("%v after %v", err, time.Since(start))
	}
}

func TestMemoryIsBounded(t *testing.T) {
	w := newWorld(t)
	f := w.produce(w.sealer(nil))
	cfg := w.openerConfig(w.anna.fp)
	cfg.MaxFragmentBytes, cfg.Strict = 4000, true
	o, err := NewOpener(cfg)
	w.ok(err)
	if _, _, err := consume(o, f); codeOf(err) != ErrTooLarge {
		t.Fatal(err)
	}
	if _, _, err := parseRecords(bytes.Repeat([]byte{77, 0, 0, 0}, maxRecords+1)); codeOf(err) != ErrFormat {
		t.Fatal(err)
	}
}

func TestPinIsChecked(t *testing.T) {
	w := newWorld(t)
	r, h, err := ReadRoster(w.roster)
	w.ok(err)
	h[0] ^= 1
	if _, err := NewTrust(Pin{r.Version, h}, w.roster, w.camera.fp, discard); codeOf(err) != ErrPairing {
		t.Fatal(err)
	}
}

// TestOnlyOwnersSign: a member of another role has a key in the roster, and signs with it.
func TestOnlyOwnersSign(t *testing.T) {
	w := newWorld(t)
	next := w.change(func(*Roster) {})
	sr, err := parseSignedRoster(next)
	w.ok(err)
	sig, err := w.anna.sign("roster", sr.body)
	w.ok(err)
	forged := append(appendU32(nil, uint32(len(sr.body))), sr.body...)
	forged = append(append(append(forged, 1), w.anna.fp[:]...), sig...)
	if err := w.trust.Advance(forged); codeOf(err) != ErrRosterSign {
		t.Fatal(err)
	}
}

func TestOfferedRosterMustBeItsOwners(t *testing.T) {
	p := newPair(t, RoleProducer)
	r, _, err := ReadRoster(p.roster)
	p.ok(err)
	p.a.trust.signed = p.must(SignRoster(*r)) // the roster without a signature
	offer, err := p.a.Scan(p.j.Code().Text())
	p.ok(err)
	if _, err := p.j.Handle(offer); codeOf(err) != ErrPairing {
		t.Fatal(err)
	}
}

// TestOtherDeviceWithTheSecret: who photographed the code has the secret, but not the device's key.
func TestOtherDeviceWithTheSecret(t *testing.T) {
	p := newPair(t, RoleProducer)
	code := p.j.Code()
	offer, err := p.a.Scan(code.Text())
	p.ok(err)
	thief, err := NewJoiner(JoinerConfig{Identity: mustIdentity(t, RoleProducer, "thief"), Name: "camera", Save: discard, Now: p.clock})
	p.ok(err)
	thief.code, thief.start, thief.started = &code, code.start(), true
	request, err := thief.Handle(offer)
	p.ok(err)
	if _, err := p.a.Handle(request); codeOf(err) != ErrPairing {
		t.Fatal(err)
	}
}

func TestAdmitTakesTheCandidateOnly(t *testing.T) {
	p := newPair(t, RoleProducer)
	offer, err := p.a.Scan(p.j.Code().Text())
	p.ok(err)
	request, err := p.j.Handle(offer)
	p.ok(err)
	_, err = p.a.Handle(request)
	p.ok(err)
	m, err := p.a.Candidate()
	p.ok(err)
	m.Key = mustIdentity(t, RoleProducer, "another").Public()
	if _, _, err := p.a.Admit(m, p.now.Add(time.Hour)); codeOf(err) != ErrMisuse {
		t.Fatal(err)
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	w := newWorld(t)
	f := w.produce(w.sealer(nil))
	raw := bytes.Clone(f[0].Payload[4 : 4+statementBody])
	for at := range 2 {
		other := bytes.Clone(raw)
		other[at]++
		sig, err := w.camera.sign("statement", other)
		w.ok(err)
		b := cloneBlocks(f)[0]
		copy(b.Payload[4:], append(other, sig...))
		if _, err := w.opener(w.anna.fp).Block(b); codeOf(err) != ErrVersion {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

// TestWrongGrantsAreBounded: whoever may write grants makes a viewer try only so many secrets for each fragment.
func TestWrongGrantsAreBounded(t *testing.T) {
	w := newWorld(t)
	o := w.opener(w.ben.fp)
	var statement [32]byte
	for range 3 {
		items := []byte{formatVersion}
		for range maxRivals {
			items = append(append(append(items, statement[:]...), grantSecret), NewSeed()...)
			items = append(append(append(items, statement[:]...), grantEpochs, 0, 0, 0, 7, 0, 1), NewSeed()...)
		}
		w.ok(o.AddGrant(w.must(wrap(w.keys[w.ben.fp].Public(), w.ben.fp, "grant", o.stream[:], items))))
	}
	g := o.granted[statement]
	if len(g.gs) != maxRivals || len(g.epochs[7]) != maxRivals {
		t.Fatalf("%d secrets, %d of an epoch", len(g.gs), len(g.epochs[7]))
	}
}
