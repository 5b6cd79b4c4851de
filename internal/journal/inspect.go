// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
)

// Damage is an ErrCorrupt or ErrNotFound of stored bytes, with the place at which they should be.
type Damage struct {
	Frame int    // of the entry, from 0
	Blob  string // empty when the bytes are kept in the row
	Off   int64  // bytes, at which the stored frame begins
	Err   error
}

// Error names the place and the reason.
func (e *Damage) Error() string {
	if e.Blob == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v (at byte %d of blob %s)", e.Err, e.Off, e.Blob)
}

// Unwrap returns the reason.
func (e *Damage) Unwrap() error { return e.Err }

// damage says where frame index is, which begins after at stored bytes, if err means that it is damaged.
func (d *Descriptor) damage(index int, at int64, err error) error {
	if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) {
		return err
	}
	place := &Damage{Frame: index, Err: err}
	for _, r := range d.refs {
		if at < r.Len {
			place.Blob, place.Off = r.Name, r.Off+at
			break
		}
		at -= r.Len
	}
	return place
}

// The functions below read stores without a Journal, which would begin a session in them: for those who judge
// a store or a copy of one.

// Streams yields the names of the streams that have entries, in order.
func Streams(ctx context.Context, db meta.DB) iter.Seq2[string, error] {
	lo := meta.Key(spaceEntry)
	hi := meta.PrefixEnd(lo)
	return func(yield func(string, error) bool) {
		for {
			stream, found, err := firstStream(ctx, db, lo, hi)
			if err != nil {
				yield("", err)
				return
			}
			if !found || !yield(stream, nil) {
				return
			}
			lo = meta.PrefixEnd(meta.Key(spaceEntry, stream))
		}
	}
}

// firstStream returns the stream of the first row in the range that has one.
func firstStream(ctx context.Context, db meta.DB, lo, hi []byte) (stream string, found bool, err error) {
	err = db.View(ctx, func(r meta.Reader) error {
		for kv, err := range r.Scan(lo, hi) {
			if err != nil {
				return err
			}
			if stream, _, found = cutEntryKey(kv.Key); found {
				return nil
			}
		}
		return nil
	})
	return stream, found, err
}

// Entries yields the entries of a stream in ascending order. A row that does not parse is yielded as ErrCorrupt and
// the next ones follow; any other error is the last.
func Entries(ctx context.Context, db meta.DB, stream string) iter.Seq2[*Descriptor, error] {
	lo, hi := entryRange(stream, 0, 0)
	return func(yield func(*Descriptor, error) bool) {
		for kv, err := range rows(ctx, db, lo, hi) {
			var d *Descriptor
			if err == nil {
				d, err = parseEntry(kv)
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

// OpenFrames yields the frames of an entry as Journal.Frames does.
func OpenFrames(ctx context.Context, bs blob.Store, d *Descriptor, keys Keyring) iter.Seq2[Frame, error] {
	return (&Journal{bs: bs}).Frames(ctx, d, keys)
}

// IndexValue returns the value of the index row k of an entry. Errors: meta.ErrNotFound, ErrCorrupt.
func IndexValue(ctx context.Context, db meta.DB, d *Descriptor, k IndexKey) (value []byte, err error) {
	err = db.View(ctx, func(r meta.Reader) error {
		value, err = r.Get(indexKey(d.Stream, k, d.Seq))
		return err
	})
	if err == nil && (len(value) == 0 || value[0] != rowVersion) {
		err = fmt.Errorf("%w: index row of %s entry %d", ErrCorrupt, d.Stream, d.Seq)
	}
	if err != nil {
		return nil, err
	}
	return value[1:], nil
}
