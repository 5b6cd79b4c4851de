// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

const (
	// certificateRenew is the age at which a device replaces its certificate: half of its life, so that one which runs every
	// two weeks never ceases to be a recipient.
	certificateRenew = e2ee.CertificateLife / 2
	// certificateKeep is how long the mailbox keeps a certificate: as long as it can be of use, and a day.
	certificateKeep = e2ee.CertificateLife + 24*time.Hour
)

// freshCertificate returns the device's certificate, making one when there is none, when half of its life is over, or when
// anew is set. It is durable when returned. The caller is within locked.
func (d *Device) freshCertificate(anew bool) ([]byte, error) {
	now := d.now()
	if age := now.Sub(time.UnixMilli(d.state.CertFrom)); d.state.Cert != nil && !anew && age >= 0 && age < certificateRenew {
		return d.state.Cert, nil
	}
	if d.consumer == nil || len(d.keys) == 0 {
		return nil, fmt.Errorf("%w: it has no viewer's key", ErrRole)
	}
	number := d.state.Number + 1
	c, err := e2ee.NewCertificate(d.consumer, d.keys[0], number, now, e2ee.CertificateLife)
	if err != nil {
		return nil, err
	}
	d.state.Cert, d.state.Number, d.state.CertFrom = c, number, now.UnixMilli()
	return c, d.saveState()
}

// Certificate returns the device's certificate, a fresh one when half of its life is over. Errors: ErrRole for a camera.
func (d *Device) Certificate() (c []byte, err error) {
	err = d.change(func() error { c, err = d.freshCertificate(false); return err })
	return c, err
}

// CertificateExpires is when the device's newest certificate ends; zero when it has none.
func (d *Device) CertificateExpires() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.Cert == nil {
		return time.Time{}
	}
	return time.UnixMilli(d.state.CertFrom).Add(e2ee.CertificateLife)
}

// Rotate makes a new key-encapsulation key and a certificate for it, and posts that. From the next fragment on, cameras that
// have it seal for the new key. The old keys stay: older footage needs them.
//
// Errors: ErrRole for a camera; ErrNotPaired; the mailbox's, after which the key is in force here and posted by the next Sync.
func (d *Device) Rotate(ctx context.Context, box Mailbox) error {
	err := d.change(func() error {
		if d.consumer == nil {
			return fmt.Errorf("%w: it has no viewer's key", ErrRole)
		}
		k := kem{Number: 1, Made: d.now().UnixMilli()}
		if len(d.state.Keys) > 0 {
			k.Number = d.state.Keys[0].Number + 1
		}
		if err := d.store.Save(k.value(), e2ee.NewSeed()); err != nil {
			return err
		}
		d.state.Keys = append([]kem{k}, d.state.Keys...)
		if err := d.loadKeys(); err != nil {
			return err
		}
		_, err := d.freshCertificate(true)
		return err
	})
	if err != nil {
		return err
	}
	return d.postCertificate(ctx, box)
}

// KeyTimes are when the device's key-encapsulation keys were made, newest first.
func (d *Device) KeyTimes() (times []time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.state.Keys {
		times = append(times, time.UnixMilli(k.Made))
	}
	return times
}

// postCertificate leaves the device's certificate where cameras look for it, and takes it into its own Trust.
func (d *Device) postCertificate(ctx context.Context, box Mailbox) error {
	var c []byte
	var number uint32
	err := d.change(func() (err error) {
		c, err = d.freshCertificate(false)
		number = d.state.Number
		return err
	})
	if err != nil {
		return err
	}
	err = box.Put(ctx, certificateKey(d.consumer.Fingerprint(), number), c, certificateKeep)
	if errors.Is(err, ErrObjectExists) {
		// Somebody else has written under this name, which says nothing about ours: skip the number.
		err = d.change(func() (err error) { c, err = d.freshCertificate(true); number = d.state.Number; return err })
		if err == nil {
			err = box.Put(ctx, certificateKey(d.consumer.Fingerprint(), number), c, certificateKeep)
		}
	}
	if err != nil {
		return fmt.Errorf("household: post certificate: %w", err)
	}
	return d.takeCertificate(c)
}

// takeCertificate takes a device's certificate into the Trust and keeps it for other processes.
func (d *Device) takeCertificate(c []byte) error {
	return d.change(func() error {
		if d.trust == nil {
			return ErrNotPaired
		}
		if err := d.trust.AddCertificate(c); err != nil {
			return err
		}
		return d.store.Save(certificateValue(certificateDevice(c)), c)
	})
}

// certificateDevice reads whose a certificate is that e2ee has verified: version (1) ‖ fingerprint (32) ‖ number (4) ‖ ….
func certificateDevice(c []byte) e2ee.Fingerprint { return e2ee.Fingerprint(c[1:33]) }
