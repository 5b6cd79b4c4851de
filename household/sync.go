// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

const (
	// maxTriesPerDevice bounds how many certificates of one device are fetched when the newest turn out to be no good.
	maxTriesPerDevice = 3
	// maxAdvance bounds how many rosters one Sync takes; the next goes on.
	maxAdvance = 4096
)

// Sync brings this device into step with the mailbox: it posts what is its own to post, takes every roster that follows the
// one in force, then the newest certificate of each viewer. What is taken is durable when Sync
// returns.
//
// Errors: ErrNotPaired; *Failure with RosterRefused when what the mailbox has does not follow; ErrUnposted; the mailbox's. The device
// stands where it stood, or further; a bad certificate does not keep the good ones away.
func (d *Device) Sync(ctx context.Context, box Mailbox) error {
	if d.Trust() == nil {
		return ErrNotPaired
	}
	if d.guest {
		return nil // the roster of its link is all that it needs, and mostly all that it may see
	}
	if err := d.advance(ctx, box); err != nil {
		return err
	}
	return errors.Join(d.post(ctx, box), d.takeCertificates(ctx, box))
}

// post leaves what the mailbox lacks of what only this device can give.
func (d *Device) post(ctx context.Context, box Mailbox) error {
	var errs []error
	if _, in := d.Admitted(); in && d.consumer != nil {
		errs = append(errs, d.postCertificate(ctx, box))
	}
	if d.isOwner() {
		errs = append(errs, d.postUnposted(ctx, box), d.repost(ctx, box))
	}
	return errors.Join(errs...)
}

// repost puts back the rosters that this owner's device has and the mailbox has not: after a first post that did not get
// through, or a server that was set up anew.
func (d *Device) repost(ctx context.Context, box Mailbox) error {
	for v := d.Trust().Pin().Version; v > 0; v-- {
		_, err := box.Get(ctx, rosterKey(v), 0)
		if !errors.Is(err, ErrNoObject) {
			return err
		}
		signed, err := d.store.Load(d.rosterValue(v))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = box.Put(ctx, rosterKey(v), signed, 0)
		}
		if err != nil {
			return fmt.Errorf("household: post roster %d again: %w", v, err)
		}
	}
	return nil
}

// advance takes every roster that follows, one by one.
func (d *Device) advance(ctx context.Context, box Mailbox) error {
	for range maxAdvance {
		took, err := d.advanceOne(ctx, box, 0)
		if err != nil {
			return err
		}
		if !took {
			return d.withheld(ctx, box)
		}
	}
	return nil
}

// advanceOne takes the next roster, waiting for it up to wait.
func (d *Device) advanceOne(ctx context.Context, box Mailbox, wait time.Duration) (took bool, err error) {
	next := d.Trust().Pin().Version + 1
	signed, err := box.Get(ctx, rosterKey(next), wait)
	if errors.Is(err, ErrNoObject) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("household: get roster %d: %w", next, err)
	}
	return true, d.takeRoster(next, signed)
}

// takeRoster takes a roster that is said to be of a version.
func (d *Device) takeRoster(version uint32, signed []byte) error {
	return d.change(func() error {
		kept := d.trust.Pin().Version
		if kept >= version {
			return nil // another process was faster
		}
		said, _, err := e2ee.ReadRoster(signed)
		if err == nil && said.Version == kept {
			err = &e2ee.Error{Code: e2ee.ErrRosterOld, Detail: fmt.Sprintf("asked for %d, got %d again", version, kept)}
		}
		if err == nil && trial(d.trust.Signed(), signed) == nil {
			// Before the Trust has it: other processes are led through these.
			err = d.store.Save(d.rosterValue(version), signed)
		}
		if err == nil {
			err = d.trust.Advance(signed)
		}
		var refused *e2ee.Error
		switch {
		case errors.As(err, &refused):
			return rosterRefused(d.state.Name, kept, version, said, err)
		case err != nil:
			return fmt.Errorf("household: take roster %d: %w", version, err)
		}
		return nil
	})
}

// withheld looks whether the mailbox lists rosters after one that it does not give.
func (d *Device) withheld(ctx context.Context, box Mailbox) error {
	kept := d.Trust().Pin().Version
	page, err := box.List(ctx, prefixRoster, rosterKey(kept+1), 0)
	if err != nil {
		return fmt.Errorf("household: list rosters: %w", err)
	}
	for _, o := range page {
		if v, ok := rosterVersion(o.Key); ok && v > kept+1 {
			err := &e2ee.Error{Code: e2ee.ErrRosterGap, Detail: fmt.Sprintf("the mailbox lists %s but does not give %d", o.Key, kept+1)}
			return rosterRefused(d.Name(), kept, kept+1, nil, err)
		}
	}
	return nil
}

// takeCertificates takes the newest certificate of each viewer on the roster.
func (d *Device) takeCertificates(ctx context.Context, box Mailbox) error {
	all, whole, err := listAll(ctx, box, prefixCertificate)
	if err != nil {
		return fmt.Errorf("household: list certificates: %w", err)
	}
	r, err := d.Roster()
	if err != nil {
		return err
	}
	numbers := certificateNumbers(all)
	var errs []error
	for _, m := range r.Members {
		fp := m.Fingerprint()
		if m.Role != e2ee.RoleConsumer || fp == d.self() {
			continue
		}
		if !whole { // somebody's flood: look for each by its name
			have, _ := d.Trust().Certificate(fp)
			page, err := box.List(ctx, certificatePrefix(fp), certificateKey(fp, have), 0)
			errs = append(errs, err)
			numbers = certificateNumbers(page)
		}
		errs = append(errs, d.takeCertificatesOf(ctx, box, m.Name, fp, numbers[fp]))
	}
	return errors.Join(errs...)
}

// certificateNumbers are the numbers of the certificates that a listing has, by device.
func certificateNumbers(list []Object) map[e2ee.Fingerprint][]uint32 {
	numbers := map[e2ee.Fingerprint][]uint32{}
	for _, o := range list {
		if fp, n, ok := parseCertificateKey(o.Key); ok {
			numbers[fp] = append(numbers[fp], n)
		}
	}
	return numbers
}

// takeCertificatesOf takes a device's newest certificate that is one.
func (d *Device) takeCertificatesOf(ctx context.Context, box Mailbox, name string, fp e2ee.Fingerprint, numbers []uint32) error {
	slices.Sort(numbers)
	slices.Reverse(numbers)
	have, _ := d.Trust().Certificate(fp) // none after it was removed, also if it is back
	var errs []error
	for _, n := range numbers[:min(len(numbers), maxTriesPerDevice)] {
		if n <= have {
			break
		}
		c, err := box.Get(ctx, certificateKey(fp, n), 0)
		if err == nil {
			err = d.takeCertificate(c)
		}
		if err == nil && certificateDevice(c) != fp {
			err = &e2ee.Error{Code: e2ee.ErrCertificate, Detail: "it is another device's"}
		}
		if err == nil {
			break
		}
		errs = append(errs, fmt.Errorf("household: certificate %d of %q: %w", n, name, err))
	}
	return errors.Join(errs...)
}

func (d *Device) isOwner() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owner == nil || d.trust == nil {
		return false
	}
	r, _ := d.trust.Roster()
	m, ok := MemberOf(r, d.owner.Fingerprint())
	return ok && m.Role == e2ee.RoleOwner
}
