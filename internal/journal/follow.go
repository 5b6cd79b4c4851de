// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"iter"
)

// Follow yields the entries with numbers greater than after: those that are stored first,
// as EventStored, then what is written, live, as EventBegin, EventFrame, EventCommit and
// EventAbort, without a gap or a double, until ctx is done or the journal closed. Numbers
// ascend over EventStored and EventCommit together; if after is the number of a record within
// a batch, the batch comes first and the reader passes over its beginning. An entry whose beginning was missed,
// or that somebody else writes, comes as EventStored once it is durable.
//
// A reader that is too slow loses track: an entry of which it has seen frames may then come
// as EventStored with Seen set, or, if it was aborted meanwhile, never again.
func (j *Journal) Follow(ctx context.Context, stream string, after Seq) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		f := &follower{j: j, stream: stream, last: after, live: make(map[Seq]int), yield: yield}
		f.sub = j.Subscribe(stream)
		defer f.sub.Close()
		if err := f.run(ctx); !errors.Is(err, errStop) {
			yield(Event{}, err)
		}
	}
}

// errStop says that the reader wants no more.
var errStop = errors.New("journal: reader has stopped")

type follower struct {
	j      *Journal
	stream string
	sub    *Subscription
	last   Seq         // everything up to here was yielded
	live   map[Seq]int // entries of which the beginning was yielded live, and how many frames
	lost   map[Seq]int // those of them of which something was missed
	yield  func(Event, error) bool
}

func (f *follower) run(ctx context.Context) error {
	if err := f.stored(ctx); err != nil {
		return err
	}
	for {
		e, err := f.next(ctx)
		switch {
		case errors.Is(err, ErrOverflow):
			f.loseTrack()
			err = f.stored(ctx)
		case errors.Is(err, errPoll) || err == nil && e.Kind == EventOwner:
			err = f.stored(ctx)
		case err == nil:
			err = f.handle(ctx, e)
		}
		if err != nil {
			return err
		}
	}
}

// errPoll says that it is time to look into the store.
var errPoll = errors.New("journal: poll")

// idlePolls is how many poll intervals a follower waits for an event of a stream that this
// process owns, as far as it knows: who loses a stream learns it at his next commit only.
const idlePolls = 4

func (f *follower) next(ctx context.Context) (Event, error) {
	wait := f.j.o.PollInterval
	if f.j.owns(f.stream) {
		wait *= idlePolls
	}
	poll, cancel := context.WithTimeoutCause(ctx, wait, errPoll)
	defer cancel()
	e, err := f.sub.Next(poll)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return e, err
}

// loseTrack remembers what was seen of entries that are under way: frames may be missing.
func (f *follower) loseTrack() {
	if f.lost == nil {
		f.lost = make(map[Seq]int)
	}
	for seq, n := range f.live {
		f.lost[seq] = n
		delete(f.live, seq)
	}
}

// stored yields what the store holds after last.
func (f *follower) stored(ctx context.Context) error {
	for d, err := range f.j.Scan(ctx, f.stream, f.last+1, 0) {
		if err != nil {
			return err
		}
		seen, whole := f.live[d.Seq]
		e := Event{Kind: EventStored, Seq: d.Seq, Descriptor: d, Seen: f.lost[d.Seq]}
		if whole && seen == d.Frames { // its commit event is on the way, or was lost
			e.Kind = EventCommit
		} else if whole {
			e.Seen = seen
		}
		if err := f.committed(e); err != nil {
			return err
		}
	}
	return nil
}

// committed yields an entry that is durable.
func (f *follower) committed(e Event) error {
	f.last = e.Descriptor.Last()
	delete(f.live, e.Seq)
	delete(f.lost, e.Seq)
	return f.pass(e)
}

func (f *follower) pass(e Event) error {
	if !f.yield(e, nil) {
		return errStop
	}
	return nil
}

func (f *follower) handle(ctx context.Context, e Event) error {
	if e.Seq <= f.last { // the store has shown it already
		return nil
	}
	_, known := f.live[e.Seq]
	switch e.Kind {
	case EventBegin:
		f.live[e.Seq] = 0
	case EventFrame:
		if !known {
			return nil
		}
		f.live[e.Seq]++
	case EventAbort:
		_, lost := f.lost[e.Seq]
		delete(f.live, e.Seq)
		delete(f.lost, e.Seq)
		if !known && !lost {
			return nil
		}
	case EventCommit:
		if !known {
			e.Kind, e.Seen = EventStored, f.lost[e.Seq]
		}
		return f.committed(e)
	}
	return f.pass(e)
}
