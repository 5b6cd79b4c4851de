// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"fmt"
	"testing"
)

// A model of pairing, roster and generation, small enough to walk through all its states. Cryptography is symbolic: who does
// not have a key cannot sign, and digits agree only for the same transcript. The server is the network: it delivers what it
// likes of what it has seen, in any order, as often as it likes, and makes up what it can. The owner admits whom the digits or
// the code vouch for, and may remove the viewer at any time.
//
// Held in every state: a device that has pinned anything has pinned a roster of the owner's one chain, so that two devices at
// one version have the same; versions never go back; the server's key is in no roster of the owner and in no key package; and
// a key package names only members of the roster that the camera has.
//
// Each guard stands for a check of the package, by the name of the function that holds it. Without any one of them the walk
// finds a violation: that is tested, too. What happens to frames is the model in modelframes_test.go.

// Parties, as bits of a set of members or recipients.
const (
	mCamera = 1 << iota
	mViewer
	mServer
)

type guard int

const (
	allGuards      guard = iota
	offerMAC             // Joiner.takeOffer: by code, the offer's MAC
	requestMAC           // Admitter.takeRequest: by code, the request's MAC and fingerprint
	commitment           // Admitter.takeRequest: by digits, the request is the one committed to
	digitsCompared       // Admitter.Digits
	oneTry               // Admitter.Digits: a wrong try ends the pairing
	oneOffer             // Joiner.takeOffer: the first offer counts, and no other after it
	confirmation         // Joiner.Confirm, before which nothing is pinned
	rosterSigned         // Trust.Advance: owners of the roster before have signed
	rosterForward        // Trust.Advance: the next version
	certSignature        // Trust.AddCertificate
	certMember           // Trust.recipients: only members
	newGeneration        // Sealer.ensureGeneration: the basis has changed
	guardCount
)

func (g guard) String() string {
	return [...]string{
		"all", "offer's MAC", "request's MAC", "commitment", "digits", "one try", "one offer", "confirmation", "roster's signature",
		"roster goes forward", "certificate's signature", "recipients are members", "new generation",
	}[g]
}

// kind of a roster or offer: nothing, of the owner, of the server.
const (
	none = iota
	honest
	forged
)

type mDevice struct {
	begun, byCode uint8 // bool
	offer         uint8 // kind
	offerVersion  uint8
	confirmed     uint8
	trust         uint8 // kind
	version       uint8
}

type mOwner struct {
	offered, byCode, sure, dead uint8
	tries                       uint8 // wrong ones
	start                       uint8 // party that the session began with
	at                          uint8 // version offered
	request                     uint8 // party that asks, by its key
}

const mVersions = 4

type mState struct {
	chain [mVersions + 1]uint8 // members by version, from 1
	last  uint8                // version in force at the owner's
	dev   [2]mDevice           // camera, viewer
	owner mOwner
	certs uint8 // at the camera: mViewer its own, mServer the server's in the viewer's name, 8 the server's in its own
	made  uint8 // version under which the present generation was made; 0 none
	wraps uint8 // its recipients
}

// model is one walk, without one of the guards.
type model struct {
	without guard
	next    []mState
}

func (m *model) has(g guard) bool { return m.without != g }

func bit(d int) uint8 { return 1 << d }

// step collects all that can happen in s.
func (m *model) step(s mState) {
	for d := range s.dev {
		m.deviceSteps(s, d)
	}
	m.ownerSteps(s)
	m.requestSteps(s)
	m.cameraSteps(s)
}

func (m *model) to(s mState) { m.next = append(m.next, s) }

func (m *model) deviceSteps(s mState, d int) {
	dev := s.dev[d]
	if dev.begun == 0 {
		for code := range uint8(2) {
			t := s
			t.dev[d].begun, t.dev[d].byCode, t.dev[d].confirmed = 1, code, code
			m.to(t)
		}
		return
	}
	if dev.offer == none || (dev.trust == none && !m.has(oneOffer)) {
		m.offerSteps(s, d)
	}
	if dev.offer == none {
		return
	}
	if dev.confirmed == 0 {
		// The person at the device looks at the owner's screen, which says "match" for the session that it has in mind.
		if (s.owner.sure == 1 && s.owner.byCode == 0 && s.owner.start == bit(d)) || !m.has(confirmation) {
			t := s
			t.dev[d].confirmed = 1
			m.to(t)
		}
		return
	}
	m.rosterSteps(s, d)
}

// offerSteps: the server delivers the owner's offer, or its own.
func (m *model) offerSteps(s mState, d int) {
	mine := s.owner.byCode == 1 && s.owner.start == bit(d)
	if s.owner.offered == 1 && (s.dev[d].byCode == 0 || mine || !m.has(offerMAC)) {
		t := s
		t.dev[d].offer, t.dev[d].offerVersion = honest, s.owner.at
		m.to(t)
	}
	if s.dev[d].byCode == 0 || !m.has(offerMAC) {
		t := s
		t.dev[d].offer, t.dev[d].offerVersion = forged, 1
		m.to(t)
	}
}

// rosterSteps: the server delivers any roster of the owner, or one of its own.
func (m *model) rosterSteps(s mState, d int) {
	base, version := s.dev[d].trust, s.dev[d].version
	if base == none {
		base, version = s.dev[d].offer, s.dev[d].offerVersion
	}
	for v := uint8(1); v <= s.last; v++ {
		if base == honest && (v == version+1 || !m.has(rosterForward)) && (s.dev[d].trust != none || s.chain[v]&bit(d) != 0) {
			t := s
			t.dev[d].trust, t.dev[d].version = honest, v
			m.to(t)
		}
	}
	if base == forged || !m.has(rosterSigned) {
		t := s
		t.dev[d].trust, t.dev[d].version = forged, version+1
		m.to(t)
	}
}

func (m *model) ownerSteps(s mState) {
	if s.owner.offered == 0 {
		for d := range s.dev {
			if s.dev[d].begun == 0 || s.dev[d].trust != none {
				continue
			}
			t := s
			t.owner = mOwner{offered: 1, start: bit(d), byCode: s.dev[d].byCode, at: s.last}
			m.to(t) // the code scanned, or the device's own commitment delivered
			if s.dev[d].byCode == 0 {
				t.owner.start = mServer
				m.to(t) // the server's commitment instead
			}
		}
	} else {
		t := s
		t.owner = mOwner{}
		m.to(t) // given up
	}
	if s.owner.sure == 1 && s.last < mVersions {
		t := s
		t.last++
		t.chain[t.last] = s.chain[s.last] | s.owner.request
		m.to(t.done())
	}
	if s.chain[s.last]&mViewer != 0 && s.last < mVersions {
		t := s
		t.last++
		t.chain[t.last] = s.chain[s.last] &^ mViewer
		m.to(t)
	}
}

// done ends the owner's session when its request is in the roster, but keeps its screen for the person at the device.
func (s mState) done() mState { s.owner.request = 0; return s }

// requestSteps: the server delivers a device's request, or its own; the person types what the device shows.
func (m *model) requestSteps(s mState) {
	o := s.owner
	if o.offered == 0 || o.dead == 1 || o.sure == 1 {
		return
	}
	if o.request == 0 {
		for p := uint8(mCamera); p <= mServer; p <<= 1 {
			if m.acceptable(s, p) {
				t := s
				t.owner.request = p
				if o.byCode == 1 {
					t.owner.sure = 1
				}
				m.to(t)
			}
		}
		return
	}
	for d := range s.dev { // the device that the person stands before
		if s.dev[d].offer == none || s.dev[d].byCode == 1 || o.byCode == 1 {
			continue
		}
		t := s
		if m.sameDigits(s, d) || !m.has(digitsCompared) {
			t.owner.sure = 1
		} else if t.owner.tries++; m.has(oneTry) {
			t.owner.dead = 1
		}
		if t.owner.tries <= 2 {
			m.to(t)
		}
	}
}

// acceptable: does the owner's side take a request by the key of p?
func (m *model) acceptable(s mState, p uint8) bool {
	o := s.owner
	// A device signs its request over the offer that it got; the server signs for itself.
	signed := p == mServer
	for d := range s.dev {
		signed = signed || (bit(d) == p && s.dev[d].offer == honest && s.dev[d].offerVersion == o.at)
	}
	if !signed {
		return false
	}
	if o.byCode == 1 {
		return p == o.start || !m.has(requestMAC)
	}
	return p == o.start || !m.has(commitment)
}

// sameDigits: the transcripts are the same; or, without a commitment, the server has searched for keys that make them agree.
func (m *model) sameDigits(s mState, d int) bool {
	same := s.owner.start == bit(d) && s.dev[d].offer == honest && s.dev[d].offerVersion == s.owner.at && s.owner.request == bit(d)
	return same || (!m.has(commitment) && s.owner.request == mServer)
}

func (m *model) cameraSteps(s mState) {
	cam := s.dev[0]
	if cam.trust != honest {
		return
	}
	members := s.chain[cam.version]
	for _, c := range []uint8{mViewer, mServer, 8} {
		known := members&mViewer != 0 && (c == mViewer || (c == mServer && !m.has(certSignature)))
		known = known || (c == 8 && !m.has(certMember))
		if known && s.certs&c == 0 {
			t := s
			t.certs |= c
			m.to(t)
		}
	}
	if s.made != 0 && !m.has(newGeneration) {
		return
	}
	t := s
	t.made, t.wraps = cam.version, 0
	if members&mViewer != 0 && s.certs&mViewer != 0 {
		t.wraps |= mViewer
	}
	if (members&mViewer != 0 && s.certs&mServer != 0) || s.certs&8 != 0 {
		t.wraps |= mServer
	}
	m.to(t)
}

// violation names what must never be, or is "". before is the state that s came from.
func violation(before, s mState, sealing bool) string {
	for d := range s.dev {
		switch {
		case s.dev[d].trust == forged:
			return fmt.Sprintf("device %d has pinned the server's roster", d)
		case s.dev[d].version < before.dev[d].version:
			return fmt.Sprintf("device %d went back to roster %d", d, s.dev[d].version)
		}
	}
	if s.owner.tries > 1 {
		return "the digits of one pairing are tried twice"
	}
	if s.chain[s.last]&mServer != 0 {
		return "the owner has admitted the server"
	}
	if s.wraps&mServer != 0 {
		return "the server is a recipient"
	}
	if sealing && s.wraps&^s.chain[s.dev[0].version] != 0 {
		return "a removed viewer is a recipient"
	}
	return ""
}

// sealed is what the camera's next fragment is under: the present generation, or a new one when it must be.
func (m *model) sealed(s mState) mState {
	if s.dev[0].trust != honest || s.made == 0 {
		return s
	}
	if m.has(newGeneration) && s.made != s.dev[0].version {
		before := len(m.next)
		m.cameraSteps(s)
		t := m.next[len(m.next)-1]
		m.next = m.next[:before]
		return t
	}
	return s
}

// walk visits all states and returns how many, what it reached, and the first violation.
func (m *model) walk() (states int, used, removed bool, found string) {
	first := mState{last: 1}
	seen, queue := map[mState]bool{first: true}, []mState{first}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		m.next = m.next[:0]
		m.step(s)
		steps := append([]mState(nil), m.next...)
		for _, t := range steps {
			if v := violation(s, t, false); v != "" {
				return len(seen), used, removed, v
			}
			if v := violation(t, m.sealed(t), true); v != "" {
				return len(seen), used, removed, v
			}
			used = used || t.wraps == mViewer
			removed = removed || (used && t.made > 1 && t.chain[t.made-1]&mViewer != 0 && t.wraps == 0 && t.chain[t.made]&mViewer == 0)
			if !seen[t] {
				seen[t] = true
				queue = append(queue, t)
			}
		}
	}
	return len(seen), used, removed, ""
}

func TestModelHolds(t *testing.T) {
	m := &model{}
	states, used, removed, found := m.walk()
	if found != "" || !used || !removed {
		t.Fatalf("%d states: %q, viewer served %v, viewer removed %v", states, found, used, removed)
	}
	t.Logf("%d states", states)
}

func TestModelNeedsEachGuard(t *testing.T) {
	for g := allGuards + 1; g < guardCount; g++ {
		m := &model{without: g}
		states, _, _, found := m.walk()
		if found == "" {
			t.Errorf("without %v nothing goes wrong in %d states", g, states)
			continue
		}
		t.Logf("without %v: %s", g, found)
	}
}
