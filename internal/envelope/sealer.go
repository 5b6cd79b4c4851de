// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/seal"
)

// gate remembers when the last decision was made, and the one that went against the caller.
type gate struct {
	mu      sync.Mutex
	checked time.Time
	err     error
}

// pass calls decide if the last decision is older than Recheck. A refusal stays.
func (g *gate) pass(now time.Time, decide func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil || now.Sub(g.checked) < Recheck {
		return g.err
	}
	g.checked = now
	g.err = decide()
	return g.err
}

// fail makes err the answer from now on.
func (g *gate) fail(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	return g.err
}

func (g *gate) refusal() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Sealer seals one fragment. It is a journal.Sealer.
type Sealer struct {
	ring  *Keyring
	ctx   context.Context // of the caller it decides for
	scope Scope
	key   *plainKey
	gate  gate
}

var _ journal.Sealer = (*Sealer)(nil)

// KeyID names the data key within its scope.
func (s *Sealer) KeyID() string { return keyID(s.key.ordinal) }

// Check decides anew whether the caller may seal, if the last decision is older than
// Recheck. Seal does the same. Errors: those of the KeyService; once refused, for ever.
func (s *Sealer) Check() error {
	return s.gate.pass(s.ring.now(), func() error {
		if err := s.ring.kms.Authorize(s.ctx, OpGenerateDataKey, s.key.kmsKey, s.scope.Context); err != nil {
			return fmt.Errorf("envelope: seal: %w", err)
		}
		return nil
	})
}

// Seal implements journal.Sealer.
//
// Errors: as Check; seal.ErrDestroyed when the fragment took longer than MaxPlaintext.
func (s *Sealer) Seal(dst []byte, nonce *[seal.NonceSize]byte, plaintext, aad []byte) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	return s.key.Seal(dst, nonce, plaintext, aad)
}

// SealRandom seals what has no number, under a random nonce.
func (s *Sealer) SealRandom(dst, plaintext, aad []byte) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	return s.key.SealRandom(dst, plaintext, aad)
}

// Err returns why the Sealer refuses, nil when it does not.
func (s *Sealer) Err() error { return s.gate.refusal() }

// Opener opens what one data key has sealed. It is a journal.Opener.
type Opener struct {
	ring  *Keyring
	ctx   context.Context // of the caller it decides for
	scope Scope
	gate  gate

	mu  sync.Mutex
	key *plainKey
}

var _ journal.Opener = (*Opener)(nil)

// Check decides anew whether the caller may open, if the last decision is older than
// Recheck. Open does the same; whoever passes on a live frame, which was never sealed
// for him, calls this. Errors: those of the KeyService; once refused, for ever.
func (o *Opener) Check() error {
	return o.gate.pass(o.ring.now(), func() error {
		key := o.current()
		if err := o.ring.kms.Authorize(o.ctx, OpDecrypt, key.kmsKey, o.scope.Context); err != nil {
			return fmt.Errorf("envelope: open: %w", err)
		}
		return nil
	})
}

func (o *Opener) current() *plainKey {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.key
}

// Open implements journal.Opener. When the plaintext key was destroyed meanwhile, it is
// unwrapped anew.
//
// Errors: as Check and Reader.Open, which Err returns too; seal.ErrOpen.
func (o *Opener) Open(dst []byte, nonce *[seal.NonceSize]byte, ciphertext, aad []byte) ([]byte, error) {
	return o.open(func(k *seal.Key) ([]byte, error) { return k.Open(dst, nonce, ciphertext, aad) })
}

// OpenRandom opens what SealRandom sealed.
func (o *Opener) OpenRandom(dst, sealed, aad []byte) ([]byte, error) {
	return o.open(func(k *seal.Key) ([]byte, error) { return k.OpenRandom(dst, sealed, aad) })
}

func (o *Opener) open(with func(*seal.Key) ([]byte, error)) ([]byte, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	key := o.current()
	plaintext, err := with(key.Key)
	if !errors.Is(err, seal.ErrDestroyed) {
		return plaintext, err
	}
	key, err = o.ring.open(o.ctx, o.scope, key.ordinal)
	if err != nil {
		return nil, o.gate.fail(err)
	}
	o.mu.Lock()
	o.key = key
	o.mu.Unlock()
	return with(key.Key)
}

// Err returns why the Opener refuses, nil when it does not: the journal takes every
// error of Open for a message that is not authentic.
func (o *Opener) Err() error { return o.gate.refusal() }
