// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
)

var errPending = errors.New("journal: not built yet")

// Journal is an opened session over one meta store and one blob store.
type Journal struct{}

// Open starts a new session, named by bs.Session. It scans nothing.
func Open(ctx context.Context, db meta.DB, bs blob.Store, o Options) (*Journal, error) {
	return nil, errPending
}

// Close waits for commits that run and marks the session as ended.
func (j *Journal) Close(ctx context.Context) error { return errPending }

// Own takes the stream over: its epoch grows by one, and what its previous owner has
// not committed never will be. The stream need not exist.
func (j *Journal) Own(ctx context.Context, stream string) (*Writer, error) { return nil, errPending }

// Writer is the owner of a stream. Its methods may be called concurrently.
type Writer struct{}

// Epoch returns the epoch that began with this Writer.
func (w *Writer) Epoch() uint32 { return 0 }

// Append stores records in one entry and returns the number of the first; nil
// means durable. Appends of all streams share syncs and commits.
// Errors: ErrFenced, ErrTooLarge, blob.ErrFull.
func (w *Writer) Append(ctx context.Context, o AppendOptions, records ...Record) (Seq, error) {
	return 0, errPending
}

// Begin starts a fragment, whose number is known at once. Every fragment must be
// committed or aborted: later ones of the stream are committed after it only.
func (w *Writer) Begin(ctx context.Context, o BeginOptions) (*Fragment, error) {
	return nil, errPending
}

// Fragment is one entry in the making. It is for one goroutine, but for Abort.
type Fragment struct{}

// Seq returns the fragment's number.
func (f *Fragment) Seq() Seq { return 0 }

// Write seals and stages one frame and shows it to live subscribers. It keeps
// neither slice. After an error the fragment can only be aborted.
func (f *Fragment) Write(ctx context.Context, payload, attrs []byte) error { return errPending }

// Commit makes the fragment durable: nil means that it is. With an error it never will be.
func (f *Fragment) Commit(ctx context.Context, o CommitOptions) error { return errPending }

// Abort gives the fragment up; after Commit it does nothing.
func (f *Fragment) Abort() {}

// Stat returns the entry that has the number, be it of a record within a batch.
// Errors: ErrNotFound.
func (j *Journal) Stat(ctx context.Context, stream string, seq Seq) (*Descriptor, error) {
	return nil, errPending
}

// Scan yields the entries with any number in from <= n < to (to 0: no end), in
// ascending order.
func (j *Journal) Scan(ctx context.Context, stream string, from, to Seq) iter.Seq2[*Descriptor, error] {
	return nil
}

// ScanReverse is Scan in descending order.
func (j *Journal) ScanReverse(ctx context.Context, stream string, from, to Seq) iter.Seq2[*Descriptor, error] {
	return nil
}

// ScanIndex yields the keys of an index with from <= key < to (nil: no end) and the
// numbers of their entries.
func (j *Journal) ScanIndex(ctx context.Context, stream, name string, from, to []byte) iter.Seq2[IndexEntry, error] {
	return nil
}

// IndexEntry is one row of an index.
type IndexEntry struct {
	Key, Value []byte
	Seq        Seq
}

// Frames opens the frames of an entry in order. The slices of a Frame are valid until
// the next one is asked for. The sequence yields every frame that was written or ends
// with an error: ErrCorrupt, ErrNotFound, or the Keyring's.
func (j *Journal) Frames(ctx context.Context, d *Descriptor, keys Keyring) iter.Seq2[Frame, error] {
	return nil
}

// Subscribe begins a subscription to what this process writes to the stream.
func (j *Journal) Subscribe(stream string) *Subscription { return nil }

// Subscription is a place in the live events of a stream. It is for one goroutine.
type Subscription struct{}

// Next waits for the next event. Errors: ErrOverflow, ErrClosed, ctx's.
func (s *Subscription) Next(ctx context.Context) (Event, error) { return Event{}, errPending }

// Close ends the subscription.
func (s *Subscription) Close() {}

// Follow yields the entries after a number, stored ones first (EventStored) and then
// live (EventBegin, EventFrame, EventCommit, EventAbort), without a gap or a double. An
// entry whose beginning was missed comes as EventStored once it is durable.
func (j *Journal) Follow(ctx context.Context, stream string, after Seq) iter.Seq2[Event, error] {
	return nil
}

// TrimOptions say which entries go: those of which any condition holds.
type TrimOptions struct {
	Before    Seq       // numbers before this one
	OlderThan time.Time // server times before this one
	KeepBytes int64     // oldest ones until no more than this many stored bytes remain
}

// Trim removes the oldest entries of a stream with their index rows, and returns how many.
func (j *Journal) Trim(ctx context.Context, stream string, o TrimOptions) (int, error) {
	return 0, errPending
}

// Drop removes a stream with all that belongs to it, having taken it over.
func (j *Journal) Drop(ctx context.Context, stream string) error { return errPending }
