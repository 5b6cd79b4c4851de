// SPDX-License-Identifier: Apache-2.0

// Package vfstest has file systems for the controls of crash tests: a test that proves
// durability is worth something only if it fails on a disk that lies. It is for tests
// and imported by nothing else.
package vfstest

import "github.com/cockroachdb/pebble/v2/vfs"

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
