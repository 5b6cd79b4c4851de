// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/rootkey"
)

// A backup is a folder: data/, which is a data directory without credentials and, unless it was asked for, without
// root key; and MANIFEST.json, written last, so that a folder without it is an interrupted backup.

const (
	manifestFile   = "MANIFEST.json"
	manifestFormat = "obscura backup v1"
	backupData     = "data"
	// maxManifest bounds what is read of a manifest, in bytes.
	maxManifest = 1 << 30
)

// Errors about backups that the CLI explains.
var (
	// ErrNotEmpty says that the folder to write to holds something. Nothing in it was touched.
	ErrNotEmpty = errors.New("folder is not empty")
	// ErrIncomplete says that the folder is no backup, or one that was interrupted.
	ErrIncomplete = errors.New("no complete backup: its manifest, which is written last, is not there")
	// ErrDamaged says that a backup's files are not those of its manifest.
	ErrDamaged = errors.New("damaged")
)

// Manifest says what is in a backup. It is not signed: it finds accidents, and what is sealed is authenticated when
// it is opened.
type Manifest struct {
	Format  string    `json:"format"`
	Created time.Time `json:"created"`
	// Source is the data directory that was copied.
	Source string `json:"source"`
	// RootFile is where the root key lay, RootKeyID which one it is; both empty when that is not known.
	RootFile  string `json:"rootFile,omitempty"`
	RootKeyID string `json:"rootKeyId,omitempty"`
	// WithRootKey says that the backup holds the root key itself, as data/root.key.
	WithRootKey bool         `json:"withRootKey"`
	Bytes       int64        `json:"bytes"`
	Files       []BackupFile `json:"files"` // in the order in which they were written
}

// BackupFile is one file below data/.
type BackupFile struct {
	Name   string `json:"name"` // with slashes
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// BackupConfig says what Backup does.
type BackupConfig struct {
	Data, To string
	// RootFile is the root key's file of a stopped server; default root.key in Data.
	RootFile string
	// WithRootKey puts the root key into the backup: whoever has it can then read everything.
	WithRootKey bool
	Progress    func(file string, done, total int64)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Backup copies the data directory of a running or a stopped server to a new or empty folder, consistently: what was
// acknowledged before the call is in it. The copy is durable on return. Interrupted, it leaves a folder without
// manifest.
//
// Errors: ErrNoData, ErrForeign, ErrNewerFormat, ErrInUse, ErrNotEmpty; rootkey's with WithRootKey.
func Backup(ctx context.Context, c BackupConfig) (_ *Manifest, err error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if err := apart(c.Data, c.To); err != nil {
		return nil, err
	}
	if err := CheckData(c.Data); err != nil {
		return nil, err
	}
	if err := emptyFolder(c.To); err != nil {
		return nil, err
	}
	s, err := takeSnapshot(ctx, c.Data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	m, err := c.manifest(s)
	if err != nil {
		return nil, err
	}
	files, err := backupFiles(c.Data, s.meta, m)
	if err != nil {
		return nil, err
	}
	to := filepath.Join(c.To, backupData)
	if m.Files, err = copyFiles(ctx, to, files, c.Progress); err != nil {
		return nil, err
	}
	for _, f := range m.Files {
		m.Bytes += f.Bytes
	}
	return m, m.write(c.To)
}

// apart refuses folders of which one lies in the other.
func apart(a, b string) error {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	sep := string(filepath.Separator)
	if strings.HasPrefix(a+sep, b+sep) || strings.HasPrefix(b+sep, a+sep) {
		return fmt.Errorf("%w: %s and %s lie in each other", ErrConfig, a, b)
	}
	return nil
}

// emptyFolder makes dir unless it exists and is empty.
func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s: %w", dir, ErrNotEmpty)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(filepath.Clean(dir))); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil // a parent that is not ours was not made by us
}

// manifest begins a manifest.
func (c *BackupConfig) manifest(s *snapshot) (*Manifest, error) {
	m := &Manifest{Format: manifestFormat, Created: c.Now().UTC(), WithRootKey: c.WithRootKey, RootFile: s.rootFile, RootKeyID: s.rootKeyID}
	if m.RootFile == "" {
		m.RootFile = rootFile(c.Data, c.RootFile)
	}
	var err error
	if m.Source, err = filepath.Abs(c.Data); err != nil {
		return nil, err
	}
	d, err := rootkey.Describe(m.RootFile)
	switch {
	case err == nil:
		m.RootKeyID = d.ID
	case c.WithRootKey:
		return nil, err
	case !s.running && errors.Is(err, rootkey.ErrMissing):
		m.RootFile = "" // it lies elsewhere
	}
	return m, nil
}

// source is a file to be copied.
type source struct {
	path  string
	name  string // below the target, with slashes
	bytes int64
	want  string // SHA-256; empty when it is not known
}

// backupFiles lists what goes into a backup. FORMAT is the last: a folder without it is no data directory.
func backupFiles(data, metaDir string, m *Manifest) ([]source, error) {
	var files []source
	add := func(file, name string) error {
		info, err := os.Stat(file)
		if err == nil && info.Mode().IsRegular() {
			files = append(files, source{path: file, name: name, bytes: info.Size()})
		}
		return err
	}
	err := errors.Join(addTree(metaDir, "meta", add), addTree(filepath.Join(data, "blob", "b"), "blob/b", add))
	for _, name := range []string{"ca.key", "ca.pem", "device-ca.key", "device-ca.pem"} {
		if e := add(filepath.Join(data, "tls", name), "tls/"+name); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if m.WithRootKey {
		err = errors.Join(err, add(m.RootFile, "root.key"))
	}
	return files, errors.Join(err, add(filepath.Join(data, formatFile), formatFile))
}

// addTree adds every file below dir, which need not exist.
func addTree(dir, name string, add func(file, name string) error) error {
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		return add(file, path.Join(name, filepath.ToSlash(rel)))
	})
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(dir); errors.Is(statErr, fs.ErrNotExist) {
			return nil
		}
	}
	return err
}

// copyFiles copies files below dir, durably and in their order. A file may grow meanwhile: what it had is copied.
func copyFiles(ctx context.Context, dir string, files []source, progress func(string, int64, int64)) ([]BackupFile, error) {
	var done, total int64
	for _, f := range files {
		total += f.bytes
	}
	var out []BackupFile
	folders := map[string]bool{dir: true}
	for _, f := range files {
		if progress != nil {
			progress(f.name, done, total)
		}
		to := filepath.Join(dir, filepath.FromSlash(f.name))
		for parent := filepath.Dir(to); len(parent) > len(dir); parent = filepath.Dir(parent) {
			folders[parent] = true
		}
		sum, err := f.copy(ctx, to)
		if err != nil {
			return nil, fmt.Errorf("copy %s: %w", f.name, err)
		}
		out = append(out, BackupFile{Name: f.name, Bytes: f.bytes, SHA256: sum})
		done += f.bytes
	}
	for folder := range folders {
		if err := syncDir(folder); err != nil {
			return nil, err
		}
	}
	if progress != nil {
		progress("", done, total)
	}
	return out, syncDir(filepath.Dir(dir))
}

// copy writes a new file and returns its SHA-256. Errors: ErrDamaged when it is not the one wanted.
func (f *source) copy(ctx context.Context, to string) (sum string, err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if sum, err = f.read(ctx, out); err != nil {
		return "", err
	}
	return sum, out.Sync()
}

// read copies the file to w and returns its SHA-256. Errors: ErrDamaged.
func (f *source) read(ctx context.Context, w io.Writer) (string, error) {
	in, err := os.Open(f.path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(h, w), &contextReader{ctx, io.LimitReader(in, f.bytes)})
	if err != nil {
		return "", err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if n != f.bytes {
		return "", fmt.Errorf("%w: %d bytes instead of %d", ErrDamaged, n, f.bytes)
	}
	if f.want != "" && f.want != sum {
		return "", fmt.Errorf("%w: its SHA-256 is not that of the manifest", ErrDamaged)
	}
	return sum, nil
}

// contextReader ends when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// write makes the backup in dir complete.
func (m *Manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, manifestFile), append(text, '\n'), 0o600)
}

// ReadManifest reads what is in a backup. Errors: ErrIncomplete, ErrNewerFormat, ErrDamaged.
func ReadManifest(dir string) (*Manifest, error) {
	file, err := os.Open(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrIncomplete)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m := new(Manifest)
	if err := json.NewDecoder(io.LimitReader(file, maxManifest)).Decode(m); err != nil {
		return nil, fmt.Errorf("%s: manifest %w: %w", dir, ErrDamaged, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("%s: %w (%s)", dir, ErrNewerFormat, m.Format)
	}
	for _, f := range m.Files {
		if !fs.ValidPath(f.Name) || f.Bytes < 0 {
			return nil, fmt.Errorf("%s: manifest %w: file %q", dir, ErrDamaged, f.Name)
		}
	}
	return m, nil
}

// sources are the files of a backup, with what they must be.
func (m *Manifest) sources(dir string) []source {
	var files []source
	for _, f := range m.Files {
		files = append(files, source{path: filepath.Join(dir, backupData, filepath.FromSlash(f.Name)), name: f.Name, bytes: f.Bytes, want: f.SHA256})
	}
	return files
}
