// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"os"
	"slices"
	"testing"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

func (w *world) keyOf(spec, usage string) *kmsapi.KeyMetadata {
	w.t.Helper()
	return w.create(&kmsapi.CreateKeyInput{KeySpec: &spec, KeyUsage: &usage})
}

func (w *world) public(id *string) any {
	w.t.Helper()
	out := must(w.GetPublicKey(asRoot(), &kmsapi.GetPublicKeyInput{KeyId: id}))
	return must(x509.ParsePKIXPublicKey(out.PublicKey))
}

func TestMacs(t *testing.T) {
	w := newWorld(t)
	message := []byte("message")
	for spec, want := range map[string]int{"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64} {
		t.Run(spec, func(t *testing.T) {
			k, algorithm := w.keyOf(spec, "GENERATE_VERIFY_MAC"), "HMAC_SHA_"+spec[5:]
			if !slices.Equal(k.MacAlgorithms, []string{algorithm}) || k.CurrentKeyMaterialId != nil {
				t.Errorf("metadata %+v", k)
			}
			out := must(w.GenerateMac(asRoot(), &kmsapi.GenerateMacInput{KeyId: k.KeyId, Message: message, MacAlgorithm: &algorithm}))
			if len(out.Mac) != want || *out.KeyId != *k.Arn || *out.MacAlgorithm != algorithm {
				t.Errorf("generated %+v", out)
			}
			verify := func(message, mac []byte, dry bool) error {
				return second(w.VerifyMac(asRoot(), &kmsapi.VerifyMacInput{KeyId: k.KeyId, Message: message, Mac: mac, MacAlgorithm: &algorithm, DryRun: &dry}))
			}
			expect(t, verify(message, out.Mac, false), "", "")
			expect(t, verify(message, out.Mac, true), "DryRunOperationException", dryRunText)
			expect(t, verify([]byte("other"), out.Mac, false), "KMSInvalidMacException", "")
			expect(t, verify(message, out.Mac[:len(out.Mac)-1], false), "KMSInvalidMacException", "")
			out.Mac[0] ^= 1
			expect(t, verify(message, out.Mac, false), "KMSInvalidMacException", "")
		})
	}
}

func TestMacIsTheStandardOne(t *testing.T) {
	w := newWorld(t)
	k := w.keyOf("HMAC_256", "GENERATE_VERIFY_MAC")
	out := must(w.GenerateMac(asRoot(), &kmsapi.GenerateMacInput{KeyId: k.KeyId, Message: []byte("m"), MacAlgorithm: ptr("HMAC_SHA_256")}))
	var x secret
	key, _, _ := w.key(*k.KeyId, w.now)
	if !w.secrets.get(materialRef{key.ID, key.material().ID}, &x) {
		t.Fatal("not cached")
	}
	h := hmac.New(sha256.New, x.bytes())
	h.Write([]byte("m"))
	if !bytes.Equal(h.Sum(nil), out.Mac) {
		t.Error("another MAC")
	}
}

// signingKeys are specs with their algorithms and the length of the digest each takes.
var signingKeys = map[string]map[string]crypto.Hash{
	"RSA_2048": {
		"RSASSA_PSS_SHA_256": crypto.SHA256, "RSASSA_PSS_SHA_384": crypto.SHA384, "RSASSA_PSS_SHA_512": crypto.SHA512,
		"RSASSA_PKCS1_V1_5_SHA_256": crypto.SHA256, "RSASSA_PKCS1_V1_5_SHA_384": crypto.SHA384, "RSASSA_PKCS1_V1_5_SHA_512": crypto.SHA512,
	},
	"ECC_NIST_P256": {"ECDSA_SHA_256": crypto.SHA256},
	"ECC_NIST_P384": {"ECDSA_SHA_384": crypto.SHA384},
	"ECC_NIST_P521": {"ECDSA_SHA_512": crypto.SHA512},
}

func TestSignatures(t *testing.T) {
	w := newWorld(t)
	message := []byte("a message to sign")
	for spec, algorithms := range signingKeys {
		k := w.keyOf(spec, "SIGN_VERIFY")
		if len(k.SigningAlgorithms) != len(algorithms) {
			t.Errorf("%s: algorithms %v", spec, k.SigningAlgorithms)
		}
		for algorithm, h := range algorithms {
			t.Run(spec+"/"+algorithm, func(t *testing.T) {
				digester := h.New()
				digester.Write(message)
				digest := digester.Sum(nil)
				raw := must(w.Sign(asRoot(), &kmsapi.SignInput{KeyId: k.KeyId, Message: message, SigningAlgorithm: &algorithm}))
				if *raw.KeyId != *k.Arn || *raw.SigningAlgorithm != algorithm {
					t.Errorf("signed %+v", raw)
				}
				verify := func(message []byte, messageType *string, signature []byte) error {
					return second(w.Verify(asRoot(), &kmsapi.VerifyInput{KeyId: k.KeyId, Message: message, MessageType: messageType, Signature: signature, SigningAlgorithm: &algorithm}))
				}
				expect(t, verify(message, nil, raw.Signature), "", "")
				expect(t, verify(digest, ptr("DIGEST"), raw.Signature), "", "")
				signed := must(w.Sign(asRoot(), &kmsapi.SignInput{KeyId: k.KeyId, Message: digest, MessageType: ptr("DIGEST"), SigningAlgorithm: &algorithm}))
				expect(t, verify(message, ptr("RAW"), signed.Signature), "", "")
				if !verifiesOffline(w.public(k.KeyId), algorithm, h, digest, raw.Signature) {
					t.Error("does not verify with the public key alone")
				}
				expect(t, verify([]byte("other"), nil, raw.Signature), "KMSInvalidSignatureException", "")
				raw.Signature[len(raw.Signature)-1] ^= 1
				expect(t, verify(message, nil, raw.Signature), "KMSInvalidSignatureException", "")
				expect(t, verify(message, nil, []byte("x")), "KMSInvalidSignatureException", "")

				_, err := w.Sign(asRoot(), &kmsapi.SignInput{KeyId: k.KeyId, Message: digest[1:], MessageType: ptr("DIGEST"), SigningAlgorithm: &algorithm})
				expect(t, err, "ValidationException", "Digest is invalid length for algorithm "+algorithm+".")
				_, err = w.Sign(asRoot(), &kmsapi.SignInput{KeyId: k.KeyId, Message: digest, MessageType: ptr("EXTERNAL_MU"), SigningAlgorithm: &algorithm})
				expect(t, err, "ValidationException", "…")
				_, err = w.Sign(asRoot(), &kmsapi.SignInput{KeyId: k.KeyId, Message: digest, SigningAlgorithm: ptr("ED25519_SHA_512")})
				expect(t, err, "InvalidKeyUsageException", "Algorithm ED25519_SHA_512 is incompatible with key spec "+spec+".")
				_, err = w.Sign(asRoot(), &kmsapi.SignInput{KeyId: k.KeyId, Message: message, SigningAlgorithm: &algorithm, DryRun: ptr(true)})
				expect(t, err, "DryRunOperationException", dryRunText)
			})
		}
	}
}

func verifiesOffline(public any, algorithm string, h crypto.Hash, digest, signature []byte) bool {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(p, digest, signature)
	case *rsa.PublicKey:
		if algorithm[:10] == "RSASSA_PSS" {
			return rsa.VerifyPSS(p, h, digest, signature, &rsa.PSSOptions{SaltLength: h.Size()}) == nil
		}
		return rsa.VerifyPKCS1v15(p, h, digest, signature) == nil
	}
	return false
}

func TestEd25519(t *testing.T) {
	w := newWorld(t)
	k := w.keyOf("ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
	if k.CustomerMasterKeySpec != nil {
		t.Error("the deprecated enum does not have this spec")
	}
	public := w.public(k.KeyId).(ed25519.PublicKey)
	message := []byte("message")
	sign := func(message []byte, messageType, algorithm string) ([]byte, error) {
		out, err := w.Sign(asRoot(), &kmsapi.SignInput{KeyId: k.KeyId, Message: message, MessageType: &messageType, SigningAlgorithm: &algorithm})
		if err != nil {
			return nil, err
		}
		_, err = w.Verify(asRoot(), &kmsapi.VerifyInput{KeyId: k.KeyId, Message: message, MessageType: &messageType, SigningAlgorithm: &algorithm, Signature: out.Signature})
		return out.Signature, err
	}
	if !ed25519.Verify(public, message, must(sign(message, "RAW", "ED25519_SHA_512"))) {
		t.Error("pure signature does not verify")
	}
	digest := sha512.Sum512(message)
	twice := sha512.Sum512(digest[:])
	if ed25519.VerifyWithOptions(public, twice[:], must(sign(digest[:], "DIGEST", "ED25519_PH_SHA_512")), &ed25519.Options{Hash: crypto.SHA512}) != nil {
		t.Error("prehashed signature does not verify over the digest as message")
	}
	expect(t, second(sign(digest[:], "DIGEST", "ED25519_SHA_512")), "ValidationException", "…")
	expect(t, second(sign(message, "RAW", "ED25519_PH_SHA_512")), "ValidationException", "…")
	expect(t, second(sign(message, "DIGEST", "ED25519_PH_SHA_512")), "ValidationException", "Digest is invalid length for algorithm ED25519_PH_SHA_512.")
}

func TestRSAEncryption(t *testing.T) {
	w := newWorld(t)
	k, other := w.keyOf("RSA_2048", "ENCRYPT_DECRYPT"), w.keyOf("RSA_2048", "ENCRYPT_DECRYPT")
	for algorithm, limit := range map[string]int{"RSAES_OAEP_SHA_1": 214, "RSAES_OAEP_SHA_256": 190} {
		encrypt := func(n int) (*kmsapi.EncryptOutput, error) {
			return w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: k.KeyId, Plaintext: make([]byte, n), EncryptionAlgorithm: &algorithm})
		}
		out := must(encrypt(limit))
		_, err := encrypt(limit + 1)
		expect(t, err, "ValidationException", "Algorithm "+algorithm+" and key spec RSA_2048 cannot encrypt data larger than "+map[int]string{214: "214", 190: "190"}[limit]+" bytes.")
		back := must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{KeyId: k.KeyId, CiphertextBlob: out.CiphertextBlob, EncryptionAlgorithm: &algorithm}))
		if len(back.Plaintext) != limit || *back.KeyId != *k.Arn || back.KeyMaterialId != nil {
			t.Errorf("decrypted %+v", back)
		}
		_, err = w.Decrypt(asRoot(), &kmsapi.DecryptInput{KeyId: other.KeyId, CiphertextBlob: out.CiphertextBlob, EncryptionAlgorithm: &algorithm})
		expect(t, err, "InvalidCiphertextException", "")
		_, err = w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: out.CiphertextBlob, EncryptionAlgorithm: &algorithm})
		expect(t, err, "ValidationException", "…")
		_, err = w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x"), EncryptionAlgorithm: &algorithm, EncryptionContext: map[string]string{"a": "b"}})
		expect(t, err, "ValidationException", "…")

		sym := w.symmetricKey()
		again := must(w.ReEncrypt(asRoot(), &kmsapi.ReEncryptInput{CiphertextBlob: out.CiphertextBlob, SourceKeyId: k.KeyId, SourceEncryptionAlgorithm: &algorithm, DestinationKeyId: &sym}))
		if again.SourceKeyMaterialId != nil || len(must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: again.CiphertextBlob})).Plaintext) != limit {
			t.Errorf("reencrypted %+v", again)
		}
	}
	// What anyone encrypts with the public key opens here.
	blob := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, w.public(k.KeyId).(*rsa.PublicKey), []byte("offline"), nil))
	back := must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{KeyId: k.KeyId, CiphertextBlob: blob, EncryptionAlgorithm: ptr("RSAES_OAEP_SHA_256")}))
	if string(back.Plaintext) != "offline" {
		t.Errorf("decrypted %q", back.Plaintext)
	}
}

func TestGetPublicKey(t *testing.T) {
	w := newWorld(t)
	out := must(w.GetPublicKey(asRoot(), &kmsapi.GetPublicKeyInput{KeyId: w.keyOf("ECC_NIST_P256", "KEY_AGREEMENT").KeyId}))
	if *out.KeySpec != "ECC_NIST_P256" || *out.KeyUsage != "KEY_AGREEMENT" || !slices.Equal(out.KeyAgreementAlgorithms, []string{"ECDH"}) || out.SigningAlgorithms != nil {
		t.Errorf("got %+v", out)
	}
	for _, id := range []string{w.symmetricKey(), *w.keyOf("HMAC_256", "GENERATE_VERIFY_MAC").KeyId} {
		_, err := w.GetPublicKey(asRoot(), &kmsapi.GetPublicKeyInput{KeyId: &id})
		expect(t, err, "UnsupportedOperationException", "")
	}
}

func TestDeriveSharedSecret(t *testing.T) {
	w := newWorld(t)
	k := w.keyOf("ECC_NIST_P384", "KEY_AGREEMENT")
	derive := func(public []byte) (*kmsapi.DeriveSharedSecretOutput, error) {
		return w.DeriveSharedSecret(asRoot(), &kmsapi.DeriveSharedSecretInput{KeyId: k.KeyId, KeyAgreementAlgorithm: ptr("ECDH"), PublicKey: public})
	}
	peer := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	out := must(derive(must(x509.MarshalPKIXPublicKey(&peer.PublicKey))))
	ours := must(w.public(k.KeyId).(*ecdsa.PublicKey).ECDH())
	if !bytes.Equal(out.SharedSecret, must(must(peer.ECDH()).ECDH(ours))) || *out.KeyOrigin != "AWS_KMS" {
		t.Error("the two sides do not agree")
	}
	otherCurve := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	x := must(ecdh.X25519().GenerateKey(rand.Reader))
	for _, public := range [][]byte{nil, []byte("x"), must(x509.MarshalPKIXPublicKey(&otherCurve.PublicKey)), must(x509.MarshalPKIXPublicKey(x.PublicKey()))} {
		expect(t, second(derive(public)), "ValidationException", "")
	}
}

func TestDataKeyPairs(t *testing.T) {
	w := newWorld(t)
	k := w.create(&kmsapi.CreateKeyInput{})
	context := map[string]string{"a": "b"}
	for _, spec := range []string{"RSA_2048", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_NIST_EDWARDS25519"} {
		t.Run(spec, func(t *testing.T) {
			if spec == "RSA_4096" && (os.Getenv("OBSCURA_TEST_REQUIRE") == "" || testing.Short()) {
				t.Skip("a key of this size takes seconds to find; OBSCURA_TEST_REQUIRE is not set")
			}
			out := must(w.GenerateDataKeyPair(asRoot(), &kmsapi.GenerateDataKeyPairInput{KeyId: k.KeyId, KeyPairSpec: &spec, EncryptionContext: context}))
			private := must(x509.ParsePKCS8PrivateKey(out.PrivateKeyPlaintext)).(crypto.Signer)
			if !bytes.Equal(must(x509.MarshalPKIXPublicKey(private.Public())), out.PublicKey) || *out.KeyId != *k.Arn || *out.KeyPairSpec != spec || *out.KeyMaterialId != *k.CurrentKeyMaterialId {
				t.Errorf("pair %+v", out)
			}
			back := must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: out.PrivateKeyCiphertextBlob, EncryptionContext: context}))
			if !bytes.Equal(back.Plaintext, out.PrivateKeyPlaintext) || len(out.PrivateKeyCiphertextBlob) > 6144 {
				t.Error("the sealed private key is another one")
			}
		})
	}
	sealed := must(w.GenerateDataKeyPairWithoutPlaintext(asRoot(), &kmsapi.GenerateDataKeyPairWithoutPlaintextInput{KeyId: k.KeyId, KeyPairSpec: ptr("ECC_NIST_P256")}))
	back := must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: sealed.PrivateKeyCiphertextBlob}))
	private := must(x509.ParsePKCS8PrivateKey(back.Plaintext)).(crypto.Signer)
	if !bytes.Equal(must(x509.MarshalPKIXPublicKey(private.Public())), sealed.PublicKey) {
		t.Error("without plaintext: another public key")
	}
	for _, spec := range []string{"ML_DSA_44", "SM2"} {
		_, err := w.GenerateDataKeyPair(asRoot(), &kmsapi.GenerateDataKeyPairInput{KeyId: k.KeyId, KeyPairSpec: &spec})
		expect(t, err, "UnsupportedOperationException", "")
	}
}

func TestThereAreNoCustomKeyStores(t *testing.T) {
	w := newWorld(t)
	if out := must(w.DescribeCustomKeyStores(asRoot(), &kmsapi.DescribeCustomKeyStoresInput{})); len(out.CustomKeyStores) != 0 || *out.Truncated {
		t.Errorf("got %+v", out)
	}
	_, err := w.DescribeCustomKeyStores(asRoot(), &kmsapi.DescribeCustomKeyStoresInput{CustomKeyStoreId: ptr("cks-1")})
	expect(t, err, "CustomKeyStoreNotFoundException", "")
}
