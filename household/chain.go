// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"slices"

	"github.com/obscura-video/obscura/e2ee"
)

// maxChainBytes bounds what Chain returns.
const maxChainBytes = 16 << 20

// Chain returns the signed rosters that lead to the one in force, oldest first: from the first one, if all are to be had from the
// folder or the mailbox, else from as early as they are. Each is linked to the next by its hash and its owners' signatures, so
// that a third party who knows any of them, or an owner who signed one, can follow to the last.
//
// Errors: ErrNotPaired. What the mailbox does not give, or gives wrongly, ends the chain there.
func (d *Device) Chain(ctx context.Context, box Mailbox) ([][]byte, error) {
	t := d.Trust()
	if t == nil {
		return nil, ErrNotPaired
	}
	chain, bytes := [][]byte{t.Signed()}, len(t.Signed())
	r, _ := t.Roster()
	for v := r.Version - 1; v > 0; v-- {
		older, err := d.olderRoster(ctx, box, v)
		if err != nil || !follows(older, chain[len(chain)-1]) {
			break
		}
		if bytes += len(older); bytes > maxChainBytes {
			break
		}
		chain = append(chain, older)
	}
	slices.Reverse(chain)
	return chain, nil
}

// olderRoster finds the bytes of a roster that is in force no longer.
func (d *Device) olderRoster(ctx context.Context, box Mailbox, version uint32) ([]byte, error) {
	if signed, err := d.store.Load(d.rosterValue(version)); err == nil {
		return signed, nil
	}
	return box.Get(ctx, rosterKey(version), 0)
}

// follows reports whether next is the version after older, and a device that has pinned that would take it.
func follows(older, next []byte) bool {
	was, _, err := e2ee.ReadRoster(older)
	if err != nil || trial(older, next) != nil {
		return false
	}
	is, _, err := e2ee.ReadRoster(next)
	return err == nil && is.Version == was.Version+1
}

// trial tells whether a device that has pinned a roster would take another one, and does nothing.
func trial(pinned, next []byte) error {
	r, hash, err := e2ee.ReadRoster(pinned)
	if err != nil {
		return err
	}
	t, err := e2ee.NewTrust(e2ee.Pin{Version: r.Version, Hash: hash}, pinned, e2ee.Fingerprint{}, forget)
	if err != nil {
		return err
	}
	return t.Advance(next)
}
