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
	return rewrapAll(ctx, s.cfg.DB, func(r rows, from []byte) ([]byte, int, error) {
		s.estate.writing.Lock() // material is wrapped and written under it
		defer s.estate.writing.Unlock()
		return rewrapSome(ctx, s.cfg.DB, s.cfg.Root, r, from)
	})
}

// Rewrap is Service.Rewrap for a stopped server's rows.
func (c *Custodian) Rewrap(ctx context.Context) (n int, err error) {
	return rewrapAll(ctx, c.DB, func(r rows, from []byte) ([]byte, int, error) { return rewrapSome(ctx, c.DB, c.Root, r, from) })
}

// rewrapAll goes through the material of all Regions. A Region that gets its first key meanwhile has material that is
// wrapped anew already.
func rewrapAll(ctx context.Context, db meta.DB, some func(r rows, from []byte) (next []byte, n int, err error)) (n int, err error) {
	all, err := storedRegions(ctx, db)
	if err != nil {
		return 0, err
	}
	for _, r := range all {
		for next := r.of("m"); next != nil; {
			if err := ctx.Err(); err != nil {
				return n, err
			}
			var done int
			if next, done, err = some(r, next); err != nil {
				return n, fmt.Errorf("kms: rewrap key material: %w", err)
			}
			n += done
		}
	}
	return n, nil
}

// rewrapSome rewraps a batch of materials and returns where the next one begins, nil after the last.
func rewrapSome(ctx context.Context, db meta.DB, root RootKey, r rows, from []byte) (next []byte, n int, err error) {
	err = db.Update(ctx, func(tx meta.Tx) error {
		next, n = nil, 0
		for row, err := range tx.Scan(from, meta.PrefixEnd(r.of("m"))) {
			if err != nil {
				return err
			}
			if n == rewrapBatch {
				next = bytes.Clone(row.Key)
				return nil
			}
			if err := rewrapRow(ctx, tx, root, r, row); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return next, n, err
}

func rewrapRow(ctx context.Context, tx meta.Tx, root RootKey, r rows, row meta.KV) error {
	keyID, id, ok := r.cutMaterial(row.Key)
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

// cutMaterial takes apart what material makes.
func (r rows) cutMaterial(row []byte) (keyID, id string, ok bool) {
	rest, ok := bytes.CutPrefix(row, r.of("m"))
	if !ok {
		return "", "", false
	}
	if keyID, rest, ok = meta.CutString(rest); !ok {
		return "", "", false
	}
	id, rest, ok = meta.CutString(rest)
	return keyID, id, ok && len(rest) == 0
}
