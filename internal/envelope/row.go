// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/obscura-video/obscura/internal/meta"
)

// space is the first part of the rows of this package: dk/<scope>/<ordinal>.
const space = "dk"

// rowVersion is that of docs/formats/data-key.md.
const rowVersion = 1

// row is a wrapped data key as it is stored.
type row struct {
	Version int    `json:"v"`
	KMSKey  string `json:"kmsKey"`  // ARN
	Wrapped []byte `json:"wrapped"` // ciphertext blob of the KMS
	Created int64  `json:"created"` // Unix milliseconds
}

// store gives the key the scope's next ordinal. nil means durable.
func (k *Keyring) store(ctx context.Context, scope string, r row) (ordinal uint64, err error) {
	r.Version = rowVersion
	value, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	err = k.db.Update(ctx, func(tx meta.Tx) error {
		last, err := newest(tx, scope)
		if err != nil {
			return err
		}
		ordinal = last + 1
		tx.Put(meta.Key(space, scope, ordinal), value)
		return nil
	})
	return ordinal, err
}

// newest returns the highest ordinal of a scope, 0 when it has none.
func newest(r meta.Reader, scope string) (uint64, error) {
	prefix := meta.Key(space, scope)
	for kv, err := range r.ScanReverse(prefix, meta.PrefixEnd(prefix)) {
		if err != nil {
			return 0, err
		}
		n, _, ok := meta.CutUint64(kv.Key[len(prefix):])
		if !ok {
			return 0, errors.New("malformed key of a data key")
		}
		return n, nil
	}
	return 0, nil
}

func (k *Keyring) load(ctx context.Context, scope string, ordinal uint64) (r row, err error) {
	err = k.db.View(ctx, func(v meta.Reader) error {
		value, err := v.Get(meta.Key(space, scope, ordinal))
		if err != nil {
			return err
		}
		r, err = parseRow(value)
		return err
	})
	if errors.Is(err, meta.ErrNotFound) {
		return row{}, ErrShredded
	}
	if err != nil {
		return row{}, fmt.Errorf("envelope: load data key %d: %w", ordinal, err)
	}
	return r, nil
}

func parseRow(value []byte) (r row, err error) {
	if err := json.Unmarshal(value, &r); err != nil {
		return row{}, fmt.Errorf("malformed data key: %w", err)
	}
	if r.Version != rowVersion {
		return row{}, fmt.Errorf("data key of unknown version %d", r.Version)
	}
	return r, nil
}

// Retire deletes the data keys of a scope that are older than oldest, the key ID of the
// oldest entry that is still stored, because nothing refers to them any more. With an
// empty oldest nothing is stored, and all but the newest key go.
func (k *Keyring) Retire(ctx context.Context, scope, oldest string) error {
	keep := uint64(0)
	if oldest != "" {
		var err error
		if keep, err = parseKeyID(oldest); err != nil {
			return err
		}
	}
	err := k.db.Update(ctx, func(tx meta.Tx) error {
		end := keep
		if oldest == "" {
			var err error
			if end, err = newest(tx, scope); err != nil {
				return err
			}
		}
		if end > 1 {
			tx.DeleteRange(meta.Key(space, scope, uint64(0)), meta.Key(space, scope, end))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("envelope: retire data keys: %w", err)
	}
	return nil
}

// keyID is how the journal calls a data key of a scope.
func keyID(ordinal uint64) string { return strconv.FormatUint(ordinal, 10) }

func parseKeyID(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, errors.New("envelope: malformed key ID")
	}
	return n, nil
}
