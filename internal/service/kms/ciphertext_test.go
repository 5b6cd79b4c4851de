// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// NIST CAVP, KDFCTR_gen, PRF HMAC_SHA256, counter before fixed data, 32 bits, COUNT=0.
func TestKDFMatchesPublishedVector(t *testing.T) {
	secret := unhex(t, "dd1d91b7d90b2bd3138533ce92b272fbf8a369316aefe242e659cc0ae238afe0")
	fixed := unhex(t, "01322b96b30acd197979444e468e1c5c6859bf1b1cf951b7e725303e237e46b864a145fab25e517b08f8683d0315bb2911d80a0e8aba17f3b413faac")
	want := unhex(t, "10621342bfb0fd40046c0e29f2cfdbf0")
	got := make([]byte, len(want))
	fillCounterMode(got, secret, fixed)
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestKDFContinuesIntoFurtherBlocks(t *testing.T) {
	long, short := make([]byte, 80), make([]byte, 32)
	fillCounterMode(long, []byte("secret"), []byte("fixed"))
	fillCounterMode(short, []byte("secret"), []byte("fixed"))
	if !bytes.Equal(long[:32], short) || bytes.Equal(long[32:64], short) {
		t.Error("blocks are not a continuation, or repeat")
	}
}

// vector is one of testdata/ciphertext-blob.json, which docs/formats/ciphertext-blob.md describes.
type vector struct {
	Name, KeyID, MaterialID, Material, Random, Plaintext string
	Context                                              map[string]string
	CanonicalContext, DerivedKey, Blob                   string
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/ciphertext-blob.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	return vectors
}

func TestCiphertextBlobVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			name, ok := parseKeyName(v.KeyID)
			if !ok {
				t.Fatalf("key id %q", v.KeyID)
			}
			material := unhex(t, v.Material)
			blob := sealWith(name, [32]byte(unhex(t, v.MaterialID)), material, unhex(t, v.Plaintext), v.Context, [28]byte(unhex(t, v.Random)))
			if got := hex.EncodeToString(blob); got != v.Blob {
				t.Errorf("blob %s, want %s", got, v.Blob)
			}
			if got := hex.EncodeToString(appendContext(nil, v.Context)); got != v.CanonicalContext {
				t.Errorf("context %s, want %s", got, v.CanonicalContext)
			}
			bound := append(append([]byte{name.kind}, name.raw[:]...), unhex(t, v.Random)[:16]...)
			if key := deriveKey(material, blobLabel, bound); hex.EncodeToString(key[:]) != v.DerivedKey {
				t.Errorf("key %x, want %s", key, v.DerivedKey)
			}
			c, err := parseCiphertext(unhex(t, v.Blob))
			if err != nil || c.keyID != v.KeyID || c.materialID != v.MaterialID {
				t.Fatalf("parsed %q %q, %v", c.keyID, c.materialID, err)
			}
			plaintext, err := c.open(material, v.Context)
			if err != nil || !bytes.Equal(plaintext, unhex(t, v.Plaintext)) {
				t.Errorf("opened %x, %v", plaintext, err)
			}
		})
	}
}

func TestEveryAlteredBitOfABlobIsRefused(t *testing.T) {
	material, context := randomBytes(32), map[string]string{"a": "b"}
	blob := sealCiphertext(newKeyName(false), [32]byte(randomBytes(32)), material, []byte("secret"), context)
	for i := range blob {
		for bit := range 8 {
			altered := bytes.Clone(blob)
			altered[i] ^= 1 << bit
			if opens(altered, material, context) {
				t.Fatalf("opens with bit %d of byte %d altered", bit, i)
			}
			if _, err := parseCiphertext(altered); i < headerBytes && err == nil {
				t.Errorf("header parses with bit %d of byte %d altered", bit, i)
			}
		}
	}
	for n := range len(blob) {
		if opens(blob[:n], material, context) {
			t.Fatalf("opens with %d bytes", n)
		}
	}
	if opens(append(bytes.Clone(blob), 0), material, context) || !opens(blob, material, context) {
		t.Error("a longer blob opens, or the true one does not")
	}
}

func opens(blob, material []byte, context map[string]string) bool {
	c, err := parseCiphertext(blob)
	if err != nil {
		return false
	}
	_, err = c.open(material, context)
	return err == nil
}

func TestTwoBlobsOfOnePlaintextShareNothingButTheKey(t *testing.T) {
	name, id, material := newKeyName(false), [32]byte{1}, randomBytes(32)
	a := sealCiphertext(name, id, material, []byte("same"), nil)
	b := sealCiphertext(name, id, material, []byte("same"), nil)
	if bytes.Equal(a[offNonce:offIV], b[offNonce:offIV]) || bytes.Equal(a[headerBytes:], b[headerBytes:]) {
		t.Error("two blobs are alike")
	}
}

// contexts draws maps whose keys and values try to run into each other.
func contexts() *rapid.Generator[map[string]string] {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00\x01=,äÄA")), 0, 4, -1)
	return rapid.MapOfN(text, text, 0, 5)
}

func TestCanonicalContextIsInjectiveAndIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := contexts().Draw(t, "a"), contexts().Draw(t, "b")
		same := bytes.Equal(appendContext(nil, a), appendContext(nil, b))
		if same != maps.Equal(a, b) {
			t.Fatalf("%q and %q: same form %v", a, b, same)
		}
		copied := map[string]string{}
		for _, key := range contextKeys(a) {
			copied[key] = a[key]
		}
		if !bytes.Equal(appendContext(nil, a), appendContext(nil, copied)) {
			t.Fatal("form depends on the order of insertion")
		}
	})
}

func TestBlobOpensWithItsContextAlone(t *testing.T) {
	material, name := randomBytes(32), newKeyName(true)
	rapid.Check(t, func(t *rapid.T) {
		a, b := contexts().Draw(t, "a"), contexts().Draw(t, "b")
		blob := sealCiphertext(name, [32]byte{}, material, []byte("x"), a)
		if !opens(blob, material, a) || opens(blob, material, b) != maps.Equal(a, b) {
			t.Fatalf("sealed with %q, opened with %q", a, b)
		}
	})
}

func TestNoContextIsTheEmptyContext(t *testing.T) {
	if !bytes.Equal(appendContext(nil, nil), appendContext(nil, map[string]string{})) {
		t.Error("nil and empty differ")
	}
}

func FuzzParseCiphertext(f *testing.F) {
	material := bytes.Repeat([]byte{1}, 32)
	for _, v := range readVectors(f) {
		f.Add(unhex(f, v.Blob))
	}
	f.Add([]byte("OK\x01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, blob []byte) {
		c, err := parseCiphertext(blob)
		if err != nil {
			return
		}
		if _, ok := parseKeyName(c.keyID); !ok || len(c.materialID) != 64 {
			t.Errorf("key id %q, material id %q", c.keyID, c.materialID)
		}
		if _, err := c.open(material, nil); err == nil {
			t.Error("opens under a key that did not seal it")
		}
	})
}

func TestKeyNamesRoundTrip(t *testing.T) {
	for _, multiRegion := range []bool{false, true} {
		n := newKeyName(multiRegion)
		if back, ok := parseKeyName(n.String()); !ok || back != n {
			t.Errorf("%s does not come back", n)
		}
	}
}

func TestMalformedKeyIDs(t *testing.T) {
	for _, s := range []string{
		"", "fake-key-id", "1234abcd12ab34cd56ef1234567890ab", "mrk-fake", "1234ABCD-12ab-34cd-56ef-1234567890ab",
		"1234abcd-12ab-34cd-56ef-1234567890a", "1234abcdx12ab-34cd-56ef-1234567890ab", "mrk-1234abcd-12ab-34cd-56ef-1234567890ab",
		"1234abcd-12ab-34cd-56ef-1234567890ag",
	} {
		if _, ok := parseKeyName(s); ok {
			t.Errorf("%q is taken for a key id", s)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
