// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"

	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/sealed"
)

const (
	rowsPerView = 4096
	// namesPerView is how many rows are looked at one by one, where one of them is damaged.
	namesPerView = 256
)

// rows looks at every value.
func (f *fsck) rows(ctx context.Context, db *sealed.DB, bad map[string]bool) error {
	for from := []byte{}; from != nil; {
		n, next, err := scanRows(ctx, db, from)
		if err != nil && ctx.Err() == nil {
			next, err = f.eachRow(ctx, db, from, bad)
		}
		if err != nil {
			return err
		}
		f.report.Rows += n
		from = next
		f.progress("metadata", int64(f.report.Rows), 0)
	}
	return nil
}

// scanRows looks at the values of a run of rows, as they lie, and returns how many there are and where the next run
// begins, nil behind the last. An error says that one of them is damaged, or the store is; then n is 0.
func scanRows(ctx context.Context, db *sealed.DB, from []byte) (n int, next []byte, err error) {
	err = db.View(ctx, func(r meta.Reader) error {
		for kv, err := range r.Scan(from, nil) {
			if err != nil {
				return err
			}
			if n == rowsPerView {
				next = kv.Key
				return nil
			}
			n++
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	return n, next, nil
}

// eachRow looks at each value of a run by itself, and returns where the next run begins.
func (f *fsck) eachRow(ctx context.Context, db *sealed.DB, from []byte, bad map[string]bool) (next []byte, err error) {
	var names [][]byte
	err = f.raw.View(ctx, func(r meta.Reader) error {
		for kv, err := range r.Scan(from, nil) {
			if err != nil {
				return err
			}
			if names = append(names, kv.Key); len(names) == namesPerView {
				break
			}
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		return nil, err
	}
	return append(names[len(names)-1], 0), db.View(ctx, func(r meta.Reader) error { return f.values(r, names, bad) })
}

func (f *fsck) values(r meta.Reader, names [][]byte, bad map[string]bool) error {
	for _, name := range names {
		_, err := r.Get(name)
		switch {
		case errors.Is(err, meta.ErrNotFound): // the header
		case errors.Is(err, sealed.ErrCorrupt):
			bad[string(name)] = true
			f.report.add(Damage{Part: "metadata", What: err.Error()})
		case err != nil:
			return err
		default:
			f.report.Rows++
		}
	}
	return nil
}
