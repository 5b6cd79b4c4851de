// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// withholding is a mailbox that keeps rosters to itself, and says that it could not take them, or that it has another.
type withholding struct {
	Mailbox
	says error
	kept map[string]bool
}

func (w *withholding) Put(ctx context.Context, key string, body []byte, keep time.Duration) error {
	if !strings.HasPrefix(key, prefixRoster) {
		return w.Mailbox.Put(ctx, key, body, keep)
	}
	w.kept[string(body)] = true
	return w.says
}

// TestOneRosterOfAVersionIsSigned though the server keeps it and has its owner believe that it could not be posted: with two of one
// version it could give cameras the one and viewers the other, and keep a removal from the cameras for good.
func TestOneRosterOfAVersionIsSigned(t *testing.T) {
	t.Parallel()
	for _, says := range []error{errors.New("out of order"), ErrObjectExists} {
		h := newHome(t)
		h.viewer("Ben's phone")
		h.viewer("Cleo's phone")
		v := h.owner.Trust().Pin().Version
		box := &withholding{h.box, says, map[string]bool{}}
		for _, name := range []string{"Ben's phone", "Cleo's phone", "Ben's phone"} {
			err := h.owner.Change(h.ctx, box, func(r *e2ee.Roster) error {
				m, err := FindMember(r, name, h.now, 0)
				if err != nil {
					return err
				}
				return RemoveFrom(r, m.Fingerprint(), h.now)
			})
			if err == nil || h.owner.Trust().Pin().Version != v {
				t.Fatalf("%v: the roster was posted: %v", says, err)
			}
			h.owner = h.open(h.owner)
		}
		if err := h.owner.Sync(h.ctx, box); says != ErrObjectExists && !errors.Is(err, ErrUnposted) {
			t.Errorf("%v: Sync says %v", says, err)
		}
		if len(box.kept) != 1 {
			t.Errorf("%v: the server has %d rosters of version %d", says, len(box.kept), v+1)
		}
		h.ok(h.owner.Sync(h.ctx, h.box))
		if got := h.owner.Posted(); got != v+1 {
			t.Errorf("%v: posted roster %d, want %d", says, got, v+1)
		}
		h.remove("Cleo's phone")
		r, err := h.owner.Roster()
		h.ok(err)
		if _, err := FindMember(r, "Ben's phone", h.now, 0); r.Version != v+2 || !errors.Is(err, ErrNoMember) {
			t.Errorf("%v: roster %d, %v", says, r.Version, err)
		}
	}
}

// TestOwnerWhoWasFasterIsFollowed: what could not be posted is given up when another owner's roster of that version is in force.
func TestOwnerWhoWasFasterIsFollowed(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	other := h.viewer("cleo-laptop")
	h.ok(other.BecomeOwner())
	h.ok(h.owner.Change(h.ctx, h.box, func(r *e2ee.Roster) error {
		return AdmitTo(r, e2ee.Member{Role: e2ee.RoleOwner, Name: other.Name(), Key: other.Identity(e2ee.RoleOwner).Public()}, h.now)
	}))
	v := h.owner.Trust().Pin().Version
	box := &withholding{h.box, errors.New("out of order"), map[string]bool{}}
	if err := h.owner.Change(h.ctx, box, func(*e2ee.Roster) error { return nil }); err == nil {
		t.Fatal("the roster was posted")
	}
	h.ok(other.Sync(h.ctx, h.box))
	h.ok(other.Change(h.ctx, h.box, func(*e2ee.Roster) error { return nil }))
	h.ok(h.owner.Change(h.ctx, h.box, func(*e2ee.Roster) error { return nil }))
	if a, b := h.owner.Trust().Pin().Version, h.owner.Posted(); a != v+2 || b != 0 {
		t.Errorf("stands at %d, want %d; posted %d", a, v+2, b)
	}
}

// TestRotationThatCouldNotBePostedIsCompleted by the next one, with the same key.
func TestRotationThatCouldNotBePostedIsCompleted(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	old := h.owner.Identity(e2ee.RoleOwner).Fingerprint()
	box := &withholding{h.box, errors.New("out of order"), map[string]bool{}}
	if err := h.owner.RotateOwner(h.ctx, box); err == nil {
		t.Fatal("the roster was posted")
	}
	v := h.owner.Trust().Pin().Version
	h.ok(h.owner.RotateOwner(h.ctx, h.box))
	if now := h.owner.Identity(e2ee.RoleOwner).Fingerprint(); now == old || h.owner.Trust().Pin().Version != v+1 {
		t.Errorf("the owner is %s, was %s; roster %d, was %d", now, old, h.owner.Trust().Pin().Version, v)
	}
	h.ok(h.owner.Change(h.ctx, h.box, func(*e2ee.Roster) error { return nil }))
}
