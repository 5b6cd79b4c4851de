// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// GenerateDataKey returns a new random key (AES_128, AES_256, or 1 to 1024 bytes),
// plain and sealed under a symmetric key with the encryption context bound to it.
// Nothing is stored. The plaintext is the caller's to zero.
//
// Errors: as Encrypt; ValidationException unless exactly one of KeySpec and
// NumberOfBytes is given; UnsupportedOperationException for a Recipient.
//
// Source: AWS KMS API Reference, GenerateDataKey; deviations in docs/compat/kms.md.
func (s *Service) GenerateDataKey(ctx context.Context, in *kmsapi.GenerateDataKeyInput) (*kmsapi.GenerateDataKeyOutput, error) {
	if in.Recipient != nil {
		return nil, s.refuse(ctx)
	}
	const operation = "GenerateDataKey"
	k, err := s.keyFor(ctx, *in.KeyId, dataKeyUse(operation, in.EncryptionContext, in.GrantTokens))
	if err != nil {
		return nil, err
	}
	n, err := dataKeyBytes(in.KeySpec, in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	plaintext, blob, err := s.dataKey(ctx, k, operation, n, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	if isTrue(in.DryRun) {
		clear(plaintext)
		return nil, dryRun()
	}
	s.used(ctx, k, operation)
	return &kmsapi.GenerateDataKeyOutput{CiphertextBlob: blob, Plaintext: plaintext, KeyId: &k.arn, KeyMaterialId: k.currentMaterial()}, nil
}

// GenerateDataKeyWithoutPlaintext is GenerateDataKey for those who will need the
// plaintext later: it is zeroed here. Errors: as GenerateDataKey.
func (s *Service) GenerateDataKeyWithoutPlaintext(ctx context.Context, in *kmsapi.GenerateDataKeyWithoutPlaintextInput) (*kmsapi.GenerateDataKeyWithoutPlaintextOutput, error) {
	const operation = "GenerateDataKeyWithoutPlaintext"
	k, err := s.keyFor(ctx, *in.KeyId, dataKeyUse(operation, in.EncryptionContext, in.GrantTokens))
	if err != nil {
		return nil, err
	}
	n, err := dataKeyBytes(in.KeySpec, in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	plaintext, blob, err := s.dataKey(ctx, k, operation, n, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	clear(plaintext)
	if isTrue(in.DryRun) {
		return nil, dryRun()
	}
	s.used(ctx, k, operation)
	return &kmsapi.GenerateDataKeyWithoutPlaintextOutput{CiphertextBlob: blob, KeyId: &k.arn, KeyMaterialId: k.currentMaterial()}, nil
}

func dataKeyUse(operation string, context map[string]string, tokens []string) use {
	return use{operation: operation, need: enabled, context: context, tokens: tokens, extra: symmetricConditions}
}

// dataKey makes n random bytes and seals them under k, which the caller may use.
func (s *Service) dataKey(ctx context.Context, k *key, operation string, n int, context map[string]string) (plaintext, blob []byte, err error) {
	if err := k.mustSeal(operation); err != nil {
		return nil, nil, err
	}
	plaintext = randomSecret(n)
	if blob, err = s.seal(ctx, k, plaintext, context); err != nil {
		return nil, nil, err
	}
	noteMaterial(ctx, "keyMaterialId", k.currentMaterial())
	return plaintext, blob, nil
}

// dataKeyBytes returns the length asked for in one of two ways.
func dataKeyBytes(spec *string, number *int64) (int, error) {
	switch {
	case (spec == nil) == (number == nil):
		return 0, invalid("Please specify either number of bytes or key spec.")
	case number != nil:
		return int(*number), nil
	case *spec == kmsapi.DataKeySpecAes128:
		return 16, nil
	}
	return 32, nil
}

// GenerateRandom returns 1 to 1024 random bytes. It needs kms:GenerateRandom on "*".
//
// Errors: ValidationException without NumberOfBytes; CustomKeyStoreNotFoundException
// for any custom key store; UnsupportedOperationException for a Recipient.
func (s *Service) GenerateRandom(ctx context.Context, in *kmsapi.GenerateRandomInput) (*kmsapi.GenerateRandomOutput, error) {
	if err := s.decidePlain(ctx, "GenerateRandom", "*", nil); err != nil {
		return nil, err
	}
	switch {
	case in.Recipient != nil:
		return nil, unsupported("")
	case in.CustomKeyStoreId != nil:
		return nil, &kmsapi.CustomKeyStoreNotFoundException{}
	case in.NumberOfBytes == nil:
		return nil, invalid("NumberOfBytes is required.")
	}
	return &kmsapi.GenerateRandomOutput{Plaintext: randomSecret(int(*in.NumberOfBytes))}, nil
}
