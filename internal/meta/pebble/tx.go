// SPDX-License-Identifier: Apache-2.0

package pebble

import (
	"bytes"
	"errors"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/obscura-video/obscura/internal/meta"
)

// reader reads a snapshot or an indexed batch.
type reader struct{ pebble.Reader }

func (r reader) Get(key []byte) ([]byte, error) {
	value, closer, err := r.Reader.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, meta.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte{}, value...), nil
}

func (r reader) Scan(from, to []byte) iter.Seq2[meta.KV, error] {
	return r.scan(from, to, (*pebble.Iterator).First, (*pebble.Iterator).Next)
}

func (r reader) ScanReverse(from, to []byte) iter.Seq2[meta.KV, error] {
	return r.scan(from, to, (*pebble.Iterator).Last, (*pebble.Iterator).Prev)
}

func (r reader) scan(from, to []byte, first, next func(*pebble.Iterator) bool) iter.Seq2[meta.KV, error] {
	return func(yield func(meta.KV, error) bool) {
		if to != nil && bytes.Compare(from, to) >= 0 {
			return
		}
		if len(from) == 0 {
			from = nil // no key is before the empty one, and Pebble's own checks do not take that for a bound
		}
		it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
		if err != nil {
			yield(meta.KV{}, err)
			return
		}
		defer it.Close()
		for ok := first(it); ok; ok = next(it) {
			value, err := it.ValueAndErr()
			if err != nil {
				break // it.Error has it
			}
			if !yield(meta.KV{Key: bytes.Clone(it.Key()), Value: append([]byte{}, value...)}, nil) {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(meta.KV{}, err)
		}
	}
}

// tx collects the writes of one transaction.
type tx struct {
	reader
	batch *pebble.Batch
	size  meta.Size
	err   error
}

func (t *tx) Put(key, value []byte) {
	t.size.Put(key, value)
	t.do(func() error { return t.batch.Set(key, value, nil) })
}

func (t *tx) Delete(key []byte) {
	t.size.Delete(key)
	t.do(func() error { return t.batch.Delete(key, nil) })
}

func (t *tx) DeleteRange(from, to []byte) {
	t.size.Delete(from, to)
	if bytes.Compare(from, to) < 0 {
		t.do(func() error { return t.batch.DeleteRange(from, to, nil) })
	}
}

// do applies a write unless the transaction is lost already, so that one that goes
// over its limits does not also go over the machine's.
func (t *tx) do(write func() error) {
	if t.err == nil && t.size.Err() == nil {
		t.err = write()
	}
}
