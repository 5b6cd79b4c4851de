// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/internal/meta"
)

// writer is the one goroutine that extends the chain. Whatever waits while it writes a block is in the next.
type writer struct {
	log     *Log
	packer  *packer
	encoder encoder
	carry   *entry // taken from the queue, but for the next block
	last    int64  // time of the event taken up last, Unix milliseconds
}

// batch is a block that is being filled.
type batch struct {
	block
	index   index
	bytes   int
	entries []*entry // what the records lie in
	waiting []chan error
	settled [][]byte    // rows to be deleted with it
	urgent  bool        // somebody waits: write as soon as the queue is empty
	due     bool        // the timer has run out: likewise
	timer   *time.Timer // runs from the first event on; not the clock, which may be set back
}

func (w *writer) run() {
	defer close(w.log.done)
	for {
		n, ok := w.take()
		if !ok {
			return
		}
		b := w.begin()
		for fits := w.add(b, n); fits && !b.full(); fits = w.add(b, n) {
			if n = w.more(b); n == nil {
				break
			}
		}
		if err := w.commit(b); err != nil {
			w.abandon(b, err)
			return
		}
	}
}

// take waits for the first event of a block.
func (w *writer) take() (*entry, bool) {
	if n := w.carry; n != nil {
		w.carry = nil
		return n, true
	}
	n, ok := <-w.log.queue
	return n, ok
}

// more returns the next event of b, or nil when b is to be written.
func (w *writer) more(b *batch) *entry {
	for {
		select {
		case n := <-w.log.queue:
			return n
		default:
		}
		if b.urgent || b.due || b.timer == nil {
			return nil
		}
		select {
		case <-w.log.nudge:
		case <-w.log.closing:
		case <-b.timer.C:
			b.due = true
		}
	}
}

func (w *writer) begin() *batch {
	h := w.log.head.Load()
	return &batch{
		block: block{seq: h.block + 1, first: h.event + 1, prev: h.hash},
		index: index{},
	}
}

func (b *batch) full() bool {
	return len(b.events) >= maxBlockEvents || b.bytes >= maxBlockBytes || len(b.index) >= maxBlockRows
}

// hourMS is an hour in milliseconds. No block spans the end of one, since digests are made by the hour.
const hourMS = 3_600_000

// add puts n into b. When its time does not fit (the clock was set back, the block has been open for too long,
// or an hour has ended) it keeps n for the next block and returns false.
func (w *writer) add(b *batch, n *entry) bool {
	if n.barrier {
		b.await(n)
		return true
	}
	t := w.timeOf(n)
	if len(b.events) > 0 && (t < b.lastT || t-b.firstT > maxBlockSpan.Milliseconds() || t/hourMS != b.firstT/hourMS) {
		w.carry = n
		return false
	}
	if len(b.events) == 0 {
		b.firstT = t
		b.timer = time.NewTimer(flushDelay)
	}
	b.lastT = t
	record, terms := w.encode(n, t)
	b.index.add(terms, len(b.events))
	b.events = append(b.events, record)
	if w.log.settle != nil && n.requestID != "" {
		if row, ok := w.log.settle(n.requestID, n.name); ok {
			b.settled = append(b.settled, row)
		}
	}
	b.bytes += len(record)
	b.entries = append(b.entries, n)
	b.await(n)
	return true
}

// encode returns the record of n with its final time, and what it is found by.
func (w *writer) encode(n *entry, t int64) ([]byte, []term) {
	if e := n.event; e != nil {
		e.EventTime, e.EventID = second(t), newID(t)
		record := w.encoder.encode(e)
		return record, e.terms()
	}
	if t != n.at {
		n.record.move(t)
	}
	return n.record.bytes, n.terms
}

// raceWindow is how far the times of two events may lie the wrong way round because their recorders raced to the
// queue. More than that, and the clock was set back.
const raceWindow = 1000

// timeOf returns the time of n in Unix milliseconds, not before that of the event ahead of it.
func (w *writer) timeOf(n *entry) int64 {
	t := n.at
	if t < w.last && w.last-t <= raceWindow {
		t = w.last
	}
	w.last = t
	return t
}

func (b *batch) await(n *entry) {
	if n.durable != nil {
		b.waiting = append(b.waiting, n.durable)
		b.urgent = true
	}
}

func (b *batch) answer(err error) {
	for _, c := range b.waiting {
		c <- err
	}
	b.waiting = nil
}

// commit writes b, again and again while the store fails. Meanwhile the log is unavailable: who waits is
// told so, but no event that was taken up is dropped. It gives up when the log is closed.
func (w *writer) commit(b *batch) error {
	if len(b.events) == 0 {
		b.answer(nil)
		return nil
	}
	b.timer.Stop()
	parts, hash := b.marshal(w.packer)
	next := head{block: b.seq, event: b.first + uint64(len(b.events)) - 1, hash: hash}
	rows := b.index.rows(&b.block)
	for i, p := range parts {
		rows = append(rows, meta.KV{Key: blockKey(b.seq, i), Value: p})
	}
	err := w.write(next, rows, b.settled)
	for err != nil {
		w.fail(b, err)
		if !w.pause() {
			return err
		}
		err = w.write(next, rows, b.settled)
	}
	w.log.head.Store(&next)
	w.recover()
	b.answer(nil)
	w.log.spend(b.entries)
	return nil
}

// write commits rows and the head, and deletes what is settled, in one transaction, if the head is still the one we know. Repeating it
// after an unknown outcome is harmless.
func (w *writer) write(next head, rows []meta.KV, settled [][]byte) error {
	key, before, after := rowKey(kindHead), w.log.head.Load(), next.marshal()
	return w.log.db.Update(context.Background(), func(tx meta.Tx) error {
		now, err := tx.Get(key)
		switch {
		case errors.Is(err, meta.ErrNotFound):
			if before.block != 0 {
				return ErrForked
			}
		case err != nil:
			return err
		case bytes.Equal(now, after):
			return nil // the last attempt did it
		case before.block == 0 || !bytes.Equal(now, before.marshal()):
			return ErrForked
		}
		for _, kv := range rows {
			tx.Put(kv.Key, kv.Value)
		}
		for _, row := range settled {
			tx.Delete(row)
		}
		tx.Put(key, after)
		return nil
	})
}

// fail makes the log unavailable and tells those who wait for b.
func (w *writer) fail(b *batch, cause error) {
	err := fmt.Errorf("%w: %w", ErrUnavailable, cause)
	if h := w.log.health.Load(); h.err == nil {
		h.err = err
		close(h.failed)
	}
	b.answer(err)
}

// recover makes the log available again after a write has succeeded.
func (w *writer) recover() {
	if w.log.health.Load().err != nil {
		w.log.health.Store(&health{failed: make(chan struct{})})
	}
}

// pause waits before the next attempt; false means that the log is being closed.
func (w *writer) pause() bool {
	t := time.NewTimer(flushDelay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.log.closing:
		return false
	}
}

// abandon ends the log with events that could not be written.
func (w *writer) abandon(b *batch, cause error) {
	n := len(b.events)
	if w.carry != nil {
		n++
	}
	for e := range w.log.queue { // closed: this takes what is left
		if !e.barrier {
			n++
		}
		if e.durable != nil {
			e.durable <- cause
		}
	}
	w.log.lost = fmt.Errorf("audit: close: %d events lost: %w", n, cause)
}
