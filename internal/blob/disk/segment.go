// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/blob"
)

// Segment header, docs/formats/segment.md.
const (
	magic       = "OBSCSEG1"
	headerBytes = 64
)

// maxSpare bounds the remembered gaps of a segment; the smallest use is forgotten.
const maxSpare = 64

// segment is a file that this process has made and still writes to or may refer to.
type segment struct {
	name  string
	class blob.Class
	file  vfs.File

	// guarded by Store.mu
	next      int64 // end of what is reserved
	allocated int64 // end of the disk space taken for it
	limit     int64
	spare     []extent // reserved once, given back unwritten
	users     int      // reservations and writers
	left      bool     // nothing is reserved here any more

	written atomic.Uint64 // writes that have finished
	syncMu  sync.Mutex    // one sync at a time; those who wait share the next
	synced  atomic.Uint64 // writes that are durable
}

// extent is a reserved part of a segment.
type extent struct {
	segment  *segment
	off, end int64
}

func (e extent) len() int64 { return e.end - e.off }

func (g *segment) write(p []byte, off int64) error {
	if len(p) > 0 {
		if _, err := g.file.WriteAt(p, off); err != nil {
			return writeError(g.name, err)
		}
	}
	g.written.Add(1)
	return nil
}

// close closes the file. Space that was allocated beyond its end goes back.
func (g *segment) close() error {
	if f, ok := g.file.(interface{ Truncate(int64) error }); ok {
		if info, err := g.file.Stat(); err == nil {
			_ = f.Truncate(info.Size()) // only ever saves space
		}
	}
	return g.file.Close()
}

func writeError(name string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: write %s: %w", blob.ErrFull, name, err)
	}
	return fmt.Errorf("blob: write %s: %w", name, err)
}

// reserve returns an extent of at least need and preferably want bytes and claims its
// segment. What remains of old is given back, or becomes the beginning of the new
// one if nothing was reserved after it, so that a lone writer's bytes lie in one piece.
func (s *Store) reserve(c blob.Class, need, want int64, old extent) (extent, error) {
	s.mu.Lock()
	e, err := s.reserveLocked(c, need, want, old)
	s.mu.Unlock()
	if errors.Is(err, blob.ErrBroken) {
		return extent{}, s.fail(err)
	}
	return e, err
}

func (s *Store) reserveLocked(c blob.Class, need, want int64, old extent) (extent, error) {
	if err := s.state(); err != nil {
		return extent{}, err
	}
	s.takeBack(old)
	if err := s.guard.admit(want); err != nil {
		return extent{}, err
	}
	g := s.active[c]
	if g != nil {
		if e, ok := g.takeSpare(need, want); ok {
			return e, nil
		}
	}
	if g == nil || g.next+need > g.limit {
		var err error
		if g, err = s.rotate(c, need); err != nil {
			return extent{}, err
		}
	}
	e := extent{segment: g, off: g.next, end: min(g.next+want, g.limit)}
	if err := s.allocate(g, e.end); err != nil {
		return extent{}, err
	}
	g.next = e.end
	g.users++
	return e, nil
}

// takeSpare reserves a gap that somebody gave back.
func (g *segment) takeSpare(need, want int64) (extent, bool) {
	for i, e := range g.spare {
		if e.len() < need {
			continue
		}
		taken := extent{segment: g, off: e.off, end: min(e.end, e.off+want)}
		if g.spare[i].off = taken.end; g.spare[i].len() == 0 {
			g.spare = append(g.spare[:i], g.spare[i+1:]...)
		}
		g.users++
		return taken, true
	}
	return extent{}, false
}

// giveBack returns the unwritten rest of an extent.
func (s *Store) giveBack(e extent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeBack(e)
}

func (s *Store) takeBack(e extent) {
	g := e.segment
	switch {
	case g == nil || e.len() == 0 || g.left:
	case e.end == g.next:
		g.next = e.off
	case len(g.spare) < maxSpare:
		g.spare = append(g.spare, e)
	}
}

// release ends a claim; the last one on a segment that was left closes its file.
func (s *Store) release(g *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.users--
	s.retire(g)
}

// retire closes a segment that nobody uses any more; mu is held.
func (s *Store) retire(g *segment) {
	if g.left && g.users == 0 && s.segments[g.name] == g {
		delete(s.segments, g.name)
		_ = g.close() // every byte that anybody relies on was synced
	}
}

// allocate takes disk space up to end and a step beyond; mu is held.
func (s *Store) allocate(g *segment, end int64) error {
	if end <= g.allocated {
		return nil
	}
	to := min(max(end, g.allocated+s.o.PreallocateBytes), g.limit)
	err := g.file.Preallocate(g.allocated, to-g.allocated)
	if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.ENOSYS) {
		return writeError(g.name, err)
	}
	g.allocated = to
	return nil
}

// rotate leaves the active segment of a class and makes the next; mu is held.
func (s *Store) rotate(c blob.Class, need int64) (*segment, error) {
	if old := s.active[c]; old != nil {
		delete(s.active, c)
		old.left = true
		s.retire(old)
	}
	s.made++
	g := &segment{
		name:  fmt.Sprintf("%s%08d", blob.Prefix(s.session), s.made),
		class: c, next: headerBytes, limit: max(s.o.SegmentBytes, headerBytes+need),
	}
	if err := s.create(g); err != nil {
		return nil, err
	}
	s.active[c], s.segments[g.name] = g, g
	return g, nil
}

// create makes the file of a segment, and its name durable.
func (s *Store) create(g *segment) error {
	path := s.path(g.name)
	if _, err := s.o.FS.Stat(path); err == nil {
		return fmt.Errorf("blob: %s exists already", g.name) // a session is used once
	}
	dir := s.o.FS.PathDir(path)
	if err := s.makeDir(dir); err != nil {
		return err
	}
	var err error
	if g.file, err = s.o.FS.OpenReadWrite(path, vfs.WriteCategoryUnspecified); err != nil {
		return writeError(g.name, err)
	}
	if err = g.write(s.header(g), 0); err == nil {
		err = s.syncDir(dir)
	}
	if err != nil {
		_ = g.file.Close() // the file is nobody's; its name is not used again
	}
	return err
}

func (s *Store) header(g *segment) []byte {
	h := make([]byte, headerBytes)
	copy(h, magic)
	h[8] = byte(g.class)
	_, _ = hex.Decode(h[16:32], []byte(s.session)) // NewSession made it
	binary.BigEndian.PutUint64(h[32:], s.made)
	return h
}
