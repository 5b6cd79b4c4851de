// SPDX-License-Identifier: Apache-2.0

// Package envelopetest has a KeyService in memory for the tests of whatever seals with
// package envelope. It is no KMS: it has keys, their state, and a switch per caller.
//
// The invariant is the one that tests rely upon: every method decides at the moment it
// is called.
package envelopetest

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/envelope"
	"github.com/obscura-video/obscura/internal/seal"
)

// KMS is an envelope.KeyService. It may be used concurrently; New makes one.
type KMS struct {
	mu    sync.Mutex // guards the fields below
	keys  map[string]*key
	calls map[string]int
}

type key struct {
	material *seal.Key
	err      error
	denied   map[string]bool
}

var _ envelope.KeyService = (*KMS)(nil)

// New returns a KMS with the named keys, all enabled.
func New(keyIDs ...string) *KMS {
	k := &KMS{keys: map[string]*key{}, calls: map[string]int{}}
	for _, id := range keyIDs {
		var material [seal.KeySize]byte
		rand.Read(material[:])
		m, err := seal.NewKey(material[:])
		if err != nil {
			panic(err) // of a constant size
		}
		k.keys[ARN(id)] = &key{material: m, denied: map[string]bool{}}
	}
	return k
}

// ARN returns the ARN of a key ID.
func ARN(keyID string) string { return "arn:aws:kms:us-east-1:000000000000:key/" + keyID }

// Fail makes every use of the key fail with err, until it is nil again.
func (k *KMS) Fail(keyID string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[ARN(keyID)].err = err
}

// Disable makes every use of the key fail as that of a disabled one.
func (k *KMS) Disable(keyID string) {
	k.Fail(keyID, &kmsapi.DisabledException{Message: ARN(keyID) + " is disabled."})
}

// Deny refuses the key to a principal, or no longer.
func (k *KMS) Deny(keyID, principalARN string, denied bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[ARN(keyID)].denied[principalARN] = denied
}

// Calls returns how often an operation was called; for Authorize, "Authorize".
func (k *KMS) Calls(operation string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls[operation]
}

// GenerateDataKey implements envelope.KeyService.
func (k *KMS) GenerateDataKey(ctx context.Context, keyID string, ec map[string]string) (envelope.DataKey, error) {
	key, arn, err := k.use(ctx, "GenerateDataKey", keyID)
	if err != nil {
		return envelope.DataKey{}, err
	}
	plaintext := make([]byte, seal.KeySize)
	rand.Read(plaintext)
	wrapped, err := key.material.SealRandom(nil, plaintext, aad(ec))
	return envelope.DataKey{KeyARN: arn, Plaintext: plaintext, Ciphertext: wrapped}, err
}

// Decrypt implements envelope.KeyService.
func (k *KMS) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ec map[string]string) ([]byte, error) {
	key, _, err := k.use(ctx, "Decrypt", keyID)
	if err != nil {
		return nil, err
	}
	plaintext, err := key.material.OpenRandom(nil, ciphertext, aad(ec))
	if err != nil {
		return nil, &kmsapi.InvalidCiphertextException{}
	}
	return plaintext, nil
}

// Authorize implements envelope.KeyService.
func (k *KMS) Authorize(ctx context.Context, _, keyID string, _ map[string]string) error {
	_, _, err := k.use(ctx, "Authorize", keyID)
	return err
}

func (k *KMS) use(ctx context.Context, operation, keyID string) (*key, string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls[operation]++
	arn := keyID
	found := k.keys[arn]
	if found == nil {
		arn = ARN(keyID)
		found = k.keys[arn]
	}
	if found == nil {
		return nil, "", &kmsapi.NotFoundException{Message: "Key '" + keyID + "' does not exist"}
	}
	if call, ok := access.FromContext(ctx); ok && found.denied[call.Principal.ARN] {
		return nil, "", &access.Denied{Message: call.Principal.ARN + " may not use " + arn}
	}
	return found, arn, found.err
}

func aad(ec map[string]string) []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(ec)) {
		b = append(append(append(append(b, name...), 0), ec[name]...), 0)
	}
	return b
}
