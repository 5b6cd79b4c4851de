// SPDX-License-Identifier: Apache-2.0

// Package meta is the contract of the metadata store: ordered byte keys with
// serializable transactions and one hot path, the fenced commit.
//
// It is not a place for bulk bytes (package blob), and it knows nothing of
// streams or keys (package journal, the services). The one invariant: what a
// View has shown, and what an Update or a Commit has answered nil for, is
// durable and is never taken back.
//
// Drivers are in meta/mem and meta/pebble; meta/sealed encrypts every value
// over any of them. The suite in meta/metatest is the definition of a driver.
// Key prefixes are listed in docs/formats/meta-keys.md.
package meta

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Limits of one row and of one commit, held by every driver so that what works
// on one works on all: they are those of FoundationDB (values, commits) and of a
// PostgreSQL btree index (keys), rounded down.
const (
	// MaxKeyBytes bounds a key.
	MaxKeyBytes = 2500
	// MaxValueBytes bounds a value as the callers of a store see it.
	MaxValueBytes = 99_900
	// MaxStoredBytes bounds a value as a driver sees it: a little more than
	// MaxValueBytes, so that a sealing decorator fits in between.
	MaxStoredBytes = 100_000
	// MaxRows bounds the puts and deletes of one Update or Commit. A
	// DeleteRange counts as one.
	MaxRows = 10_000
	// MaxCommitBytes bounds the keys and values written by one Update or Commit.
	MaxCommitBytes = 8 << 20
)

var (
	// ErrNotFound says that the key holds no value.
	ErrNotFound = errors.New("meta: not found")
	// ErrFenced says that the fence row no longer held the expected value;
	// nothing was written.
	ErrFenced = errors.New("meta: fenced")
	// ErrLimit is matched by every *LimitError; nothing was written.
	ErrLimit = errors.New("meta: limit exceeded")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("meta: closed")
)

// LimitError says which limit a transaction exceeded. errors.Is(err, ErrLimit) holds.
type LimitError struct {
	What string // "key bytes", "value bytes", "rows" or "commit bytes"
	Got  int
	Max  int
}

// Error names the limit, never the key or the value.
func (e *LimitError) Error() string {
	return fmt.Sprintf("meta: %s %d exceed the limit of %d", e.What, e.Got, e.Max)
}

// Is reports whether target is ErrLimit.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }

// KV is one row. A driver that hands one out gives its bytes away: they are the
// receiver's to keep and to change. A driver that receives one copies them.
type KV struct{ Key, Value []byte }

// Fence is a row that must hold exactly Value when a Commit is applied.
type Fence struct{ Key, Value []byte }

// Reader reads one consistent snapshot. It is valid only inside the function it
// was given to, and is not for concurrent use.
type Reader interface {
	// Get returns the value of key, which may be empty but is then not nil.
	// Errors: ErrNotFound.
	Get(key []byte) ([]byte, error)
	// Scan yields the rows with from <= key < to in ascending order of their
	// keys. A nil from is the first row, a nil to is after the last. The
	// sequence ends after it has yielded an error. The transaction must not
	// write while a scan runs: collect first.
	Scan(from, to []byte) iter.Seq2[KV, error]
	// ScanReverse yields the same rows in descending order.
	ScanReverse(from, to []byte) iter.Seq2[KV, error]
}

// Tx is a Reader that also writes, and sees its own writes. Limits are checked
// when the transaction commits; the first violation fails it as a whole.
type Tx interface {
	Reader
	// Put sets key to value.
	Put(key, value []byte)
	// Delete removes key; a key that is not there is no error.
	Delete(key []byte)
	// DeleteRange removes every row with from <= key < to. Both must be given.
	DeleteRange(from, to []byte)
}

// DB is an ordered key-value store. Its methods may be called concurrently.
type DB interface {
	// View runs fn on one snapshot in which everything is durable, and returns
	// its error. fn must not call the DB.
	View(ctx context.Context, fn func(Reader) error) error
	// Update runs fn as a serializable transaction and commits what it wrote,
	// unless it returns an error, which Update passes on with nothing written.
	// fn may run more than once and must not call the DB. nil means durable.
	// Also when fn fails, what it had read is durable by the time Update
	// returns.
	//
	// Errors: ErrLimit; ctx's error before anything was written; ErrClosed. Any
	// other error leaves the outcome unknown: read, or repeat what is idempotent.
	Update(ctx context.Context, fn func(Tx) error) error
	// Commit writes puts in one round trip if the fence row still holds its
	// value, and nothing otherwise. It is idempotent: the same call may be
	// repeated after an unknown outcome. Commits that one caller issues one
	// after the other become visible in that order. nil means durable.
	//
	// Errors: ErrFenced and ErrLimit, nothing written; otherwise as Update.
	Commit(ctx context.Context, fence Fence, puts []KV) error
	// Close waits for running transactions and releases the store.
	Close() error
}

// Size counts what one transaction writes against the limits. The zero value is
// an empty transaction. Drivers add every write and ask Err before they commit.
type Size struct {
	rows, bytes int
	err         error
}

// Put counts one row whose value is to be stored as it is.
func (s *Size) Put(key, value []byte) {
	if len(value) > MaxStoredBytes {
		s.fail("value bytes", len(value), MaxStoredBytes)
	}
	s.add(len(key), len(value), key)
}

// Delete counts one deletion, of a key or of a range that begins with it.
func (s *Size) Delete(keys ...[]byte) {
	for _, k := range keys[1:] {
		s.bytes += len(k)
	}
	s.add(len(keys[0]), 0, keys...)
}

// Err returns the first limit that was exceeded, as a *LimitError, or nil.
func (s *Size) Err() error { return s.err }

// Fits reports whether a row of n bytes more would still be within the limits
// of a commit: what a group committer asks before it adds one.
func (s *Size) Fits(rows, n int) bool {
	return s.rows+rows <= MaxRows && s.bytes+n <= MaxCommitBytes
}

func (s *Size) add(key, value int, keys ...[]byte) {
	s.rows++
	s.bytes += key + value
	for _, k := range keys {
		if len(k) > MaxKeyBytes {
			s.fail("key bytes", len(k), MaxKeyBytes)
		}
	}
	if s.rows > MaxRows {
		s.fail("rows", s.rows, MaxRows)
	}
	if s.bytes > MaxCommitBytes {
		s.fail("commit bytes", s.bytes, MaxCommitBytes)
	}
}

func (s *Size) fail(what string, got, limit int) {
	if s.err == nil {
		s.err = &LimitError{What: what, Got: got, Max: limit}
	}
}
