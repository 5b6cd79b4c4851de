// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"flag"
	"fmt"
	"testing"
)

// A model of what becomes of frames when the server is the network and one of the viewers is its accomplice: Mallory, who gives
// it all that she is a recipient of, while she is on the roster and after. It begins where pairing has ended: the camera and
// another viewer, Ben, have pinned roster 1, which has Ben and Mallory, and the camera has Ben's certificate.
//
// The owner may remove Mallory, or let her certificate run out. Two owners, whom the server shows different mailboxes, may sign two
// rosters of one version. The camera seals, restarts, and may have its folder put back to what it was. The server keeps back, repeats, reorders and cuts what it has; rewrites it; makes up rosters,
// certificates, statements and key packages; and forges frames in every generation whose secret it or Mallory has.
//
// Held in every state, and at every step:
//
//	secrecy       what the camera seals under a roster without Mallory is under no secret that she or the server has
//	authenticity  Ben is released nothing by who has no key, and confirms only what the camera sent, in its order
//	freshness     Ben, who watches live, confirms nothing of another time
//	removal       once Ben has confirmed a fragment that is closed to Mallory, nothing is released that she forges in a generation
//	              before, nor is anything confirmed under an older roster
//	window        of fragments that are not confirmed no two are released in a row
//	agreement     nobody takes a roster of the server's, goes back, or goes over to another owner's rosters of versions that it has
//	              had; and Ben confirms nothing sealed under another roster than he has had of that version
//
// Cryptography is symbolic, as in model_test.go. Not in it: digests that chain fragments, which are against who has the camera's
// key; the header's code, for what it protects is bound into every frame as well; grants; and the content of gaps, which are
// arithmetic. The walk is exhaustive within its bounds: three versions, three generations, two sessions, three fragments, or four by -fragments=4.

type frameGuard int

const (
	allFrameGuards  frameGuard = iota
	signedByOwners             // Trust.Advance: signedBy
	nextVersion                // Trust.Advance: no older, and none left out
	followsMine                // Trust.Advance: names the hash of the one in force
	certificateSign            // Trust.AddCertificate
	recipientsOnly             // Trust.snapshot: members
	renewedSecret              // Sealer.ensureGeneration
	statementSign              // Opener.generation: st.verify
	committed                  // secretOf.adopt
	bound                      // bind: a frame opens in its own fragment only
	rising                     // Opener.place: sequence
	generationRises            // Opener.place: ErrStale, generation
	rosterRises                // Opener.place: ErrStale, roster
	startsLater                // Opener.placeSession: earlier
	inTime                     // Opener.timely
	fragmentSign               // Opener.confirm
	heldBack                   // Opener.holdBack
	receipt                    // Trust.contradicts
	frameGuardCount
)

func (g frameGuard) String() string {
	return [...]string{
		"all", "roster's signature", "next version", "roster follows", "certificate's signature", "recipients are members", "new secret",
		"statement's signature", "commitment", "binding of frames", "sequence", "generation rises", "roster rises", "session starts later", "time", "fragment's signature",
		"holding back", "receipt",
	}[g]
}

// Who is on a roster or a recipient, as bits.
const (
	fBen = 1 << iota
	fMallory
	fServer
)

// Branches of rosters.
const (
	fTrue   = iota // the owner's
	fOther         // another owner's, of one version
	fForged        // the server's
)

// Certificates at the camera, as bits.
const (
	cBen     = 1 << iota
	cMallory // her key, in her name
	cForBen  // the server's key, in Ben's name
	cOut     // the server's key, in the name of who is no member
	cGone    // hers has run out
)

const (
	fVersions  = 3
	fGens      = 3
	fFragments = 4 // at most
)

var modelFragments = flag.Int("fragments", 3, "how many fragments the model of frames has; 4 takes a quarter of a minute and 2 GB")

// fTrust is what a device has pinned.
type fTrust struct{ version, branch uint8 }

type fGen struct {
	trust   fTrust // under which it was made
	wraps   uint8
	session uint8
}

type fFragment struct {
	gen  uint8 // from 1; 0 is no fragment
	hour uint8 // when it was captured
}

type fState struct {
	removedAt uint8 // version from which Mallory is off the true rosters; 0 never
	last      uint8 // true version
	otherAt   uint8 // version that has a second roster, which still has Mallory; 0 none
	certs     uint8
	cam, ben  fTrust
	session   uint8
	gens      [fGens]fGen
	made      uint8 // generations
	basis     uint8 // certs that the last generation was made with
	sent      [fFragments]fFragment
	count     uint8 // fragments sent
	hour      uint8

	pos   uint8 // of the fragment that Ben has confirmed last, from 1
	hold  uint8 // the next fragment is held back
	loose uint8 // fragments released in a row and not confirmed
}

// device is what the camera (0) or Ben (1) has pinned.
func (s *fState) device(n int) *fTrust {
	if n == 0 {
		return &s.cam
	}
	return &s.ben
}

// members are who is on a roster, as recipients.
func (s *fState) members(t fTrust) uint8 {
	switch {
	case t.branch == fForged:
		return fBen | fMallory | fServer
	case t.branch == fOther, s.removedAt == 0, t.version < s.removedAt:
		return fBen | fMallory
	default:
		return fBen
	}
}

// frameModel is one walk, without one of the guards.
type frameModel struct {
	without frameGuard
	next    []fState
	wrong   string
	reached struct{ confirmed, removed, window, forked bool }
}

func (m *frameModel) has(g frameGuard) bool { return m.without != g }

func (m *frameModel) to(s fState) { m.next = append(m.next, s) }

// bad notes a violation.
func (m *frameModel) bad(format string, args ...any) {
	if m.wrong == "" {
		m.wrong = fmt.Sprintf(format, args...)
	}
}

func (m *frameModel) step(s fState) {
	m.owners(s)
	m.rosters(s)
	if !full(&s) {
		m.certificates(s)
		m.camera(s)
	}
	if s.hour == 0 {
		t := s
		t.hour++
		m.to(t) // an hour passes
	}
	m.watch(s)
}

// full: the camera has sent all that the model has room for.
func full(s *fState) bool { return int(s.count) == min(*modelFragments, fFragments) }

func (m *frameModel) owners(s fState) {
	if s.last == fVersions {
		return
	}
	t := s
	t.last++
	m.to(t) // something else changes
	if s.removedAt == 0 {
		t.removedAt = t.last
		m.to(t)
		if s.otherAt == 0 {
			t.otherAt = t.last
			m.to(t) // and another owner signs a roster of that version too, with Mallory on it
		}
	}
}

// rosters: the server delivers what it likes to either device.
func (m *frameModel) rosters(s fState) {
	for device := range 2 {
		// Until there are two rosters of a version it does not matter which Ben has: he can take them later. Nor does it matter
		// which the camera has that sends nothing more.
		if device == 1 && s.otherAt == 0 || device == 0 && full(&s) {
			continue
		}
		now := *s.device(device)
		for v := uint8(1); v <= fVersions; v++ {
			for branch := uint8(fTrue); branch <= fForged; branch++ {
				if to := (fTrust{v, branch}); to != now && m.takes(&s, now, to) {
					t := s
					*t.device(device) = to
					m.agree(&s, now, to)
					m.to(t)
				}
			}
		}
	}
}

// takes: does a device that has one roster take another?
func (m *frameModel) takes(s *fState, now, to fTrust) bool {
	switch to.branch {
	case fTrue:
		if to.version > s.last {
			return false
		}
	case fOther:
		if to.version != s.otherAt {
			return false
		}
	default:
		if m.has(signedByOwners) {
			return false
		}
	}
	if m.has(nextVersion) && to.version != now.version+1 {
		return false
	}
	follows := now.branch == fTrue // the other owner's roster follows a true one, and no true one follows it
	return follows || !m.has(followsMine) || to.branch == fForged
}

// agree holds a change of roster to go forward on one side.
func (m *frameModel) agree(s *fState, now, to fTrust) {
	switch {
	case to.branch == fForged:
		m.bad("a device takes the server's roster")
	case to.version < now.version:
		m.bad("a device goes back to roster %d", to.version)
	case to.version == now.version:
		m.bad("a device takes a second roster %d", to.version)
	case now.branch == fOther:
		m.bad("a device goes over to the rosters of the other owner")
	case to.branch == fOther && now.version >= s.otherAt:
		m.bad("a device takes the other roster %d after a true one", s.otherAt)
	}
}

// certificates: the server delivers to the camera what it likes.
func (m *frameModel) certificates(s fState) {
	members := s.members(s.cam)
	m.certificate(s, cMallory, s.certs&cGone == 0 && (members&fMallory != 0 || !m.has(recipientsOnly)))
	m.certificate(s, cForBen, !m.has(certificateSign))
	m.certificate(s, cOut, !m.has(recipientsOnly))
}

func (m *frameModel) certificate(s fState, c uint8, taken bool) {
	if taken && s.certs&c == 0 {
		s.certs |= c
		m.to(s)
	}
}

// recipients of what the camera seals now.
func (m *frameModel) recipients(s *fState) (to uint8) {
	members := s.members(s.cam)
	if s.certs&cBen != 0 {
		to |= fBen
	}
	if s.certs&cMallory != 0 && (members&fMallory != 0 || !m.has(recipientsOnly)) {
		to |= fMallory
	}
	if s.certs&(cForBen|cOut) != 0 {
		to |= fServer
	}
	return to
}

func (m *frameModel) camera(s fState) {
	if s.session == 0 && s.count > 0 {
		t := s
		t.session++
		m.to(t) // it restarts
		t.cam = fTrust{1, fTrue}
		m.to(t) // with a folder of long ago
	}
	if s.certs&cMallory != 0 {
		t := s
		t.certs ^= cMallory | cGone
		m.to(t) // time passes
	}
	t := s
	if !m.present(&t) {
		return
	}
	g := t.gens[t.made-1]
	if g.wraps&^s.members(s.cam) != 0 || g.wraps&fServer != 0 {
		m.bad("what is sealed under roster %d is open to %03b", s.cam.version, g.wraps)
	}
	m.reached.removed = m.reached.removed || (g.wraps == fBen && t.made > 1 && t.gens[t.made-2].wraps&fMallory != 0)
	t.sent[t.count] = fFragment{t.made, t.hour}
	t.count++
	m.to(t)
}

// present makes the camera's generation the one that it must be. It fails when there is none.
func (m *frameModel) present(s *fState) bool {
	g := fGen{s.cam, m.recipients(s), s.session}
	if s.made > 0 {
		last := s.gens[s.made-1]
		same := last == g && s.basis == s.certs
		if same || (!m.has(renewedSecret) && last.session == s.session) {
			return true
		}
	}
	if g.wraps == 0 || s.made == fGens {
		return false
	}
	s.gens[s.made] = g
	s.made++
	s.basis = s.certs
	return true
}

// watch: the server delivers a fragment to Ben, who goes on after every refusal.
func (m *frameModel) watch(s fState) {
	for i := range s.count {
		f := s.sent[i]
		m.fragment(s, f, i+1, true)  // as it was sent
		m.fragment(s, f, i+1, false) // cut before its signature
	}
	for g := range s.made {
		known := s.gens[g].wraps&(fMallory|fServer) != 0
		if known || !m.has(committed) || !m.has(bound) {
			m.forgery(s, g+1, known)
		}
	}
	if !m.has(statementSign) {
		m.release(&s, false)
	}
}

// allowed: does Ben begin to open a fragment of a generation, which says that it comes after at, and is of an hour?
func (m *frameModel) allowed(s *fState, gen, hour uint8) bool {
	g := s.gens[gen-1]
	switch {
	case g.wraps&fBen == 0:
		return false
	case m.has(receipt) && contradictory(s, g.trust):
		return false
	case m.has(inTime) && hour != s.hour:
		return false
	case s.pos == 0:
		return true
	}
	at := s.sent[s.pos-1].gen
	last := s.gens[at-1]
	if m.has(rosterRises) && g.trust.version < last.trust.version {
		return false
	}
	return !m.has(generationRises) || g.session != last.session || gen >= at
}

// contradictory: has Ben had another roster of that version?
func contradictory(s *fState, t fTrust) bool {
	return s.ben.version >= t.version && branchAt(s, s.ben, t.version) != branchAt(s, t, t.version)
}

// branchAt is on which side a device was at a version, that now stands at t.
func branchAt(s *fState, t fTrust, version uint8) uint8 {
	if t.branch == fOther && version < s.otherAt {
		return fTrue
	}
	return t.branch
}

// fragment delivers one that the camera sent, whole or cut short.
func (m *frameModel) fragment(s fState, f fFragment, at uint8, whole bool) {
	if !m.allowed(&s, f.gen, f.hour) || (m.has(rising) && at <= s.pos) {
		return
	}
	if !whole {
		m.release(&s, true)
		return
	}
	switch {
	case at <= s.pos:
		m.bad("fragment %d is confirmed after %d", at, s.pos)
	case f.hour != s.hour:
		m.bad("an old fragment is confirmed as live")
	case contradictory(&s, s.gens[f.gen-1].trust):
		m.bad("a fragment is confirmed under another roster %d", s.gens[f.gen-1].trust.version)
	case s.pos > 0 && s.gens[f.gen-1].trust.version < s.gens[s.sent[s.pos-1].gen-1].trust.version:
		m.bad("a fragment is confirmed under an older roster")
	}
	m.reached.confirmed = true
	m.reached.forked = m.reached.forked || s.gens[f.gen-1].trust.branch == fOther
	s.pos, s.hold, s.loose = at, 0, 0
	m.to(s)
}

// forgery delivers a fragment that the server has made in a generation, with its secret or without; it says of it what it likes.
func (m *frameModel) forgery(s fState, gen uint8, known bool) {
	if !m.allowed(&s, gen, s.hour) {
		return
	}
	if !m.has(fragmentSign) && known {
		m.bad("a forged fragment is confirmed")
	}
	if s.pos > 0 {
		at := s.sent[s.pos-1].gen
		last := s.gens[at-1]
		if m.has(startsLater) && s.gens[gen-1].session < last.session {
			return // refused, or held back until it is signed
		}
		if known && s.hold == 0 && gen < at && last.wraps&fMallory == 0 {
			m.bad("Mallory's forgery is released after one that is closed to her")
		}
	}
	m.release(&s, known)
}

// release is what comes of a fragment that is not confirmed.
func (m *frameModel) release(s *fState, authentic bool) {
	if s.hold == 0 || !m.has(heldBack) {
		if !authentic {
			m.bad("what somebody without a key has made is released")
		}
		s.loose++
		m.reached.window = true
	}
	if s.loose > 1 {
		m.bad("two fragments in a row are released and not confirmed")
		return
	}
	s.hold = 1
	m.to(*s)
}

// walk visits all states, and returns how many there are.
func (m *frameModel) walk() (states int) {
	first := fState{last: 1, certs: cBen, cam: fTrust{1, fTrue}, ben: fTrust{1, fTrue}}
	seen, queue := map[fState]struct{}{first: {}}, []fState{first}
	m.next = make([]fState, 0, 64)
	for i := 0; i < len(queue) && m.wrong == ""; i++ {
		s := queue[i]
		m.next = m.next[:0]
		m.step(s)
		for _, t := range m.next {
			if _, ok := seen[t]; !ok {
				seen[t] = struct{}{}
				queue = append(queue, t)
			}
		}
	}
	return len(seen)
}

func TestFramesModelHolds(t *testing.T) {
	m := &frameModel{}
	states := m.walk()
	if m.wrong != "" {
		t.Fatalf("%d states: %s", states, m.wrong)
	}
	if r := m.reached; !r.confirmed || !r.removed || !r.window || !r.forked {
		t.Errorf("the walk does not reach all that it is about: %+v", r)
	}
	t.Logf("%d states", states)
}

func TestFramesModelNeedsEachGuard(t *testing.T) {
	for g := allFrameGuards + 1; g < frameGuardCount; g++ {
		m := &frameModel{without: g}
		if states := m.walk(); m.wrong == "" {
			t.Errorf("without %v nothing goes wrong in %d states", g, states)
			continue
		}
		t.Logf("without %v: %s", g, m.wrong)
	}
}
