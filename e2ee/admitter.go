// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/subtle"
	"strings"
	"time"
)

// Admitter is the owner's side of one pairing: Scan by code, or Handle the commitment by digits; then Handle the request, by
// digits also Digits; then Admit. It is for one goroutine, and for one pairing.
type Admitter struct {
	owner *Identity
	trust *Trust
	now   func() time.Time

	code    *PairingCode
	start   [32]byte
	offer   *offer
	request *request
	digits  string
	sure    bool // the request is authentic
	dead    error
}

// NewAdmitter prepares a pairing. now may be nil for time.Now.
//
// Errors: ErrMisuse when owner is not an owner in the roster in force.
func NewAdmitter(owner *Identity, trust *Trust, now func() time.Time) (*Admitter, error) {
	r, _ := trust.Roster()
	if m := r.member(owner.fp); m == nil || m.Role != RoleOwner {
		return nil, refuse(ErrMisuse, "only an owner can admit devices")
	}
	if now == nil {
		now = time.Now
	}
	return &Admitter{owner: owner, trust: trust, now: now}, nil
}

// Scan takes the code that a device shows, and returns the offer to send.
//
// Errors: ErrFormat, ErrExpired; ErrMisuse for this device's own code; ErrUsed when this Admitter has begun already.
func (a *Admitter) Scan(text string) ([]byte, error) {
	c, err := ParseCode(text)
	switch {
	case err != nil:
		return nil, err
	case a.offer != nil:
		return nil, refuse(ErrUsed, "pairing")
	case a.now().After(c.Expires):
		return nil, refuse(ErrExpired, "pairing")
	case c.Role != RoleProducer && c.Role != RoleConsumer:
		return nil, refuse(ErrMisuse, "this is the code of an owner, not of a new device")
	}
	a.code, a.start = &c, c.start()
	return a.makeOffer(), nil
}

func (a *Admitter) makeOffer() []byte {
	o := &offer{by: a.owner.fp, roster: a.trust.Signed()}
	rand.Read(o.nonce[:])
	a.offer = o
	body := o.body()
	if a.code != nil {
		o.mac = pairMAC(*a.code, "offer", transcript(a.start, body))
	}
	return withMAC(body, o.mac)
}

// Handle takes a message of the device: a commitment, which the offer answers, or a request, which needs no answer but a
// person's decision.
//
// Errors: ErrPairing when the message is not authentic or out of order. A wrong message changes nothing, except that a request
// that breaks its commitment ends the pairing.
func (a *Admitter) Handle(m []byte) ([]byte, error) {
	switch {
	case a.dead != nil:
		return nil, a.dead
	case len(m) == 33 && m[0] == msgCommit && a.offer == nil:
		a.start = [32]byte(m[1:])
		return a.makeOffer(), nil
	case len(m) > 0 && len(m) <= maxPairing && m[0] == msgRequest && a.offer != nil && a.request == nil:
		return nil, a.takeRequest(m)
	default:
		return nil, refuse(ErrPairing, "message out of place")
	}
}

func (a *Admitter) takeRequest(m []byte) error {
	q, ok := parseRequest(append([]byte(nil), m...))
	if !ok || (q.role != RoleProducer && q.role != RoleConsumer) || !ValidName(q.name) {
		return refuse(ErrPairing, "request")
	}
	t2 := transcript(a.start, a.offer.body(), q.body())
	if !verify(q.public, "pairing", q.sig, t2[:]) {
		return refuse(ErrPairing, "request not signed by the device")
	}
	if err := q.checkCertificate(); err != nil {
		return err
	}
	if a.code != nil {
		if FingerprintOf(q.role, q.public) != a.code.Fingerprint || !hmac.Equal(q.mac, pairMAC(*a.code, "request", t2)) {
			return refuse(ErrPairing, "the request is not from the device that showed the code")
		}
		a.request, a.sure = q, true
		return nil
	}
	if commitment := sum("pairing commitment", q.body()); commitment != a.start {
		a.dead = refuse(ErrPairing, "the device did not keep to its commitment")
		return a.dead
	}
	a.request, a.digits = q, digitsOf(t2)
	return nil
}

// checkCertificate: a viewing device brings a certificate of its own, a camera none.
func (q *request) checkCertificate() error {
	if q.role == RoleProducer && len(q.certificate) == 0 {
		return nil
	}
	c, err := parseCertificate(q.certificate)
	if err != nil {
		return err
	}
	if q.role != RoleConsumer || c.device != FingerprintOf(q.role, q.public) || !c.verify(q.public) {
		return refuse(ErrCertificate, "in the request")
	}
	return nil
}

// Digits compares what the owner typed with what this side computed. There is one try: a wrong one ends the pairing, and
// nothing was added. This side never shows the digits.
//
// Errors: ErrDigits; ErrMisuse before the request.
func (a *Admitter) Digits(typed string) error {
	if a.dead != nil {
		return a.dead
	}
	if a.digits == "" {
		return refuse(ErrMisuse, "no digits to compare")
	}
	want := strings.ReplaceAll(a.digits, " ", "")
	got := strings.NewReplacer(" ", "", "-", "").Replace(typed)
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		a.dead = refuse(ErrDigits, "pairing")
		return a.dead
	}
	a.sure = true
	return nil
}

// Candidate returns the authentic device as the roster's member that it would be, for a person to decide and to edit.
//
// Errors: ErrMisuse before it is authentic.
func (a *Admitter) Candidate() (Member, error) {
	if a.dead != nil {
		return Member{}, a.dead
	}
	if !a.sure {
		return Member{}, refuse(ErrMisuse, "no authentic request yet")
	}
	return Member{Role: a.request.role, Name: a.request.name, Key: a.request.public}, nil
}

// Admit signs the next roster with the member in it, takes it into the owner's own Trust, and returns it with the welcome for
// the device. The member's key must be the candidate's; name, streams and end are the owner's to choose. If the roster wants
// more than one signature, use SignRoster, CosignRoster and Welcome instead.
//
// Errors: ErrMisuse; those of SignRoster and Trust.
func (a *Admitter) Admit(m Member, expires time.Time) (signed, welcome []byte, err error) {
	c, err := a.Candidate()
	if err != nil {
		return nil, nil, err
	}
	if m.Role != c.Role || string(m.Key) != string(c.Key) {
		return nil, nil, refuse(ErrMisuse, "another device than was paired")
	}
	r, hash := a.trust.Roster()
	next := r.Next(hash, a.now(), expires)
	next.Admit(m)
	if signed, err = SignRoster(next, a.owner); err != nil {
		return nil, nil, err
	}
	if err := a.trust.Advance(signed); err != nil {
		return nil, nil, err
	}
	if len(a.request.certificate) > 0 {
		err = a.trust.AddCertificate(a.request.certificate)
	}
	return signed, Welcome(signed), err
}

// Certificate returns the viewing device's certificate, to hand on to the cameras.
func (a *Admitter) Certificate() []byte {
	if !a.sure {
		return nil
	}
	return a.request.certificate
}

// Welcome is the message that tells a device of the roster that admits it.
func Welcome(signed []byte) []byte {
	return append(appendU32([]byte{msgWelcome}, uint32(len(signed))), signed...)
}
