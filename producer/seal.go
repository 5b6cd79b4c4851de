// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// Seal makes the media end-to-end encrypted: frames, what describes the tracks, and tags are sealed for the people in the
// roster before they go into the buffer, and the service sees ciphertext only.
//
// Both fields are required. The Producer calls them with its own lock held, so they must not call it.
type Seal struct {
	// New makes the session's Sealer for the stream and the tracks, which are those of the Options. From then on the Sealer is
	// the Producer's alone; the Trust that it was made with may be given new rosters at any time, which count from the next
	// fragment on.
	New func(stream string, tracks []e2ee.Track) (*e2ee.Sealer, error)
	// Keep stores durably where the session stands, for SealerConfig.Previous of the next Sealer of this stream. It is called
	// at the end of each fragment, before that may be used.
	Keep func(e2ee.Link) error
}

// sealing is the sealed side of a Producer. It is guarded by Producer.mu.
type sealing struct {
	sealer *e2ee.Sealer
	keep   func(e2ee.Link) error
	tracks []Track // as they really are

	of    *fragment  // that the Sealer has open; nil between fragments
	block *record    // sealed, but the buffer has not taken it yet
	ended bool       // block is the last of its fragment
	link  *e2ee.Link // of the fragment that has ended, until it is kept
	last  e2ee.Link  // of the fragment that ended last; zero before the first
}

// newSealing makes the Sealer, and the tracks as the container has them.
func newSealing(o *Options) (*sealing, []Track, error) {
	if o.Seal.New == nil || o.Seal.Keep == nil {
		return nil, nil, fmt.Errorf("%w: seal needs New and Keep", ErrOptions)
	}
	sealed := make([]e2ee.Track, len(o.Tracks))
	opaque := make([]Track, len(o.Tracks))
	for i := range o.Tracks {
		var err error
		if sealed[i], opaque[i], err = sealTrack(&o.Tracks[i]); err != nil {
			return nil, nil, err
		}
	}
	s, err := o.Seal.New(o.StreamName, sealed)
	if err != nil {
		return nil, nil, fmt.Errorf("producer: seal: %w", err)
	}
	return &sealing{sealer: s, keep: o.Seal.Keep, tracks: o.Tracks}, opaque, nil
}

// sealTrack splits a track into what is sealed and what the container says of it: its number and kind, and nothing else that
// differs between cameras.
func sealTrack(t *Track) (sealed e2ee.Track, opaque Track, err error) {
	wrong := func(what string) error {
		return fmt.Errorf("%w: track %d cannot be sealed: %s", ErrOptions, t.Number, what)
	}
	kind := map[Type]string{Video: "V_", Audio: "A_"}[t.Type]
	switch {
	case t.Number > 15:
		return sealed, opaque, wrong("want a number up to 15")
	case kind == "" || !strings.HasPrefix(t.CodecID, kind):
		return sealed, opaque, wrong("want video or audio with a codec ID of its kind")
	case t.BitDepth != 0 && strings.HasPrefix(t.CodecID, "A_PCM"):
		return sealed, opaque, wrong("raw sound is not supported")
	case t.Width > math.MaxUint32 || t.Height > math.MaxUint32 || t.Channels > math.MaxUint8,
		t.SamplingFrequency != math.Trunc(t.SamplingFrequency) || t.SamplingFrequency < 0 || t.SamplingFrequency > math.MaxUint32:
		return sealed, opaque, wrong("a figure is out of bounds")
	}
	sealed = e2ee.Track{
		Number: uint8(t.Number), Codec: t.CodecID, CodecPrivate: t.CodecPrivate, Width: uint32(t.Width), Height: uint32(t.Height),
		SampleRate: uint32(t.SamplingFrequency), Channels: uint8(t.Channels), Name: t.Name,
	}
	opaque = Track{Number: t.Number, UID: t.Number, Type: t.Type, CodecID: sealed.OpaqueCodec()}
	if t.Type == Video {
		opaque.Width, opaque.Height = opaqueSize, opaqueSize
	} else {
		opaque.SamplingFrequency, opaque.Channels = opaqueRate, 1
	}
	return sealed, opaque, nil
}

// What the container says of every sealed track, where Matroska wants a figure.
const (
	opaqueSize = 16   // pixels
	opaqueRate = 8000 // Hz
)

// isOpaque tells whether a fragment's header is that of sealed media.
func isOpaque(tracks []Track) bool {
	for i := range tracks {
		if tracks[i].CodecID != "V_E2EE/1" && tracks[i].CodecID != "A_E2EE/1" {
			return false
		}
	}
	return true
}

// begin opens a fragment of the Sealer. Then the buffer's is to be begun, and given to begun.
func (s *sealing) begin(capture time.Time) error {
	s.abandon()
	return s.sealer.Begin(capture)
}

// abandon gives up the Sealer's fragment: the one in the buffer is gone, or never came to be.
func (s *sealing) abandon() {
	s.sealer.Abandon()
	s.of, s.block, s.ended, s.link = nil, nil, false, nil
}

// begun says which fragment of the buffer the Sealer's is, and marks that for tools as sealed.
func (s *sealing) begun(b *buffer, f *fragment) error {
	s.of = f
	name, value := s.sealer.Tag()
	return b.write(f, &record{kind: recordTag, name: name, data: []byte(value)})
}

// frame seals a frame into the buffer. What the Sealer has sealed is part of the fragment: if the buffer does not take it, it
// is offered again before anything else.
func (s *sealing) frame(b *buffer, f *Frame, timecode int64) error {
	if err := s.flush(b); err != nil {
		return err
	}
	block, err := s.sealer.Seal(e2ee.Sample{
		Track: uint8(f.Track), Key: f.Key, Time: f.Time, Duration: s.duration(f.Track), Data: f.Data,
	})
	if err != nil {
		return err
	}
	s.block = &record{kind: recordFrame, track: f.Track, time: timecode, key: f.Key, data: block.Payload}
	return s.flush(b)
}

func (s *sealing) duration(track uint64) time.Duration {
	for i := range s.tracks {
		if s.tracks[i].Number == track {
			return s.tracks[i].DefaultDuration
		}
	}
	return 0
}

// flush writes the block that waits.
func (s *sealing) flush(b *buffer) error {
	if s.block == nil {
		return nil
	}
	if err := b.write(s.of, s.block); err != nil {
		return err
	}
	s.of.note(s.block.track, s.block.time)
	s.block = nil
	return nil
}

// end signs the open fragment. The link is kept before the signature is in the buffer, from where it may be sent at once.
// After an error the next attempt goes on where this one stopped.
func (s *sealing) end(b *buffer, session bool) error {
	if !s.ended {
		if err := s.flush(b); err != nil {
			return err
		}
		end := s.sealer.End
		if session {
			end = s.sealer.EndSession
		}
		block, link, err := end()
		if err != nil {
			return err
		}
		s.link, s.block, s.ended = &link, s.closing(block), true
	}
	if s.link != nil {
		if err := s.keep(*s.link); err != nil {
			return fmt.Errorf("producer: keep the link: %w", err)
		}
		s.last, s.link = *s.link, nil
	}
	return s.flush(b)
}

// settle forgets the fragment that has ended, unless the buffer still has it open.
func (s *sealing) settle(b *buffer) {
	if b.open == nil {
		s.of, s.ended = nil, false
	}
}

// ending tells whether the open fragment is signed already and only waits for the buffer.
func (s *sealing) ending() bool { return s != nil && s.ended }

// closing is the record of a block with a signature. In the container it has the latest time of its own track, since a later
// one could collide with the fragment that follows.
func (s *sealing) closing(block e2ee.Block) *record {
	r := &record{kind: recordFrame, track: uint64(block.Track), time: s.of.timecode, data: block.Payload}
	if span := s.of.span(r.track); span != nil {
		r.time = span.last
	}
	return r
}

// tag seals a tag into the open fragment, with its next frame or its end.
func (s *sealing) tag(r *record) error {
	return s.sealer.Meta(e2ee.Metadata{Name: r.name, Value: r.data})
}

// recover signs a fragment that a process before left without its signature. Errors: *e2ee.Error when it must not be signed.
func (s *sealing) recover(b *buffer, f *fragment) error {
	blocks, err := b.blocks(f)
	if err != nil {
		return err
	}
	block, link, err := s.sealer.Finish(blocks)
	if err != nil {
		return err
	}
	if err := s.keep(link); err != nil {
		return fmt.Errorf("producer: keep the link: %w", err)
	}
	if len(block.Payload) == 0 {
		return nil
	}
	s.of = f
	defer func() { s.of = nil }()
	s.block = s.closing(block)
	return s.flush(b)
}

// blocks reads the sealed blocks of a fragment back.
func (b *buffer) blocks(f *fragment) ([]e2ee.Block, error) {
	var out []e2ee.Block
	for offset, index := f.body, uint32(1); index < f.records; index++ {
		r, next, err := b.seal.read(f.w, offset, f.n, index)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errTorn
			}
			return nil, fmt.Errorf("producer: buffer: %w", err)
		}
		offset = next
		if r.kind == recordFrame {
			out = append(out, e2ee.Block{Track: uint8(r.track), Key: r.key, Time: time.UnixMilli(r.time), Payload: r.data})
		}
	}
	return out, nil
}

// Type is the kind of a track's media.
type Type = mkv.TrackType
