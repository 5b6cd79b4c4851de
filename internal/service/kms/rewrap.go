// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"context"
	"fmt"

	"github.com/obscura-video/obscura/internal/meta"
)

// rewrapBatch is how many materials are rewrapped in one transaction, during which mutations wait.
const rewrapBatch = 64

// Rewrap wraps all key material anew, by the root key as it is now: whoever rotates the root key has it wrap for the
// old and the new one first. Material that is made meanwhile is wrapped like that already. It is durable on return;
// interrupted, it is done again from the start. It returns how many materials there are.
func (s *Service) Rewrap(ctx context.Context) (n int, err error) {
	return rewrapAll(ctx, func(from []byte) ([]byte, int, error) {
		s.writing.Lock() // material is wrapped and written under it
		defer s.writing.Unlock()
		return rewrapSome(ctx, s.cfg.DB, s.cfg.Root, from)
	})
}

// Rewrap is Service.Rewrap for a stopped server's rows.
func (c *Custodian) Rewrap(ctx context.Context) (n int, err error) {
	return rewrapAll(ctx, func(from []byte) ([]byte, int, error) { return rewrapSome(ctx, c.DB, c.Root, from) })
}

func rewrapAll(ctx context.Context, some func(from []byte) (next []byte, n int, err error)) (n int, err error) {
	next := meta.Key(space, "m")
	for next != nil {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		var done int
		if next, done, err = some(next); err != nil {
			return n, fmt.Errorf("kms: rewrap key material: %w", err)
		}
		n += done
	}
	return n, nil
}

// rewrapSome rewraps a batch of materials and returns where the next one begins, nil after the last.
func rewrapSome(ctx context.Context, db meta.DB, root RootKey, from []byte) (next []byte, n int, err error) {
	err = db.Update(ctx, func(tx meta.Tx) error {
		next, n = nil, 0
		for row, err := range tx.Scan(from, meta.PrefixEnd(meta.Key(space, "m"))) {
			if err != nil {
				return err
			}
			if n == rewrapBatch {
				next = bytes.Clone(row.Key)
				return nil
			}
			if err := rewrapRow(ctx, tx, root, row); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return next, n, err
}

func rewrapRow(ctx context.Context, tx meta.Tx, root RootKey, row meta.KV) error {
	keyID, id, ok := cutMaterialRow(row.Key)
	if !ok {
		return fmt.Errorf("row %q", row.Key)
	}
	aad := wrapContext(keyID, id)
	plain, err := root.Unwrap(ctx, row.Value, aad)
	if err != nil {
		return fmt.Errorf("key %s: %w", keyID, err)
	}
	defer clear(plain)
	wrapped, err := root.Wrap(ctx, plain, aad)
	if err != nil {
		return fmt.Errorf("key %s: %w", keyID, err)
	}
	tx.Put(bytes.Clone(row.Key), wrapped)
	return nil
}

// cutMaterialRow takes apart what materialRow makes.
func cutMaterialRow(row []byte) (keyID, id string, ok bool) {
	rest, ok := bytes.CutPrefix(row, meta.Key(space, "m"))
	if !ok {
		return "", "", false
	}
	if keyID, rest, ok = meta.CutString(rest); !ok {
		return "", "", false
	}
	id, rest, ok = meta.CutString(rest)
	return keyID, id, ok && len(rest) == 0
}
