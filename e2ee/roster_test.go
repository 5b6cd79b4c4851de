// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestTrustOnlyGoesForward(t *testing.T) {
	w := newWorld(t)
	v1 := w.roster
	v2 := w.change(func(r *Roster) { r.Admit(Member{Role: RoleConsumer, Name: "Ben", Key: w.ben.Public()}) })
	v3 := w.change(func(r *Roster) { r.Remove(w.ben.fp, w.now) })
	if err := w.trust.Advance(v3); codeOf(err) != ErrRosterGap {
		t.Fatalf("skipping one: %v", err)
	}
	w.ok(w.trust.Advance(v2))
	w.ok(w.trust.Advance(v2))
	w.ok(w.trust.Advance(v3))
	if err := w.trust.Advance(v1); codeOf(err) != ErrRosterOld {
		t.Fatalf("rollback: %v", err)
	}
	if r, _ := w.trust.Roster(); r.Version != 3 {
		t.Fatalf("version %d", r.Version)
	}
}

func TestTrustRefusesForgedRosters(t *testing.T) {
	w := newWorld(t)
	stranger := mustIdentity(t, RoleOwner, "stranger")
	base, h, err := ReadRoster(w.roster)
	w.ok(err)
	next := base.Next(h, w.now, w.now.Add(time.Hour))
	for _, c := range []struct {
		name string
		want Code
		edit func(*Roster)
		by   []*Identity
	}{
		{"unsigned", ErrRosterSign, func(*Roster) {}, nil},
		{"signed by a stranger", ErrRosterSign, func(*Roster) {}, []*Identity{stranger}},
		{"stranger makes itself owner", ErrRosterSign, func(r *Roster) { r.Members[0].Key = stranger.Public() }, []*Identity{stranger}},
		{"new owner has not signed", ErrRosterSign, func(r *Roster) { r.Members[0].Key = stranger.Public() }, []*Identity{w.owner}},
		{"two must sign, one signs twice", ErrRosterSign, func(r *Roster) {
			r.Threshold = 2
			r.Admit(Member{Role: RoleOwner, Name: "second", Key: stranger.Public()})
		}, []*Identity{w.owner, w.owner}},
		{"other predecessor", ErrRosterFork, func(r *Roster) { r.Previous[0] ^= 1 }, []*Identity{w.owner}},
	} {
		r := next
		r.Members = append([]Member(nil), next.Members...)
		c.edit(&r)
		if err := w.trust.Advance(w.must(SignRoster(r, c.by...))); codeOf(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	good := w.must(SignRoster(next, w.owner))
	w.ok(w.trust.Advance(good))
	other := next
	other.Issued = other.Issued.Add(time.Second)
	if err := w.trust.Advance(w.must(SignRoster(other, w.owner))); codeOf(err) != ErrRosterFork {
		t.Errorf("second roster 2: %v", err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if err := w.newTrustFrom(w.roster).Advance(bad); err == nil {
			t.Fatalf("byte %d changed, yet accepted", i)
		}
	}
}

func (w *world) newTrustFrom(signed []byte) *Trust {
	r, h, err := ReadRoster(signed)
	w.ok(err)
	t, err := NewTrust(Pin{r.Version, h}, signed, w.camera.fp, discard)
	w.ok(err)
	return t
}

func TestOwnersRotateByBothSignatures(t *testing.T) {
	w := newWorld(t)
	heir := mustIdentity(t, RoleOwner, "heir")
	r, h, err := ReadRoster(w.roster)
	w.ok(err)
	next := r.Next(h, w.now, w.now.Add(time.Hour))
	next.Members[0] = Member{Role: RoleOwner, Name: "Heir", Key: heir.Public()}
	half := w.must(SignRoster(next, w.owner))
	w.ok(w.trust.Advance(w.must(CosignRoster(half, heir))))
	w.roster = w.trust.Signed()
	r, h, err = ReadRoster(w.roster)
	w.ok(err)
	third := r.Next(h, w.now, w.now.Add(time.Hour))
	if err := w.trust.Advance(w.must(SignRoster(third, w.owner))); codeOf(err) != ErrRosterSign {
		t.Fatalf("the old owner still signs: %v", err)
	}
	w.ok(w.trust.Advance(w.must(SignRoster(third, heir))))
}

func TestRosterIsSavedBeforeItCounts(t *testing.T) {
	w := newWorld(t)
	full := errors.New("disk full")
	var saved []byte
	fail := false
	r, h, err := ReadRoster(w.roster)
	w.ok(err)
	tr, err := NewTrust(Pin{r.Version, h}, w.roster, w.camera.fp, func(b []byte) error {
		if fail {
			return full
		}
		saved = bytes.Clone(b)
		return nil
	})
	w.ok(err)
	w.certify(tr, w.anna, 1)
	fail = true
	if err := tr.Advance(w.change(func(*Roster) {})); !errors.Is(err, full) {
		t.Fatal(err)
	}
	if tr.Pin().Version != 1 {
		t.Fatal("a roster counts that was not saved")
	}
	again, err := LoadTrust(saved, w.camera.fp, discard)
	w.ok(err)
	if again.Pin() != tr.Pin() || len(again.recipients(StreamIDOf(testStream), w.now)) != 2 {
		t.Fatal("restored trust differs")
	}
	w.ok(again.Advance(w.roster))
}

func TestRosterKeepsItsOwnRules(t *testing.T) {
	w := newWorld(t)
	base, _, err := ReadRoster(w.roster)
	w.ok(err)
	for name, edit := range map[string]func(*Roster){
		"version 0":               func(r *Roster) { r.Version = 0 },
		"first with predecessor":  func(r *Roster) { r.Previous[0] = 1 },
		"nobody must sign":        func(r *Roster) { r.Threshold = 0 },
		"more sign than are":      func(r *Roster) { r.Threshold = 2 },
		"no recovery, no waiver":  func(r *Roster) { r.Members = r.Members[:3] },
		"one key in two roles":    func(r *Roster) { r.Members[1].Key = r.Members[0].Key },
		"unknown role":            func(r *Roster) { r.Members[1].Role = 9 },
		"expires before issued":   func(r *Roster) { r.Expires = r.Issued },
		"generation of a second":  func(r *Roster) { r.GenerationLife = time.Second },
		"generation of two weeks": func(r *Roster) { r.GenerationLife = 14 * 24 * time.Hour },
		"name that is no text":    func(r *Roster) { r.Members[0].Name = "\xff" },
		"name for a terminal":     func(r *Roster) { r.Members[0].Name = "Ben\x1b[2J" },
	} {
		r := *base
		r.Members = append([]Member(nil), base.Members...)
		edit(&r)
		if _, err := SignRoster(r, w.owner); codeOf(err) != ErrFormat {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := *base
	r.Members, r.NoRecovery = base.Members[:3], true
	if _, err := SignRoster(r, w.owner); err != nil {
		t.Errorf("waiver: %v", err)
	}
}

func (w *world) fps(now time.Time) (fps []string) {
	for _, r := range w.trust.recipients(StreamIDOf(testStream), now) {
		fps = append(fps, r.fp.Short())
	}
	return fps
}

func TestWhoIsARecipient(t *testing.T) {
	w := newWorld(t)
	day := 24 * time.Hour
	if n := len(w.fps(w.now)); n != 2 {
		t.Fatalf("%d recipients", n)
	}
	if n := len(w.fps(w.now.Add(31 * day))); n != 1 {
		t.Fatalf("%d recipients after the certificate's end", n)
	}
	w.ok(w.trust.Advance(w.change(func(r *Roster) { r.Admit(Member{Role: RoleConsumer, Name: "Ben", Key: w.ben.Public()}) })))
	if n := len(w.fps(w.now)); n != 2 {
		t.Fatalf("%d recipients before Ben has a certificate", n)
	}
	w.certify(w.trust, w.ben, 1)
	if n := len(w.fps(w.now)); n != 3 {
		t.Fatalf("%d recipients with Ben", n)
	}
	w.ok(w.trust.Advance(w.change(func(r *Roster) {
		r.member(w.ben.fp).Streams = []StreamID{StreamIDOf("garage")}
		r.member(w.anna.fp).NotAfter = w.now.Add(day)
	})))
	if n := len(w.fps(w.now)); n != 2 {
		t.Fatalf("%d recipients with Ben in the garage", n)
	}
	if n := len(w.fps(w.now.Add(2 * day))); n != 1 {
		t.Fatalf("%d recipients after Anna's visit", n)
	}
	w.ok(w.trust.Advance(w.change(func(r *Roster) {
		r.member(w.anna.fp).NotAfter = time.Time{}
		r.RecoveryOnlyAfterExpiry, r.Expires = true, w.now.Add(time.Hour)
	})))
	if n := len(w.fps(w.now.Add(2 * time.Hour))); n != 1 {
		t.Fatalf("%d recipients of an expired roster", n)
	}
	w.ok(w.trust.Advance(w.change(func(r *Roster) { r.RecoveryOnlyAfterExpiry, r.Expires = false, w.now.Add(time.Hour) })))
	if n := len(w.fps(w.now.Add(2 * time.Hour))); n != 2 {
		t.Fatalf("%d recipients of an expired roster that goes on", n)
	}
}

func TestCertificatesOfOthersAreRefused(t *testing.T) {
	w := newWorld(t)
	fresh := func() *Trust { return w.newTrust(w.camera.fp) }
	good := w.must(NewCertificate(w.anna, w.keys[w.anna.fp], 2, w.now, time.Hour))
	stranger := mustIdentity(t, RoleConsumer, "stranger")
	foreign := w.must(NewCertificate(stranger, mustKEM(t, "s"), 1, w.now, time.Hour))
	if err := fresh().AddCertificate(foreign); codeOf(err) != ErrCertificate {
		t.Errorf("stranger: %v", err)
	}
	copied := bytes.Clone(foreign)
	copy(copied[1:33], w.anna.fp[:])
	if err := fresh().AddCertificate(copied); codeOf(err) != ErrCertificate {
		t.Errorf("stranger in Anna's name: %v", err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if fresh().AddCertificate(bad) == nil {
			t.Fatalf("byte %d changed, yet accepted", i)
		}
	}
	if _, err := NewCertificate(w.anna, w.keys[w.anna.fp], 1, w.now, 32*24*time.Hour); codeOf(err) != ErrMisuse {
		t.Errorf("too long: %v", err)
	}
	long := bytes.Clone(good[:certificateBody])
	copy(long[1+32+4+8:], appendU64(nil, uint64(millis(w.now.Add(365*24*time.Hour)))))
	sig, err := w.anna.sign("certificate", long)
	w.ok(err)
	if err := fresh().AddCertificate(append(long, sig...)); codeOf(err) != ErrCertificate {
		t.Errorf("a year: %v", err)
	}
	tr := fresh()
	w.ok(tr.AddCertificate(good))
	w.ok(tr.AddCertificate(w.must(NewCertificate(w.anna, mustKEM(t, "older"), 1, w.now, time.Hour))))
	if g, err := tr.Grantee(w.anna.fp, w.now); err != nil || !bytes.Equal(g.Key, w.keys[w.anna.fp].Public()) {
		t.Error("an older certificate replaced a newer")
	}
}

func TestAddingAndRemovingTakesEffectWithTheNextFragment(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	w.produce(s)
	w.ok(s.Begin(w.now))
	next := w.change(func(r *Roster) {
		r.Admit(Member{Role: RoleConsumer, Name: "Ben", Key: w.ben.Public()})
		r.Remove(w.anna.fp, w.now)
	})
	w.ok(w.trust.Advance(next)) // in the middle of a fragment
	w.certify(w.trust, w.ben, 1)
	if g := s.gen.generation; g != 0 {
		t.Fatalf("generation %d in an open fragment", g)
	}
	_, _, err := s.End()
	w.ok(err)
	f := w.produce(s)
	ben := w.opener(w.ben.fp)
	if n, r, err := consume(ben, f); err != nil || n != 6 || r.RosterVersion != 2 {
		t.Fatalf("Ben: %d samples, %+v, %v", n, r, err)
	}
	cfg := w.openerConfig(w.anna.fp)
	anna, err := NewOpener(cfg)
	w.ok(err)
	if n, _, err := consume(anna, f); n != 0 || err == nil {
		t.Fatalf("Anna: %d samples, %v", n, err)
	}
	w.ok(w.trust.Advance(w.change(func(r *Roster) { r.Remove(w.camera.fp, w.now.Add(-time.Second)) })))
	if err := s.Begin(w.now); codeOf(err) != ErrProducer {
		t.Fatalf("removed camera seals: %v", err)
	}
}

func TestNobodyToSealFor(t *testing.T) {
	w := newWorld(t)
	w.ok(w.trust.Advance(w.change(func(r *Roster) { r.Remove(w.kit.Fingerprint(), w.now); r.NoRecovery = true; r.Remove(w.anna.fp, w.now) })))
	if err := w.sealer(nil).Begin(w.now); codeOf(err) != ErrNoRecipients {
		t.Fatal(err)
	}
}

func TestNewRecipientNeedsAGrantForWhatWasBefore(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	before := w.produceAll(s, 65) // over two minutes
	ben := w.newTrust(w.ben.fp)
	next := w.change(func(r *Roster) { r.Admit(Member{Role: RoleConsumer, Name: "Ben", Key: w.ben.Public()}) })
	w.ok(ben.Advance(next))
	w.certify(ben, w.ben, 1)
	cfg := w.openerConfig(w.ben.fp)
	cfg.Trust = ben
	open := func() *Opener {
		o, err := NewOpener(cfg)
		w.ok(err)
		return o
	}
	if _, _, err := consume(open(), before[0]); codeOf(err) != ErrHistory {
		t.Fatalf("history: %v", err)
	}
	anna := w.opener(w.anna.fp)
	w.consumeAll(anna, before)
	to, err := ben.Grantee(w.ben.fp, w.now)
	w.ok(err)
	start := w.now.Add(-130 * time.Second)

	whole := w.must(anna.GrantHistory(to, start, w.now))
	o := open()
	w.ok(o.AddGrant(whole))
	w.consumeAll(o, before)

	clip := w.must(anna.GrantClip(to, start.Add(60*time.Second), start.Add(120*time.Second)))
	o = open()
	w.ok(o.AddGrant(clip))
	if n, _, err := consume(o, before[35]); err != nil || n != 6 {
		t.Fatalf("in the clip: %d samples, %v", n, err)
	}
	for _, outside := range []int{29, 60} {
		if n, _, err := consume(open2(o), before[outside]); n != 0 || codeOf(err) != ErrHistory {
			t.Fatalf("fragment %d outside the clip: %d samples, %v", outside, n, err)
		}
	}
	guest := mustKEM(t, "link")
	cfg.Self, cfg.Keys = guest.Fingerprint(), []*KEMKey{guest}
	if err := open().AddGrant(whole); codeOf(err) != ErrNoWrap {
		t.Fatalf("Ben's grant for a guest: %v", err)
	}
	o = open()
	w.ok(o.AddGrant(w.must(anna.GrantClip(Guest(guest), start, start.Add(time.Second)))))
	w.consumeAll(o, before[:1])
}

// open2 clears an opener's position, so that any fragment may follow.
func open2(o *Opener) *Opener { o.Seek(); return o }

func TestWrongGrantIsNobodysTampering(t *testing.T) {
	w := newWorld(t)
	f := w.produce(w.sealer(nil))
	st, _, err := parseHDR(w.record(f[0].Payload, recHDR))
	w.ok(err)
	for name, item := range map[string][]byte{
		"secret": append(append(bytes.Clone(st.hash[:]), grantSecret), bytes.Repeat([]byte{1}, 32)...),
		"epoch":  append(append(bytes.Clone(st.hash[:]), grantEpochs, 0, 0, 0, 0, 0, 1), bytes.Repeat([]byte{1}, 32)...),
	} {
		o := w.opener(w.ben.fp)
		g := w.must(wrap(w.keys[w.ben.fp].Public(), w.ben.fp, "grant", o.stream[:], append([]byte{1}, item...)))
		w.ok(o.AddGrant(g))
		if n, _, err := consume(o, f); n != 0 || err == nil || codeOf(err).Tampered() {
			t.Errorf("%s: %d samples, %v", name, n, err)
		}
	}
}

// TestGrantsAddUp: two hours of one day are two grants for one generation, and whoever adds a wrong one takes nothing away.
func TestGrantsAddUp(t *testing.T) {
	w := newWorld(t)
	all := w.produceAll(w.sealer(nil), 95) // over three minutes
	start := w.now.Add(-190 * time.Second)
	anna := w.opener(w.anna.fp)
	w.consumeAll(anna, all)
	guest := mustKEM(t, "link")
	cfg := w.openerConfig(w.anna.fp)
	cfg.Self, cfg.Keys = guest.Fingerprint(), []*KEMKey{guest}
	clip := func(minute int) []byte {
		from := start.Add(time.Duration(minute) * time.Minute)
		return w.must(anna.GrantClip(Guest(guest), from, from.Add(time.Second)))
	}
	whole := w.must(anna.GrantHistory(Guest(guest), start, w.now))
	st, _, err := parseHDR(w.record(all[0][0].Payload, recHDR))
	w.ok(err)
	wrong := func(self *KEMKey, fp Fingerprint, kind ...byte) []byte {
		item := append(append(bytes.Clone(st.hash[:]), kind...), bytes.Repeat([]byte{1}, 32)...)
		stream := StreamIDOf(cfg.Stream)
		return w.must(wrap(self.Public(), fp, "grant", stream[:], append([]byte{1}, item...)))
	}
	badEpoch := wrong(guest, guest.Fingerprint(), grantEpochs, 0, 0, 0, 0, 0, 1)
	badSecret := wrong(guest, guest.Fingerprint(), grantSecret)
	for name, grants := range map[string][][]byte{
		"two clips":           {clip(0), clip(2)},
		"wrong ones before":   {badEpoch, badSecret, clip(0), clip(2)},
		"wrong ones after":    {clip(0), clip(2), badEpoch, badSecret},
		"history, wrong ones": {badSecret, whole, badSecret},
	} {
		o, err := NewOpener(cfg)
		w.ok(err)
		for _, g := range grants {
			w.ok(o.AddGrant(g))
		}
		for _, i := range []int{0, 65} {
			if n, _, err := consume(open2(o), all[i]); err != nil || n != 6 {
				t.Errorf("%s: fragment %d: %d samples, %v", name, i, n, err)
			}
		}
	}
	o := w.opener(w.anna.fp) // who is a recipient is not kept from the key package
	w.ok(o.AddGrant(wrong(w.keys[w.anna.fp], w.anna.fp, grantEpochs, 0, 0, 0, 0, 0, 1)))
	w.consumeAll(o, all)
}

// recipients is the last part of snapshot.
func (t *Trust) recipients(stream StreamID, now time.Time) []recipient {
	_, _, to := t.snapshot(stream, now)
	return to
}
