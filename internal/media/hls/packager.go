// SPDX-License-Identifier: Apache-2.0

package hls

import (
	"bytes"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/internal/media/fmp4"
)

// Fragment is what becomes one media segment: samples in decode order, beginning with a key frame.
type Fragment struct {
	Tracks  []fmp4.Track
	Samples []Sample
	// End is when the first picture after the fragment is shown; zero when that is not known yet.
	End time.Time
	// Cut says that something is missing before the fragment, whatever its times say.
	Cut bool
}

// Sample is one coded picture, or one frame of audio.
type Sample struct {
	Track    uint32
	Time     time.Time     // of its presentation
	Duration time.Duration // 0 when unknown
	Key      bool
	Data     []byte
}

// Piece is a media segment.
type Piece struct {
	Init          []byte // init segment, when it is another one than before
	Codecs        string // with Init: RFC 6381
	Width, Height int    // with Init: pixels, 0 when the tracks do not say
	Data          []byte
	Duration      time.Duration
	Time          time.Time // of its first picture
	Discontinuity bool
}

// jump is how far a fragment's beginning may be from the end of the one before to count as following it: pictures and clocks
// of cameras are not so even that each difference was a hole.
const jump = 500 * time.Millisecond

// Packager turns the fragments of a stream, in the order in which they come, into segments on one timeline, which never goes
// back even where the camera's clock does. The zero value is ready. It is for one goroutine.
type Packager struct {
	tracks   []fmp4.Track
	w        *fmp4.Writer
	buf      bytes.Buffer
	zero     time.Time
	end      time.Time     // of the fragment before
	interval time.Duration // between pictures, as last seen
}

// Add makes the segment of a fragment. The result belongs to the caller; samples are not kept.
//
// Errors: those of fmp4, wrapped, among them codec.ErrUnsupported. The fragment is then left out.
func (p *Packager) Add(f *Fragment) (*Piece, error) {
	if len(f.Samples) == 0 {
		return nil, fmt.Errorf("%w: fragment without samples", ErrPlaylist)
	}
	s := f.span(p.interval)
	out := &Piece{Time: s.start, Duration: s.duration()}
	if p.w == nil || !sameTracks(p.tracks, f.Tracks) {
		if err := p.begin(f, out); err != nil {
			return nil, err
		}
	}
	gap := s.start.Sub(p.end)
	out.Discontinuity = !p.end.IsZero() && (f.Cut || out.Init != nil || gap.Abs() > jump)
	switch {
	case p.end.IsZero():
		p.zero = s.first
	case gap < -jump || s.first.Before(p.zero):
		// The clock was set back: the timeline goes on where it was.
		p.zero = s.first.Add(-p.end.Sub(p.zero))
	}
	if err := p.w.WriteFragment(f.samples(p.zero), endOf(f.End, p.zero)); err != nil {
		p.w = nil // its init segment is lost with the piece
		return nil, err
	}
	out.Data = bytes.Clone(p.buf.Bytes())
	p.buf.Reset()
	p.end, p.interval = s.end, s.interval
	return out, nil
}

// begin makes the init segment of a fragment's tracks.
func (p *Packager) begin(f *Fragment, out *Piece) error {
	p.buf.Reset()
	w, err := fmp4.NewWriter(&p.buf, f.Tracks, fmp4.Options{})
	if err != nil {
		return err
	}
	if out.Codecs, err = fmp4.Codecs(f.Tracks); err != nil {
		return err
	}
	out.Width, out.Height = size(f.Tracks)
	out.Init = bytes.Clone(p.buf.Bytes())
	p.buf.Reset()
	p.w, p.tracks = w, f.Tracks
	return nil
}

// Init makes the init segment of a fragment's tracks, for a presentation whose fragments are packed on their own.
func (f *Fragment) Init() (*Piece, error) {
	p, out := &Packager{}, &Piece{}
	return out, p.begin(f, out)
}

// Fits tells whether the init segment of tracks serves for the fragment.
func (f *Fragment) Fits(tracks []fmp4.Track) bool { return sameTracks(tracks, f.Tracks) }

// Segment makes a segment on its own, number counting from 0, with times since zero. Errors are those of fmp4, wrapped.
func (f *Fragment) Segment(number uint32, zero time.Time) ([]byte, error) {
	return fmp4.AppendFragment(nil, f.Tracks, number+1, f.samples(zero), endOf(f.End, zero))
}

func endOf(end, zero time.Time) time.Duration {
	if end.IsZero() {
		return 0
	}
	return end.Sub(zero)
}

func (f *Fragment) samples(zero time.Time) []fmp4.Sample {
	out := make([]fmp4.Sample, len(f.Samples))
	for i, s := range f.Samples {
		out[i] = fmp4.Sample{Track: s.Track, PTS: s.Time.Sub(zero), Duration: s.Duration, Keyframe: s.Key, Data: s.Data}
	}
	return out
}

// span is when a fragment is shown.
type span struct {
	first      time.Time // of all samples
	start, end time.Time // of the pictures, or of the sound where there are none
	interval   time.Duration
}

func (s *span) duration() time.Duration { return s.end.Sub(s.start) }

// guessedInterval is between pictures of which nothing is known.
const guessedInterval = 40 * time.Millisecond

// span measures a fragment; before is the interval of the one before, 0 when there is none.
func (f *Fragment) span(before time.Duration) span {
	s, leading := span{first: f.Samples[0].Time}, f.leading()
	var last *Sample
	n := 0
	for i := range f.Samples {
		x := &f.Samples[i]
		if x.Time.Before(s.first) {
			s.first = x.Time
		}
		if x.Track != leading {
			continue
		}
		if n++; n == 1 || x.Time.Before(s.start) {
			s.start = x.Time
		}
		if last == nil || x.Time.After(last.Time) {
			last = x
		}
	}
	switch s.interval = before; {
	case last.Duration > 0:
		s.interval = last.Duration
	case n > 1:
		s.interval = last.Time.Sub(s.start) / time.Duration(n-1)
	case before == 0:
		s.interval = guessedInterval
	}
	s.end = last.Time.Add(s.interval)
	if f.End.After(s.start) {
		s.end = f.End
	}
	return s
}

// leading is the track that a fragment's time is measured by: its pictures', if it has any.
func (f *Fragment) leading() uint32 {
	for _, t := range f.Tracks {
		for i := range f.Samples {
			if f.Samples[i].Track == t.ID && len(t.CodecID) > 0 && t.CodecID[0] == 'V' {
				return t.ID
			}
		}
	}
	return f.Samples[0].Track
}

// sameTracks allows tracks to be missing, since a producer leaves out those without frames.
func sameTracks(have, now []fmp4.Track) bool {
	for i := range now {
		found := false
		for j := range have {
			a, b := &now[i], &have[j]
			found = found || a.ID == b.ID && a.CodecID == b.CodecID && bytes.Equal(a.CodecPrivate, b.CodecPrivate)
		}
		if !found {
			return false
		}
	}
	return true
}

func size(tracks []fmp4.Track) (width, height int) {
	for _, t := range tracks {
		if t.Width > 0 && t.Height > 0 {
			return t.Width, t.Height
		}
	}
	return 0, 0
}
