// SPDX-License-Identifier: Apache-2.0

// Package vfstest has file systems for crash tests: one whose kernel writes back what it
// likes when it likes, and, for the controls, one that lies about its syncs, since a test
// that proves durability is worth something only if it fails on a disk that does not keep
// its word. It is for tests and imported by nothing else.
package vfstest

import (
	"errors"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// WithoutSync returns fs, but syncs of files and directories whose path satisfies lost do
// nothing and say that they did.
func WithoutSync(fs vfs.FS, lost func(path string) bool) vfs.FS { return lyingFS{fs, lost} }

type lyingFS struct {
	vfs.FS
	lost func(path string) bool
}

func (f lyingFS) wrap(path string, file vfs.File, err error) (vfs.File, error) {
	if err != nil || !f.lost(path) {
		return file, err
	}
	return lyingFile{file}, nil
}

func (f lyingFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return f.wrap(name, file, err)
}

func (f lyingFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name, c, o...)
	return f.wrap(name, file, err)
}

func (f lyingFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, name, c)
	return f.wrap(name, file, err)
}

func (f lyingFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return f.wrap(name, file, err)
}

// Unwrap implements vfs.FS.
func (f lyingFS) Unwrap() vfs.FS { return f.FS }

type lyingFile struct{ vfs.File }

func (lyingFile) Sync() error                { return nil }
func (lyingFile) SyncData() error            { return nil }
func (lyingFile) SyncTo(int64) (bool, error) { return false, nil }

// Dice fall the same way in every run with the same start. They may be used concurrently;
// the order is then that of the calls.
type Dice struct{ state atomic.Uint64 }

// NewDice returns dice that start from seed.
func NewDice(seed uint64) *Dice {
	d := new(Dice)
	d.state.Store(seed)
	return d
}

// Uint64 returns the next number (SplitMix64, Steele et al. 2014).
func (d *Dice) Uint64() uint64 {
	z := d.state.Add(0x9e3779b97f4a7c15)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// IntN returns a number from 0 to n-1.
func (d *Dice) IntN(n int) int { return int(d.Uint64() % uint64(n)) }

// WithWriteBack returns fs, but after percent of all writes, creations and renames the
// kernel writes file or directory back by itself: what was not synced may survive a power
// cut, or not.
func WithWriteBack(fs vfs.FS, percent int, dice *Dice) vfs.FS {
	return writeBackFS{fs, func() bool { return dice.IntN(100) < percent }}
}

type writeBackFS struct {
	vfs.FS
	now func() bool
}

// dir may write the directory of name back. Errors are the kernel's own affair.
func (f writeBackFS) dir(name string) {
	if !f.now() {
		return
	}
	if d, err := f.FS.OpenDir(f.FS.PathDir(name)); err == nil {
		_ = errors.Join(d.Sync(), d.Close())
	}
}

func (f writeBackFS) wrap(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	f.dir(name)
	return writeBackFile{file, f.now}, nil
}

func (f writeBackFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return f.wrap(name, file, err)
}

func (f writeBackFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name, c, o...)
	return f.wrap(name, file, err)
}

func (f writeBackFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, name, c)
	return f.wrap(name, file, err)
}

func (f writeBackFS) Rename(old, name string) error {
	err := f.FS.Rename(old, name)
	f.dir(name)
	return err
}

func (f writeBackFS) Remove(name string) error {
	err := f.FS.Remove(name)
	f.dir(name)
	return err
}

// Unwrap implements vfs.FS.
func (f writeBackFS) Unwrap() vfs.FS { return f.FS }

type writeBackFile struct {
	vfs.File
	now func() bool
}

func (f writeBackFile) back() {
	if f.now() {
		_ = f.File.Sync()
	}
}

func (f writeBackFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.back()
	return n, err
}

func (f writeBackFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	f.back()
	return n, err
}
