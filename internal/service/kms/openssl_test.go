// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"crypto/sha3"
	"encoding/hex"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/mldsa"
	mldsax509 "filippo.io/mldsa/x509"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// openssl runs OpenSSL's command in dir; without it the test is skipped, or fails where it is required.
func openssl(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("OBSCURA_TEST_REQUIRE"), ","), "openssl") {
			t.Fatal("openssl is required and not there")
		}
		t.Skip("openssl is not installed")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestOpenSSLVerifiesSignatures(t *testing.T) {
	w := newWorld(t)
	message := []byte("what is signed")
	for _, c := range []struct {
		spec, algorithm string
		args            []string // of openssl pkeyutl
	}{
		{"RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256", []string{"-rawin", "-digest", "sha256"}},
		{"RSA_2048", "RSASSA_PKCS1_V1_5_SHA_512", []string{"-rawin", "-digest", "sha512"}},
		{"RSA_2048", "RSASSA_PSS_SHA_256", []string{"-rawin", "-digest", "sha256", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest"}},
		{"RSA_2048", "RSASSA_PSS_SHA_384", []string{"-rawin", "-digest", "sha384", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest"}},
		{"ECC_NIST_P256", "ECDSA_SHA_256", []string{"-rawin", "-digest", "sha256"}},
		{"ECC_NIST_P384", "ECDSA_SHA_384", []string{"-rawin", "-digest", "sha384"}},
		{"ECC_NIST_P521", "ECDSA_SHA_512", []string{"-rawin", "-digest", "sha512"}},
		{"ECC_SECG_P256K1", "ECDSA_SHA_256", []string{"-rawin", "-digest", "sha256"}},
		{"ECC_NIST_EDWARDS25519", "ED25519_SHA_512", []string{"-rawin"}},
	} {
		t.Run(c.spec+"/"+c.algorithm, func(t *testing.T) {
			id := w.keyOf(c.spec, "SIGN_VERIFY").KeyId
			signed := must(w.Sign(asRoot(), &kmsapi.SignInput{KeyId: id, Message: message, SigningAlgorithm: &c.algorithm}))
			public := must(w.GetPublicKey(asRoot(), &kmsapi.GetPublicKeyInput{KeyId: id}))
			dir := t.TempDir()
			write := func(name string, b []byte) {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public.PublicKey}))
			write("message", message)
			write("signature", signed.Signature)
			write("other", []byte("something else"))
			verify := func(file string) (string, error) {
				args := append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-in", file, "-sigfile", "signature"}, c.args...)
				return openssl(t, dir, args...)
			}
			if out, err := verify("message"); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			if _, err := verify("other"); err == nil {
				t.Error("another message verifies: the check is none")
			}
		})
	}
}

func TestOpenSSLWrapsWhatIsImported(t *testing.T) {
	dir := t.TempDir()
	kek, plain := randomBytes(32), randomBytes(139) // no multiple of eight
	if err := os.WriteFile(filepath.Join(dir, "plain"), plain, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := openssl(t, dir, "enc", "-id-aes256-wrap-pad", "-K", hex.EncodeToString(kek), "-iv", "A65959A6", "-in", "plain", "-out", "wrapped")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wrapped := must(os.ReadFile(filepath.Join(dir, "wrapped")))
	if got, ok := unwrapPadded(kek, wrapped); !ok || string(got) != string(plain) {
		t.Error("what OpenSSL wrapped does not unwrap")
	}
	if string(wrapPadded(kek, plain)) != string(wrapped) {
		t.Error("the tests wrap otherwise than OpenSSL")
	}
}

func TestMLDSASignsAMessageAndItsRepresentative(t *testing.T) {
	w := newWorld(t)
	message := []byte("what is signed")
	for _, spec := range []string{"ML_DSA_44", "ML_DSA_65", "ML_DSA_87"} {
		m := w.keyOf(spec, "SIGN_VERIFY")
		if m.CustomerMasterKeySpec != nil || !slices.Equal(m.SigningAlgorithms, []string{"ML_DSA_SHAKE_256"}) {
			t.Errorf("%s: metadata %+v", spec, m)
		}
		der := must(w.GetPublicKey(asRoot(), &kmsapi.GetPublicKeyInput{KeyId: m.KeyId})).PublicKey
		public := must(mldsax509.ParsePKIXPublicKey(der)).(*mldsa.PublicKey)
		for messageType, what := range map[string][]byte{"RAW": message, "EXTERNAL_MU": representative(public, message)} {
			in := &kmsapi.SignInput{KeyId: m.KeyId, Message: what, MessageType: &messageType, SigningAlgorithm: ptr("ML_DSA_SHAKE_256")}
			signed := must(w.Sign(asRoot(), in))
			if err := mldsa.Verify(public, message, signed.Signature, nil); err != nil {
				t.Errorf("%s %s: %v", spec, messageType, err)
			}
			check := &kmsapi.VerifyInput{KeyId: m.KeyId, Message: message, Signature: signed.Signature, SigningAlgorithm: in.SigningAlgorithm}
			must(w.Verify(asRoot(), check))
			check.Message = []byte("something else")
			_, err := w.Verify(asRoot(), check)
			expect(t, err, "KMSInvalidSignatureException", "")
		}
		_, err := w.Sign(asRoot(), &kmsapi.SignInput{KeyId: m.KeyId, Message: message, MessageType: ptr("EXTERNAL_MU"), SigningAlgorithm: ptr("ML_DSA_SHAKE_256")})
		expect(t, err, "ValidationException", "Digest is invalid length for algorithm ML_DSA_SHAKE_256.")
		_, err = w.Sign(asRoot(), &kmsapi.SignInput{KeyId: m.KeyId, Message: message, MessageType: ptr("DIGEST"), SigningAlgorithm: ptr("ML_DSA_SHAKE_256")})
		expect(t, err, "ValidationException", "Algorithm ML_DSA_SHAKE_256 does not support MessageType DIGEST.")
		_, err = w.Verify(asRoot(), &kmsapi.VerifyInput{KeyId: m.KeyId, Message: representative(public, message), MessageType: ptr("EXTERNAL_MU"), Signature: make([]byte, 2420), SigningAlgorithm: ptr("ML_DSA_SHAKE_256")})
		expect(t, err, "UnsupportedOperationException", "")
	}
}

// representative is μ with the empty context (FIPS 204, algorithms 2 and 7).
func representative(public *mldsa.PublicKey, message []byte) []byte {
	tr := sha3.SumSHAKE256(public.Bytes(), 64)
	h := sha3.NewSHAKE256()
	for _, b := range [][]byte{tr, {0, 0}, message} {
		h.Write(b)
	}
	mu := make([]byte, 64)
	h.Read(mu)
	return mu
}

func TestPrivateKeysOfAllKindsSurviveTheirEncoding(t *testing.T) {
	for name, x := range specs {
		if len(x.sign) == 0 || strings.HasPrefix(name, "RSA_3") || strings.HasPrefix(name, "RSA_4") {
			continue
		}
		der := must(x.generate())
		k := must(parsePrivate(der))
		again := must(parsePrivate(must(marshalPrivate(k))))
		if string(must(marshalPublic(k.Public()))) != string(must(marshalPublic(again.Public()))) {
			t.Errorf("%s: another key", name)
		}
		if x.take != nil {
			if taken, ok := x.take(der); !ok || string(taken) != string(der) {
				t.Errorf("%s: imported material is kept otherwise than made material", name)
			}
		}
	}
}

func FuzzParsePrivate(f *testing.F) {
	f.Add(must(newKoblitz()))
	f.Add(must(edKey()))
	f.Add(must(specs["ML_DSA_44"].generate()))
	f.Fuzz(func(t *testing.T, der []byte) {
		k, err := parsePrivate(der)
		if err != nil {
			return
		}
		if _, err := marshalPrivate(k); err != nil {
			t.Skip() // such as keys without a way back: X25519 does not sign
		}
	})
}

func FuzzUnwrapPadded(f *testing.F) {
	kek := make([]byte, 32)
	f.Add(wrapPadded(kek, []byte("a key")))
	f.Add(wrapPadded(kek, make([]byte, 40)))
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		if plain, ok := unwrapPadded(kek, wrapped); ok && string(wrapPadded(kek, plain)) != string(wrapped) {
			t.Error("unwrapped what is not the wrapping of it")
		}
	})
}
