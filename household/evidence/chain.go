// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// Anchor is what a verifier knows from outside of the file, and what of the file it vouches for.
type Anchor struct {
	Known   string // as it was given
	Owner   bool   // it is an owner's fingerprint, otherwise a roster's
	Name    string // the owner's, as that roster has it
	Version uint32 // of a roster that it vouches for; 0 for none in the file
}

// Holds tells whether the file has what is known.
func (a *Anchor) Holds() bool { return a.Version != 0 }

// chain is the rosters of a file, each linked to the next.
type chain struct {
	trust  *e2ee.Trust
	signed [][]byte
	pins   []e2ee.Pin
}

var errChain = errors.New("evidence: rosters")

// readChain follows the rosters from the first to the last. self is who will open with them.
// Errors: those of e2ee.Trust, with the number of the roster among those of the file.
func readChain(signed [][]byte, self e2ee.Fingerprint) (*chain, int, error) {
	c := &chain{signed: signed}
	for i, b := range signed {
		r, hash, err := e2ee.ReadRoster(b)
		if err != nil {
			return nil, i, err
		}
		c.pins = append(c.pins, e2ee.Pin{Version: r.Version, Hash: hash})
		if i == 0 {
			c.trust, err = e2ee.NewTrust(c.pins[0], b, self, func([]byte) error { return nil })
		} else if err = c.trust.Advance(b); err == nil && c.pins[i].Version != c.pins[i-1].Version+1 {
			err = fmt.Errorf("%w: the same one twice", errChain)
		}
		if err != nil {
			return nil, i, err
		}
	}
	return c, 0, nil
}

// owner finds the last roster that an owner of this fingerprint has signed.
func (c *chain) owner(known string) Anchor {
	a := Anchor{Known: known, Owner: true}
	for i, b := range c.signed {
		r, _, err := e2ee.ReadRoster(b)
		if err != nil {
			continue
		}
		for k := range r.Members {
			m := &r.Members[k]
			fp := m.Fingerprint()
			if m.Role != e2ee.RoleOwner || !isOf(known, fp) {
				continue
			}
			if ok, err := e2ee.SignedBy(b, fp); ok && err == nil {
				a.Name, a.Version = m.Name, c.pins[i].Version
			}
		}
	}
	return a
}

// roster finds the roster of a pin's text, or of a hash alone.
func (c *chain) roster(known string) Anchor {
	a := Anchor{Known: known}
	for _, p := range c.pins {
		if strings.EqualFold(strings.TrimSpace(known), household.PinText(p)) || isOf(known, e2ee.Fingerprint(p.Hash)) {
			a.Version = p.Version
		}
	}
	return a
}

// isOf tells whether a text is a fingerprint, in eight groups of four as people compare it, or all of it in hex.
func isOf(text string, fp e2ee.Fingerprint) bool {
	text = strings.TrimSpace(text)
	return strings.EqualFold(text, fp.String()) || strings.EqualFold(text, hex.EncodeToString(fp[:]))
}
