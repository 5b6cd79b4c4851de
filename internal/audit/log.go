// SPDX-License-Identifier: Apache-2.0

// Package audit writes down who did what: one CloudTrail record for each call, in a log that can only grow.
//
// NewEvent makes a record, Log stores it. Events are gathered into blocks, compressed, and chained by hash
// from the first event to the newest (docs/formats/audit.md), so that Log.Verify finds the first one that was
// altered, dropped or put in between. Beside the blocks lie index rows, by which Lookup answers without
// reading what it does not return.
//
// The invariant: an event for which Record returned nil is in the log. One that changed something is durable
// by then; a read-only one is within flushDelay. When the store fails, Record returns an error, and who
// called it must fail the call that the event is about.
//
// The package does not decide what is secret (it is given parameters without secrets), and deletes nothing:
// retention is yet to come. Package digest signs what is written here, each hour.
//
// Keys in the store begin with "aud/"; see keys.go.
package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/obscura-video/obscura/internal/meta"
)

var (
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("audit: closed")
	// ErrUnavailable says that the store does not take events at present. The log tries again by itself.
	ErrUnavailable = errors.New("audit: store unavailable")
	// ErrForked says that somebody else has extended the chain: two processes share one log.
	ErrForked = errors.New("audit: chain extended by another process")
)

// flushDelay is how long a read-only event may wait for its block to be written, and how long the log waits
// before it tries a failed write again.
const flushDelay = 100 * time.Millisecond

// Config makes a Log.
type Config struct {
	// DB holds the log. The Log does not close it.
	DB meta.DB
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// QueueLength is how many events may wait for the writer before Record blocks; 0 means 1024. An event
	// takes about 1 kB, at most 256 kB.
	QueueLength int
	// Settle names a row that is to be deleted in the transaction which writes the event of a request by that name:
	// what promised the event until then. false says that there is none. It is called once for each event; nil: there
	// are none.
	Settle func(requestID, eventName string) (row []byte, ok bool)
}

// Log is the audit log. Its methods may be called concurrently. It owns one goroutine, which ends in Close.
type Log struct {
	*Reader
	now    func() time.Time
	settle func(requestID, eventName string) (row []byte, ok bool)

	mu     sync.RWMutex // held for reading while an event is put into the queue
	closed bool
	queue  chan *entry
	// nudge wakes the writer for an event that cannot wait, or when a block's worth of them has gathered. One
	// wake for each event would cost more than the event.
	nudge chan struct{}
	spent sync.Pool // of *entry whose block is written

	closing chan struct{} // closed by Close
	done    chan struct{} // closed when the writer has ended
	lost    error         // what the writer could not write; read after done
	health  atomic.Pointer[health]
	head    atomic.Pointer[head]
}

// entry is one event on its way to the writer.
type entry struct {
	at int64 // when it was recorded, Unix milliseconds
	// record and terms are those of an event of the usual kind: who records it encodes it, so that the writer, who is
	// alone, has little to do for each. The writer encodes any other, which is then event.
	record          encoded
	terms           []term
	event           *Event
	requestID, name string
	durable         chan error // nil when nobody waits
	barrier         bool       // no event: Flush waits here
}

// health is replaced when the store recovers from a failure.
type health struct {
	failed chan struct{} // closed when the store fails
	err    error         // set before
}

// Open continues the log in c.DB, or begins one. It reads the newest block and fails if that does not fit the
// head of the chain; what lies before is for Verify.
func Open(ctx context.Context, c Config) (*Log, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.QueueLength == 0 {
		c.QueueLength = 1024
	}
	packer, err := newPacker()
	if err != nil {
		return nil, fmt.Errorf("audit: open: %w", err)
	}
	reader, err := NewReader(c.DB)
	if err != nil {
		return nil, fmt.Errorf("audit: open: %w", err)
	}
	l := &Log{
		Reader: reader, now: c.Now, settle: c.Settle,
		queue:   make(chan *entry, c.QueueLength),
		nudge:   make(chan struct{}, 1),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	l.health.Store(&health{failed: make(chan struct{})})
	h, err := l.readHead(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit: open: %w", err)
	}
	l.head.Store(&h)
	w := &writer{log: l, packer: packer}
	go w.run()
	return l, nil
}

// readHead returns the end of the chain after it has compared it with the newest block.
func (l *Log) readHead(ctx context.Context) (h head, err error) {
	err = l.db.View(ctx, func(r meta.Reader) error {
		newest, err := newestBlock(r)
		if err != nil {
			return err
		}
		if h, err = loadHead(r); err != nil {
			return err
		}
		if h.block != newest {
			return &Fault{Block: min(h.block, newest) + 1, Event: h.event + 1, Reason: "head and newest block differ"}
		}
		if h.block == 0 {
			return nil
		}
		b, err := l.readBlock(r, h.block)
		if err != nil {
			return err
		}
		hashes := b.chain()
		if f := b.fault(hashes); f != nil {
			return f
		}
		if hashes[len(b.events)] != h.hash || b.first+uint64(len(b.events)) != h.event+1 {
			return &Fault{Block: b.seq, Event: b.first, Reason: "newest block is not the one the head names"}
		}
		return nil
	})
	return h, err
}

// Record adds e to the log and gives it its time and its ID. Events have the order in which they were taken
// up. An event that is not read-only is durable when Record returns nil; a read-only one becomes so within
// 100 ms, and Record waits only when the queue is full. The log takes over e's maps.
//
// The end of ctx does not withdraw an event: it only ends the wait for durability.
//
// Errors: ErrUnavailable with the store's error, ErrClosed, ctx's error. After any of them the caller must
// fail the call; the event may be in the log all the same.
func (l *Log) Record(ctx context.Context, e Event) error {
	n := l.newEntry()
	n.fill(e, max(l.now().UnixMilli(), 0))
	if !e.ReadOnly {
		n.durable = make(chan error, 1)
	}
	return l.enqueue(ctx, n)
}

// newEntry returns an empty entry, which may have room from an earlier one.
func (l *Log) newEntry() *entry {
	if n, ok := l.spent.Get().(*entry); ok {
		return n
	}
	return &entry{record: encoded{bytes: make([]byte, 0, recordBytes)}}
}

// fill gives e its time and its ID, which the writer changes when events have overtaken it, and encodes it.
func (n *entry) fill(e Event, at int64) {
	n.at, n.requestID, n.name = at, e.RequestID, e.EventName
	e.EventTime, e.EventID = second(at), newID(at)
	e.bound()
	if r, ok := usual(n.record.bytes, &e); ok {
		n.record, n.terms = r, e.appendTerms(n.terms[:0])
		return
	}
	own := e // so that only an unusual event is kept
	n.event = &own
}

// spend takes entries back whose block is written: nobody has their records any more.
func (l *Log) spend(all []*entry) {
	for _, n := range all {
		room, terms := n.record.bytes, n.terms
		if cap(room) == 0 || cap(room) > largeRecord {
			continue
		}
		clear(terms)
		*n = entry{record: encoded{bytes: room[:0]}, terms: terms[:0]}
		l.spent.Put(n)
	}
}

// second is the time of an event: whole seconds.
func second(ms int64) time.Time { return time.Unix(ms/1000, 0).UTC() }

// Flush waits until every event recorded before is durable. Errors: as Record.
func (l *Log) Flush(ctx context.Context) error {
	return l.enqueue(ctx, &entry{barrier: true, durable: make(chan error, 1)})
}

func (l *Log) enqueue(ctx context.Context, n *entry) error {
	h := l.health.Load()
	durable := n.durable
	if err := l.put(n, h); err != nil || durable == nil {
		return err
	}
	select {
	case err := <-durable:
		return err
	case <-h.failed:
		return h.err
	case <-ctx.Done():
		return fmt.Errorf("audit: record: %w", ctx.Err())
	}
}

func (l *Log) put(n *entry, h *health) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ErrClosed
	}
	select {
	case <-h.failed:
		return h.err
	default:
	}
	urgent := n.durable != nil
	select {
	case l.queue <- n: // n is the writer's from now on
	case <-h.failed:
		return h.err
	}
	if urgent || len(l.queue) >= min(maxBlockEvents, cap(l.queue)/2) {
		select {
		case l.nudge <- struct{}{}:
		default:
		}
	}
	return nil
}

// Anchor returns the end of the chain as it is now. Kept elsewhere, it lets Verify prove later that nothing
// before it was rewritten.
func (l *Log) Anchor() Anchor {
	h := l.head.Load()
	return Anchor{Block: h.block, Hash: hex.EncodeToString(h.hash[:])}
}

// Close writes what waits and ends the log's goroutine. After it Record returns ErrClosed. It returns an
// error when events were lost because the store failed to the last; Close again returns the same.
func (l *Log) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
		close(l.queue)
	}
	l.mu.Unlock()
	<-l.done
	return l.lost
}
