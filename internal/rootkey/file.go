// SPDX-License-Identifier: Apache-2.0

package rootkey

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	plainHeader     = "obscura root key v1" // the key itself
	protectedHeader = "obscura root key v2" // the key, protected by a provider
	// maxFileBytes bounds what is read.
	maxFileBytes = 64 << 10
)

// Options say how a root key is protected and what is needed to open it.
type Options struct {
	// Provider is one of Providers. Empty: what the file says; "file" for a new one.
	Provider string
	// Params are the provider's options, none of them secret; a new file keeps them. They are listed in
	// docs/formats/root-key.md. Those given for a file that exists replace the ones in it for this time.
	Params map[string]string
	// Ask gets a passphrase or PIN. nil: a provider that needs one is ErrLocked. What it returns is zeroed
	// after use. again asks twice, for a new passphrase.
	Ask func(prompt string, again bool) ([]byte, error)
}

// Providers are the names of all providers, sorted; those not in this build too.
func Providers() []string {
	return slices.Sorted(maps.Keys(providers))
}

// guard is a provider made ready: it seals the 32 bytes of a root key.
type guard interface {
	seal(ctx context.Context, secret, aad []byte) ([]byte, error)
	open(ctx context.Context, sealed, aad []byte) ([]byte, error)
}

// provider makes a guard. It may complete params, which a new file then keeps.
type provider func(ctx context.Context, params map[string]string, o *Options, create bool) (guard, error)

// ProviderFile is the provider that protects nothing.
const ProviderFile = "file"

var providers = map[string]provider{
	ProviderFile: nil,
	"passphrase": newPassphrase,
	"pkcs11":     newPKCS11,
	"transit":    newTransit,
	"aws":        newAWS,
	"gcp":        newGCP,
	"azure":      newAzure,
}

// header is the second line of a protected file.
type header struct {
	ID       string            `json:"id"`
	Provider string            `json:"provider"`
	Params   map[string]string `json:"params,omitempty"`
	Sealed   []byte            `json:"sealed"`
}

// aad binds what is sealed to what the file says of it. Params are left out: a wrong one opens nothing anyway,
// and an address may change.
func (h *header) aad() []byte { return []byte(protectedHeader + "\x00" + h.Provider + "\x00" + h.ID) }

// Description is what a root key file says of itself. It proves nothing.
type Description struct {
	ID       string            `json:"id"`
	Provider string            `json:"provider"`
	Params   map[string]string `json:"params,omitempty"`
}

// Describe reads what a root key file says of itself, and opens nothing but a key of provider "file".
// Errors: ErrMissing, ErrMalformed.
func Describe(path string) (Description, error) {
	raw, h, err := read(path)
	if err != nil {
		return Description{}, err
	}
	if raw != nil {
		defer clear(raw)
		id := secretID(raw)
		return Description{ID: hex.EncodeToString(id[:]), Provider: ProviderFile}, nil
	}
	return Description{ID: h.ID, Provider: h.Provider, Params: h.Params}, nil
}

// CreateFile makes a new root key of provider "file". Errors: as Create.
func CreateFile(path string) (*File, error) { return Create(context.Background(), path, Options{}) }

// OpenFile opens a root key that needs nothing to be asked. Errors: as Open.
func OpenFile(path string) (*File, error) { return Open(context.Background(), path, Options{}) }

// Create makes a new root key at path, mode 0600, durable on return. An existing file is an error (fs.ErrExist)
// and stays as it is. Errors: ErrProvider, ErrLocked.
func Create(ctx context.Context, path string, o Options) (_ *File, err error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("root key %s: %w", path, fs.ErrExist)
	}
	raw := make([]byte, keyBytes)
	rand.Read(raw) // never fails
	defer clear(raw)
	text, err := encode(ctx, raw, o)
	if err != nil {
		return nil, fmt.Errorf("root key %s: %w", path, err)
	}
	defer clear(text)
	if err := writeNew(path, text); err != nil {
		return nil, fmt.Errorf("root key %s: %w", path, err)
	}
	return newFile(raw)
}

// encode is the file of a root key.
func encode(ctx context.Context, raw []byte, o Options) ([]byte, error) {
	if o.Provider == "" || o.Provider == ProviderFile {
		if len(o.Params) > 0 {
			return nil, fmt.Errorf("%w: file takes no options", ErrProvider)
		}
		return []byte(plainHeader + "\n" + base64.StdEncoding.EncodeToString(raw) + "\n"), nil
	}
	id := secretID(raw)
	h := header{ID: hex.EncodeToString(id[:]), Provider: o.Provider, Params: map[string]string{}}
	maps.Copy(h.Params, o.Params)
	g, err := newGuard(ctx, &h, &o, true)
	if err != nil {
		return nil, err
	}
	if h.Sealed, err = g.seal(ctx, raw, h.aad()); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, o.Provider, err)
	}
	// What cannot be opened again must not become a root key.
	back, err := g.open(ctx, h.Sealed, h.aad())
	if err != nil || !bytes.Equal(back, raw) {
		return nil, fmt.Errorf("%w: %s does not open what it sealed: %w", ErrLocked, o.Provider, err)
	}
	clear(back)
	line, err := json.Marshal(h)
	return append([]byte(protectedHeader+"\n"), append(line, '\n')...), err
}

func newGuard(ctx context.Context, h *header, o *Options, create bool) (guard, error) {
	make, ok := providers[h.Provider]
	if !ok || make == nil {
		return nil, fmt.Errorf("%w: unknown: %q; there are %s", ErrProvider, h.Provider, strings.Join(Providers(), ", "))
	}
	return make(ctx, h.Params, o, create)
}

// Open opens the root key at path. Errors: ErrMissing, ErrMalformed, ErrLocked, ErrProvider.
func Open(ctx context.Context, path string, o Options) (*File, error) {
	raw, h, err := read(path)
	if err != nil {
		return nil, err
	}
	is := ProviderFile
	if h != nil {
		is = h.Provider
	}
	if o.Provider != "" && o.Provider != is {
		clear(raw)
		return nil, fmt.Errorf("%w: %s is a root key of provider %s, not %s", ErrProvider, path, is, o.Provider)
	}
	if h != nil {
		if raw, err = h.unseal(ctx, o); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	defer clear(raw)
	return newFile(raw)
}

// unseal has the provider open the key.
func (h *header) unseal(ctx context.Context, o Options) ([]byte, error) {
	params := map[string]string{}
	maps.Copy(params, h.Params)
	maps.Copy(params, o.Params)
	given := *h
	given.Params = params
	g, err := newGuard(ctx, &given, &o, false)
	if err != nil {
		return nil, err
	}
	raw, err := g.open(ctx, h.Sealed, h.aad())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, h.Provider, err)
	}
	if len(raw) != keyBytes {
		clear(raw)
		return nil, ErrMalformed
	}
	if id := secretID(raw); hex.EncodeToString(id[:]) != h.ID {
		clear(raw)
		return nil, fmt.Errorf("%w: %s opened another key", ErrWrongKey, h.Provider)
	}
	return raw, nil
}

// read returns the key itself, or how it is protected.
func read(path string) (raw []byte, h *header, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s: %w", path, ErrMissing)
	}
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFileBytes))
	if err != nil {
		return nil, nil, err
	}
	defer clear(text)
	raw, h, ok := parse(text)
	if !ok {
		return nil, nil, fmt.Errorf("%s: %w", path, ErrMalformed)
	}
	return raw, h, nil
}

// parse takes a root key file apart: either raw or h is set.
func parse(text []byte) (raw []byte, h *header, ok bool) {
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	switch string(first) {
	case plainHeader:
		raw = make([]byte, base64.StdEncoding.DecodedLen(len(rest)))
		n, err := base64.StdEncoding.Decode(raw, bytes.TrimSpace(rest))
		return raw[:n], nil, err == nil && n == keyBytes
	case protectedHeader:
		h = new(header)
		err := json.Unmarshal(rest, h)
		return nil, h, err == nil && len(h.ID) == 2*idBytes && h.Provider != "" && len(h.Sealed) > 0
	}
	return nil, nil, false
}

// writeNew writes a file that must not exist, durable on return with its name. What could not be written whole is
// removed.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
