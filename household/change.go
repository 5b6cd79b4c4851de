// SPDX-License-Identifier: Apache-2.0

package household

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// Errors of a change.
var (
	// ErrLastOwner says that nobody could sign a roster any more.
	ErrLastOwner = errors.New("household: this is the last owner")
	// ErrLastRecovery says that nothing could open the footage if every device were lost.
	ErrLastRecovery = errors.New("household: this is the last recovery kit")
	// ErrNoMember says that the roster has nobody of that name.
	ErrNoMember = errors.New("household: nobody of that name is on the roster")
	// ErrAmbiguous says that several on the roster have that name.
	ErrAmbiguous = errors.New("household: several on the roster have that name; use the fingerprint")
	// ErrNameTaken says that another device has that name.
	ErrNameTaken = errors.New("household: another device on the roster has that name")
	// ErrMeanwhile says that the roster changed while a device was being paired: pair it again.
	ErrMeanwhile = errors.New("household: the roster has changed meanwhile")
	// ErrProposed says that a roster was signed and awaits other owners' signatures.
	ErrProposed = errors.New("household: the roster awaits other owners' signatures")
)

const (
	// maxChangeTries bounds how often a change is made again because another owner was faster.
	maxChangeTries = 10
	// changePause is the longest pause before the second try; before each further one it may be that much longer.
	changePause = 50 * time.Millisecond
)

// Change signs the roster that follows, posts it and takes it. edit is given a copy of the one in force to change, more than
// once when another owner was faster. The mailbox orders owners who sign at the same time: whoever posts first. A roster that could
// not be posted is posted by the next Sync, and no other one of its version is signed before.
//
// Errors: ErrNotOwner; edit's; those of e2ee.SignRoster; ErrProposed when more owners must sign, see Cosign; those of Sync.
func (d *Device) Change(ctx context.Context, box Mailbox, edit func(*e2ee.Roster) error) error {
	return d.changeAs(ctx, box, edit)
}

// changeAs is Change with signatures of further owners.
func (d *Device) changeAs(ctx context.Context, box Mailbox, edit func(*e2ee.Roster) error, more ...*e2ee.Identity) error {
	for try := range maxChangeTries {
		if err := pause(ctx, time.Duration(try)*changePause); err != nil {
			return err
		}
		if err := d.Sync(ctx, box); err != nil {
			return err
		}
		signed, err := d.signNext(edit, more)
		if err != nil {
			return err
		}
		err = d.publish(ctx, box, signed)
		if !errors.Is(err, ErrObjectExists) {
			return err
		}
	}
	return fmt.Errorf("household: change the roster: %w", ErrObjectExists)
}

// pause waits for a random part of d, so that owners who collide do not do so again. It returns the cause of ctx when that ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	var b [8]byte
	rand.Read(b[:]) // never fails
	return sleep(ctx, time.Duration(binary.BigEndian.Uint64(b[:])%uint64(d)))
}

// signNext makes and signs the roster that follows the one in force.
func (d *Device) signNext(edit func(*e2ee.Roster) error, more []*e2ee.Identity) ([]byte, error) {
	if !d.isOwner() {
		return nil, ErrNotOwner
	}
	now := d.now()
	r, hash := d.Trust().Roster()
	next := r.Next(hash, now, r.Expires)
	if !next.Expires.After(now) {
		next.Expires = now.Add(DefaultRosterLife)
	}
	if err := edit(&next); err != nil {
		return nil, err
	}
	return e2ee.SignRoster(next, append([]*e2ee.Identity{d.Identity(e2ee.RoleOwner)}, more...)...)
}

// publish posts a signed roster and takes it; or proposes it, when more owners must sign.
func (d *Device) publish(ctx context.Context, box Mailbox, signed []byte) error {
	r, hash, err := e2ee.ReadRoster(signed)
	if err != nil {
		return err
	}
	err = trial(d.Trust().Signed(), signed)
	if errors.Is(err, e2ee.ErrRosterSign) {
		if err := box.Put(ctx, proposalKey(r.Version, hash, d.Identity(e2ee.RoleOwner).Fingerprint()), signed, proposalKeep); err != nil {
			return fmt.Errorf("household: propose roster %d: %w", r.Version, err)
		}
		return ErrProposed
	}
	if err != nil {
		return err
	}
	if err := d.keepUnposted(signed); err != nil {
		return err
	}
	return d.postRoster(ctx, box, r.Version, signed)
}

// postRoster posts a roster that is kept, and takes it.
func (d *Device) postRoster(ctx context.Context, box Mailbox, version uint32, signed []byte) error {
	if err := box.Put(ctx, rosterKey(version), signed, 0); err != nil {
		return fmt.Errorf("household: post roster %d: %w", version, err)
	}
	return d.takeRoster(version, signed)
}

// proposalKeep is how long a proposal waits for signatures.
const proposalKeep = 7 * 24 * time.Hour

func proposalKey(version uint32, hash [32]byte, by e2ee.Fingerprint) string {
	return fmt.Sprintf("%s%010d/%x/%x", prefixProposal, version, hash[:16], by[:])
}

// maxProposals bounds how many proposals are looked at.
const maxProposals = 256

// Proposal is a roster that awaits signatures to follow the one in force.
type Proposal struct {
	Signed []byte
	By     []e2ee.Member // owners of the roster in force who have signed it
}

// Proposals are the rosters that await signatures, of each the copy with the most. An owner has signed each of them: look at
// what it says before Cosign.
func (d *Device) Proposals(ctx context.Context, box Mailbox) (waiting []Proposal, err error) {
	if err := d.Sync(ctx, box); err != nil {
		return nil, err
	}
	all, _, err := listAll(ctx, box, fmt.Sprintf("%s%010d/", prefixProposal, d.Trust().Pin().Version+1))
	if err != nil {
		return nil, fmt.Errorf("household: list proposals: %w", err)
	}
	best := map[[32]byte]Proposal{}
	for _, o := range all[:min(len(all), maxProposals)] {
		b, err := box.Get(ctx, o.Key, 0)
		if err != nil {
			return nil, fmt.Errorf("household: proposal: %w", err)
		}
		p, hash, ok := d.proposal(b)
		if !ok {
			continue // somebody's garbage, or of another past
		}
		if old := best[hash]; len(p.By) > len(old.By) || len(p.By) == len(old.By) && len(b) < len(old.Signed) {
			best[hash] = p
		}
	}
	return slices.SortedFunc(maps.Values(best), func(a, b Proposal) int { return bytes.Compare(a.Signed, b.Signed) }), nil
}

// proposal reads a proposal; not ok is one that no owner has signed, or that does not follow.
func (d *Device) proposal(signed []byte) (p Proposal, hash [32]byte, ok bool) {
	by, err := d.Trust().Endorsers(signed)
	if err != nil || len(by) == 0 {
		return p, hash, false
	}
	if _, hash, err = e2ee.ReadRoster(signed); err != nil {
		return p, hash, false
	}
	r, _ := d.Trust().Roster()
	p.Signed = signed
	for _, fp := range by {
		m, _ := MemberOf(r, fp)
		p.By = append(p.By, m)
	}
	return p, hash, true
}

// Cosign adds this owner's signature to a proposal, and posts the roster when there are enough.
//
// Errors: ErrProposed when there are not; ErrNotOwner; those of Change.
func (d *Device) Cosign(ctx context.Context, box Mailbox, signed []byte) error {
	if !d.isOwner() {
		return ErrNotOwner
	}
	signed, err := e2ee.CosignRoster(signed, d.Identity(e2ee.RoleOwner))
	if err != nil {
		return err
	}
	return d.publish(ctx, box, signed)
}

// FindMember finds a member that is in force by its name, or by the beginning of its fingerprint, at least two groups of it. A
// person's owner key and viewing key may have one name: role, when not zero, tells them apart.
//
// Errors: ErrNoMember, ErrAmbiguous.
func FindMember(r *e2ee.Roster, name string, now time.Time, role e2ee.Role) (e2ee.Member, error) {
	var found []e2ee.Member
	for _, m := range r.Members {
		if role != 0 && m.Role != role || Ended(m, now) {
			continue
		}
		if m.Name == name || len(name) >= 9 && strings.HasPrefix(m.Fingerprint().String(), strings.ToUpper(name)) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return e2ee.Member{}, fmt.Errorf("%w: %q", ErrNoMember, name)
	case 1:
		return found[0], nil
	default:
		return e2ee.Member{}, fmt.Errorf("%w: %q", ErrAmbiguous, name)
	}
}

// Ended reports whether a membership is over.
func Ended(m e2ee.Member, now time.Time) bool { return !m.NotAfter.IsZero() && !now.Before(m.NotAfter) }

// AdmitTo adds a member to a roster under a name that nobody else of its role has.
//
// Errors: ErrNameTaken.
func AdmitTo(r *e2ee.Roster, m e2ee.Member, now time.Time) error {
	for _, o := range r.Members {
		if o.Name == m.Name && o.Role == m.Role && o.Fingerprint() != m.Fingerprint() && !Ended(o, now) {
			return fmt.Errorf("%w: %q", ErrNameTaken, m.Name)
		}
	}
	r.Admit(m)
	return nil
}

// RemoveFrom takes a member off a roster. A camera stays on it with its end, so that what it sent can still be verified.
//
// Errors: ErrLastOwner, ErrLastRecovery, ErrNoMember.
func RemoveFrom(r *e2ee.Roster, fp e2ee.Fingerprint, now time.Time) error {
	m, ok := MemberOf(r, fp)
	if !ok {
		return ErrNoMember
	}
	left := 0
	for _, o := range r.Members {
		if o.Role == m.Role && !Ended(o, now) {
			left++
		}
	}
	switch {
	case m.Role == e2ee.RoleOwner && left <= int(r.Threshold):
		return ErrLastOwner
	case m.Role == e2ee.RoleRecovery && left == 1:
		return ErrLastRecovery
	}
	r.Remove(fp, now)
	return nil
}
