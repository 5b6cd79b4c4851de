// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/rand"
	"crypto/sha256"
	"time"
)

// Defaults of a SealerConfig, policy rather than format.
const (
	DefaultEpoch         = time.Minute
	DefaultKeysInterval  = 30 * time.Second
	DefaultKeysPerMille  = 20
	defaultFragmentBytes = 64 << 20
)

// SealerConfig is what a producer needs to seal one stream.
type SealerConfig struct {
	Identity *Identity // of RoleProducer, in the roster for this stream
	Trust    *Trust    // who may read
	Stream   string    // the stream's name
	Tracks   []Track

	// Previous is where the last session of this producer and stream ended, as its End returned and the producer kept; nil when
	// there was none. With it a consumer notices that the end of that session is held back.
	Previous *Link

	// Epoch is the time after which the producer forgets how to open what it sealed; default a minute, 1 s to 1 h.
	Epoch time.Duration
	// KeysInterval: the key package is repeated at least that often; default 30 s.
	KeysInterval time.Duration
	// KeysPerMille: it is in every fragment while it is at most this part of the bytes; default 20.
	KeysPerMille int

	// Now is the clock; default time.Now. Synced tells whether it is synchronised; default no.
	Now    func() time.Time
	Synced func() bool
}

// Sealer seals one stream of one producer, a fragment at a time:
//
//	Begin, Seal …, End, Begin, Seal …, EndSession
//
// A roster that Trust takes while a fragment is open counts from the next Begin. It is for one goroutine. Blocks it returns
// are the caller's and must reach the container unchanged and in order; none is ever opened again by the Sealer, which keeps
// no key to what lies before the present epoch.
type Sealer struct {
	cfg     SealerConfig
	stream  StreamID
	session SessionID
	last    Link // the fragment before; Sequence is of no meaning before the first
	next    uint64

	gen      *generation
	rotate   bool
	keysAt   time.Time // capture time of the last key package
	keysSent time.Time // when that was, by Now
	before   int       // bytes of the fragment before, for the choice whether to repeat the keys

	open *openFragment // nil between fragments
	dead error         // set when the producer was removed or the session ended
}

// openFragment is a fragment between Begin and End.
type openFragment struct {
	header   header
	hdr      [32]byte // hash of the HDR record's body
	preamble []byte   // records for the front of the next block
	digest   digest
	time     time.Time // of the last sample, for the closing block
	bytes    int
}

// NewSealer starts a session. Nothing is sealed before Begin.
//
// Errors: ErrMisuse when the configuration is incomplete or out of bounds.
func NewSealer(cfg SealerConfig) (*Sealer, error) {
	if cfg.Identity == nil || cfg.Identity.role != RoleProducer || cfg.Trust == nil || cfg.Stream == "" {
		return nil, refuse(ErrMisuse, "sealer: needs a producer's identity, a trust and a stream")
	}
	if _, err := encodeTracks(cfg.Tracks); err != nil {
		return nil, err
	}
	if cfg.Epoch == 0 {
		cfg.Epoch = DefaultEpoch
	}
	if cfg.Epoch < time.Second || cfg.Epoch > time.Hour || cfg.Epoch%time.Millisecond != 0 {
		return nil, refuse(ErrMisuse, "sealer: epoch of %v", cfg.Epoch)
	}
	if cfg.KeysInterval == 0 {
		cfg.KeysInterval = DefaultKeysInterval
	}
	if cfg.KeysPerMille == 0 {
		cfg.KeysPerMille = DefaultKeysPerMille
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Synced == nil {
		cfg.Synced = func() bool { return false }
	}
	s := &Sealer{cfg: cfg, stream: StreamIDOf(cfg.Stream)}
	rand.Read(s.session[:])
	return s, nil
}

// Tag returns the name and value of the tag for the open fragment, or for the one just ended.
func (s *Sealer) Tag() (name, value string) {
	if s.gen == nil {
		return TagName, ""
	}
	return TagName, tagValue(s.gen.hash)
}

// Rotate makes the next fragment start a new generation: for when a secret may have leaked.
func (s *Sealer) Rotate() { s.rotate = true }

// SetTracks changes the description of the tracks from the next fragment on.
func (s *Sealer) SetTracks(tracks []Track) error {
	_, err := encodeTracks(tracks)
	if err == nil {
		s.cfg.Tracks = tracks
	}
	return err
}

// Begin opens a fragment with its capture time. This is where a new roster takes effect, with a new secret.
//
// Errors: ErrMisuse when one is open or the session has ended; ErrProducer when the roster has no such producer (any more);
// ErrNoRecipients when nobody could open it. Then no fragment is open.
func (s *Sealer) Begin(capture time.Time) error {
	if s.dead != nil {
		return s.dead
	}
	if s.open != nil {
		return s.fail(ErrMisuse, "fragment %d is still open", s.next)
	}
	now := s.cfg.Now()
	if err := s.ensureGeneration(capture, now); err != nil {
		return err
	}
	epoch, err := s.gen.enter(now)
	if err != nil {
		return err
	}
	f := &openFragment{digest: newDigest(), time: capture}
	f.header = header{epoch: epoch, sequence: s.next, capture: millis(capture), previous: s.last.Digest}
	if s.cfg.Synced() {
		f.header.flags |= flagSynced
	}
	if s.keysDue(now) {
		s.keysAt, s.keysSent = capture, now
	}
	f.header.keysAt = millis(s.keysAt)
	s.open = f
	if err := s.writePreamble(); err != nil {
		s.Abandon()
		return err
	}
	return nil
}

// keysDue decides whether the key package goes into this fragment.
func (s *Sealer) keysDue(now time.Time) bool {
	return s.keysSent.IsZero() || now.Sub(s.keysSent) >= s.cfg.KeysInterval ||
		len(s.gen.keys)*1000 <= s.before*s.cfg.KeysPerMille
}

// writePreamble makes the records that stand before the fragment's first sample.
func (s *Sealer) writePreamble() error {
	f, g := s.open, s.gen
	h := f.header.body()
	mac := headerMAC(g.secret, g.hash[:], h)
	hdr := append(append(append([]byte(nil), g.raw...), h...), mac...)
	f.hdr = sha256.Sum256(hdr)
	f.preamble = appendRecord(nil, recHDR, hdr)
	if f.header.keysAt == f.header.capture {
		f.preamble = appendRecord(f.preamble, recKeys, g.keys)
	}
	if p := s.cfg.Previous; p != nil && s.last == (Link{}) { // until one is complete
		if err := s.addSealed(recPrevious, p.encode()); err != nil {
			return err
		}
	}
	tracks, err := encodeTracks(s.cfg.Tracks)
	if err != nil {
		return err
	}
	return s.addSealed(recConfig, tracks)
}

// addSealed puts a record sealed with track 0's key in front of the next sample.
func (s *Sealer) addSealed(kind byte, plain []byte) error {
	sealed, err := s.gen.seal(nil, 0, bind(s.open.hdr, kind, 0, 0), plain, nil)
	if err == nil {
		s.open.preamble = appendRecord(s.open.preamble, kind, sealed)
	}
	return err
}

// Meta seals metadata into the open fragment, before its next sample or its end. At most 32 between two samples.
//
// Errors: ErrMisuse when no fragment is open; ErrTooLarge.
func (s *Sealer) Meta(m Metadata) error {
	if s.open == nil {
		return s.fail(ErrMisuse, "metadata outside a fragment")
	}
	plain, err := encodeMetadata(m)
	if err != nil {
		return err
	}
	if records, _, _ := parseRecords(s.open.preamble); len(records) >= maxRecords/2 {
		return s.fail(ErrTooLarge, "metadata")
	}
	return s.addSealed(recMeta, plain)
}

// Echo puts viewers' nonces into the open fragment, which proves to them that it is no recording. It must come before the
// first sample; what is over sixteen is left out.
func (s *Sealer) Echo(nonces ...[16]byte) error {
	if s.open == nil || s.open.bytes > 0 {
		return s.fail(ErrMisuse, "nonces after the first sample")
	}
	var b []byte
	for _, n := range nonces[:min(len(nonces), maxNonces)] {
		b = append(b, n[:]...)
	}
	s.open.preamble = appendRecord(s.open.preamble, recLive, b)
	return nil
}

// Seal seals a sample into a block. The sample's data is copied.
//
// Errors: ErrMisuse when no fragment is open, the track is unknown or the time too far from the fragment's.
func (s *Sealer) Seal(sample Sample) (Block, error) {
	f := s.open
	if f == nil {
		return Block{}, s.fail(ErrMisuse, "sample outside a fragment")
	}
	if !s.hasTrack(sample.Track) {
		return Block{}, s.fail(ErrMisuse, "sample of track %d, which is not described", sample.Track)
	}
	head, err := encodeSampleHead(sample, f.header.capture)
	if err != nil {
		return Block{}, err
	}
	flags := blockFlags(sample.Key)
	p := append(make([]byte, 0, len(f.preamble)+1+8+sampleHead+len(sample.Data)+tagBytes), f.preamble...)
	p, err = s.gen.seal(append(p, recFrame), sample.Track, bind(f.hdr, recFrame, flags, sample.Track), head, sample.Data)
	if err != nil {
		return Block{}, err
	}
	f.preamble = nil
	f.time = sample.Time
	f.bytes += len(p)
	f.digest.add(sample.Track, flags, p)
	return Block{Track: sample.Track, Key: sample.Key, Time: sample.Time, Payload: p}, nil
}

func (s *Sealer) hasTrack(n uint8) bool {
	for _, t := range s.cfg.Tracks {
		if t.Number == n {
			return true
		}
	}
	return false
}

// End signs the open fragment. The block goes into the container last, at the time of the last sample. The link is for
// SealerConfig.Previous of the next session: keep it.
//
// A fragment without samples is fine: it says that the producer is alive. Its one block is this one.
func (s *Sealer) End() (Block, Link, error) { return s.end(false) }

// EndSession is End for the last fragment: the signature says that nothing follows, so that silence is no alarm.
func (s *Sealer) EndSession() (Block, Link, error) { return s.end(true) }

func (s *Sealer) end(final bool) (Block, Link, error) {
	f := s.open
	if f == nil {
		return Block{}, Link{}, s.fail(ErrMisuse, "no fragment is open")
	}
	p := f.preamble
	if final {
		p = appendRecord(p, recEnd, nil)
	}
	track := s.cfg.Tracks[0].Number
	f.digest.add(track, 0, p)
	d := f.digest.sum()
	sig, err := s.cfg.Identity.sign("signature", d[:])
	if err != nil {
		return Block{}, Link{}, err
	}
	p = appendRecord(p, recSig, sig)
	s.last = Link{
		Producer: s.cfg.Identity.fp, Session: s.session, Sequence: s.next, Digest: d, Capture: fromMillis(f.header.capture),
		Generation: s.gen.generation, RosterVersion: s.gen.rosterVersion,
	}
	s.next, s.before, s.open = s.next+1, f.bytes+len(p), nil
	if final {
		s.gen.erase()
		s.dead = s.fail(ErrMisuse, "the session has ended")
	}
	return Block{Track: track, Time: f.time, Payload: p}, s.last, nil
}

// Abandon gives up the open fragment, when its blocks cannot be sent. Consumers see a gap of one.
func (s *Sealer) Abandon() {
	if s.open != nil {
		s.open, s.keysSent = nil, time.Time{}
		s.next++
	}
}

// fail is a refusal with the Sealer's place.
func (s *Sealer) fail(c Code, format string, args ...any) error {
	e := refuse(c, format, args...).(*Error)
	e.Stream, e.Producer, e.Session, e.Sequence = s.cfg.Stream, s.cfg.Identity.fp, s.session, s.next
	if s.gen != nil {
		e.Generation, e.Epoch, e.located = s.gen.generation, s.gen.ratchet.epoch, true
	}
	return e
}
