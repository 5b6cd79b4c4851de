// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

func TestOwnerKeyIsReplaced(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	old := h.owner.Identity(e2ee.RoleOwner)
	running := h.open(h.owner)
	h.ok(h.owner.RotateOwner(h.ctx, h.box))
	if h.owner.Identity(e2ee.RoleOwner).Fingerprint() == old.Fingerprint() {
		t.Fatal("the same key")
	}
	h.ok(camera.Sync(h.ctx, h.box))
	h.viewer("Ben's phone") // signed by the new key
	h.ok(camera.Sync(h.ctx, h.box))
	if camera.Trust().Pin() != h.owner.Trust().Pin() {
		t.Fatal("the camera does not follow the new key")
	}
	h.ok(running.Change(h.ctx, h.box, func(*e2ee.Roster) error { return nil })) // a process from before
	r, hash := h.owner.Trust().Roster()
	stolen, err := e2ee.SignRoster(r.Next(hash, h.now, r.Expires), old)
	h.ok(err)
	if err := camera.Trust().Advance(stolen); err == nil {
		t.Fatal("the old key still signs")
	}
}

// crashing is a mailbox that loses its server after a number of objects of a name.
type crashing struct {
	Mailbox
	left int
}

func (c *crashing) Put(ctx context.Context, key string, body []byte, keep time.Duration) error {
	err := c.Mailbox.Put(ctx, key, body, keep)
	if c.left--; c.left < 0 {
		return errors.New("connection lost")
	}
	return err
}

// TestOwnerRotationSurvivesACrash: the roster got there, the answer did not; the device must find its way to the new key.
func TestOwnerRotationSurvivesACrash(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	if err := h.owner.RotateOwner(h.ctx, &crashing{Mailbox: h.box, left: 1}); err == nil {
		t.Fatal("no crash")
	}
	again := h.open(h.owner)
	h.ok(again.Sync(h.ctx, h.box))
	again = h.open(again)
	h.ok(again.Change(h.ctx, h.box, func(*e2ee.Roster) error { return nil }))
}

func TestLastOwnerAndLastKitStay(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	r, err := h.owner.Roster()
	h.ok(err)
	edit := r.Next([32]byte{}, h.now, r.Expires)
	for _, tt := range []struct {
		fp   e2ee.Fingerprint
		want error
	}{
		{h.owner.Identity(e2ee.RoleOwner).Fingerprint(), ErrLastOwner},
		{h.kit.Fingerprint(), ErrLastRecovery},
		{e2ee.Fingerprint{}, ErrNoMember},
		{h.owner.Fingerprint(), nil},
	} {
		if err := RemoveFrom(&edit, tt.fp, h.now); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.fp.Short(), err, tt.want)
		}
	}
	second, err := e2ee.NewKEMKey(e2ee.NewSeed())
	h.ok(err)
	shown := false
	h.ok(h.owner.AddKit(h.ctx, h.box, "Kit in the safe", second, func([]byte) error { shown = true; return nil }))
	h.remove(RecoveryName)
	if r, _ := h.owner.Roster(); !shown || len(r.Members) != 3 {
		t.Fatalf("shown %t, %d members", shown, len(r.Members))
	}
}

func TestTwoOwnersMustSign(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	kit := h.viewer("Kit's laptop")
	h.ok(kit.BecomeOwner())
	q, err := kit.Request(e2ee.RoleOwner)
	h.ok(err)
	m := e2ee.Member{Role: e2ee.RoleOwner, Name: q.Name, Key: q.PublicKey}
	h.ok(h.owner.Change(h.ctx, h.box, func(r *e2ee.Roster) error { return AdmitTo(r, m, h.now) }))
	both := func(r *e2ee.Roster) error { r.Threshold = 2; return nil }
	if err := h.owner.Change(h.ctx, h.box, both); !errors.Is(err, ErrProposed) {
		t.Fatalf("one signature: %v", err)
	}
	v := h.owner.Trust().Pin().Version
	waiting, err := kit.Proposals(h.ctx, h.box)
	h.ok(err)
	if len(waiting) != 1 {
		t.Fatalf("%d proposals", len(waiting))
	}
	h.ok(kit.Cosign(h.ctx, h.box, waiting[0].Signed))
	h.ok(h.owner.Sync(h.ctx, h.box))
	if r, _ := h.owner.Roster(); r.Threshold != 2 || r.Version != v+1 {
		t.Fatalf("threshold %d in version %d", r.Threshold, r.Version)
	}
	if err := h.owner.Change(h.ctx, h.box, func(*e2ee.Roster) error { return nil }); !errors.Is(err, ErrProposed) {
		t.Fatalf("one of two: %v", err)
	}
	// Rubbish under the proposals' names is left alone.
	h.ok(h.box.Put(h.ctx, proposalKey(v+2, [32]byte{1}, e2ee.Fingerprint{}), []byte("rubbish"), 0))
	// So is what no owner has signed; and a copy with more signatures that are none does not stand in the way of a good one.
	mallory := h.create("mallory", Kind{Owner: true, Consumer: true})
	h.ok(h.box.Put(h.ctx, proposalKey(v+2, [32]byte{2}, e2ee.Fingerprint{}), h.signAs(mallory, h.owner.Trust()), 0))
	honest, err := h.owner.Proposals(h.ctx, h.box)
	h.ok(err)
	padded := honest[0].Signed
	for range 15 {
		padded, err = e2ee.CosignRoster(padded, mallory.Identity(e2ee.RoleOwner))
		h.ok(err)
	}
	h.ok(h.box.Put(h.ctx, proposalKey(v+2, [32]byte{3}, e2ee.Fingerprint{}), padded, 0))
	waiting, err = kit.Proposals(h.ctx, h.box)
	h.ok(err)
	if len(waiting) != 1 || len(waiting[0].By) != 1 || waiting[0].By[0].Name != "ana-laptop" {
		t.Fatalf("%d proposals", len(waiting))
	}
	h.ok(kit.Cosign(h.ctx, h.box, waiting[0].Signed))
	h.ok(h.owner.Sync(h.ctx, h.box))
	if got := h.owner.Trust().Pin().Version; got != v+2 {
		t.Fatalf("version %d", got)
	}
}

// TestOwnersWhoSignAtTheSameTime: the mailbox orders them, and neither's change is lost.
func TestOwnersWhoSignAtTheSameTime(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	kit := h.viewer("Kit's laptop")
	h.ok(kit.BecomeOwner())
	q, err := kit.Request(e2ee.RoleOwner)
	h.ok(err)
	h.ok(h.owner.Change(h.ctx, h.box, func(r *e2ee.Roster) error {
		return AdmitTo(r, e2ee.Member{Role: e2ee.RoleOwner, Name: q.Name, Key: q.PublicKey}, h.now)
	}))
	h.ok(kit.Sync(h.ctx, h.box))
	add := func(name string) func(*e2ee.Roster) error {
		key := e2ee.NewSeed() // as good as any public key
		return func(r *e2ee.Roster) error {
			return AdmitTo(r, e2ee.Member{Role: e2ee.RoleProducer, Name: name, Key: key}, h.now)
		}
	}
	done := make(chan error, 2)
	for _, d := range []*Device{h.owner, kit} {
		go func() {
			for i := range 5 {
				if err := d.Change(h.ctx, h.box, add(d.Name()+string(rune('a'+i)))); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	h.ok(<-done)
	h.ok(<-done)
	h.ok(h.owner.Sync(h.ctx, h.box))
	r, _ := h.owner.Roster()
	cameras := 0
	for _, m := range r.Members {
		if m.Role == e2ee.RoleProducer {
			cameras++
		}
	}
	if cameras != 10 {
		t.Fatalf("%d cameras of 10", cameras)
	}
}

func TestUnpairedCameraSealsNoMore(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	h.ok(camera.Unpair())
	again := h.open(camera)
	if _, err := again.Sealer("x", tracks, nil); !errors.Is(err, ErrNotPaired) {
		t.Fatal(err)
	}
	if err := h.owner.Unpair(); !errors.Is(err, ErrRole) {
		t.Fatalf("an owner was unpaired: %v", err)
	}
}

func TestPairingThatTwoOwnersMustSign(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	kit := h.viewer("Kit's laptop")
	h.ok(kit.BecomeOwner())
	q, err := kit.Request(e2ee.RoleOwner)
	h.ok(err)
	err = h.owner.Change(h.ctx, h.box, func(r *e2ee.Roster) error {
		return AdmitTo(r, e2ee.Member{Role: e2ee.RoleOwner, Name: q.Name, Key: q.PublicKey}, h.now)
	})
	h.ok(err)
	if err := h.owner.Change(h.ctx, h.box, func(r *e2ee.Roster) error { r.Threshold = 2; return nil }); !errors.Is(err, ErrProposed) {
		t.Fatal(err)
	}
	cosign := func() {
		waiting, err := kit.Proposals(h.ctx, h.box)
		h.ok(err)
		h.ok(kit.Cosign(h.ctx, h.box, waiting[0].Signed))
	}
	cosign()
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
		h.ok(err)
		if err := a.Sign(h.ctx, m); !errors.Is(err, ErrProposed) {
			t.Errorf("one signature: %v", err)
		}
		if d.Trust() != nil {
			t.Error("welcomed before both have signed")
		}
		go cosign()
		return a.AwaitCosigned(h.ctx, m)
	})
	if jErr != nil || aErr != nil {
		t.Fatalf("device: %v; owner: %v", jErr, aErr)
	}
	if _, in := d.Admitted(); !in {
		t.Fatal("not admitted")
	}
}
