// SPDX-License-Identifier: Apache-2.0

package hls

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Limits bound a Window.
type Limits struct {
	Length time.Duration // of what is listed; at least four target durations are
	Bytes  int64         // of all segments that are kept, the newest excepted
}

// ErrTooFar says that a playlist was asked for of which the end is too far ahead.
var ErrTooFar = errors.New("hls: playlist of a time that is too far ahead")

// leastTargets is how many target durations are listed at least: players begin three before the end (RFC 8216, 6.3.3).
const leastTargets = 4

// Window is the newest part of a live presentation, in memory and nowhere else. What leaves the playlist stays for a while, for
// players that are about to ask for it. It may be used concurrently.
type Window struct {
	limits Limits

	mu     sync.Mutex // guards what follows
	kept   []keptSegment
	listed int    // how many of kept, from the end
	next   uint64 // number of the next segment
	cuts   uint64 // discontinuities that are listed no longer
	bytes  int64
	target time.Duration
	now    keptInit // of the newest segment
	rate   int64    // the highest bit rate of a segment
	ended  bool
	news   chan struct{} // closed, and replaced, when something has changed
}

type keptSegment struct {
	Segment
	number uint64
	init   keptInit
	data   []byte
}

type keptInit struct {
	name, codecs  string
	width, height int
	data          []byte
}

// NewWindow makes an empty window.
func NewWindow(l Limits) *Window { return &Window{limits: l, news: make(chan struct{})} }

// Add puts a segment at the end. The window keeps its bytes. After End it does nothing.
func (w *Window) Add(p *Piece) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	if p.Init != nil {
		w.now = keptInit{fmt.Sprintf("init-%d.mp4", w.next), p.Codecs, p.Width, p.Height, p.Init}
	}
	s := keptSegment{number: w.next, init: w.now, data: p.Data}
	s.Segment = Segment{
		URI: fmt.Sprintf("%d.m4s", w.next), Map: w.now.name, Duration: p.Duration, Time: p.Time, Discontinuity: p.Discontinuity,
	}
	w.next++
	w.kept = append(w.kept, s)
	w.listed++
	w.bytes += int64(len(p.Data))
	w.rate = max(w.rate, BitRate(int64(len(p.Data)), p.Duration))
	// The target should not change, but a fragment may be longer than any before: then it must, and never goes back.
	w.target = max(w.target, time.Second, (p.Duration + time.Second - 1).Truncate(time.Second))
	w.trim()
	w.tell()
}

// trim takes out of the list, and then out of memory, what is over the limits.
func (w *Window) trim() {
	length := max(w.limits.Length, leastTargets*w.target)
	for w.listed > 1 && w.lengthOf(w.listed-1) >= length {
		w.unlist()
	}
	// Until all who have an old playlist have loaded what it lists (RFC 8216, 6.2.2).
	for len(w.kept) > w.listed && w.lengthOf(len(w.kept)-1) >= 2*length+w.target {
		w.drop()
	}
	for len(w.kept) > 1 && w.bytes > w.limits.Bytes {
		if len(w.kept) == w.listed {
			w.unlist()
		}
		w.drop()
	}
}

func (w *Window) unlist() {
	if w.kept[len(w.kept)-w.listed].Discontinuity {
		w.cuts++
	}
	w.listed--
}

func (w *Window) drop() {
	w.bytes -= int64(len(w.kept[0].data))
	w.kept[0] = keptSegment{}
	w.kept = w.kept[1:]
}

// lengthOf is the length of the last n segments.
func (w *Window) lengthOf(n int) (d time.Duration) {
	for i := len(w.kept) - n; i < len(w.kept); i++ {
		d += w.kept[i].Duration
	}
	return d
}

func (w *Window) tell() {
	close(w.news)
	w.news = make(chan struct{})
}

// End says that nothing more comes: playlists end, and nobody waits any more.
func (w *Window) End() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.tell()
}

// Bytes is how much memory the segments take.
func (w *Window) Bytes() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes
}

// Target is the longest duration of a segment so far, in whole seconds; 0 before the first.
func (w *Window) Target() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.target
}

// Playlist returns the media playlist, as soon as it has a segment and, if upTo is not 0, the one of that number.
//
// Errors: ErrTooFar; that of ctx; ErrPlaylist when it ended without a segment.
func (w *Window) Playlist(ctx context.Context, upTo uint64) ([]byte, error) {
	if err := w.wait(ctx, func() bool { return w.next > upTo }, func() bool { return upTo > w.next+1 }); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	m := Media{
		Target: w.target, Sequence: w.next - uint64(w.listed), Discontinuities: w.cuts, Independent: true, Blocking: true, Ended: w.ended,
	}
	for _, s := range w.kept[len(w.kept)-w.listed:] {
		m.Segments = append(m.Segments, s.Segment)
	}
	return m.Append(nil)
}

// Master returns the master playlist, with the media playlist at uri, as soon as it is known what there is to play.
//
// Errors: that of ctx; ErrPlaylist when it ended without a segment.
func (w *Window) Master(ctx context.Context, uri string) ([]byte, error) {
	if err := w.wait(ctx, func() bool { return w.next > 0 }, func() bool { return false }); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	m := Master{Independent: true, Variants: []Variant{{
		URI: uri, Bandwidth: w.rate, Codecs: w.now.codecs, Width: w.now.width, Height: w.now.height,
	}}}
	return m.Append(nil)
}

// wait returns with the lock held when ready says so, or the presentation has ended with something in it.
func (w *Window) wait(ctx context.Context, ready, never func() bool) error {
	for {
		w.mu.Lock()
		switch {
		case w.next > 0 && (w.ended || ready()):
			return nil
		case w.ended:
			w.mu.Unlock()
			return fmt.Errorf("%w: ended without a segment", ErrPlaylist)
		case never():
			w.mu.Unlock()
			return ErrTooFar
		}
		news := w.news
		w.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Find returns the bytes of a segment or init segment by its URI. Nobody may change them.
func (w *Window) Find(uri string) ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.kept {
		s := &w.kept[i]
		if s.URI == uri {
			return s.data, true
		}
		if s.init.name == uri {
			return s.init.data, true
		}
	}
	return nil, false
}
