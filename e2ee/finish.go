// SPDX-License-Identifier: Apache-2.0

package e2ee

// Finish signs a fragment that an earlier process of this producer sealed and could not sign any more, since it was killed or
// lost its power: its blocks, in order, as a buffer that authenticates what it holds has kept them. What is missing at the end
// is missing for good. The block that it returns goes last; its payload is empty when the fragment was signed already. Call it
// before the first Begin; the link then takes the place of Previous.
//
// It signs only what directly follows Previous, or is Previous itself, so that nobody who can put an old file back into the
// buffer gets a second history signed.
//
// Errors: ErrMisuse after the first Begin; ErrFormat; ErrStatement when this producer did not seal it for this stream; ErrChain
// when it is not the one after Previous.
func (s *Sealer) Finish(blocks []Block) (Block, Link, error) {
	if s.gen != nil || s.open != nil || s.dead != nil || len(blocks) == 0 {
		return Block{}, Link{}, s.fail(ErrMisuse, "finish")
	}
	records, _, err := parseRecords(blocks[0].Payload)
	if err != nil || records[0].kind != recHDR {
		return Block{}, Link{}, s.fail(ErrFormat, "unsigned fragment")
	}
	st, h, err := parseHDR(records[0].body)
	if err != nil {
		return Block{}, Link{}, err
	}
	if st.stream != s.stream || st.producer != [8]byte(s.cfg.Identity.fp[:8]) || !st.verify(s.cfg.Identity.Public()) {
		return Block{}, Link{}, s.fail(ErrStatement, "unsigned fragment")
	}
	out := Block{Track: s.cfg.Tracks[0].Number, Time: blocks[len(blocks)-1].Time}
	d, signed, err := digestOf(blocks, out.Track)
	if err != nil {
		return Block{}, Link{}, err
	}
	link := Link{
		Producer: s.cfg.Identity.fp, Session: st.session, Sequence: h.sequence, Digest: d, Capture: fromMillis(h.capture),
		Generation: st.generation, RosterVersion: st.rosterVersion,
	}
	if !s.follows(&link, h) {
		return Block{}, Link{}, s.fail(ErrChain, "unsigned fragment %d", h.sequence)
	}
	if !signed {
		sig, err := s.cfg.Identity.sign("signature", d[:])
		if err != nil {
			return Block{}, Link{}, err
		}
		out.Payload = appendRecord(nil, recSig, sig)
	}
	s.cfg.Previous = &link
	return out, link, nil
}

// digestOf computes the digest of a fragment with its closing block, which may be missing: then it is one of nothing but the
// signature, on the track given.
func digestOf(blocks []Block, closing byte) (sum [32]byte, signed bool, err error) {
	d := newDigest()
	for _, b := range blocks {
		if signed {
			return sum, false, refuse(ErrFormat, "block after the signature")
		}
		_, sigAt, err := parseRecords(b.Payload)
		if err != nil {
			return sum, false, err
		}
		signed = sigAt < len(b.Payload)
		d.add(b.Track, blockFlags(b.Key), b.Payload[:sigAt])
	}
	if !signed {
		d.add(closing, 0, nil)
	}
	return d.sum(), signed, nil
}

// follows tells whether an unsigned fragment is the one after Previous, or Previous itself, whose signature did not reach the
// buffer. Without Previous it must be the very first. The digests tell: they name session and sequence too.
func (s *Sealer) follows(l *Link, h *header) bool {
	p := s.cfg.Previous
	if p == nil {
		return l.Sequence == 0
	}
	return l.Digest == p.Digest || h.previous == p.Digest
}
