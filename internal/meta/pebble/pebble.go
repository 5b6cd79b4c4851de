// SPDX-License-Identifier: Apache-2.0

// Package pebble is the embedded meta driver, over the Pebble key-value engine.
//
// Pebble makes a batch visible before its log is synced, and has no transactions.
// So transactions run one at a time on an indexed batch that is committed without
// a sync; outside that lock they share syncs (group commit); and nothing leaves
// the driver, be it data read or an error that follows from it, before a sync that
// covers it. That is the invariant: what was answered survives a power cut.
//
// It is not tolerant of failing disks: an error on the log or the manifest ends the
// process through Options.Fatal, since after a failed fsync nobody knows what is
// on the disk.
//
// Lock order: txMu, then applyMu.
package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/meta"
)

// Options are those of Open.
type Options struct {
	// FS is the file system; default the operating system's.
	FS vfs.FS
	// Fatal is called when the store can no longer tell what is durable. It must
	// not return: the composition root exits. Default panic.
	Fatal func(error)
	// Logger receives what Pebble reports; default none.
	Logger *slog.Logger
	// CacheBytes is the block cache; default 32 MiB.
	CacheBytes int64
	// MemTableBytes is the size at which a memtable is flushed; default 16 MiB.
	MemTableBytes uint64
	// ReadOnly opens a store that exists and changes nothing in it, not even what a crash
	// has left. Update, Commit and Checkpoint then fail.
	ReadOnly bool
}

// DB is an opened store.
type DB struct {
	db *pebble.DB

	life   sync.RWMutex // held for reading by every call, for writing by Close
	closed bool

	txMu sync.Mutex // one transaction at a time

	applyMu sync.Mutex // makes a batch's visibility and applied one step
	applied uint64     // batches applied

	syncMu  sync.Mutex    // one sync at a time; those who wait share the next
	durable atomic.Uint64 // batches known to be synced
}

var _ meta.DB = (*DB)(nil)

// Open opens the store in dir, which is made if it does not exist, durably and with
// mode 0700. It fails if another process has it open.
func Open(dir string, o Options) (*DB, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 16 << 20
	}
	options := &pebble.Options{
		FS:           privateFS{o.FS},
		CacheSize:    o.CacheBytes,
		MemTableSize: o.MemTableBytes,
		Logger:       logger{log: o.Logger, fatal: o.Fatal},
	}
	if o.ReadOnly {
		// Whoever reads a damaged file gets the error; it ends only a process that writes.
		options.EventListener = &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}}
		options.ReadOnly, options.DisableTableStats = true, true
	}
	db, err := pebble.Open(dir, options)
	if err != nil {
		return nil, fmt.Errorf("meta: open %s: %w", dir, err)
	}
	return &DB{db: db}, nil
}

// View implements meta.DB. It waits for a sync when something in its snapshot is not
// durable yet; on an idle store that costs nothing.
func (db *DB) View(ctx context.Context, fn func(meta.Reader) error) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.life.RUnlock()
	db.applyMu.Lock()
	snapshot, applied := db.db.NewSnapshot(), db.applied
	db.applyMu.Unlock()
	defer snapshot.Close()
	if err := db.sync(applied); err != nil {
		return err
	}
	return fn(reader{snapshot})
}

// Update implements meta.DB. fn runs once.
func (db *DB) Update(ctx context.Context, fn func(meta.Tx) error) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.life.RUnlock()
	applied, err := db.transact(ctx, fn)
	if syncErr := db.sync(applied); syncErr != nil {
		return syncErr
	}
	return err
}

// Commit implements meta.DB.
func (db *DB) Commit(ctx context.Context, fence meta.Fence, puts []meta.KV) error {
	return db.Update(ctx, func(t meta.Tx) error {
		held, err := t.Get(fence.Key)
		if errors.Is(err, meta.ErrNotFound) || err == nil && !bytes.Equal(held, fence.Value) {
			return meta.ErrFenced
		}
		if err != nil {
			return err
		}
		for _, kv := range puts {
			t.Put(kv.Key, kv.Value)
		}
		return nil
	})
}

// Close implements meta.DB.
func (db *DB) Close() error {
	db.life.Lock()
	defer db.life.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	if err := db.db.Close(); err != nil {
		return fmt.Errorf("meta: close: %w", err)
	}
	return nil
}

// Checkpoint writes a consistent copy of the store to dir, which must not exist, by
// hard links where it can. The copy is a store of its own, to be opened with Open.
// Transactions go on meanwhile; what was acknowledged before the call is in it.
func (db *DB) Checkpoint(ctx context.Context, dir string) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.life.RUnlock()
	if err := db.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("meta: checkpoint to %s: %w", dir, err)
	}
	return nil
}

// enter begins a call; the caller unlocks life when it returned nil.
func (db *DB) enter(ctx context.Context) error {
	db.life.RLock()
	err := ctx.Err()
	if db.closed {
		err = meta.ErrClosed
	}
	if err != nil {
		db.life.RUnlock()
	}
	return err
}

// transact runs fn and applies its batch, and returns the count of batches up to
// which everything fn has read or written was applied.
func (db *DB) transact(ctx context.Context, fn func(meta.Tx) error) (applied uint64, err error) {
	db.txMu.Lock()
	defer db.txMu.Unlock()
	if err := ctx.Err(); err != nil { // waiting may have taken long
		return 0, err
	}
	batch := db.db.NewIndexedBatch()
	defer batch.Close()
	t := &tx{reader: reader{batch}, batch: batch}
	if err = fn(t); err == nil {
		err = errors.Join(t.err, t.size.Err())
	}
	db.applyMu.Lock()
	defer db.applyMu.Unlock()
	if err == nil && !batch.Empty() {
		if err = batch.Commit(pebble.NoSync); err == nil {
			db.applied++
		}
	}
	return db.applied, err
}

// sync returns when the first n batches are durable. The log is synced as a whole, so
// whoever comes while a sync runs shares the next one.
func (db *DB) sync(n uint64) error {
	if db.durable.Load() >= n {
		return nil
	}
	db.syncMu.Lock()
	defer db.syncMu.Unlock()
	if db.durable.Load() >= n {
		return nil
	}
	db.applyMu.Lock()
	applied := db.applied
	db.applyMu.Unlock()
	if err := db.db.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("meta: sync: %w", err)
	}
	db.durable.Store(applied)
	return nil
}
