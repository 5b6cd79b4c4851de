// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/internal/media/fmp4"
	"github.com/obscura-video/obscura/internal/media/hls"
)

const (
	// archiveMemory bounds the segments of an archive that are kept for a player that asks again.
	archiveMemory = 64 << 20
	// archiveHole is how far apart listed fragments may be and still follow each other.
	archiveHole = 500 * time.Millisecond
	// initTries is how many fragments of a run are opened to learn its encoding.
	initTries = 16
	// archiveLead is what times begin at, so that none is below zero where the list is a little wrong.
	archiveLead = 10 * time.Second
	// archivePatience bounds the reading of one fragment.
	archivePatience = 30 * time.Second
)

// archivePlay plays a range of the archive: a playlist of all that the server lists, and each segment is read, opened and made
// when a player asks for it. It may be used concurrently.
type archivePlay struct {
	o       *viewOptions
	t       *terminal
	conn    *connection
	c       *consumer.Consumer
	ctx     context.Context // of the whole run
	list    []consumer.FragmentInfo
	entries []hls.Segment
	runs    []int // for each fragment, the first one of those that follow each other without a hole
	end     chan error

	mu    sync.Mutex // guards what follows; held while a fragment is read
	view  *sealedView
	out   *oneFragment
	next  int // the fragment after the one opened last
	inits map[int]runInit
	cache segmentCache
	said  map[string]bool
}

// runInit is the beginning of fragments that follow each other.
type runInit struct {
	*hls.Piece
	tracks []fmp4.Track
}

// oneFragment is a sink that keeps the last fragment.
type oneFragment struct {
	f     *consumer.Fragment
	taken tally
}

func (s *oneFragment) add(f *consumer.Fragment) error { return s.addPart(f, true) }

func (s *oneFragment) addPart(f *consumer.Fragment, _ bool) error {
	if len(f.Frames) > 0 {
		s.f = f
		s.taken.fragments++
		s.taken.frames += int64(len(f.Frames))
	}
	return nil
}

func (s *oneFragment) cut()         {}
func (s *oneFragment) gap()         {}
func (s *oneFragment) close() error { return nil }
func (s *oneFragment) tally() tally { return s.taken }

// listRange lists what the archive has of [from, until), the fragment that contains from included.
func (o *viewOptions) listRange(ctx context.Context, c *consumer.Consumer, until time.Time) ([]consumer.FragmentInfo, error) {
	r := consumer.Range{Start: time.UnixMilli(0), End: until.Add(-time.Millisecond)}
	if !o.fromTime.IsZero() {
		r.Start = o.fromTime.Add(-reachBack)
	}
	list, err := c.List(ctx, r)
	if err != nil {
		return nil, err
	}
	for len(list) > 0 && list[0].Producer.Before(o.fromTime) && !list[0].Producer.Add(list[0].Length).After(o.fromTime) {
		list = list[1:]
	}
	return list, nil
}

// newArchivePlay lists the range and settles how it is opened. Errors: a *problem when there is nothing, or no key.
func (o *viewOptions) newArchivePlay(ctx context.Context, t *terminal, conn *connection, c *consumer.Consumer, m *member, until time.Time) (*archivePlay, error) {
	what := fmt.Sprintf("cannot view %q", o.stream)
	list, err := o.listRange(ctx, c, until)
	if err != nil {
		return nil, conn.explain(what, o.stream, err)
	}
	if len(list) == 0 {
		return nil, o.nothing()
	}
	a := &archivePlay{
		o: o, t: t, conn: conn, c: c, ctx: ctx, list: list, out: &oneFragment{}, next: -1, end: make(chan error, 1),
		inits: map[int]runInit{}, said: map[string]bool{},
	}
	sealed := false
	if m != nil {
		if sealed, err = m.Sealed(o.stream); err != nil {
			return nil, err
		}
	}
	if !sealed {
		for f, err := range c.Get(ctx, list[0].Number) {
			if err != nil {
				return nil, conn.explain(what, o.stream, err)
			}
			sealed = consumer.IsSealed(f.Tracks)
		}
	}
	if sealed {
		err = a.openWith(ctx, m)
	} else {
		err = o.doubt(t, m)
	}
	if err != nil {
		return nil, err
	}
	a.plan(sealed)
	return a, nil
}

// openWith prepares to open sealed fragments.
func (a *archivePlay) openWith(ctx context.Context, m *member) error {
	if m == nil {
		return a.o.needsKeys()
	}
	if m.Trust() != nil {
		m.takeGrants(ctx, a.t, a.o.stream)
	}
	opener, err := m.Opener(a.o.stream, a.o.openerConfig)
	if err != nil {
		return m.explain(fmt.Sprintf("cannot view %q", a.o.stream), err)
	}
	a.view = &sealedView{o: a.o, t: a.t, m: m, out: &viewed{sink: a.out}, state: newTrustState(), open: opener, said: map[e2ee.Code]bool{}}
	return nil
}

// close remembers what was confirmed.
func (a *archivePlay) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.view == nil {
		return
	}
	if err := a.view.open.Close(); err != nil {
		a.t.note("%s what was confirmed could not be remembered: %s", a.t.yellow("warning:"), err)
	}
	_ = a.view.finish(nil) // it counts; what could not be opened was said
}

// plan makes the entries of the playlist. Of a sealed stream the list's times are the server's word alone: they order and space the
// segments, and are not passed on as the camera's.
func (a *archivePlay) plan(sealed bool) {
	for i := range a.list {
		f := &a.list[i]
		s := hls.Segment{URI: fmt.Sprintf("%d.m4s", i), Duration: f.Length, Discontinuity: i > 0 && !a.follows(i)}
		if i+1 < len(a.list) && a.follows(i+1) {
			s.Duration = a.list[i+1].Producer.Sub(f.Producer)
		}
		s.Duration = max(s.Duration, time.Millisecond)
		if !sealed {
			s.Time = f.Producer
		}
		run := i
		if i > 0 && !s.Discontinuity {
			run = a.runs[i-1]
		}
		a.runs = append(a.runs, run)
		s.Map = fmt.Sprintf("init-%d.mp4", run)
		a.entries = append(a.entries, s)
	}
}

// follows tells whether fragment i begins where the one before ends.
func (a *archivePlay) follows(i int) bool {
	before := &a.list[i-1]
	return a.list[i].Producer.Sub(before.Producer.Add(before.Length)).Abs() <= archiveHole
}

func (a *archivePlay) playlist(context.Context, uint64) ([]byte, error) {
	m := hls.Media{Kind: hls.VOD, Target: time.Second, Independent: true, Ended: true, Segments: a.entries}
	for _, s := range a.entries {
		m.Target = max(m.Target, (s.Duration + time.Second - 1).Truncate(time.Second))
	}
	return m.Append(nil)
}

func (a *archivePlay) master(_ context.Context, mediaURI string) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := hls.Variant{URI: mediaURI, Bandwidth: 1}
	for i := range a.list {
		v.Bandwidth = max(v.Bandwidth, hls.BitRate(a.list[i].Bytes, a.entries[i].Duration))
	}
	// Without the codecs a player finds out for itself.
	if in, err := a.init(0); err == nil {
		v.Codecs, v.Width, v.Height = in.Codecs, in.Width, in.Height
	}
	m := hls.Master{Independent: true, Variants: []hls.Variant{v}}
	return m.Append(nil)
}

func (a *archivePlay) find(_ context.Context, uri string) ([]byte, error) {
	i := -1
	_, isSegment := strings.CutSuffix(uri, ".m4s")
	if n, _ := fmt.Sscanf(strings.TrimPrefix(uri, "init-"), "%d", &i); n != 1 || i < 0 || i >= len(a.list) {
		return nil, errNotThere
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case isSegment && uri == a.entries[i].URI:
		return a.segment(i)
	case uri == a.entries[i].Map && a.runs[i] == i:
		in, err := a.init(i)
		if err != nil {
			return nil, err
		}
		return in.Init, nil
	}
	return nil, errNotThere
}

// init makes the init segment of a run from the first of its fragments that opens. It needs the lock.
func (a *archivePlay) init(run int) (runInit, error) {
	if in, ok := a.inits[run]; ok {
		return in, nil
	}
	for i := run; i < len(a.list) && a.runs[i] == run && i < run+initTries; i++ {
		f, err := a.fragment(i)
		if errors.Is(err, errNotThere) {
			continue
		}
		if err != nil {
			return runInit{}, err
		}
		piece, err := f.Init()
		if err != nil {
			a.tell(a.o.explainWrite(a.conn, &viewed{sink: a.out}, a.out.f, err))
			return runInit{}, errNotThere
		}
		a.inits[run] = runInit{piece, f.Tracks}
		return a.inits[run], nil
	}
	return runInit{}, errNotThere
}

// segment makes a segment. It needs the lock.
func (a *archivePlay) segment(i int) ([]byte, error) {
	if b, ok := a.cache.get(i); ok {
		return b, nil
	}
	in, err := a.init(a.runs[i])
	if err != nil {
		return nil, err
	}
	f, err := a.fragment(i)
	if err != nil {
		return nil, err
	}
	if !f.Fits(in.tracks) {
		a.note("the encoding changes at %s; play what follows with --from", sayMoment(f.Samples[0].Time))
		return nil, errNotThere
	}
	b, err := f.Segment(uint32(i), a.list[0].Producer.Add(-archiveLead))
	if err != nil {
		a.note("fragment %s cannot be shown: %v", a.list[i].Number, err)
		return nil, errNotThere
	}
	a.cache.put(i, b)
	return b, nil
}

// fragment reads and opens a fragment. Errors: errNotThere, after it was said why; those of the connection. It needs the lock.
func (a *archivePlay) fragment(i int) (*hls.Fragment, error) {
	ctx, cancel := context.WithTimeout(a.ctx, archivePatience)
	defer cancel()
	a.out.f = nil
	fragments := a.c.Get(ctx, a.list[i].Number)
	if a.view == nil {
		for f, err := range fragments {
			if err != nil {
				return nil, a.explain(i, err)
			}
			_ = a.out.add(f) // it only keeps it
		}
	} else if err := a.open(ctx, i, consumer.Replay(fragments)); err != nil {
		return nil, err
	}
	if a.out.f == nil {
		return nil, errNotThere
	}
	f, err := hlsFragment(a.out.f)
	if err != nil {
		a.tell(a.o.explainWrite(a.conn, &viewed{sink: a.out}, a.out.f, err))
		return nil, errNotThere
	}
	if i+1 < len(a.list) && a.follows(i+1) {
		f.End = a.list[i+1].Producer
	}
	return f, nil
}

// open opens a sealed fragment. Tampering ends everything.
func (a *archivePlay) open(ctx context.Context, i int, events func(func(consumer.Event, error) bool)) error {
	if i != a.next {
		a.view.open.Seek()
	}
	a.next = i + 1
	for s, err := range a.c.Opened(ctx, events, a.view.open) {
		if err != nil {
			return a.explain(i, err)
		}
		if _, err := a.view.step(&s); err != nil {
			a.stop(err)
			return errNotThere
		}
	}
	return nil
}

// explain settles what a failure to read means: it is over, the fragment is gone, or a player may try again.
func (a *archivePlay) explain(i int, err error) error {
	var refused *consumer.ResponseError
	var gone *consumer.MediaError
	switch {
	case errors.As(err, &refused):
		a.stop(a.conn.explain(fmt.Sprintf("cannot view %q", a.o.stream), a.o.stream, err))
	case errors.As(err, &gone):
		a.note("the server has no more of %s: %d %s", sayMoment(a.list[i].Producer), gone.ID, gone.Code)
	default:
		return err
	}
	return errNotThere
}

// stop ends the run.
func (a *archivePlay) stop(err error) {
	select {
	case a.end <- err:
	default: // it ends already
	}
}

// note says something once.
func (a *archivePlay) note(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !a.said[s] {
		a.said[s] = true
		a.t.note("%s", s)
	}
}

func (a *archivePlay) tell(err error) { a.note("%v", err) }

// segmentCache keeps the segments that were made last, up to archiveMemory.
type segmentCache struct {
	order []int // oldest first
	made  map[int][]byte
	bytes int
}

func (c *segmentCache) get(i int) ([]byte, bool) {
	b, ok := c.made[i]
	return b, ok
}

func (c *segmentCache) put(i int, b []byte) {
	if c.made == nil {
		c.made = map[int][]byte{}
	}
	c.order, c.made[i], c.bytes = append(c.order, i), b, c.bytes+len(b)
	for c.bytes > archiveMemory && len(c.order) > 1 {
		c.bytes -= len(c.made[c.order[0]])
		delete(c.made, c.order[0])
		c.order = c.order[1:]
	}
}
