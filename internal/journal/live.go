// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"sync"
)

// hub passes the events of one stream from its writers to its subscribers. A publisher
// never waits: the events lie in a ring, and who is too slow finds them gone.
type hub struct {
	maxEvents int
	maxBytes  int64

	mu     sync.Mutex // guards the fields below
	subs   int
	events []Event
	base   uint64 // number of events[0]
	bytes  int64
	wake   chan struct{} // closed when something was added
	closed bool
}

func (j *Journal) hub(stream string) *hub {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.hubLocked(stream)
}

func (j *Journal) hubLocked(stream string) *hub {
	h := j.hubs[stream]
	if h == nil {
		h = &hub{maxEvents: j.o.RingEvents, maxBytes: j.o.RingBytes, wake: make(chan struct{}), closed: j.closing}
		j.hubs[stream] = h
	}
	return h
}

func (j *Journal) hubsLocked() (hubs []*hub) {
	for _, h := range j.hubs {
		hubs = append(hubs, h)
	}
	return hubs
}

// active reports whether anybody listens, so whether bytes are worth copying.
func (h *hub) active() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.subs > 0
}

func (h *hub) publish(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == 0 || h.closed {
		return
	}
	h.events = append(h.events, e)
	h.bytes += e.size()
	for len(h.events) > h.maxEvents || h.bytes > h.maxBytes && len(h.events) > 1 {
		h.bytes -= h.events[0].size()
		h.events[0] = Event{}
		h.events = h.events[1:]
		h.base++
	}
	h.signal()
}

func (h *hub) signal() {
	close(h.wake)
	h.wake = make(chan struct{})
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		h.signal()
	}
}

func (e *Event) size() int64 {
	n := 128 + len(e.Live)
	if e.Frame != nil {
		n += len(e.Frame.Payload) + len(e.Frame.Attrs)
	}
	return int64(n)
}

// Subscription is a place in the live events of a stream. It is for one goroutine.
type Subscription struct {
	hub  *hub
	next uint64
	over bool
}

// Subscribe begins a subscription to what this process writes to the stream from now on.
// Nobody need write it yet. The caller closes it.
//
// Stored then live, without a gap or a double: subscribe; Scan the entries after the last
// one that was processed; then take the events, passing over those whose number the Scan
// has covered, and reading an entry from the store when its EventCommit comes but its
// EventBegin was missed. After ErrOverflow and EventOwner begin again with the Scan, on
// the same subscription. Follow does just this.
func (j *Journal) Subscribe(stream string) *Subscription {
	h := j.hub(stream)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs++
	return &Subscription{hub: h, next: h.end()}
}

func (h *hub) end() uint64 { return h.base + uint64(len(h.events)) }

// Next waits for the next event.
//
// Errors: ErrOverflow when events were lost; the subscription then goes on with what comes
// after this call. ErrClosed; ctx's.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		e, wake, err := s.poll()
		if err != nil || wake == nil {
			return e, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

// poll returns the next event, or what to wait for.
func (s *Subscription) poll() (e Event, wake <-chan struct{}, err error) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case s.over:
		return e, nil, ErrClosed
	case s.next < h.base:
		s.next = h.end()
		return e, nil, ErrOverflow
	case s.next < h.end():
		e = h.events[s.next-h.base]
		s.next++
		return e, nil, nil
	case h.closed:
		return e, nil, ErrClosed
	}
	return e, h.wake, nil
}

// Close ends the subscription. Closing twice is no error.
func (s *Subscription) Close() {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	if h.subs--; h.subs == 0 {
		h.base, h.events, h.bytes = h.end(), nil, 0
	}
}
