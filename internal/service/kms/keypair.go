// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// pair is a new data key pair.
type pair struct {
	key              *key
	private          []byte // PKCS #8, the caller's to zero
	public           []byte // SubjectPublicKeyInfo
	privateEncrypted []byte
}

// GenerateDataKeyPair returns a new key pair: DER SubjectPublicKeyInfo and PKCS #8,
// the latter plain and sealed under a symmetric key. Nothing is stored.
//
// Errors: UnsupportedOperationException for pair specs that this server does not
// make; otherwise as GenerateDataKey.
func (s *Service) GenerateDataKeyPair(ctx context.Context, in *kmsapi.GenerateDataKeyPairInput) (*kmsapi.GenerateDataKeyPairOutput, error) {
	if in.Recipient != nil {
		return nil, s.refuse(ctx)
	}
	p, err := s.dataKeyPair(ctx, "GenerateDataKeyPair", *in.KeyId, *in.KeyPairSpec, in.EncryptionContext, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	if isTrue(in.DryRun) {
		clear(p.private)
		return nil, dryRun()
	}
	s.used(ctx, p.key, "GenerateDataKeyPair")
	return &kmsapi.GenerateDataKeyPairOutput{
		KeyId: &p.key.arn, KeyPairSpec: in.KeyPairSpec, PublicKey: p.public, PrivateKeyPlaintext: p.private,
		PrivateKeyCiphertextBlob: p.privateEncrypted, KeyMaterialId: p.key.currentMaterial(),
	}, nil
}

// GenerateDataKeyPairWithoutPlaintext is GenerateDataKeyPair without the plain
// private key, which is zeroed here. Errors: as GenerateDataKeyPair.
func (s *Service) GenerateDataKeyPairWithoutPlaintext(ctx context.Context, in *kmsapi.GenerateDataKeyPairWithoutPlaintextInput) (*kmsapi.GenerateDataKeyPairWithoutPlaintextOutput, error) {
	p, err := s.dataKeyPair(ctx, "GenerateDataKeyPairWithoutPlaintext", *in.KeyId, *in.KeyPairSpec, in.EncryptionContext, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	clear(p.private)
	if isTrue(in.DryRun) {
		return nil, dryRun()
	}
	s.used(ctx, p.key, "GenerateDataKeyPairWithoutPlaintext")
	return &kmsapi.GenerateDataKeyPairWithoutPlaintextOutput{
		KeyId: &p.key.arn, KeyPairSpec: in.KeyPairSpec, PublicKey: p.public,
		PrivateKeyCiphertextBlob: p.privateEncrypted, KeyMaterialId: p.key.currentMaterial(),
	}, nil
}

func (s *Service) dataKeyPair(ctx context.Context, operation, keyID, pairSpec string, context map[string]string, tokens []string) (pair, error) {
	k, err := s.keyFor(ctx, keyID, use{
		operation: operation, need: enabled, context: context, tokens: tokens,
		extra: map[string][]string{"kms:encryptionalgorithm": {symmetricAlgorithm}, "kms:datakeypairspec": {pairSpec}},
	})
	if err != nil {
		return pair{}, err
	}
	if err := k.mustSeal(operation); err != nil {
		return pair{}, err
	}
	x, ok := specs[pairSpec]
	if !ok || len(x.sign) == 0 || x.take == nil { // ML-DSA is for KMS keys alone
		return pair{}, unsupported("")
	}
	private, err := x.generate()
	if err != nil {
		return pair{}, err
	}
	p := pair{key: k, private: private}
	if p.public, err = publicDER(private); err != nil {
		return pair{}, err
	}
	if p.privateEncrypted, err = s.seal(ctx, k, private, context); err != nil {
		return pair{}, err
	}
	noteMaterial(ctx, "keyMaterialId", k.currentMaterial())
	return p, nil
}

func publicDER(private []byte) ([]byte, error) {
	parsed, err := parsePrivate(private)
	if err != nil {
		return nil, err
	}
	return marshalPublic(parsed.Public())
}
