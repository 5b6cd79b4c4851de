// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/obscura-video/obscura/internal/envelope"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/meta"
)

// A producer's header (what stands before its first cluster) can hold secrets as a frame can, in
// CodecPrivate and titles. It is sealed under the data key of the fragments that refer to it, and
// committed with the first of them: once for each connection and data key.

// headerPiece bounds the value of one row.
const headerPiece = 90_000

// headerAAD binds a header to its stream and position.
func headerAAD(st *stream, position uint64) []byte {
	aad := append([]byte("kv header\x00"), st.ID...)
	return binary.BigEndian.AppendUint64(append(aad, 0), position)
}

// sealHeader returns the rows of a header.
func sealHeader(s *envelope.Sealer, st *stream, position uint64, raw []byte) ([]meta.KV, error) {
	sealed, err := s.SealRandom(nil, raw, headerAAD(st, position))
	if err != nil {
		return nil, err
	}
	var rows []meta.KV
	for piece := uint64(0); len(sealed) > 0; piece++ {
		n := min(len(sealed), headerPiece)
		rows = append(rows, meta.KV{Key: meta.Key(space, rowHeader, st.ID, position, piece), Value: sealed[:n]})
		sealed = sealed[n:]
	}
	return rows, nil
}

// loadHeader returns the header at a position, opened.
func loadHeader(ctx context.Context, db meta.DB, o *envelope.Opener, st *stream, position uint64) ([]byte, error) {
	var sealed []byte
	prefix := meta.Key(space, rowHeader, st.ID, position)
	err := db.View(ctx, func(r meta.Reader) error {
		sealed = nil
		for kv, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			sealed = append(sealed, kv.Value...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("kinesisvideo: load header: %w", err)
	}
	if sealed == nil {
		return nil, fmt.Errorf("kinesisvideo: load header: %w", journal.ErrNotFound)
	}
	raw, err := o.OpenRandom(nil, sealed, headerAAD(st, position))
	if err != nil {
		if refused := o.Err(); refused != nil {
			return nil, refused
		}
		return nil, fmt.Errorf("kinesisvideo: open header: %w", journal.ErrCorrupt)
	}
	return raw, nil
}

// retireHeaders deletes the headers before the one at position oldest; when nothing is stored
// (oldest 0), all but the newest, which a fragment in the making may refer to.
func retireHeaders(ctx context.Context, db meta.DB, id string, oldest uint64) error {
	prefix := meta.Key(space, rowHeader, id)
	return db.Update(ctx, func(tx meta.Tx) error {
		end := oldest
		if end == 0 {
			for kv, err := range tx.ScanReverse(prefix, meta.PrefixEnd(prefix)) {
				if err != nil {
					return err
				}
				end, _, _ = meta.CutUint64(kv.Key[len(prefix):])
				break
			}
		}
		if end > 0 {
			tx.DeleteRange(prefix, meta.Key(space, rowHeader, id, end))
		}
		return nil
	})
}
