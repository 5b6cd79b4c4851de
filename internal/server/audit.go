// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/audit/digest"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/pebble"
	"github.com/obscura-video/obscura/internal/meta/sealed"
	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/seal"
)

// AuditConfig says whose audit log is read.
type AuditConfig struct {
	Data string
	// RootFile is the root key's file; default that of the running server, or root.key in Data.
	RootFile string
	// Root opens the root key.
	Root rootkey.Options
}

// AuditReport is what VerifyAudit found.
type AuditReport struct {
	Data    string `json:"data"`
	Running bool   `json:"running"` // a snapshot of a running server was judged
	digest.Report
}

// AuditKept is what was kept elsewhere, and which part of the record is read: see digest.Check.
type AuditKept struct {
	Keys        [][]byte
	Digests     []string
	Anchors     []audit.Anchor
	From, Until time.Time
	Progress    func(done, total int64)
}

// VerifyAudit checks the audit log of a running or a stopped server, from what it has stored and what was kept elsewhere. It
// changes nothing: a stopped server's metadata is opened read-only, of a running one a snapshot is read.
//
// What is not as written is in the report. Errors: ErrDamaged when the metadata cannot be read at all; ErrNoData,
// ErrForeign, ErrNewerFormat, ErrInUse; those of package rootkey.
func VerifyAudit(ctx context.Context, c AuditConfig, kept AuditKept) (_ *AuditReport, err error) {
	s, err := openRecord(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	check := digest.Check{
		DB: s.db, Account: s.account, Region: s.region, Pinned: kept.Keys, Digests: kept.Digests, Anchors: kept.Anchors,
		From: kept.From, Until: kept.Until, Progress: kept.Progress,
	}
	r, err := check.Run(ctx)
	return &AuditReport{Data: c.Data, Running: s.running, Report: *r}, err
}

// AuditKeys returns the public keys that the digests are signed with, the oldest first. Errors: as VerifyAudit.
func AuditKeys(ctx context.Context, c AuditConfig) (_ []digest.Key, err error) {
	s, err := openRecord(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return digest.Keys(ctx, s.db)
}

// AuditExport says what ExportAudit writes.
type AuditExport struct {
	To          string // folder
	From, Until time.Time
	Progress    func(object string)
}

// ExportAudit writes digests and log files to a folder, each under its bucket and object; beside a digest lies its
// metadata in a file with .metadata.json added. It returns how many of each there are. What is there already is written again.
//
// Errors: *audit.Fault when a log file is not what was signed; as VerifyAudit.
func ExportAudit(ctx context.Context, c AuditConfig, e AuditExport) (digests, files int, err error) {
	s, err := openRecord(ctx, c)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	d := digest.Delivery{DB: s.db, From: e.From, Until: e.Until, To: folder(e.To), Progress: e.Progress}
	return d.Run(ctx)
}

// folder is a digest.Depot in the file system.
type folder string

// Deliver implements digest.Depot.
func (dir folder) Deliver(_ context.Context, f digest.File) error {
	path := filepath.Join(string(dir), f.Bucket, filepath.FromSlash(f.Object))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if f.Signature != "" {
		text, err := json.Marshal(map[string]string{"signature": f.Signature, "signature-algorithm": digest.SignatureAlgorithm})
		if err != nil {
			return err
		}
		if err := writeFile(path+".metadata.json", append(text, '\n'), 0o600); err != nil {
			return err
		}
	}
	return writeFile(path, f.Body, 0o600)
}

// record is the metadata of a data directory, opened to read the audit log.
type record struct {
	db              meta.DB
	region, account string
	running         bool
	ends            []func() error
}

func (s *record) close() error {
	var errs []error
	for i := len(s.ends) - 1; i >= 0; i-- {
		errs = append(errs, s.ends[i]())
	}
	return errors.Join(errs...)
}

// openRecord opens the metadata of a stopped server read-only, or a snapshot of a running one's.
func openRecord(ctx context.Context, c AuditConfig) (_ *record, err error) {
	if err := CheckData(c.Data); err != nil {
		return nil, err
	}
	s := new(record)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	snap, err := askSnapshot(ctx, c.Data)
	if errors.Is(err, ErrNotRunning) {
		snap, err = &snapshot{meta: filepath.Join(c.Data, "meta"), end: func() error { return nil }}, nil
	}
	if err != nil {
		return nil, err
	}
	s.running, s.ends = snap.running, append(s.ends, snap.end)
	if c.RootFile == "" {
		c.RootFile = snap.rootFile
	}
	root, err := rootkey.Open(ctx, rootFile(c.Data, c.RootFile), c.Root)
	if err != nil {
		return nil, err
	}
	defer root.Destroy()
	return s, s.open(ctx, snap.meta, root)
}

// open opens the store in a folder. Errors: ErrDamaged, ErrInUse; rootkey.ErrWrongKey.
func (s *record) open(ctx context.Context, dir string, root *rootkey.File) error {
	store, err := openExisting(dir, pebble.Options{ReadOnly: true, CacheBytes: metaCacheBytes})
	if errors.Is(err, ErrInUse) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	s.ends = append(s.ends, store.Close)
	var key *seal.Key
	wrapped, err := sealed.WrappedKey(ctx, store)
	if err == nil {
		key, err = unwrapMetaKey(ctx, root, wrapped)
	}
	if errors.Is(err, rootkey.ErrWrongKey) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: header of the metadata: %w", ErrDamaged, err)
	}
	s.ends = append(s.ends, func() error { key.Destroy(); return nil })
	db, err := sealed.Open(ctx, store, key)
	if err != nil {
		return fmt.Errorf("%w: header of the metadata: %w", ErrDamaged, err)
	}
	s.db = db
	err = db.View(ctx, func(r meta.Reader) error {
		value, err := r.Get(identityKey())
		s.region, s.account = cutIdentity(value)
		return err
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: region and account: %w", ErrDamaged, err)
	}
	return err
}
