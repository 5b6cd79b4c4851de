// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/obscura-video/obscura/internal/rootkey"
)

// CheckConfig says how CheckBackup goes about it.
type CheckConfig struct {
	Dir string
	// RootFile is the root key's file; default the one in the backup, or the one the manifest names if it is still
	// there.
	RootFile string
	// Root opens the root key.
	Root     rootkey.Options
	Progress func(what string, done, total int64)
}

// CheckBackup is the restore drill: it compares every file with the manifest, opens the copy as a server would after
// a restore, and judges it by Fsck's rules, which opens every fragment. It changes nothing in the backup.
//
// Damage is in the report. Errors: ErrIncomplete, ErrNewerFormat, ErrDamaged of the manifest itself; rootkey's.
func CheckBackup(ctx context.Context, c CheckConfig) (*FsckReport, error) {
	m, err := ReadManifest(c.Dir)
	if err != nil {
		return nil, err
	}
	root, err := c.rootFile(m)
	if err != nil {
		return nil, err
	}
	r := &FsckReport{Data: c.Dir, Damage: []Damage{}}
	if err := c.compare(ctx, m, r); err != nil {
		return r, err
	}
	// Opening the metadata writes a lock file at least, so it is done with a copy.
	tmp, err := os.MkdirTemp("", "obscura-check-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(tmp)
	if err := copyMeta(ctx, m, c.Dir, tmp, r); err != nil {
		return r, err
	}
	f := fsck{
		FsckConfig: FsckConfig{Data: filepath.Join(c.Dir, backupData), RootFile: root, Root: c.Root, Progress: c.Progress},
		meta:       filepath.Join(tmp, "meta"), report: r,
	}
	return r, f.run(ctx)
}

// rootFile finds the root key. Errors: rootkey.ErrMissing, rootkey.ErrWrongKey.
func (c *CheckConfig) rootFile(m *Manifest) (string, error) {
	candidates := []string{c.RootFile}
	if c.RootFile == "" {
		candidates = []string{filepath.Join(c.Dir, backupData, "root.key"), m.RootFile}
	}
	var errs []error
	for _, file := range candidates {
		if file == "" {
			continue
		}
		d, err := rootkey.Describe(file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if m.RootKeyID == "" || d.ID == m.RootKeyID {
			return file, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", file, rootkey.ErrWrongKey))
	}
	return "", errors.Join(errs...)
}

// compare compares the files of a backup with its manifest, both ways.
func (c *CheckConfig) compare(ctx context.Context, m *Manifest, r *FsckReport) error {
	known := map[string]bool{}
	var done int64
	for _, f := range m.sources(c.Dir) {
		known[f.name] = true
		_, err := f.read(ctx, io.Discard)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.add(Damage{Part: "backup", File: f.name, What: err.Error()})
		}
		done += f.bytes
		if c.Progress != nil {
			c.Progress("files", done, m.Bytes)
		}
	}
	return addTree(filepath.Join(c.Dir, backupData), "", func(_, name string) error {
		if !known[name] {
			r.add(Damage{Part: "backup", File: name, What: "not in the manifest"})
		}
		return nil
	})
}

// copyMeta copies the metadata of a backup, as it is, below tmp.
func copyMeta(ctx context.Context, m *Manifest, dir, tmp string, r *FsckReport) error {
	var files []source
	for _, f := range m.sources(dir) {
		info, err := os.Stat(f.path)
		if strings.HasPrefix(f.name, "meta/") && err == nil {
			f.want, f.bytes = "", info.Size() // compare has told what is wrong with it
			files = append(files, f)
		}
	}
	_, err := copyFiles(ctx, tmp, files, nil)
	if errors.Is(err, fs.ErrPermission) {
		r.add(Damage{Part: "backup", File: "meta", What: err.Error()})
		return nil
	}
	return err
}

// RestoreConfig says what Restore does.
type RestoreConfig struct {
	Dir, Data string
	Progress  func(file string, done, total int64)
}

// Restore makes a new data directory of a backup and compares every file with the manifest on the way. Interrupted, or
// with a damaged file, it leaves a folder that no server takes for a data directory.
//
// Errors: ErrIncomplete, ErrNewerFormat, ErrDamaged, ErrNotEmpty.
func Restore(ctx context.Context, c RestoreConfig) (*Manifest, error) {
	m, err := ReadManifest(c.Dir)
	if err != nil {
		return nil, err
	}
	if err := apart(c.Dir, c.Data); err != nil {
		return nil, err
	}
	if n := len(m.Files); n == 0 || m.Files[n-1].Name != formatFile {
		return nil, fmt.Errorf("%s: manifest %w: it does not end with %s", c.Dir, ErrDamaged, formatFile)
	}
	if err := emptyFolder(c.Data); err != nil {
		return nil, err
	}
	if err := os.Chmod(c.Data, 0o700); err != nil {
		return nil, err
	}
	_, err = copyFiles(ctx, c.Data, m.sources(c.Dir), c.Progress)
	return m, err
}
