// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/obscura-video/obscura/internal/meta"
)

const (
	materialIDLabel = "obscura/kms/material-id/v1"
	wrapLabel       = "obscura/kms/material/v1"

	// maxSecretBytes is the longest secret that is used as bytes: HMAC_512's.
	maxSecretBytes = 64
)

// newMaterial makes an id for secret, which stays the caller's. The id says nothing of
// the secret: it is a MAC under it.
func newMaterial(keyID string, secret []byte) material {
	return material{keyID: keyID, id: materialID(keyID, secret), secret: secret}
}

func materialID(keyID string, secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(materialIDLabel + "\x00" + keyID))
	return hex.EncodeToString(mac.Sum(nil))
}

// wrapAll wraps the materials of an edit. estate.writing is held, so that Rewrap misses none.
func (s *Service) wrapAll(ctx context.Context, materials []material) error {
	for i := range materials {
		m := &materials[i]
		var err error
		if m.wrapped, err = s.cfg.Root.Wrap(ctx, m.secret, wrapContext(m.keyID, m.id)); err != nil {
			return fmt.Errorf("kms: wrap material of key %s: %w", m.keyID, err)
		}
	}
	return nil
}

// wrapContext binds wrapped material to its place.
func wrapContext(keyID, materialID string) []byte {
	return []byte(wrapLabel + "\x00" + keyID + "\x00" + materialID)
}

// randomSecret returns n random bytes.
func randomSecret(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the process instead
	return b
}

// secret is unwrapped key material. It is a copy that the holder clears.
type secret struct {
	room [maxSecretBytes]byte
	n    int
}

func (x *secret) bytes() []byte { return x.room[:x.n] }

func (x *secret) clear() { clear(x.room[:]) }

// fetch fills into with a material of k. The caller has been authorised.
func (s *Service) fetch(ctx context.Context, k *key, materialID string, into *secret) error {
	ref := materialRef{k.ID, materialID}
	if s.secrets.get(ref, into) {
		return nil
	}
	plain, err := s.unwrap(ctx, ref)
	if err != nil {
		return err
	}
	defer clear(plain)
	if len(plain) > maxSecretBytes {
		return fmt.Errorf("kms: material of key %s has %d bytes", k.ID, len(plain))
	}
	into.n = copy(into.room[:], plain)
	s.secrets.put(ref, into)
	s.forgetIfGone(k.ID)
	return nil
}

// forgetIfGone drops what was cached of a key that was deleted, or lost material, meanwhile. A
// deletion leaves the view before it drops, so one of the two drops comes last.
func (s *Service) forgetIfGone(keyID string) {
	s.view.mu.RLock()
	k := s.held(keyID)
	s.view.mu.RUnlock()
	if k == nil || k.External && !k.complete() {
		s.secrets.drop(keyID)
	}
}

// unwrap reads a material from its row.
func (s *Service) unwrap(ctx context.Context, ref materialRef) ([]byte, error) {
	var wrapped []byte
	err := s.cfg.DB.View(ctx, func(r meta.Reader) (err error) {
		wrapped, err = r.Get(s.rows.material(ref.keyID, ref.id))
		return err
	})
	if errors.Is(err, meta.ErrNotFound) {
		return nil, notFoundKey(s.keyARN(ref.keyID)) // deleted since the key was looked up
	}
	if err != nil {
		return nil, fmt.Errorf("kms: read material of key %s: %w", ref.keyID, err)
	}
	plain, err := s.cfg.Root.Unwrap(ctx, wrapped, wrapContext(ref.keyID, ref.id))
	if err != nil {
		return nil, fmt.Errorf("kms: unwrap material of key %s: %w", ref.keyID, err)
	}
	return plain, nil
}

type materialRef struct{ keyID, id string }

// secrets caches unwrapped material, least recently used out first. Bytes are
// zeroed when they leave it.
type secrets struct {
	max int

	mu      sync.Mutex
	entries map[materialRef]*list.Element // of *cached
	recent  *list.List
}

type cached struct {
	ref    materialRef
	secret secret
	parsed any // a private key made of the material, nil when it is used as bytes
}

func newSecrets(limit int) *secrets {
	return &secrets{max: limit, entries: map[materialRef]*list.Element{}, recent: list.New()}
}

func (c *secrets) get(ref materialRef, into *secret) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[ref]
	if !ok {
		return false
	}
	c.recent.MoveToFront(e)
	*into = e.Value.(*cached).secret
	return true
}

func (c *secrets) getParsed(ref materialRef) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[ref]
	if !ok {
		return nil
	}
	c.recent.MoveToFront(e)
	return e.Value.(*cached).parsed
}

func (c *secrets) put(ref materialRef, x *secret) { c.add(&cached{ref: ref, secret: *x}) }

func (c *secrets) putParsed(ref materialRef, private any) { c.add(&cached{ref: ref, parsed: private}) }

func (c *secrets) add(entry *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[entry.ref]; ok {
		entry.secret.clear()
		return
	}
	c.entries[entry.ref] = c.recent.PushFront(entry)
	for len(c.entries) > c.max {
		c.remove(c.recent.Back())
	}
}

func (c *secrets) remove(e *list.Element) {
	entry := c.recent.Remove(e).(*cached)
	entry.secret.clear()
	entry.parsed = nil
	delete(c.entries, entry.ref)
}

// drop forgets all material of a key that was deleted.
func (c *secrets) drop(keyID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ref, e := range c.entries {
		if ref.keyID == keyID {
			c.remove(e)
		}
	}
}

func (c *secrets) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		c.remove(e)
	}
	c.max = 0
}
