// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"testing"
	"time"
)

// pair is one pairing of a new device with the owner.
type pair struct {
	*world
	device *Identity
	j      *Joiner
	a      *Admitter
	saved  []byte
}

func newPair(t testing.TB, role Role) *pair {
	p := &pair{world: newWorld(t), device: mustIdentity(t, role, "new device")}
	p.keys[p.device.fp] = mustKEM(t, "new device")
	cfg := JoinerConfig{
		Identity: p.device, Name: "Ben's phone", Endpoint: "nvr.lan:8443", Now: p.clock,
		Save: func(b []byte) error { p.saved = bytes.Clone(b); return nil },
	}
	if role == RoleConsumer {
		cfg.Certificate = p.must(NewCertificate(p.device, p.keys[p.device.fp], 1, p.now, time.Hour))
	}
	var err error
	p.j, err = NewJoiner(cfg)
	p.ok(err)
	ownerTrust, err := FoundTrust(p.roster, p.owner, discard)
	p.ok(err)
	p.a, err = NewAdmitter(p.owner, ownerTrust, p.clock)
	p.ok(err)
	return p
}

func (p *pair) admit() {
	p.t.Helper()
	m, err := p.a.Candidate()
	p.ok(err)
	_, welcome, err := p.a.Admit(m, p.now.Add(24*time.Hour))
	p.ok(err)
	_, err = p.j.Handle(welcome)
	p.ok(err)
	tr, ok := p.j.Done()
	if !ok || tr.Pin() != p.a.trust.Pin() || p.saved == nil {
		p.t.Fatal("paired, but not of one mind")
	}
}

func TestPairingByCode(t *testing.T) {
	for _, role := range []Role{RoleProducer, RoleConsumer} {
		p := newPair(t, role)
		code := p.j.Code()
		offer, err := p.a.Scan(code.Groups())
		p.ok(err)
		request, err := p.j.Handle(offer)
		p.ok(err)
		if by, r, ok := p.j.Owner(); !ok || by != p.owner.fp || r.Version != 1 {
			t.Fatal("owner not shown")
		}
		_, err = p.a.Handle(request)
		p.ok(err)
		p.admit()
	}
}

func TestPairingByDigits(t *testing.T) {
	p := newPair(t, RoleConsumer)
	offer, err := p.a.Handle(p.j.Commit())
	p.ok(err)
	request, err := p.j.Handle(offer)
	p.ok(err)
	_, err = p.a.Handle(request)
	p.ok(err)
	if _, err := p.a.Candidate(); codeOf(err) != ErrMisuse {
		t.Fatalf("candidate before the digits: %v", err)
	}
	digits, ok := p.j.Digits()
	if !ok || len(digits) != 8 {
		t.Fatalf("digits %q", digits)
	}
	p.ok(p.a.Digits(" " + digits[:3] + "-" + digits[4:]))
	m, err := p.a.Candidate()
	p.ok(err)
	_, welcome, err := p.a.Admit(m, p.now.Add(time.Hour))
	p.ok(err)
	if _, err := p.j.Handle(welcome); codeOf(err) != ErrMisuse || p.saved != nil {
		t.Fatalf("pinned before the person confirmed: %v", err)
	}
	p.ok(p.j.Confirm())
	_, err = p.j.Handle(welcome)
	p.ok(err)
}

func TestWrongDigitsEndThePairing(t *testing.T) {
	p := newPair(t, RoleConsumer)
	offer, err := p.a.Handle(p.j.Commit())
	p.ok(err)
	request, err := p.j.Handle(offer)
	p.ok(err)
	_, err = p.a.Handle(request)
	p.ok(err)
	right, _ := p.j.Digits()
	if err := p.a.Digits("000 0000"); codeOf(err) != ErrDigits {
		t.Fatal(err)
	}
	if err := p.a.Digits(right); codeOf(err) != ErrDigits {
		t.Fatalf("second try: %v", err)
	}
	if _, err := p.a.Candidate(); codeOf(err) != ErrDigits {
		t.Fatalf("candidate after wrong digits: %v", err)
	}
}

// TestServerBetweenByDigits: the server plays owner to the device and device to the owner. The digits differ.
func TestServerBetweenByDigits(t *testing.T) {
	p, server := newPair(t, RoleConsumer), newPair(t, RoleConsumer)
	mallory := mustIdentity(t, RoleConsumer, "server")
	var err error
	server.j, err = NewJoiner(JoinerConfig{
		Identity: mallory, Name: "Ben's phone", Save: discard,
		Certificate: p.must(NewCertificate(mallory, mustKEM(t, "server"), 1, p.now, time.Hour)),
	})
	p.ok(err)
	offerToDevice, err := server.a.Handle(p.j.Commit()) // as owner, to the device
	p.ok(err)
	_, err = p.j.Handle(offerToDevice)
	p.ok(err)
	offerToServer, err := p.a.Handle(server.j.Commit()) // as device, to the owner
	p.ok(err)
	request, err := server.j.Handle(offerToServer)
	p.ok(err)
	_, err = p.a.Handle(request)
	p.ok(err)
	shown, _ := p.j.Digits()
	if err := p.a.Digits(shown); codeOf(err) != ErrDigits {
		t.Fatal("the digits match through a server in between")
	}
}

// TestNameThatATerminalWouldActUponIsRefused: the owner is shown the name that a device asks to have, before it is trusted.
func TestNameThatATerminalWouldActUponIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		want Code
	}{{"Ben's phone", 0}, {"Küche – oben", 0}, {"Ben\x1b[2J", ErrPairing}, {"Ben\nCodes match.", ErrPairing}, {"Ben\u009b2J", ErrPairing}} {
		p := newPair(t, RoleProducer)
		p.j.request.name = c.name // of a device that does not look at it itself
		offer, err := p.a.Handle(p.j.Commit())
		p.ok(err)
		request, err := p.j.Handle(offer)
		p.ok(err)
		if _, err := p.a.Handle(request); codeOf(err) != c.want {
			t.Errorf("%q: %v", c.name, err)
		}
	}
}

// TestCommitmentBindsTheDevice: who sees the offer before choosing its keys could search for digits that match.
func TestCommitmentBindsTheDevice(t *testing.T) {
	p := newPair(t, RoleProducer)
	offer, err := p.a.Handle(p.j.Commit())
	p.ok(err)
	p.j.request.nonce[0] ^= 1
	request, err := p.j.Handle(offer)
	p.ok(err)
	if _, err := p.a.Handle(request); codeOf(err) != ErrPairing {
		t.Fatal(err)
	}
	if _, err := p.a.Handle(request); codeOf(err) != ErrPairing || p.a.request != nil {
		t.Fatal("goes on after a broken commitment")
	}
}

// TestServerBetweenByCode: without the secret of the code neither message can be made.
func TestServerBetweenByCode(t *testing.T) {
	p, server := newPair(t, RoleConsumer), newPair(t, RoleConsumer)
	code := p.j.Code()
	guess := code
	guess.Secret = [16]byte{}
	forged, err := server.a.Scan(guess.Text())
	p.ok(err)
	if _, err := p.j.Handle(forged); codeOf(err) != ErrPairing {
		t.Fatalf("forged offer: %v", err)
	}
	offer, err := p.a.Scan(code.Text())
	p.ok(err)
	mallory := mustIdentity(t, RoleConsumer, "server")
	mj, err := NewJoiner(JoinerConfig{
		Identity: mallory, Name: "x", Save: discard, Now: p.clock,
		Certificate: p.must(NewCertificate(mallory, mustKEM(t, "server"), 1, p.now, time.Hour)),
	})
	p.ok(err)
	mj.code, mj.start, mj.started = &guess, code.start(), true
	o, _ := parseOffer(offer)
	sr, err := parseSignedRoster(o.roster)
	p.ok(err)
	request, err := mj.answer(o, sr)
	p.ok(err)
	if _, err := p.a.Handle(request); codeOf(err) != ErrPairing {
		t.Fatalf("forged request: %v", err)
	}
	request, err = p.j.Handle(offer) // the real one still works
	p.ok(err)
	for i := range request {
		bad := bytes.Clone(request)
		bad[i] ^= 1
		if _, err := p.a.Handle(bad); err == nil {
			t.Fatalf("byte %d of the request changed, yet accepted", i)
		}
	}
	_, err = p.a.Handle(request)
	p.ok(err)
	p.admit()
}

// TestRequestMACIsNeeded: another device with the fingerprint's key alone, but not the secret, is refused.
func TestRequestNeedsTheSecret(t *testing.T) {
	p := newPair(t, RoleProducer)
	offer, err := p.a.Scan(p.j.Code().Text())
	p.ok(err)
	p.j.code.Secret[0] ^= 1
	o, _ := parseOffer(offer)
	sr, err := parseSignedRoster(o.roster)
	p.ok(err)
	request, err := p.j.answer(o, sr)
	p.ok(err)
	if _, err := p.a.Handle(request); codeOf(err) != ErrPairing {
		t.Fatal(err)
	}
}

func TestCodeIsGoodOnceAndTenMinutes(t *testing.T) {
	p := newPair(t, RoleProducer)
	code := p.j.Code()
	offer, err := p.a.Scan(code.Text())
	p.ok(err)
	if _, err := p.a.Scan(code.Text()); codeOf(err) != ErrUsed {
		t.Errorf("scanned twice: %v", err)
	}
	_, err = p.j.Handle(offer)
	p.ok(err)
	again, err := NewAdmitter(p.owner, p.a.trust, p.clock)
	p.ok(err)
	second, err := again.Scan(code.Text())
	p.ok(err)
	if _, err := p.j.Handle(second); codeOf(err) != ErrUsed {
		t.Errorf("second offer: %v", err)
	}
	late := newPair(t, RoleProducer)
	code = late.j.Code()
	early, err := late.a.Scan(code.Text())
	late.ok(err)
	late.now = late.now.Add(PairingLife + time.Second)
	if _, err := late.j.Handle(early); codeOf(err) != ErrExpired {
		t.Errorf("late offer: %v", err)
	}
	la, err := NewAdmitter(late.owner, late.a.trust, late.clock)
	late.ok(err)
	if _, err := la.Scan(code.Text()); codeOf(err) != ErrExpired {
		t.Errorf("late scan: %v", err)
	}
}

func TestWelcomeMustFollowWhatWasPinned(t *testing.T) {
	p := newPair(t, RoleProducer)
	offer, err := p.a.Scan(p.j.Code().Text())
	p.ok(err)
	_, err = p.j.Handle(offer)
	p.ok(err)
	other := p.change(func(r *Roster) { r.Previous[0] ^= 1; r.Admit(Member{Role: RoleProducer, Key: p.device.Public()}) })
	if _, err := p.j.Handle(Welcome(other)); codeOf(err) != ErrRosterFork {
		t.Errorf("other chain: %v", err)
	}
	p.roster = p.a.trust.Signed()
	without := p.change(func(*Roster) {})
	if _, err := p.j.Handle(Welcome(without)); codeOf(err) != ErrNotAdmitted {
		t.Errorf("welcome without the device: %v", err)
	}
	if _, ok := p.j.Done(); ok || p.saved != nil {
		t.Error("something was pinned")
	}
}

func TestPairingCodeSurvivesTyping(t *testing.T) {
	p := newPair(t, RoleProducer)
	c := p.j.Code()
	if got, err := ParseCode(c.Groups()); err != nil || got != c {
		t.Fatalf("%+v %v", got, err)
	}
	text := []byte(c.Text())
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] = 'Z' - bad[i]%2
		if _, err := ParseCode(string(bad)); err == nil && string(bad) != string(text) {
			t.Fatalf("letter %d changed, yet accepted", i)
		}
	}
}
