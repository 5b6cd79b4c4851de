// SPDX-License-Identifier: Apache-2.0

// Package rootkey holds the key at the top of the server's key hierarchy. It wraps the KMS's key material,
// the meta key and the local CA's private key, and nothing else; what it wraps is small.
//
// File is the default provider: 32 random bytes in a file of mode 0600. A root key beside the data that it
// protects keeps nothing from whoever takes the disk; keep it elsewhere with --root-file.
//
// The invariant: a root key is made only together with a new data directory. Where data exists, a missing or
// different root key is an error, and nothing is written.
package rootkey

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/obscura-video/obscura/internal/seal"
)

// Errors that callers test for.
var (
	// ErrMissing says that there is no root key where one was expected.
	ErrMissing = errors.New("no root key")
	// ErrMalformed says that the file is not a root key.
	ErrMalformed = errors.New("not a root key file")
	// ErrWrongKey says that what was to be unwrapped was wrapped by another key, or altered.
	ErrWrongKey = errors.New("wrapped by another root key, or altered")
)

const (
	fileHeader = "obscura root key v1"
	keyBytes   = 32
)

// File is a root key from a file. It is safe for concurrent use.
type File struct {
	key *seal.Key
	id  string
}

// CreateFile makes a new root key at path, durable on return. An existing file is an error (fs.ErrExist) and
// stays as it is.
func CreateFile(path string) (*File, error) {
	raw := make([]byte, keyBytes)
	rand.Read(raw) // never fails
	defer clear(raw)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	text := fileHeader + "\n" + base64.StdEncoding.EncodeToString(raw) + "\n"
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("root key %s: %w", path, err)
	}
	return newFile(raw)
}

// OpenFile reads the root key at path. Errors: ErrMissing, ErrMalformed.
func OpenFile(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	defer clear(text)
	header, rest, _ := bytes.Cut(text, []byte("\n"))
	if string(header) != fileHeader {
		return nil, fmt.Errorf("%s: %w", path, ErrMalformed)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(rest)))
	if err != nil || len(raw) != keyBytes {
		return nil, fmt.Errorf("%s: %w", path, ErrMalformed)
	}
	defer clear(raw)
	return newFile(raw)
}

func newFile(raw []byte) (*File, error) {
	key, err := seal.NewKey(raw)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	h.Write([]byte("obscura root key id v1\x00"))
	h.Write(raw)
	return &File{key: key, id: hex.EncodeToString(h.Sum(nil)[:8])}, nil
}

// ID names the key without telling anything of it: the first 8 bytes of a hash over it, in hex.
func (f *File) ID() string { return f.id }

// Wrap seals plaintext under the root key, bound to aad.
func (f *File) Wrap(_ context.Context, plaintext, aad []byte) ([]byte, error) {
	return f.key.SealRandom(nil, plaintext, aad)
}

// Unwrap opens what Wrap made with the same aad. Errors: ErrWrongKey.
func (f *File) Unwrap(_ context.Context, wrapped, aad []byte) ([]byte, error) {
	plain, err := f.key.OpenRandom(nil, wrapped, aad)
	if err != nil {
		return nil, ErrWrongKey
	}
	return plain, nil
}

// Destroy zeroes the key. Nothing can be wrapped or unwrapped afterwards.
func (f *File) Destroy() { f.key.Destroy() }
