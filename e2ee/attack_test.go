// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

// attack is something that a server, an insider or a thief does, and what must come of it. mutation_test.go removes the checks
// one by one and expects the attack of the same name to succeed.
type attack struct {
	name string
	want Code
	// samples that may be released before the attack is noticed: the provisional window. -1: any.
	released int
	run      func(w *world) (released int, err error)
}

// attacks are run by TestAttack.
func attacks() []attack {
	return []attack{
		{"swapped fragments", ErrOrder, 0, func(w *world) (int, error) {
			f := w.produceAll(w.sealer(nil), 3)
			o := w.opener(w.anna.fp)
			w.consumeAll2(o, f[0])
			w.consumeAll2(o, f[2])
			n, _, err := consume(o, f[1])
			return n, err
		}},
		{"replayed fragment", ErrOrder, 0, func(w *world) (int, error) {
			f := w.produceAll(w.sealer(nil), 2)
			return w.after(f[0], f[1], f[1])
		}},
		{"old session replayed as new", ErrOrder, 0, func(w *world) (int, error) {
			old := w.produceAll(w.sealer(nil), 1)
			now := w.produceAll(w.sealer(nil), 1)
			return w.after(now[0], old[0])
		}},
		{"old session replayed with a link made up", ErrFrame, 0, func(w *world) (int, error) {
			old := w.produceAll(w.sealer(nil), 1)
			s := w.sealer(nil)
			now := w.produceAll(s, 1)
			p := old[0][0].Payload
			hdr := 4 + statementBytes + headerBytes
			old[0][0].Payload = append(appendRecord(bytes.Clone(p[:hdr]), recPrevious, s.last.encode()), p[hdr:]...)
			return w.after(now[0], old[0])
		}},
		{"last block cut off", ErrSignature, -1, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			return w.after(f[:6])
		}},
		{"frame left out", ErrOrder, -1, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			return w.after(slices.Delete(f, 3, 4))
		}},
		{"last frame left out", ErrSignature, -1, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			return w.after(slices.Delete(f, 5, 6))
		}},
		{"frames swapped", ErrOrder, -1, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			f[3], f[4] = f[4], f[3]
			return w.after(f)
		}},
		{"key-frame flag flipped", ErrFrame, 1, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			f[1].Key = true
			return w.after(f)
		}},
		{"frame moved to another track", ErrFrame, 1, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			f[1].Track = 2
			return w.after(f)
		}},
		{"frame moved to another fragment", ErrFrame, -1, func(w *world) (int, error) {
			f := w.produceAll(w.sealer(nil), 2)
			f[1][1] = f[0][1]
			return w.after(f[0], f[1])
		}},
		{"metadata removed", ErrSignature, -1, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			f[0].Payload = w.without(f[0].Payload, recMeta)
			return w.after(f)
		}},
		{"capture time altered", ErrHeader, 0, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			f[0].Payload[4+statementBytes+20]++
			return w.after(f)
		}},
		{"statement altered", ErrStatement, 0, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			f[0].Payload[4+statementBody-32-1]++ // number of recipients
			return w.after(f)
		}},
		{"readable fragment instead of sealed", ErrDowngrade, 0, func(w *world) (int, error) {
			return w.after([]Block{{Track: 1, Key: true, Payload: []byte{0, 0, 0, 1, 0x65}}})
		}},
		{"fragment of another stream", ErrStream, 0, func(w *world) (int, error) {
			w.change(func(r *Roster) { r.Members[1].Streams = nil })
			w.trust = w.newTrust(w.camera.fp)
			w.certify(w.trust, w.anna, 1)
			s := w.sealer(nil)
			s.stream = StreamIDOf("garage")
			return w.after(w.produce(s))
		}},
		{"camera beyond its streams", ErrProducer, 0, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			w.change(func(r *Roster) { r.Members[1].Streams = []StreamID{StreamIDOf("garage")} })
			return w.after(f)
		}},
		{"removed camera goes on", ErrProducer, 0, func(w *world) (int, error) {
			s := w.sealer(nil)
			w.change(func(r *Roster) { r.Remove(w.camera.fp, w.now.Add(-time.Second)) })
			return w.after(w.produce(s))
		}},
		{"server makes a generation of its own", ErrProducer, 0, func(w *world) (int, error) {
			real := w.camera
			w.camera = mustIdentity(w.t, RoleProducer, "server")
			f := w.forge(w.camera, nil)
			w.camera = real
			return w.after(f)
		}},
		{"server signs a generation in the camera's name", ErrStatement, 0, func(w *world) (int, error) {
			return w.after(w.forge(mustIdentity(w.t, RoleProducer, "server"), func(st *statement) { st.producer = [8]byte(w.camera.fp[:8]) }))
		}},
		{"server forges a minute whose secret it granted itself", ErrSignature, 0, func(w *world) (int, error) {
			s, o := w.sealer(nil), w.opener(w.anna.fp)
			w.produce(s) // the server has its statement
			made := w.forgeMinute(s)
			w.ok(o.AddGrant(w.grantOfMinute(w.anna, s.gen.hash, s.gen.secret)))
			n, _, err := consume(o, made)
			return n, err
		}},
		{"server forges a minute whose secret it granted a guest", ErrSignature, 0, func(w *world) (int, error) {
			s, o := w.sealer(nil), w.opener(w.ben.fp)
			w.produce(s)
			made := w.forgeMinute(s)
			w.ok(o.AddGrant(w.grantOfMinute(w.ben, s.gen.hash, s.gen.secret)))
			n, _, err := consume(o, made)
			return n, err
		}},
		{"server wraps a secret of its own under the genuine statement", ErrCommitment, 0, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			st, err := parseStatement(f[0].Payload[4 : 4+statementBytes])
			w.ok(err)
			own, err := wrap(w.keys[w.anna.fp].Public(), w.anna.fp, "wrap", st.raw[:statementBody], bytes.Repeat([]byte{7}, 32))
			w.ok(err)
			keys := append(hint(w.anna.fp, st), own...)
			f[0].Payload = appendRecord(appendRecord(nil, recHDR, f[0].Payload[4:4+statementBytes+headerBytes]), recKeys, keys)
			return w.after(f)
		}},
		{"wrap of another generation", ErrNoWrap, 0, func(w *world) (int, error) {
			a, b := w.produce(w.sealer(nil)), w.produce(w.sealer(nil))
			ka, kb := w.record(a[0].Payload, recKeys), w.record(b[0].Payload, recKeys)
			copy(kb[hintBytes:wrapBytes], ka[hintBytes:wrapBytes])
			copy(kb[wrapBytes+hintBytes:], ka[wrapBytes+hintBytes:])
			return w.after(b)
		}},
		{"viewer forges a fragment in the camera's generation", ErrSignature, -1, func(w *world) (int, error) {
			s := w.sealer(nil)
			f := w.produce(s)
			s.cfg.Identity = w.posing()
			return w.after(f, w.produce(s))
		}},
		{"viewer forges in a session before", ErrOrder, 0, func(w *world) (int, error) {
			old, f := w.twoSessions()
			old.cfg.Identity = w.posing()
			return w.after(f[0], f[1], w.produce(old))
		}},
		{"viewer forges in a session before, with a link made up", ErrSignature, 0, func(w *world) (int, error) {
			old, f := w.twoSessions()
			old.cfg.Identity, old.last, old.next, old.keysSent = w.posing(), Link{}, 0, time.Time{}
			return w.after(f[0], f[1], w.produce(old))
		}},
		{"viewer rewrites the fragment before", ErrChain, 0, func(w *world) (int, error) {
			s := w.sealer(nil)
			f := w.produceAll(s, 1)
			s.last.Digest[0] ^= 1
			return w.after(f[0], w.produce(s))
		}},
		{"older generation after a newer", ErrStale, 0, func(w *world) (int, error) {
			s := w.sealer(nil)
			a := w.produce(s)
			old := s.gen
			keep := *old
			keep.secret, keep.ratchet.chain = bytes.Clone(old.secret), bytes.Clone(old.ratchet.chain)
			s.Rotate()
			b := w.produce(s)
			keep.basis = s.gen.basis
			s.gen = &keep // a removed viewer has the old secret and the server's help
			return w.after(a, b, w.produce(s))
		}},
		{"older roster after a newer", ErrStale, 0, func(w *world) (int, error) {
			w.ok(w.trust.Advance(w.change(func(*Roster) {})))
			b := w.produce(w.sealer(nil))
			w.trust = w.oldTrust()
			return w.after(b, w.produce(w.sealer(nil)))
		}},
		{"camera was shown another roster", ErrRosterFork, 0, func(w *world) (int, error) {
			base := w.roster
			fork := w.change(func(r *Roster) { r.Issued = r.Issued.Add(time.Second) })
			w.ok(w.trust.Advance(fork))
			f := w.produce(w.sealer(nil))
			w.roster = base
			w.change(func(*Roster) {})
			return w.after(f)
		}},
		{"removed viewer opens the next generation", ErrRevoked, 0, func(w *world) (int, error) {
			o := w.opener(w.anna.fp)
			s := w.sealer(nil)
			w.consumeAll(o, w.produceAll(s, 1))
			next := w.change(func(r *Roster) { r.Remove(w.anna.fp, w.now) })
			w.ok(w.trust.Advance(next))
			w.ok(o.cfg.Trust.Advance(next))
			n, _, err := consume(o, w.produce(s))
			return n, err
		}},
		{"viewer that was never admitted", ErrNotAdmitted, 0, func(w *world) (int, error) {
			n, _, err := consume(w.opener(w.ben.fp), w.produce(w.sealer(nil)))
			return n, err
		}},
		{"history rewritten before a kept link", ErrFork, 0, func(w *world) (int, error) {
			s := w.sealer(nil)
			w.produce(s)
			kept := s.last
			kept.Digest[5] ^= 1 // what the viewer confirmed was another fragment 0
			cfg := w.openerConfig(w.anna.fp)
			cfg.Known, cfg.Archive = []Link{kept}, true
			o, err := NewOpener(cfg)
			w.ok(err)
			s.keysSent = time.Time{}
			n, _, err := consume(o, w.produce(s))
			return n, err
		}},
		{"kept fragment itself rewritten", ErrFork, -1, func(w *world) (int, error) {
			s := w.sealer(nil)
			f := w.produce(s)
			kept := s.last
			kept.Digest[5] ^= 1
			cfg := w.openerConfig(w.anna.fp)
			cfg.Known, cfg.Archive = []Link{kept}, true
			o, err := NewOpener(cfg)
			w.ok(err)
			n, _, err := consume(o, f)
			return n, err
		}},
		{"session before ended otherwise", ErrFork, 0, func(w *world) (int, error) {
			s := w.sealer(nil)
			f := w.produce(s)
			link := s.last
			link.Digest[0] ^= 1
			return w.after(f, w.produce(w.sealer(&link)))
		}},
		{"recording served as live", ErrNotLive, 0, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			w.now = w.now.Add(time.Hour)
			cfg := w.openerConfig(w.anna.fp)
			cfg.LiveWindow = DefaultLiveWindow
			o, err := NewOpener(cfg)
			w.ok(err)
			n, _, err := consume(o, f)
			return n, err
		}},
		{"block appended after the signature", ErrOrder, -1, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			return w.after(append(f, Block{Track: 1, Payload: appendRecord(nil, 77, nil)}))
		}},
		{"key package stripped", ErrNoPackage, 0, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			f[0].Payload = w.without(f[0].Payload, recKeys)
			return w.after(f)
		}},
		{"key package stripped for one who has the key", ErrSignature, -1, func(w *world) (int, error) {
			s := w.sealer(nil)
			a := w.produce(s)
			s.keysSent = time.Time{}
			b := w.produce(s)
			b[0].Payload = w.without(b[0].Payload, recKeys)
			return w.after(a, b)
		}},
		{"end of session made up", ErrSignature, -1, func(w *world) (int, error) {
			f := w.produce(w.sealer(nil))
			f[6].Payload = append(appendRecord(nil, recEnd, nil), f[6].Payload...)
			return w.after(f)
		}},
	}
}

// posing is Anna as the camera: she knows GS, not the camera's key.
func (w *world) posing() *Identity {
	return &Identity{role: RoleProducer, signer: w.anna.signer, public: w.anna.public, fp: w.camera.fp}
}

// twoSessions are a session, which goes on in the hands of who knows its secret, and one after it. The first's Previous is where
// the second stands.
func (w *world) twoSessions() (first *Sealer, fragments [][]Block) {
	first = w.sealer(nil)
	fragments = w.produceAll(first, 1)
	second := w.sealer(&first.last)
	fragments = append(fragments, w.produceAll(second, 1)...)
	first.cfg.Previous = &second.last
	return first, fragments
}

// after opens fragments as Anna does, and returns what was released of the last one, with its error.
func (w *world) after(fragments ...[]Block) (released int, err error) {
	o := w.opener(w.anna.fp)
	last := len(fragments) - 1
	w.consumeAll(o, fragments[:last])
	n, _, err := consume(o, fragments[last])
	return n, err
}

// forge seals a fragment as somebody who is in no roster, for Anna's real key.
func (w *world) forge(by *Identity, edit func(*statement)) []Block {
	saved, roster := w.trust, w.roster
	w.change(func(r *Roster) { r.Members[1].Key = by.Public() })
	w.trust = w.newTrust(by.fp)
	w.certify(w.trust, w.anna, 1)
	s := w.sealer(nil)
	s.cfg.Identity = by
	if edit != nil {
		s.cfg.Identity = &Identity{role: RoleProducer, signer: by.signer, public: by.public, fp: by.fp}
		copy(s.cfg.Identity.fp[:8], w.camera.fp[:8])
		w.trust.roster.Members[1].Key = by.public
	}
	f := w.forged(s, by, edit)
	w.trust, w.roster = saved, roster
	return f
}

// forged seals one fragment with a statement that edit has changed before it was signed.
func (w *world) forged(s *Sealer, by *Identity, edit func(*statement)) []Block {
	s.cfg.Identity = by
	w.ok(s.Begin(w.now))
	if edit != nil {
		st := *s.gen.statement
		edit(&st)
		gs := bytes.Repeat([]byte{9}, 32)
		commit, chain := generationKeys(gs, st.stream, w.camera.fp, st.session, st.generation)
		st.commit = [32]byte(commit)
		w.ok(st.sign(by))
		g := &generation{statement: &st, begun: w.now, basis: s.gen.basis, ratchet: ratchet{chain: chain}}
		own, err := wrap(w.keys[w.anna.fp].Public(), w.anna.fp, "wrap", st.raw[:statementBody], gs)
		w.ok(err)
		g.keys = append(hint(w.anna.fp, &st), own...)
		_, err = g.enter(w.now)
		w.ok(err)
		s.gen = g
		w.ok(s.writePreamble())
	}
	b, err := s.Seal(w.sample(0, 0))
	w.ok(err)
	last, _, err := s.End()
	w.ok(err)
	return []Block{b, last}
}

// forgeMinute makes a fragment under the sealer's genuine statement with a secret for the present minute that is not the camera's, and
// without its signature: what anybody can make who has seen the statement.
func (w *world) forgeMinute(s *Sealer) []Block {
	s.gen.secret, s.gen.tracks, s.gen.counters = NewSeed(), map[uint8]*frameKey{}, map[uint8]uint64{}
	f := w.produce(s)
	sig := w.record(f[len(f)-1].Payload, recSig)
	clear(sig)
	return f
}

// grantOfMinute grants a secret for the first minute of a generation, as whoever knows the grantee's public key can.
func (w *world) grantOfMinute(to *Identity, statement [32]byte, secret []byte) []byte {
	stream := StreamIDOf(testStream)
	items := append(append([]byte{formatVersion}, statement[:]...), grantEpochs, 0, 0, 0, 0, 0, 1)
	return w.must(wrap(w.keys[to.fp].Public(), to.fp, "grant", stream[:], append(items, secret...)))
}

// oldTrust is the camera's view before the last change.
func (w *world) oldTrust() *Trust {
	o := newWorld(w.t)
	o.trust.self = w.camera.fp
	return o.trust
}

// record finds the body of a record in a block.
func (w *world) record(payload []byte, kind byte) []byte {
	records, _, err := parseRecords(payload)
	w.ok(err)
	for _, r := range records {
		if r.kind == kind {
			return r.body
		}
	}
	w.t.Fatalf("no record %d", kind)
	return nil
}

// without drops records of a kind from a block.
func (w *world) without(payload []byte, kind byte) (out []byte) {
	records, _, err := parseRecords(payload)
	w.ok(err)
	for _, r := range records {
		switch r.kind {
		case kind:
		case recFrame:
			out = append(append(out, recFrame), r.body...)
		default:
			out = appendRecord(out, r.kind, r.body)
		}
	}
	return out
}

func TestAttack(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			released, err := a.run(newWorld(t))
			if codeOf(err) != a.want {
				t.Fatalf("%d samples, %v; want %v", released, err, a.want)
			}
			if a.released >= 0 && released > a.released {
				t.Fatalf("%d samples released before %v", released, err)
			}
		})
	}
}

// TestGapIsReported: what the server leaves out is no error, but it is seen.
func TestGapIsReported(t *testing.T) {
	w := newWorld(t)
	f := w.produceAll(w.sealer(nil), 5)
	o := w.opener(w.anna.fp)
	w.consumeAll(o, f[:1])
	if n, r, err := consume(o, f[4]); err != nil || n != 6 || r.Missing != 3 {
		t.Fatalf("%d samples, %d missing, %v", n, r.Missing, err)
	}
}

// TestAnotherRosterHalts: that a camera has been shown another roster is no mishap of one fragment.
func TestAnotherRosterHalts(t *testing.T) {
	w := newWorld(t)
	base := w.roster
	w.ok(w.trust.Advance(w.change(func(r *Roster) { r.Issued = r.Issued.Add(time.Second) })))
	s := w.sealer(nil)
	f := w.produceAll(s, 2)
	w.roster = base
	w.change(func(*Roster) {})
	o := w.opener(w.anna.fp)
	_, _, err := consume(o, f[0])
	if codeOf(err) != ErrRosterFork || !codeOf(err).Tampered() {
		t.Fatal(err)
	}
	if _, err2 := o.Block(f[1][0]); err2 != err {
		t.Fatalf("goes on: %v", err2)
	}
}

func TestTamperingHaltsUntilResume(t *testing.T) {
	w := newWorld(t)
	f := w.produceAll(w.sealer(nil), 3)
	o := w.opener(w.anna.fp)
	w.consumeAll(o, f[:1])
	f[1][2].Payload[9] ^= 1
	_, _, err := consume(o, f[1])
	if !codeOf(err).Tampered() {
		t.Fatal(err)
	}
	if _, again := o.End(); again != err {
		t.Fatal(again)
	}
	if n, _, again := consume(o, f[2]); n != 0 || again != err {
		t.Fatalf("goes on: %d, %v", n, again)
	}
	o.Resume()
	if n, r, err := consume(o, f[2]); err != nil || n != 6 || len(r.Samples) != 6 || r.Missing != 1 {
		t.Fatalf("after resume: %d, %d missing, %v", n, r.Missing, err)
	}
}

// TestEveryChangedByteIsNoticed flips a bit of each byte of a fragment in turn.
func TestEveryChangedByteIsNoticed(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	w.ok(s.Begin(w.now))
	b, err := s.Seal(Sample{Track: 1, Key: true, Time: w.now, Data: []byte("x")})
	w.ok(err)
	last, _, err := s.End()
	w.ok(err)
	base := w.opener(w.anna.fp) // has the generation's secret, so that X-Wing is not run each time
	w.consumeAll2(base, []Block{b, last})
	for block, p := range [][]byte{b.Payload, last.Payload} {
		for i := range p {
			f := cloneBlocks([]Block{b, last})
			f[block].Payload[i] ^= 1
			base.Seek()
			base.Resume()
			base.holdBack = false
			if _, _, err := consume(base, f); err == nil {
				t.Fatalf("byte %d of block %d changed, unnoticed", i, block)
			}
		}
	}
}

func (w *world) consumeAll2(o *Opener, f []Block) {
	w.t.Helper()
	if _, _, err := consume(o, f); err != nil {
		w.t.Fatal(err)
	}
}

func TestErrorsCarryTheirPlace(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	f := w.produceAll(s, 3)
	o := w.opener(w.anna.fp)
	w.consumeAll(o, f[:2])
	f[2][3].Payload[20] ^= 1
	_, _, err := consume(o, f[2])
	e, ok := err.(*Error)
	if !ok || e.Stream != testStream || e.Producer != w.camera.fp || e.Session != s.session || e.Sequence != 2 || e.Code != ErrFrame {
		t.Fatalf("%#v", err)
	}
}
