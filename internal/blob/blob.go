// SPDX-License-Identifier: Apache-2.0

// Package blob is the contract of the byte store: bytes are written once, found
// again by a Ref, and deleted a whole blob at a time.
//
// It is not a file system and keeps no index: what no Ref in package meta points
// to does not exist, so a crash leaves nothing to repair. The one invariant:
// bytes for which Append or Writer.Sync has answered nil are durable.
//
// Drivers are in blob/mem and blob/disk; the suite in blob/blobtest is the
// definition of a driver. The layout of a segment is docs/formats/segment.md.
package blob

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"strings"
	"time"
)

var (
	// ErrNotFound says that no blob has this name.
	ErrNotFound = errors.New("blob: not found")
	// ErrRange says that a Ref points outside the blob that it names.
	ErrRange = errors.New("blob: reference out of range")
	// ErrFull says that the store refuses to write because free space is below
	// its floor. Reading and deleting still work, and writing does again when
	// space has been freed.
	ErrFull = errors.New("blob: store is full")
	// ErrBroken says that an earlier write or sync failed in a way that leaves
	// its outcome unknown. The store writes no more until it is opened again.
	ErrBroken = errors.New("blob: store is broken")
	// ErrClosed says that the store or the writer was closed.
	ErrClosed = errors.New("blob: closed")
)

// Class is a retention class. Bytes of one class share blobs, so that a whole
// blob expires together. The numbers are stored; do not reorder.
type Class uint8

// The retention classes.
const (
	Hour    Class = 1
	Day     Class = 2
	Week    Class = 3
	Month   Class = 4 // 30 days
	Year    Class = 5 // 365 days
	Forever Class = 6
)

// ClassFor returns the shortest class that keeps bytes for d. Zero or less,
// which is how a stream without retention is written down, is Hour.
func ClassFor(d time.Duration) Class {
	for c := Hour; c < Forever; c++ {
		if d <= c.Duration() {
			return c
		}
	}
	return Forever
}

// ClassForHours is ClassFor of a whole number of hours, the unit of the AWS APIs.
func ClassForHours(hours int) Class {
	if hours > 366*24 { // also keeps the product from overflowing
		return Forever
	}
	return ClassFor(time.Duration(hours) * time.Hour)
}

// Duration returns how long the class keeps bytes; 0 for Forever and for a class
// that does not exist.
func (c Class) Duration() time.Duration {
	const day = 24 * time.Hour
	switch c {
	case Hour:
		return time.Hour
	case Day:
		return day
	case Week:
		return 7 * day
	case Month:
		return 30 * day
	case Year:
		return 365 * day
	default:
		return 0
	}
}

// Valid reports whether c is one of the retention classes.
func (c Class) Valid() bool { return c >= Hour && c <= Forever }

// Ref says where bytes lie. It means the same on every driver, so a store can be
// moved without a change to meta.
type Ref struct {
	Name     string // of the blob: b/<session>/<n>
	Off, Len int64  // bytes
	// Inline holds the bytes themselves when they were few enough to be kept in
	// the row; Name, Off are then empty and Len is len(Inline).
	Inline []byte
}

// Info describes a blob.
type Info struct {
	Name string
	Size int64 // bytes from the beginning that a Ref may point to
	// InUse says that this opened store may still write to the blob or has a
	// writer that has not been closed, so that a Ref to it may yet be committed.
	// It says nothing of other processes.
	InUse bool
}

// Store holds blobs. Its methods may be called concurrently. An opened store
// writes only blobs of its own session, and never to one that exists already.
type Store interface {
	// Session returns the name of this opened store's session: 32 hex digits, new
	// at every opening. All its blobs are named b/<session>/<n>.
	Session() string
	// Append writes frames one after the other, in one piece, to a blob of the
	// class. nil means durable. Calls that come together share one sync. The
	// bytes remain the caller's. It is for those who do not delete: only an open
	// Writer shows, by Info.InUse, that its refs are not yet committed.
	//
	// Errors: ErrFull, ErrBroken, ErrClosed; then nothing is to be relied upon.
	Append(ctx context.Context, c Class, frames ...[]byte) (Ref, error)
	// NewWriter returns a writer to blobs of the class. Errors: ErrClosed.
	NewWriter(ctx context.Context, c Class) (Writer, error)
	// Read returns the bytes of ref, exactly ref.Len of them; a blob that is
	// shorter gives io.ErrUnexpectedEOF. The caller closes it. A blob that is
	// deleted meanwhile may or may not be read to its end.
	//
	// Errors: ErrNotFound; ErrRange when ref is negative or begins after the end.
	Read(ctx context.Context, ref Ref) (io.ReadCloser, error)
	// Delete removes a blob; one that is not there is no error. The caller makes
	// sure that nothing refers to it and that it is not InUse.
	Delete(ctx context.Context, name string) error
	// List yields the blobs whose names begin with prefix, of all sessions, in no
	// particular order. It ends after it has yielded an error.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// Close releases the store; open writers fail from then on.
	Close() error
}

// Writer stages bytes as they come. It is for one goroutine.
type Writer interface {
	// Write stages p in one piece and says where it lies. It is not durable before
	// Sync. p remains the caller's. Errors: as Append.
	Write(ctx context.Context, p []byte) (Ref, error)
	// Sync makes durable all that Write staged. Writers that sync together share
	// the cost. Errors: ErrBroken, ErrClosed.
	Sync(ctx context.Context) error
	// Close ends the claim that refs of this writer may still be committed (see
	// Info.InUse) and gives back space that was reserved but not written. It
	// makes nothing durable. Closing twice is no error.
	Close() error
}

// NewSession returns a random session name: 128 bits as 32 hex digits.
func NewSession() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// Prefix returns the common prefix of the names of a session's blobs.
func Prefix(session string) string { return "b/" + session + "/" }

// SessionOf returns the session that a blob belongs to by its name.
func SessionOf(name string) (session string, ok bool) {
	rest, ok := strings.CutPrefix(name, "b/")
	if !ok {
		return "", false
	}
	session, n, ok := strings.Cut(rest, "/")
	return session, ok && session != "" && n != "" && !strings.Contains(n, "/")
}
