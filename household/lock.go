// SPDX-License-Identifier: Apache-2.0

package household

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

const (
	lockName = "lock"
	// lockPatience is how long a folder's lock is waited for. It is held for a few writes at a time.
	lockPatience = 10 * time.Second
	lockPause    = 10 * time.Millisecond
)

// lockFolder holds a folder for this process. Errors: ErrBusy.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("household: %w", err)
	}
	for until := time.Now().Add(lockPatience); ; time.Sleep(lockPause) {
		if err = lockFile(f); err == nil {
			return func() { f.Close() }, nil
		}
		if time.Now().After(until) {
			f.Close()
			return nil, fmt.Errorf("%w: %s", ErrBusy, dir)
		}
	}
}

// locked changes the folder: it takes the folder's lock, takes over what other processes wrote, and calls fn.
// The caller holds mu.
func (d *Device) locked(fn func() error) error {
	unlock, err := lockFolder(d.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.catchUp(); err != nil {
		return err
	}
	return fn()
}

// change is locked for callers who do not hold mu.
func (d *Device) change(fn func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.locked(fn)
}

// catchUp takes over what other processes have written since this one last looked. A Trust that lags behind is led through
// the same rosters, so that what is saved next never goes back.
func (d *Device) catchUp() error {
	was := d.state
	if err := d.loadState(); err != nil {
		return err
	}
	if d.state.Paired != was.Paired && was.Paired != "" {
		d.state = was
		return ErrReplaced
	}
	if len(d.state.Keys) != len(was.Keys) {
		if err := d.loadKeys(); err != nil {
			return err
		}
	}
	if d.state.OwnerKey != was.OwnerKey || d.state.Owner != was.Owner {
		if err := d.loadIdentities(); err != nil {
			return err
		}
	}
	b, err := d.store.Load(valueTrust)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && bytes.Equal(b, d.onDisk):
		return nil
	case err != nil:
		return err
	case d.trust == nil:
		return d.loadTrust()
	}
	return d.catchUpTrust(b)
}

// catchUpTrust leads the Trust to where a stored one stands. Never is it left behind: what it saves next would take the folder back.
func (d *Device) catchUpTrust(b []byte) error {
	stored, err := e2ee.LoadTrust(b, d.self(), forget)
	if err != nil {
		return err
	}
	for v := d.trust.Pin().Version + 1; v <= stored.Pin().Version; v++ {
		signed, err := d.store.Load(d.rosterValue(v))
		if errors.Is(err, fs.ErrNotExist) && v == stored.Pin().Version {
			signed, err = stored.Signed(), nil
		}
		if err == nil {
			err = d.trust.Advance(signed)
		}
		if err != nil {
			return fmt.Errorf("household: catch up with another process: roster %d: %w", v, err)
		}
	}
	if d.trust.Pin() != stored.Pin() {
		return ErrReplaced // by a pairing that was cut off, or a folder that was put back
	}
	r, _ := d.trust.Roster()
	for _, m := range r.Members {
		if m.Role != e2ee.RoleConsumer {
			continue
		}
		switch c, err := d.store.Load(certificateValue(m.Fingerprint())); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		default:
			_ = d.trust.AddCertificate(c) // one that is too old by now does no harm
		}
	}
	return nil
}

// forget is for a Trust that stores nothing.
func forget([]byte) error { return nil }

// rosterValue is under what a roster's bytes are kept: for other processes, and for the day when the mailbox has lost them.
// Those of an earlier pairing are another past.
func (d *Device) rosterValue(version uint32) string {
	return fmt.Sprintf("roster-%s-%010d", d.state.Paired, version)
}

// certificateValue is under what the newest certificate of a device is kept. Half a fingerprint is unique among at most 256.
func certificateValue(fp e2ee.Fingerprint) string { return fmt.Sprintf("certificate-%x", fp[:16]) }
