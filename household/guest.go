// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
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

// Opener opens what was granted to the guest, from the mailbox of the link's household. Its fragments may be any: it is for an
// archive.
//
// Errors: e2ee.ErrPairing when the mailbox has another roster than the link pins; ErrNoObject when there is no grant, or not any
// more; those of the mailbox and of a grant that does not open.
func (l *GuestLink) Opener(ctx context.Context, box Mailbox, adjust func(*e2ee.OpenerConfig)) (*e2ee.Opener, error) {
	key, err := e2ee.NewKEMKey(l.Seed)
	if err != nil {
		return nil, err
	}
	signed, err := box.Get(ctx, rosterKey(l.Pin.Version), 0)
	if err != nil {
		return nil, fmt.Errorf("household: get roster %d: %w", l.Pin.Version, err)
	}
	forget := func([]byte) error { return nil }
	t, err := e2ee.NewTrust(l.Pin, signed, key.Fingerprint(), forget)
	if err != nil {
		return nil, err
	}
	cfg := e2ee.OpenerConfig{Trust: t, Stream: l.Stream, Self: key.Fingerprint(), Keys: []*e2ee.KEMKey{key}, Archive: true}
	if adjust != nil {
		adjust(&cfg)
	}
	o, err := e2ee.NewOpener(cfg)
	if err != nil {
		return nil, err
	}
	return o, l.addGrants(ctx, box, o, key.Fingerprint())
}

func (l *GuestLink) addGrants(ctx context.Context, box Mailbox, o *e2ee.Opener, guest e2ee.Fingerprint) error {
	prefix := grantPrefix(guest, e2ee.StreamIDOf(l.Stream))
	all, err := listAll(ctx, box, prefix)
	if err != nil {
		return fmt.Errorf("household: list grants: %w", err)
	}
	var errs []error
	good := 0
	for _, object := range all[:min(len(all), maxGrants)] {
		g, err := box.Get(ctx, object.Key, 0)
		if err == nil {
			err = o.AddGrant(g)
		}
		if err == nil {
			good++
		}
		errs = append(errs, err)
	}
	if good > 0 {
		return nil
	}
	return errors.Join(append(errs, fmt.Errorf("%w: %s*", ErrNoObject, prefix))...)
}
