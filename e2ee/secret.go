// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/hmac"
	"crypto/sha256"
	"slices"
)

// secretOf is what is known of a generation: from GS all of it, from a clip grant single epochs.
type secretOf struct {
	*statement
	fp      Fingerprint
	public  []byte
	gs      []byte
	granted map[uint32][][]byte // epoch secrets, from grants: not verified
	pos     ratchet             // somewhere along the chain, when gs is there
}

// begin authenticates the header of a fragment, and places the fragment after what was confirmed before.
// The first record is an HDR.
func (o *Opener) begin(f *fragment, records []record) error {
	if err := o.authenticate(f, records); err != nil {
		return err
	}
	link, err := f.linkBefore(records)
	if err != nil {
		return err
	}
	if err := o.place(f, link); err != nil {
		return err
	}
	return o.timely(f)
}

// authenticate verifies statement and header, and finds the secret. The first record is an HDR.
func (o *Opener) authenticate(f *fragment, records []record) error {
	st, h, err := parseHDR(records[0].body)
	if err != nil {
		return err
	}
	f.header, f.hdr = *h, sha256.Sum256(records[0].body)
	f.secretOf = &secretOf{statement: st} // for the place in errors, until it is verified
	g, err := o.generation(st, h)
	if err != nil {
		return err
	}
	f.secretOf = g
	if err := o.secret(f, records); err != nil {
		return err
	}
	if !hmac.Equal(headerMAC(f.epochKey, g.hash[:], h.body()), h.mac[:]) {
		return refuse(ErrHeader, "message authentication code")
	}
	return nil
}

// generation verifies a statement once, and whether its producer could send at the header's time every time.
func (o *Opener) generation(st *statement, h *header) (*secretOf, error) {
	if st.stream != o.stream {
		return nil, refuse(ErrStream, "statement")
	}
	fp, public, ok := o.cfg.Trust.producer(st.producer, o.stream, fromMillis(h.capture))
	if !ok {
		return nil, refuse(ErrProducer, "%x", st.producer)
	}
	if g := o.known[st.hash]; g != nil {
		return g, nil
	}
	if !st.verify(public) {
		return nil, refuse(ErrStatement, "statement of generation %d", st.generation)
	}
	if o.cfg.Trust.contradicts(st.rosterVersion, st.rosterHash) {
		return nil, refuse(ErrRosterFork, "the producer has another roster %d", st.rosterVersion)
	}
	return &secretOf{statement: st, fp: fp, public: public}, nil
}

// secret finds the epoch's secret: already known, or from the key package of this fragment.
func (o *Opener) secret(f *fragment, records []record) error {
	g := f.secretOf
	o.useGrant(g)
	if f.epochKey = g.epochSecret(f.header.epoch); f.epochKey != nil {
		return nil
	}
	if f.epochKey = o.lent[lentKey{g.hash, f.header.epoch}]; f.epochKey != nil {
		return nil
	}
	if f.epochKey = g.grantedSecret(&f.header); f.epochKey != nil {
		// Nobody signs a grant, and no statement commits to a single epoch's secret: until the producer's signature says otherwise,
		// whoever made the one may have made header and frames by it.
		f.hold = true
		return nil
	}
	at := slices.IndexFunc(records, func(r record) bool { return r.kind == recKeys })
	if at < 0 {
		if c := o.cfg.Trust.whyNoWrap(o.cfg.Self, g.rosterVersion); c != ErrNoWrap {
			return refuse(c, "roster %d", g.rosterVersion)
		}
		return &Error{Code: ErrNoPackage, SeekTo: fromMillis(f.header.keysAt)}
	}
	gs, err := o.unwrap(g, records[at].body)
	if err != nil {
		return err
	}
	if !g.adopt(gs) {
		return refuse(ErrCommitment, "generation %d", g.generation)
	}
	o.remember(g)
	f.epochKey = g.epochSecret(f.header.epoch)
	return nil
}

// unwrap looks for this device's wrap in a key package.
func (o *Opener) unwrap(g *secretOf, keys []byte) ([]byte, error) {
	if len(keys)%wrapBytes != 0 || len(keys) > MaxRecipients*wrapBytes {
		return nil, refuse(ErrFormat, "key package of %d bytes", len(keys))
	}
	want, tried := hint(o.cfg.Self, g.statement), 0
	for ; len(keys) > 0 && tried < maxTries; keys = keys[wrapBytes:] {
		if string(keys[:hintBytes]) != string(want) {
			continue
		}
		tried++
		for _, k := range o.cfg.Keys {
			if gs, ok := k.unwrap(o.cfg.Self, "wrap", g.raw[:statementBody], keys[hintBytes:wrapBytes]); ok {
				return gs, nil
			}
		}
	}
	return nil, refuse(o.cfg.Trust.whyNoWrap(o.cfg.Self, g.rosterVersion), "roster %d", g.rosterVersion)
}

// adopt takes a generation's secret if the statement commits to it.
func (g *secretOf) adopt(gs []byte) bool {
	commit, chain := generationKeys(gs, g.stream, g.fp, g.session, g.generation)
	if !hmac.Equal(commit, g.commit[:]) {
		return false
	}
	g.gs, g.pos = gs, ratchet{chain: chain}
	return true
}

// epochSecret returns the secret of an epoch, or nil when it is not known. Going back starts over from GS.
func (g *secretOf) epochSecret(epoch uint32) []byte {
	if g.gs == nil {
		return nil
	}
	if epoch < g.pos.epoch {
		_, chain := generationKeys(g.gs, g.stream, g.fp, g.session, g.generation)
		g.pos = ratchet{chain: chain}
	}
	return g.pos.at(epoch)
}

// remember keeps a verified generation, forgetting the oldest over the limit.
func (o *Opener) remember(g *secretOf) {
	if o.known[g.hash] == nil {
		o.order = append(o.order, g.hash)
	}
	o.known[g.hash] = g
	if len(o.order) > maxKnown {
		delete(o.known, o.order[0])
		o.order = o.order[1:]
	}
}
