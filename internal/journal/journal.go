// SPDX-License-Identifier: Apache-2.0

// Package journal keeps numbered, sealed, fenced, durable streams. It is the only
// package that orders blob before meta:
//
//	number → seal → stage in blob → sync blob → fenced meta commit → answer nil
//
// It knows neither the KMS nor any AWS API: keys come as a Sealer and a Keyring
// (package envelope), descriptors and index rows as bytes of the services.
//
// Terms. A session is one run of one process. A stream is owned by one Writer at a
// time, in one session; each taking over adds one to the stream's epoch. An entry
// is what one row describes: a fragment, or a batch of records. An entry consists
// of frames; in a batch each frame is a record with a number of its own.
//
// A stream is named by its owner, a service; the shards of a stream are streams to the
// journal, see Shard. Entries of one stream are committed in the order of their
// numbers, so one that is neither committed nor aborted holds up those after it.
//
// The invariants: an entry that was acknowledged is found again with its exact
// bytes; numbers of a stream become visible in ascending order only, so a reader
// who has passed one never finds a smaller one later; a number is sealed once.
//
// Rows are described in docs/formats/meta-keys.md, frames in
// docs/formats/sealed-frame.md.
//
// Lock order: Fragment.mu, then Writer.mu, then Journal.mu, then hub.mu. I/O is done
// under Fragment.mu only.
package journal

import (
	"context"
	"errors"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/seal"
)

var (
	// ErrFenced says that the stream was taken over by another Writer, or the
	// session was ended by a reaper. Nothing of this entry is or will be stored.
	ErrFenced = errors.New("journal: stream is owned by another writer")
	// ErrNotFound says that no entry has this number, or none any more.
	ErrNotFound = errors.New("journal: entry not found")
	// ErrCorrupt says that stored bytes do not authenticate, or are not in the
	// number and order in which they were written.
	ErrCorrupt = errors.New("journal: entry is corrupt")
	// ErrOverflow says that a subscriber was too slow and has missed events. It
	// reads on from the store after the last number that it has processed.
	ErrOverflow = errors.New("journal: subscriber fell behind")
	// ErrDone says that the fragment was committed or aborted already.
	ErrDone = errors.New("journal: fragment is finished")
	// ErrClosed says that the journal was closed.
	ErrClosed = errors.New("journal: closed")
	// ErrBroken says that a commit failed in a way that leaves its outcome unknown, so
	// that the order of streams can no longer be promised. The journal writes no more
	// until it is opened again.
	ErrBroken = errors.New("journal: broken")
	// ErrTooLarge says that a frame, descriptor or batch exceeds its limit.
	ErrTooLarge = errors.New("journal: too large")
)

// Limits of one entry.
const (
	// MaxFrameBytes bounds the payload of one frame or record.
	MaxFrameBytes = 64 << 20
	// MaxAttrsBytes bounds the attributes of one frame.
	MaxAttrsBytes = 1 << 16
	// MaxMetaBytes bounds the descriptor of one entry.
	MaxMetaBytes = 16 << 10
	// MaxBatch bounds the number of records in one Append.
	MaxBatch = 10_000
	// MaxBatchBytes bounds the payloads and attributes of one Append together.
	MaxBatchBytes = 64 << 20
	// MaxStreamBytes bounds the name of a stream, its shard included.
	MaxStreamBytes = 512
	// MaxIndexBytes bounds the key of an index row.
	MaxIndexBytes = 512
	maxIndexName  = 32
	maxIndexKeys  = 16
	maxKeyID      = 1024
	maxInline     = 64 << 10
)

// Seq is the number of an entry or record: the epoch in the upper 32 bits, a
// counter from 1 in the lower. It ascends strictly within a stream; gaps are legal.
type Seq uint64

// NewSeq joins an epoch and a counter.
func NewSeq(epoch, counter uint32) Seq { return Seq(epoch)<<32 | Seq(counter) }

// Epoch returns how many times the stream had been taken over.
func (s Seq) Epoch() uint32 { return uint32(s >> 32) }

// Counter returns the number within the epoch.
func (s Seq) Counter() uint32 { return uint32(s) }

// Kind says what an entry is. The numbers are stored; do not reorder.
type Kind uint8

// The kinds of entries.
const (
	// Fragment is one entry of many frames under one number.
	KindFragment Kind = 1
	// Records is a batch whose frames have consecutive numbers.
	KindRecords Kind = 2
)

// Sealer seals under one data key. It may be used concurrently. Package envelope has
// those of the KMS; StaticKey is one for streams that live in memory, and for tests.
type Sealer interface {
	// KeyID names the data key for Keyring.Opener: at most 1 kB, stored in the row.
	KeyID() string
	// Seal appends the sealed plaintext, seal.Overhead bytes longer, to dst. The
	// plaintext may lie where the result goes.
	Seal(dst []byte, nonce *[seal.NonceSize]byte, plaintext, aad []byte) ([]byte, error)
}

// Opener opens what the Sealer of the same key ID sealed.
type Opener interface {
	// Open appends the plaintext to dst; ciphertext may lie where it goes. seal.ErrOpen
	// means that the message is not authentic, which readers get as ErrCorrupt; they get
	// every other error as it is.
	Open(dst []byte, nonce *[seal.NonceSize]byte, ciphertext, aad []byte) ([]byte, error)
}

// Keyring finds openers. It decides whether the caller in ctx may use the key, and
// its error is passed on to the reader.
type Keyring interface {
	Opener(ctx context.Context, keyID string) (Opener, error)
}

// BeginOptions describe a fragment at its beginning.
type BeginOptions struct {
	Class  blob.Class // retention class; required
	Sealer Sealer     // required
	Time   time.Time  // server time of the entry, kept to the millisecond; default now
	// Live is handed to subscribers with the Begin event and not stored, e.g. the
	// track header a viewer needs before the first frame. The journal keeps the slice.
	Live []byte
}

// CommitOptions describe a fragment at its end.
type CommitOptions struct {
	// Meta is a small descriptor, at most MaxMetaBytes. It is kept in the row and is
	// authenticated with the frames but not encrypted by the data key (the meta store
	// encrypts its values itself).
	Meta []byte
	// Index rows are committed with the entry and trimmed with it.
	Index []IndexKey
	// Puts are further rows committed with the entry, of the caller's own key
	// spaces; the journal never looks at them again.
	Puts []meta.KV
}

// IndexKey makes an entry findable by something else than its number, see
// Journal.ScanIndex. Journal appends the number to the key, so keys need not be unique.
type IndexKey struct {
	Name  string // of the index within the stream, e.g. "producer"
	Key   []byte // order-preserving, see package meta
	Value []byte // small, may be empty
}

// Record is one entry for Writer.Append.
type Record struct {
	Attrs   []byte // sealed with the payload; at most MaxAttrsBytes
	Payload []byte // at most MaxFrameBytes
}

// AppendOptions describe a batch of records.
type AppendOptions struct {
	Class  blob.Class
	Sealer Sealer
	Time   time.Time // default now
	Meta   []byte
	Index  []IndexKey
	Puts   []meta.KV
}

// Descriptor describes a committed entry.
type Descriptor struct {
	Stream string
	Seq    Seq // of a batch: of its first record
	Kind   Kind
	Class  blob.Class
	Time   time.Time // server time, milliseconds
	KeyID  string    // data key
	// Session is the one that wrote the entry; it is part of the nonces.
	Session string
	Frames  int   // frames, or records
	Bytes   int64 // of all payloads, before sealing
	Stored  int64 // bytes in blobs
	Meta    []byte
	Index   []IndexKey // Name and Key only

	refs []blob.Ref
	tag  [seal.Overhead]byte
}

// Last returns the number of the last record of a batch; of a fragment, its own.
func (d *Descriptor) Last() Seq {
	if d.Kind == KindRecords && d.Frames > 0 {
		return d.Seq + Seq(d.Frames) - 1
	}
	return d.Seq
}

// Frame is one opened frame or record.
type Frame struct {
	Seq     Seq // of the entry; of a record: its own
	Index   int // within the entry, from 0
	Attrs   []byte
	Payload []byte
}

// EventKind says what happened to an entry.
type EventKind uint8

// The kinds of events.
const (
	EventBegin  EventKind = iota + 1 // a fragment was begun
	EventFrame                       // a frame came; provisional until the commit
	EventCommit                      // the entry is durable
	EventAbort                       // the fragment will never be stored: forget its frames
	EventOwner                       // the stream has another owner: read the store
	EventStored                      // only from Follow: read this entry from the store
)

// Event is what live subscribers get. Its slices are shared by all subscribers of
// the stream: read only.
type Event struct {
	Kind       EventKind
	Seq        Seq
	Live       []byte      // of EventBegin: BeginOptions.Live
	Time       time.Time   // of EventBegin
	Frame      *Frame      // of EventFrame
	Descriptor *Descriptor // of EventCommit and EventStored
	// Seen, of EventStored, is how many of its frames Follow has yielded live before it
	// lost track: the reader skips as many.
	Seen int
}

// Options are those of Open. The zero value is usable.
type Options struct {
	// Address is written into owner rows for other nodes to find this one; it may be
	// empty.
	Address string
	// RingEvents and RingBytes bound the live events kept per stream while there are
	// subscribers. Default 4096 events and 16 MiB; a slower subscriber gets ErrOverflow.
	RingEvents int
	RingBytes  int64
	// InlineBytes is the size up to which an Append is kept in its row instead of a
	// blob, which saves a sync. Default 4096; negative is never; at most 64 KiB.
	InlineBytes int
	// PollInterval is how often Follow reads the store of a stream that this process
	// does not own. Default 250 ms.
	PollInterval time.Duration
	// Horizon is how long a blob that nothing refers to is kept before Reap deletes
	// it, so that a meta backup at most this old finds its bytes. Default 0.
	Horizon time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
}
