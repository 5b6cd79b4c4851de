// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

const (
	valueFounding = "founding"
	// DefaultRosterLife is how long a roster is good when nobody says otherwise.
	DefaultRosterLife = 365 * 24 * time.Hour
	// DefaultGenerationLife is how long a camera uses one secret when nobody says otherwise.
	DefaultGenerationLife = 24 * time.Hour
)

// ErrTaken says that the box has a roster of somebody else's: another household has that name on this server.
var ErrTaken = errors.New("household: there is another household of that name on this server")

// RecoveryName is what a recovery kit is called on a roster.
const RecoveryName = "Recovery kit"

// Draft signs the first roster of a household, with this device as owner and viewer and the kit as recovery recipient; without
// a kit the roster says for ever that there is none. Nothing is stored or posted: show the kit and have it tried before Found.
//
// Errors: ErrRole when the device is no owner's; e2ee.ErrMisuse when it is paired already.
func (d *Device) Draft(kit *e2ee.KEMKey) (signed []byte, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.owner == nil:
		return nil, fmt.Errorf("%w: it has no owner's key", ErrRole)
	case d.trust != nil:
		return nil, &e2ee.Error{Code: e2ee.ErrMisuse, Detail: "this device has a household already"}
	}
	now := d.now()
	r := e2ee.Roster{
		Version: 1, Issued: now, Expires: now.Add(DefaultRosterLife), Threshold: 1, GenerationLife: DefaultGenerationLife,
		NoRecovery: kit == nil,
		Members:    []e2ee.Member{{Role: e2ee.RoleOwner, Name: d.state.Name, Key: d.owner.Public()}},
	}
	if d.consumer != nil {
		r.Members = append(r.Members, e2ee.Member{Role: e2ee.RoleConsumer, Name: d.state.Name, Key: d.consumer.Public()})
	}
	if kit != nil {
		r.Members = append(r.Members, e2ee.Member{Role: e2ee.RoleRecovery, Name: RecoveryName, Key: kit.Public()})
	}
	return e2ee.SignRoster(r, d.owner)
}

// Drafted returns a first roster whose Found was interrupted, or nil. Calling Found with it goes on.
func (d *Device) Drafted() ([]byte, error) {
	b, err := d.store.Load(valueFounding)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// Found posts a first roster from Draft, and pins it. From then on the device has a household. Interrupted, it can be called
// again with what Drafted returns.
//
// Errors: ErrTaken; the mailbox's.
func (d *Device) Found(ctx context.Context, box Mailbox, signed []byte) error {
	r, hash, err := e2ee.ReadRoster(signed)
	if err != nil {
		return err
	}
	if err := d.change(func() error { return d.store.Save(valueFounding, signed) }); err != nil {
		return err
	}
	err = box.Put(ctx, rosterKey(r.Version), signed, 0)
	if errors.Is(err, ErrObjectExists) {
		return errors.Join(ErrTaken, d.change(func() error { return d.store.Remove(valueFounding) }))
	}
	if err != nil {
		return fmt.Errorf("household: post roster 1: %w", err)
	}
	err = d.pin(func() (*e2ee.Trust, error) {
		return e2ee.NewTrust(e2ee.Pin{Version: r.Version, Hash: hash}, signed, d.self(), d.saveTrust)
	})
	if err != nil {
		return err
	}
	return d.Sync(ctx, box)
}

// pin makes the device's Trust, by make, which stores it.
func (d *Device) pin(make func() (*e2ee.Trust, error)) error {
	return d.change(func() error {
		was := d.state.Paired
		b := [8]byte{}
		rand.Read(b[:])
		d.state.Paired = hex.EncodeToString(b[:])
		t, err := make()
		if err == nil {
			err = d.store.Save(d.rosterValue(t.Pin().Version), t.Signed())
		}
		if err == nil {
			err = d.saveState()
		}
		if err != nil {
			d.state.Paired = was
			return err
		}
		d.trust = t
		return nil
	})
}

// Move changes in which box, and at which server, a device looks that is not paired yet. Errors: ErrDevice when it is.
func (d *Device) Move(household, server string) error {
	return d.change(func() error {
		if d.trust != nil {
			return fmt.Errorf("%w: it belongs to %q", ErrDevice, d.state.Household)
		}
		d.state.Household, d.state.Server = household, server
		return d.saveState()
	})
}
