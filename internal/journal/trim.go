// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/obscura-video/obscura/internal/meta"
)

// trimRows is how many entries one transaction removes: with their index rows they stay
// within the limits of a commit.
const trimRows = 500

// TrimOptions say which entries go: the oldest ones, as long as any condition holds.
type TrimOptions struct {
	Before    Seq       // numbers before this one; a batch goes when all of its numbers are
	OlderThan time.Time // server times before this one
	KeepBytes int64     // while the stream holds more stored bytes than this; 0 is no condition
	// Removed, if given, is called within the transaction for every entry that goes, to
	// delete rows of the caller's own. It may be called again for the same entry.
	Removed func(tx meta.Tx, d *Descriptor) error
}

// Trim removes the oldest entries of a stream with their index rows, and returns how many.
// It needs no ownership. Their bytes are freed by Reap, once a whole blob is garbage.
func (j *Journal) Trim(ctx context.Context, stream string, o TrimOptions) (removed int, err error) {
	surplus := int64(math.MinInt64)
	if o.KeepBytes > 0 {
		if surplus, err = j.storedBytes(ctx, stream); err != nil {
			return 0, err
		}
		surplus -= o.KeepBytes
	}
	for {
		left, n := surplus, 0
		err := j.db.Update(ctx, func(tx meta.Tx) (err error) {
			left, n, err = trimPage(tx, stream, o, surplus)
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("journal: trim %s: %w", stream, err)
		}
		surplus = left
		if removed += n; n < trimRows {
			return removed, nil
		}
	}
}

func (j *Journal) storedBytes(ctx context.Context, stream string) (total int64, err error) {
	for d, err := range j.Scan(ctx, stream, 0, 0) {
		if err != nil {
			return 0, err
		}
		total += d.Stored
	}
	return total, nil
}

// trimPage removes up to trimRows entries and returns what remains of the surplus.
func trimPage(tx meta.Tx, stream string, o TrimOptions, surplus int64) (left int64, n int, err error) {
	var page []*Descriptor
	lo, hi := entryRange(stream, 0, 0)
	for kv, err := range tx.Scan(lo, hi) {
		if err != nil {
			return 0, 0, err
		}
		d, err := parseEntry(kv)
		if err != nil {
			return 0, 0, err
		}
		if len(page) == trimRows || d.Last() >= o.Before && !d.Time.Before(o.OlderThan) && surplus <= 0 {
			break
		}
		if page = append(page, d); surplus > 0 {
			surplus -= d.Stored
		}
	}
	for _, d := range page {
		for _, k := range d.Index {
			tx.Delete(indexKey(stream, k, d.Seq))
		}
		if o.Removed != nil {
			if err := o.Removed(tx, d); err != nil {
				return 0, 0, err
			}
		}
	}
	if len(page) > 0 {
		tx.DeleteRange(lo, append(entryKey(stream, page[len(page)-1].Seq), 0))
	}
	return surplus, len(page), nil
}

// Drop removes a stream with all that belongs to it, having taken it over, so that nothing
// is committed to it any more. A later stream of the same name may begin at epoch 1 again,
// but never with an epoch that the same session has used, so its nonces differ.
//
// Errors: ErrFenced when somebody else took the stream over meanwhile.
func (j *Journal) Drop(ctx context.Context, stream string) error {
	w, err := j.Own(ctx, stream)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := j.Trim(ctx, stream, TrimOptions{Before: math.MaxUint64}); err != nil {
		return err
	}
	err = j.db.Update(ctx, func(tx meta.Tx) error {
		o, err := getOwner(tx, stream)
		if errors.Is(err, meta.ErrNotFound) || err == nil && (o.Session != j.session || o.Epoch != w.epoch) {
			return ErrFenced
		}
		if err == nil {
			tx.Delete(ownerKey(stream))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("journal: drop %s: %w", stream, err)
	}
	return nil
}
