// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"testing"

	mldsax509 "filippo.io/mldsa/x509"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	raw, err := hex.DecodeString(s)
	*h = raw
	return err
}

// wycheGroup is one test group of testdata/wycheproof.json.gz.
type wycheGroup struct {
	PublicKey, PublicKeyDer, PrivateKeyPkcs8 hexBytes
	Tests                                    []wycheTest
}

type wycheTest struct {
	TcID                                            int
	Key, Msg, Ct, Sig, Tag, Public, Private, Shared hexBytes
	Result                                          string // valid, invalid or acceptable
}

func wycheproof(t *testing.T) map[string][]wycheGroup {
	t.Helper()
	f := must(os.Open("testdata/wycheproof.json.gz"))
	defer f.Close()
	var all map[string][]wycheGroup
	if err := json.NewDecoder(must(gzip.NewReader(f))).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestWycheproof runs the known answers of Wycheproof through what the operations call.
func TestWycheproof(t *testing.T) {
	signature := func(algorithm string) func(wycheGroup, wycheTest) bool {
		return func(g wycheGroup, c wycheTest) bool {
			x := schemes[algorithm]
			public, err := publicOf(g)
			if err != nil {
				return false
			}
			digest, err := x.digest(algorithm, kmsapi.MessageTypeRaw, c.Msg)
			return err == nil && x.verify(public, x.hash, digest, c.Sig)
		}
	}
	transport := func(algorithm string) func(wycheGroup, wycheTest) bool {
		return func(g wycheGroup, c wycheTest) bool {
			private := must(parsePrivate(g.PrivateKeyPkcs8)).(*rsa.PrivateKey)
			plain, ok := unwrapTransport(private, algorithm, c.Ct)
			return ok && bytes.Equal(plain, c.Msg)
		}
	}
	mac := func(algorithm string) func(wycheGroup, wycheTest) bool {
		return func(_ wycheGroup, c wycheTest) bool {
			h := hmac.New(macHashes[algorithm], c.Key)
			h.Write(c.Msg)
			return hmac.Equal(h.Sum(nil), c.Tag)
		}
	}
	checks := map[string]func(wycheGroup, wycheTest) bool{
		"aes_kwp":                         keyWrap,
		"ecdh_secp256r1":                  sharedSecret(ecdh.P256(), 32),
		"ecdh_secp384r1":                  sharedSecret(ecdh.P384(), 48),
		"ecdh_secp521r1":                  sharedSecret(ecdh.P521(), 66),
		"ecdsa_secp256r1_sha256":          signature(kmsapi.SigningAlgorithmSpecEcdsaSha256),
		"ecdsa_secp256k1_sha256":          signature(kmsapi.SigningAlgorithmSpecEcdsaSha256),
		"ecdsa_secp384r1_sha384":          signature(kmsapi.SigningAlgorithmSpecEcdsaSha384),
		"ecdsa_secp521r1_sha512":          signature(kmsapi.SigningAlgorithmSpecEcdsaSha512),
		"ed25519":                         signature(kmsapi.SigningAlgorithmSpecEd25519Sha512),
		"rsa_pss_2048_sha256_mgf1_32":     signature(kmsapi.SigningAlgorithmSpecRsassaPssSha256),
		"rsa_pss_3072_sha256_mgf1_32":     signature(kmsapi.SigningAlgorithmSpecRsassaPssSha256),
		"rsa_pss_4096_sha512_mgf1_64":     signature(kmsapi.SigningAlgorithmSpecRsassaPssSha512),
		"rsa_signature_2048_sha256":       signature(kmsapi.SigningAlgorithmSpecRsassaPkcs1V15Sha256),
		"rsa_signature_3072_sha256":       signature(kmsapi.SigningAlgorithmSpecRsassaPkcs1V15Sha256),
		"rsa_signature_4096_sha512":       signature(kmsapi.SigningAlgorithmSpecRsassaPkcs1V15Sha512),
		"mldsa_44_verify":                 signature(kmsapi.SigningAlgorithmSpecMlDsaShake256),
		"mldsa_65_verify":                 signature(kmsapi.SigningAlgorithmSpecMlDsaShake256),
		"mldsa_87_verify":                 signature(kmsapi.SigningAlgorithmSpecMlDsaShake256),
		"rsa_oaep_2048_sha256_mgf1sha256": transport(kmsapi.AlgorithmSpecRsaesOaepSha256),
		"rsa_oaep_3072_sha256_mgf1sha256": transport(kmsapi.AlgorithmSpecRsaesOaepSha256),
		"rsa_oaep_4096_sha256_mgf1sha256": transport(kmsapi.AlgorithmSpecRsaesOaepSha256),
		"rsa_oaep_2048_sha1_mgf1sha1":     transport(kmsapi.AlgorithmSpecRsaesOaepSha1),
		"hmac_sha224":                     mac(kmsapi.MacAlgorithmSpecHmacSha224),
		"hmac_sha256":                     mac(kmsapi.MacAlgorithmSpecHmacSha256),
		"hmac_sha384":                     mac(kmsapi.MacAlgorithmSpecHmacSha384),
		"hmac_sha512":                     mac(kmsapi.MacAlgorithmSpecHmacSha512),
	}
	vectors := wycheproof(t)
	for name := range checks {
		if len(vectors[name]) == 0 {
			t.Errorf("%s: no vectors", name)
		}
	}
	for name, groups := range vectors {
		check := checks[name]
		if check == nil {
			t.Errorf("%s: no check", name)
			continue
		}
		valid := 0
		for _, g := range groups {
			for _, c := range g.Tests {
				ok := check(g, c)
				if c.Result == "valid" {
					valid++
				}
				if c.Result != "acceptable" && ok != (c.Result == "valid") {
					t.Errorf("%s %d: %v, want %s", name, c.TcID, ok, c.Result)
				}
			}
		}
		if valid == 0 {
			t.Errorf("%s has no valid case", name)
		}
	}
}

// publicOf reads the public key of a group.
func publicOf(g wycheGroup) (crypto.PublicKey, error) {
	if len(g.PublicKey) == 65 && bytes.Contains(g.PublicKeyDer, koblitzAlgorithm().Parameters.FullBytes) {
		return secp256k1.ParsePubKey(g.PublicKey)
	}
	return mldsax509.ParsePKIXPublicKey(g.PublicKeyDer)
}

func keyWrap(_ wycheGroup, c wycheTest) bool {
	plain, ok := unwrapPadded(c.Key, c.Ct)
	return ok && bytes.Equal(plain, c.Msg)
}

func sharedSecret(curve ecdh.Curve, size int) func(wycheGroup, wycheTest) bool {
	return func(_ wycheGroup, c wycheTest) bool {
		scalar := new(big.Int).SetBytes(c.Private).FillBytes(make([]byte, size))
		own, err := curve.NewPrivateKey(scalar)
		if err != nil {
			return false
		}
		der, err := x509.MarshalPKCS8PrivateKey(own)
		if err != nil {
			return false
		}
		private := must(parsePrivate(der)).(*ecdsa.PrivateKey)
		shared, ok := agree(private, c.Public)
		return (private.Curve.Params().BitSize+7)/8 == size && ok && bytes.Equal(shared, c.Shared)
	}
}
