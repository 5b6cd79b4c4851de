// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/rand"
	"slices"
	"time"
)

const (
	// DefaultLiveWindow is how far a live fragment's capture time may be from now.
	DefaultLiveWindow = 30 * time.Second
	maxTries          = 4   // wraps tried for one hint, each with every key
	maxKnown          = 512 // generations remembered
	maxLent           = 1 << 15
)

// OpenerConfig is what a consumer needs to open one stream.
type OpenerConfig struct {
	Trust  *Trust
	Stream string // the stream's name

	// Self and Keys are the device: its fingerprint and its X-Wing keys, newest first, older ones for older footage. For a
	// recovery kit Self is the key's own fingerprint.
	Self Fingerprint
	Keys []*KEMKey

	// Strict holds samples back until their fragment is confirmed; End returns them. For export, evidence and analysis.
	Strict bool
	// LiveWindow, when not zero, refuses fragments whose capture time is farther from now: live view. Zero: archive.
	LiveWindow time.Duration
	// Known are links confirmed earlier: history that contradicts them is refused. The latest of each producer is also where
	// the Opener goes on, unless Archive is set.
	Known []Link
	// Archive: fragments may start anywhere and Seek is called at jumps; Known is for contradictions only.
	Archive bool
	// MaxFragmentBytes bounds memory; default 64 MiB.
	MaxFragmentBytes int
	Now              func() time.Time // default time.Now
}

// Opened is what a block held, or, from End of a strict Opener, what a fragment held.
type Opened struct {
	Samples  []Sample
	Metadata []Metadata
	Tracks   []Track // set with a fragment's first block
}

// Freshness says how it is known that a fragment is live.
type Freshness uint8

// Degrees of freshness.
const (
	Unproven Freshness = iota // the producer's clock is not synchronised
	ByClock                   // a synchronised clock said so, within LiveWindow
	ByEcho                    // it repeats the Opener's nonce
)

// Report is what End says of a fragment that was confirmed.
type Report struct {
	Link       // the fragment
	Epoch      uint32
	Statement  [32]byte  // hash of its generation's statement
	Synced     bool      // the producer says that its clock was synchronised
	Recipients uint16    // how many could open it
	Begun      time.Time // capture time of the generation's first fragment
	Missing    uint64    // fragments numbered by the producer that did not come before this one
	Unlinked   bool      // a new session that does not say where the one before ended: what is missing is not known
	Last       bool      // the producer says that it stopped after this
	Freshness  Freshness
	Opened     // of a strict Opener, and of a fragment held back
}

// Opener opens one stream, a fragment at a time:
//
//	Block …, End, Block …, End
//
// What Block returns is provisional: authentic against everybody who is not, or was not in this generation, a recipient. End
// confirms it by the producer's signature. After a fragment that was not confirmed, for whatever reason, the next one is held
// back until its End, so that nobody can feed unconfirmed fragments one after the other.
//
// A refusal that means tampering halts the Opener until Resume. Other refusals count for their fragment only. Every error is
// an *Error. It is for one goroutine.
type Opener struct {
	cfg    OpenerConfig
	stream StreamID
	nonce  [16]byte
	asked  bool // Challenge was called

	known    map[[32]byte]*secretOf // by hash of the statement
	order    [][32]byte             // of known, oldest first
	granted  map[[32]byte]*granted  // by hash of the statement
	lent     map[lentKey][]byte     // epoch secrets that came by a grant, and have opened a confirmed fragment
	links    map[linkKey][32]byte   // of cfg.Known
	position map[Fingerprint]Link   // last confirmed of each producer

	cur      *fragment
	halted   error
	holdBack bool

	lastSeen time.Time // local time of the last confirmed fragment
	nominal  time.Duration
	stopped  bool
}

type lentKey struct {
	statement [32]byte
	epoch     uint32
}

type linkKey struct {
	session  SessionID
	sequence uint64
}

// fragment is what came of one since its first block.
type fragment struct {
	*secretOf
	header   header
	hdr      [32]byte
	keys     map[uint8]*frameKey
	epochKey []byte
	next     map[uint8]uint64 // counter that must follow, per track
	tracks   []Track
	digest   digest
	sig      []byte
	missing  uint64
	unlinked bool
	last     bool
	echoed   bool
	fresh    Freshness
	held     Opened
	hold     bool // nothing is released before End
	released bool // something was
	bytes    int
	err      error
}

// NewOpener makes an opener. Errors: ErrMisuse when the configuration is incomplete.
func NewOpener(cfg OpenerConfig) (*Opener, error) {
	if cfg.Trust == nil || cfg.Stream == "" {
		return nil, refuse(ErrMisuse, "opener: needs a trust and a stream")
	}
	if cfg.MaxFragmentBytes == 0 {
		cfg.MaxFragmentBytes = defaultFragmentBytes
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	o := &Opener{
		cfg: cfg, stream: StreamIDOf(cfg.Stream), lastSeen: cfg.Now(),
		known: map[[32]byte]*secretOf{}, granted: map[[32]byte]*granted{}, lent: map[lentKey][]byte{},
		links: map[linkKey][32]byte{}, position: map[Fingerprint]Link{},
	}
	for _, l := range cfg.Known {
		o.links[linkKey{l.Session, l.Sequence}] = l.Digest
		if p, ok := o.position[l.Producer]; !cfg.Archive && (!ok || l.Capture.After(p.Capture)) {
			o.position[l.Producer] = l
		}
	}
	return o, nil
}

// Challenge returns a fresh nonce for the producer to echo, by whatever way there is. The report of the fragment that does says
// ByEcho. A new challenge replaces the one before.
func (o *Opener) Challenge() [16]byte {
	rand.Read(o.nonce[:])
	o.asked = true
	return o.nonce
}

// Seek forgets the position: the next fragment may be any. For jumps in an archive.
func (o *Opener) Seek() {
	o.Cut()
	clear(o.position)
}

// Resume goes on after tampering, at the next fragment. Only a person should decide that.
func (o *Opener) Resume() { o.halted, o.cur = nil, nil }

// Block opens one block. The payload is not kept; samples are new memory.
//
// In a strict Opener, and while held back, the result is empty and End returns all.
func (o *Opener) Block(b Block) (Opened, error) {
	if o.halted != nil {
		return Opened{}, o.halted
	}
	if o.cur == nil {
		o.cur = &fragment{digest: newDigest(), keys: map[uint8]*frameKey{}, next: map[uint8]uint64{}, hold: o.cfg.Strict || o.holdBack}
	}
	f := o.cur
	if f.err != nil {
		return Opened{}, f.err
	}
	out, err := o.block(f, b)
	if err != nil {
		return Opened{}, o.stop(f, err)
	}
	if !f.hold {
		f.released = true
		return out, nil
	}
	f.held.Samples = append(f.held.Samples, out.Samples...)
	f.held.Metadata = append(f.held.Metadata, out.Metadata...)
	if out.Tracks != nil {
		f.held.Tracks = out.Tracks
	}
	return Opened{}, nil
}

// stop ends a fragment by an error, and the Opener too when the error means tampering.
func (o *Opener) stop(f *fragment, err error) error {
	f.err = o.locate(f, err)
	f.held = Opened{}
	o.holdBack = o.holdBack || f.released
	if codeOf(err).Tampered() {
		o.halted = f.err
	}
	return f.err
}

func (o *Opener) block(f *fragment, b Block) (Opened, error) {
	if f.bytes += len(b.Payload); f.bytes > o.cfg.MaxFragmentBytes {
		return Opened{}, refuse(ErrTooLarge, "fragment")
	}
	first := f.secretOf == nil
	if first && (len(b.Payload) == 0 || b.Payload[0] != recHDR) {
		return Opened{}, refuse(ErrDowngrade, "block without a sealed header")
	}
	records, sigAt, err := parseRecords(b.Payload)
	if err != nil {
		return Opened{}, err
	}
	if first {
		if err := o.begin(f, records); err != nil {
			return Opened{}, err
		}
		records = records[1:]
	}
	var out Opened
	for _, rec := range records {
		if err := f.record(&out, rec, b, first); err != nil {
			return Opened{}, err
		}
	}
	if first && f.tracks == nil {
		return Opened{}, refuse(ErrFormat, "first block without a configuration")
	}
	if first {
		f.echoed = o.asked && slices.ContainsFunc(records, o.echoes)
	}
	f.digest.add(b.Track, blockFlags(b.Key), b.Payload[:sigAt])
	return out, nil
}

// record opens one record that may stand in any block, or was not used by begin.
func (f *fragment) record(out *Opened, rec record, b Block, first bool) error {
	if f.sig != nil || (!first && rec.kind >= recHDR && rec.kind <= recKeys) || rec.kind == recHDR {
		return refuse(ErrOrder, "record %d at a wrong place", rec.kind)
	}
	switch rec.kind {
	case recConfig:
		if f.tracks != nil {
			return refuse(ErrOrder, "second configuration")
		}
		plain, err := f.open(rec, 0, 0)
		ok := false
		if err == nil {
			f.tracks, ok = parseTracks(plain)
		}
		if !ok {
			return refuse(ErrFrame, "configuration")
		}
		out.Tracks = f.tracks
	case recMeta:
		plain, err := f.open(rec, 0, 0)
		if err != nil {
			return err
		}
		m, ok := parseMetadata(plain)
		if !ok {
			return refuse(ErrFrame, "metadata")
		}
		out.Metadata = append(out.Metadata, m)
	case recFrame:
		return f.sample(out, rec, b)
	case recEnd:
		f.last = true
	case recSig:
		f.sig = append([]byte{}, rec.body...)
	}
	return nil
}

func (f *fragment) sample(out *Opened, rec record, b Block) error {
	if !slices.ContainsFunc(f.tracks, func(t Track) bool { return t.Number == b.Track }) {
		return refuse(ErrFrame, "track %d is not described", b.Track)
	}
	plain, err := f.open(rec, blockFlags(b.Key), b.Track)
	if err != nil {
		return err
	}
	s, ok := decodeSample(plain, f.header.capture)
	if !ok {
		return refuse(ErrFrame, "sample of track %d", b.Track)
	}
	s.Track, s.Key = b.Track, b.Key
	if !b.Time.IsZero() {
		s.Shift = b.Time.Sub(s.Time)
	}
	out.Samples = append(out.Samples, s)
	return nil
}

// open opens a sealed record and checks that its counter follows.
func (f *fragment) open(rec record, flags, track byte) ([]byte, error) {
	k := f.keys[track]
	if k == nil {
		var err error
		if k, err = trackKey(f.epochKey, track); err != nil {
			return nil, err
		}
		f.keys[track] = k
	}
	ctr, plain, ok := k.open(rec.body, bind(f.hdr, rec.kind, flags, track))
	if !ok {
		return nil, refuse(ErrFrame, "track %d", track)
	}
	if next, seen := f.next[track]; seen && ctr != next {
		return nil, refuse(ErrOrder, "track %d has frame %d after %d", track, ctr, next-1)
	}
	f.next[track] = ctr + 1
	return plain, nil
}

func (o *Opener) echoes(r record) bool {
	if r.kind != recLive {
		return false
	}
	for b := r.body; len(b) >= 16; b = b[16:] {
		if [16]byte(b) == o.nonce {
			return true
		}
	}
	return false
}
