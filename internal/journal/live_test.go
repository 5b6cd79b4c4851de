// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
)

func next(t *testing.T, s *Subscription) Event {
	t.Helper()
	e, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSubscriberSeesFramesBeforeTheCommit(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	wr := mustOwn(t, j, "s")
	sub := j.Subscribe("s")
	defer sub.Close()
	f, err := wr.Begin(t.Context(), BeginOptions{Class: blob.Day, Sealer: w.key, Live: []byte("header")})
	if err != nil {
		t.Fatal(err)
	}
	if e := next(t, sub); e.Kind != EventBegin || e.Seq != f.Seq() || string(e.Live) != "header" || e.Time.IsZero() {
		t.Errorf("event = %+v", e)
	}
	w.write(f, "frame")
	if e := next(t, sub); e.Kind != EventFrame || string(e.Frame.Payload) != "frame" || len(e.Frame.Attrs) != 1 {
		t.Errorf("event = %+v", e)
	}
	w.commit(f, CommitOptions{})
	if e := next(t, sub); e.Kind != EventCommit || e.Descriptor.Frames != 1 {
		t.Errorf("event = %+v", e)
	}
	f = w.begin(wr)
	f.Abort()
	if e := next(t, sub); e.Kind != EventBegin {
		t.Errorf("event = %+v", e)
	}
	if e := next(t, sub); e.Kind != EventAbort || e.Seq != f.Seq() {
		t.Errorf("event = %+v", e)
	}
}

func TestSlowSubscriberIsToldAndHoldsUpNobody(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{RingEvents: 4})
	wr := mustOwn(t, j, "s")
	sub := j.Subscribe("s")
	defer sub.Close()
	for range 10 {
		w.fragment(wr, "x")
	}
	if _, err := sub.Next(t.Context()); !errors.Is(err, ErrOverflow) {
		t.Errorf("Next = %v, want ErrOverflow", err)
	}
	seq := w.fragment(wr, "y")
	if e := next(t, sub); e.Kind != EventBegin || e.Seq != seq {
		t.Errorf("after the overflow = %+v", e)
	}
}

func TestRingIsBoundedByBytes(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{RingBytes: 10_000})
	wr := mustOwn(t, j, "s")
	sub := j.Subscribe("s")
	f := w.begin(wr)
	for range 100 {
		w.write(f, string(make([]byte, 1000)))
	}
	h := j.hub("s")
	if h.bytes > 10_000 || len(h.events) > 10 {
		t.Errorf("ring holds %d bytes in %d events", h.bytes, len(h.events))
	}
	sub.Close()
	if h.bytes != 0 || h.events != nil {
		t.Error("the ring outlives its last subscriber")
	}
	f.Abort()
}

// collector checks what Follow promises, whatever the timing.
type collector struct {
	t      *testing.T
	w      *world
	j      *Journal
	last   Seq
	frames map[Seq]int
	got    []Seq
}

func (c *collector) event(e Event) {
	switch e.Kind {
	case EventBegin:
		if e.Seq <= c.last {
			c.t.Errorf("entry %d begins after %d was complete", e.Seq, c.last)
		}
		c.frames[e.Seq] = 0
	case EventFrame:
		if n, ok := c.frames[e.Seq]; !ok || n != e.Frame.Index {
			c.t.Errorf("entry %d: frame %d after %d frames", e.Seq, e.Frame.Index, n)
		}
		c.frames[e.Seq]++
	case EventAbort:
		delete(c.frames, e.Seq)
	case EventCommit, EventStored:
		if e.Seq <= c.last {
			c.t.Errorf("entry %d comes after %d", e.Seq, c.last)
		}
		if n := c.frames[e.Seq]; e.Kind == EventCommit && n != e.Descriptor.Frames || e.Kind == EventStored && n != e.Seen {
			c.t.Errorf("entry %d (event %d): %d of %d frames were seen live, event says %d", e.Seq, e.Kind, n, e.Descriptor.Frames, e.Seen)
		}
		delete(c.frames, e.Seq)
		c.last = e.Seq
		c.got = append(c.got, e.Seq)
	}
}

// dice fall the same way in every run with the same start.
type dice uint64

func (d *dice) roll(n int) int {
	*d = *d*6364136223846793005 + 1442695040888963407 // Knuth's MMIX generator
	return int(*d>>33) % n
}

// Readers that come at any time, are at times too slow, and outlive takeovers between two
// journals get every committed entry once and in order.
func TestFollowHasNoGapAndNoDouble(t *testing.T) {
	w := newWorld(t)
	o := Options{RingEvents: 8, PollInterval: time.Millisecond}
	journals := []*Journal{w.open(o), w.open(o)}
	const target = 150
	var (
		readers sync.WaitGroup
		mu      sync.Mutex
		wanted  []Seq
	)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	reader := func(j *Journal, seed uint64) {
		rng := dice(seed)
		c := &collector{t: t, w: w, j: j, frames: make(map[Seq]int)}
		for e, err := range j.Follow(ctx, "s", 0) {
			if err != nil {
				t.Errorf("Follow: %v after %d entries", err, len(c.got))
				return
			}
			c.event(e)
			if rng.roll(40) == 0 {
				time.Sleep(time.Millisecond) // too slow
			}
			if len(c.got) == target {
				break
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(c.got) != fmt.Sprint(wanted[:target]) {
			t.Errorf("reader got %v, want %v", c.got, wanted[:target])
		}
	}
	rng := dice(1)
	wr := mustOwn(t, journals[0], "s")
	for len(wanted) < target+20 {
		if n := len(wanted); n%20 == 0 && n < 100 {
			readers.Go(func() { reader(journals[n/20%2], uint64(n)) })
		}
		if rng.roll(15) == 0 {
			wr = mustOwn(t, journals[rng.roll(2)], "s")
		}
		f := w.begin(wr)
		for range rng.roll(5) {
			w.write(f, "frame")
		}
		if rng.roll(5) == 0 {
			f.Abort()
			continue
		}
		mu.Lock()
		w.commit(f, CommitOptions{})
		wanted = append(wanted, f.Seq())
		mu.Unlock()
	}
	readers.Wait()
	w.check()
}

func TestFollowPollsAStreamThatIsWrittenElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.open(Options{}), w.open(Options{})
		wr := mustOwn(t, a, "s")
		go func() {
			time.Sleep(time.Second)
			w.fragment(wr, "x")
		}()
		start := time.Now()
		for e, err := range b.Follow(t.Context(), "s", 0) {
			if err != nil || e.Kind != EventStored {
				t.Errorf("event = %+v, %v", e, err)
			}
			break
		}
		if d := time.Since(start); d > time.Second+b.o.PollInterval {
			t.Errorf("took %v", d)
		}
		a.Close(context.Background())
		b.Close(context.Background())
	})
}

func TestFollowEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range j.Follow(ctx, "s", 0) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Follow = %v", err)
		}
	}
}
