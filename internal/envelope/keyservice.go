// SPDX-License-Identifier: Apache-2.0

package envelope

import "context"

// The operations that KeyService.Authorize knows.
const (
	OpGenerateDataKey = "GenerateDataKey"
	OpDecrypt         = "Decrypt"
)

// DataKey is what KeyService.GenerateDataKey returns. Its slices belong to the caller,
// who clears Plaintext.
type DataKey struct {
	KeyARN     string // of the KMS key that wrapped it
	Plaintext  []byte // 32 bytes
	Ciphertext []byte // the same, wrapped
}

// KeyService is what anything that stores needs of a KMS. Every method decides for the
// caller in ctx and may be called concurrently.
//
// Errors are those of the KMS API's model, or *access.Denied, so that callers can tell
// them apart with errors.As.
type KeyService interface {
	// GenerateDataKey makes a data key under the KMS key that keyID (an ID, ARN or
	// alias) names. It is audited as the caller's use of that key.
	GenerateDataKey(ctx context.Context, keyID string, encryptionContext map[string]string) (DataKey, error)
	// Decrypt unwraps a Ciphertext made under keyID with the same encryption context.
	// It is audited likewise. The plaintext belongs to the caller, who clears it.
	Decrypt(ctx context.Context, keyID string, ciphertext []byte, encryptionContext map[string]string) ([]byte, error)
	// Authorize decides anew whether the caller may do operation with the key in its
	// present state. It touches no key material.
	Authorize(ctx context.Context, operation, keyID string, encryptionContext map[string]string) error
}
