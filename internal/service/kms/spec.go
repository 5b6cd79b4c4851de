// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"

	"filippo.io/mldsa"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// symmetricBytes is the length of the key material of symmetric keys.
const symmetricBytes = 32

// spec is what a KeySpec allows: for each usage its algorithms, and how its
// material is made. A spec that is not in specs is refused.
//
// Source: AWS KMS API Reference, CreateKey, KeySpec and KeyUsage.
type spec struct {
	encrypt, sign, mac, agree []string
	// generate returns new material: random bytes, or a PKCS #8 private key.
	generate func() ([]byte, error)
	// take returns what imported material is stored as; nil where none can be imported.
	take func(plain []byte) ([]byte, bool)
}

var specs = map[string]spec{
	kmsapi.KeySpecSymmetricDefault: {encrypt: []string{kmsapi.EncryptionAlgorithmSpecSymmetricDefault}, generate: random(symmetricBytes), take: takeBytes(symmetricBytes)},

	kmsapi.KeySpecHmac224: {mac: []string{kmsapi.MacAlgorithmSpecHmacSha224}, generate: random(28), take: takeBytes(28)},
	kmsapi.KeySpecHmac256: {mac: []string{kmsapi.MacAlgorithmSpecHmacSha256}, generate: random(32), take: takeBytes(32)},
	kmsapi.KeySpecHmac384: {mac: []string{kmsapi.MacAlgorithmSpecHmacSha384}, generate: random(48), take: takeBytes(48)},
	kmsapi.KeySpecHmac512: {mac: []string{kmsapi.MacAlgorithmSpecHmacSha512}, generate: random(64), take: takeBytes(64)},

	kmsapi.KeySpecRsa2048: {encrypt: oaep, sign: rsaSignatures, generate: rsaKey(2048), take: takePrivate(isRSA(2048))},
	kmsapi.KeySpecRsa3072: {encrypt: oaep, sign: rsaSignatures, generate: rsaKey(3072), take: takePrivate(isRSA(3072))},
	kmsapi.KeySpecRsa4096: {encrypt: oaep, sign: rsaSignatures, generate: rsaKey(4096), take: takePrivate(isRSA(4096))},

	kmsapi.KeySpecEccNistP256: {sign: []string{kmsapi.SigningAlgorithmSpecEcdsaSha256}, agree: ecdhOnly, generate: ecKey(elliptic.P256()), take: takePrivate(isEC(elliptic.P256()))},
	kmsapi.KeySpecEccNistP384: {sign: []string{kmsapi.SigningAlgorithmSpecEcdsaSha384}, agree: ecdhOnly, generate: ecKey(elliptic.P384()), take: takePrivate(isEC(elliptic.P384()))},
	kmsapi.KeySpecEccNistP521: {sign: []string{kmsapi.SigningAlgorithmSpecEcdsaSha512}, agree: ecdhOnly, generate: ecKey(elliptic.P521()), take: takePrivate(isEC(elliptic.P521()))},

	kmsapi.KeySpecEccNistEdwards25519: {
		sign:     []string{kmsapi.SigningAlgorithmSpecEd25519Sha512, kmsapi.SigningAlgorithmSpecEd25519PhSha512},
		generate: edKey, take: takePrivate(isEd),
	},
	kmsapi.KeySpecEccSecgP256k1: {
		sign: []string{kmsapi.SigningAlgorithmSpecEcdsaSha256}, generate: newKoblitz, take: takePrivate(isKoblitz),
	},

	kmsapi.KeySpecMlDsa44: {sign: mlDSA, generate: mlDSAKey(mldsa.MLDSA44())},
	kmsapi.KeySpecMlDsa65: {sign: mlDSA, generate: mlDSAKey(mldsa.MLDSA65())},
	kmsapi.KeySpecMlDsa87: {sign: mlDSA, generate: mlDSAKey(mldsa.MLDSA87())},
}

var (
	oaep          = []string{kmsapi.EncryptionAlgorithmSpecRsaesOaepSha1, kmsapi.EncryptionAlgorithmSpecRsaesOaepSha256}
	rsaSignatures = []string{
		kmsapi.SigningAlgorithmSpecRsassaPkcs1V15Sha256, kmsapi.SigningAlgorithmSpecRsassaPkcs1V15Sha384,
		kmsapi.SigningAlgorithmSpecRsassaPkcs1V15Sha512, kmsapi.SigningAlgorithmSpecRsassaPssSha256,
		kmsapi.SigningAlgorithmSpecRsassaPssSha384, kmsapi.SigningAlgorithmSpecRsassaPssSha512,
	}
	mlDSA    = []string{kmsapi.SigningAlgorithmSpecMlDsaShake256}
	ecdhOnly = []string{kmsapi.KeyAgreementAlgorithmSpecEcdh}
)

// algorithms returns the algorithms of the spec under one KeyUsage; none means
// that the two do not go together.
func (x spec) algorithms(usage string) []string {
	switch usage {
	case kmsapi.KeyUsageTypeEncryptDecrypt:
		return x.encrypt
	case kmsapi.KeyUsageTypeSignVerify:
		return x.sign
	case kmsapi.KeyUsageTypeGenerateVerifyMac:
		return x.mac
	case kmsapi.KeyUsageTypeKeyAgreement:
		return x.agree
	}
	return nil
}

// mustDo checks that operation suits the key's usage and algorithm its spec.
// Errors: InvalidKeyUsageException.
func (k *key) mustDo(operation, usage, algorithm string) error {
	if k.Usage != usage {
		return wrongUsage(k, operation)
	}
	if !slices.Contains(specs[k.Spec].algorithms(usage), algorithm) {
		return wrongAlgorithm(k, algorithm)
	}
	return nil
}

// mustSeal checks that the key is a symmetric one for encryption.
func (k *key) mustSeal(operation string) error {
	return k.mustDo(operation, kmsapi.KeyUsageTypeEncryptDecrypt, kmsapi.EncryptionAlgorithmSpecSymmetricDefault)
}

func random(n int) func() ([]byte, error) {
	return func() ([]byte, error) { return randomSecret(n), nil }
}

func rsaKey(bits int) func() ([]byte, error) {
	return func() ([]byte, error) {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKCS8PrivateKey(k)
	}
}

func ecKey(curve elliptic.Curve) func() ([]byte, error) {
	return func() ([]byte, error) {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKCS8PrivateKey(k)
	}
}

func edKey() ([]byte, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(k)
}

func mlDSAKey(params mldsa.Parameters) func() ([]byte, error) {
	return func() ([]byte, error) {
		k, err := mldsa.GenerateKey(params)
		if err != nil {
			return nil, err
		}
		return marshalPrivate(k)
	}
}
