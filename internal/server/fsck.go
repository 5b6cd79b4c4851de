// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/audit/digest"
	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/blob/disk"
	blobmem "github.com/obscura-video/obscura/internal/blob/mem"
	"github.com/obscura-video/obscura/internal/envelope"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/pebble"
	"github.com/obscura-video/obscura/internal/meta/sealed"
	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/service/iam"
	"github.com/obscura-video/obscura/internal/service/kinesisvideo"
	"github.com/obscura-video/obscura/internal/service/kms"
	"github.com/obscura-video/obscura/internal/service/mailbox"
)

// FsckConfig says what Fsck judges.
type FsckConfig struct {
	Data string
	// RootFile is the root key's file; default that of the running server, or root.key in Data.
	RootFile string
	// Root opens the root key.
	Root rootkey.Options
	// Progress is called often, by one goroutine: what is being checked, and how much of it. Total is 0 when it is
	// not known. It may be nil.
	Progress func(what string, done, total int64)
}

// Damage is one damaged thing. What is empty is not known or does not apply.
type Damage struct {
	Part     string `json:"part"` // metadata, keys, index, footage, audit, identities, certificates, mailbox or backup
	Stream   string `json:"stream,omitempty"`
	Fragment string `json:"fragment,omitempty"` // number
	File     string `json:"file,omitempty"`     // relative to the data directory
	Offset   int64  `json:"offset,omitempty"`   // bytes, in File
	What     string `json:"what"`
}

// FsckReport is what Fsck found. Counts are of what was read.
type FsckReport struct {
	Data    string `json:"data"`
	Running bool   `json:"running"` // a snapshot of a running server was judged

	Rows        int    `json:"rows"`
	Keys        int    `json:"keys"`
	Streams     int    `json:"streams"`
	Fragments   int    `json:"fragments"`
	Frames      int    `json:"frames"`
	Bytes       int64  `json:"bytes"` // of media, before sealing
	AuditEvents uint64 `json:"auditEvents"`
	Objects     int    `json:"objects"` // of mailboxes
	// KeyDeleted is how many fragments nobody can open, because somebody deleted their KMS key.
	KeyDeleted int `json:"keyDeleted"`
	// Sealed is how many of the fragments are end-to-end encrypted.
	Sealed int `json:"sealed"`
	// Deleted is how many fragments of deleted streams are yet to be removed.
	Deleted int `json:"deleted"`
	// Orphans are segments that nothing refers to: normal after a crash or when footage has expired.
	Orphans int `json:"orphans"`

	Damage []Damage `json:"damage"`
	// More counts the damaged things beyond those in Damage.
	More int `json:"more,omitempty"`
}

// maxDamage bounds a report.
const maxDamage = 1000

// Clean reports whether nothing is damaged.
func (r *FsckReport) Clean() bool { return len(r.Damage) == 0 }

func (r *FsckReport) add(d Damage) {
	if len(r.Damage) == maxDamage {
		r.More++
		return
	}
	r.Damage = append(r.Damage, d)
}

// Fsck judges a data directory by its bytes alone: every value in the metadata unseals; every key unwraps; index and
// segments agree; every frame authenticates; the audit chain is whole; mailboxes hold what was put. It shares no path with the server that serves:
// it decides nothing, and changes nothing. A stopped server's metadata is opened read-only, of a running one a
// snapshot is read.
//
// Damage is in the report. Errors: ErrNoData, ErrForeign, ErrNewerFormat, ErrInUse; those of package rootkey.
func Fsck(ctx context.Context, c FsckConfig) (*FsckReport, error) {
	if err := CheckData(c.Data); err != nil {
		return nil, err
	}
	s, err := askSnapshot(ctx, c.Data)
	if errors.Is(err, ErrNotRunning) {
		s, err = &snapshot{meta: filepath.Join(c.Data, "meta"), end: func() error { return nil }}, nil
	}
	if err != nil {
		return nil, err
	}
	if c.RootFile == "" {
		c.RootFile = s.rootFile
	}
	f := fsck{FsckConfig: c, meta: s.meta, report: &FsckReport{Data: c.Data, Running: s.running, Damage: []Damage{}}}
	err = f.run(ctx)
	return f.report, errors.Join(err, s.end())
}

// CheckRootKey makes sure that the root key in a file is the one of a stopped server's data, and returns its ID.
// Errors: rootkey's; ErrInUse; fs.ErrNotExist when there is no metadata yet.
func CheckRootKey(ctx context.Context, data, file string) (id string, err error) {
	root, err := rootkey.OpenFile(rootFile(data, file))
	if err != nil {
		return "", err
	}
	defer root.Destroy()
	db, err := openExisting(filepath.Join(data, "meta"), pebble.Options{ReadOnly: true})
	if err != nil {
		return root.ID(), err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	wrapped, err := sealed.WrappedKey(ctx, db)
	if err != nil {
		return root.ID(), err
	}
	key, err := unwrapMetaKey(ctx, root, wrapped)
	if err == nil {
		key.Destroy()
	}
	return root.ID(), err
}

// fsck is one run. It judges the metadata in the folder meta, and everything else in Data.
type fsck struct {
	FsckConfig
	meta   string
	report *FsckReport

	root *rootkey.File
	raw  meta.DB // without the rows that are damaged
	db   meta.DB // its values unsealed
}

func (f *fsck) progress(what string, done, total int64) {
	if f.Progress != nil {
		f.Progress(what, done, total)
	}
}

func (f *fsck) run(ctx context.Context) (err error) {
	f.progress("metadata", 0, 0)
	if f.root, err = rootkey.Open(ctx, rootFile(f.Data, f.RootFile), f.Root); err != nil {
		return err
	}
	defer f.root.Destroy()
	store, err := openExisting(f.meta, pebble.Options{ReadOnly: true, CacheBytes: metaCacheBytes})
	if errors.Is(err, ErrInUse) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err != nil {
		f.report.add(Damage{Part: "metadata", File: "meta", What: err.Error()})
		return nil
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	f.raw = store
	return f.stores(ctx)
}

// stores judges what lies in the opened stores.
func (f *fsck) stores(ctx context.Context) error {
	whole, closeKey, err := f.unseal(ctx)
	if err != nil || !whole {
		return err
	}
	defer closeKey()
	for _, step := range []func(context.Context) error{f.keys, f.identities, f.audit, f.certificates, f.mailboxes, f.footage} {
		if err := f.judge(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// judge runs a step. That the metadata cannot be read any further is damage as well.
func (f *fsck) judge(ctx context.Context, step func(context.Context) error) error {
	err := step(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		f.report.add(Damage{Part: "metadata", What: err.Error()})
	}
	return nil
}

// unseal opens the metadata with the root key and looks at every value. It says whether it can be judged further.
func (f *fsck) unseal(ctx context.Context) (whole bool, closeKey func(), err error) {
	wrapped, err := sealed.WrappedKey(ctx, f.raw)
	if err != nil {
		f.report.add(Damage{Part: "metadata", File: "meta", What: "the header cannot be read: " + err.Error()})
		return false, nil, ctx.Err()
	}
	key, err := unwrapMetaKey(ctx, f.root, wrapped)
	if err != nil {
		return false, nil, err
	}
	db, err := sealed.Open(ctx, f.raw, key)
	if err != nil {
		key.Destroy()
		f.report.add(Damage{Part: "metadata", File: "meta", What: "the header does not fit its key: " + err.Error()})
		return false, nil, ctx.Err()
	}
	bad := map[string]bool{}
	if err := f.judge(ctx, func(ctx context.Context) error { return f.rows(ctx, db, bad) }); err != nil {
		key.Destroy()
		return false, nil, err
	}
	// What comes next sees the store without the damaged rows: each would end the scan that meets it.
	f.raw = &without{f.raw, bad}
	f.db, err = sealed.Open(ctx, f.raw, key)
	return err == nil, key.Destroy, err
}

func (f *fsck) keys(ctx context.Context) (err error) {
	f.progress("keys", 0, 0)
	c := kms.Custodian{DB: f.db, Root: f.root}
	f.report.Keys, err = c.Verify(ctx, func(id string, err error) {
		f.report.add(Damage{Part: "keys", What: fmt.Sprintf("KMS key %s: %v", id, err)})
	})
	return err
}

func (f *fsck) identities(ctx context.Context) error {
	region, account, err := f.identity(ctx)
	if err != nil {
		return err
	}
	if _, err := iam.New(ctx, iam.Config{DB: f.db, Account: account, Region: region}); err != nil {
		f.report.add(Damage{Part: "identities", What: err.Error()})
	}
	return nil
}

// identity returns the region and account of the data directory.
func (f *fsck) identity(ctx context.Context) (region, account string, err error) {
	err = f.db.View(ctx, func(r meta.Reader) error {
		value, err := r.Get(identityKey())
		if err != nil {
			return fmt.Errorf("region and account: %w", err)
		}
		region, account = cutIdentity(value)
		return nil
	})
	return region, account, err
}

func (f *fsck) audit(ctx context.Context) error {
	f.progress("audit", 0, 0)
	region, account, err := f.identity(ctx)
	if err != nil {
		return err
	}
	if err := digest.CheckKeys(ctx, f.db, f.root); err != nil {
		f.report.add(Damage{Part: "audit", What: err.Error()})
	}
	c := digest.Check{DB: f.db, Region: region, Account: account, Progress: func(done, total int64) { f.progress("audit", done, 0) }}
	r, err := c.Run(ctx)
	f.report.AuditEvents = r.Events
	for _, fault := range []*audit.Fault{r.Digest, r.Event} {
		if fault != nil {
			f.report.add(Damage{Part: "audit", What: fault.Error()})
		}
	}
	return err
}

// certificates opens the local CAs, where there are any.
func (f *fsck) certificates(ctx context.Context) error {
	dir := filepath.Join(f.Data, "tls")
	for _, a := range []authorityFiles{serverAuthority(dir), deviceAuthority(dir)} {
		if _, err := os.Stat(a.certPath()); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, err := openAuthority(ctx, a, f.root, time.Now()); err != nil {
			f.report.add(Damage{Part: "certificates", What: err.Error()})
		}
	}
	return nil
}

func (f *fsck) mailboxes(ctx context.Context) error {
	c, err := mailbox.Check(ctx, f.db, func(what string) { f.report.add(Damage{Part: "mailbox", What: what}) })
	f.report.Objects = c.Objects
	return err
}

// footage checks the index against the segments, and then opens every fragment.
func (f *fsck) footage(ctx context.Context) error {
	f.progress("index", 0, 0)
	blobs, err := openSegments(filepath.Join(f.Data, "blob"))
	if err != nil {
		return err
	}
	defer blobs.Close() // nothing was written
	index, err := journal.Check(ctx, f.db, blobs, nil)
	for _, p := range index.Problems {
		f.report.add(Damage{Part: "index", What: p})
	}
	f.report.More += index.Dropped
	f.report.Orphans = len(index.Orphans)
	if err != nil {
		return err
	}
	keys := envelope.New(f.db, custodianKeys{&kms.Custodian{DB: f.db, Root: f.root}}, nil)
	defer keys.Close()
	return f.inspect(ctx, blobs, keys, index.Stored)
}

// openSegments opens the segments in a folder to read them. A folder that is not there holds none.
func openSegments(dir string) (blob.Store, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return blobmem.New(), nil
	}
	return disk.Open(dir, disk.Options{MinFreeBytes: -1})
}

func (f *fsck) inspect(ctx context.Context, blobs blob.Store, keys *envelope.Keyring, total int64) error {
	region, account, err := f.identity(ctx)
	if err != nil {
		return err
	}
	var done int64
	i := kinesisvideo.Inspection{
		DB: f.db, Blobs: blobs, Keys: keys, Region: region, Account: account,
		Gone:  func(err error) bool { return errors.Is(err, kms.ErrKeyDeleted) },
		Fault: func(v kinesisvideo.Fault) { f.report.add(footageDamage(v)) },
		Progress: func(stream string, n int64) {
			done += n
			f.progress(stream, done, total)
		},
	}
	n, err := i.Run(ctx)
	r := f.report
	r.Streams, r.Fragments, r.Frames, r.Bytes = n.Streams, n.Fragments, n.Frames, n.Bytes
	r.KeyDeleted, r.Sealed, r.Deleted = n.Gone, n.Sealed, n.Deleted
	return err
}

func footageDamage(v kinesisvideo.Fault) Damage {
	d := Damage{Part: "footage", Stream: v.Stream, Fragment: v.Fragment, What: v.Err.Error()}
	if place, ok := errors.AsType[*journal.Damage](v.Err); ok && place.Blob != "" {
		d.File, d.Offset, d.What = filepath.Join("blob", filepath.FromSlash(place.Blob)), place.Off, place.Err.Error()
	}
	return d
}

// custodianKeys opens data keys for the operator. It decides nothing.
type custodianKeys struct{ *kms.Custodian }

var _ envelope.KeyService = custodianKeys{}

// GenerateDataKey implements envelope.KeyService: nothing is sealed here.
func (custodianKeys) GenerateDataKey(context.Context, string, map[string]string) (envelope.DataKey, error) {
	return envelope.DataKey{}, errors.ErrUnsupported
}

// Decrypt implements envelope.KeyService.
func (k custodianKeys) Decrypt(ctx context.Context, _ string, ciphertext []byte, ec map[string]string) ([]byte, error) {
	return k.Custodian.Decrypt(ctx, ciphertext, ec)
}

// Authorize implements envelope.KeyService.
func (custodianKeys) Authorize(context.Context, string, string, map[string]string) error { return nil }
