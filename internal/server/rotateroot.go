// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/obscura-video/obscura/internal/audit/digest"
	"github.com/obscura-video/obscura/internal/meta/pebble"
	"github.com/obscura-video/obscura/internal/meta/sealed"
	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/service/kms"
)

// rotation of the running server.
func (s *Server) rotation() *rotation {
	return &rotation{
		data: s.config.Data, file: rootFile(s.config.Data, s.config.RootFile), root: s.stores.root,
		raw: s.stores.pebble, metaKey: s.stores.metaKey, rewrapKMS: s.services.kms.Rewrap,
		rewrapDigests: s.services.digests.Rewrap,
	}
}

// finishRotation completes what an interrupted rotation left. The key in place opens everything whether or not it
// can be completed, so that does not stop a start.
func (s *Server) finishRotation(ctx context.Context) {
	if err := s.rotation().finish(ctx); err != nil {
		s.config.Log.Error("an interrupted rotation of the root key could not be completed", "error", err)
	}
}

// rotateRequest is the body of POST /root/rotate.
type rotateRequest struct {
	File    string `json:"file"`   // of the new root key
	Secret  []byte `json:"secret"` // the new root key
	Discard bool   `json:"discard"`
}

// maxRotateRequest bounds it, in bytes.
const maxRotateRequest = 16 << 10

// handleRotate rotates the root key to one that a tool has made. Who can reach the socket can read the files anyway.
func (s *Server) handleRotate(w http.ResponseWriter, r *http.Request) {
	var in rotateRequest
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRotateRequest)).Decode(&in)
	defer clear(in.Secret)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out, err := s.rotateRoot(context.WithoutCancel(r.Context()), in)
	if err != nil {
		s.config.Log.Error("rotation of the root key", "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.config.Log.Info("root key was rotated", "old", out.Old, "new", out.New, "materials", out.Materials)
	_ = json.NewEncoder(w).Encode(out) // a client that has gone sees the new key by root show
}

func (s *Server) rotateRoot(ctx context.Context, in rotateRequest) (*Rotation, error) {
	// A backup must not copy the metadata of before with the root key of after.
	if !s.stores.copying.TryLock() {
		return nil, ErrBusy
	}
	defer s.stores.copying.Unlock()
	next, err := rootkey.FromSecret(in.Secret)
	if err != nil {
		return nil, err
	}
	if d, err := rootkey.Describe(in.File); err != nil || d.ID != next.ID() {
		return nil, errors.Join(fmt.Errorf("%s is not the file of root key %s", in.File, next.ID()), err)
	}
	r := s.rotation()
	r.discard = in.Discard
	out, err := r.run(ctx, next, in.File)
	if err != nil {
		return nil, err
	}
	out.Running = true
	return out, nil
}

// RotateConfig says what RotateRoot does.
type RotateConfig struct {
	Data string
	// RootFile is the root key's file of a stopped server; default root.key in Data.
	RootFile string
	// Old opens the root key of a stopped server; New says what the new one is to be.
	Old, New rootkey.Options
	// Discard removes the old root key. Backups made before cannot be opened without it.
	Discard bool
}

// RotateRoot makes a new root key and wraps everything by it that the old one wrapped, in a running or a stopped
// server's data. Interrupted at any point, the root key in place opens everything.
//
// Errors: ErrNoData, ErrForeign, ErrNewerFormat, ErrInUse, ErrBusy; rootkey's.
func RotateRoot(ctx context.Context, c RotateConfig) (_ *Rotation, err error) {
	if err := CheckData(c.Data); err != nil {
		return nil, err
	}
	status, err := ReadStatus(ctx, c.Data)
	if errors.Is(err, ErrNotRunning) {
		return rotateStopped(ctx, c, rootFile(c.Data, c.RootFile))
	}
	if err != nil {
		return nil, err
	}
	return makeNext(ctx, status.RootFile, c.New, func(next *rootkey.File, nextFile string) (*Rotation, error) {
		return askRotate(ctx, c, next, nextFile)
	})
}

// makeNext makes the new root key beside the old one's file, for do. Unless it took the old one's place, its file is
// removed again.
func makeNext(ctx context.Context, file string, o rootkey.Options, do func(next *rootkey.File, nextFile string) (*Rotation, error)) (*Rotation, error) {
	nextFile := file + ".next-" + strings.ToLower(rand.Text()[:8])
	next, err := rootkey.Create(ctx, nextFile, o)
	if err != nil {
		return nil, err
	}
	defer next.Destroy()
	out, err := do(next, nextFile)
	if err != nil {
		os.Remove(nextFile) // it opens nothing
	}
	return out, err
}

// askRotate has the running server do it.
func askRotate(ctx context.Context, c RotateConfig, next *rootkey.File, nextFile string) (*Rotation, error) {
	secret := next.Secret()
	defer clear(secret)
	request, err := json.Marshal(rotateRequest{nextFile, secret, c.Discard})
	if err != nil {
		return nil, err
	}
	defer clear(request)
	body, err := controlCall(ctx, c.Data, http.MethodPost, "/root/rotate", bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	defer body.Close()
	out := new(Rotation)
	return out, json.NewDecoder(body).Decode(out)
}

// rotateStopped does it with a stopped server's data.
func rotateStopped(ctx context.Context, c RotateConfig, file string) (_ *Rotation, err error) {
	root, err := rootkey.Open(ctx, file, c.Old)
	if err != nil {
		return nil, err
	}
	defer root.Destroy()
	db, err := openExisting(filepath.Join(c.Data, "meta"), pebble.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	wrapped, err := sealed.WrappedKey(ctx, db)
	if err != nil {
		return nil, err
	}
	key, err := unwrapMetaKey(ctx, root, wrapped)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	unsealed, err := sealed.Open(ctx, db, key)
	if err != nil {
		return nil, err
	}
	custodian := kms.Custodian{DB: unsealed, Root: root}
	r := &rotation{
		data: c.Data, file: file, root: root, raw: db, metaKey: key,
		rewrapKMS: custodian.Rewrap, discard: c.Discard,
		rewrapDigests: func(ctx context.Context) (int, error) { return digest.Rewrap(ctx, unsealed, root) },
	}
	return makeNext(ctx, file, c.New, func(next *rootkey.File, nextFile string) (*Rotation, error) {
		return r.run(ctx, next, nextFile)
	})
}

// RootStatus is what is known of a data directory's root key without opening it.
type RootStatus struct {
	rootkey.Description
	File    string `json:"file"`
	Beside  bool   `json:"besideData"` // the file lies in the data directory
	Running bool   `json:"running"`
	// Interrupted says that a rotation runs or was interrupted; the next start completes it.
	Interrupted bool `json:"rotationInterrupted"`
}

// ShowRoot tells of the root key of a running or a stopped server. Errors: ErrNoData, ErrForeign, ErrNewerFormat;
// rootkey's ErrMissing and ErrMalformed.
func ShowRoot(ctx context.Context, data, file string) (*RootStatus, error) {
	if err := CheckData(data); err != nil {
		return nil, err
	}
	out := &RootStatus{File: rootFile(data, file)}
	status, err := ReadStatus(ctx, data)
	if out.Running = err == nil; out.Running {
		out.File = status.RootFile
	}
	if out.Description, err = rootkey.Describe(out.File); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(data)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(abs, out.File)
	out.Beside = err == nil && filepath.IsLocal(rel)
	_, err = os.Stat(filepath.Join(data, rotationFile))
	out.Interrupted = err == nil
	return out, nil
}
