// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"sync"
)

// registry knows the connections of this process by the ID of their stream.
type registry struct {
	mu      sync.Mutex // guards what follows
	streams map[string]*activity
}

// activity is what goes on with one stream.
type activity struct {
	producer  *connection
	consumers map[*connection]bool
}

// connection is one PutMedia or GetMedia.
type connection struct {
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when it has let go of the stream
}

func newConnection(parent context.Context) (context.Context, *connection) {
	ctx, cancel := context.WithCancelCause(parent)
	return ctx, &connection{cancel: cancel, done: make(chan struct{})}
}

// of returns the activity of a stream. mu is held.
func (r *registry) of(id string) *activity {
	a := r.streams[id]
	if a == nil {
		a = &activity{consumers: map[*connection]bool{}}
		r.streams[id] = a
	}
	return a
}

// produce makes c the stream's only producer, and returns the one that it supersedes, if any.
func (r *registry) produce(id string, c *connection) (old *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.of(id)
	old, a.producer = a.producer, c
	if old != nil {
		old.cancel(errSuperseded)
	}
	return old
}

// consume adds a consumer unless the stream has limit of them.
func (r *registry) consume(id string, c *connection, limit int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.of(id)
	if len(a.consumers) >= limit {
		return false
	}
	a.consumers[c] = true
	return true
}

// leave takes a connection out.
func (r *registry) leave(id string, c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.cancel(nil)
	close(c.done)
	a := r.streams[id]
	if a == nil {
		return
	}
	delete(a.consumers, c)
	if a.producer == c {
		a.producer = nil
	}
	if a.producer == nil && len(a.consumers) == 0 {
		delete(r.streams, id)
	}
}

// interrupt ends the consumers of a stream, and its producer too if asked to, for the given cause.
func (r *registry) interrupt(id string, cause error, producer bool) (ended []*connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.streams[id]
	if a == nil {
		return nil
	}
	for c := range a.consumers {
		ended = append(ended, c)
	}
	if producer && a.producer != nil {
		ended = append(ended, a.producer)
	}
	for _, c := range ended {
		c.cancel(cause)
	}
	return ended
}
