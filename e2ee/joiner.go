// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/hmac"
	"crypto/rand"
	"time"
)

// JoinerConfig is a device that wants in.
type JoinerConfig struct {
	Identity    *Identity // of RoleProducer or RoleConsumer
	Name        string    // suggested to the owner, at most 64 bytes
	Certificate []byte    // a consumer's first
	Endpoint    string    // for the code
	Save        func([]byte) error
	Now         func() time.Time // default time.Now
}

// Joiner is the device's side of one pairing: Code or Commit once, then Handle for every message, and by digits Confirm in
// between. A wrong message changes nothing. It is for one goroutine, and for one pairing.
type Joiner struct {
	cfg     JoinerConfig
	code    *PairingCode
	request request
	start   [32]byte
	started bool

	offer     *offer
	pinned    *signedRoster
	digits    string
	confirmed bool
	trust     *Trust
}

// NewJoiner prepares a pairing.
//
// Errors: ErrMisuse when the configuration is incomplete.
func NewJoiner(cfg JoinerConfig) (*Joiner, error) {
	id := cfg.Identity
	if id == nil || id.role == RoleOwner || !ValidName(cfg.Name) || len(cfg.Endpoint) > 255 || cfg.Save == nil {
		return nil, refuse(ErrMisuse, "joiner: identity, name, endpoint or save")
	}
	if (id.role == RoleConsumer) != (len(cfg.Certificate) == certificateBytes) {
		return nil, refuse(ErrMisuse, "joiner: a viewing device brings its certificate, a camera none")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	j := &Joiner{cfg: cfg, request: request{role: id.role, public: id.public, name: cfg.Name, certificate: cfg.Certificate}}
	rand.Read(j.request.nonce[:])
	return j, nil
}

// Code begins pairing by code: show it, good for PairingLife and for one scan.
func (j *Joiner) Code() PairingCode {
	if j.code == nil && !j.started {
		c := PairingCode{Role: j.cfg.Identity.role, Fingerprint: j.cfg.Identity.fp, Endpoint: j.cfg.Endpoint}
		c.Expires = fromMillis(millis(j.cfg.Now().Add(PairingLife)))
		rand.Read(c.Secret[:])
		j.code, j.start, j.started, j.confirmed = &c, c.start(), true, true
	}
	if j.code == nil {
		return PairingCode{}
	}
	return *j.code
}

// Commit begins pairing by digits: send the message.
func (j *Joiner) Commit() []byte {
	j.started = true
	j.start = sum("pairing commitment", j.request.body())
	return append([]byte{msgCommit}, j.start[:]...)
}

// Handle takes a message of the owner's side and returns the answer, if there is one. Done tells when the pairing is complete.
//
// Errors: ErrPairing when a message is not authentic or out of order; ErrUsed for a second offer; ErrExpired; ErrNotAdmitted
// when the welcome does not name this device; those of Trust.
func (j *Joiner) Handle(m []byte) ([]byte, error) {
	if !j.started || len(m) == 0 || len(m) > maxPairing {
		return nil, refuse(ErrPairing, "message out of place")
	}
	switch m[0] {
	case msgOffer:
		return j.takeOffer(m)
	case msgWelcome:
		return nil, j.takeWelcome(m)
	default:
		return nil, refuse(ErrPairing, "unknown message")
	}
}

func (j *Joiner) takeOffer(m []byte) ([]byte, error) {
	o, ok := parseOffer(append([]byte(nil), m...))
	if !ok {
		return nil, refuse(ErrPairing, "offer")
	}
	t1 := transcript(j.start, o.body())
	if j.code != nil && !hmac.Equal(o.mac, pairMAC(*j.code, "offer", t1)) {
		return nil, refuse(ErrPairing, "the offer is from nobody who saw the code")
	}
	if j.offer != nil {
		return nil, refuse(ErrUsed, "pairing")
	}
	if j.code != nil && j.cfg.Now().After(j.code.Expires) {
		return nil, refuse(ErrExpired, "pairing")
	}
	sr, err := parseSignedRoster(o.roster)
	if err != nil {
		return nil, err
	}
	if by := sr.member(o.by); by == nil || by.Role != RoleOwner || !sr.signedBy(sr.Roster) {
		return nil, refuse(ErrPairing, "the offered roster is not its owners'")
	}
	return j.answer(o, sr)
}

// answer reveals the device to whoever made the offer.
func (j *Joiner) answer(o *offer, sr *signedRoster) ([]byte, error) {
	q := &j.request
	t2 := transcript(j.start, o.body(), q.body())
	sig, err := j.cfg.Identity.sign("pairing", t2[:])
	if err != nil {
		return nil, err
	}
	q.sig = sig
	if j.code != nil {
		q.mac = pairMAC(*j.code, "request", t2)
	} else {
		j.digits = digitsOf(t2)
	}
	j.offer, j.pinned = o, sr
	return withMAC(append(q.body(), q.sig...), q.mac), nil
}

// Owner returns who asks to be this device's owner, and the roster offered; false before there was an offer. By digits it is
// not authentic before Confirm.
func (j *Joiner) Owner() (Fingerprint, *Roster, bool) {
	if j.offer == nil {
		return Fingerprint{}, nil, false
	}
	return j.offer.by, j.pinned.Roster, true
}

// Digits returns the seven digits to show, once there was an offer.
func (j *Joiner) Digits() (string, bool) { return j.digits, j.digits != "" }

// Confirm is called when the person at the device has seen the owner's screen say that the codes match. Never call it for any
// other reason: before it, nothing is pinned.
func (j *Joiner) Confirm() error {
	if j.digits == "" {
		return refuse(ErrMisuse, "no digits to confirm")
	}
	j.confirmed = true
	return nil
}

func (j *Joiner) takeWelcome(m []byte) error {
	r := reader{b: m[1:]}
	signed := r.bytes(4)
	switch {
	case !r.done() || j.offer == nil:
		return refuse(ErrPairing, "welcome")
	case !j.confirmed:
		return refuse(ErrMisuse, "the digits are not confirmed")
	case j.trust != nil:
		return j.trust.Advance(signed)
	}
	// Nothing is saved before the whole chain is checked.
	var state []byte
	keep := func(b []byte) error { state = b; return nil }
	t, err := NewTrust(Pin{j.pinned.Version, j.pinned.hash}, j.offer.roster, j.cfg.Identity.fp, keep)
	if err != nil {
		return err
	}
	if err := t.Advance(signed); err != nil {
		return err
	}
	if me := t.roster.member(j.cfg.Identity.fp); me == nil || me.Role != j.cfg.Identity.role {
		return refuse(ErrNotAdmitted, "roster %d", t.roster.Version)
	}
	t.save = j.cfg.Save
	if err := t.save(state); err != nil {
		return err
	}
	j.trust = t
	return nil
}

// Done returns the device's view of the roster when the pairing is complete.
func (j *Joiner) Done() (*Trust, bool) { return j.trust, j.trust != nil }
