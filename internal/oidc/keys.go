// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// freshFor is how long keys are used without asking for them again: so long after an issuer withdrew one it may
	// still be taken.
	freshFor = 5 * time.Minute
	// staleFor is how long keys are used when they cannot be asked for: an issuer that is down for a while takes
	// nobody's cameras down.
	staleFor = time.Hour
	// retryAfter is the shortest time between two fetches for one issuer, whatever tokens claim and whether the last
	// one went well: who sends tokens with made-up key IDs causes no more than that.
	retryAfter = 10 * time.Second

	maxSetBytes = 256 << 10
	maxKeys     = 100
	minRSABits  = 2048
	maxRSABits  = 8192
)

// source is where an issuer's keys come from.
type source interface {
	// load returns a JWK Set, at most maxSetBytes long.
	load(ctx context.Context) ([]byte, error)
}

// fileSource is a JWK Set that the operator keeps.
type fileSource string

func (f fileSource) load(context.Context) ([]byte, error) {
	st, err := os.Stat(string(f))
	if err != nil {
		return nil, err
	}
	if st.Size() > maxSetBytes {
		return nil, errTooLong
	}
	return os.ReadFile(string(f))
}

// keySet is the keys of one issuer, fetched when they are needed.
type keySet struct {
	source  source
	now     func() time.Time
	timeout time.Duration
	log     *slog.Logger

	fetching sync.Mutex // held while keys are fetched, before mu: one fetch serves all who wait for it
	tried    time.Time  // when that was tried last; guarded by fetching

	mu      sync.Mutex // guards the fields below, and is held for moments: whose key is at hand waits for no fetch
	keys    []jose.JSONWebKey
	fetched time.Time // when keys were, zero when they never were
}

// find returns the keys that may have signed a token: those of its key ID, or, when it names none, the one key that
// there is. Errors: ErrUnreachable; ErrSignature when the issuer has no such key.
func (s *keySet) find(ctx context.Context, t *token) ([]jose.JSONWebKey, error) {
	known, age := s.atHand(t.keyID)
	if len(known) == 0 || age >= freshFor {
		s.refresh(ctx)
		known, age = s.atHand(t.keyID)
	}
	switch {
	case age >= staleFor:
		return nil, ErrUnreachable
	case len(known) == 0:
		return nil, ErrSignature
	}
	return known, nil
}

// atHand returns the keys of an ID that there are, and how old they are.
func (s *keySet) atHand(keyID string) (known []jose.JSONWebKey, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetched.IsZero() {
		return nil, staleFor
	}
	return s.matching(keyID), s.now().Sub(s.fetched)
}

// refresh fetches the keys, unless that was tried just now; those that are there stay when it fails.
func (s *keySet) refresh(ctx context.Context) {
	s.fetching.Lock()
	defer s.fetching.Unlock()
	now := s.now()
	if !s.tried.IsZero() && now.Sub(s.tried) < retryAfter {
		return
	}
	s.tried = now
	// Whoever began it may go away: the others wait for the same keys.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	raw, err := s.source.load(ctx)
	if err == nil {
		var keys []jose.JSONWebKey
		if keys, err = parseKeys(raw); err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.keys, s.fetched = keys, now
			return
		}
	}
	s.log.WarnContext(ctx, "keys of a web identity issuer were not fetched", "error", err)
}

// matching returns the keys of an ID. mu is held.
func (s *keySet) matching(keyID string) []jose.JSONWebKey {
	if keyID == "" {
		if len(s.keys) == 1 {
			return s.keys
		}
		return nil // there is no telling which one
	}
	var found []jose.JSONWebKey
	for _, k := range s.keys {
		if k.KeyID == keyID {
			found = append(found, k)
		}
	}
	return found
}

// parseKeys reads a JWK Set and keeps the public keys for signatures. Keys of kinds that are not known are passed over
// (RFC 7517, 5).
func parseKeys(raw []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("malformed JWK set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("JWK set of %d keys", len(set.Keys))
	}
	var keys []jose.JSONWebKey
	for _, one := range set.Keys {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(one); err != nil || !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no public key for signatures among %d", len(set.Keys))
	}
	return keys, nil
}
