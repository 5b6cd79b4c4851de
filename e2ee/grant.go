// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"crypto/hmac"
	"slices"
	"time"
)

const (
	// MaxGrantBytes bounds a grant: some 30 years of whole days, or three weeks of single minutes.
	MaxGrantBytes = 1 << 20
	grantSecret   = 0 // a whole generation
	grantEpochs   = 1 // a run of epochs
)

// Grantee is who a grant is for.
type Grantee struct {
	Fingerprint Fingerprint
	Key         []byte // X-Wing public key
}

// Grantee finds a device of the roster by its fingerprint, with its verified certificate.
//
// Errors: ErrCertificate when there is none in force.
func (t *Trust) Grantee(device Fingerprint, now time.Time) (Grantee, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.certs[device]
	if c == nil || !c.validAt(now) {
		return Grantee{}, refuse(ErrCertificate, "of %s", device.Short())
	}
	return Grantee{device, c.key}, nil
}

// Guest is a key that travels in a link: whoever has the link's seed can open the grant.
func Guest(k *KEMKey) Grantee { return Grantee{k.Fingerprint(), k.Public()} }

// granted is what grants say of one generation. Grants are not signed, so any of it may be wrong, and a wrong one must not stand in
// the way of a right one: several are kept, and what verifies is used.
type granted struct {
	gs     [][]byte
	epochs map[uint32][][]byte
}

// maxRivals bounds how many secrets are kept of which one can be right: each costs a try for every fragment.
const maxRivals = 64

func (g *granted) addSecret(gs []byte) {
	if len(g.gs) < maxRivals {
		g.gs = append(g.gs, gs)
	}
}

func (g *granted) addEpoch(epoch uint32, secret []byte) {
	if len(g.epochs[epoch]) < maxRivals {
		g.epochs[epoch] = append(g.epochs[epoch], secret)
	}
}

func (g *granted) add(more *granted) {
	for _, gs := range more.gs {
		g.addSecret(gs)
	}
	for e, secrets := range more.epochs {
		for _, s := range secrets {
			g.addEpoch(e, s)
		}
	}
}

// GrantHistory seals the secrets of all generations that the Opener has opened and that begun in [from, until): all that was
// recorded under them, minutes before and after included. A grant needs no signature: a wrong secret fails the producer's own
// commitment.
//
// Errors: ErrNoPackage when the Opener knows no such generation; ErrTooLarge.
func (o *Opener) GrantHistory(to Grantee, from, until time.Time) ([]byte, error) {
	var b []byte
	for _, h := range o.order {
		g := o.known[h]
		if at := fromMillis(g.start); g.gs != nil && !at.Before(from) && at.Before(until) {
			b = append(append(append(b, g.hash[:]...), grantSecret), g.gs...)
		}
	}
	return o.sealGrant(to, b)
}

// GrantClip seals the epochs, usually minutes, that touch [from, until), of generations that the Opener has opened. Nothing
// before or after can be derived from them.
//
// Errors: as GrantHistory.
func (o *Opener) GrantClip(to Grantee, from, until time.Time) ([]byte, error) {
	var b []byte
	for _, h := range o.order {
		g := o.known[h]
		if g.gs == nil || !fromMillis(g.start).Before(until) || g.epochMillis == 0 {
			continue
		}
		first := max(0, millis(from)-g.start) / int64(g.epochMillis)
		last := min((millis(until)-1-g.start)/int64(g.epochMillis), maxEpochs-1)
		if first > last {
			continue
		}
		b = append(append(b, g.hash[:]...), grantEpochs)
		b = appendU16(appendU32(b, uint32(first)), uint16(last-first+1))
		for e := first; e <= last; e++ {
			b = append(b, g.epochSecret(uint32(e))...)
		}
	}
	return o.sealGrant(to, b)
}

// GrantFragments seals the secrets of the epochs in which fragments lie that the Opener has confirmed, and of no other. Nothing
// before or after can be derived from them. It can do so for what the Opener itself has by a grant, too.
//
// Errors: ErrNoPackage when the Opener does not remember the secret of one: it remembers 512 generations; ErrTooLarge.
func (o *Opener) GrantFragments(to Grantee, of []Report) ([]byte, error) {
	var order [][32]byte
	epochs := map[[32]byte][]uint32{}
	for i := range of {
		h := of[i].Statement
		if epochs[h] == nil {
			order = append(order, h)
		}
		epochs[h] = append(epochs[h], of[i].Epoch)
	}
	var b []byte
	for _, h := range order {
		slices.Sort(epochs[h])
		var err error
		if b, err = o.appendEpochs(b, h, slices.Compact(epochs[h])); err != nil {
			return nil, err
		}
	}
	return o.sealGrant(to, b)
}

// appendEpochs appends items for epochs that rise, one for each run of consecutive ones.
func (o *Opener) appendEpochs(b []byte, statement [32]byte, epochs []uint32) ([]byte, error) {
	for len(epochs) > 0 {
		n := 1
		for n < len(epochs) && epochs[n] == epochs[0]+uint32(n) {
			n++
		}
		b = append(append(b, statement[:]...), grantEpochs)
		b = appendU16(appendU32(b, epochs[0]), uint16(n))
		for _, e := range epochs[:n] {
			s := o.secretAt(statement, e)
			if s == nil {
				return nil, o.locate(nil, refuse(ErrNoPackage, "grant: epoch %d of a generation that is not remembered", e))
			}
			b = append(b, s...)
		}
		epochs = epochs[n:]
	}
	return b, nil
}

// secretAt returns an epoch's secret that has proven right; nil when it is not known.
func (o *Opener) secretAt(statement [32]byte, epoch uint32) []byte {
	if g := o.known[statement]; g != nil && g.gs != nil {
		return g.epochSecret(epoch)
	}
	return o.lent[lentKey{statement, epoch}]
}

func (o *Opener) sealGrant(to Grantee, items []byte) ([]byte, error) {
	if len(items) == 0 {
		return nil, o.locate(nil, refuse(ErrNoPackage, "grant: no generation of that time was opened"))
	}
	plain := append([]byte{formatVersion}, items...)
	if len(plain) > MaxGrantBytes-encBytes-tagBytes {
		return nil, o.locate(nil, refuse(ErrTooLarge, "grant"))
	}
	return wrap(to.Key, to.Fingerprint, "grant", o.stream[:], plain)
}

// AddGrant takes a grant for this device. What it holds is used when a fragment of its generations comes.
//
// Errors: ErrNoWrap when it is for somebody else or another stream; ErrFormat; ErrTooLarge.
func (o *Opener) AddGrant(b []byte) error {
	if len(b) > MaxGrantBytes {
		return o.locate(nil, refuse(ErrTooLarge, "grant of %d bytes", len(b)))
	}
	for _, k := range o.cfg.Keys {
		if plain, ok := k.unwrap(o.cfg.Self, "grant", o.stream[:], b); ok {
			items, err := parseGrant(plain)
			if err != nil {
				return o.locate(nil, err)
			}
			for h, g := range items {
				if o.granted[h] == nil {
					o.granted[h] = &granted{epochs: map[uint32][][]byte{}}
				}
				o.granted[h].add(g)
			}
			return nil
		}
	}
	return o.locate(nil, refuse(ErrNoWrap, "grant"))
}

func parseGrant(b []byte) (map[[32]byte]*granted, error) {
	r, items := reader{b: b}, map[[32]byte]*granted{}
	if v := r.u8(); v != formatVersion {
		return nil, refuse(ErrVersion, "grant version %d", v)
	}
	for len(r.b) > 0 && !r.bad {
		var h [32]byte
		r.fill(h[:])
		g := items[h]
		if g == nil {
			g = &granted{epochs: map[uint32][][]byte{}}
		}
		switch r.u8() {
		case grantSecret:
			g.addSecret(r.take(secretBytes))
		case grantEpochs:
			first, n := r.u32(), uint32(r.u16())
			for e := first; e-first < n && !r.bad; e++ {
				g.addEpoch(e, r.take(secretBytes))
			}
		default:
			r.bad = true
		}
		items[h] = g
	}
	if !r.done() {
		return nil, refuse(ErrFormat, "grant")
	}
	return items, nil
}

// useGrant gives a verified generation what was granted for it. A secret that the producer did not commit to is passed over.
func (o *Opener) useGrant(g *secretOf) {
	x := o.granted[g.hash]
	if x == nil || g.gs != nil {
		return
	}
	for _, gs := range x.gs {
		if len(gs) == secretBytes && g.adopt(bytes.Clone(gs)) {
			o.remember(g)
			break
		}
	}
	g.granted = x.epochs
}

// grantedSecret returns the granted secret of the header's epoch by which the header is authentic; nil when there is none. That one
// secret fits does not make it the producer's.
func (g *secretOf) grantedSecret(h *header) []byte {
	for _, s := range g.granted[h.epoch] {
		if hmac.Equal(headerMAC(s, g.hash[:], h.body()), h.mac[:]) {
			return s
		}
	}
	return nil
}
