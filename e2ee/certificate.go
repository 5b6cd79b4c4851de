// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"time"
)

const (
	certificateBody  = 1 + 32 + 4 + 8 + 8 + kemBytes
	certificateBytes = certificateBody + sigBytes
	// CertificateLife is the longest that a certificate is valid. It bounds how long a server that holds back rosters can keep a
	// removed device a recipient, unless that device works with it and certifies itself anew: then the roster's expiry is the
	// bound, see RecoveryOnlyAfterExpiry. A device makes a new one well before.
	CertificateLife = 31 * 24 * time.Hour
	// clockSkew is how far in the future a certificate may be issued.
	clockSkew = 10 * time.Minute
)

// certificate binds a consumer's X-Wing key to its device key, so that a device changes its key without an owner.
type certificate struct {
	device   Fingerprint
	number   uint32 // the highest known counts
	issued   time.Time
	notAfter time.Time
	key      []byte
	raw      []byte
}

// NewCertificate certifies a consumer's key for life from now. number must grow with each certificate of the device.
//
// Errors: ErrMisuse when the identity is no consumer or life is over CertificateLife.
func NewCertificate(device *Identity, key *KEMKey, number uint32, now time.Time, life time.Duration) ([]byte, error) {
	if device.role != RoleConsumer || life <= 0 || life > CertificateLife {
		return nil, refuse(ErrMisuse, "certificate of a %v for %v", device.role, life)
	}
	b := append([]byte{formatVersion}, device.fp[:]...)
	b = appendU64(appendU32(b, number), uint64(millis(now)))
	b = appendU64(b, uint64(millis(now.Add(life))))
	b = append(b, key.Public()...)
	sig, err := device.sign("certificate", b)
	return append(b, sig...), err
}

func parseCertificate(b []byte) (*certificate, error) {
	if len(b) != certificateBytes {
		return nil, refuse(ErrFormat, "certificate of %d bytes", len(b))
	}
	r, c := reader{b: b}, &certificate{raw: bytes.Clone(b)}
	if v := r.u8(); v != formatVersion {
		return nil, refuse(ErrVersion, "certificate version %d", v)
	}
	r.fill(c.device[:])
	c.number = r.u32()
	c.issued, c.notAfter = fromMillis(int64(r.u64())), fromMillis(int64(r.u64()))
	c.key = bytes.Clone(r.take(kemBytes))
	return c, nil
}

// verify reports whether the device signed it and the lifetime is within bounds.
func (c *certificate) verify(devicePublic []byte) bool {
	life := c.notAfter.Sub(c.issued)
	return life > 0 && life <= CertificateLife &&
		verify(devicePublic, "certificate", c.raw[certificateBody:], c.raw[:certificateBody])
}

// validAt reports whether the certificate is in force.
func (c *certificate) validAt(now time.Time) bool {
	return !now.After(c.notAfter) && !c.issued.After(now.Add(clockSkew))
}
