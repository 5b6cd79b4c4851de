// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// Pairing makes a new device and an owner know each other through a server that neither trusts (docs/formats/e2ee.md §9).
//
//	by code      the device shows a secret that never passes the server; both messages carry a MAC under it
//	by digits    the device commits, the owner's side answers, the device reveals: seven digits that both can compute, and of
//	             which nobody between them can choose any. The device shows them, the owner types them.
//
//	device                         owner
//	   ── commit (digits only) ──▶
//	   ◀───────── offer ─────────     the roster in force: what the device will pin
//	   ───────── request ────────▶    the device's keys
//	                                  a person decides; the owner signs a roster with the device in it
//	   ◀──────── welcome ────────     that roster
const (
	// PairingLife is how long a code is good.
	PairingLife = 10 * time.Minute

	msgCommit  = 1
	msgOffer   = 2
	msgRequest = 3
	msgWelcome = 4

	pairSecretBytes = 16
	pairNonceBytes  = 16
	maxPairing      = MaxRosterBytes + 4096
)

// PairingCode is what a new device shows as a square code: whoever scans it has stood in front of the device.
type PairingCode struct {
	Role        Role
	Fingerprint Fingerprint
	Secret      [pairSecretBytes]byte
	Expires     time.Time
	Endpoint    string // the server's address as the device knows it, at most 255 bytes
}

func (c PairingCode) bytes() []byte {
	b := append([]byte{formatVersion, byte(c.Role)}, c.Fingerprint[:]...)
	b = appendU64(append(b, c.Secret[:]...), uint64(millis(c.Expires)))
	b = appendString(b, c.Endpoint)
	check := sum("code check", b)
	return append(b, check[:3]...)
}

// Text is the code in capital letters and digits, for a square code's alphanumeric mode, or to be typed.
func (c PairingCode) Text() string { return crockford.EncodeToString(c.bytes()) }

// Groups is Text in groups of four letters.
func (c PairingCode) Groups() string { return groups(c.Text()) }

// ParseCode reads Text or Groups. Errors: ErrFormat.
func ParseCode(s string) (PairingCode, error) {
	if len(s) > 2048 {
		return PairingCode{}, refuse(ErrFormat, "pairing code")
	}
	b, err := crockford.DecodeString(ungroup(s))
	r, c := reader{b: b}, PairingCode{}
	version := r.u8()
	c.Role = Role(r.u8())
	r.fill(c.Fingerprint[:])
	r.fill(c.Secret[:])
	c.Expires = fromMillis(int64(r.u64()))
	c.Endpoint = string(r.bytes(1))
	r.take(3)
	if err != nil || !r.done() || c.Text() != ungroup(s) {
		return PairingCode{}, refuse(ErrFormat, "pairing code: a letter is wrong or missing")
	}
	if version != formatVersion {
		return PairingCode{}, refuse(ErrVersion, "pairing code version %d", version)
	}
	return c, nil
}

// pairMAC authenticates one direction of a pairing by code.
func pairMAC(c PairingCode, direction string, transcript [32]byte) []byte {
	key, err := hkdf.Key(sha256.New, c.Secret[:], nil, label+"pairing "+direction, secretBytes)
	if err != nil {
		panic("e2ee: hkdf: " + err.Error())
	}
	m := hmac.New(sha256.New, key)
	m.Write(transcript[:])
	return m.Sum(nil)
}

// start is the first thing both sides have in common: the commitment, or the code.
func (c PairingCode) start() [32]byte { return sum("pairing code", c.bytes()) }

// offer is the owner's side: what a device is to pin.
type offer struct {
	by     Fingerprint
	nonce  [pairNonceBytes]byte
	roster []byte
	mac    []byte
}

func (o *offer) body() []byte {
	b := append(append([]byte{msgOffer}, o.by[:]...), o.nonce[:]...)
	return append(appendU32(b, uint32(len(o.roster))), o.roster...)
}

func parseOffer(b []byte) (*offer, bool) {
	r, o := reader{b: b}, &offer{}
	kind := r.u8()
	r.fill(o.by[:])
	r.fill(o.nonce[:])
	o.roster, o.mac = r.bytes(4), nil
	o.mac = r.bytes(1)
	return o, kind == msgOffer && r.done()
}

// request is the device's side: what the owner is to admit.
type request struct {
	role        Role
	public      []byte
	name        string
	certificate []byte
	nonce       [pairNonceBytes]byte
	sig         []byte
	mac         []byte
}

func (q *request) body() []byte {
	b := append([]byte{msgRequest, byte(q.role)}, q.public...)
	b = appendString(b, q.name)
	b = append(appendU16(b, uint16(len(q.certificate))), q.certificate...)
	return append(b, q.nonce[:]...)
}

func parseRequest(b []byte) (*request, bool) {
	r, q := reader{b: b}, &request{}
	kind := r.u8()
	q.role, q.public, q.name = Role(r.u8()), r.take(32), string(r.bytes(1))
	q.certificate = r.bytes(2)
	r.fill(q.nonce[:])
	q.sig = r.take(sigBytes)
	q.mac = r.bytes(1)
	return q, kind == msgRequest && r.done()
}

func withMAC(body, mac []byte) []byte { return append(append(body, byte(len(mac))), mac...) }

// transcripts: T1 covers start and offer, T2 also the request. The device signs T2; the MACs and the digits are over them.
func transcript(start [32]byte, parts ...[]byte) [32]byte {
	h := sha256.New()
	h.Write(start[:])
	for _, p := range parts {
		x := sha256.Sum256(p)
		h.Write(x[:])
	}
	return sum("pairing", h.Sum(nil))
}

func digitsOf(t [32]byte) string {
	h := sum("digits", t[:])
	n := binary.BigEndian.Uint64(h[:8]) % 10_000_000
	return fmt.Sprintf("%03d %04d", n/10_000, n%10_000)
}
