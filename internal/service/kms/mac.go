// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"hash"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// macHashes gives each MAC algorithm its hash (FIPS 198-1).
var macHashes = map[string]func() hash.Hash{
	kmsapi.MacAlgorithmSpecHmacSha224: sha256.New224,
	kmsapi.MacAlgorithmSpecHmacSha256: sha256.New,
	kmsapi.MacAlgorithmSpecHmacSha384: sha512.New384,
	kmsapi.MacAlgorithmSpecHmacSha512: sha512.New,
}

// GenerateMac returns the HMAC of up to 4096 bytes under an HMAC key.
//
// Errors: InvalidKeyUsageException; NotFoundException; DisabledException and
// KMSInvalidStateException; InvalidGrantTokenException; DryRunOperationException.
func (s *Service) GenerateMac(ctx context.Context, in *kmsapi.GenerateMacInput) (*kmsapi.GenerateMacOutput, error) {
	k, mac, err := s.mac(ctx, *in.KeyId, "GenerateMac", *in.MacAlgorithm, in.Message, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	if isTrue(in.DryRun) {
		return nil, dryRun()
	}
	s.used(ctx, k, "GenerateMac")
	return &kmsapi.GenerateMacOutput{KeyId: &k.arn, Mac: mac, MacAlgorithm: in.MacAlgorithm}, nil
}

// VerifyMac checks an HMAC in constant time. A wrong one is an error, never a false
// MacValid. Errors: KMSInvalidMacException, otherwise as GenerateMac.
func (s *Service) VerifyMac(ctx context.Context, in *kmsapi.VerifyMacInput) (*kmsapi.VerifyMacOutput, error) {
	k, mac, err := s.mac(ctx, *in.KeyId, "VerifyMac", *in.MacAlgorithm, in.Message, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(mac, in.Mac) {
		return nil, &kmsapi.KMSInvalidMacException{}
	}
	if isTrue(in.DryRun) {
		return nil, dryRun()
	}
	s.used(ctx, k, "VerifyMac")
	valid := true
	return &kmsapi.VerifyMacOutput{KeyId: &k.arn, MacValid: &valid, MacAlgorithm: in.MacAlgorithm}, nil
}

func (s *Service) mac(ctx context.Context, keyID, operation, algorithm string, message []byte, tokens []string) (*key, []byte, error) {
	k, err := s.keyFor(ctx, keyID, use{
		operation: operation, need: enabled, tokens: tokens, extra: map[string][]string{"kms:macalgorithm": {algorithm}},
	})
	if err != nil {
		return nil, nil, err
	}
	if err := k.mustDo(operation, kmsapi.KeyUsageTypeGenerateVerifyMac, algorithm); err != nil {
		return nil, nil, err
	}
	var material secret
	defer material.clear()
	if err := s.fetch(ctx, k, k.material().ID, &material); err != nil {
		return nil, nil, err
	}
	h := hmac.New(macHashes[algorithm], material.bytes())
	h.Write(message)
	return k, h.Sum(nil), nil
}
