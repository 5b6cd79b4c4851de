// SPDX-License-Identifier: Apache-2.0

// Package sealed is the meta decorator that encrypts every value:
//
//	stored value = 01 ‖ nonce[24] ‖ XAES-256-GCM(meta key, nonce, value, AAD = key name)
//	row "!/sealed" = 01 ‖ len(wrapped) as uint16 ‖ wrapped meta key ‖ check
//
// The meta key lies, wrapped by the root key, in that one unsealed row; wrapping it
// is somebody else's task. Key names are not hidden, and whoever can write to the
// store below can put back an older value of the same key; a value cannot be moved to
// another key. The invariant: no value passes in the clear, in either direction.
//
// Byte for byte: docs/formats/meta-keys.md.
package sealed

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/seal"
)

const (
	version = 1
	// overhead is what sealing adds to a value.
	overhead = 1 + seal.RandomOverhead
)

var (
	// ErrWrongKey says that the store was sealed with another meta key.
	ErrWrongKey = errors.New("meta: store is sealed with another key")
	// ErrNotEmpty says that a store to be created holds rows already.
	ErrNotEmpty = errors.New("meta: store is not empty")
	// ErrCorrupt says that a value does not authenticate under its key's name.
	ErrCorrupt = errors.New("meta: value does not authenticate")
)

func headerKey() []byte { return []byte("!/sealed") }

// DB is a store whose values are sealed.
type DB struct {
	inner meta.DB
	key   *seal.Key

	mu     sync.Mutex // guards fences
	fences map[string]held
}

// held is a fence row as it was last seen: its value, and the bytes that it is stored as.
type held struct{ value, stored []byte }

var _ meta.DB = (*DB)(nil)

// WrappedKey returns the wrapped meta key from the header of a store.
// Errors: meta.ErrNotFound when the store has none, so is new.
func WrappedKey(ctx context.Context, db meta.DB) ([]byte, error) {
	h, err := readHeader(ctx, db)
	return h.wrapped, err
}

// Create makes an empty store a sealed one: it writes the header and opens it.
// Errors: ErrNotEmpty.
func Create(ctx context.Context, db meta.DB, wrapped []byte, key *seal.Key) (*DB, error) {
	value, err := encodeHeader(wrapped, key)
	if err != nil {
		return nil, err
	}
	err = db.Update(ctx, func(tx meta.Tx) error {
		for _, err := range tx.Scan(nil, nil) {
			if err != nil {
				return err
			}
			return ErrNotEmpty
		}
		tx.Put(headerKey(), value)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return newDB(db, key), nil
}

// Open opens a sealed store. Nothing is written before the key has been found right.
// Errors: ErrWrongKey; meta.ErrNotFound when the store has no header.
func Open(ctx context.Context, db meta.DB, key *seal.Key) (*DB, error) {
	h, err := readHeader(ctx, db)
	if err != nil {
		return nil, err
	}
	if err := h.verify(key); err != nil {
		return nil, err
	}
	return newDB(db, key), nil
}

// Rewrap replaces the wrapped meta key in the header, after a rotation of the root
// key. key is the meta key itself, which stays.
// Errors: ErrWrongKey.
func Rewrap(ctx context.Context, db meta.DB, wrapped []byte, key *seal.Key) error {
	value, err := encodeHeader(wrapped, key)
	if err != nil {
		return err
	}
	return db.Update(ctx, func(tx meta.Tx) error {
		old, err := tx.Get(headerKey())
		if err != nil {
			return err
		}
		h, err := decodeHeader(old)
		if err != nil {
			return err
		}
		tx.Put(headerKey(), value)
		return h.verify(key)
	})
}

func newDB(inner meta.DB, key *seal.Key) *DB {
	return &DB{inner: inner, key: key, fences: make(map[string]held)}
}

// View implements meta.DB.
func (db *DB) View(ctx context.Context, fn func(meta.Reader) error) error {
	return db.inner.View(ctx, func(r meta.Reader) error { return fn(reader{db, r}) })
}

// Update implements meta.DB.
func (db *DB) Update(ctx context.Context, fn func(meta.Tx) error) error {
	return db.inner.Update(ctx, func(inner meta.Tx) error {
		t := &tx{reader: reader{db, inner}, inner: inner}
		if err := fn(t); err != nil {
			return err
		}
		return t.err
	})
}

// Commit implements meta.DB. A sealed value has different bytes each time it is
// written, so the fence is first compared in the clear and then held to the very
// bytes that were compared.
func (db *DB) Commit(ctx context.Context, fence meta.Fence, puts []meta.KV) error {
	sealed := make([]meta.KV, len(puts))
	for i, kv := range puts {
		value, err := db.seal(kv.Key, kv.Value)
		if err != nil {
			return err
		}
		sealed[i] = meta.KV{Key: kv.Key, Value: value}
	}
	known := db.known(fence.Key)
	if known.stored != nil && bytes.Equal(known.value, fence.Value) {
		err := db.inner.Commit(ctx, meta.Fence{Key: fence.Key, Value: known.stored}, sealed)
		if !errors.Is(err, meta.ErrFenced) {
			return err
		}
	}
	for { // the row may have been written again with the same value
		seen, err := db.look(ctx, fence)
		if err != nil {
			return err
		}
		err = db.inner.Commit(ctx, meta.Fence{Key: fence.Key, Value: seen}, sealed)
		if !errors.Is(err, meta.ErrFenced) {
			return err
		}
	}
}

// Close implements meta.DB. The key stays usable: it is its owner's to destroy.
func (db *DB) Close() error { return db.inner.Close() }

func (db *DB) known(key []byte) held {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.fences[string(key)]
}

// look reads the fence row, and returns the bytes it is stored as if they hold the
// value of the fence. Errors: meta.ErrFenced.
func (db *DB) look(ctx context.Context, fence meta.Fence) ([]byte, error) {
	var h held
	err := db.inner.View(ctx, func(r meta.Reader) (err error) {
		if h.stored, err = r.Get(fence.Key); err == nil {
			h.value, err = db.open(fence.Key, h.stored)
		}
		return err
	})
	if errors.Is(err, meta.ErrNotFound) || err == nil && !bytes.Equal(h.value, fence.Value) {
		return nil, meta.ErrFenced
	}
	if err != nil {
		return nil, err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.fences[string(fence.Key)] = h
	return h.stored, nil
}

func (db *DB) seal(key, value []byte) ([]byte, error) {
	if len(value) > meta.MaxValueBytes {
		return nil, &meta.LimitError{What: "value bytes", Got: len(value), Max: meta.MaxValueBytes}
	}
	if bytes.Equal(key, headerKey()) {
		return nil, fmt.Errorf("meta: key %q is reserved", key)
	}
	stored := append(make([]byte, 0, overhead+len(value)), version)
	return db.key.SealRandom(stored, value, key)
}

func (db *DB) open(key, stored []byte) ([]byte, error) {
	if len(stored) < overhead || stored[0] != version {
		return nil, fmt.Errorf("%w: key %q", ErrCorrupt, key)
	}
	value, err := db.key.OpenRandom(make([]byte, 0, len(stored)-overhead), stored[1:], key)
	if errors.Is(err, seal.ErrOpen) {
		return nil, fmt.Errorf("%w: key %q", ErrCorrupt, key)
	}
	return value, err
}

// reader opens what it reads.
type reader struct {
	db    *DB
	inner meta.Reader
}

func (r reader) Get(key []byte) ([]byte, error) {
	if bytes.Equal(key, headerKey()) {
		return nil, meta.ErrNotFound
	}
	stored, err := r.inner.Get(key)
	if err != nil {
		return nil, err
	}
	return r.db.open(key, stored)
}

func (r reader) Scan(from, to []byte) iter.Seq2[meta.KV, error] {
	return r.openAll(r.inner.Scan(from, to))
}

func (r reader) ScanReverse(from, to []byte) iter.Seq2[meta.KV, error] {
	return r.openAll(r.inner.ScanReverse(from, to))
}

func (r reader) openAll(rows iter.Seq2[meta.KV, error]) iter.Seq2[meta.KV, error] {
	return func(yield func(meta.KV, error) bool) {
		for kv, err := range rows {
			if err == nil && bytes.Equal(kv.Key, headerKey()) {
				continue
			}
			if err == nil {
				kv.Value, err = r.db.open(kv.Key, kv.Value)
			}
			if err != nil {
				yield(meta.KV{}, err)
				return
			}
			if !yield(kv, nil) {
				return
			}
		}
	}
}

// tx seals what it writes.
type tx struct {
	reader
	inner meta.Tx
	err   error
}

func (t *tx) Put(key, value []byte) {
	stored, err := t.db.seal(key, value)
	if err != nil {
		t.err = errors.Join(t.err, err)
		return
	}
	t.inner.Put(key, stored)
}

func (t *tx) Delete(key []byte) {
	if !bytes.Equal(key, headerKey()) {
		t.inner.Delete(key)
	}
}

// DeleteRange spares the header: it is not one of the rows.
func (t *tx) DeleteRange(from, to []byte) {
	h := headerKey()
	if bytes.Compare(from, h) <= 0 && bytes.Compare(h, to) < 0 {
		t.inner.DeleteRange(from, h)
		from = append(h, 0)
	}
	t.inner.DeleteRange(from, to)
}

type header struct{ wrapped, check []byte }

func encodeHeader(wrapped []byte, key *seal.Key) ([]byte, error) {
	if len(wrapped) > 1<<15 {
		return nil, &meta.LimitError{What: "value bytes", Got: len(wrapped), Max: 1 << 15}
	}
	h := binary.BigEndian.AppendUint16([]byte{version}, uint16(len(wrapped)))
	return key.SealRandom(append(h, wrapped...), nil, headerKey())
}

func decodeHeader(b []byte) (header, error) {
	if len(b) < 3 || b[0] != version {
		return header{}, fmt.Errorf("%w: header", ErrCorrupt)
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if len(b) != 3+n+seal.RandomOverhead {
		return header{}, fmt.Errorf("%w: header", ErrCorrupt)
	}
	return header{wrapped: b[3:][:n], check: b[3+n:]}, nil
}

func readHeader(ctx context.Context, db meta.DB) (h header, err error) {
	err = db.View(ctx, func(r meta.Reader) error {
		b, err := r.Get(headerKey())
		if err == nil {
			h, err = decodeHeader(b)
		}
		return err
	})
	return h, err
}

func (h header) verify(key *seal.Key) error {
	_, err := key.OpenRandom(nil, h.check, headerKey())
	if errors.Is(err, seal.ErrOpen) {
		return ErrWrongKey
	}
	return err
}
