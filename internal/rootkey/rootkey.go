// SPDX-License-Identifier: Apache-2.0

// Package rootkey holds the key at the top of the server's key hierarchy. It wraps the KMS's key material,
// the meta key and the local CA's private key, and nothing else; what it wraps is small.
//
// A root key is 32 random bytes in a file, and a provider says how they lie there: as they are (file), or
// protected by a passphrase, a PKCS #11 token, Vault's transit engine or a cloud's KMS. The provider is asked
// when the server starts and not after: losing it later stops no server that runs. A root key of provider
// "file" beside the data keeps nothing from whoever takes the disk; keep it elsewhere with --root-file.
//
// It is not where data is encrypted, and it decides nothing.
//
// The invariant: a root key is made only together with a new data directory, or by a rotation. Where data
// exists, a missing or different root key is an error, and nothing is written.
//
// Format of the file and of what is wrapped: docs/formats/root-key.md.
package rootkey

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

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
	// ErrLocked says that the root key's provider did not open it: a wrong passphrase, a token or a service
	// that is not there or refuses, or nothing to ask with.
	ErrLocked = errors.New("root key is locked")
	// ErrProvider says that the provider is unknown, not in this build, differs from the file's, or lacks an option.
	ErrProvider = errors.New("root key provider")
)

// Root is a root key in use. It is safe for concurrent use.
type Root interface {
	// ID names the key without telling anything of it.
	ID() string
	// Wrap seals plaintext so that only Unwrap with the same aad opens it.
	Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error)
	// Unwrap returns plaintext in memory that the caller owns and may zero. Errors: ErrWrongKey.
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
}

const (
	keyBytes = 32
	idBytes  = 8

	// Wrapped values: magic, version, number of parts, and each part with its key's ID and length.
	wrapMagic   = "OR"
	wrapVersion = 1
	wrapHeader  = len(wrapMagic) + 2
	partHeader  = idBytes + 2
	// maxPlaintext bounds what is wrapped, so that every length fits: private keys are the longest.
	maxPlaintext = 16 << 10
)

// File is a root key from a file. It is safe for concurrent use.
//
// While a root key is rotated it holds two: Wrap then seals for both, so that either of them opens everything.
type File struct {
	secret [keyBytes]byte // zeroed by Destroy

	mu   sync.RWMutex // guards keys
	keys []*rootKey   // the first is the one in the file
}

var _ Root = (*File)(nil)

// rootKey is one key with its ID.
type rootKey struct {
	key *seal.Key
	id  [idBytes]byte
}

// newFile makes a root key of 32 bytes, which stay the caller's.
func newFile(raw []byte) (*File, error) {
	key, err := seal.NewKey(raw)
	if err != nil {
		return nil, err
	}
	f := &File{keys: []*rootKey{{key: key, id: secretID(raw)}}}
	copy(f.secret[:], raw)
	return f, nil
}

// secretID is the first 8 bytes of a hash over the key.
func secretID(raw []byte) [idBytes]byte {
	h := sha256.New()
	h.Write([]byte("obscura root key id v1\x00"))
	h.Write(raw)
	return [idBytes]byte(h.Sum(nil))
}

func (f *File) current() []*rootKey {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.keys
}

// ID names the key without telling anything of it: the first 8 bytes of a hash over it, in hex.
func (f *File) ID() string { return hex.EncodeToString(f.current()[0].id[:]) }

// Wrap seals plaintext under the root key, bound to aad; under both while the root key is rotated.
func (f *File) Wrap(_ context.Context, plaintext, aad []byte) ([]byte, error) {
	if len(plaintext) > maxPlaintext {
		return nil, fmt.Errorf("root key: %d bytes are too many to wrap", len(plaintext))
	}
	keys := f.current()
	out := append([]byte(wrapMagic), wrapVersion, byte(len(keys)))
	for _, k := range keys {
		sealed, err := k.key.SealRandom(nil, plaintext, aad)
		if err != nil {
			return nil, err
		}
		out = append(out, k.id[:]...)
		out = binary.BigEndian.AppendUint16(out, uint16(len(sealed)))
		out = append(out, sealed...)
	}
	return out, nil
}

// Unwrap opens what Wrap made with the same aad. Errors: ErrWrongKey.
func (f *File) Unwrap(_ context.Context, wrapped, aad []byte) ([]byte, error) {
	parts, ok := cutParts(wrapped)
	if !ok {
		return nil, ErrWrongKey
	}
	for _, k := range f.current() {
		for _, p := range parts {
			if p.id != k.id {
				continue
			}
			if plain, err := k.key.OpenRandom(nil, p.sealed, aad); err == nil {
				return plain, nil
			}
		}
	}
	return nil, ErrWrongKey
}

// WrappedBy returns the IDs of the root keys of which each opens wrapped by itself; nil when it is not a
// wrapped value.
func WrappedBy(wrapped []byte) (ids []string) {
	parts, _ := cutParts(wrapped)
	for _, p := range parts {
		ids = append(ids, hex.EncodeToString(p.id[:]))
	}
	return ids
}

// part is the plaintext under one key; sealed lies in the wrapped value.
type part struct {
	id     [idBytes]byte
	sealed []byte
}

// cutParts takes a wrapped value apart. There are one or two parts.
func cutParts(wrapped []byte) ([]part, bool) {
	rest, ok := bytes.CutPrefix(wrapped, []byte(wrapMagic))
	if !ok || len(wrapped) < wrapHeader || rest[0] != wrapVersion {
		return nil, false
	}
	n := int(rest[1])
	rest = rest[2:]
	var parts []part
	for range n {
		if len(rest) < partHeader {
			return nil, false
		}
		size := int(binary.BigEndian.Uint16(rest[idBytes:]))
		if len(rest)-partHeader < size {
			return nil, false
		}
		parts = append(parts, part{[idBytes]byte(rest), rest[partHeader : partHeader+size]})
		rest = rest[partHeader+size:]
	}
	return parts, n >= 1 && n <= 2 && len(rest) == 0
}

// Join begins a rotation: from now on Wrap seals for both f and next, f's ID stays. next stays its owner's and
// must outlive f, or the end of the rotation by Keep.
func (f *File) Join(next *File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = []*rootKey{f.keys[0], next.current()[0]}
}

// Keep ends a rotation: of the keys that f holds, the one with this ID is f's from now on.
func (f *File) Keep(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.keys {
		if hex.EncodeToString(k.id[:]) == id {
			f.keys = []*rootKey{k}
			return
		}
	}
}

// Secret returns a copy of the 32 bytes, for the process that is to use them; the caller zeroes it.
func (f *File) Secret() []byte { return bytes.Clone(f.secret[:]) }

// FromSecret makes a root key of what Secret returned; secret stays the caller's. Errors: ErrMalformed.
func FromSecret(secret []byte) (*File, error) {
	if len(secret) != keyBytes {
		return nil, ErrMalformed
	}
	return newFile(secret)
}

// Destroy zeroes the key. Nothing can be wrapped or unwrapped afterwards.
func (f *File) Destroy() {
	clear(f.secret[:])
	for _, k := range f.current() {
		k.key.Destroy()
	}
}
