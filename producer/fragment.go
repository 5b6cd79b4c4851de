// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/obscura-video/obscura/internal/media/mkv"
)

// fragment is one in the buffer. Its fields are guarded by Producer.mu, except those that never change.
type fragment struct {
	n        uint64  // its number in the buffer; never changes
	timecode int64   // of its cluster, milliseconds since the epoch; never changes
	tracks   []Track // that it may have frames of; never changes
	body     int64   // offset of the record after the header; never changes

	spans    []span // of the tracks that have frames, in the order of their first ones
	size     int64  // of the file
	records  uint32 // in the file
	tags     int
	complete bool
	w        file // nil once it is complete

	doubt   bool // it may have been persisted without our knowing
	gone    bool // it has left the buffer
	refused int  // how often an ERROR that may pass came for it
}

// span is what a fragment has of one track; times are in milliseconds since the epoch.
type span struct {
	track  uint64
	first  int64 // time of the frame that came first
	last   int64 // latest time of any
	frames int64
}

func (f *fragment) span(track uint64) *span {
	for i := range f.spans {
		if f.spans[i].track == track {
			return &f.spans[i]
		}
	}
	return nil
}

func (f *fragment) note(track uint64, t int64) {
	s := f.span(track)
	if s == nil {
		f.spans = append(f.spans, span{track: track, first: t, last: t})
		s = &f.spans[len(f.spans)-1]
	}
	s.frames++
	s.last = max(s.last, t)
}

// ready tells whether it is known which tracks the fragment has. The service refuses a fragment that lacks frames
// of a track that the header declares, so it goes under a header without that track.
func (f *fragment) ready() bool { return f.complete || len(f.spans) == len(f.tracks) }

// present returns the tracks that have frames.
func (f *fragment) present() []Track {
	return slices.DeleteFunc(slices.Clone(f.tracks), func(t Track) bool { return f.span(t.Number) == nil })
}

// bounds are the times of the first and the last frame.
func (f *fragment) bounds() (first, last int64) {
	for i, s := range f.spans {
		if i == 0 || s.first < first {
			first = s.first
		}
		if i == 0 || s.last > last {
			last = s.last
		}
	}
	return first, last
}

// cutter decides where fragments begin.
type cutter struct {
	video    uint64 // the first video track, 0 without one
	first    uint64 // the first track
	duration int64  // milliseconds
}

func newCutter(tracks []Track, d time.Duration) cutter {
	c := cutter{first: tracks[0].Number, duration: d.Milliseconds()}
	for _, t := range tracks {
		if t.Type == Video {
			c.video = t.Number
			break
		}
	}
	return c
}

// maxBackwards is how far before its fragment's beginning a frame may lie, in milliseconds: pictures that follow
// a key frame in decode order and precede it in presentation, and tracks that are interleaved loosely.
const maxBackwards = 2000

// cut tells whether the frame begins a new fragment after f.
func (c *cutter) cut(f *fragment, fr *Frame, t int64) bool {
	elapsed := t - f.timecode
	switch {
	case elapsed >= maxFragmentSpan.Milliseconds(), elapsed < -maxBackwards,
		f.size+int64(len(fr.Data)) > maxFragmentBytes:
		return true
	case c.video == 0:
		return fr.Track == c.first && elapsed >= c.duration
	case f.span(c.video) == nil && elapsed >= 2*c.duration:
		return true // no picture is coming
	}
	// Key frames every so often do not come to the millisecond.
	return fr.Track == c.video && fr.Key && elapsed >= c.duration-c.duration/20
}

// writingApp is what the headers say of the sender.
const writingApp = "obscura"

func matroskaHeader(tracks []Track) []byte {
	return mkv.AppendHeader(nil, mkv.Info{MuxingApp: writingApp, WritingApp: writingApp}, tracks)
}

// parseTracks reads the tracks back from a header.
func parseTracks(header []byte) ([]Track, error) {
	r := mkv.NewReader(bytes.NewReader(mkv.AppendClusterStart(bytes.Clone(header), 0)), mkv.Options{})
	ev, err := r.Next()
	if h, ok := ev.(*mkv.Header); ok && err == nil {
		return h.Tracks, nil
	}
	return nil, fmt.Errorf("%w: header: %v", errTorn, err)
}

// recoverFragment reads back what a process before left of a fragment, and completes it when that was killed in
// the middle of it. Errors: errTorn when not one frame is left; the file's.
func recoverFragment(s *sealer, st store, n uint64) (*fragment, error) {
	f := &fragment{n: n, doubt: true}
	r, err := st.open(n)
	if err != nil {
		return nil, err
	}
	last, err := f.scan(s, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if last.kind == recordEnd {
		f.spans, f.complete = last.end, true
		return f, nil
	}
	if len(f.spans) == 0 {
		return nil, fmt.Errorf("%w: no frame", errTorn)
	}
	if f.w, err = st.truncate(n, f.size); err != nil {
		return nil, err
	}
	return f, nil
}

// scan reads the records up to the end of the file or to what is torn.
func (f *fragment) scan(s *sealer, r io.ReaderAt) (last record, err error) {
	for {
		rec, next, err := s.read(r, f.size, f.n, f.records)
		switch {
		case err == io.EOF && f.records == 0:
			return last, fmt.Errorf("%w: empty", errTorn)
		case err != nil && f.records == 0:
			return last, err // not even the header
		case err == io.EOF, errors.Is(err, errTorn):
			return last, nil
		case err != nil:
			return last, err
		}
		switch rec.kind {
		case recordHeader:
			f.timecode, f.body = rec.time, next
			if f.tracks, err = parseTracks(rec.data); err != nil {
				return last, err
			}
		case recordFrame:
			f.note(rec.track, rec.time)
		case recordTag:
			f.tags++
		}
		f.size, last = next, rec
		f.records++
	}
}
