// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// Pairing over the mailbox, docs/formats/household.md.
//
//	by code      both sides know the pairing's ID from the code's secret; nobody else can find or make it
//	by digits    the device draws an ID and leaves its commitment; the owner's side sees all that wait, and the person chooses
//
//	pairing/ID/commit  →  offer  →  request  →  welcome        each written once, so that a code is used once
//	pairing/ID/withdrawn                               why it came to nothing, for the other side's words; no more than that
//
// The names are in the order of the steps, so that a listing after one step waits for whatever comes next.
const (
	stepCommit  = "commit"
	stepOffer   = "offer"
	stepRequest = "request"
	stepWelcome = "welcome"
	stepEnd     = "withdrawn"

	// pairingKeep is how long the mailbox keeps the messages of a pairing.
	pairingKeep = e2ee.PairingLife + 5*time.Minute
	// answerPatience is how long a side that needs no person may take to answer.
	answerPatience = 20 * time.Second
)

// Why a pairing was withdrawn, as one byte.
const (
	endDigits   = 1
	endDeclined = 2
)

func pairingKey(id, step string) string { return prefixPairing + id + "/" + step }

// pairingID is the name of a pairing by code: derived from the secret, so that it tells the server nothing.
func pairingID(c e2ee.PairingCode) (string, error) {
	b, err := hkdf.Key(sha256.New, c.Secret[:], c.Fingerprint[:], "kvs-e2ee/1 pairing mailbox", 16)
	return hex.EncodeToString(b), err
}

// Joining is the new device's side of one pairing, over a mailbox:
//
//	by code      Code (show it), AwaitOffer, AwaitWelcome
//	by digits    Ask, AwaitOffer, Digits (show them), Confirm when the person has seen "Codes match", AwaitWelcome
//
// It is for one goroutine. Nothing is pinned before AwaitWelcome has returned nil. A server that cannot be reached is asked again, for as
// long as a code is good.
type Joining struct {
	device *Device
	box    Mailbox
	joiner *e2ee.Joiner
	id     string
	trust  []byte // what the Joiner wants stored
}

// StartJoin prepares to pair this device. endpoint is the server as this device knows it, host:port.
//
// Errors: ErrRole for a device that is an owner's; those of e2ee.NewJoiner.
func (d *Device) StartJoin(box Mailbox, endpoint string) (*Joining, error) {
	j := &Joining{device: d, box: steady{box, e2ee.PairingLife}}
	cfg := e2ee.JoinerConfig{Name: d.Name(), Endpoint: codeEndpoint(endpoint, d.Household()), Now: d.now}
	cfg.Save = func(b []byte) error { j.trust = b; return nil }
	d.mu.Lock()
	cfg.Identity = d.producer
	if d.consumer != nil {
		cfg.Identity = d.consumer
	}
	d.mu.Unlock()
	if cfg.Identity == nil {
		return nil, fmt.Errorf("%w: an owner's device founds a household", ErrRole)
	}
	var err error
	if cfg.Identity.Role() == e2ee.RoleConsumer {
		if cfg.Certificate, err = d.Certificate(); err != nil {
			return nil, err
		}
	}
	j.joiner, err = e2ee.NewJoiner(cfg)
	return j, err
}

// codeEndpoint is what stands in a code as its endpoint: the server, and the box when it is not the usual one.
func codeEndpoint(server, household string) string { return server + "/" + household }

// splitEndpoint reads what codeEndpoint wrote.
func splitEndpoint(s string) (server, household string) {
	server, household, _ = strings.Cut(s, "/")
	return server, household
}

// Code begins pairing by code: show it. It is good for e2ee.PairingLife and for one scan.
func (j *Joining) Code() (e2ee.PairingCode, error) {
	c := j.joiner.Code()
	id, err := pairingID(c)
	j.id = id
	return c, err
}

// Ask begins pairing by digits: it leaves the device's commitment where owners look, and returns the pairing's ID, which helps
// to tell it from others. Errors: the mailbox's.
func (j *Joining) Ask(ctx context.Context) (id string, err error) {
	var b [10]byte
	rand.Read(b[:])
	j.id = hex.EncodeToString(b[:])
	return j.id, j.box.Put(ctx, pairingKey(j.id, stepCommit), j.joiner.Commit(), pairingKeep)
}

// Offered is who asks to be this device's owner. By digits it is not authentic before Confirm.
type Offered struct {
	By     e2ee.Member
	Roster *e2ee.Roster
}

// AwaitOffer waits for an owner and answers it: until ctx ends. Then Digits are there.
//
// Errors: those of e2ee.Joiner.Handle; the mailbox's.
func (j *Joining) AwaitOffer(ctx context.Context) (*Offered, error) {
	offer, err := j.await(ctx, stepCommit, stepOffer)
	if err != nil {
		return nil, err
	}
	request, err := j.joiner.Handle(offer)
	if err != nil {
		return nil, err
	}
	if err := j.box.Put(ctx, pairingKey(j.id, stepRequest), request, pairingKeep); err != nil {
		return nil, fmt.Errorf("household: answer the offer: %w", err)
	}
	fp, r, _ := j.joiner.Owner()
	by, _ := MemberOf(r, fp)
	return &Offered{By: by, Roster: r}, nil
}

// Digits are the seven digits for the person to read aloud, after AwaitOffer.
func (j *Joining) Digits() string { s, _ := j.joiner.Digits(); return s }

// Confirm says that the person has seen the owner's screen say "Codes match".
func (j *Joining) Confirm() error { return j.joiner.Confirm() }

// AwaitWelcome waits until the owner has signed, pins the roster and comes into step: until ctx ends.
//
// Errors: *Failure with DigitsDiffer or Declined, when the owner's side says so; those of e2ee.Joiner.Handle; of Sync.
func (j *Joining) AwaitWelcome(ctx context.Context) error {
	welcome, err := j.await(ctx, stepRequest, stepWelcome)
	if err != nil {
		return err
	}
	if _, err := j.joiner.Handle(welcome); err != nil {
		return err
	}
	d := j.device
	err = d.pin(func() (*e2ee.Trust, error) {
		if err := d.saveTrust(j.trust); err != nil {
			return nil, err
		}
		return e2ee.LoadTrust(j.trust, d.self(), d.saveTrust)
	})
	if err != nil {
		return err
	}
	return d.Sync(ctx, j.box)
}

// await waits for a message of the owner's side after the step before, or for the word that there will be none.
func (j *Joining) await(ctx context.Context, before, step string) ([]byte, error) {
	for {
		m, err := nextStep(ctx, j.box, j.id, before, step, MaxWait)
		var w *withdrawn
		switch {
		case errors.As(err, &w):
			return nil, j.ended(w.why)
		case !errors.Is(err, ErrNoObject):
			return m, err
		}
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
	}
}

// withdrawn says that the other side will not go on.
type withdrawn struct{ why []byte }

func (*withdrawn) Error() string { return "household: the other side has withdrawn" }

// nextStep waits for a step of a pairing. Errors: ErrNoObject; *withdrawn; the mailbox's.
func nextStep(ctx context.Context, box Mailbox, id, before, step string, wait time.Duration) ([]byte, error) {
	begun := time.Now()
	list, err := box.List(ctx, pairingKey(id, ""), pairingKey(id, before), wait)
	if err != nil {
		return nil, err
	}
	for _, want := range []string{step, stepEnd} {
		key := pairingKey(id, want)
		if !slices.ContainsFunc(list, func(o Object) bool { return o.Key == key }) {
			continue
		}
		m, err := box.Get(ctx, key, 0)
		switch {
		case errors.Is(err, ErrNoObject):
			continue
		case err == nil && want == stepEnd:
			err = &withdrawn{m}
		}
		return m, err
	}
	hold(ctx, begun, wait) // it listed something else, or what it does not give
	return nil, fmt.Errorf("%w: %s", ErrNoObject, pairingKey(id, step))
}

// ended is what the owner's side says of why there will be no more.
func (j *Joining) ended(b []byte) error {
	f := &Failure{Reason: Declined, Device: j.device.Name(), Other: "The owner", Now: j.device.now()}
	if fp, r, ok := j.joiner.Owner(); ok {
		if m, ok := MemberOf(r, fp); ok {
			f.Other = m.Name
		}
	}
	if len(b) == 1 && b[0] == endDigits {
		f.Reason = DigitsDiffer
	}
	return f
}

// Withdraw tells the owner's side that this device gives up. That it may not get there changes nothing.
func (j *Joining) Withdraw(ctx context.Context) {
	if j.id != "" {
		_ = j.box.Put(ctx, pairingKey(j.id, stepEnd), []byte{endDeclined}, pairingKeep)
	}
}
