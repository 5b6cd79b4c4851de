// SPDX-License-Identifier: Apache-2.0

// Package disk is the embedded blob driver: preallocated segment files that many
// writers fill at once, each in extents of its own, and that are synced together.
//
// It keeps no index and recovers nothing: a process writes only segments that it
// made itself, and what lies after the last byte that meta refers to is nobody's.
// The invariants: bytes are synced, and the names on the way to them too, before
// Append or Sync answers nil; a failed sync is never retried, since the kernel
// reports it once and drops the pages.
//
// The layout of a segment is docs/formats/segment.md.
//
// Lock order: Store.life, segment.syncMu, Store.mu. No I/O under Store.mu but that
// which makes or grows a segment.
package disk

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/blob"
)

// Options are those of Open. The zero value is usable.
type Options struct {
	// FS is the file system; default the operating system's.
	FS vfs.FS
	// SegmentBytes is the size at which a segment is left for the next; default
	// 64 MiB. One write larger than that gets a segment of its own size.
	SegmentBytes int64
	// ExtentBytes is what a Writer reserves at a time, so that its bytes lie
	// together; default 64 KiB.
	ExtentBytes int64
	// PreallocateBytes is how far ahead of the last reserved byte disk space is
	// allocated; default 8 MiB.
	PreallocateBytes int64
	// MinFreeBytes is the floor: writes that would leave less free space are
	// refused with blob.ErrFull, so that the meta store on the same disk, which
	// cannot go on without space, never meets the end. Default 256 MiB; negative is
	// none.
	MinFreeBytes int64
	// BallastBytes is the size of a file that is only there to be removed when free
	// space falls below half of the floor, which makes room to delete. Default none.
	BallastBytes int64
	// Volatile says that the bytes need not outlive the process: nothing is synced,
	// and opening the directory empties it.
	Volatile bool
	// Fatal is called once when a sync has failed and the store can no longer tell what
	// is durable. The composition root exits; if it returns, the store answers
	// blob.ErrBroken from then on.
	Fatal func(error)
}

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	for _, d := range []struct {
		field *int64
		value int64
	}{
		{&o.SegmentBytes, 64 << 20},
		{&o.ExtentBytes, 64 << 10},
		{&o.PreallocateBytes, 8 << 20},
		{&o.MinFreeBytes, 256 << 20},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
}

// Store is an opened directory.
type Store struct {
	o       Options
	dir     string
	session string

	life sync.RWMutex // held for reading while bytes are written or synced, for writing by Close

	mu       sync.Mutex // guards the fields below
	active   map[blob.Class]*segment
	segments map[string]*segment // of this session, that are still in use, by name
	made     uint64
	guard    guard
	broken   error
	reported bool // to Options.Fatal
	closed   bool
}

var _ blob.Store = (*Store)(nil)

// Open opens the store in dir, which is made if it does not exist, durably and with
// mode 0700. It reads nothing.
func Open(dir string, o Options) (*Store, error) {
	o.setDefaults()
	s := &Store{
		o: o, dir: dir, session: blob.NewSession(),
		active: make(map[blob.Class]*segment), segments: make(map[string]*segment),
	}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("blob: open %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) prepare() error {
	if s.o.Volatile {
		if err := s.o.FS.RemoveAll(s.path("b")); err != nil {
			return err
		}
	}
	if err := s.makeDir(s.dir); err != nil {
		return err
	}
	s.guard = guard{fs: s.o.FS, dir: s.dir, floor: s.o.MinFreeBytes, ballast: s.path("ballast")}
	return s.guard.prepare(s.o.BallastBytes)
}

// Session implements blob.Store.
func (s *Store) Session() string { return s.session }

// Admit answers blob.ErrFull where n bytes more, written beside the store to the same disk, would go below the floor.
func (s *Store) Admit(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guard.admit(n)
}

// Append implements blob.Store.
func (s *Store) Append(ctx context.Context, c blob.Class, frames ...[]byte) (blob.Ref, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if err := s.check(ctx, c); err != nil {
		return blob.Ref{}, err
	}
	var n int64
	for _, f := range frames {
		n += int64(len(f))
	}
	e, err := s.reserve(c, n, n, extent{})
	if err != nil {
		return blob.Ref{}, err
	}
	defer s.release(e.segment)
	at := e.off
	for _, f := range frames {
		if err := e.segment.write(f, at); err != nil {
			return blob.Ref{}, err
		}
		at += int64(len(f))
	}
	return blob.Ref{Name: e.segment.name, Off: e.off, Len: n}, s.sync(e.segment, e.segment.written.Load())
}

// NewWriter implements blob.Store.
func (s *Store) NewWriter(ctx context.Context, c blob.Class) (blob.Writer, error) {
	if err := s.check(ctx, c); err != nil {
		return nil, err
	}
	return &writer{store: s, class: c, claims: make(map[*segment]uint64)}, nil
}

// Close implements blob.Store. Writers that are still open fail from then on.
func (s *Store) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var err error
	for name, seg := range s.segments {
		delete(s.segments, name)
		err = errors.Join(err, seg.close())
	}
	clear(s.active)
	return err
}

func (s *Store) check(ctx context.Context, c blob.Class) error {
	if !c.Valid() {
		return fmt.Errorf("blob: class %d does not exist", c)
	}
	return s.alive(ctx)
}

func (s *Store) alive(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.state(), ctx.Err())
}

// state says why nothing can be written; mu is held.
func (s *Store) state() error {
	if s.closed {
		return blob.ErrClosed
	}
	return s.broken
}

// sync makes the first n writes to the segment durable.
func (s *Store) sync(seg *segment, n uint64) error {
	if s.o.Volatile || seg.synced.Load() >= n {
		return nil
	}
	seg.syncMu.Lock()
	defer seg.syncMu.Unlock()
	if seg.synced.Load() >= n { // somebody else's sync has covered ours meanwhile
		return nil
	}
	if err := s.alive(context.Background()); err != nil {
		return err
	}
	written := seg.written.Load()
	if err := seg.file.SyncData(); err != nil {
		return s.fail(fmt.Errorf("%w: sync %s: %w", blob.ErrBroken, seg.name, err))
	}
	seg.synced.Store(written)
	return nil
}

// fail ends all writing: after a failed sync nobody knows what is on the disk.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	if s.broken == nil {
		s.broken = err
	}
	report := !s.reported && s.o.Fatal != nil
	s.reported = true
	s.mu.Unlock()
	if report {
		s.o.Fatal(err)
	}
	return err
}

// writer implements blob.Writer.
type writer struct {
	store  *Store
	class  blob.Class
	extent extent              // reserved, not yet written
	staged []byte              // gathered, to be written right before extent.off
	claims map[*segment]uint64 // segments written to, and how many of their writes to sync
	err    error               // of a failed write
	closed bool
}

func (w *writer) Write(ctx context.Context, p []byte) (blob.Ref, error) {
	w.store.life.RLock()
	defer w.store.life.RUnlock()
	if err := w.check(ctx); err != nil {
		return blob.Ref{}, err
	}
	n := int64(len(p))
	if w.extent.segment == nil || w.extent.len() < n {
		if err := w.flush(); err != nil {
			return blob.Ref{}, err
		}
		e, err := w.store.reserve(w.class, n, max(n, w.store.o.ExtentBytes), w.extent)
		if err != nil {
			w.extent = extent{}
			return blob.Ref{}, err
		}
		w.claim(e.segment)
		w.extent = e
	}
	ref := blob.Ref{Name: w.extent.segment.name, Off: w.extent.off, Len: n}
	return ref, w.stage(p)
}

// gatherBytes is how much a writer gathers before it writes. Writers that share a segment take turns at its lock in
// the kernel, and a write that begins or ends within a page costs the zeroing of the rest: few large writes are
// worth a copy.
const gatherBytes = 64 << 10

// stage puts p at the beginning of the extent: into the buffer, if it fits, else into the file.
func (w *writer) stage(p []byte) error {
	large := len(p) > gatherBytes/2
	if large || len(w.staged)+len(p) > gatherBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if large {
		if err := w.put(p, w.extent.off); err != nil {
			return err
		}
	} else {
		if w.staged == nil {
			w.staged = make([]byte, 0, gatherBytes)
		}
		w.staged = append(w.staged, p...)
	}
	w.extent.off += int64(len(p))
	return nil
}

// flush writes what has been gathered.
func (w *writer) flush() error {
	if len(w.staged) == 0 {
		return nil
	}
	err := w.put(w.staged, w.extent.off-int64(len(w.staged)))
	w.staged = w.staged[:0]
	return err
}

func (w *writer) put(p []byte, off int64) error {
	seg := w.extent.segment
	if err := seg.write(p, off); err != nil {
		w.err = err
		return err
	}
	w.claims[seg] = seg.written.Load()
	return nil
}

// claim takes over the claim that reserve has made, or gives it back when there is
// one for this segment already.
func (w *writer) claim(seg *segment) {
	if _, ok := w.claims[seg]; ok {
		w.store.release(seg)
		return
	}
	w.claims[seg] = 0
}

func (w *writer) Sync(ctx context.Context) error {
	w.store.life.RLock()
	defer w.store.life.RUnlock()
	if err := w.check(ctx); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	for seg, n := range w.claims {
		if err := w.store.sync(seg, n); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	w.store.giveBack(w.extent)
	for seg := range w.claims {
		w.store.release(seg)
	}
	return nil
}

func (w *writer) check(ctx context.Context) error {
	if w.closed {
		return blob.ErrClosed
	}
	if w.err != nil {
		return w.err
	}
	return w.store.alive(ctx)
}
