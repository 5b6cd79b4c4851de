// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

const server = "nvr.lan:8443"

func (h *home) joining(d *Device, box Mailbox) *Joining {
	h.t.Helper()
	j, err := d.StartJoin(box, server)
	h.ok(err)
	return j
}

func (h *home) admitting(box Mailbox) *Admitting {
	h.t.Helper()
	a, err := h.owner.StartAdmit(h.ctx, box)
	h.ok(err)
	return a
}

// both runs the new device's side beside the owner's.
func (h *home) both(device, owner func() error) (deviceErr, ownerErr error) {
	done := make(chan error, 1)
	go func() { done <- device() }()
	ownerErr = owner()
	return <-done, ownerErr
}

func TestPairByCode(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	for _, k := range []Kind{{Producer: true}, {Consumer: true}} {
		d := h.create("new", k)
		j := h.joining(d, h.box)
		code, err := j.Code()
		h.ok(err)
		var offered *Offered
		a := h.admitting(h.box)
		jErr, aErr := h.both(func() (err error) {
			if offered, err = j.AwaitOffer(h.ctx); err != nil {
				return err
			}
			return j.AwaitWelcome(h.ctx)
		}, func() error {
			if err := a.Scan(h.ctx, strings.ToLower(code.Groups()), server); err != nil {
				return err
			}
			m, err := a.Candidate()
			h.ok(err)
			m.Name = "Named by the owner " + m.Role.String()
			return a.Sign(h.ctx, m)
		})
		if jErr != nil || aErr != nil {
			t.Fatalf("device: %v; owner: %v", jErr, aErr)
		}
		if offered.By.Name != "ana-laptop" || !a.ByCode() {
			t.Errorf("offered by %q", offered.By.Name)
		}
		m, ok := h.open(d).Admitted()
		if !ok || !strings.HasPrefix(m.Name, "Named by the owner") {
			t.Fatalf("admitted %t as %q", ok, m.Name)
		}
		if v, ok := h.open(h.owner).HowVerified(d.Fingerprint()); !ok || v.How != "code" {
			t.Errorf("not noted: %+v", v)
		}
	}
}

// digits runs a pairing by digits up to where the owner types; typed makes of what is shown what is typed.
func (h *home) digits(box Mailbox, typed func(shown string) string) (d *Device, deviceErr, ownerErr error) {
	d = h.create("Ben's phone", Kind{Consumer: true})
	j, a := h.joining(d, box), h.admitting(box)
	_, err := j.Ask(h.ctx)
	h.ok(err)
	shown := make(chan string, 1)
	match := make(chan bool, 1)
	deviceErr, ownerErr = h.both(func() error {
		if _, err := j.AwaitOffer(h.ctx); err != nil {
			close(shown)
			return err
		}
		shown <- j.Digits()
		if !<-match {
			return j.AwaitWelcome(h.ctx)
		}
		if err := j.Confirm(); err != nil {
			return err
		}
		return j.AwaitWelcome(h.ctx)
	}, func() error {
		waiting, err := a.Pending(h.ctx)
		h.ok(err)
		if len(waiting) != 1 {
			h.t.Fatalf("%d waiting", len(waiting))
		}
		if err := a.Answer(h.ctx, waiting[0]); err != nil {
			match <- false
			return err
		}
		if err := a.Digits(h.ctx, typed(<-shown)); err != nil {
			match <- false
			return err
		}
		match <- true
		m, err := a.Candidate()
		h.ok(err)
		return a.Sign(h.ctx, m)
	})
	return d, deviceErr, ownerErr
}

func TestPairByDigits(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	d, dErr, oErr := h.digits(h.box, func(s string) string { return strings.ReplaceAll(s, " ", "") })
	if dErr != nil || oErr != nil {
		t.Fatalf("device: %v; owner: %v", dErr, oErr)
	}
	camera := h.camera()
	h.ok(camera.Sync(h.ctx, h.box))
	h.ok(d.Sync(h.ctx, h.box))
	h.wantRead(h.opener(d, "x"), h.seal(h.sealer(camera, "x"), "hello Ben"), "hello Ben")
	if waiting, err := h.admitting(h.box).Pending(h.ctx); err != nil || len(waiting) != 0 {
		t.Errorf("still waiting: %v, %v", waiting, err)
	}
}

func TestWrongDigitsAddNobodyAndBothSidesAreTold(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	v := h.owner.Trust().Pin().Version
	d, dErr, oErr := h.digits(h.box, func(string) string { return "0000000" })
	const want = "The digits do not match. Somebody may be between the two devices, or a digit was misread. Nothing was added."
	for side, err := range map[string]error{"device": dErr, "owner": oErr} {
		var f *Failure
		if !errors.As(err, &f) || f.Reason != DigitsDiffer || err.Error() != want {
			t.Errorf("%s: %v", side, err)
		}
	}
	if d.Trust() != nil || h.owner.Trust().Pin().Version != v {
		t.Error("something was added")
	}
}

// TestServerThatForgesTheReply: the server answers the device in the owner's place, and the owner in the device's.
func TestServerThatForgesTheReply(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	evil := newHome(t) // the server's own household, to lure the device into
	middle := &Memory{}
	d := h.create("Ben's phone", Kind{Consumer: true})
	j := h.joining(d, middle)
	_, err := j.Ask(h.ctx)
	h.ok(err)
	go func() { // towards the device: as its owner
		a, err := evil.owner.StartAdmit(h.ctx, evil.box)
		if err == nil {
			a.box = middle
			waiting, _ := a.Pending(h.ctx)
			_ = a.Answer(h.ctx, waiting[0])
		}
	}()
	_, err = j.AwaitOffer(h.ctx)
	h.ok(err)
	shown := j.Digits()
	double := evil.create("Ben's phone", Kind{Consumer: true}) // towards the owner: as the device
	ej := evil.joining(double, h.box)
	_, err = ej.Ask(h.ctx)
	h.ok(err)
	go ej.AwaitOffer(h.ctx)
	a := h.admitting(h.box)
	waiting, err := a.Pending(h.ctx)
	h.ok(err)
	h.ok(a.Answer(h.ctx, waiting[0]))
	var f *Failure
	if err := a.Digits(h.ctx, shown); !errors.As(err, &f) || f.Reason != DigitsDiffer {
		t.Fatalf("the digits match through a server in between: %v", err)
	}
	if err := a.Sign(h.ctx, e2ee.Member{}); err == nil {
		t.Fatal("signed all the same")
	}
}

func TestCodeIsUsedOnce(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	j := h.joining(h.create("Front door", Kind{Producer: true}), h.box)
	code, err := j.Code()
	h.ok(err)
	first, second := h.admitting(h.box), h.admitting(h.box)
	go j.AwaitOffer(h.ctx)
	h.ok(first.Scan(h.ctx, code.Text(), server))
	err = second.Scan(h.ctx, code.Text(), server)
	var f *Failure
	if !errors.As(err, &f) || f.Reason != CodeUsed {
		t.Fatal(err)
	}
	if want := "This code was already used by ana-laptop at " + time.Now().Format("15:04") + "."; err.Error() != want {
		t.Errorf("%s\nwant %s", err, want)
	}
}

func TestCodesThatAreRefused(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	code := func(d *Device) string {
		c, err := h.joining(d, h.box).Code()
		h.ok(err)
		return c.Text()
	}
	good := code(h.create("Front door", Kind{Producer: true}))
	own := code(h.owner)
	elsewhere := h.create("Front door", Kind{Producer: true})
	h.ok(elsewhere.Move("cabin", server))
	other := code(elsewhere)
	for _, tt := range []struct {
		name, text, server string
		after              time.Duration
		reason             Reason
		says               string
	}{
		{"another server", good, "cam.example:8443", 0, WrongServer, "This code belongs to nvr.lan:8443, you are signed in to cam.example:8443."},
		{"another household", other, server, 0, WrongServer, "This code belongs to household cabin, you are signed in to home."},
		{"its own", own, server, 0, SameDevice, "This is this device's own code. Scan it from another one."},
		{"too late", good, server, e2ee.PairingLife + time.Minute, CodeExpired, "This code is 11 min old."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.now = h.now.Add(tt.after)
			err := h.admitting(h.box).Scan(h.ctx, tt.text, tt.server)
			var f *Failure
			if !errors.As(err, &f) || f.Reason != tt.reason || err.Error() != tt.says {
				t.Fatalf("%v, want %s", err, tt.says)
			}
		})
	}
	if err := h.admitting(h.box).Scan(h.ctx, good[:20], server); codeOf(err) != e2ee.ErrFormat {
		t.Errorf("half a code: %v", err)
	}
}

func TestOtherSideGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		d := h.create("Ben's phone", Kind{Consumer: true})
		code, err := h.joining(d, h.box).Code()
		h.ok(err)
		h.owner.now = time.Now
		err = h.admitting(h.box).Scan(h.ctx, code.Text(), server)
		var f *Failure
		if !errors.As(err, &f) || f.Reason != OtherSideGone {
			t.Fatal(err)
		}
		if want := "The device stopped answering 20 s ago. Keep its page open."; err.Error() != want {
			t.Errorf("%s\nwant %s", err, want)
		}
	})
}

func TestNewDeviceGivesUp(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	j := h.joining(h.create("Ben's phone", Kind{Consumer: true}), h.box)
	code, err := j.Code()
	h.ok(err)
	j.Withdraw(h.ctx)
	err = h.admitting(h.box).Scan(h.ctx, code.Text(), server)
	var f *Failure
	if !errors.As(err, &f) || f.Reason != Withdrawn {
		t.Fatal(err)
	}
	j = h.joining(h.create("Kit's phone", Kind{Consumer: true}), h.box)
	code, err = j.Code()
	h.ok(err)
	a := h.admitting(h.box)
	jErr, aErr := h.both(func() error {
		if _, err := j.AwaitOffer(h.ctx); err != nil {
			return err
		}
		return j.AwaitWelcome(h.ctx)
	}, func() error {
		defer a.Decline(h.ctx)
		return a.Scan(h.ctx, code.Text(), server)
	})
	if aErr != nil || !errors.As(jErr, &f) || f.Reason != Declined || f.Other != "ana-laptop" {
		t.Fatalf("declined: %v, %v", jErr, aErr)
	}
}

func TestOnlyOwnersAdmit(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	ben := h.viewer("Ben's phone")
	_, err := ben.StartAdmit(h.ctx, h.box)
	var f *Failure
	if !errors.As(err, &f) || f.Reason != NotOwner || err.Error() != "Only ana-laptop can admit devices. Send them this request." {
		t.Fatal(err)
	}
	if err := ben.Change(h.ctx, h.box, func(*e2ee.Roster) error { return nil }); !errors.Is(err, ErrNotOwner) {
		t.Fatal(err)
	}
}

func TestChangedKeyIsNotTakenByTheWay(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	old := h.camera()
	h.ok(old.Sync(h.ctx, h.box))
	f := h.seal(h.sealer(old, "x"), "before")
	d := h.create("Front door", Kind{Producer: true})
	j, a := h.joining(d, h.box), h.admitting(h.box)
	code, err := j.Code()
	h.ok(err)
	jErr, aErr := h.both(func() error {
		if _, err := j.AwaitOffer(h.ctx); err != nil {
			return err
		}
		return j.AwaitWelcome(h.ctx)
	}, func() error {
		h.ok(a.Scan(h.ctx, code.Text(), server))
		m, err := a.Candidate()
		var changed *Failure
		if !errors.As(err, &changed) || changed.Reason != KeyChanged {
			t.Errorf("not noticed: %v", err)
		}
		if want := "Front door now has a different key than on " + h.now.Format("2 Jan") + ". Reinstalled? Pair it again in front of it. Otherwise do not."; err.Error() != want {
			t.Errorf("%s\nwant %s", err, want)
		}
		return a.Sign(h.ctx, m) // the person stood in front of it
	})
	if jErr != nil || aErr != nil {
		t.Fatalf("device: %v; owner: %v", jErr, aErr)
	}
	h.ok(old.Sync(h.ctx, h.box))
	if err := h.sealer(old, "x").Begin(h.now); codeOf(err) != e2ee.ErrProducer {
		t.Errorf("the old key still seals: %v", err)
	}
	o := h.opener(h.owner, "x")
	h.wantRead(o, f, "before") // what it sent before can still be verified
	h.ok(d.Sync(h.ctx, h.box))
	h.now = h.now.Add(time.Second)
	h.wantRead(h.opener(h.owner, "x"), h.seal(h.sealer(d, "x"), "after"), "after")
}

func TestRosterThatChangesWhileADeviceIsPaired(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	j, a := h.joining(h.create("Ben's phone", Kind{Consumer: true}), h.box), h.admitting(h.box)
	code, err := j.Code()
	h.ok(err)
	go j.AwaitOffer(h.ctx)
	h.ok(a.Scan(h.ctx, code.Text(), server))
	h.viewer("Kit's phone")
	m, err := a.Candidate()
	h.ok(err)
	if err := a.Sign(h.ctx, m); !errors.Is(err, ErrMeanwhile) {
		t.Fatal(err)
	}
}

func TestRemovedDeviceIsPairedAgain(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	ben := h.viewer("Ben's phone")
	h.remove("Ben's phone")
	running := h.open(ben)
	j, a := h.joining(ben, h.box), h.admitting(h.box)
	code, err := j.Code()
	h.ok(err)
	jErr, aErr := h.both(func() error {
		if _, err := j.AwaitOffer(h.ctx); err != nil {
			return err
		}
		return j.AwaitWelcome(h.ctx)
	}, func() error {
		h.ok(a.Scan(h.ctx, code.Text(), server))
		m, err := a.Candidate()
		h.ok(err)
		return a.Sign(h.ctx, m)
	})
	if jErr != nil || aErr != nil {
		t.Fatalf("device: %v; owner: %v", jErr, aErr)
	}
	if _, in := h.open(ben).Admitted(); !in {
		t.Fatal("not admitted again")
	}
	for range 2 {
		if err := running.PinSealed("x"); !errors.Is(err, ErrReplaced) {
			t.Fatalf("a process from before: %v", err)
		}
	}
}

func TestJoinEndsWithItsContext(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	j := h.joining(h.create("Ben's phone", Kind{Consumer: true}), h.box)
	_, err := j.Code()
	h.ok(err)
	ctx, cancel := context.WithTimeout(h.ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := j.AwaitOffer(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
