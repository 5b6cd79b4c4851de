// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// Opener opens the fragments of one stream: an *e2ee.Opener, or one that also remembers what it confirmed.
type Opener interface {
	// Block, End and Cut are as e2ee.Opener has them.
	Block(e2ee.Block) (e2ee.Opened, error)
	End() (e2ee.Report, error)
	Cut()
}

// keyTaker is an Opener that takes keys from a fragment other than the one to be opened.
type keyTaker interface {
	TakeKeys(e2ee.Block) error
}

// SealedKind says what a Sealed tells.
type SealedKind int

// The kinds. A fragment is any number of Provisional, and then one of the others.
const (
	// Provisional: frames as they arrive, authentic against everybody who does not have the fragment's key. The signature is
	// still to come. A strict Opener has none.
	Provisional SealedKind = iota + 1
	// Confirmed: the producer has signed the fragment as it came. Frames are those not passed on before: all with a strict
	// Opener, and after a fragment that was not confirmed.
	Confirmed
	// Refused: Err says why, and whether that means tampering. What came of it provisionally is not confirmed, and nothing
	// more comes of it. When it was tampering, all that follows is refused until e2ee.Opener.Resume is called.
	Refused
	// Incomplete: the service did not deliver the fragment whole, and mostly does so again.
	Incomplete
)

// Sealed is a step in the arrival of a sealed fragment. It and everything in it belongs to whoever got it. What is in Tracks,
// Frames, Metadata and Report has been opened and comes from the producer; times are the sealed ones.
type Sealed struct {
	Kind     SealedKind
	Tracks   []Track // as the producer described them; nil when nothing of the fragment has been opened
	Frames   []Frame
	Metadata []e2ee.Metadata
	Report   e2ee.Report // with Confirmed; without the samples
	Err      *e2ee.Error // with Refused
	// Shift is the largest difference between a frame's time in the container, which the service could change, and its
	// sealed one. Rounding makes it up to a millisecond.
	Shift time.Duration

	Said Said
}

// Said is what the service says of a fragment. None of it is authentic: it is for display, and to go on from.
type Said struct {
	Number           string
	Producer, Server time.Time
	Behind           time.Duration // with Confirmed
	Token            string        // with Confirmed
}

// Opened opens sealed fragments as they arrive, live or with Replay from an archive. Nothing passes that the Opener has not
// opened: a readable fragment is refused with e2ee.ErrDowngrade, and clear tags are left out. When a fragment has no key
// package, the one that has it is fetched; if that cannot be, it is refused with e2ee.ErrNoPackage.
//
// The loop goes on after refusals. Errors are those of events.
func (c *Consumer) Opened(ctx context.Context, events iter.Seq2[Event, error], o Opener) iter.Seq2[Sealed, error] {
	return func(yield func(Sealed, error) bool) {
		p := &opening{c: c, ctx: ctx, o: o}
		defer o.Cut()
		for ev, err := range events {
			if err != nil {
				yield(Sealed{}, err)
				return
			}
			if out, ok := p.step(&ev); ok && !yield(out, nil) {
				return
			}
		}
	}
}

// Replay makes whole fragments into events: for Opened, of what Archive gives.
func Replay(fragments iter.Seq2[*Fragment, error]) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for f, err := range fragments {
			if err != nil {
				yield(Event{}, err)
				return
			}
			if !yield(Event{Kind: Begin, Fragment: f}, nil) {
				return
			}
			for i := range f.Frames {
				if !yield(Event{Kind: Arrived, Fragment: f, Frame: f.Frames[i]}, nil) {
					return
				}
			}
			if !yield(Event{Kind: Complete, Fragment: f}, nil) {
				return
			}
		}
	}
}

// opening is one loop over sealed media.
type opening struct {
	c   *Consumer
	ctx context.Context
	o   Opener

	blocks int  // of the fragment
	judged bool // it has its verdict
	tracks []Track
	shift  time.Duration
	sought time.Time // where keys were last looked for
}

// step handles an event, and tells whether there is something to say.
func (p *opening) step(ev *Event) (out Sealed, ok bool) {
	switch ev.Kind {
	case Begin:
		p.o.Cut()
		p.blocks, p.judged, p.tracks, p.shift = 0, false, nil, 0
	case Arrived:
		out, ok = p.arrived(&ev.Frame)
	case Complete:
		out, ok = p.complete()
	case Aborted:
		p.o.Cut()
		out, ok = Sealed{Kind: Incomplete}, !p.judged
	}
	if out.Kind != Confirmed {
		out.Said = Said{Number: ev.Fragment.Number, Producer: ev.Fragment.Producer, Server: ev.Fragment.Server}
	} else {
		out.Said = said(ev.Fragment)
	}
	out.Tracks, out.Shift = p.tracks, p.shift
	return out, ok
}

func said(f *Fragment) Said {
	return Said{Number: f.Number, Producer: f.Producer, Server: f.Server, Behind: f.Behind, Token: f.Token}
}

func (p *opening) arrived(f *Frame) (Sealed, bool) {
	if p.judged {
		return Sealed{}, false
	}
	b := blockOf(f)
	got, err := p.o.Block(b)
	if p.blocks == 0 && errors.Is(err, e2ee.ErrNoPackage) {
		got, err = p.withKeys(b, err)
	}
	p.blocks++
	if err != nil {
		return p.refused(err)
	}
	out := Sealed{Kind: Provisional}
	p.take(&out, &got)
	return out, len(out.Frames)+len(out.Metadata) > 0
}

func (p *opening) complete() (Sealed, bool) {
	if p.judged {
		p.o.Cut()
		return Sealed{}, false
	}
	if p.blocks == 0 { // as readable as a fragment can be that has nothing
		if _, err := p.o.Block(e2ee.Block{}); err != nil {
			return p.refused(err)
		}
	}
	r, err := p.o.End()
	if err != nil {
		return p.refused(err)
	}
	p.judged = true
	out := Sealed{Kind: Confirmed}
	p.take(&out, &r.Opened)
	r.Opened = e2ee.Opened{}
	out.Report = r
	return out, true
}

func (p *opening) refused(err error) (Sealed, bool) {
	p.judged = true
	var e *e2ee.Error
	if !errors.As(err, &e) {
		e = &e2ee.Error{Code: e2ee.ErrFormat, Detail: err.Error()}
	}
	return Sealed{Kind: Refused, Err: e}, true
}

// blockOf is the block that a frame of the container holds. A track that no sealed stream has becomes one that none has.
func blockOf(f *Frame) e2ee.Block {
	b := e2ee.Block{Key: f.Key, Time: f.Time, Payload: f.Data}
	if f.Track <= 15 {
		b.Track = uint8(f.Track)
	}
	return b
}

// take moves what was opened.
func (p *opening) take(out *Sealed, got *e2ee.Opened) {
	if got.Tracks != nil {
		p.tracks = make([]Track, len(got.Tracks))
		for i := range got.Tracks {
			p.tracks[i] = TrackOf(&got.Tracks[i])
		}
	}
	for _, s := range got.Samples {
		out.Frames = append(out.Frames, Frame{
			Track: uint64(s.Track), Time: s.Time, Duration: s.Duration, Key: s.Key, Data: s.Data,
		})
		if s.Shift.Abs() > p.shift.Abs() {
			p.shift = s.Shift
		}
	}
	out.Metadata = got.Metadata
}

// TrackOf describes a track as a container that is not sealed would.
func TrackOf(t *e2ee.Track) Track {
	out := Track{
		Number: uint64(t.Number), UID: uint64(t.Number), Name: t.Name, CodecID: t.Codec, CodecPrivate: t.CodecPrivate,
		Width: uint64(t.Width), Height: uint64(t.Height), SamplingFrequency: float64(t.SampleRate), Channels: uint64(t.Channels),
	}
	switch {
	case t.OpaqueCodec()[0] == 'A':
		out.Type = mkv.TrackAudio
	case len(t.Codec) > 0 && t.Codec[0] == 'V':
		out.Type = mkv.TrackVideo
	default:
		out.Type = mkv.TrackMetadata
	}
	if t.Codec == "A_OPUS" && len(t.CodecPrivate) >= 12 {
		// RFC 7845, section 5.1: pre-skip at 48 kHz. The pre-roll is the one that the Matroska mapping of Opus asks for.
		skip := binary.LittleEndian.Uint16(t.CodecPrivate[10:])
		out.CodecDelay, out.SeekPreRoll = time.Duration(skip)*time.Second/48000, 80*time.Millisecond
	}
	return out
}

// keysReach is how far the container's time of a fragment may be from its sealed one, where its key package is looked for.
const keysReach = 50 * time.Millisecond

// withKeys fetches the fragment that has the key package, and opens the block once more. When it cannot, it returns why
// there is no key as well as is known.
func (p *opening) withKeys(b e2ee.Block, err error) (e2ee.Opened, error) {
	taker, ok := p.o.(keyTaker)
	var e *e2ee.Error
	if !ok || !errors.As(err, &e) || e.SeekTo.IsZero() || e.SeekTo.Equal(p.sought) {
		return e2ee.Opened{}, err
	}
	p.sought = e.SeekTo
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	reach := Range{Start: e.SeekTo.Add(-keysReach), End: e.SeekTo.Add(keysReach)}
	for f, fetched := range p.c.Archive(ctx, reach) {
		if fetched != nil {
			p.c.o.Log.Warn("the fragment with the key package was not to be had", "stream", p.c.o.StreamName, "error", fetched)
			break
		}
		if len(f.Frames) == 0 {
			continue
		}
		taken := taker.TakeKeys(blockOf(&f.Frames[0]))
		if taken == nil {
			p.o.Cut()
			return p.o.Block(b)
		}
		var why *e2ee.Error
		if errors.As(taken, &why) && !why.Code.Tampered() && why.Code != e2ee.ErrNoPackage {
			err = why // not admitted, removed, or recorded before admission
		}
	}
	return e2ee.Opened{}, err
}

// IsSealed tells whether the container says of a fragment's tracks that they are end-to-end encrypted. It is what the service
// says: for choosing what to ask for, not for deciding what to believe.
func IsSealed(tracks []Track) bool {
	for i := range tracks {
		if id := tracks[i].CodecID; id == "V_E2EE/1" || id == "A_E2EE/1" {
			return true
		}
	}
	return false
}
