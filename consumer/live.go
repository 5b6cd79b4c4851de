// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
)

// Start is where a live reader begins. Whatever it is, the reader goes on with what comes.
type Start struct {
	kind   string
	text   string
	moment time.Time
}

// Now begins with the newest fragment.
func Now() Start { return Start{kind: mediaapi.StartSelectorTypeNow} }

// Earliest begins with the oldest fragment that is stored.
func Earliest() Start { return Start{kind: mediaapi.StartSelectorTypeEarliest} }

// ProducerTime begins with the fragment that contains the moment by the producer's clock, or the next one.
func ProducerTime(t time.Time) Start {
	return Start{kind: mediaapi.StartSelectorTypeProducerTimestamp, moment: t}
}

// ServerTime is ProducerTime by the service's clock.
func ServerTime(t time.Time) Start {
	return Start{kind: mediaapi.StartSelectorTypeServerTimestamp, moment: t}
}

// After begins after the fragment of that number.
func After(fragmentNumber string) Start {
	return Start{kind: mediaapi.StartSelectorTypeFragmentNumber, text: fragmentNumber}
}

// Continue begins after the fragment that had the token.
func Continue(token string) Start {
	return Start{kind: mediaapi.StartSelectorTypeContinuationToken, text: token}
}

func (s Start) selector() *mediaapi.StartSelector {
	out := &mediaapi.StartSelector{StartSelectorType: &s.kind}
	switch s.kind {
	case mediaapi.StartSelectorTypeFragmentNumber:
		out.AfterFragmentNumber = &s.text
	case mediaapi.StartSelectorTypeContinuationToken:
		out.ContinuationToken = &s.text
	case mediaapi.StartSelectorTypeProducerTimestamp, mediaapi.StartSelectorTypeServerTimestamp:
		out.StartTimestamp = &s.moment
	}
	return out
}

// errStopped says that the caller has left the loop.
var errStopped = errors.New("consumer: loop was left")

// Fragments iterates over whole fragments from start on, for as long as ctx lasts. It ends with an error, which is
// the cause of ctx when that has ended.
//
// Errors: *ResponseError, when the service refuses; *MediaError, when it may not or cannot send any more; with
// Options.GiveUpAfter also those of the connection.
func (c *Consumer) Fragments(ctx context.Context, start Start) iter.Seq2[*Fragment, error] {
	return Whole(c.Events(ctx, start))
}

// Whole gathers events into whole fragments, as Fragments gives them: for who wants to see both.
func Whole(events iter.Seq2[Event, error]) iter.Seq2[*Fragment, error] {
	return func(yield func(*Fragment, error) bool) {
		var frames []Frame
		for ev, err := range events {
			if err != nil {
				yield(nil, err)
				return
			}
			switch ev.Kind {
			case Begin:
				frames = nil
			case Arrived:
				frames = append(frames, ev.Frame)
			case Complete:
				ev.Fragment.Frames = frames
				if !yield(ev.Fragment, nil) {
					return
				}
			}
		}
	}
}

// Events iterates over the arrival of fragments, frame by frame, for the lowest delay. After an Aborted fragment its
// producer mostly sends it again. Errors are those of Fragments.
func (c *Consumer) Events(ctx context.Context, start Start) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		r := &reader{c: c, start: start, yield: yield, seen: newRecent()}
		if err := r.run(ctx); err != nil && !errors.Is(err, errStopped) {
			yield(Event{}, err)
		}
	}
}

// reader is one loop over a live stream.
type reader struct {
	c        *Consumer
	start    Start
	yield    func(Event, error) bool
	seen     *recent
	skip     bool // the fragment that is arriving is a duplicate
	progress bool // something came over this connection
}

func (r *reader) run(ctx context.Context) error {
	delay := r.c.backoff
	good := time.Now()
	for {
		err := r.connect(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errStopped), permanent(err):
			return err
		case r.progress || err == nil:
			good = time.Now()
			if r.progress {
				delay = r.c.backoff
			}
		case r.c.o.GiveUpAfter > 0 && time.Since(good) > r.c.o.GiveUpAfter:
			return err
		}
		if err != nil {
			r.c.o.Log.Warn("connection is over; trying again", "stream", r.c.o.StreamName, "in", delay, "error", err)
		}
		if err := pause(ctx, delay); err != nil {
			return err
		}
		delay = min(2*delay, maxBackoff)
	}
}

// connect reads one connection to its end.
func (r *reader) connect(ctx context.Context) error {
	r.progress = false
	endpoint, err := r.c.endpoint(ctx, "GET_MEDIA")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := &mediaapi.GetMediaInput{StreamName: r.c.name, StreamARN: r.c.arn, StartSelector: r.start.selector()}
	_, body, err := mediaapi.NewClient(r.c.client(ctx, endpoint)).GetMedia(ctx, in)
	if err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	return readMedia(body, &parser{emit: r.handle})
}

func readMedia(body io.ReadCloser, p *parser) error {
	defer body.Close()
	return p.parse(body)
}

// handle passes an event on, unless it is about a fragment that was delivered already.
func (r *reader) handle(ev Event) error {
	r.progress = true
	if ev.Kind == Begin {
		r.skip = !r.c.o.KeepDuplicates && r.seen.has(ev.Fragment.Producer)
	}
	if ev.Kind == Complete {
		r.start = Continue(ev.Fragment.Token)
		if !r.skip {
			r.seen.add(ev.Fragment.Producer)
		}
	}
	if !r.skip && !r.yield(ev, nil) {
		return errStopped
	}
	return nil
}

// recent is a bounded set of the timestamps that came last.
type recent struct {
	set  map[int64]bool
	ring []int64
	next int
}

// remembered is how many: a day of fragments of 20 seconds, or more than two hours of those of 2.
const remembered = 4096

func newRecent() *recent { return &recent{set: map[int64]bool{}, ring: make([]int64, remembered)} }

func (r *recent) has(t time.Time) bool { return r.set[t.UnixMilli()] }

func (r *recent) add(t time.Time) {
	ms := t.UnixMilli()
	if len(r.set) >= remembered {
		delete(r.set, r.ring[r.next])
	}
	r.set[ms], r.ring[r.next] = true, ms
	r.next = (r.next + 1) % remembered
}
