// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// maxPerGrant is how many generations are opened for one grant; an Opener remembers a few more.
const maxPerGrant = 256

// Share is footage that is to be opened to somebody.
type Share struct {
	Stream      string
	From, Until time.Time // capture times; until is exclusive
	To          e2ee.Grantee
	// History shares whole generations, up to a day around the time; otherwise single minutes are shared.
	History bool
	// Keep is how long the mailbox keeps the grant; 0 for ever. What was granted stays readable to who has taken it.
	Keep time.Duration
}

// Shared is what came of it.
type Shared struct {
	Objects     []string // their names in the mailbox
	Generations int
	First, Last time.Time // capture times of the oldest generation's beginning and of the newest fragment opened
	// Refused is why some of the footage could not be opened and is not shared; nil when all was.
	Refused error
}

// Share opens a stream's footage of a time as this device can, and leaves a grant for it in the mailbox.
//
// Errors: ErrRole, ErrNotPaired; ErrNoFootage; *e2ee.Error when nothing of the time could be opened; those of the mailbox and the footage.
func (d *Device) Share(ctx context.Context, box Mailbox, f Footage, s Share) (*Shared, error) {
	deliver := func(grant []byte) (string, error) {
		key := grantPrefix(s.To.Fingerprint, e2ee.StreamIDOf(s.Stream)) + randomName()
		return key, box.Put(ctx, key, grant, s.Keep)
	}
	return share(ctx, f, s, func() (*e2ee.Opener, error) {
		o, err := d.Opener(s.Stream, archived)
		if err != nil {
			return nil, err
		}
		return o.Opener, nil
	}, deliver)
}

// archived is how an Opener is configured that looks at single fragments.
func archived(c *e2ee.OpenerConfig) { c.Strict, c.Archive = true, true }

func randomName() string {
	var b [8]byte
	rand.Read(b[:])
	return fmt.Sprintf("%x", b)
}

// share walks through the footage and delivers a grant for every so many generations.
func share(ctx context.Context, f Footage, s Share, open func() (*e2ee.Opener, error), deliver func([]byte) (string, error)) (*Shared, error) {
	out, until, seen := &Shared{}, s.Until, map[[32]byte]bool{}
	for {
		o, err := open()
		if err != nil {
			return out, err
		}
		n, full := 0, errors.New("enough for one grant")
		refused, err := walk(ctx, o, f, s.From, until, seen, func(r e2ee.Report) error {
			n++
			if out.Last.IsZero() {
				out.Last = r.Capture
			}
			out.First = r.Begun
			until = earlier(until, earlier(r.Begun, r.Capture))
			if n == maxPerGrant {
				return full
			}
			return nil
		})
		if out.Refused == nil {
			out.Refused = refused
		}
		if err != nil && !errors.Is(err, full) {
			return out, err
		}
		if n > 0 {
			if err := out.deliver(o, s, s.From, s.Until, deliver); err != nil {
				return out, err
			}
			out.Generations += n
		}
		if err == nil {
			return out, out.empty()
		}
	}
}

// empty is why nothing was shared; nil when something was.
func (out *Shared) empty() error {
	switch {
	case out.Generations > 0:
		return nil
	case out.Refused != nil:
		return out.Refused
	default:
		return ErrNoFootage
	}
}

// deliver makes the grant for what an Opener knows; when it is too large for an object, in two halves.
func (out *Shared) deliver(o *e2ee.Opener, s Share, from, until time.Time, put func([]byte) (string, error)) error {
	var g []byte
	var err error
	if s.History {
		g, err = o.GrantHistory(s.To, time.Time{}, until) // all that was opened, wherever its generation began
	} else {
		g, err = o.GrantClip(s.To, from, until)
	}
	tooLarge := errors.Is(err, e2ee.ErrTooLarge) || err == nil && len(g) > MaxObjectBytes
	if half := until.Sub(from) / 2; tooLarge && !s.History && half > time.Minute {
		if err := out.deliver(o, s, from, from.Add(half), put); err != nil && !errors.Is(err, e2ee.ErrNoPackage) {
			return err
		}
		if err := out.deliver(o, s, from.Add(half), until, put); err != nil && !errors.Is(err, e2ee.ErrNoPackage) {
			return err
		}
		return nil
	}
	if err != nil {
		return err
	}
	key, err := put(g)
	if err != nil {
		return fmt.Errorf("household: deliver the grant: %w", err)
	}
	out.Objects = append(out.Objects, key)
	return nil
}

// Grantee finds a viewing device of the roster, with its certificate in force. Errors: e2ee.ErrCertificate.
func (d *Device) Grantee(fp e2ee.Fingerprint) (e2ee.Grantee, error) {
	t := d.Trust()
	if t == nil {
		return e2ee.Grantee{}, ErrNotPaired
	}
	return t.Grantee(fp, d.now())
}
