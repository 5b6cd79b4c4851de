// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// Admitting is the owner's side of one pairing, over a mailbox:
//
//	by code      Scan, Candidate, Sign
//	by digits    Pending and a choice, Answer, Digits, Candidate, Sign
//
// It is for one goroutine. Nothing is on the roster before Sign has returned nil.
type Admitting struct {
	device   *Device
	box      Mailbox
	admitter *e2ee.Admitter
	id       string
	name     string // what the device calls itself, as far as it is known
	asked    time.Time
	offered  uint32 // version of the roster in the offer: the device takes the next one and no other
	how      string
}

// StartAdmit prepares to admit a device. The roster is brought up to date first.
//
// Errors: *Failure with NotOwner; those of Sync.
func (d *Device) StartAdmit(ctx context.Context, box Mailbox) (*Admitting, error) {
	if err := d.Sync(ctx, box); err != nil {
		return nil, err
	}
	if !d.isOwner() {
		r, err := d.Roster()
		if err != nil {
			return nil, err
		}
		return nil, &Failure{Reason: NotOwner, Device: d.Name(), Other: Owners(r), Err: ErrNotOwner}
	}
	a, err := e2ee.NewAdmitter(d.Identity(e2ee.RoleOwner), d.Trust(), d.now)
	return &Admitting{device: d, box: steady{box, answerPatience}, admitter: a, name: "The device"}, err
}

// Scan takes the code that a device shows, and waits for the device's answer. server is where this device is signed in,
// host:port; when it is empty, a code of another server is not told from one of this.
//
// Errors: *Failure with CodeExpired, CodeUsed, WrongServer, SameDevice, or with OtherSideGone, after which AwaitRequest waits
// on; those of e2ee.Admitter; the mailbox's.
func (a *Admitting) Scan(ctx context.Context, text, server string) error {
	c, err := e2ee.ParseCode(text)
	if err != nil {
		return err
	}
	if err := a.suits(c, server); err != nil {
		return err
	}
	a.offered = a.device.Trust().Pin().Version
	offer, err := a.admitter.Scan(text)
	if err != nil {
		return err
	}
	if a.id, err = pairingID(c); err != nil {
		return err
	}
	a.how = "code"
	return a.offer(ctx, offer)
}

// suits tells whether a code is one that this device can admit.
func (a *Admitting) suits(c e2ee.PairingCode, server string) error {
	d, now := a.device, a.device.now()
	there, box := splitEndpoint(c.Endpoint)
	switch {
	case c.Fingerprint == d.Fingerprint():
		return &Failure{Reason: SameDevice, Device: d.Name(), Now: now, Err: e2ee.ErrMisuse}
	case server != "" && there != server:
		return &Failure{Reason: WrongServer, Other: there, Here: server, Now: now}
	case box != "" && box != d.Household():
		return &Failure{Reason: WrongServer, Other: "household " + box, Here: d.Household(), Now: now}
	case now.After(c.Expires):
		return &Failure{Reason: CodeExpired, Since: c.Expires.Add(-e2ee.PairingLife), Now: now, Err: e2ee.ErrExpired}
	}
	return nil
}

// offer leaves the offer and waits for the request.
func (a *Admitting) offer(ctx context.Context, offer []byte) error {
	err := a.box.Put(ctx, pairingKey(a.id, stepOffer), offer, pairingKeep)
	if errors.Is(err, ErrObjectExists) {
		return a.used(ctx)
	}
	if err != nil {
		return fmt.Errorf("household: offer: %w", err)
	}
	a.asked = a.device.now()
	return a.AwaitRequest(ctx)
}

// used says who has answered this code before, as far as the mailbox tells.
func (a *Admitting) used(ctx context.Context) error {
	f := &Failure{Reason: CodeUsed, Now: a.device.now(), Err: e2ee.ErrUsed}
	if list, err := a.box.List(ctx, pairingKey(a.id, stepOffer), "", 0); err == nil && len(list) == 1 {
		f.Since = list[0].Created
	}
	// An offer begins with its kind and its owner's fingerprint.
	r, err := a.device.Roster()
	if err != nil {
		return f
	}
	if b, err := a.box.Get(ctx, pairingKey(a.id, stepOffer), 0); err == nil && len(b) > 33 {
		if m, ok := MemberOf(r, e2ee.Fingerprint(b[1:33])); ok {
			f.Other = m.Name
		}
	}
	return f
}

// AwaitRequest waits for the device's answer to the offer. Scan and Answer have called it: it is for going on after OtherSideGone.
func (a *Admitting) AwaitRequest(ctx context.Context) error {
	for until := time.Now().Add(answerPatience); ; {
		m, err := nextStep(ctx, a.box, a.id, stepOffer, stepRequest, max(time.Until(until), time.Second))
		var w *withdrawn
		switch {
		case err == nil:
			_, err = a.admitter.Handle(m)
			return err
		case errors.As(err, &w):
			return &Failure{Reason: Withdrawn, Device: a.name, Now: a.device.now(), Err: err}
		case !errors.Is(err, ErrNoObject):
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if !time.Now().Before(until) {
			return &Failure{Reason: OtherSideGone, Device: a.name, Since: a.asked, Now: a.device.now(), Err: err}
		}
	}
}

// Pending is a device that wants in by digits. Nothing is known of it but when it asked.
type Pending struct {
	ID    string
	Asked time.Time // the server's word
}

// Pending lists the devices that have asked by digits and that nobody has answered, newest first.
func (a *Admitting) Pending(ctx context.Context) (waiting []Pending, err error) {
	all, _, err := listAll(ctx, a.box, prefixPairing)
	if err != nil {
		return nil, fmt.Errorf("household: list pairings: %w", err)
	}
	answered := map[string]bool{}
	for _, o := range all {
		if id, step, ok := strings.Cut(o.Key[len(prefixPairing):], "/"); ok && (step == stepOffer || step == stepEnd) {
			answered[id] = true
		}
	}
	for i := len(all) - 1; i >= 0; i-- {
		o := all[i]
		id, step, _ := strings.Cut(o.Key[len(prefixPairing):], "/")
		if step == stepCommit && !answered[id] && a.device.now().Sub(o.Created) < e2ee.PairingLife {
			waiting = append(waiting, Pending{id, o.Created})
		}
	}
	return waiting, nil
}

// Answer offers this household to a device that asked by digits, and waits for its answer. Errors: as Scan.
func (a *Admitting) Answer(ctx context.Context, p Pending) error {
	commit, err := a.box.Get(ctx, pairingKey(p.ID, stepCommit), 0)
	if err != nil {
		return fmt.Errorf("household: pairing %.8s: %w", p.ID, err)
	}
	a.offered = a.device.Trust().Pin().Version
	offer, err := a.admitter.Handle(commit)
	if err != nil {
		return err
	}
	a.id, a.how = p.ID, "digits"
	return a.offer(ctx, offer)
}

// Digits compares what the owner typed with what this side computed. There is one try: a wrong one ends the pairing, and the
// device is told.
//
// Errors: *Failure with DigitsDiffer.
func (a *Admitting) Digits(ctx context.Context, typed string) error {
	err := a.admitter.Digits(typed)
	if errors.Is(err, e2ee.ErrDigits) {
		a.end(ctx, endDigits)
		return &Failure{Reason: DigitsDiffer, Device: a.name, Now: a.device.now(), Err: err}
	}
	return err
}

// Decline tells the device that it was not admitted.
func (a *Admitting) Decline(ctx context.Context) { a.end(ctx, endDeclined) }

// end leaves word for the other side. That it may not get there changes nothing.
func (a *Admitting) end(ctx context.Context, why byte) {
	if a.id != "" {
		_ = a.box.Put(ctx, pairingKey(a.id, stepEnd), []byte{why}, pairingKeep)
	}
}

// Candidate returns the authentic device as the member that it would be, for a person to decide and to edit.
//
// Errors: *Failure with KeyChanged, and the member too, when another key has the device's name: Replaced names it. Others: those
// of e2ee.Admitter.
func (a *Admitting) Candidate() (e2ee.Member, error) {
	m, err := a.admitter.Candidate()
	if err != nil {
		return m, err
	}
	a.name = m.Name
	old, ok := a.Replaced(m)
	if !ok {
		return m, nil
	}
	d := a.device
	return m, &Failure{Reason: KeyChanged, Device: m.Name, Since: d.Since(old.Fingerprint()), Now: d.now()}
}

// Replaced returns the member that has the name of m, in its role, with another key.
func (a *Admitting) Replaced(m e2ee.Member) (e2ee.Member, bool) {
	r, err := a.device.Roster()
	if err != nil {
		return e2ee.Member{}, false
	}
	for _, o := range r.Members {
		if o.Name == m.Name && o.Role == m.Role && o.Fingerprint() != m.Fingerprint() && !Ended(o, a.device.now()) {
			return o, true
		}
	}
	return e2ee.Member{}, false
}

// ByCode reports whether the device was authenticated by a code: somebody has stood in front of it.
func (a *Admitting) ByCode() bool { return a.how == "code" }

// Sign puts the device on the roster as m, whose key must be the candidate's, and welcomes it. A member that m replaces, see
// Replaced, is taken off. The certificate of a viewer is posted first, so that cameras seal for it from the roster on.
//
// Errors: e2ee.ErrMisuse; ErrMeanwhile; those of Change; ErrProposed, after which AwaitCosigned goes on.
func (a *Admitting) Sign(ctx context.Context, m e2ee.Member) error {
	c, err := a.admitter.Candidate()
	if err != nil {
		return err
	}
	if m.Role != c.Role || string(m.Key) != string(c.Key) {
		return &e2ee.Error{Code: e2ee.ErrMisuse, Detail: "another device than was paired"}
	}
	d := a.device
	if cert := a.admitter.Certificate(); len(cert) > 0 {
		err := a.box.Put(ctx, certificateKey(certificateDevice(cert), certificateNumber(cert)), cert, certificateKeep)
		if err != nil && !errors.Is(err, ErrObjectExists) {
			return fmt.Errorf("household: post certificate: %w", err)
		}
	}
	old, replaces := a.Replaced(m)
	err = d.Change(ctx, a.box, func(r *e2ee.Roster) error {
		if r.Version != a.offered+1 {
			return ErrMeanwhile
		}
		if replaces {
			if err := RemoveFrom(r, old.Fingerprint(), d.now()); err != nil {
				return err
			}
		}
		return AdmitTo(r, m, d.now())
	})
	if err != nil {
		return err
	}
	if err := d.NoteVerified(m.Fingerprint(), a.how); err != nil {
		return err
	}
	return a.Welcome(ctx)
}

// AwaitCosigned waits until enough owners have signed what Sign has proposed, and welcomes the device: until ctx ends.
//
// Errors: those of Sync; the mailbox's.
func (a *Admitting) AwaitCosigned(ctx context.Context, m e2ee.Member) error {
	d := a.device
	for {
		r, err := d.Roster()
		if err != nil {
			return err
		}
		if _, in := MemberOf(r, m.Fingerprint()); in {
			return errors.Join(d.NoteVerified(m.Fingerprint(), a.how), a.Welcome(ctx))
		}
		if _, err := d.advanceOne(ctx, a.box, MaxWait); err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
}

// Welcome tells the device of the roster in force, which must have it. Sign has called it.
func (a *Admitting) Welcome(ctx context.Context) error {
	err := a.box.Put(ctx, pairingKey(a.id, stepWelcome), e2ee.Welcome(a.device.Trust().Signed()), pairingKeep)
	if err != nil {
		return fmt.Errorf("household: welcome the device: %w", err)
	}
	return a.takeCertificate()
}

// takeCertificate has this device know the new one's certificate at once.
func (a *Admitting) takeCertificate() error {
	if c := a.admitter.Certificate(); len(c) > 0 {
		return a.device.takeCertificate(c)
	}
	return nil
}

// NoteVerified remembers how this device came to trust another: "code", "digits" or "request".
func (d *Device) NoteVerified(fp e2ee.Fingerprint, how string) error {
	return d.change(func() error {
		if d.state.Verified == nil {
			d.state.Verified = map[string]Verified{}
		}
		d.state.Verified[fp.String()] = Verified{How: how, At: d.now()}
		return d.saveState()
	})
}

// HowVerified says how this device came to trust another; false when it did not do so itself.
func (d *Device) HowVerified(fp e2ee.Fingerprint) (Verified, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.state.Verified[fp.String()]
	return v, ok
}
