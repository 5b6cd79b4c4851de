// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"iter"

	"github.com/obscura-video/obscura/internal/meta"
)

// without is a store to read, without some of its rows.
type without struct {
	meta.DB
	rows map[string]bool
}

// View implements meta.DB.
func (w *without) View(ctx context.Context, fn func(meta.Reader) error) error {
	return w.DB.View(ctx, func(r meta.Reader) error { return fn(withoutReader{r, w.rows}) })
}

type withoutReader struct {
	meta.Reader
	rows map[string]bool
}

func (r withoutReader) Get(key []byte) ([]byte, error) {
	if r.rows[string(key)] {
		return nil, meta.ErrNotFound
	}
	return r.Reader.Get(key)
}

func (r withoutReader) Scan(from, to []byte) iter.Seq2[meta.KV, error] {
	return r.skip(r.Reader.Scan(from, to))
}

func (r withoutReader) ScanReverse(from, to []byte) iter.Seq2[meta.KV, error] {
	return r.skip(r.Reader.ScanReverse(from, to))
}

func (r withoutReader) skip(all iter.Seq2[meta.KV, error]) iter.Seq2[meta.KV, error] {
	return func(yield func(meta.KV, error) bool) {
		for kv, err := range all {
			if err == nil && r.rows[string(kv.Key)] {
				continue
			}
			if !yield(kv, err) {
				return
			}
		}
	}
}
