// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/obscura-video/obscura/e2ee"
)

// ErrUnposted says that a roster which this device has signed cannot be posted still. Everything else is in step.
var ErrUnposted = errors.New("household: a roster that was signed here could not be posted")

// valueUnposted is the last roster that this device was about to post. It says nothing once its version is in force.
//
// A server may keep a roster and say that it could not. Were another one signed for that version then, both would be good, and
// the server could give some devices the one and some the other. So the first is posted again until it is in force, or another
// owner's is.
const valueUnposted = "unposted"

// keepUnposted keeps a signed roster before it is posted. Errors: ErrObjectExists when there is another one to be posted first.
func (d *Device) keepUnposted(signed []byte) error {
	return d.change(func() error {
		old, err := d.loadUnposted()
		if err != nil {
			return err
		}
		if old != nil && !sameRoster(old, signed) {
			return fmt.Errorf("household: another roster is to be posted first: %w", ErrObjectExists)
		}
		return d.store.Save(valueUnposted, signed)
	})
}

// loadUnposted returns the roster that is to be posted first, nil when there is none. The caller is within locked.
func (d *Device) loadUnposted() ([]byte, error) {
	signed, err := d.store.Load(valueUnposted)
	if errors.Is(err, fs.ErrNotExist) || d.trust == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, _, err := e2ee.ReadRoster(signed)
	if err != nil || r.Version != d.trust.Pin().Version+1 || trial(d.trust.Signed(), signed) != nil {
		return nil, nil // it, or another one of its version, is in force
	}
	return signed, nil
}

func sameRoster(a, b []byte) bool {
	_, ha, errA := e2ee.ReadRoster(a)
	_, hb, errB := e2ee.ReadRoster(b)
	return errA == nil && errB == nil && ha == hb
}

// postUnposted posts what was signed and could not be posted, and takes it; or another owner's of that version, who was faster.
// Errors: *Failure with RosterRefused when the mailbox says that it has such a one and does not give it; ErrUnposted, with the mailbox's.
func (d *Device) postUnposted(ctx context.Context, box Mailbox) error {
	var signed []byte
	err := d.change(func() (err error) {
		signed, err = d.loadUnposted()
		return err
	})
	if err != nil || signed == nil {
		return err
	}
	r, _, err := e2ee.ReadRoster(signed)
	if err != nil {
		return err
	}
	err = d.postRoster(ctx, box, r.Version, signed)
	if errors.Is(err, ErrObjectExists) {
		return d.takeOther(ctx, box, r.Version)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnposted, err)
	}
	return d.change(func() error {
		d.posted = r.Version
		return d.adoptNextOwner()
	})
}

// takeOther takes the roster that the mailbox says it has.
func (d *Device) takeOther(ctx context.Context, box Mailbox, version uint32) error {
	took, err := d.advanceOne(ctx, box, 0)
	if err == nil && !took {
		err := &e2ee.Error{Code: e2ee.ErrRosterGap, Detail: fmt.Sprintf("the mailbox says that it has another roster %d but does not give it", version)}
		return rosterRefused(d.Name(), version-1, version, nil, err)
	}
	return err
}

// Posted is the version of the roster that Sync has posted since it was signed before and could not be posted then; 0 when there
// was none.
func (d *Device) Posted() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.posted
}
