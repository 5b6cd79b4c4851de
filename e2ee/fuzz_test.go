// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"testing"
	"time"
)

func FuzzRecords(f *testing.F) {
	f.Add([]byte{recFrame, 1, 2, 3})
	f.Add(appendRecord(appendRecord(nil, recMeta, []byte("x")), recSig, make([]byte, 64)))
	f.Add(appendRecord(nil, 200, make([]byte, 300)))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, sigAt, err := parseRecords(b)
		if err != nil {
			return
		}
		var again []byte
		for _, r := range records {
			if r.kind == recSig && len(again) != sigAt {
				t.Fatalf("signature at %d, said %d", len(again), sigAt)
			}
			if r.kind == recFrame {
				again = append(append(again, recFrame), r.body...)
			} else {
				again = appendRecord(again, r.kind, r.body)
			}
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x reads as %x", b, again)
		}
	})
}

func FuzzHDR(f *testing.F) {
	w := newWorld(f)
	f.Add(w.record(w.produce(w.sealer(nil))[0].Payload, recHDR))
	f.Add(make([]byte, statementBytes+headerBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, h, err := parseHDR(b)
		if err != nil {
			return
		}
		again := append(s.body(), s.raw[statementBody:]...)
		again = append(append(again, h.body()...), h.mac[:]...)
		if !bytes.Equal(again, b) {
			t.Fatalf("%x reads as %x", b, again)
		}
	})
}

func FuzzTracksAndMetadata(f *testing.F) {
	b, _ := encodeTracks(testTracks())
	f.Add(b)
	b, _ = encodeMetadata(Metadata{"motion", []byte("porch")})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if tracks, ok := parseTracks(b); ok {
			if again, err := encodeTracks(tracks); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%x reads as %x, %v", b, again, err)
			}
		}
		if m, ok := parseMetadata(b); ok && len(m.Value) <= maxMetadata {
			if again, err := encodeMetadata(m); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%x reads as %x, %v", b, again, err)
			}
		}
		_, _ = decodeSample(b, 0)
		if l, ok := parseLink(b); ok && !bytes.Equal(l.encode(), b) {
			t.Fatalf("link %x", b)
		}
	})
}

func FuzzRoster(f *testing.F) {
	w := newWorld(f)
	f.Add(w.roster)
	f.Add(w.change(func(r *Roster) {
		r.Remove(w.camera.fp, w.now)
		r.Admit(Member{Role: RoleConsumer, Name: "Ben", Key: w.ben.Public(), Streams: []StreamID{{1}, {2}}})
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		sr, err := parseSignedRoster(b)
		if err != nil {
			return
		}
		if !bytes.Equal(sr.encode(), sr.body) {
			t.Fatalf("%x reads as %x", sr.body, sr.encode())
		}
		_ = sr.signedBy(sr.Roster)
	})
}

func FuzzTrustState(f *testing.F) {
	w := newWorld(f)
	var saved []byte
	r, h, err := ReadRoster(w.roster)
	w.ok(err)
	_, err = NewTrust(Pin{r.Version, h}, w.roster, w.camera.fp, func(b []byte) error { saved = b; return nil })
	w.ok(err)
	f.Add(saved)
	f.Fuzz(func(t *testing.T, b []byte) {
		if tr, err := LoadTrust(b, w.camera.fp, discard); err == nil {
			tr.recipients(StreamIDOf(testStream), time.Time{})
		}
	})
}

func FuzzCertificate(f *testing.F) {
	w := newWorld(f)
	f.Add(w.must(NewCertificate(w.anna, w.keys[w.anna.fp], 1, w.now, time.Hour)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseCertificate(b); err == nil && !bytes.Equal(c.raw, b) {
			t.Fatal("certificate differs")
		}
	})
}

func FuzzPairing(f *testing.F) {
	p := newPair(f, RoleConsumer)
	offer, err := p.a.Scan(p.j.Code().Text())
	p.ok(err)
	request, err := p.j.Handle(offer)
	p.ok(err)
	for _, m := range [][]byte{offer, request, Welcome(p.roster), append([]byte{msgCommit}, make([]byte, 32)...)} {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, ok := parseOffer(b); ok && !bytes.Equal(withMAC(o.body(), o.mac), b) {
			t.Fatalf("offer %x", b)
		}
		if q, ok := parseRequest(b); ok && !bytes.Equal(withMAC(append(q.body(), q.sig...), q.mac), b) {
			t.Fatalf("request %x", b)
		}
		p.j.trust = nil
		_, _ = p.j.Handle(b)
		a := *p.a
		_, _ = a.Handle(b)
	})
}

func FuzzPairingCode(f *testing.F) {
	f.Add(newPair(f, RoleProducer).j.Code().Groups())
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseCode(s); err == nil && c.Text() != ungroup(s) {
			t.Fatalf("%q reads as %q", s, c.Text())
		}
		if k, err := ParseRecoveryText(s); err == nil && k.RecoveryText() == "" {
			t.Fatal("empty")
		}
	})
}

func FuzzGrant(f *testing.F) {
	f.Add(append([]byte{1}, make([]byte, 65)...))
	f.Add(append([]byte{1}, append(append(make([]byte, 32), grantEpochs, 0, 0, 0, 0, 0, 1), make([]byte, 32)...)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		items, err := parseGrant(b)
		if err == nil && len(items) > len(b)/32 {
			t.Fatal("more items than bytes")
		}
	})
}

// FuzzOpener gives an Opener that knows the generation arbitrary blocks.
func FuzzOpener(f *testing.F) {
	w := newWorld(f)
	s := w.sealer(nil)
	blocks := w.produce(s)
	for _, b := range blocks {
		f.Add(b.Payload, b.Track, b.Key)
	}
	o := w.opener(w.anna.fp)
	w.consumeAll(o, [][]Block{blocks})
	next := w.produce(s)
	f.Fuzz(func(t *testing.T, p []byte, track uint8, key bool) {
		o.Resume()
		o.holdBack = false
		_, _ = o.Block(Block{Track: track, Key: key, Payload: p})
		o.Resume()
		if _, err := o.Block(next[0]); err == nil {
			out, err := o.Block(Block{Track: track, Key: key, Payload: p})
			if err == nil && len(out.Samples) > 0 && !bytes.Equal(p, next[1].Payload) && !bytes.Equal(p, next[2].Payload) {
				t.Fatalf("a made-up block gives samples")
			}
		}
	})
}
