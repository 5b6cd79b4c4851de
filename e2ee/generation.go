// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/sha256"
	"time"
)

// generation is a Sealer's present secret; GS itself is gone once it is wrapped.
type generation struct {
	*statement
	begun    time.Time
	basis    [32]byte // of roster and recipients
	ratchet  ratchet
	keys     []byte // key package
	secret   []byte // of the epoch
	tracks   map[uint8]*frameKey
	counters map[uint8]uint64
}

// ensureGeneration starts a new generation when roster, recipients, age or counters ask for it.
func (s *Sealer) ensureGeneration(capture, now time.Time) error {
	roster, hash, to := s.cfg.Trust.snapshot(s.stream, now)
	m := roster.member(s.cfg.Identity.fp)
	if m == nil || m.Role != RoleProducer || !m.admits(s.stream, now) {
		return s.fail(ErrProducer, "roster %d", roster.Version)
	}
	if len(to) == 0 {
		return s.fail(ErrNoRecipients, "roster %d", roster.Version)
	}
	if len(to) > MaxRecipients {
		return s.fail(ErrTooLarge, "%d recipients", len(to))
	}
	basis := basisOf(hash, to)
	if g := s.gen; g != nil && !s.rotate && g.basis == basis && !g.spent(now, roster.GenerationLife) {
		return nil
	}
	g, err := s.newGeneration(roster, hash, to, capture, now)
	if err != nil {
		return err
	}
	if s.gen != nil {
		s.gen.erase()
	}
	g.basis = basis
	s.gen, s.rotate, s.keysSent = g, false, time.Time{}
	return nil
}

// basisOf hashes what a generation stands on: when it changes, so does the secret.
func basisOf(roster [32]byte, to []recipient) [32]byte {
	h := sha256.New()
	h.Write(roster[:])
	for _, r := range to {
		h.Write(r.fp[:])
		h.Write(r.key)
	}
	return [32]byte(h.Sum(nil))
}

// newGeneration draws a secret, commits to it and wraps it for all recipients.
func (s *Sealer) newGeneration(r *Roster, hash [32]byte, to []recipient, capture, now time.Time) (*generation, error) {
	st := &statement{
		stream: s.stream, producer: [8]byte(s.cfg.Identity.fp[:8]), session: s.session,
		epochMillis: uint32(s.cfg.Epoch / time.Millisecond), start: millis(capture),
		rosterVersion: r.Version, rosterHash: [8]byte(hash[:8]), recipients: uint16(len(to)),
	}
	if s.gen != nil {
		st.generation = s.gen.generation + 1
	}
	gs := NewSeed()
	defer clear(gs)
	commit, chain := generationKeys(gs, st.stream, s.cfg.Identity.fp, st.session, st.generation)
	st.commit = [32]byte(commit)
	if err := st.sign(s.cfg.Identity); err != nil {
		return nil, err
	}
	g := &generation{statement: st, begun: now, ratchet: ratchet{chain: chain}}
	for _, r := range to {
		w, err := wrap(r.key, r.fp, "wrap", st.raw[:statementBody], gs)
		if err != nil {
			return nil, err
		}
		g.keys = append(append(g.keys, hint(r.fp, st)...), w...)
	}
	return g, nil
}

func (g *generation) epochAt(now time.Time) int64 {
	return now.Sub(g.begun).Milliseconds() / int64(g.epochMillis)
}

// spent reports whether the generation has come to its end by age, epochs or counters.
func (g *generation) spent(now time.Time, life time.Duration) bool {
	for _, c := range g.counters {
		if c > maxCounter/2 { // half, so that no fragment can reach the limit
			return true
		}
	}
	return now.Sub(g.begun) >= life || g.epochAt(now) >= maxEpochs
}

// enter moves to the epoch of now and forgets the one before. It never goes back, also if the clock does.
func (g *generation) enter(now time.Time) (epoch uint32, err error) {
	epoch = max(g.ratchet.epoch, uint32(max(0, g.epochAt(now))))
	if g.secret != nil && epoch == g.ratchet.epoch {
		return epoch, nil
	}
	clear(g.secret)
	g.secret = g.ratchet.at(epoch)
	g.tracks, g.counters = map[uint8]*frameKey{}, map[uint8]uint64{}
	return epoch, nil
}

func (g *generation) erase() {
	clear(g.secret)
	clear(g.ratchet.chain)
}

// seal appends an SFrame under the track's key and its next counter.
func (g *generation) seal(dst []byte, track uint8, metadata, plain1, plain2 []byte) ([]byte, error) {
	k := g.tracks[track]
	if k == nil {
		var err error
		if k, err = trackKey(g.secret, track); err != nil {
			return nil, err
		}
		g.tracks[track] = k
	}
	ctr := g.counters[track]
	if ctr >= maxCounter {
		return nil, refuse(ErrTooLarge, "frames of an epoch")
	}
	g.counters[track] = ctr + 1
	return k.seal(dst, ctr, metadata, plain1, plain2), nil
}
