// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"context"
	"errors"
	"time"

	"github.com/obscura-video/obscura/internal/meta"
)

// sweepAtOnce bounds one transaction of Sweep, far below meta.MaxRows.
const sweepAtOnce = 256

// entry is an object that is due at a time.
type entry struct {
	ms       uint64
	box, key string
}

// Sweep deletes the objects that have expired. Nobody sees them any more by then; it frees their space and their
// part of the box's bounds.
func (s *Service) Sweep(ctx context.Context) error {
	for {
		found, err := s.overdue(ctx)
		if err != nil || len(found) == 0 {
			return err
		}
		if err := s.db.Update(ctx, func(tx meta.Tx) error { return s.expire(tx, found) }); err != nil {
			return err
		}
	}
}

// overdue is the first objects that have expired.
func (s *Service) overdue(ctx context.Context) (found []entry, err error) {
	from := meta.Key(space, rowDue)
	to := meta.Key(space, rowDue, uint64(s.now().UnixMilli())+1)
	err = s.db.View(ctx, func(r meta.Reader) error {
		found = nil
		for kv, err := range r.Scan(from, to) {
			if err != nil {
				return err
			}
			e, ok := cutDue(kv.Key[len(from):])
			if !ok {
				return errors.New("mailbox: malformed key")
			}
			if found = append(found, e); len(found) == sweepAtOnce {
				break
			}
		}
		return nil
	})
	return found, err
}

func cutDue(rest []byte) (e entry, ok bool) {
	var okMS, okBox, okKey bool
	e.ms, rest, okMS = meta.CutUint64(rest)
	e.box, rest, okBox = meta.CutString(rest)
	e.key, rest, okKey = meta.CutString(rest)
	return e, okMS && okBox && okKey && len(rest) == 0
}

// expire deletes what is due, if it still is: it may have been deleted and put anew.
func (s *Service) expire(tx meta.Tx, found []entry) error {
	boxes := map[string]*box{}
	for _, e := range found {
		tx.Delete(meta.Key(space, rowDue, e.ms, e.box, e.key))
		o, err := get[object](tx, rowObject, e.box, e.key)
		if errors.Is(err, meta.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if o.Expires.After(time.UnixMilli(int64(e.ms))) || o.Expires.IsZero() {
			continue
		}
		if boxes[e.box] == nil {
			if boxes[e.box], err = readBox(tx, e.box); err != nil {
				return err
			}
		}
		remove(tx, boxes[e.box], e.box, e.key, o)
	}
	for name, b := range boxes {
		if err := writeBox(tx, name, b); err != nil {
			return err
		}
	}
	return nil
}
