// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
)

// Writer is the owner of a stream, until another takes it over. Its methods may be
// called concurrently.
type Writer struct {
	j      *Journal
	stream string
	epoch  uint32
	field  [8]byte // session field of the nonces
	hub    *hub

	mu      sync.Mutex // guards the fields below
	counter uint32
	pending []*entry // given out and not yet queued or dropped, ascending
	lost    error    // why nothing more can be written
}

// Epoch returns the epoch that began with this Writer.
func (w *Writer) Epoch() uint32 { return w.epoch }

// Stream returns the stream's name.
func (w *Writer) Stream() string { return w.stream }

// Err returns nil while the stream is this Writer's, and why not when it no longer is:
// ErrFenced, ErrClosed, ErrBroken. That it returns nil is no promise.
func (w *Writer) Err() error { return w.lostError() }

// Close gives the Writer up, and its open fragments with it. The stream keeps its owner
// row until somebody else takes it over.
func (w *Writer) Close() { w.lose(ErrClosed) }

func (w *Writer) lostError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// reserve gives out n numbers, for one entry.
func (w *Writer) reserve(n uint32) (*entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != nil {
		return nil, w.lost
	}
	if w.counter > math.MaxUint32-n {
		return nil, fmt.Errorf("%w: numbers of the epoch are used up; own the stream anew", ErrTooLarge)
	}
	e := &entry{w: w, seq: NewSeq(w.epoch, w.counter+1), done: make(chan struct{})}
	w.counter += n
	w.pending = append(w.pending, e)
	return e, nil
}

// ready hands the entry's rows over to be committed when its turn comes, and waits for
// the outcome. Until then ctx can call it off.
func (w *Writer) ready(ctx context.Context, e *entry) error {
	w.settle(e, entryReady)
	select {
	case <-e.done:
		return e.err
	case <-ctx.Done():
		w.drop(e, context.Cause(ctx))
		<-e.done
		return e.err
	}
}

// drop gives the entry up, unless it is on its way already.
func (w *Writer) drop(e *entry, cause error) {
	if w.settle(e, entryDropped) {
		w.hub.publish(Event{Kind: EventAbort, Seq: e.seq})
		e.finish(cause)
	}
}

// settle moves an entry on and queues all whose turn has come. It reports whether the
// entry was still to be decided.
func (w *Writer) settle(e *entry, to entryState) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.state == entryQueued || e.state == entryDropped {
		return false
	}
	e.state = to
	var queued []*entry
	for len(w.pending) > 0 && w.pending[0].state != entryOpen {
		if head := w.pending[0]; head.state == entryReady {
			head.state = entryQueued
			queued = append(queued, head)
		}
		w.pending = w.pending[1:]
	}
	if len(queued) > 0 { // under w.mu, so that the queue keeps the order
		w.j.mu.Lock()
		w.j.queue = append(w.j.queue, queued...)
		w.j.mu.Unlock()
		w.j.kick()
	}
	return true
}

// lose ends the Writer: entries that are not with the committer will never be committed.
// Those that are go on, unless the stream was taken over.
func (w *Writer) lose(cause error) {
	w.mu.Lock()
	if w.lost != nil {
		if errors.Is(cause, ErrFenced) {
			w.lost = cause
		}
		w.mu.Unlock()
		return
	}
	w.lost = cause
	var dropped []*entry
	for _, e := range w.pending {
		if e.state != entryDropped {
			e.state = entryDropped
			dropped = append(dropped, e)
		}
	}
	w.pending = nil
	w.mu.Unlock()
	w.j.forget(w)
	for _, e := range dropped {
		w.hub.publish(Event{Kind: EventAbort, Seq: e.seq})
		e.finish(cause)
	}
	w.hub.publish(Event{Kind: EventOwner})
}

// rows builds the rows of an entry.
func (d *Descriptor) rows(index []IndexKey, puts []meta.KV) ([]meta.KV, error) {
	if len(d.Meta) > MaxMetaBytes || len(index) > maxIndexKeys || len(d.KeyID) > maxKeyID {
		return nil, fmt.Errorf("%w: descriptor of %d bytes, %d index rows", ErrTooLarge, len(d.Meta), len(index))
	}
	rows := make([]meta.KV, 0, 1+len(index)+len(puts))
	for _, k := range index {
		if len(k.Key) > MaxIndexBytes || len(k.Name) > maxIndexName {
			return nil, fmt.Errorf("%w: index key of %d bytes", ErrTooLarge, len(k.Key))
		}
		d.Index = append(d.Index, IndexKey{Name: k.Name, Key: k.Key})
		value := append([]byte{rowVersion}, k.Value...)
		rows = append(rows, meta.KV{Key: indexKey(d.Stream, k, d.Seq), Value: value})
	}
	rows = append(rows, meta.KV{Key: entryKey(d.Stream, d.Seq), Value: d.encode()})
	return append(rows, puts...), nil
}

func (w *Writer) describe(e *entry, kind Kind, class blob.Class, s Sealer, at time.Time) (*Descriptor, error) {
	if !class.Valid() {
		return nil, fmt.Errorf("journal: class %d does not exist", class)
	}
	if at.IsZero() {
		at = w.j.o.Now()
	}
	return &Descriptor{
		Stream: w.stream, Seq: e.seq, Kind: kind, Class: class, KeyID: s.KeyID(),
		Time: time.UnixMilli(at.UnixMilli()).UTC(), Session: w.j.session,
	}, nil
}

// Append stores records in one entry and returns the number of the first; those of the
// others follow it. nil means durable. Appends of all streams share syncs and commits.
//
// Errors: ErrFenced, ErrTooLarge, ErrClosed, blob.ErrFull: the records are not and never
// will be stored. ErrBroken: they may have been.
func (w *Writer) Append(ctx context.Context, o AppendOptions, records ...Record) (Seq, error) {
	if len(records) == 0 || len(records) > MaxBatch {
		return 0, fmt.Errorf("%w: batch of %d records", ErrTooLarge, len(records))
	}
	e, err := w.reserve(uint32(len(records)))
	if err != nil {
		return 0, err
	}
	stage, err := w.stageRecords(ctx, e, o, records)
	if err != nil {
		w.drop(e, err)
		stage.close(nil)
		return 0, err
	}
	err = w.ready(ctx, e)
	stage.close(err)
	return e.seq, err
}

// stageRecords seals the batch, makes its bytes durable and gives the entry its rows.
func (w *Writer) stageRecords(ctx context.Context, e *entry, o AppendOptions, records []Record) (*staging, error) {
	d, err := w.describe(e, KindRecords, o.Class, o.Sealer, o.Time)
	if err != nil {
		return nil, err
	}
	e.descriptor = d
	need := 0
	for _, r := range records {
		need += storedBytes(r.Payload, r.Attrs)
	}
	if need > MaxBatchBytes {
		return nil, fmt.Errorf("%w: batch of %d bytes", ErrTooLarge, need)
	}
	s := newFrameSealer(binding{KindRecords, w.stream, e.seq, w.field}, o.Sealer)
	buf := make([]byte, 0, need)
	for _, r := range records {
		if buf, err = s.appendFrame(buf, r.Payload, r.Attrs); err != nil {
			return nil, err
		}
		d.Bytes += int64(len(r.Payload))
	}
	d.Frames, d.Stored, d.Meta = len(records), int64(len(buf)), o.Meta
	if err := d.seal(s); err != nil {
		return nil, err
	}
	var stage *staging
	if len(buf) <= w.j.o.InlineBytes {
		d.refs = []blob.Ref{{Len: d.Stored, Inline: buf}}
	} else {
		stage = &staging{}
		if err := stage.write(ctx, w.j.bs, o.Class, buf); err != nil {
			return stage, err
		}
		if err := stage.w.Sync(ctx); err != nil {
			return stage, err
		}
		d.refs = stage.refs
	}
	if e.rows, err = d.rows(o.Index, o.Puts); err != nil {
		return stage, err
	}
	return stage, e.check()
}

// staging is bytes on their way into blobs.
type staging struct {
	w    blob.Writer
	refs []blob.Ref
}

func (s *staging) write(ctx context.Context, bs blob.Store, c blob.Class, p []byte) (err error) {
	if s.w == nil {
		if s.w, err = bs.NewWriter(ctx, c); err != nil {
			return fmt.Errorf("journal: stage: %w", err)
		}
	}
	ref, err := s.w.Write(ctx, p)
	if err != nil {
		return fmt.Errorf("journal: stage: %w", err)
	}
	if n := len(s.refs); n > 0 && s.refs[n-1].Name == ref.Name && s.refs[n-1].Off+s.refs[n-1].Len == ref.Off {
		s.refs[n-1].Len += ref.Len
		return nil
	}
	s.refs = append(s.refs, ref)
	return nil
}

// close ends the claim on the blobs. With an outcome that is not known it stays, since a
// row may refer to them.
func (s *staging) close(outcome error) {
	if s != nil && s.w != nil && !isUnknown(outcome) {
		_ = s.w.Close() // makes nothing durable, so it has nothing to say
	}
}
