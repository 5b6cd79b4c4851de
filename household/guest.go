// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// GuestLink is what a guest needs to open what was granted to it: whoever has it can. It is a secret, for one person.
type GuestLink struct {
	Seed      []byte // of the guest's key
	Stream    string
	Household string
	Server    string // host:port, for people
	Pin       e2ee.Pin
	From      time.Time
	Until     time.Time
}

const (
	guestPrefix = "obscura-grant-1."
	maxGuest    = 2048
)

// NewGuest makes a key for a guest. The Grantee is whom to Share with; then Link makes the link.
func NewGuest() (seed []byte, to e2ee.Grantee, err error) {
	seed = e2ee.NewSeed()
	k, err := e2ee.NewKEMKey(seed)
	if err != nil {
		return nil, to, err
	}
	return seed, e2ee.Guest(k), nil
}

// Text is the link on one line.
func (l *GuestLink) Text() string {
	b := append([]byte(nil), l.Seed...)
	b = be32(b, l.Pin.Version)
	b = append(b, l.Pin.Hash[:]...)
	b = be64(be64(b, uint64(l.From.UnixMilli())), uint64(l.Until.UnixMilli()))
	for _, s := range []string{l.Stream, l.Household, l.Server} {
		b = append(append(b, byte(min(len(s), 255))), s[:min(len(s), 255)]...)
	}
	sum := sha256.Sum256(append([]byte(guestPrefix), b...))
	return guestPrefix + base64.RawURLEncoding.EncodeToString(append(b, sum[:4]...))
}

func be32(b []byte, v uint32) []byte { return append(b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v)) }

func be64(b []byte, v uint64) []byte { return be32(be32(b, uint32(v>>32)), uint32(v)) }

// ParseGuestLink reads Text. Blanks around it and line breaks in it do not matter. Errors: e2ee.ErrFormat.
func ParseGuestLink(s string) (*GuestLink, error) {
	bad := &e2ee.Error{Code: e2ee.ErrFormat, Detail: "guest link: a letter is wrong or missing"}
	s, ok := strings.CutPrefix(strings.Join(strings.Fields(s), ""), guestPrefix)
	if !ok || len(s) > maxGuest {
		return nil, bad
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	const fixed = 32 + 4 + 32 + 8 + 8
	if err != nil || len(b) < fixed+3+4 {
		return nil, bad
	}
	body := b[:len(b)-4]
	if sum := sha256.Sum256(append([]byte(guestPrefix), body...)); string(sum[:4]) != string(b[len(b)-4:]) {
		return nil, bad
	}
	l := &GuestLink{Seed: body[:32:32]}
	l.Pin.Version = uint32(of64(body[32:36]))
	l.Pin.Hash = [32]byte(body[36:68])
	l.From, l.Until = time.UnixMilli(int64(of64(body[68:76]))), time.UnixMilli(int64(of64(body[76:84])))
	rest := body[fixed:]
	for _, to := range []*string{&l.Stream, &l.Household, &l.Server} {
		if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
			return nil, bad
		}
		*to, rest = string(rest[1:1+rest[0]]), rest[1+int(rest[0]):]
	}
	if len(rest) > 0 || l.Stream == "" || l.Household == "" {
		return nil, bad
	}
	return l, nil
}

// of64 reads a big-endian number.
func of64(b []byte) (v uint64) {
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v
}

// Device makes the guest a device for as long as the process lives. Its folder is a temporary one, sealed by a key that only memory
// holds; done removes it. Its grants are taken by TakeGrants, like any device's; it follows no roster, for the link's is the one that
// its grants were made under.
//
// Errors: e2ee.ErrPairing when the mailbox has another roster than the link pins; ErrNoObject; the mailbox's.
func (l *GuestLink) Device(ctx context.Context, box Mailbox) (d *Device, done func(), err error) {
	signed, err := box.Get(ctx, rosterKey(l.Pin.Version), 0)
	if err != nil {
		return nil, nil, fmt.Errorf("household: get roster %d: %w", l.Pin.Version, err)
	}
	dir, err := os.MkdirTemp("", "obscura-guest-")
	if err != nil {
		return nil, nil, fmt.Errorf("household: guest: %w", err)
	}
	done = func() { os.RemoveAll(dir) }
	if d, err = l.device(dir, signed); err != nil {
		done()
		return nil, nil, err
	}
	return d, done, nil
}

// forgotten is the key of a store that nobody will open again.
type forgotten struct{ key []byte }

// StoreKey returns the key.
func (f forgotten) StoreKey([]byte) ([]byte, error) { return f.key, nil }

func (l *GuestLink) device(dir string, signed []byte) (*Device, error) {
	store, err := e2ee.OpenKeyStore(dir, forgotten{e2ee.NewSeed()})
	if err != nil {
		return nil, err
	}
	key, err := e2ee.NewKEMKey(l.Seed)
	if err != nil {
		return nil, err
	}
	d := &Device{dir: dir, store: store, now: time.Now, guest: true}
	d.keys = []*e2ee.KEMKey{key}
	d.state = state{Version: stateVersion, Name: "guest", Household: l.Household, Server: l.Server, Keys: []kem{{Number: 1}}}
	if err := d.saveState(); err != nil {
		return nil, err
	}
	err = d.pin(func() (*e2ee.Trust, error) { return e2ee.NewTrust(l.Pin, signed, key.Fingerprint(), d.saveTrust) })
	if err != nil {
		return nil, err
	}
	return d, d.PinSealed(l.Stream) // what is granted is sealed: what comes readable in its place is not it
}
