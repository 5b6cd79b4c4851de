// SPDX-License-Identifier: Apache-2.0

package digest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/meta"
)

const (
	keyBits = 2048 // SHA256withRSA of CloudTrail's digest files
	// KeyLife is how long a key signs: 24 digests.
	KeyLife = 24 * time.Hour
)

// RootKey is what the package needs of the root key, which wraps the private keys.
type RootKey interface {
	Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
}

// Key is the public side of a key that digests are signed with. It signs the digests that end after From and not
// after To. Public keys are kept for ever.
type Key struct {
	// Fingerprint is what digests name the key by: the first 16 bytes, in hexadecimal, of the SHA-256 of Public.
	Fingerprint string
	From, To    time.Time
	Public      []byte // DER of PKCS #1 RSAPublicKey, not SubjectPublicKeyInfo
	// EndorsedBy is the fingerprint of the key before and Endorsement its signature over this key; both empty in
	// the first key.
	EndorsedBy  string `json:",omitempty"`
	Endorsement []byte `json:",omitempty"`
}

// Fingerprint names a public key, the DER of PKCS #1.
func Fingerprint(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:16])
}

// CheckPublic makes sure that a public key is the DER of PKCS #1, of the size that digests are signed with.
func CheckPublic(der []byte) error {
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return fmt.Errorf("digest: public key: %w", err)
	}
	if key.Size()*8 != keyBits {
		return fmt.Errorf("digest: public key of %d bits", key.Size()*8)
	}
	return nil
}

// endorsed is what the key before signs.
func (k *Key) endorsed() []byte {
	text := fmt.Appendf(nil, "obscura digest key succession v1\n%s\n%s\n%s\n", k.EndorsedBy, k.From.UTC().Format(time.RFC3339), k.To.UTC().Format(time.RFC3339))
	return append(text, k.Public...)
}

// storedKey is a key as it is stored, as JSON. Fields are only ever added.
type storedKey struct {
	Key
	// Private is the private key (PKCS #1), wrapped by the root key; absent once another key has followed.
	Private []byte `json:",omitempty"`
}

func (k *Key) row() []byte {
	row := meta.AppendUint64(rowKey(kindKey), uint64(max(k.From.Unix(), 0)))
	return append(row, k.Fingerprint...)
}

func wrapContext(fingerprint string) []byte {
	return []byte("obscura audit digest key v1\x00" + fingerprint)
}

// loadKeys returns every key, the oldest first.
func loadKeys(r meta.Reader) (keys []storedKey, err error) {
	prefix := rowKey(kindKey)
	for kv, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
		if err != nil {
			return nil, fmt.Errorf("digest: keys: %w", err)
		}
		var k storedKey
		if err := json.Unmarshal(kv.Value, &k); err != nil {
			return nil, fmt.Errorf("digest: stored key: %w", err)
		}
		if !bytes.Equal(kv.Key, k.row()) || Fingerprint(k.Public) != k.Fingerprint {
			return nil, fmt.Errorf("digest: stored key %s lies under another's name", k.Fingerprint)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (k *storedKey) store(tx meta.Tx) error {
	v, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("digest: write key: %w", err)
	}
	tx.Put(k.row(), v)
	return nil
}

// ring is the keys of a store. Its methods may be called concurrently.
type ring struct {
	db   meta.DB
	root RootKey
	mu   sync.Mutex // held while keys are written
}

func (r *ring) keys(ctx context.Context) (keys []storedKey, err error) {
	err = r.db.View(ctx, func(tx meta.Reader) error {
		keys, err = loadKeys(tx)
		return err
	})
	return keys, err
}

// signer returns the key for the digest that ends at end, with its private side. It makes the first key, and the
// next one when the newest has had its time.
func (r *ring) signer(ctx context.Context, end time.Time) (*Key, *rsa.PrivateKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys, err := r.keys(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(keys) == 0 || keys[len(keys)-1].To.Before(end) {
		return r.make(ctx, keys, end)
	}
	k := &keys[len(keys)-1]
	private, err := r.open(ctx, k)
	return &k.Key, private, err
}

// first makes the first key if there is none yet, for digests that end after from.
func (r *ring) first(ctx context.Context, from time.Time) error {
	_, _, err := r.signer(ctx, from.Add(Period))
	return err
}

// make makes the key that follows those there are.
func (r *ring) make(ctx context.Context, keys []storedKey, end time.Time) (*Key, *rsa.PrivateKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, nil, fmt.Errorf("digest: new key: %w", err)
	}
	public := x509.MarshalPKCS1PublicKey(&private.PublicKey)
	k := storedKey{Key: Key{Fingerprint: Fingerprint(public), Public: public, From: end.Add(-Period)}}
	var old *storedKey
	if n := len(keys); n > 0 {
		old = &keys[n-1]
		k.From = old.To
	}
	k.To = k.From.Add(KeyLife)
	if old != nil {
		if err := r.endorse(ctx, old, &k.Key); err != nil {
			return nil, nil, err
		}
	}
	if k.Private, err = r.wrap(ctx, k.Fingerprint, private); err != nil {
		return nil, nil, err
	}
	err = r.db.Update(ctx, func(tx meta.Tx) error {
		if old != nil {
			old.Private = nil
			if err := old.store(tx); err != nil {
				return err
			}
		}
		return k.store(tx)
	})
	return &k.Key, private, err
}

// endorse has the key old sign its successor k.
func (r *ring) endorse(ctx context.Context, old *storedKey, k *Key) error {
	private, err := r.open(ctx, old)
	if err != nil {
		return err
	}
	k.EndorsedBy = old.Fingerprint
	k.Endorsement, err = sign(private, k.endorsed())
	return err
}

func (r *ring) wrap(ctx context.Context, fingerprint string, private *rsa.PrivateKey) ([]byte, error) {
	der := x509.MarshalPKCS1PrivateKey(private)
	defer clear(der)
	wrapped, err := r.root.Wrap(ctx, der, wrapContext(fingerprint))
	if err != nil {
		return nil, fmt.Errorf("digest: wrap key: %w", err)
	}
	return wrapped, nil
}

// open returns the private side of k, and makes sure that it is k's.
func (r *ring) open(ctx context.Context, k *storedKey) (*rsa.PrivateKey, error) {
	der, err := r.root.Unwrap(ctx, k.Private, wrapContext(k.Fingerprint))
	if err != nil {
		return nil, fmt.Errorf("digest: key %s: %w", k.Fingerprint, err)
	}
	defer clear(der)
	private, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("digest: key %s: %w", k.Fingerprint, err)
	}
	if !bytes.Equal(x509.MarshalPKCS1PublicKey(&private.PublicKey), k.Public) {
		return nil, fmt.Errorf("digest: key %s: private and public side do not fit", k.Fingerprint)
	}
	return private, nil
}

// rewrap wraps the private keys anew by the root key as it is now, and returns how many there are: one, or none.
func (r *ring) rewrap(ctx context.Context) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err = r.db.Update(ctx, func(tx meta.Tx) error {
		n = 0
		keys, err := loadKeys(tx)
		if err != nil {
			return err
		}
		for i := range keys {
			k := &keys[i]
			if k.Private == nil {
				continue
			}
			private, err := r.open(ctx, k)
			if err != nil {
				return err
			}
			if k.Private, err = r.wrap(ctx, k.Fingerprint, private); err != nil {
				return err
			}
			if err := k.store(tx); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// Rewrap wraps the private keys of a stopped server's store anew, by the root key as it is now: whoever rotates
// the root key has it wrap for the old and the new one first. It returns how many keys there are.
func Rewrap(ctx context.Context, db meta.DB, root RootKey) (int, error) {
	r := ring{db: db, root: root}
	return r.rewrap(ctx)
}

// CheckKeys makes sure that root opens every private key there is, that it is its public key's, and that each key
// endorsed the next.
func CheckKeys(ctx context.Context, db meta.DB, root RootKey) error {
	r := ring{db: db, root: root}
	keys, err := r.keys(ctx)
	if err != nil {
		return err
	}
	for i := range keys {
		if keys[i].Private == nil {
			continue
		}
		if _, err := r.open(ctx, &keys[i]); err != nil {
			return err
		}
	}
	return checkSuccession(public(keys))
}

// Keys returns the public side of every key in a store, the oldest first.
func Keys(ctx context.Context, db meta.DB) ([]Key, error) {
	r := ring{db: db}
	keys, err := r.keys(ctx)
	return public(keys), err
}

func public(keys []storedKey) (out []Key) {
	for _, k := range keys {
		out = append(out, k.Key)
	}
	return out
}

// checkSuccession makes sure that each key begins where the one before ends, and was endorsed by it.
func checkSuccession(keys []Key) error {
	for i := 1; i < len(keys); i++ {
		before, k := &keys[i-1], &keys[i]
		if !k.From.Equal(before.To) {
			return fmt.Errorf("digest: key %s does not follow the one before: a key is missing", k.Fingerprint)
		}
		if k.EndorsedBy != before.Fingerprint || verify(before.Public, k.endorsed(), k.Endorsement) != nil {
			return fmt.Errorf("digest: key %s was not endorsed by key %s before it", k.Fingerprint, before.Fingerprint)
		}
	}
	return nil
}

// led returns the fingerprints of the pinned keys and of those that they lead to: each key endorsed by one of them.
// A pinned key need not be among keys.
func led(keys []Key, pinned [][]byte) map[string]bool {
	trusted := map[string]bool{}
	for _, p := range pinned {
		trusted[Fingerprint(p)] = true
	}
	for i := 1; i < len(keys); i++ {
		k := &keys[i]
		if b := keys[i-1]; trusted[b.Fingerprint] && k.EndorsedBy == b.Fingerprint && verify(b.Public, k.endorsed(), k.Endorsement) == nil {
			trusted[k.Fingerprint] = true
		}
	}
	return trusted
}

// find returns the key with a fingerprint, nil when there is none.
func find(keys []Key, fingerprint string) *Key {
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Fingerprint == fingerprint })
	if i < 0 {
		return nil
	}
	return &keys[i]
}
