// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/internal/seal"
)

// buffer holds fragments in order until they are durable at the service. Its methods are called with
// Producer.mu held.
type buffer struct {
	store     store
	seal      *sealer
	max       int64
	bytes     int64
	next      uint64
	fragments []*fragment // the last one may be open
	open      *fragment   // that frames are added to; nil when there is none
	scratch   []byte
	sealed    bool // what is in it is end-to-end encrypted, and no fragment is whole without its signature
}

// openBuffer opens the buffer and recovers what is in it. What cannot be read is left out and told to lost. s is nil in a
// Producer that does not seal.
func openBuffer(o *Options, s *sealing, lost func(n uint64, err error)) (*buffer, error) {
	st, key, err := openStore(o)
	if err != nil {
		return nil, err
	}
	b := &buffer{store: st, seal: &sealer{key: key, stream: o.StreamName}, max: o.BufferBytes, next: 1, sealed: s != nil}
	if err := b.recover(s, lost); err != nil {
		return nil, errors.Join(err, st.close())
	}
	return b, nil
}

func (b *buffer) recover(s *sealing, lost func(n uint64, err error)) error {
	ns, err := b.store.list()
	if err != nil {
		return fmt.Errorf("producer: buffer: %w", err)
	}
	var unreadable []uint64
	var last error
	for _, n := range ns {
		b.next = n + 1
		f, err := recoverFragment(b.seal, b.store, n)
		switch {
		case errors.Is(err, errTorn):
			unreadable, last = append(unreadable, n), err
		case err != nil:
			return fmt.Errorf("producer: buffer: fragment %d: %w", n, err)
		default:
			b.fragments = append(b.fragments, f)
			b.bytes += f.size
		}
	}
	if len(b.fragments) == 0 && errors.Is(last, seal.ErrOpen) {
		return ErrBufferKey // and nothing is removed
	}
	if b.sealed && slices.ContainsFunc(b.fragments, func(f *fragment) bool { return !isOpaque(f.tracks) }) {
		return ErrBufferPlain
	}
	for _, n := range unreadable {
		lost(n, last)
		if err := b.store.remove(n); err != nil {
			return fmt.Errorf("producer: buffer: %w", err)
		}
	}
	for _, f := range slices.Clone(b.fragments) {
		if f.complete {
			continue
		}
		err := b.sign(s, f)
		var refused *e2ee.Error
		switch {
		case errors.As(err, &refused):
			lost(f.n, err)
			b.drop(f)
		case err != nil:
			return err
		default:
			if err := b.finish(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// sign makes a fragment whole that a process before did not finish. Errors: *e2ee.Error when it will never be whole.
func (b *buffer) sign(s *sealing, f *fragment) error {
	switch {
	case s != nil:
		return s.recover(b, f)
	case isOpaque(f.tracks):
		return &e2ee.Error{Code: e2ee.ErrSignature, Detail: "a fragment was cut short, and this producer does not seal"}
	default:
		return nil
	}
}

// begin opens a new fragment.
func (b *buffer) begin(tracks []Track, header []byte, timecode int64) error {
	// Two fragments of one timecode could not be told apart when they are looked up.
	for slices.ContainsFunc(b.fragments, func(f *fragment) bool { return f.timecode == timecode }) {
		timecode--
	}
	w, err := b.store.create(b.next)
	if err != nil {
		return fmt.Errorf("producer: buffer: %w", err)
	}
	f := &fragment{n: b.next, timecode: timecode, tracks: tracks, w: w}
	b.next++
	if err := b.write(f, &record{kind: recordHeader, time: timecode, data: header}); err != nil {
		return errors.Join(err, w.Close(), b.store.remove(f.n))
	}
	f.body = f.size
	b.fragments = append(b.fragments, f)
	b.open = f
	return nil
}

// write appends a record. After an error the fragment is as it was before.
func (b *buffer) write(f *fragment, r *record) error {
	var err error
	if b.scratch, err = b.seal.seal(b.scratch[:0], r, f.n, f.records); err != nil {
		return fmt.Errorf("producer: buffer: %w", err)
	}
	if _, err := f.w.WriteAt(b.scratch, f.size); err != nil {
		return fmt.Errorf("producer: buffer: %w", err)
	}
	f.size += int64(len(b.scratch))
	b.bytes += int64(len(b.scratch))
	f.records++
	return nil
}

// finish completes a fragment and makes it survive a power cut.
func (b *buffer) finish(f *fragment) error {
	if err := b.write(f, &record{kind: recordEnd, end: f.spans}); err != nil {
		return err // it stays open, and the next attempt may do
	}
	if b.open == f {
		b.open = nil
	}
	f.complete = true
	err := errors.Join(f.w.Sync(), f.w.Close())
	f.w = nil
	if err != nil {
		return fmt.Errorf("producer: buffer: %w", err)
	}
	return nil
}

// drop removes a fragment.
func (b *buffer) drop(f *fragment) {
	if f.gone {
		return
	}
	f.gone = true
	if f.w != nil {
		f.w.Close() // what is in it is given up
		f.w = nil
	}
	if b.open == f {
		b.open = nil
	}
	b.bytes -= f.size
	b.fragments = slices.DeleteFunc(b.fragments, func(g *fragment) bool { return g == f })
	// If it stays it is found again at the next start, looked up, and sent only if the service has it not.
	_ = b.store.remove(f.n)
}

// full tells whether n bytes more are too many, and there is something that could be given up for them.
func (b *buffer) full(n int) bool {
	return b.bytes+int64(n) > b.max && len(b.fragments) > 0 && b.fragments[0] != b.open
}

// after returns the oldest fragment whose number is above n, nil when there is none.
func (b *buffer) after(n uint64) *fragment {
	for _, f := range b.fragments {
		if f.n > n {
			return f
		}
	}
	return nil
}

func (b *buffer) close() error {
	var err error
	switch {
	case b.open == nil:
	case b.sealed: // and could not be signed; the next Producer will
		err = b.open.w.Close()
	default:
		err = b.finish(b.open)
	}
	b.seal.key.Destroy()
	return errors.Join(err, b.store.close())
}
