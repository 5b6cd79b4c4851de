// SPDX-License-Identifier: Apache-2.0

// Package mem is the blob driver that keeps everything in memory, for tests. Its
// bytes outlive a store that is closed, in the Bytes that several may share.
package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"

	"github.com/obscura-video/obscura/internal/blob"
)

// blobBytes is the size at which a store goes on to its next blob.
const blobBytes = 1 << 20

// Bytes are what stores write to: the disk, so to speak.
type Bytes struct {
	mu    sync.Mutex // guards blobs and all in them
	blobs map[string]*content
}

type content struct {
	data  []byte
	users int  // writers that may still have refs to commit
	full  bool // nothing is added any more
}

// NewBytes returns an empty disk.
func NewBytes() *Bytes { return &Bytes{blobs: make(map[string]*content)} }

// Open returns a store with a new session.
func (b *Bytes) Open() *Store {
	return &Store{bytes: b, session: blob.NewSession(), active: make(map[blob.Class]string)}
}

// New returns a store on bytes of its own.
func New() *Store { return NewBytes().Open() }

// Store is an opened store.
type Store struct {
	bytes   *Bytes
	session string
	// guarded by bytes.mu
	active map[blob.Class]string
	made   int
	closed bool
}

var _ blob.Store = (*Store)(nil)

// Session implements blob.Store.
func (s *Store) Session() string { return s.session }

// Append implements blob.Store.
func (s *Store) Append(ctx context.Context, c blob.Class, frames ...[]byte) (blob.Ref, error) {
	s.bytes.mu.Lock()
	defer s.bytes.mu.Unlock()
	return s.add(ctx, c, bytes.Join(frames, nil))
}

// add appends p to the active blob of the class; bytes.mu is held.
func (s *Store) add(ctx context.Context, c blob.Class, p []byte) (blob.Ref, error) {
	if err := s.check(ctx, c); err != nil {
		return blob.Ref{}, err
	}
	name := s.active[c]
	b := s.bytes.blobs[name]
	if b == nil || len(b.data)+len(p) > blobBytes && len(b.data) > 0 {
		if b != nil {
			b.full = true
		}
		s.made++
		name, b = fmt.Sprintf("%s%08d", blob.Prefix(s.session), s.made), new(content)
		s.active[c], s.bytes.blobs[name] = name, b
	}
	ref := blob.Ref{Name: name, Off: int64(len(b.data)), Len: int64(len(p))}
	b.data = append(b.data, p...)
	return ref, nil
}

func (s *Store) check(ctx context.Context, c blob.Class) error {
	if s.closed {
		return blob.ErrClosed
	}
	if !c.Valid() {
		return fmt.Errorf("blob: class %d does not exist", c)
	}
	return ctx.Err()
}

// NewWriter implements blob.Store.
func (s *Store) NewWriter(ctx context.Context, c blob.Class) (blob.Writer, error) {
	s.bytes.mu.Lock()
	defer s.bytes.mu.Unlock()
	if err := s.check(ctx, c); err != nil {
		return nil, err
	}
	return &writer{store: s, class: c, claims: make(map[*content]bool)}, nil
}

// Read implements blob.Store.
func (s *Store) Read(ctx context.Context, ref blob.Ref) (io.ReadCloser, error) {
	s.bytes.mu.Lock()
	defer s.bytes.mu.Unlock()
	if s.closed {
		return nil, blob.ErrClosed
	}
	if ref.Off < 0 || ref.Len < 0 {
		return nil, blob.ErrRange
	}
	if ref.Inline != nil {
		return io.NopCloser(bytes.NewReader(ref.Inline)), nil
	}
	b := s.bytes.blobs[ref.Name]
	switch {
	case b == nil:
		return nil, fmt.Errorf("%w: %s", blob.ErrNotFound, ref.Name)
	case ref.Off > int64(len(b.data)):
		return nil, fmt.Errorf("%w: %s", blob.ErrRange, ref.Name)
	}
	data := b.data[ref.Off:]
	if ref.Len > int64(len(data)) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(data), cutShort{})), nil
	}
	return io.NopCloser(bytes.NewReader(data[:ref.Len])), ctx.Err()
}

// cutShort is the end of a blob that is shorter than its Ref says.
type cutShort struct{}

func (cutShort) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	s.bytes.mu.Lock()
	defer s.bytes.mu.Unlock()
	if s.closed {
		return blob.ErrClosed
	}
	if b := s.bytes.blobs[name]; b != nil && s.inUse(name, b) {
		return errors.New("blob: delete of a blob in use")
	}
	delete(s.bytes.blobs, name)
	return ctx.Err()
}

func (s *Store) inUse(name string, b *content) bool {
	session, _ := blob.SessionOf(name)
	return session == s.session && (!b.full || b.users > 0)
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		infos, err := s.list(ctx, prefix)
		if err != nil {
			yield(blob.Info{}, err)
			return
		}
		for _, info := range infos {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (s *Store) list(ctx context.Context, prefix string) (infos []blob.Info, err error) {
	s.bytes.mu.Lock()
	defer s.bytes.mu.Unlock()
	if s.closed {
		return nil, blob.ErrClosed
	}
	for name, b := range s.bytes.blobs {
		if strings.HasPrefix(name, prefix) {
			infos = append(infos, blob.Info{Name: name, Size: int64(len(b.data)), InUse: s.inUse(name, b)})
		}
	}
	return infos, ctx.Err()
}

// Close implements blob.Store.
func (s *Store) Close() error {
	s.bytes.mu.Lock()
	defer s.bytes.mu.Unlock()
	s.closed = true
	return nil
}

type writer struct {
	store  *Store
	class  blob.Class
	claims map[*content]bool // nil when closed
}

func (w *writer) Write(ctx context.Context, p []byte) (blob.Ref, error) {
	w.store.bytes.mu.Lock()
	defer w.store.bytes.mu.Unlock()
	if w.claims == nil {
		return blob.Ref{}, blob.ErrClosed
	}
	ref, err := w.store.add(ctx, w.class, p)
	if err != nil {
		return blob.Ref{}, err
	}
	if b := w.store.bytes.blobs[ref.Name]; !w.claims[b] {
		w.claims[b] = true
		b.users++
	}
	return ref, nil
}

func (w *writer) Sync(ctx context.Context) error {
	w.store.bytes.mu.Lock()
	defer w.store.bytes.mu.Unlock()
	if w.claims == nil || w.store.closed {
		return blob.ErrClosed
	}
	return ctx.Err()
}

func (w *writer) Close() error {
	w.store.bytes.mu.Lock()
	defer w.store.bytes.mu.Unlock()
	for b := range w.claims {
		b.users--
	}
	w.claims = nil
	return nil
}
