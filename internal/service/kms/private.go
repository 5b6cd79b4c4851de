// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"slices"

	"filippo.io/mldsa"
	mldsax509 "filippo.io/mldsa/x509"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	koblitzecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// Private keys are stored as PKCS #8 and public keys are SubjectPublicKeyInfo, whatever their kind; package x509 knows
// all but secp256k1 and ML-DSA.

// parsePrivate reads a PKCS #8 private key of any kind that has a spec.
func parsePrivate(der []byte) (crypto.Signer, error) {
	if k, err := parseKoblitz(der); err == nil {
		return k, nil
	}
	parsed, err := mldsax509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errNoSigner
	}
	return private, nil
}

var errNoSigner = errors.New("kms: private key of a kind that does not sign")

// marshalPrivate is the inverse of parsePrivate.
func marshalPrivate(k crypto.Signer) ([]byte, error) {
	switch k := k.(type) {
	case *koblitz:
		return k.marshal()
	case *mldsa.PrivateKey:
		return mldsax509.MarshalPKCS8PrivateKey(k)
	}
	return x509.MarshalPKCS8PrivateKey(k)
}

// marshalPublic writes SubjectPublicKeyInfo.
func marshalPublic(public crypto.PublicKey) ([]byte, error) {
	switch p := public.(type) {
	case *secp256k1.PublicKey:
		return asn1.Marshal(publicKeyInfo{koblitzAlgorithm(), bits(p.SerializeUncompressed())})
	case *mldsa.PublicKey:
		return mldsax509.MarshalPKIXPublicKey(p)
	}
	return x509.MarshalPKIXPublicKey(public)
}

// takePrivate makes a check of imported material: a PKCS #8 private key that suits is.
func takePrivate(is func(crypto.Signer) bool) func([]byte) ([]byte, bool) {
	return func(der []byte) ([]byte, bool) {
		k, err := parsePrivate(der)
		if err != nil || !is(k) {
			return nil, false
		}
		// In one form, so that the same key always has the same material id.
		canonical, err := marshalPrivate(k)
		return canonical, err == nil
	}
}

func takeBytes(n int) func([]byte) ([]byte, bool) {
	return func(b []byte) ([]byte, bool) { return bytes.Clone(b), len(b) == n }
}

func isRSA(size int) func(crypto.Signer) bool {
	return func(k crypto.Signer) bool {
		r, ok := k.(*rsa.PrivateKey)
		return ok && r.N.BitLen() == size
	}
}

func isEC(curve elliptic.Curve) func(crypto.Signer) bool {
	return func(k crypto.Signer) bool {
		e, ok := k.(*ecdsa.PrivateKey)
		return ok && e.Curve == curve
	}
}

func isEd(k crypto.Signer) bool {
	_, ok := k.(ed25519.PrivateKey)
	return ok
}

func isKoblitz(k crypto.Signer) bool {
	_, ok := k.(*koblitz)
	return ok
}

// koblitz is a private key on secp256k1 (SEC 2, 2.4.1).
type koblitz struct{ *secp256k1.PrivateKey }

var _ crypto.Signer = (*koblitz)(nil)

// Public implements crypto.Signer.
func (k *koblitz) Public() crypto.PublicKey { return k.PubKey() }

// Sign implements crypto.Signer: DER, deterministic (RFC 6979), with the lower s.
func (k *koblitz) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return koblitzecdsa.Sign(k.PrivateKey, digest).Serialize(), nil
}

func newKoblitz() ([]byte, error) {
	k, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		return nil, err
	}
	defer k.Zero()
	return (&koblitz{k}).marshal()
}

// The ASN.1 of RFC 5208 (PKCS #8), RFC 5915 (ECPrivateKey) and RFC 5480 (SubjectPublicKeyInfo).
type (
	privateKeyInfo struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	ecPrivateKey struct {
		Version int
		Key     []byte
		Curve   asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
		Public  asn1.BitString        `asn1:"optional,explicit,tag:1"`
	}
	publicKeyInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
)

func koblitzAlgorithm() pkix.AlgorithmIdentifier {
	curve, err := asn1.Marshal(koblitzOID)
	if err != nil {
		panic("kms: asn1: " + err.Error())
	}
	return pkix.AlgorithmIdentifier{Algorithm: ecOID, Parameters: asn1.RawValue{FullBytes: curve}}
}

var (
	ecOID      = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	koblitzOID = asn1.ObjectIdentifier{1, 3, 132, 0, 10}
)

func bits(b []byte) asn1.BitString { return asn1.BitString{Bytes: b, BitLength: 8 * len(b)} }

func (k *koblitz) marshal() ([]byte, error) {
	scalar := k.Serialize()
	defer clear(scalar)
	inner, err := asn1.Marshal(ecPrivateKey{Version: 1, Key: scalar, Public: bits(k.PubKey().SerializeUncompressed())})
	if err != nil {
		return nil, err
	}
	defer clear(inner)
	return asn1.Marshal(privateKeyInfo{Algorithm: koblitzAlgorithm(), Key: inner})
}

var errNotKoblitz = errors.New("kms: not a private key on secp256k1")

func parseKoblitz(der []byte) (*koblitz, error) {
	var outer privateKeyInfo
	rest, err := asn1.Unmarshal(der, &outer)
	if err != nil || len(rest) > 0 || !outer.Algorithm.Algorithm.Equal(ecOID) {
		return nil, errNotKoblitz
	}
	if want := koblitzAlgorithm().Parameters.FullBytes; !slices.Equal(outer.Algorithm.Parameters.FullBytes, want) {
		return nil, errNotKoblitz
	}
	var inner ecPrivateKey
	if rest, err := asn1.Unmarshal(outer.Key, &inner); err != nil || len(rest) > 0 || inner.Version != 1 {
		return nil, errNotKoblitz
	}
	defer clear(inner.Key)
	var scalar secp256k1.ModNScalar
	if len(inner.Key) != 32 || scalar.SetByteSlice(inner.Key) || scalar.IsZero() {
		return nil, errNotKoblitz
	}
	return &koblitz{secp256k1.NewPrivateKey(&scalar)}, nil
}
