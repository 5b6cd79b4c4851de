// SPDX-License-Identifier: Apache-2.0

// Rotation of the root key, in the order in which it is crash-safe:
//
//	1  the new root key's file is made beside the old one's; root.rotation in the data directory says that one runs
//	2  everything that the root key wraps is wrapped for both: the old key still opens all of it
//	3  everything is opened with the new key alone: from here on it opens all of it too
//	4  the new file takes the old one's name, in one step
//	5  everything is wrapped for the new key alone
//
// A start, or another rotation, that finds root.rotation wraps everything for the key that is in place alone: that
// undoes steps 1 to 3 and completes step 5.

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/obscura-video/obscura/internal/audit/digest"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/sealed"
	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/seal"
	"github.com/obscura-video/obscura/internal/service/kms"
)

// rotationFile in the data directory says that a rotation runs, or was interrupted.
const rotationFile = "root.rotation"

// ErrBusy says that a backup or a rotation runs: the other has to wait.
var ErrBusy = errors.New("a backup or a rotation of the root key runs")

// openRoot opens the root key; it makes one only where there is nothing yet that it could have to open.
func openRoot(ctx context.Context, c Config) (*rootkey.File, error) {
	path := rootFile(c.Data, c.RootFile)
	root, err := rootkey.Open(ctx, path, c.Root)
	if !errors.Is(err, rootkey.ErrMissing) {
		return root, err
	}
	if _, statErr := os.Stat(filepath.Join(c.Data, "meta")); !errors.Is(statErr, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return rootkey.Create(ctx, path, c.Root)
}

// rotation rotates the root key of an opened data directory.
type rotation struct {
	data, file string
	root       *rootkey.File
	raw        meta.DB // the metadata as it is stored
	metaKey    *seal.Key
	// rewrapKMS wraps all KMS key material anew by root, rewrapDigests the key that signs the audit log's digests.
	rewrapKMS, rewrapDigests func(ctx context.Context) (int, error)
	// discard removes the old root key, which backups made before need.
	discard bool
}

// Rotation is what was done.
type Rotation struct {
	Old string `json:"oldRootKeyId"`
	New string `json:"newRootKeyId"`
	// File is the root key's file; OldFile is where the old root key was kept, empty when it was discarded.
	File    string `json:"file"`
	OldFile string `json:"oldFile,omitempty"`
	// Materials is how many KMS key materials were wrapped anew.
	Materials int  `json:"materials"`
	Running   bool `json:"running"` // the server ran meanwhile
}

// rotationNote is what rotationFile holds.
type rotationNote struct {
	Old  string `json:"old"`
	New  string `json:"new"`
	File string `json:"file"` // the new root key's until it takes its place
}

// run rotates to next, whose file is nextFile. On an error before the new key is in place everything is as before.
func (r *rotation) run(ctx context.Context, next *rootkey.File, nextFile string) (*Rotation, error) {
	if err := r.finish(ctx); err != nil {
		return nil, err
	}
	out := &Rotation{Old: r.root.ID(), New: next.ID(), File: r.file}
	note, err := json.Marshal(rotationNote{out.Old, out.New, nextFile})
	if err != nil {
		return nil, err
	}
	if err := writeFile(r.note(), note, 0o600); err != nil {
		return nil, err
	}
	r.root.Join(next)
	if err := r.change(ctx, next, nextFile, out); err != nil {
		r.root.Keep(out.Old)
		return nil, errors.Join(err, r.finish(context.WithoutCancel(ctx)))
	}
	r.root.Keep(out.New)
	// Whatever fails now, the new key opens everything, and the next start completes it.
	if err := r.finish(context.WithoutCancel(ctx)); err != nil {
		return nil, fmt.Errorf("the new root key is in place; the next start or rotation completes the rest: %w", err)
	}
	return out, nil
}

// change does steps 2 to 4.
func (r *rotation) change(ctx context.Context, next *rootkey.File, nextFile string, out *Rotation) (err error) {
	if out.Materials, err = r.rewrap(ctx); err != nil {
		return err
	}
	if err := r.verify(ctx, next); err != nil {
		return err
	}
	if !r.discard {
		out.OldFile = r.file + "." + out.Old
		if err := copyRoot(r.file, out.OldFile); err != nil {
			return fmt.Errorf("keep the old root key: %w", err)
		}
	}
	if err := os.Rename(nextFile, r.file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(r.file))
}

func (r *rotation) note() string { return filepath.Join(r.data, rotationFile) }

// finish completes or undoes an interrupted rotation: everything is wrapped for the key in place alone.
func (r *rotation) finish(ctx context.Context) error {
	text, err := os.ReadFile(r.note())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var note rotationNote
	if err := json.Unmarshal(text, &note); err != nil {
		return fmt.Errorf("%s: %w", r.note(), err)
	}
	if _, err := r.rewrap(ctx); err != nil {
		return err
	}
	// The new key of a rotation that did not come about opens nothing any more.
	if d, err := rootkey.Describe(note.File); err == nil && d.ID == note.New && r.root.ID() != note.New {
		if err := os.Remove(note.File); err != nil {
			return err
		}
	}
	if err := os.Remove(r.note()); err != nil {
		return err
	}
	return syncDir(r.data)
}

// rewrap wraps everything that the root key wraps anew: the meta key, the CAs' keys, the key of digests, KMS key
// material. It returns how many materials there are.
func (r *rotation) rewrap(ctx context.Context) (int, error) {
	if err := r.rewrapMetaKey(ctx); err != nil {
		return 0, err
	}
	for _, a := range r.authorities() {
		err := r.rewrapFile(ctx, a.keyPath(), a.aad())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	if _, err := r.rewrapDigests(ctx); err != nil {
		return 0, err
	}
	return r.rewrapKMS(ctx)
}

func (r *rotation) authorities() []authorityFiles {
	dir := filepath.Join(r.data, "tls")
	return []authorityFiles{serverAuthority(dir), deviceAuthority(dir)}
}

func (r *rotation) rewrapMetaKey(ctx context.Context) error {
	wrapped, err := sealed.WrappedKey(ctx, r.raw)
	if err != nil {
		return err
	}
	if wrapped, err = r.again(ctx, wrapped, metaKeyAAD()); err != nil {
		return fmt.Errorf("meta key: %w", err)
	}
	return sealed.Rewrap(ctx, r.raw, wrapped, r.metaKey)
}

func (r *rotation) rewrapFile(ctx context.Context, file string, aad []byte) error {
	wrapped, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if wrapped, err = r.again(ctx, wrapped, aad); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return writeFile(file, wrapped, 0o600)
}

// again wraps anew what is wrapped.
func (r *rotation) again(ctx context.Context, wrapped, aad []byte) ([]byte, error) {
	plain, err := r.root.Unwrap(ctx, wrapped, aad)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return r.root.Wrap(ctx, plain, aad)
}

// verify makes sure that next opens everything by itself.
func (r *rotation) verify(ctx context.Context, next *rootkey.File) error {
	wrapped, err := sealed.WrappedKey(ctx, r.raw)
	if err != nil {
		return err
	}
	key, err := unwrapMetaKey(ctx, next, wrapped)
	if err != nil {
		return err
	}
	defer key.Destroy()
	db, err := sealed.Open(ctx, r.raw, key)
	if err != nil {
		return err
	}
	for _, a := range r.authorities() {
		wrapped, err := os.ReadFile(a.keyPath())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		plain, err := next.Unwrap(ctx, wrapped, a.aad())
		if err != nil {
			return fmt.Errorf("%s: %w", a.keyPath(), err)
		}
		clear(plain)
	}
	faults := []error{digest.CheckKeys(ctx, db, next)}
	c := kms.Custodian{DB: db, Root: next}
	_, err = c.Verify(ctx, func(id string, err error) { faults = append(faults, fmt.Errorf("KMS key %s: %w", id, err)) })
	return errors.Join(append(faults, err)...)
}

// copyRoot copies a root key's file, durable on return. A copy of the same content may be there.
func copyRoot(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	defer clear(text)
	if old, err := os.ReadFile(to); err == nil && !bytes.Equal(old, text) {
		return fmt.Errorf("%s: %w", to, fs.ErrExist)
	}
	return writeFile(to, text, 0o600)
}
