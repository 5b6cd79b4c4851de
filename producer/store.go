// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/obscura-video/obscura/internal/seal"
)

// store keeps files by number: the buffer's medium.
type store interface {
	create(n uint64) (file, error) // fails if it exists
	open(n uint64) (file, error)   // to read
	remove(n uint64) error
	list() ([]uint64, error) // ascending
	truncate(n uint64, size int64) (file, error)
	close() error
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
}

// openStore opens the medium that the options name, and its key.
func openStore(o *Options) (store, *seal.Key, error) {
	material := o.BufferKey
	switch {
	case len(material) == seal.KeySize:
	case len(material) > 0:
		return nil, nil, fmt.Errorf("%w: buffer key of %d bytes: want %d", ErrOptions, len(material), seal.KeySize)
	case o.BufferDir == "":
		material = newMaterial()
	default:
		var err error
		if material, err = loadKey(o.BufferKeyFile); err != nil {
			return nil, nil, err
		}
	}
	key, err := seal.NewKey(material)
	if err != nil {
		return nil, nil, err
	}
	if o.BufferDir == "" {
		return &memStore{files: map[uint64]*memFile{}}, key, nil
	}
	s, err := openDir(filepath.Join(o.BufferDir, "stream-"+o.StreamName))
	return s, key, err
}

func newMaterial() []byte {
	b := make([]byte, seal.KeySize)
	rand.Read(b) // never fails
	return b
}

// loadKey reads the key's file, and makes it when there is none.
func loadKey(path string) ([]byte, error) {
	if path == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("producer: no place for the buffer's key: %w", err)
		}
		path = filepath.Join(dir, "obscura", "buffer.key")
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("producer: buffer key: %w", err)
	}
	if len(b) != seal.KeySize {
		return nil, fmt.Errorf("producer: buffer key %s has %d bytes, not %d", path, len(b), seal.KeySize)
	}
	return b, nil
}

// createKey writes a new key whole or not at all. When two processes do so at once, both use the first one's.
func createKey(path string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("producer: buffer key: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "buffer-key-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("producer: buffer key: %w", err)
	}
	defer os.Remove(tmp.Name())
	material := newMaterial()
	_, err = tmp.Write(material)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, fmt.Errorf("producer: buffer key: %w", err)
	}
	switch err := os.Link(tmp.Name(), path); {
	case errors.Is(err, fs.ErrExist):
		return loadKey(path)
	case err != nil:
		return nil, fmt.Errorf("producer: buffer key: %w", err)
	}
	return material, nil
}

// dirStore is a folder that one process at a time has open.
type dirStore struct {
	dir  string
	lock *os.File
}

const fileSuffix = ".fragment"

func openDir(dir string) (*dirStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("producer: buffer: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("producer: buffer: %w", err)
	}
	if err := lockFile(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%w: %s", ErrBufferInUse, dir)
	}
	return &dirStore{dir: dir, lock: lock}, nil
}

func (d *dirStore) path(n uint64) string {
	return filepath.Join(d.dir, fmt.Sprintf("%016x%s", n, fileSuffix))
}

func (d *dirStore) create(n uint64) (file, error) {
	return os.OpenFile(d.path(n), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func (d *dirStore) open(n uint64) (file, error) { return os.Open(d.path(n)) }

func (d *dirStore) remove(n uint64) error { return os.Remove(d.path(n)) }

func (d *dirStore) truncate(n uint64, size int64) (file, error) {
	f, err := os.OpenFile(d.path(n), os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (d *dirStore) list() ([]uint64, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	var ns []uint64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), fileSuffix)
		if n, err := strconv.ParseUint(name, 16, 64); ok && err == nil && len(name) == 16 {
			ns = append(ns, n)
		}
	}
	slices.Sort(ns)
	return ns, nil
}

func (d *dirStore) close() error { return d.lock.Close() }

// memStore keeps files in memory.
type memStore struct {
	mu    sync.Mutex
	files map[uint64]*memFile
}

func (m *memStore) create(n uint64) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := &memFile{}
	m.files[n] = f
	return f, nil
}

func (m *memStore) open(n uint64) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.files[n]; f != nil {
		return f, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memStore) remove(n uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, n)
	return nil
}

func (m *memStore) list() ([]uint64, error)                  { return nil, nil }
func (m *memStore) truncate(n uint64, _ int64) (file, error) { return m.open(n) }
func (m *memStore) close() error                             { return nil }

type memFile struct {
	mu   sync.Mutex
	data []byte
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data = append(f.data[:off], p...)
	return len(p), nil
}

func (f *memFile) Sync() error  { return nil }
func (f *memFile) Close() error { return nil }
