// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// valueNextOwner is an owner's key that a roster is about to bring, or has brought.
const valueNextOwner = "owner-next"

// RotateOwner signs a roster that replaces this device's owner key by a new one, with both. Interrupted, it is completed by the
// next Open or RotateOwner.
//
// Errors: those of Change. When more owners must sign, the new key counts from the roster that they complete.
func (d *Device) RotateOwner(ctx context.Context, box Mailbox) error {
	if !d.isOwner() {
		return ErrNotOwner
	}
	old := d.Identity(e2ee.RoleOwner).Fingerprint()
	if err := d.Sync(ctx, box); err != nil {
		return err
	}
	if d.Identity(e2ee.RoleOwner).Fingerprint() != old {
		return nil // by a roster that was signed before
	}
	var next *e2ee.Identity
	err := d.change(func() error {
		seed, err := d.store.LoadOrCreate(valueNextOwner)
		if err == nil {
			next, err = e2ee.IdentityFromSeed(e2ee.RoleOwner, seed)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = d.changeAs(ctx, box, func(r *e2ee.Roster) error {
		m, ok := MemberOf(r, old)
		if !ok {
			return ErrNotOwner
		}
		m.Key = next.Public()
		r.Admit(m)
		r.Remove(old, d.now())
		return nil
	}, next)
	if err != nil {
		return err
	}
	return d.change(d.adoptNextOwner)
}

// adoptNextOwner makes the next owner's key the device's, once the roster in force has it. The caller is within locked.
func (d *Device) adoptNextOwner() error {
	seed, err := d.store.Load(valueNextOwner)
	if errors.Is(err, fs.ErrNotExist) || d.trust == nil {
		return nil
	}
	if err != nil {
		return err
	}
	next, err := e2ee.IdentityFromSeed(e2ee.RoleOwner, seed)
	if err != nil {
		return err
	}
	r, _ := d.trust.Roster()
	if _, in := MemberOf(r, next.Fingerprint()); !in {
		return nil
	}
	if err := d.store.Save(valueOwner, seed); err != nil {
		return err
	}
	d.owner = next
	d.state.Owner = true
	d.state.OwnerKey++
	if err := d.saveState(); err != nil {
		return err
	}
	return d.store.Remove(valueNextOwner)
}

// BecomeOwner makes an owner's key for this viewing device, so that Request has something to ask for. The device is an owner
// when a roster says so.
//
// Errors: ErrRole for a camera; ErrDevice when it has an owner's key already.
func (d *Device) BecomeOwner() error {
	return d.change(func() error {
		switch {
		case d.consumer == nil:
			return fmt.Errorf("%w: a camera owns nothing", ErrRole)
		case d.owner != nil:
			return fmt.Errorf("%w: it has an owner's key", ErrDevice)
		}
		if err := d.store.Save(valueOwner, e2ee.NewSeed()); err != nil {
			return err
		}
		d.state.Owner = true
		if err := d.loadIdentities(); err != nil {
			return err
		}
		return d.saveState()
	})
}

// AddKit signs a roster with a further recovery kit. With the first one the household's waiver ends. drafted, when not nil, is
// called with the signed roster before it is posted, so that the kit can be shown with it and tried; an error of it ends the change.
//
// Errors: those of Change; drafted's.
func (d *Device) AddKit(ctx context.Context, box Mailbox, name string, kit *e2ee.KEMKey, drafted func(signed []byte) error) error {
	if err := d.Sync(ctx, box); err != nil {
		return err
	}
	signed, err := d.signNext(func(r *e2ee.Roster) error {
		r.NoRecovery = false
		return AdmitTo(r, e2ee.Member{Role: e2ee.RoleRecovery, Name: name, Key: kit.Public()}, d.now())
	}, nil)
	if err != nil {
		return err
	}
	if drafted != nil {
		if err := drafted(signed); err != nil {
			return err
		}
	}
	err = d.publish(ctx, box, signed)
	if errors.Is(err, ErrObjectExists) {
		return errors.Join(ErrMeanwhile, err)
	}
	return err
}

// KitTried remembers that a person has proven to have a recovery kit.
func (d *Device) KitTried(kit e2ee.Fingerprint) error {
	return d.change(func() error {
		d.state.Kit = &kitRef{Fingerprint: kit.String(), Tried: d.now().UnixMilli()}
		return d.saveState()
	})
}

// LastKitTried is when the kit was proven at this device; zero when it was not.
func (d *Device) LastKitTried(kit e2ee.Fingerprint) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := d.state.Kit; k != nil && k.Fingerprint == kit.String() {
		return time.UnixMilli(k.Tried)
	}
	return time.Time{}
}

// Rename changes what a device calls itself. The roster's name for it is the owner's choice.
func (d *Device) Rename(name string) error {
	return d.change(func() error { d.state.Name = name; return d.saveState() })
}

// Unpair forgets the roster: the device no longer seals for this household, nor verifies for it. Its keys stay, and what is on
// the roster stays until an owner removes it.
//
// Errors: ErrNotPaired; ErrRole for an owner's device, without which nobody might be able to sign.
func (d *Device) Unpair() error {
	return d.change(func() error {
		switch {
		case d.trust == nil:
			return ErrNotPaired
		case d.owner != nil:
			return fmt.Errorf("%w: an owner's device is not unpaired; remove it from the roster at another owner's", ErrRole)
		}
		d.state.Paired = ""
		if err := d.saveState(); err != nil {
			return err
		}
		d.trust, d.onDisk = nil, nil
		return d.store.Remove(valueTrust)
	})
}
