// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // registers its hashes with package crypto
	_ "crypto/sha512"
	"slices"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	koblitzecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// scheme is a signing algorithm: how a message becomes what is signed, and how
// that is signed and verified.
type scheme struct {
	hash   crypto.Hash
	types  []string // message types that it takes
	sign   func(key crypto.Signer, h crypto.Hash, digest []byte) ([]byte, error)
	verify func(public crypto.PublicKey, h crypto.Hash, digest, signature []byte) bool
}

var (
	rawOrDigest = []string{kmsapi.MessageTypeRaw, kmsapi.MessageTypeDigest}

	// schemes are the signing algorithms. RSASSA-PSS has a salt as long as its
	// digest; ECDSA signatures are DER (API Reference, Sign).
	schemes = map[string]scheme{
		kmsapi.SigningAlgorithmSpecRsassaPssSha256:      {crypto.SHA256, rawOrDigest, signPSS, verifyPSS},
		kmsapi.SigningAlgorithmSpecRsassaPssSha384:      {crypto.SHA384, rawOrDigest, signPSS, verifyPSS},
		kmsapi.SigningAlgorithmSpecRsassaPssSha512:      {crypto.SHA512, rawOrDigest, signPSS, verifyPSS},
		kmsapi.SigningAlgorithmSpecRsassaPkcs1V15Sha256: {crypto.SHA256, rawOrDigest, signPKCS1, verifyPKCS1},
		kmsapi.SigningAlgorithmSpecRsassaPkcs1V15Sha384: {crypto.SHA384, rawOrDigest, signPKCS1, verifyPKCS1},
		kmsapi.SigningAlgorithmSpecRsassaPkcs1V15Sha512: {crypto.SHA512, rawOrDigest, signPKCS1, verifyPKCS1},
		kmsapi.SigningAlgorithmSpecEcdsaSha256:          {crypto.SHA256, rawOrDigest, signECDSA, verifyECDSA},
		kmsapi.SigningAlgorithmSpecEcdsaSha384:          {crypto.SHA384, rawOrDigest, signECDSA, verifyECDSA},
		kmsapi.SigningAlgorithmSpecEcdsaSha512:          {crypto.SHA512, rawOrDigest, signECDSA, verifyECDSA},
		kmsapi.SigningAlgorithmSpecEd25519Sha512:        {0, []string{kmsapi.MessageTypeRaw}, signEd, verifyEd},
		kmsapi.SigningAlgorithmSpecMlDsaShake256:        {0, []string{kmsapi.MessageTypeRaw, kmsapi.MessageTypeExternalMu}, signML, verifyML},
		kmsapi.SigningAlgorithmSpecEd25519PhSha512:      {crypto.SHA512, []string{kmsapi.MessageTypeDigest}, signEd, verifyEd},
	}
)

// Sign signs up to 4096 bytes (RAW, hashed here) or a digest made elsewhere.
//
// Errors: InvalidKeyUsageException; ValidationException for a digest of the wrong
// length or a MessageType that the algorithm does not take; NotFoundException;
// DisabledException and KMSInvalidStateException; InvalidGrantTokenException;
// DryRunOperationException.
//
// Source: AWS KMS API Reference, Sign; deviations in docs/compat/kms.md.
func (s *Service) Sign(ctx context.Context, in *kmsapi.SignInput) (*kmsapi.SignOutput, error) {
	messageType := valueOr(in.MessageType, kmsapi.MessageTypeRaw)
	k, x, err := s.signer(ctx, *in.KeyId, "Sign", *in.SigningAlgorithm, messageType, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	digest, err := x.digest(*in.SigningAlgorithm, messageType, in.Message)
	if err != nil {
		return nil, err
	}
	private, err := s.privateKey(ctx, k)
	if err != nil {
		return nil, err
	}
	if isTrue(in.DryRun) {
		return nil, dryRun()
	}
	h := x.hash
	if messageType == kmsapi.MessageTypeExternalMu {
		h = mldsacrypto.MLDSAMu
	}
	signature, err := x.sign(private, h, digest)
	if err != nil {
		return nil, err
	}
	s.used(ctx, k, "Sign")
	return &kmsapi.SignOutput{KeyId: &k.arn, Signature: signature, SigningAlgorithm: in.SigningAlgorithm}, nil
}

// Verify checks a signature that Sign or anyone else made with the key. A wrong one
// is an error, never a false SignatureValid. Errors: KMSInvalidSignatureException,
// otherwise as Sign.
func (s *Service) Verify(ctx context.Context, in *kmsapi.VerifyInput) (*kmsapi.VerifyOutput, error) {
	messageType := valueOr(in.MessageType, kmsapi.MessageTypeRaw)
	k, x, err := s.signer(ctx, *in.KeyId, "Verify", *in.SigningAlgorithm, messageType, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	digest, err := x.digest(*in.SigningAlgorithm, messageType, in.Message)
	if err != nil {
		return nil, err
	}
	if messageType == kmsapi.MessageTypeExternalMu {
		return nil, unsupported("") // the library does not verify by a message representative
	}
	private, err := s.privateKey(ctx, k)
	if err != nil {
		return nil, err
	}
	if !x.verify(private.Public(), x.hash, digest, in.Signature) {
		return nil, &kmsapi.KMSInvalidSignatureException{}
	}
	if isTrue(in.DryRun) {
		return nil, dryRun()
	}
	s.used(ctx, k, "Verify")
	valid := true
	return &kmsapi.VerifyOutput{KeyId: &k.arn, SignatureValid: &valid, SigningAlgorithm: in.SigningAlgorithm}, nil
}

// signer decides about the use of a signing key.
func (s *Service) signer(ctx context.Context, keyID, operation, algorithm, messageType string, tokens []string) (*key, scheme, error) {
	k, err := s.keyFor(ctx, keyID, use{
		operation: operation, need: enabled, tokens: tokens,
		extra: map[string][]string{"kms:signingalgorithm": {algorithm}, "kms:messagetype": {messageType}},
	})
	if err != nil {
		return nil, scheme{}, err
	}
	if err := k.mustDo(operation, kmsapi.KeyUsageTypeSignVerify, algorithm); err != nil {
		return nil, scheme{}, err
	}
	return k, schemes[algorithm], nil
}

// digest returns what is signed: the hash of a RAW message, a DIGEST as it is. Pure
// Ed25519 signs the message itself, and Ed25519ph hashes the digest once more.
func (x scheme) digest(algorithm, messageType string, message []byte) ([]byte, error) {
	if !slices.Contains(x.types, messageType) {
		return nil, invalid("Algorithm " + algorithm + " does not support MessageType " + messageType + ".")
	}
	if messageType == kmsapi.MessageTypeDigest && len(message) != x.hash.Size() {
		return nil, invalid("Digest is invalid length for algorithm " + algorithm + ".")
	}
	if messageType == kmsapi.MessageTypeExternalMu && len(message) != muBytes {
		return nil, invalid("Digest is invalid length for algorithm " + algorithm + ".")
	}
	twice := algorithm == kmsapi.SigningAlgorithmSpecEd25519PhSha512
	if x.hash == 0 || messageType == kmsapi.MessageTypeDigest && !twice {
		return message, nil
	}
	h := x.hash.New()
	h.Write(message)
	return h.Sum(nil), nil
}

// muBytes is the length of ML-DSA's message representative (FIPS 204, algorithm 7).
const muBytes = 64

// signML signs a message with the empty context, or a message representative.
func signML(key crypto.Signer, h crypto.Hash, message []byte) ([]byte, error) {
	return key.Sign(rand.Reader, message, h)
}

func verifyML(public crypto.PublicKey, _ crypto.Hash, message, signature []byte) bool {
	return mldsa.Verify(public.(*mldsa.PublicKey), message, signature, nil) == nil
}

func signPSS(key crypto.Signer, h crypto.Hash, digest []byte) ([]byte, error) {
	return key.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h})
}

func verifyPSS(public crypto.PublicKey, h crypto.Hash, digest, signature []byte) bool {
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return rsa.VerifyPSS(public.(*rsa.PublicKey), h, digest, signature, options) == nil
}

func signPKCS1(key crypto.Signer, h crypto.Hash, digest []byte) ([]byte, error) {
	return key.Sign(rand.Reader, digest, h)
}

func verifyPKCS1(public crypto.PublicKey, h crypto.Hash, digest, signature []byte) bool {
	return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), h, digest, signature) == nil
}

func signECDSA(key crypto.Signer, h crypto.Hash, digest []byte) ([]byte, error) {
	return key.Sign(rand.Reader, digest, h)
}

func verifyECDSA(public crypto.PublicKey, _ crypto.Hash, digest, signature []byte) bool {
	if p, ok := public.(*secp256k1.PublicKey); ok {
		parsed, err := koblitzecdsa.ParseDERSignature(signature)
		return err == nil && parsed.Verify(digest, p)
	}
	return ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digest, signature)
}

func signEd(key crypto.Signer, h crypto.Hash, digest []byte) ([]byte, error) {
	return key.Sign(rand.Reader, digest, &ed25519.Options{Hash: h})
}

func verifyEd(public crypto.PublicKey, h crypto.Hash, digest, signature []byte) bool {
	return ed25519.VerifyWithOptions(public.(ed25519.PublicKey), digest, signature, &ed25519.Options{Hash: h}) == nil
}
