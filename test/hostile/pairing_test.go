// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// between is a server that keeps two boxes under one name, one for the new device and one for its owner, and passes from one to the
// other what it likes: a malicious owner to the device, and a malicious device to the owner.
type between struct {
	*world
	t             *testing.T
	device, owner household.Mailbox // the boxes, as the server itself sees them
	toDevice      household.Mailbox // as the device does
	asked         chan string       // what the device asks for, which tells the server the pairing's ID
	made          atomic.Int64      // messages of its own

	admitter *e2ee.Admitter // its household
	joiner   *e2ee.Joiner   // its device
	itself   *e2ee.Identity
}

func (w *world) newBetween(t *testing.T, name string) *between {
	sum := sha256.Sum256([]byte(name))
	name = fmt.Sprintf("pairing-%x", sum[:8])
	b := &between{world: w, t: t, device: w.mailbox(name+"-1", w.server.API, w.roots()), owner: w.mailbox(name+"-2", w.server.API, w.roots())}
	b.asked = make(chan string, 100)
	p := w.lieTo(t, lies{asked: func(prefix string) {
		select {
		case b.asked <- prefix:
		default:
		}
	}})
	b.toDevice = w.mailbox(name+"-1", p.ts.URL, p.roots())
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	owner, err := e2ee.IdentityFromSeed(e2ee.RoleOwner, e2ee.NewSeed())
	must(err)
	forget := func([]byte) error { return nil }
	signed, err := e2ee.SignRoster(e2ee.Roster{
		Version: 1, Issued: time.Now(), Expires: time.Now().AddDate(1, 0, 0), Threshold: 1, GenerationLife: time.Hour, NoRecovery: true,
		Members: []e2ee.Member{{Role: e2ee.RoleOwner, Name: "Ana", Key: owner.Public()}},
	}, owner)
	must(err)
	trust, err := e2ee.FoundTrust(signed, owner, forget)
	must(err)
	b.admitter, err = e2ee.NewAdmitter(owner, trust, nil)
	must(err)
	b.itself, err = e2ee.IdentityFromSeed(e2ee.RoleProducer, e2ee.NewSeed())
	must(err)
	b.joiner, err = e2ee.NewJoiner(e2ee.JoinerConfig{Identity: b.itself, Name: "Front door", Save: forget})
	must(err)
	return b
}

// take waits for a message in a box.
func (b *between) take(box household.Mailbox, id, step string) []byte {
	m, err := box.Get(b.t.Context(), "pairing/"+id+"/"+step, household.MaxWait)
	if err != nil && b.t.Context().Err() == nil {
		b.t.Errorf("%s: %v", step, err)
	}
	return m
}

// put leaves a message of the server's making, or one that it passes on.
func (b *between) put(box household.Mailbox, id, step string, m []byte, own bool) {
	if own {
		b.made.Add(1)
	}
	if err := box.Put(b.t.Context(), "pairing/"+id+"/"+step, m, time.Minute); err != nil && b.t.Context().Err() == nil {
		b.t.Errorf("%s: %v", step, err)
	}
}

func (b *between) pass(from, to household.Mailbox, id, step string) {
	b.put(to, id, step, b.take(from, id, step), false)
}

// handle has the server's household or device answer.
func (b *between) handle(by interface{ Handle([]byte) ([]byte, error) }, m []byte) []byte {
	answer, err := by.Handle(m)
	if err != nil {
		b.t.Errorf("the server's own side: %v", err)
	}
	return answer
}

// pairingAttack is what a server does between a new camera and its owner. The device's person and the owner do what they should.
type pairingAttack struct {
	name   string
	byCode bool
	// serve is the server's side, until ctx ends; id is the pairing's.
	serve func(b *between, id string)
	// device and owner are what comes of it on either side; nil: nobody cares, for nothing was added.
	device, owner func(error) bool
	// welcomed: the owner has added the device, which has not pinned anything.
	welcomed bool
}

func code(c e2ee.Code) func(error) bool { return func(err error) bool { return errors.Is(err, c) } }

func reason(r household.Reason) func(error) bool {
	return func(err error) bool {
		var f *household.Failure
		return errors.As(err, &f) && f.Reason == r
	}
}

func attacksOnPairing() []pairingAttack {
	honestly := func(b *between, id string, but string, make func([]byte) []byte) {
		for _, step := range []struct {
			name     string
			from, to household.Mailbox
		}{{"offer", b.owner, b.device}, {"request", b.device, b.owner}, {"welcome", b.owner, b.device}} {
			m := b.take(step.from, id, step.name)
			if step.name == but {
				m = make(m)
			}
			b.put(step.to, id, step.name, m, step.name == but)
			if step.name == but && but != "welcome" {
				return
			}
		}
	}
	flip := func(at int) func([]byte) []byte {
		return func(m []byte) []byte {
			if len(m) > 0 {
				m[(at+len(m))%len(m)] ^= 1
			}
			return m
		}
	}
	step := func(name string, make func([]byte) []byte) func(*between, string) {
		return func(b *between, id string) { honestly(b, id, name, make) }
	}
	return []pairingAttack{
		{
			name: "answers the code itself", byCode: true, device: code(e2ee.ErrPairing),
			serve: func(b *between, id string) { b.put(b.device, id, "offer", b.offerWithoutSecret(), true) },
		},
		{name: "flips a bit of the offer", byCode: true, device: code(e2ee.ErrPairing), serve: step("offer", flip(60))},
		{name: "flips a bit of the offer's code", byCode: true, device: code(e2ee.ErrPairing), serve: step("offer", flip(-1))},
		{name: "flips a bit of the request", byCode: true, owner: code(e2ee.ErrPairing), serve: step("request", flip(10))},
		{name: "flips a bit of the request's code", byCode: true, owner: code(e2ee.ErrPairing), serve: step("request", flip(-1))},
		{
			name: "sends a device of its own", byCode: true, owner: code(e2ee.ErrPairing),
			serve: func(b *between, id string) {
				offer := b.take(b.owner, id, "offer")
				b.joiner.Commit()
				b.put(b.owner, id, "request", b.handle(b.joiner, offer), true)
			},
		},
		{name: "welcomes the device to a household of its own", byCode: true, device: code(e2ee.ErrRosterFork), welcomed: true, serve: func(b *between, id string) {
			honestly(b, id, "welcome", func([]byte) []byte { return e2ee.Welcome(b.next()) })
		}},
		{name: "flips a bit of the welcome", byCode: true, device: code(e2ee.ErrRosterSign), welcomed: true, serve: step("welcome", flip(-1))},
		{name: "cuts the welcome short", byCode: true, device: code(e2ee.ErrPairing), welcomed: true, serve: step("welcome", func(m []byte) []byte { return m[:len(m)-1] })},
		{
			name: "says that the owner has declined", byCode: true, device: reason(household.Declined),
			serve: func(b *between, id string) {
				b.pass(b.owner, b.device, id, "offer")
				b.take(b.device, id, "request")
				b.put(b.device, id, "withdrawn", []byte{2}, true)
			},
		},
		{
			name: "stands between the digits", owner: reason(household.DigitsDiffer), device: reason(household.DigitsDiffer),
			serve: func(b *between, id string) {
				b.standBetween(id)
				b.pass(b.owner, b.device, id, "withdrawn")
			},
		},
		{
			// The reply is the server's; the device's true request answers that and not the owner's offer.
			name: "forges the reply to the digits", owner: code(e2ee.ErrPairing),
			serve: func(b *between, id string) {
				commit := b.take(b.device, id, "commit")
				b.put(b.owner, id, "commit", commit, false)
				b.put(b.device, id, "offer", b.handle(b.admitter, commit), true)
				b.take(b.owner, id, "offer")
				b.pass(b.device, b.owner, id, "request")
			},
		},
		{
			name: "forges the request under the device's commitment", owner: code(e2ee.ErrPairing),
			serve: func(b *between, id string) {
				b.pass(b.device, b.owner, id, "commit")
				b.joiner.Commit()
				b.put(b.owner, id, "request", b.handle(b.joiner, b.take(b.owner, id, "offer")), true)
			},
		},
		{
			name: "commits in the device's place and shows it the true offer", owner: reason(household.DigitsDiffer), device: reason(household.DigitsDiffer),
			serve: func(b *between, id string) {
				b.put(b.owner, id, "commit", b.joiner.Commit(), true)
				offer := b.take(b.owner, id, "offer")
				b.put(b.device, id, "offer", offer, false)
				b.take(b.device, id, "request")
				b.put(b.owner, id, "request", b.handle(b.joiner, offer), true)
				b.pass(b.owner, b.device, id, "withdrawn")
			},
		},
	}
}

// standBetween is a household to the device and a device to the owner, as far as the digits.
func (b *between) standBetween(id string) {
	b.put(b.owner, id, "commit", b.joiner.Commit(), true)
	b.put(b.device, id, "offer", b.handle(b.admitter, b.take(b.device, id, "commit")), true)
	b.handle(b.admitter, b.take(b.device, id, "request"))
	b.put(b.owner, id, "request", b.handle(b.joiner, b.take(b.owner, id, "offer")), true)
}

// offerWithoutSecret is an offer of the server's household by somebody who has not seen the code.
func (b *between) offerWithoutSecret() []byte {
	guess := e2ee.PairingCode{Role: e2ee.RoleProducer, Expires: time.Now().Add(time.Minute), Endpoint: "nvr"}
	m, err := b.admitter.Scan(guess.Text())
	if err != nil {
		b.t.Error(err)
	}
	return m
}

// next is the roster 2 of the server's household.
func (b *between) next() []byte {
	owner, err := e2ee.IdentityFromSeed(e2ee.RoleOwner, e2ee.NewSeed())
	if err != nil {
		b.t.Error(err)
		return nil
	}
	signed, err := e2ee.SignRoster(e2ee.Roster{
		Version: 2, Previous: [32]byte{1}, Issued: time.Now(), Expires: time.Now().AddDate(1, 0, 0), Threshold: 1, GenerationLife: time.Hour, NoRecovery: true,
		Members: []e2ee.Member{{Role: e2ee.RoleOwner, Name: "Ana", Key: owner.Public()}},
	}, owner)
	if err != nil {
		b.t.Error(err)
	}
	return signed
}

// ceremony is a pairing of a camera, by people who do what they should.
type ceremony struct {
	*between
	camera *household.Device
	ana    *household.Device

	join     *household.Joining
	admit    *household.Admitting
	shown    chan string
	compared chan bool // what the owner's screen says
	// deviceToo and ownerToo say that a side gets its answer though the other has failed.
	deviceToo, ownerToo bool
	// careless people: the device's does not look at the owner's screen; the owner's types what the server shows.
	careless bool
}

func (b *between) begin() *ceremony {
	c := &ceremony{between: b, shown: make(chan string, 1), compared: make(chan bool, 1)}
	dir := b.t.TempDir()
	c.ana = createIn(b.t, dir+"/ana", household.Kind{Name: "Ana", Household: "x", Owner: true})
	first, err := c.ana.Draft(nil)
	if err == nil {
		err = c.ana.Found(b.t.Context(), b.owner, first)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	c.camera = createIn(b.t, dir+"/camera", household.Kind{Name: "Front door", Household: "x", Producer: true})
	if c.join, err = c.camera.StartJoin(b.toDevice, "nvr"); err == nil {
		c.admit, err = c.ana.StartAdmit(b.t.Context(), b.owner)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// device is the new device's side.
func (c *ceremony) device(ctx context.Context, byCode bool) error {
	if _, err := c.join.AwaitOffer(ctx); err != nil {
		return err
	}
	if !byCode {
		c.shown <- c.join.Digits()
		if same := <-c.compared; same || c.careless {
			if err := c.join.Confirm(); err != nil {
				return err
			}
		}
	}
	return c.join.AwaitWelcome(ctx)
}

// owner is the owner's side.
func (c *ceremony) owners(ctx context.Context, code string) error {
	err := c.scan(ctx, code)
	if code == "" {
		c.compared <- err == nil
	}
	if err != nil {
		return err
	}
	m, err := c.admit.Candidate()
	if err != nil {
		return err
	}
	return c.admit.Sign(ctx, m)
}

// scan goes as far as the owner's decision.
func (c *ceremony) scan(ctx context.Context, code string) error {
	if code != "" {
		return c.admit.Scan(ctx, code, "")
	}
	waiting, err := c.admit.Pending(ctx)
	for err == nil && len(waiting) == 0 && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
		waiting, err = c.admit.Pending(ctx)
	}
	if err != nil || len(waiting) == 0 {
		return errors.Join(err, ctx.Err())
	}
	if err := c.admit.Answer(ctx, waiting[0]); err != nil {
		return err
	}
	typed := ""
	if c.careless {
		typed, _ = c.joiner.Digits()
	} else {
		typed = <-c.shown
	}
	return c.admit.Digits(ctx, typed)
}

// run plays the ceremony with a server between, and returns what comes of it on either side.
func (c *ceremony) run(byCode bool, serve func(b *between, id string)) (device, owner error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	id, text := "", ""
	if byCode {
		shown, err := c.join.Code()
		if err != nil {
			c.t.Fatal(err)
		}
		text = shown.Text()
	} else {
		var err error
		if id, err = c.join.Ask(ctx); err != nil {
			c.t.Fatal(err)
		}
	}
	served, joined, signed := make(chan bool), make(chan error, 1), make(chan error, 1)
	sides, stop := context.WithCancel(ctx)
	defer stop()
	go func() { joined <- c.device(sides, byCode) }()
	go func() { signed <- c.owners(sides, text) }()
	go func() {
		defer close(served)
		if byCode {
			id = strings.TrimSuffix(strings.TrimPrefix(<-c.asked, "pairing/"), "/")
		}
		serve(c.between, id)
	}()
	<-served
	return c.outcome(joined, signed, stop)
}

// outcome waits for both sides. When one of them has failed, and nobody will answer the other, that is given up.
func (c *ceremony) outcome(joined, signed <-chan error, stop func()) (device, owner error) {
	for range 2 {
		alone := false
		select {
		case device = <-joined:
			joined, alone = nil, device != nil && !c.ownerToo
		case owner = <-signed:
			signed, alone = nil, owner != nil && !c.deviceToo
		}
		if alone {
			stop()
		}
	}
	return device, owner
}

func (w *world) attackPairing(t *testing.T, a *pairingAttack) {
	b := w.newBetween(t, "pairing "+a.name)
	c := b.begin()
	c.deviceToo, c.ownerToo = a.device != nil, a.owner != nil
	device, owner := c.run(a.byCode, a.serve)
	if b.made.Load() == 0 {
		t.Error("the server made nothing of its own")
	}
	if a.device != nil && !a.device(device) {
		t.Errorf("the device: %v", device)
	}
	if a.owner != nil && !a.owner(owner) {
		t.Errorf("the owner: %v", owner)
	}
	if c.camera.Trust() != nil {
		t.Error("the device has pinned a roster")
	}
	c.added(t, a.welcomed)
}

// added holds the owner's roster to have the camera or not, and never the server's device.
func (c *ceremony) added(t *testing.T, want bool) {
	t.Helper()
	r, err := c.ana.Roster()
	if err != nil {
		t.Fatal(err)
	}
	if _, in := household.MemberOf(r, c.itself.Fingerprint()); in {
		t.Error("the owner has added the server's device")
	}
	if _, in := household.MemberOf(r, c.camera.Fingerprint()); in != want {
		t.Errorf("the camera is on the roster: %v", in)
	}
}

// honestPairing is the control: a server that passes all on brings both together.
func (w *world) honestPairing(t *testing.T, byCode bool) {
	name := "honest by digits"
	if byCode {
		name = "honest by code"
	}
	c := w.newBetween(t, name).begin()
	device, owner := c.run(byCode, func(b *between, id string) {
		if !byCode {
			b.pass(b.device, b.owner, id, "commit")
		}
		b.pass(b.owner, b.device, id, "offer")
		b.pass(b.device, b.owner, id, "request")
		b.pass(b.owner, b.device, id, "welcome")
	})
	// Its roster is only in the owner's box, which the device does not see; it has pinned it all the same.
	if owner != nil || c.camera.Trust() == nil || c.camera.Trust().Pin() != c.ana.Trust().Pin() {
		t.Errorf("device: %v; owner: %v", device, owner)
	}
	c.added(t, true)
}

// carelessPairing is what the digits are for: people who do not compare them let the server in, on both sides.
func (w *world) carelessPairing(t *testing.T) {
	c := w.newBetween(t, "careless").begin()
	c.careless = true
	device, owner := c.run(false, func(b *between, id string) {
		b.standBetween(id)
		b.put(b.device, id, "welcome", b.welcome(c), true)
		if err := b.joiner.Confirm(); err != nil {
			b.t.Error(err)
		}
		b.handle(b.joiner, b.take(b.owner, id, "welcome"))
	})
	r, err := c.ana.Roster()
	if err != nil {
		t.Fatal(err)
	}
	if _, in := household.MemberOf(r, c.itself.Fingerprint()); !in || c.camera.Trust() == nil || c.camera.Trust().Pin() == c.ana.Trust().Pin() {
		t.Errorf("the server has come to nothing: device: %v; owner: %v", device, owner)
	}
}

// welcome is the server's own, once it has the device's request.
func (b *between) welcome(c *ceremony) []byte {
	if err := b.admitter.Digits(<-c.shown); err != nil { // as if somebody of the server's stood before the device
		b.t.Error(err)
		return nil
	}
	m, err := b.admitter.Candidate()
	if err != nil {
		b.t.Error(err)
		return nil
	}
	_, welcome, err := b.admitter.Admit(m, time.Now().AddDate(1, 0, 0))
	if err != nil {
		b.t.Error(err)
	}
	return welcome
}
