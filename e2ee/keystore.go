// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

const (
	storeHeader = "store.head"
	storeSalt   = 16
	// maxStored bounds a stored value; a roster with its certificates is the largest.
	maxStored = 1 << 20
)

// Protector gives a key store its key. Passphrase is one; OS keyrings are others, by way of KeyringProtector.
type Protector interface {
	// StoreKey returns the store's 32-byte key. salt is random and belongs to this store.
	StoreKey(salt []byte) ([]byte, error)
}

// Keyring is the secret service of an operating system: it keeps small values by name.
type Keyring interface {
	// Get returns the value, or an error that wraps fs.ErrNotExist when there is none.
	Get(name string) ([]byte, error)
	// Set stores the value durably.
	Set(name string, value []byte) error
}

type passphrase []byte

// Passphrase protects a store by Argon2id (RFC 9106 §4, the second recommendation: 3 passes, 64 MiB, 4 lanes).
func Passphrase(p []byte) Protector { return passphrase(p) }

func (p passphrase) StoreKey(salt []byte) ([]byte, error) {
	if len(p) == 0 {
		return nil, refuse(ErrPassphrase, "empty passphrase")
	}
	return argon2.IDKey(p, salt, 3, 64<<10, 4, chacha20poly1305.KeySize), nil
}

type keyringProtector struct {
	ring Keyring
	name string
}

// KeyringProtector keeps a random store key in a keyring under name, making one when there is none.
func KeyringProtector(k Keyring, name string) Protector { return keyringProtector{k, name} }

func (p keyringProtector) StoreKey([]byte) ([]byte, error) {
	key, err := p.ring.Get(p.name)
	if errors.Is(err, fs.ErrNotExist) {
		key = NewSeed()
		err = p.ring.Set(p.name, key)
	}
	if err != nil {
		return nil, fmt.Errorf("e2ee: keyring %s: %w", p.name, err)
	}
	return key, nil
}

// KeyStore keeps secrets and pinned state in a directory of mode 0700, each value in a file of its own, sealed and bound to
// its name. Values survive a power cut once Save has returned. It holds no lock: one process at a time.
type KeyStore struct {
	dir  string
	aead cipher.AEAD
}

// OpenKeyStore opens the store in dir, or makes it.
//
// Errors: ErrPassphrase when the protector's key is not this store's.
func OpenKeyStore(dir string, p Protector) (*KeyStore, error) {
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	head, err := os.ReadFile(filepath.Join(dir, storeHeader))
	if errors.Is(err, fs.ErrNotExist) {
		return createKeyStore(dir, p)
	}
	if err != nil {
		return nil, fmt.Errorf("e2ee: key store: %w", err)
	}
	if len(head) < 1+storeSalt || head[0] != 1 {
		return nil, refuse(ErrVersion, "key store %s", dir)
	}
	s, err := newKeyStore(dir, p, head[1:1+storeSalt])
	if err != nil {
		return nil, err
	}
	if _, err := s.open(storeHeader, head[1+storeSalt:]); err != nil {
		return nil, refuse(ErrPassphrase, "key store %s", dir)
	}
	return s, nil
}

func createKeyStore(dir string, p Protector) (*KeyStore, error) {
	salt := make([]byte, storeSalt)
	rand.Read(salt)
	s, err := newKeyStore(dir, p, salt)
	if err != nil {
		return nil, err
	}
	head := append([]byte{1}, salt...)
	return s, s.write(storeHeader, append(head, s.seal(storeHeader, nil)...))
}

func newKeyStore(dir string, p Protector, salt []byte) (*KeyStore, error) {
	key, err := p.StoreKey(salt)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("e2ee: key store: %w", err)
	}
	return &KeyStore{dir: dir, aead: aead}, nil
}

func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("e2ee: key store: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("e2ee: key store: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return refuse(ErrMisuse, "key store %s is open to others: chmod 700", dir)
	}
	return nil
}

var storeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// Save seals value under name, replacing an older one. It is durable when Save returns.
func (s *KeyStore) Save(name string, value []byte) error {
	if !storeName.MatchString(name) || len(value) > maxStored {
		return refuse(ErrMisuse, "key store: name %q or %d bytes", name, len(value))
	}
	return s.write(name+".key", s.seal(name, value))
}

// Load returns the value under name, or an error that wraps fs.ErrNotExist.
//
// Errors: ErrPassphrase when the file is another one's or was changed.
func (s *KeyStore) Load(name string) ([]byte, error) {
	if !storeName.MatchString(name) {
		return nil, refuse(ErrMisuse, "key store: name %q", name)
	}
	sealed, err := os.ReadFile(filepath.Join(s.dir, name+".key"))
	if err != nil {
		return nil, fmt.Errorf("e2ee: key store: %w", err)
	}
	return s.open(name, sealed)
}

// LoadOrCreate returns the seed under name, making a random one at first.
func (s *KeyStore) LoadOrCreate(name string) ([]byte, error) {
	seed, err := s.Load(name)
	if errors.Is(err, fs.ErrNotExist) {
		seed = NewSeed()
		err = s.Save(name, seed)
	}
	return seed, err
}

// Saver returns a function that saves under name: what Trust wants.
func (s *KeyStore) Saver(name string) func([]byte) error {
	return func(b []byte) error { return s.Save(name, b) }
}

// Remove deletes the value under name. That it is gone from the disk's cells is beyond a file system's promise.
func (s *KeyStore) Remove(name string) error {
	if !storeName.MatchString(name) {
		return refuse(ErrMisuse, "key store: name %q", name)
	}
	if err := os.Remove(filepath.Join(s.dir, name+".key")); err != nil {
		return fmt.Errorf("e2ee: key store: %w", err)
	}
	return nil
}

func (s *KeyStore) seal(name string, value []byte) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(value)+chacha20poly1305.Overhead)
	rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, value, message("store", []byte(name)))
}

func (s *KeyStore) open(name string, sealed []byte) ([]byte, error) {
	if len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, refuse(ErrPassphrase, "key store: %s is cut short", name)
	}
	nonce, ct := sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:]
	value, err := s.aead.Open(nil, nonce, ct, message("store", []byte(name)))
	if err != nil {
		return nil, refuse(ErrPassphrase, "key store: %s", name)
	}
	return value, nil
}

// write replaces a file so that after a power cut there is the old one or the new one, whole.
func (s *KeyStore) write(file string, b []byte) (err error) {
	tmp, err := os.CreateTemp(s.dir, "."+file+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("e2ee: key store: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(s.dir, file))
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("e2ee: key store: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
