// SPDX-License-Identifier: Apache-2.0

// Package mem is the meta driver that keeps everything in memory: for tests, and
// for the rows of streams without retention. It is not durable, and says so by
// being gone; in all else it keeps the contract of package meta.
package mem

import (
	"bytes"
	"context"
	"hash/maphash"
	"iter"
	"sync"

	"github.com/obscura-video/obscura/internal/meta"
)

// DB is a store in memory. New makes one.
type DB struct {
	seed maphash.Seed

	write sync.Mutex // one transaction at a time

	mu     sync.Mutex // guards the fields below
	root   *node
	closed bool
}

var _ meta.DB = (*DB)(nil)

// New returns an empty store.
func New() *DB { return &DB{seed: maphash.MakeSeed()} }

// View implements meta.DB.
func (db *DB) View(ctx context.Context, fn func(meta.Reader) error) error {
	root, err := db.snapshot(ctx)
	if err != nil {
		return err
	}
	return fn(&tx{root: root})
}

// Update implements meta.DB.
func (db *DB) Update(ctx context.Context, fn func(meta.Tx) error) error {
	db.write.Lock()
	defer db.write.Unlock()
	root, err := db.snapshot(ctx)
	if err != nil {
		return err
	}
	t := &tx{root: root, seed: db.seed}
	if err := fn(t); err != nil {
		return err
	}
	return db.apply(t)
}

// Commit implements meta.DB.
func (db *DB) Commit(ctx context.Context, fence meta.Fence, puts []meta.KV) error {
	return db.Update(ctx, func(t meta.Tx) error {
		held, err := t.Get(fence.Key)
		if err != nil || !bytes.Equal(held, fence.Value) {
			return meta.ErrFenced
		}
		for _, kv := range puts {
			t.Put(kv.Key, kv.Value)
		}
		return nil
	})
}

// Close implements meta.DB.
func (db *DB) Close() error {
	db.write.Lock()
	defer db.write.Unlock()
	db.mu.Lock()
	defer db.mu.Unlock()
	db.closed, db.root = true, nil
	return nil
}

func (db *DB) snapshot(ctx context.Context) (*node, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, meta.ErrClosed
	}
	return db.root, ctx.Err()
}

func (db *DB) apply(t *tx) error {
	if err := t.size.Err(); err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.root = t.root
	return nil
}

type tx struct {
	root *node
	seed maphash.Seed
	size meta.Size
}

func (t *tx) Get(key []byte) ([]byte, error) {
	n := get(t.root, key)
	if n == nil {
		return nil, meta.ErrNotFound
	}
	return append([]byte{}, n.value...), nil
}

func (t *tx) Scan(from, to []byte) iter.Seq2[meta.KV, error] { return t.scan(from, to, false) }

func (t *tx) ScanReverse(from, to []byte) iter.Seq2[meta.KV, error] { return t.scan(from, to, true) }

func (t *tx) scan(from, to []byte, reverse bool) iter.Seq2[meta.KV, error] {
	return func(yield func(meta.KV, error) bool) {
		walk(t.root, from, to, reverse, func(n *node) bool {
			return yield(meta.KV{Key: bytes.Clone(n.key), Value: append([]byte{}, n.value...)}, nil)
		})
	}
}

func (t *tx) Put(key, value []byte) {
	t.size.Put(key, value)
	t.root = put(t.seed, t.root, key, value)
}

func (t *tx) Delete(key []byte) {
	t.size.Delete(key)
	t.root = cut(t.root, key, after(key))
}

func (t *tx) DeleteRange(from, to []byte) {
	t.size.Delete(from, to)
	t.root = cut(t.root, from, to)
}
