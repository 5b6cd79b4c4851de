// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"
)

// Pin is what a device knows of the owner from outside the server: a roster by its hash. It comes from pairing.
type Pin struct {
	Version uint32
	Hash    [32]byte
}

// maxHistory bounds how many rosters before the one in force are remembered to notice contradictions.
const maxHistory = 4096

// Trust is a device's view of the roster: pinned once, then only forward, and saved before it is used. It also keeps the
// recipients' certificates. A Sealer takes its recipients from it and nowhere else, an Opener its producers.
//
// Safe for concurrent use: rosters may come in while a Sealer works, and count from its next fragment.
type Trust struct {
	self Fingerprint
	save func([]byte) error

	mu       sync.Mutex // guards what follows
	roster   *signedRoster
	signed   []byte
	first    uint32     // version of hashes[0]
	hashes   [][32]byte // of all versions from first to the one in force
	admitted uint32     // version that first had self after a version without it; 0 when self was never in
	certs    map[Fingerprint]*certificate
}

// NewTrust pins a roster. self is the device's own fingerprint. save must store the bytes durably before it returns; LoadTrust
// takes them.
//
// Errors: ErrPairing when the roster is not the pinned one; ErrRosterSign when its own owners did not sign it; save's.
func NewTrust(pin Pin, signed []byte, self Fingerprint, save func([]byte) error) (*Trust, error) {
	sr, err := parseSignedRoster(signed)
	if err != nil {
		return nil, err
	}
	if sr.Version != pin.Version || sr.hash != pin.Hash {
		return nil, refuse(ErrPairing, "roster %d is not the one pinned", sr.Version)
	}
	if !sr.signedBy(sr.Roster) {
		return nil, refuse(ErrRosterSign, "roster %d", sr.Version)
	}
	t := &Trust{self: self, save: save, first: sr.Version, certs: map[Fingerprint]*certificate{}}
	next := t.with(sr, signed)
	if err := save(next.encode()); err != nil {
		return nil, err
	}
	t.adopt(next)
	return t, nil
}

// FoundTrust makes the owner's own view from the first roster, or any that it signed itself just now.
func FoundTrust(signed []byte, owner *Identity, save func([]byte) error) (*Trust, error) {
	sr, err := parseSignedRoster(signed)
	if err != nil {
		return nil, err
	}
	return NewTrust(Pin{sr.Version, sr.hash}, signed, owner.fp, save)
}

// trustState is the part of a Trust that a roster replaces as a whole.
type trustState struct {
	roster   *signedRoster
	signed   []byte
	first    uint32
	hashes   [][32]byte
	admitted uint32
	certs    []*certificate
}

// with is the state after sr. The caller holds mu or owns t.
func (t *Trust) with(sr *signedRoster, signed []byte) trustState {
	s := trustState{roster: sr, signed: bytes.Clone(signed), first: t.first, hashes: append(slices.Clone(t.hashes), sr.hash), admitted: t.admitted}
	if over := len(s.hashes) - maxHistory; over > 0 {
		s.first, s.hashes = s.first+uint32(over), s.hashes[over:]
	}
	was := t.roster != nil && t.roster.member(t.self) != nil
	if sr.member(t.self) != nil && !was {
		s.admitted = sr.Version
	}
	for _, c := range t.certs {
		if sr.member(c.device) != nil {
			s.certs = append(s.certs, c)
		}
	}
	slices.SortFunc(s.certs, func(a, b *certificate) int { return bytes.Compare(a.device[:], b.device[:]) })
	return s
}

func (t *Trust) adopt(s trustState) {
	t.roster, t.signed, t.first, t.hashes, t.admitted = s.roster, s.signed, s.first, s.hashes, s.admitted
	t.certs = map[Fingerprint]*certificate{}
	for _, c := range s.certs {
		t.certs[c.device] = c
	}
}

// Advance takes the next roster. It is saved before it counts. Giving the one in force again does nothing.
//
// Errors: ErrRosterOld, ErrRosterGap (ask for Version()+1), ErrRosterFork, ErrRosterSign, ErrFormat; then nothing has changed.
func (t *Trust) Advance(signed []byte) error {
	sr, err := parseSignedRoster(signed)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.roster
	switch {
	case sr.Version <= now.Version:
		if h, ok := t.hashOf(sr.Version); ok && h != sr.hash {
			return refuse(ErrRosterFork, "roster %d", sr.Version)
		}
		if sr.Version == now.Version {
			return nil
		}
		return refuse(ErrRosterOld, "kept %d, the new roster is %d", now.Version, sr.Version)
	case sr.Version > now.Version+1:
		return refuse(ErrRosterGap, "have %d, got %d", now.Version, sr.Version)
	case sr.Previous != now.hash:
		return refuse(ErrRosterFork, "roster %d follows another %d", sr.Version, now.Version)
	case !sr.signedBy(now.Roster):
		return refuse(ErrRosterSign, "roster %d by the owners of %d", sr.Version, now.Version)
	case !sr.signedBy(sr.Roster):
		return refuse(ErrRosterSign, "roster %d by its own owners", sr.Version)
	}
	next := t.with(sr, signed)
	if err := t.save(next.encode()); err != nil {
		return err
	}
	t.adopt(next)
	return nil
}

// hashOf finds the hash of a version that was once in force here.
func (t *Trust) hashOf(version uint32) ([32]byte, bool) {
	if version < t.first || version-t.first >= uint32(len(t.hashes)) {
		return [32]byte{}, false
	}
	return t.hashes[version-t.first], true
}

// AddCertificate takes a consumer's certificate. An older one than is known is ignored.
//
// Errors: ErrCertificate when the roster has no such consumer, it did not sign, or the lifetime is out of bounds; ErrFormat.
func (t *Trust) AddCertificate(b []byte) error {
	c, err := parseCertificate(b)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.roster.member(c.device)
	if m == nil || m.Role != RoleConsumer || !c.verify(m.Key) {
		return refuse(ErrCertificate, "of %s", c.device.Short())
	}
	if old := t.certs[c.device]; old != nil && old.number >= c.number {
		return nil
	}
	s := t.with(t.roster, t.signed)
	s.hashes, s.first, s.admitted = t.hashes, t.first, t.admitted
	s.certs = slices.DeleteFunc(s.certs, func(o *certificate) bool { return o.device == c.device })
	s.certs = append(s.certs, c)
	if err := t.save(s.encode()); err != nil {
		return err
	}
	t.adopt(s)
	return nil
}

// Certificate returns the number of a consumer's certificate, and whether there is one. A consumer that is removed loses it.
func (t *Trust) Certificate(of Fingerprint) (number uint32, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.certs[of]; c != nil {
		return c.number, true
	}
	return 0, false
}

// Roster returns the roster in force and its hash. The caller must not change it.
func (t *Trust) Roster() (*Roster, [32]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.roster.Roster, t.roster.hash
}

// Signed returns the bytes of the roster in force, for handing on. The caller must not change them.
func (t *Trust) Signed() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.signed
}

// Pin returns the roster in force as a pin.
func (t *Trust) Pin() Pin {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Pin{t.roster.Version, t.roster.hash}
}

// recipient is a key to wrap for, with its chain to the pin verified.
type recipient struct {
	fp  Fingerprint
	key []byte
}

// snapshot returns the roster in force, its hash, and all who may open the stream now, in a fixed order: as one, so that a
// roster that comes in meanwhile changes all or nothing.
func (t *Trust) snapshot(stream StreamID, now time.Time) (*Roster, [32]byte, []recipient) {
	t.mu.Lock()
	defer t.mu.Unlock()
	expired := now.After(t.roster.Expires) && t.roster.RecoveryOnlyAfterExpiry
	var to []recipient
	for i := range t.roster.Members {
		m := &t.roster.Members[i]
		switch m.Role {
		case RoleRecovery:
			if m.admits(stream, now) {
				to = append(to, recipient{m.Fingerprint(), m.Key})
			}
		case RoleConsumer:
			c := t.certs[m.Fingerprint()]
			if c != nil && !expired && m.admits(stream, now) && c.validAt(now) {
				to = append(to, recipient{c.device, c.key})
			}
		}
	}
	slices.SortFunc(to, func(a, b recipient) int { return cmp.Or(bytes.Compare(a.fp[:], b.fp[:]), bytes.Compare(a.key, b.key)) })
	return t.roster.Roster, t.roster.hash, to
}

// producer finds the producer whose fingerprint begins with prefix and who could send to stream at a time.
func (t *Trust) producer(prefix [8]byte, stream StreamID, at time.Time) (fp Fingerprint, public []byte, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.roster.Members {
		m := &t.roster.Members[i]
		if m.Role != RoleProducer || !m.admits(stream, at) {
			continue
		}
		if fp = m.Fingerprint(); [8]byte(fp[:8]) == prefix {
			return fp, m.Key, true
		}
	}
	return Fingerprint{}, nil, false
}

// contradicts reports whether the first bytes of a version's hash are others than were in force here.
func (t *Trust) contradicts(version uint32, hash [8]byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.hashOf(version)
	return ok && [8]byte(h[:8]) != hash
}

// whyNoWrap says why a device has no key to a generation made under a roster version.
func (t *Trust) whyNoWrap(self Fingerprint, rosterVersion uint32) Code {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.roster.member(self) != nil
	switch {
	case self != t.self || (in && rosterVersion >= t.admitted):
		return ErrNoWrap
	case in:
		return ErrHistory
	case t.admitted > 0:
		return ErrRevoked
	default:
		return ErrNotAdmitted
	}
}

func (s *trustState) encode() []byte {
	b := appendU32(appendU32([]byte{formatVersion}, s.first), s.admitted)
	b = appendU32(b, uint32(len(s.hashes)))
	for _, h := range s.hashes {
		b = append(b, h[:]...)
	}
	b = append(appendU32(b, uint32(len(s.signed))), s.signed...)
	b = appendU16(b, uint16(len(s.certs)))
	for _, c := range s.certs {
		b = append(b, c.raw...)
	}
	return b
}

// LoadTrust restores a Trust from the bytes that save was last given. They are this device's own and are trusted.
func LoadTrust(saved []byte, self Fingerprint, save func([]byte) error) (*Trust, error) {
	r := reader{b: bytes.Clone(saved)}
	if v := r.u8(); v != formatVersion {
		return nil, refuse(ErrVersion, "saved trust version %d", v)
	}
	s := trustState{first: r.u32(), admitted: r.u32()}
	for n := r.u32(); n > 0 && !r.bad; n-- {
		var h [32]byte
		r.fill(h[:])
		s.hashes = append(s.hashes, h)
	}
	s.signed = r.bytes(4)
	for n := r.u16(); n > 0 && !r.bad; n-- {
		c, err := parseCertificate(r.take(certificateBytes))
		if err != nil {
			return nil, err
		}
		s.certs = append(s.certs, c)
	}
	if !r.done() || len(s.hashes) == 0 {
		return nil, refuse(ErrFormat, "saved trust")
	}
	sr, err := parseSignedRoster(s.signed)
	if err != nil {
		return nil, err
	}
	if sr.hash != s.hashes[len(s.hashes)-1] || sr.Version != s.first+uint32(len(s.hashes))-1 {
		return nil, refuse(ErrFormat, "saved trust: roster and history differ")
	}
	s.roster = sr
	t := &Trust{self: self, save: save}
	t.adopt(s)
	return t, nil
}
