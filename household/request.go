// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// Request is a device that asks to be on the roster, as a file that travels by a way which its owner trusts. It holds no secret.
// It is for set-ups by script; a person pairs.
type Request struct {
	Role        string `json:"role"` // owner, producer, consumer or recovery
	Name        string `json:"name"`
	PublicKey   []byte `json:"publicKey"`
	Certificate []byte `json:"certificate,omitempty"` // a consumer's
}

// MaxRequestBytes bounds a request file.
const MaxRequestBytes = 16 << 10

// Request returns the device's request in a role. Errors: ErrRole when it has no key of that role.
func (d *Device) Request(role e2ee.Role) (Request, error) {
	id := d.Identity(role)
	if role == e2ee.RoleRecovery || id == nil || id.Role() != role {
		return Request{}, fmt.Errorf("%w: it has no %v's key", ErrRole, role)
	}
	q := Request{Role: role.String(), Name: d.Name(), PublicKey: id.Public()}
	if role != e2ee.RoleConsumer {
		return q, nil
	}
	var err error
	q.Certificate, err = d.Certificate()
	return q, err
}

// ParseRequest reads a request file, and returns the member that it asks to be.
//
// Errors: e2ee.ErrFormat.
func ParseRequest(b []byte) (Request, e2ee.Member, error) {
	var q Request
	if len(b) > MaxRequestBytes {
		return q, e2ee.Member{}, badRequest("it is too large")
	}
	if err := json.Unmarshal(b, &q); err != nil {
		return q, e2ee.Member{}, badRequest(err.Error())
	}
	m := e2ee.Member{Name: q.Name, Key: q.PublicKey}
	for _, r := range []e2ee.Role{e2ee.RoleOwner, e2ee.RoleProducer, e2ee.RoleConsumer, e2ee.RoleRecovery} {
		if r.String() == q.Role {
			m.Role = r
		}
	}
	want := 32
	if m.Role == e2ee.RoleRecovery {
		want = 1216
	}
	switch {
	case m.Role == 0:
		return q, m, badRequest(fmt.Sprintf("role %.20q", q.Role))
	case len(m.Key) != want || !e2ee.ValidName(m.Name):
		return q, m, badRequest("its key or its name")
	}
	return q, m, nil
}

func badRequest(what string) error {
	return &e2ee.Error{Code: e2ee.ErrFormat, Detail: "request: " + what}
}

// PostCertificateOf leaves a viewer's certificate from its request in the mailbox, so that cameras can seal for it at once. The
// roster in force must have the viewer. Errors: e2ee.ErrCertificate, e2ee.ErrFormat; the mailbox's.
func (d *Device) PostCertificateOf(ctx context.Context, box Mailbox, c []byte) error {
	if err := d.takeCertificate(c); err != nil {
		return err
	}
	err := box.Put(ctx, certificateKey(certificateDevice(c), certificateNumber(c)), c, certificateKeep)
	if errors.Is(err, ErrObjectExists) {
		return nil // the device's own to mend
	}
	return err
}

// certificateNumber reads the number of a certificate that e2ee has parsed.
func certificateNumber(c []byte) uint32 {
	return uint32(c[33])<<24 | uint32(c[34])<<16 | uint32(c[35])<<8 | uint32(c[36])
}

// PinText is a roster's version and hash as people copy it: v1-7QK4-….
func PinText(p e2ee.Pin) string { return fmt.Sprintf("v%d-%s", p.Version, e2ee.Fingerprint(p.Hash)) }

// matchesPin reports whether a roster is the one of a PinText. Case, and blanks around it, do not matter.
func matchesPin(text string, p e2ee.Pin) bool {
	return strings.EqualFold(strings.TrimSpace(text), PinText(p))
}

// pinVersion reads the version in a PinText. Errors: e2ee.ErrFormat.
func pinVersion(text string) (uint32, error) {
	v, groups, ok := strings.Cut(strings.TrimSpace(text), "-")
	n, err := strconv.ParseUint(strings.TrimLeft(v, "vV"), 10, 32)
	if !ok || err != nil || n == 0 || len(groups) != len(e2ee.Fingerprint{}.String()) {
		return 0, &e2ee.Error{Code: e2ee.ErrFormat, Detail: "pin: it looks like v1-7QK4-P2MD-0X9V-TR3B-61HC-M8ZN-5GWA-YE2J"}
	}
	return uint32(n), nil
}

// rosterOf gets the roster that a PinText names.
func rosterOf(ctx context.Context, box Mailbox, text string) (signed []byte, p e2ee.Pin, err error) {
	v, err := pinVersion(text)
	if err != nil {
		return nil, p, err
	}
	signed, err = box.Get(ctx, rosterKey(v), 0)
	if err != nil {
		return nil, p, fmt.Errorf("household: get roster %d: %w", v, err)
	}
	r, hash, err := e2ee.ReadRoster(signed)
	if err != nil {
		return nil, p, err
	}
	p = e2ee.Pin{Version: r.Version, Hash: hash}
	if !matchesPin(text, p) {
		return nil, p, &e2ee.Error{Code: e2ee.ErrPairing, Detail: fmt.Sprintf("the mailbox has another roster %d than the one pinned", v)}
	}
	return signed, p, nil
}

// Join pins the roster that text, a PinText from an owner's device, names, and takes those that follow. It is the other half of
// a Request: the text must have come by a way that the device trusts.
//
// Errors: e2ee.ErrPairing when the mailbox has another roster of that version; ErrNoObject; those of Sync.
func (d *Device) Join(ctx context.Context, box Mailbox, text string) error {
	signed, p, err := rosterOf(ctx, box, text)
	if err != nil {
		return err
	}
	err = d.pin(func() (*e2ee.Trust, error) { return e2ee.NewTrust(p, signed, d.self(), d.saveTrust) })
	if err != nil {
		return err
	}
	return d.Sync(ctx, box)
}

// Since is when a key came onto the roster, as far as this device has the rosters; zero when it has not.
func (d *Device) Since(fp e2ee.Fingerprint) (since time.Time) {
	for v := d.Trust().Pin().Version; v > 0; v-- {
		signed, err := d.store.Load(d.rosterValue(v))
		if err != nil {
			return since
		}
		r, _, err := e2ee.ReadRoster(signed)
		if err != nil {
			return since
		}
		if _, in := MemberOf(r, fp); !in {
			return since
		}
		since = r.Issued
	}
	return since
}
