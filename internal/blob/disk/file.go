// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/blob"
)

// Read implements blob.Store.
func (s *Store) Read(_ context.Context, ref blob.Ref) (io.ReadCloser, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return nil, blob.ErrClosed
	case ref.Off < 0 || ref.Len < 0:
		return nil, fmt.Errorf("%w: %s", blob.ErrRange, ref.Name)
	case ref.Inline != nil:
		return io.NopCloser(strings.NewReader(string(ref.Inline))), nil
	case !isName(ref.Name):
		return nil, fmt.Errorf("%w: %q", blob.ErrNotFound, ref.Name)
	}
	f, err := s.o.FS.Open(s.path(ref.Name))
	if err != nil {
		return nil, notFound(ref.Name, err)
	}
	info, err := f.Stat()
	if err == nil && ref.Off > info.Size() {
		err = fmt.Errorf("%w: %s", blob.ErrRange, ref.Name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &section{file: f, off: ref.Off, end: ref.Off + ref.Len}, nil
}

// section reads a part of a file.
type section struct {
	file     vfs.File
	off, end int64
}

func (r *section) Read(p []byte) (int, error) {
	if r.off >= r.end {
		return 0, io.EOF
	}
	if rest := r.end - r.off; int64(len(p)) > rest {
		p = p[:rest]
	}
	n, err := r.file.ReadAt(p, r.off)
	r.off += int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
		if n < len(p) {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

func (r *section) Close() error { return r.file.Close() }

// Delete implements blob.Store. A crash may bring the blob back; it is then an orphan.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := s.deletable(ctx, name); err != nil {
		return err
	}
	err := s.o.FS.Remove(s.path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("blob: delete %s: %w", name, err)
	}
	if session, _ := blob.SessionOf(name); session != s.session {
		_ = s.o.FS.Remove(s.o.FS.PathDir(s.path(name))) // succeeds for the last one only
	}
	return nil
}

func (s *Store) deletable(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return blob.ErrClosed
	case !isName(name):
		return fmt.Errorf("%w: %q", blob.ErrNotFound, name)
	case s.segments[name] != nil:
		return fmt.Errorf("blob: delete %s: it is in use", name)
	}
	return ctx.Err()
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		sessions, err := s.children("b")
		for _, session := range sessions {
			dir := "b/" + session
			if p := dir + "/"; !strings.HasPrefix(p, prefix) && !strings.HasPrefix(prefix, p) {
				continue
			}
			var numbers []string
			if numbers, err = s.children(dir); err != nil {
				break
			}
			for _, n := range numbers {
				name := dir + "/" + n
				if !strings.HasPrefix(name, prefix) || !isName(name) {
					continue
				}
				info, err := s.info(ctx, name)
				if errors.Is(err, blob.ErrNotFound) { // deleted meanwhile
					continue
				}
				if !yield(info, err) || err != nil {
					return
				}
			}
		}
		if err != nil {
			yield(blob.Info{}, fmt.Errorf("blob: list: %w", err))
		}
	}
}

func (s *Store) children(dir string) ([]string, error) {
	names, err := s.o.FS.List(s.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

func (s *Store) info(ctx context.Context, name string) (blob.Info, error) {
	s.mu.Lock()
	inUse, closed := s.segments[name] != nil, s.closed
	s.mu.Unlock()
	if closed {
		return blob.Info{}, blob.ErrClosed
	}
	stat, err := s.o.FS.Stat(s.path(name))
	if err != nil {
		return blob.Info{}, notFound(name, err)
	}
	return blob.Info{Name: name, Size: stat.Size(), InUse: inUse}, ctx.Err()
}

func notFound(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", blob.ErrNotFound, name)
	}
	return fmt.Errorf("blob: open %s: %w", name, err)
}

// path returns where a blob lies.
func (s *Store) path(name string) string {
	return s.o.FS.PathJoin(append([]string{s.dir}, strings.Split(name, "/")...)...)
}

// isName reports whether name is one that this driver gives: nothing else may become
// a path.
func isName(name string) bool {
	session, ok := blob.SessionOf(name)
	if !ok || len(session) != 32 || strings.Trim(session, "0123456789abcdef") != "" {
		return false
	}
	n := strings.TrimPrefix(name, blob.Prefix(session))
	return len(n) >= 8 && len(n) <= 20 && strings.Trim(n, "0123456789") == ""
}

// makeDir makes a directory and what is missing above it. Each is made durable, by a
// sync of its parent, before anything is made in it; that is repeated for one that
// exists, since whoever made it may have died before the sync.
func (s *Store) makeDir(dir string) error {
	parent := s.o.FS.PathDir(dir)
	if parent == dir {
		return nil
	}
	if _, err := s.o.FS.Stat(dir); err != nil {
		if err := s.makeDir(parent); err != nil {
			return err
		}
		if err := s.o.FS.MkdirAll(dir, 0o700); err != nil {
			return writeError(dir, err)
		}
	}
	err := s.syncDir(parent)
	if errors.Is(err, fs.ErrPermission) { // a parent that is not ours was not made by us
		return nil
	}
	return err
}

func (s *Store) syncDir(dir string) error {
	if s.o.Volatile {
		return nil
	}
	d, err := s.o.FS.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("blob: sync directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("%w: sync directory: %w", blob.ErrBroken, err)
	}
	return nil
}
