// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"hash"
	"strconv"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// privateKey returns the private key of an asymmetric key. It is shared: it must
// not be changed, and its uses are safe concurrently. Unlike bytes it cannot be
// zeroed; a deleted key's is forgotten.
func (s *Service) privateKey(ctx context.Context, k *key) (crypto.Signer, error) {
	ref := materialRef{k.ID, k.material().ID}
	if private, ok := s.secrets.getParsed(ref).(crypto.Signer); ok {
		return private, nil
	}
	der, err := s.unwrap(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	private, err := parsePrivate(der)
	if err != nil {
		return nil, fmt.Errorf("kms: material of key %s is no private key", k.ID)
	}
	s.secrets.putParsed(ref, private)
	s.forgetIfGone(k.ID)
	return private, nil
}

// GetPublicKey returns the public half of an asymmetric key as DER
// SubjectPublicKeyInfo. Errors: UnsupportedOperationException for keys that have
// none; NotFoundException; DisabledException and KMSInvalidStateException;
// InvalidGrantTokenException; InvalidArnException.
func (s *Service) GetPublicKey(ctx context.Context, in *kmsapi.GetPublicKeyInput) (*kmsapi.GetPublicKeyOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "GetPublicKey", need: enabled, tokens: in.GrantTokens})
	if err != nil {
		return nil, err
	}
	if k.symmetric() || k.Usage == kmsapi.KeyUsageTypeGenerateVerifyMac {
		return nil, unsupported("")
	}
	private, err := s.privateKey(ctx, k)
	if err != nil {
		return nil, err
	}
	der, err := marshalPublic(private.Public())
	if err != nil {
		return nil, err
	}
	m := s.metadata(k)
	return &kmsapi.GetPublicKeyOutput{
		KeyId: &k.arn, PublicKey: der, KeySpec: m.KeySpec, CustomerMasterKeySpec: m.CustomerMasterKeySpec, KeyUsage: m.KeyUsage,
		EncryptionAlgorithms: m.EncryptionAlgorithms, SigningAlgorithms: m.SigningAlgorithms, KeyAgreementAlgorithms: m.KeyAgreementAlgorithms,
	}, nil
}

// oaepHashes gives each RSA encryption algorithm its hash, MGF1's too; the label is
// empty (RFC 8017, 7.1).
var oaepHashes = map[string]func() hash.Hash{
	kmsapi.EncryptionAlgorithmSpecRsaesOaepSha1:   sha1.New,
	kmsapi.EncryptionAlgorithmSpecRsaesOaepSha256: sha256.New,
}

const noContext = "EncryptionContext is not supported when using asymmetric KMS keys."

func (s *Service) encryptRSA(ctx context.Context, k *key, algorithm string, plaintext []byte, context map[string]string) ([]byte, error) {
	if len(context) > 0 {
		return nil, invalid(noContext)
	}
	private, err := s.privateKey(ctx, k)
	if err != nil {
		return nil, err
	}
	public := private.Public().(*rsa.PublicKey)
	h := oaepHashes[algorithm]()
	if limit := public.Size() - 2*h.Size() - 2; len(plaintext) > limit {
		return nil, invalid("Algorithm " + algorithm + " and key spec " + k.Spec + " cannot encrypt data larger than " + strconv.Itoa(limit) + " bytes.")
	}
	return rsa.EncryptOAEP(h, rand.Reader, public, plaintext, nil)
}

// decryptRSA opens what says nothing of its key: the request has to name it.
func (s *Service) decryptRSA(ctx context.Context, keyID *string, blob []byte, algorithm string, u use) (opened, error) {
	if keyID == nil {
		return opened{}, s.unnamed(ctx, u, "KeyId is required to decrypt with an asymmetric KMS key.")
	}
	k, err := s.keyFor(ctx, *keyID, u)
	if err != nil {
		return opened{}, err
	}
	if err := k.mustDo(u.operation, kmsapi.KeyUsageTypeEncryptDecrypt, algorithm); err != nil {
		return opened{}, err
	}
	if len(u.context) > 0 {
		return opened{}, invalid(noContext)
	}
	private, err := s.privateKey(ctx, k)
	if err != nil {
		return opened{}, err
	}
	plaintext, err := rsa.DecryptOAEP(oaepHashes[algorithm](), nil, private.(*rsa.PrivateKey), blob, nil)
	if err != nil {
		return opened{}, &kmsapi.InvalidCiphertextException{}
	}
	return opened{key: k, plaintext: plaintext}, nil
}

// DeriveSharedSecret returns the raw ECDH secret (the x coordinate) of a key for key
// agreement and a peer's public key on the same curve, DER SubjectPublicKeyInfo.
//
// Errors: ValidationException, without text, for any other public key;
// InvalidKeyUsageException; UnsupportedOperationException for a Recipient;
// otherwise as Sign.
func (s *Service) DeriveSharedSecret(ctx context.Context, in *kmsapi.DeriveSharedSecretInput) (*kmsapi.DeriveSharedSecretOutput, error) {
	if in.Recipient != nil {
		return nil, s.refuse(ctx)
	}
	k, err := s.keyFor(ctx, *in.KeyId, use{
		operation: "DeriveSharedSecret", need: enabled, tokens: in.GrantTokens,
		extra: map[string][]string{"kms:keyagreementalgorithm": {*in.KeyAgreementAlgorithm}},
	})
	if err != nil {
		return nil, err
	}
	if err := k.mustDo("DeriveSharedSecret", kmsapi.KeyUsageTypeKeyAgreement, *in.KeyAgreementAlgorithm); err != nil {
		return nil, err
	}
	private, err := s.privateKey(ctx, k)
	if err != nil {
		return nil, err
	}
	shared, ok := agree(private, in.PublicKey)
	if !ok {
		return nil, invalid("")
	}
	if isTrue(in.DryRun) {
		clear(shared)
		return nil, dryRun()
	}
	s.used(ctx, k, "DeriveSharedSecret")
	return &kmsapi.DeriveSharedSecretOutput{
		KeyId: &k.arn, SharedSecret: shared, KeyAgreementAlgorithm: in.KeyAgreementAlgorithm, KeyOrigin: text(k.origin()),
	}, nil
}

// agree is ECDH between private and a peer's public key.
func agree(private crypto.Signer, peerDER []byte) ([]byte, bool) {
	parsed, err := x509.ParsePKIXPublicKey(peerDER)
	if err != nil {
		return nil, false
	}
	peer, err := ecdhPublic(parsed)
	if err != nil {
		return nil, false
	}
	own, err := private.(*ecdsa.PrivateKey).ECDH()
	if err != nil {
		return nil, false
	}
	shared, err := own.ECDH(peer) // refuses another curve
	return shared, err == nil
}

func ecdhPublic(parsed any) (*ecdh.PublicKey, error) {
	switch p := parsed.(type) {
	case *ecdsa.PublicKey:
		return p.ECDH()
	case *ecdh.PublicKey:
		return p, nil
	}
	return nil, fmt.Errorf("kms: public key of type %T", parsed)
}
