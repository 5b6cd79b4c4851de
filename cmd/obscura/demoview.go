// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// demoSeen is what the first view found.
type demoSeen struct {
	pictures, sounds int
	length           time.Duration
	fragments        int // confirmed
	missing          uint64
	bytes            int64 // of frames
	signer           string
	last             e2ee.Report
}

// demoViewer is the demo's viewer, and then whoever has the server but no keys.
type demoViewer struct {
	t     *terminal
	conn  *connection
	home  *demoHousehold
	began time.Time
}

func (v *demoViewer) consumer() (*consumer.Consumer, error) {
	co := consumer.Options{StreamName: demoStream, GiveUpAfter: 10 * time.Second, Log: slog.New(slog.DiscardHandler)}
	v.conn.forConsumer(&co)
	return consumer.Open(co)
}

func (v *demoViewer) events(ctx context.Context, c *consumer.Consumer) func(func(consumer.Event, error) bool) {
	return c.Events(ctx, consumer.ServerTime(v.began.Add(-time.Second)))
}

// view reads the stream from its beginning into a file, holds each frame against the clip, and counts what is confirmed.
func (v *demoViewer) view(ctx context.Context, file string) (seen demoSeen, err error) {
	c, err := v.consumer()
	if err != nil {
		return seen, err
	}
	defer c.Close()
	opener, err := v.home.viewer.Opener(demoStream, func(c *e2ee.OpenerConfig) { c.LiveWindow, c.Archive = e2ee.DefaultLiveWindow, true })
	if err != nil {
		return seen, err
	}
	f, err := createOutput(file)
	if err != nil {
		return seen, err
	}
	r := &demoRun{v: v, out: newFootage(f, formatMP4)}
	if r.check, err = newClipCheck(ctx); err != nil {
		return seen, err
	}
	for s, err := range c.Opened(ctx, v.events(ctx, c), opener) {
		if err != nil {
			return seen, v.conn.explain("cannot view the demo", demoStream, err)
		}
		if err := r.step(&s); err != nil {
			return seen, err
		}
		if r.check.length() >= demoCheck {
			break
		}
	}
	seen = r.check.seen()
	seen.signer, seen.bytes = v.signer(seen.last.Producer), r.out.bytes
	return seen, errors.Join(r.out.close(), f.keep(), opener.Close())
}

// demoRun is one view of the demo.
type demoRun struct {
	v      *demoViewer
	out    *footage
	check  *clipCheck
	frames []consumer.Frame // of the fragment that is arriving
	shown  bool             // the first picture
}

func (r *demoRun) step(s *consumer.Sealed) error {
	r.frames = append(r.frames, s.Frames...)
	if len(r.frames) > 0 && r.frames[0].Time.Before(r.v.began) {
		r.frames = nil // of an earlier demo with the same data
		return nil
	}
	switch s.Kind {
	case consumer.Provisional:
		if !r.shown {
			r.shown = true
			r.v.t.note("first picture after %.1f s", time.Since(r.v.began).Seconds())
		}
		return nil
	case consumer.Refused:
		return &problem{What: "the demo's media was refused", Why: s.Err.Error(), Code: s.Err.Code.String(), Exit: exitDamaged, Err: s.Err}
	case consumer.Incomplete:
		r.frames = nil
		return nil
	}
	whole := &consumer.Fragment{Number: s.Said.Number, Producer: s.Report.Capture, Tracks: s.Tracks, Frames: r.frames}
	r.frames = nil
	if err := errors.Join(r.check.add(whole), r.out.add(whole)); err != nil {
		return &problem{What: "the demo's frames are not the ones that were sent", Why: err.Error(), Exit: exitDamaged, Err: err}
	}
	if len(whole.Frames) > 0 {
		r.check.found.confirm(&s.Report)
	}
	return nil
}

func (s *demoSeen) confirm(r *e2ee.Report) {
	if s.fragments > 0 {
		s.missing += r.Missing
	}
	s.fragments++
	s.last = *r
}

func (v *demoViewer) signer(fp e2ee.Fingerprint) string {
	r, err := v.home.viewer.Roster()
	if err != nil {
		return fp.Short()
	}
	m, _ := household.MemberOf(r, fp)
	return fmt.Sprintf("%q", m.Name)
}

// clipCheck holds frames against those of the clip, in their order.
type clipCheck struct {
	clip   *source
	zero   time.Time // of the clip
	last   time.Time
	frames int
	found  demoSeen
}

func newClipCheck(ctx context.Context) (*clipCheck, error) {
	src, err := openSource(ctx, demoInput)
	return &clipCheck{clip: src}, err
}

// add checks a fragment: bytes, track, key flag and, to the millisecond, time.
func (c *clipCheck) add(f *consumer.Fragment) error {
	for _, got := range f.Frames {
		want, err := c.clip.next()
		if err == io.EOF {
			return nil // the clip has begun again
		}
		if err != nil {
			return err
		}
		if c.frames == 0 {
			c.zero = got.Time.Add(-want.at)
		}
		off := got.Time.Sub(c.zero) - want.at
		if got.Track != want.track || got.Key != want.key || string(got.Data) != string(want.data) || off.Abs() > time.Millisecond {
			return fmt.Errorf("frame %d at %s differs", c.frames, want.at)
		}
		c.frames++
		c.last = got.Time
		if isVideo(f.Tracks, got.Track) {
			c.found.pictures++
		} else {
			c.found.sounds++
		}
	}
	return nil
}

func (c *clipCheck) length() time.Duration { return c.last.Sub(c.zero) }

func (c *clipCheck) seen() demoSeen {
	s := c.found
	s.length = c.length()
	return s
}
