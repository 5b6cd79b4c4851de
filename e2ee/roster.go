// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxMembers    = 256
	maxScope      = 255
	maxSignatures = 16
	// MaxRosterBytes bounds a signed roster.
	MaxRosterBytes = 512 << 10
)

// Member is a key that a roster admits.
type Member struct {
	Role    Role
	Name    string     // for people, at most 64 bytes
	Key     []byte     // Ed25519 public key; of RoleRecovery the X-Wing public key
	Streams []StreamID // what a producer may send or a consumer may watch; none means all. Owners and recovery: none
	// NotAfter ends the membership; zero means never. A consumer is removed by leaving it out of the next roster; a producer
	// stays, with the time of its removal here, so that what it sent before can still be verified.
	NotAfter time.Time
}

// Fingerprint names the member's key in its role.
func (m *Member) Fingerprint() Fingerprint { return FingerprintOf(m.Role, m.Key) }

// admits reports whether the member may deal with a stream at a time.
func (m *Member) admits(stream StreamID, at time.Time) bool {
	return (len(m.Streams) == 0 || slices.Contains(m.Streams, stream)) && (m.NotAfter.IsZero() || !at.After(m.NotAfter))
}

// Roster says who may send and who may watch. Version n+1 names the hash of version n and is signed by owners of version n,
// so that from any version one can only go forward. Changing the owners is a roster like any other: it takes the signatures
// of the old owners and of the new.
type Roster struct {
	Version  uint32   // from 1, without holes
	Previous [32]byte // hash of the version before; zero in version 1
	Issued   time.Time
	Expires  time.Time

	Threshold uint8 // owners that must sign; from 1
	// RecoveryOnlyAfterExpiry: once expired, producers seal for the recovery recipients alone. Without it they go on; what then
	// bounds a server that holds back rosters is the age of the recipients' certificates, and nothing if a removed device that
	// works with the server renews its own.
	RecoveryOnlyAfterExpiry bool
	// NoRecovery is the recorded waiver: without it a roster has at least one recovery recipient.
	NoRecovery bool
	// GenerationLife is the longest that one secret is used: 1 minute to 7 days.
	GenerationLife time.Duration

	Members []Member
}

const (
	rosterRecoveryOnly = 1 << 0
	rosterNoRecovery   = 1 << 1
)

func (r *Roster) encode() []byte {
	b := appendU32([]byte{formatVersion}, r.Version)
	b = append(b, r.Previous[:]...)
	b = appendU64(appendU64(b, uint64(millis(r.Issued))), uint64(millis(r.Expires)))
	var flags byte
	if r.RecoveryOnlyAfterExpiry {
		flags |= rosterRecoveryOnly
	}
	if r.NoRecovery {
		flags |= rosterNoRecovery
	}
	b = appendU32(append(b, r.Threshold, flags), uint32(r.GenerationLife/time.Second))
	b = appendU16(b, uint16(len(r.Members)))
	for _, m := range r.Members {
		b = append(appendString(append(b, byte(m.Role)), m.Name), m.Key...)
		b = append(appendU64(b, notAfterMillis(m.NotAfter)), byte(len(m.Streams)))
		for _, s := range m.Streams {
			b = append(b, s[:]...)
		}
	}
	return b
}

func notAfterMillis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(millis(t))
}

func parseRoster(b []byte) (*Roster, error) {
	rd := reader{b: b}
	if v := rd.u8(); v != formatVersion {
		return nil, refuse(ErrVersion, "roster version byte %d", v)
	}
	r := &Roster{Version: rd.u32()}
	rd.fill(r.Previous[:])
	r.Issued, r.Expires = fromMillis(int64(rd.u64())), fromMillis(int64(rd.u64()))
	r.Threshold = rd.u8()
	flags := rd.u8()
	r.RecoveryOnlyAfterExpiry, r.NoRecovery = flags&rosterRecoveryOnly != 0, flags&rosterNoRecovery != 0
	r.GenerationLife = time.Duration(rd.u32()) * time.Second
	for n := int(rd.u16()); n > 0 && !rd.bad && len(r.Members) < maxMembers; n-- {
		r.Members = append(r.Members, parseMember(&rd))
	}
	if !rd.done() || flags > 3 {
		return nil, refuse(ErrFormat, "roster")
	}
	return r, r.check()
}

func parseMember(rd *reader) Member {
	m := Member{Role: Role(rd.u8()), Name: string(rd.bytes(1))}
	m.Key = bytes.Clone(rd.take(m.Role.keyBytes()))
	if ms := rd.u64(); ms != 0 {
		m.NotAfter = fromMillis(int64(ms))
	}
	for n := int(rd.u8()); n > 0 && !rd.bad; n-- {
		var s StreamID
		rd.fill(s[:])
		m.Streams = append(m.Streams, s)
	}
	return m
}

// keyBytes is the size of the public key that a member of this role has, or -1.
func (r Role) keyBytes() int {
	switch r {
	case RoleOwner, RoleProducer, RoleConsumer:
		return 32
	case RoleRecovery:
		return kemBytes
	default:
		return -1
	}
}

// ValidName reports whether a member can have a name: UTF-8, at most 64 bytes, without control characters, which a terminal
// would act upon. docs/formats/e2ee.md §2.
func ValidName(s string) bool {
	return len(s) <= 64 && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// check holds what every roster must, whoever signed it.
func (r *Roster) check() error {
	count, seen := map[Role]int{}, map[string]bool{}
	for _, m := range r.Members {
		if len(m.Key) != m.Role.keyBytes() || !ValidName(m.Name) || len(m.Streams) > maxScope {
			return refuse(ErrFormat, "roster: member %.64q", m.Name)
		}
		if seen[string(m.Key)] {
			return refuse(ErrFormat, "roster: the key of %.64q comes twice", m.Name)
		}
		seen[string(m.Key)] = true
		count[m.Role]++
	}
	switch {
	case r.Version == 0, (r.Version == 1) != (r.Previous == [32]byte{}), !r.Expires.After(r.Issued):
		return refuse(ErrFormat, "roster: version, predecessor or times")
	case r.Threshold == 0, int(r.Threshold) > count[RoleOwner], len(r.Members) > maxMembers:
		return refuse(ErrFormat, "roster: %d of %d owners must sign", r.Threshold, count[RoleOwner])
	case count[RoleRecovery] == 0 && !r.NoRecovery:
		return refuse(ErrFormat, "roster: no recovery recipient, and no waiver")
	case r.GenerationLife < time.Minute || r.GenerationLife > 7*24*time.Hour || r.GenerationLife%time.Second != 0:
		return refuse(ErrFormat, "roster: generation life %v", r.GenerationLife)
	}
	return nil
}

// member finds a key's member.
func (r *Roster) member(fp Fingerprint) *Member {
	for i := range r.Members {
		if r.Members[i].Fingerprint() == fp {
			return &r.Members[i]
		}
	}
	return nil
}

// SignRoster encodes a roster and signs it as each of the owners. Further owners add theirs by CosignRoster.
//
// Errors: ErrFormat when the roster breaks a rule of its own; ErrMisuse when an identity is no owner.
func SignRoster(r Roster, owners ...*Identity) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	body := r.encode()
	signed := append(appendU32(nil, uint32(len(body))), body...)
	return CosignRoster(append(signed, 0), owners...)
}

// CosignRoster adds owners' signatures to a signed roster.
func CosignRoster(signed []byte, owners ...*Identity) ([]byte, error) {
	sr, err := parseSignedRoster(signed)
	if err != nil {
		return nil, err
	}
	out := append(appendU32(nil, uint32(len(sr.body))), sr.body...)
	out = append(out, byte(len(sr.sigs)+len(owners)))
	for _, s := range sr.sigs {
		out = append(append(out, s.by[:]...), s.sig...)
	}
	for _, o := range owners {
		if o.role != RoleOwner {
			return nil, refuse(ErrMisuse, "roster signed by a %v", o.role)
		}
		sig, err := o.sign("roster", sr.body)
		if err != nil {
			return nil, err
		}
		out = append(append(out, o.fp[:]...), sig...)
	}
	if len(sr.sigs)+len(owners) > maxSignatures || len(out) > MaxRosterBytes {
		return nil, refuse(ErrTooLarge, "roster of %d bytes", len(out))
	}
	return out, nil
}

type rosterSignature struct {
	by  Fingerprint
	sig []byte
}

// signedRoster is a roster with its signatures, which parseSignedRoster has not checked.
type signedRoster struct {
	*Roster
	body []byte
	hash [32]byte
	sigs []rosterSignature
}

func parseSignedRoster(b []byte) (*signedRoster, error) {
	if len(b) > MaxRosterBytes {
		return nil, refuse(ErrTooLarge, "roster of %d bytes", len(b))
	}
	rd := reader{b: bytes.Clone(b)}
	sr := &signedRoster{body: rd.bytes(4)}
	n := int(rd.u8())
	for i := 0; i < n && n <= maxSignatures && !rd.bad; i++ {
		var s rosterSignature
		rd.fill(s.by[:])
		s.sig = rd.take(sigBytes)
		sr.sigs = append(sr.sigs, s)
	}
	if !rd.done() {
		return nil, refuse(ErrFormat, "signed roster")
	}
	sr.hash = sum("roster", sr.body)
	var err error
	sr.Roster, err = parseRoster(sr.body)
	return sr, err
}

// ReadRoster shows what a signed roster says. It verifies nothing: only a Trust does.
func ReadRoster(signed []byte) (*Roster, [32]byte, error) {
	sr, err := parseSignedRoster(signed)
	if err != nil {
		return nil, [32]byte{}, err
	}
	return sr.Roster, sr.hash, nil
}

// signedBy reports whether enough owners of by have signed sr. Each counts once.
func (sr *signedRoster) signedBy(by *Roster) bool {
	return len(sr.signers(by)) >= int(by.Threshold)
}

// signers are the owners of by that have signed sr.
func (sr *signedRoster) signers(by *Roster) map[Fingerprint]bool {
	good := map[Fingerprint]bool{}
	for _, s := range sr.sigs {
		if m := by.member(s.by); m != nil && m.Role == RoleOwner && verify(m.Key, "roster", s.sig, sr.body) {
			good[s.by] = true
		}
	}
	return good
}

// SignedBy reports whether an owner of a roster has signed it. It says nothing of whether enough have, or of what came before: a
// Trust does.
//
// Errors: ErrFormat and the like, as ReadRoster.
func SignedBy(signed []byte, owner Fingerprint) (bool, error) {
	sr, err := parseSignedRoster(signed)
	if err != nil {
		return false, err
	}
	return sr.signers(sr.Roster)[owner], nil
}

// Endorsers are the owners of the roster in force that have signed one which is to follow it. It says nothing of whether they are enough.
//
// Errors: ErrRosterGap, ErrRosterFork when it does not follow; ErrFormat and the like, as ReadRoster.
func (t *Trust) Endorsers(signed []byte) ([]Fingerprint, error) {
	sr, err := parseSignedRoster(signed)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	now := t.roster
	t.mu.Unlock()
	switch {
	case sr.Version != now.Version+1:
		return nil, refuse(ErrRosterGap, "have %d, got %d", now.Version, sr.Version)
	case sr.Previous != now.hash:
		return nil, refuse(ErrRosterFork, "roster %d follows another %d", sr.Version, now.Version)
	}
	good := sr.signers(now.Roster)
	return slices.SortedFunc(maps.Keys(good), func(a, b Fingerprint) int { return bytes.Compare(a[:], b[:]) }), nil
}

// Next returns a copy of the roster to edit and sign as the following version.
func (r *Roster) Next(hash [32]byte, issued, expires time.Time) Roster {
	next := *r
	next.Version, next.Previous, next.Issued, next.Expires = r.Version+1, hash, issued, expires
	next.Members = slices.Clone(r.Members)
	return next
}

// Admit adds a member, or replaces the one with the same key.
func (r *Roster) Admit(m Member) {
	r.Members = slices.DeleteFunc(r.Members, func(o Member) bool { return bytes.Equal(o.Key, m.Key) })
	r.Members = append(r.Members, m)
}

// Remove takes a member away from now on. A producer is kept as retired, see Member.NotAfter. It reports whether there was one.
func (r *Roster) Remove(fp Fingerprint, now time.Time) bool {
	m := r.member(fp)
	if m == nil {
		return false
	}
	if m.Role == RoleProducer {
		m.NotAfter = now
		return true
	}
	r.Members = slices.DeleteFunc(r.Members, func(o Member) bool { return o.Fingerprint() == fp })
	return true
}
