// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"context"
	"errors"
	"sync"
)

// Fragment is one entry in the making. It is for one goroutine, but for Abort, which any
// may call.
type Fragment struct {
	w     *Writer
	entry *entry
	o     BeginOptions

	mu     sync.Mutex // guards the fields below
	d      *Descriptor
	sealer *frameSealer
	stage  staging
	buf    []byte // one sealed frame
	err    error  // why no frame can follow
	ended  bool   // committed or aborted
}

// Begin starts a fragment, whose number is known at once. Every fragment must be
// committed or aborted: until then no later entry of the stream is committed.
//
// Errors: ErrFenced, ErrClosed, ErrBroken.
func (w *Writer) Begin(_ context.Context, o BeginOptions) (*Fragment, error) {
	e, err := w.reserve(1)
	if err != nil {
		return nil, err
	}
	d, err := w.describe(e, KindFragment, o.Class, o.Sealer, o.Time)
	if err != nil {
		w.drop(e, err)
		return nil, err
	}
	e.descriptor = d
	w.hub.publish(Event{Kind: EventBegin, Seq: e.seq, Live: o.Live, Time: d.Time})
	if err := w.lostError(); err != nil { // its abort may have been published already
		w.hub.publish(Event{Kind: EventAbort, Seq: e.seq})
		return nil, err
	}
	return &Fragment{
		w: w, entry: e, o: o, d: d,
		sealer: newFrameSealer(binding{KindFragment, w.stream, e.seq, w.field}, o.Sealer),
	}, nil
}

// Seq returns the fragment's number.
func (f *Fragment) Seq() Seq { return f.entry.seq }

// Write seals one frame, stages it in blob and shows it to live subscribers, to whom it
// is provisional. It keeps neither slice. After an error the fragment can only be aborted.
//
// Errors: ErrFenced, ErrDone, ErrTooLarge, blob.ErrFull, the Sealer's.
func (f *Fragment) Write(ctx context.Context, payload, attrs []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return ErrDone
	}
	if f.err == nil {
		f.err = f.w.lostError()
	}
	if f.err == nil {
		f.err = f.write(ctx, payload, attrs)
	}
	return f.err
}

func (f *Fragment) write(ctx context.Context, payload, attrs []byte) (err error) {
	if need := storedBytes(payload, attrs); cap(f.buf) < need {
		f.buf = make([]byte, 0, need)
	}
	if f.buf, err = f.sealer.appendFrame(f.buf[:0], payload, attrs); err != nil {
		return err
	}
	if err := f.stage.write(ctx, f.w.j.bs, f.o.Class, f.buf); err != nil {
		return err
	}
	if f.w.hub.active() {
		f.w.hub.publish(Event{Kind: EventFrame, Seq: f.Seq(), Frame: &Frame{
			Seq: f.Seq(), Index: f.d.Frames, Attrs: bytes.Clone(attrs), Payload: bytes.Clone(payload),
		}})
	}
	f.d.Frames++
	f.d.Bytes += int64(len(payload))
	f.d.Stored += int64(len(f.buf))
	return nil
}

// Commit makes the fragment durable: nil means that it is, and that every entry of the
// stream with a smaller number is decided. The journal keeps the slices of o.
//
// Errors: ErrFenced, ErrTooLarge, ErrDone, ErrClosed, ctx's: it is not and never will be
// stored, and was aborted. ErrBroken: it may have been stored.
func (f *Fragment) Commit(ctx context.Context, o CommitOptions) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return ErrDone
	}
	f.ended = true
	err := f.err
	if err == nil {
		err = f.prepare(ctx, o)
	}
	if err == nil {
		err = f.w.ready(ctx, f.entry)
	} else {
		f.w.drop(f.entry, err)
		if lost := f.w.lostError(); lost != nil {
			err = lost
		}
	}
	f.stage.close(err)
	f.buf = nil
	return err
}

// prepare makes the bytes durable and gives the entry its rows.
func (f *Fragment) prepare(ctx context.Context, o CommitOptions) error {
	f.d.Meta = o.Meta
	if err := f.d.seal(f.sealer); err != nil {
		return err
	}
	if f.stage.w != nil {
		if err := f.stage.w.Sync(ctx); err != nil {
			return err
		}
	}
	f.d.refs = f.stage.refs
	rows, err := f.d.rows(o.Index, o.Puts)
	if err != nil {
		return err
	}
	f.entry.rows = rows
	return f.entry.check()
}

// Abort gives the fragment up: subscribers are told to forget it, its bytes are
// garbage. After Commit or another Abort it does nothing.
func (f *Fragment) Abort() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	f.ended = true
	f.w.drop(f.entry, ErrDone)
	f.stage.close(nil)
	f.buf = nil
}

// isUnknown reports whether an entry may be stored in spite of the error.
func isUnknown(err error) bool { return errors.Is(err, ErrBroken) }
