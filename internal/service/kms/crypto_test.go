// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

const dryRunText = "The request would have succeeded, but the DryRun option is set."

func TestEncryptDecryptRoundTrip(t *testing.T) {
	w := newWorld(t)
	for _, multiRegion := range []bool{false, true} {
		k := w.create(&kmsapi.CreateKeyInput{MultiRegion: &multiRegion})
		for _, n := range []int{1, 16, 4095, 4096} {
			plaintext, context := randomBytes(n), map[string]string{"Stream": "door", "b": ""}
			out := must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: k.KeyId, Plaintext: plaintext, EncryptionContext: context}))
			if *out.KeyId != *k.Arn || *out.EncryptionAlgorithm != "SYMMETRIC_DEFAULT" || len(out.CiphertextBlob) > 6144 {
				t.Errorf("encrypted %+v", out)
			}
			for _, keyID := range []*string{nil, k.KeyId, k.Arn} {
				back := must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: out.CiphertextBlob, KeyId: keyID, EncryptionContext: context}))
				if !bytes.Equal(back.Plaintext, plaintext) || *back.KeyId != *k.Arn || *back.KeyMaterialId != *k.CurrentKeyMaterialId {
					t.Errorf("decrypted %+v", back)
				}
			}
		}
	}
}

func TestEncryptRefusesTooMuch(t *testing.T) {
	w := newWorld(t)
	_, err := w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: ptr(w.symmetricKey()), Plaintext: make([]byte, 4097)})
	expect(t, err, "ValidationException", "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096")
}

func TestDecryptRefusesOtherEncryptionContext(t *testing.T) {
	w := newWorld(t)
	blob := must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{
		KeyId: ptr(w.symmetricKey()), Plaintext: []byte("x"), EncryptionContext: map[string]string{"k": "v", "l": "w"},
	})).CiphertextBlob
	for name, context := range map[string]map[string]string{
		"none": nil, "missing pair": {"k": "v"}, "extra pair": {"k": "v", "l": "w", "m": "x"}, "key in other case": {"K": "v", "l": "w"},
		"value in other case": {"k": "V", "l": "w"}, "values swapped": {"k": "w", "l": "v"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionContext: context})
			expect(t, err, "InvalidCiphertextException", "")
		})
	}
}

func TestDecryptRefusesEveryAlteredByte(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	blob := must(w.GenerateDataKey(asRoot(), dataKeyInput(id))).CiphertextBlob
	for i := range blob {
		altered := bytes.Clone(blob)
		altered[i] ^= 0x10
		for _, keyID := range []*string{nil, &id} {
			_, err := w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: altered, KeyId: keyID})
			expect(t, err, "InvalidCiphertextException", "")
		}
	}
}

func TestDecryptWithTheWrongKey(t *testing.T) {
	w := newWorld(t)
	a, b := w.symmetricKey(), w.symmetricKey()
	blob := must(w.GenerateDataKey(asRoot(), dataKeyInput(a))).CiphertextBlob
	_, err := w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: blob, KeyId: &b})
	expect(t, err, "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	_, err = w.ReEncrypt(asRoot(), &kmsapi.ReEncryptInput{CiphertextBlob: blob, SourceKeyId: &b, DestinationKeyId: &b})
	expect(t, err, "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
}

// A blob of a key that never was here, of a key the caller may not use, and of one
// that was deleted must look the same to a caller who names no key.
func TestUnusableCiphertextsLookAlike(t *testing.T) {
	w := newWorld(t)
	const hidden = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."
	foreign := sealCiphertext(newKeyName(false), [32]byte{}, randomBytes(32), []byte("x"), nil)
	own := must(w.GenerateDataKey(asRoot(), dataKeyInput(w.symmetricKey()))).CiphertextBlob
	for _, blob := range [][]byte{foreign, own} {
		_, err := w.Decrypt(asUser(aliceARN), &kmsapi.DecryptInput{CiphertextBlob: blob})
		expect(t, err, "AccessDeniedException", hidden)
	}
	_, err := w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: foreign})
	expect(t, err, "AccessDeniedException", hidden)
}

func TestReEncrypt(t *testing.T) {
	w := newWorld(t)
	a, b := w.create(&kmsapi.CreateKeyInput{}), w.create(&kmsapi.CreateKeyInput{})
	blob := must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: a.KeyId, Plaintext: []byte("x"), EncryptionContext: map[string]string{"k": "1"}})).CiphertextBlob
	out := must(w.ReEncrypt(asRoot(), &kmsapi.ReEncryptInput{
		CiphertextBlob: blob, SourceEncryptionContext: map[string]string{"k": "1"}, DestinationKeyId: b.KeyId, DestinationEncryptionContext: map[string]string{"k": "2"},
	}))
	if *out.SourceKeyId != *a.Arn || *out.KeyId != *b.Arn || *out.SourceKeyMaterialId != *a.CurrentKeyMaterialId || *out.DestinationKeyMaterialId != *b.CurrentKeyMaterialId {
		t.Errorf("reencrypted %+v", out)
	}
	back := must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: out.CiphertextBlob, EncryptionContext: map[string]string{"k": "2"}}))
	if string(back.Plaintext) != "x" || *back.KeyId != *b.Arn {
		t.Errorf("decrypted %+v", back)
	}
	_, err := w.ReEncrypt(asRoot(), &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: b.KeyId})
	expect(t, err, "InvalidCiphertextException", "")
}

func TestReEncryptNeedsBothPermissions(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		allowed  bool
	}{
		"both":      {"kms:ReEncryptFrom", "kms:ReEncryptTo", true},
		"from only": {"kms:ReEncryptFrom", "kms:ReEncryptFrom", false},
		"to only":   {"kms:ReEncryptTo", "kms:ReEncryptTo", false},
		"wildcard":  {"kms:ReEncrypt*", "kms:ReEncrypt*", true},
		"decrypt":   {"kms:Decrypt", "kms:Encrypt", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.symmetricKey(), w.symmetricKey()
			blob := must(w.GenerateDataKey(asRoot(), dataKeyInput(a))).CiphertextBlob
			w.allow(aliceARN, `{"Effect":"Allow","Action":"`+c.from+`","Resource":"`+w.keyARN(a)+`"},{"Effect":"Allow","Action":"`+c.to+`","Resource":"`+w.keyARN(b)+`"}`)
			_, err := w.ReEncrypt(asUser(aliceARN), &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &b})
			if c.allowed != (err == nil) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestGenerateDataKey(t *testing.T) {
	w := newWorld(t)
	k := w.create(&kmsapi.CreateKeyInput{})
	for _, c := range []struct {
		spec  *string
		bytes *int64
		want  int
	}{{ptr("AES_128"), nil, 16}, {ptr("AES_256"), nil, 32}, {nil, ptr(int64(1)), 1}, {nil, ptr(int64(1024)), 1024}} {
		out := must(w.GenerateDataKey(asRoot(), &kmsapi.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: c.spec, NumberOfBytes: c.bytes}))
		back := must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: out.CiphertextBlob}))
		if len(out.Plaintext) != c.want || !bytes.Equal(back.Plaintext, out.Plaintext) || *out.KeyId != *k.Arn || *out.KeyMaterialId != *k.CurrentKeyMaterialId {
			t.Errorf("%+v, decrypted %+v", out, back)
		}
		sealed := must(w.GenerateDataKeyWithoutPlaintext(asRoot(), &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: k.KeyId, KeySpec: c.spec, NumberOfBytes: c.bytes}))
		back = must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: sealed.CiphertextBlob}))
		if len(back.Plaintext) != c.want || bytes.Equal(back.Plaintext, make([]byte, c.want)) && c.want > 1 {
			t.Errorf("without plaintext: %x", back.Plaintext)
		}
	}
	const either = "Please specify either number of bytes or key spec."
	_, err := w.GenerateDataKey(asRoot(), &kmsapi.GenerateDataKeyInput{KeyId: k.KeyId})
	expect(t, err, "ValidationException", either)
	_, err = w.GenerateDataKeyWithoutPlaintext(asRoot(), &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: k.KeyId, KeySpec: ptr("AES_128"), NumberOfBytes: ptr(int64(16))})
	expect(t, err, "ValidationException", either)
}

func TestGenerateRandom(t *testing.T) {
	w := newWorld(t)
	if n := len(must(w.GenerateRandom(asRoot(), &kmsapi.GenerateRandomInput{NumberOfBytes: ptr(int64(1024))})).Plaintext); n != 1024 {
		t.Errorf("%d bytes", n)
	}
	_, err := w.GenerateRandom(asRoot(), &kmsapi.GenerateRandomInput{})
	expect(t, err, "ValidationException", "NumberOfBytes is required.")
	_, err = w.GenerateRandom(asRoot(), &kmsapi.GenerateRandomInput{NumberOfBytes: ptr(int64(1)), CustomKeyStoreId: ptr("cks-1")})
	expect(t, err, "CustomKeyStoreNotFoundException", "")
	_, err = w.GenerateRandom(asUser(aliceARN), &kmsapi.GenerateRandomInput{NumberOfBytes: ptr(int64(1))})
	expect(t, err, "AccessDeniedException", "User: "+aliceARN+" is not authorized to perform: kms:GenerateRandom on resource: * because no identity-based policy allows the kms:GenerateRandom action")
}

func TestUsageMismatches(t *testing.T) {
	w := newWorld(t)
	mac := w.create(&kmsapi.CreateKeyInput{KeySpec: ptr("HMAC_224"), KeyUsage: ptr("GENERATE_VERIFY_MAC")})
	sym := w.create(&kmsapi.CreateKeyInput{})
	rsa := w.create(&kmsapi.CreateKeyInput{KeySpec: ptr("RSA_2048"), KeyUsage: ptr("ENCRYPT_DECRYPT")})
	usage := func(k *kmsapi.KeyMetadata, operation string) string {
		return *k.Arn + " key usage is " + *k.KeyUsage + " which is not valid for " + operation + "."
	}
	_, err := w.GenerateDataKey(asRoot(), dataKeyInput(*mac.KeyId))
	expect(t, err, "InvalidKeyUsageException", usage(mac, "GenerateDataKey"))
	_, err = w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: mac.KeyId, Plaintext: []byte("x")})
	expect(t, err, "InvalidKeyUsageException", usage(mac, "Encrypt"))
	_, err = w.Sign(asRoot(), &kmsapi.SignInput{KeyId: sym.KeyId, Message: []byte("x"), SigningAlgorithm: ptr("ECDSA_SHA_256")})
	expect(t, err, "InvalidKeyUsageException", usage(sym, "Sign"))
	_, err = w.GenerateMac(asRoot(), &kmsapi.GenerateMacInput{KeyId: mac.KeyId, Message: []byte("x"), MacAlgorithm: ptr("HMAC_SHA_256")})
	expect(t, err, "InvalidKeyUsageException", "Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_224.")
	_, err = w.GenerateDataKey(asRoot(), dataKeyInput(*rsa.KeyId))
	expect(t, err, "InvalidKeyUsageException", "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.")
	expect(t, w.AuthorizeUse(asRoot(), "Decrypt", *rsa.KeyId, nil), "InvalidKeyUsageException", "…")
}

func TestDryRunSucceedsAsAnError(t *testing.T) {
	w := newWorld(t)
	id, dry := w.symmetricKey(), ptr(true)
	blob := must(w.GenerateDataKey(asRoot(), dataKeyInput(id))).CiphertextBlob
	for name, call := range map[string]func(ctx contextT) error{
		"Encrypt": func(ctx contextT) error {
			return second(w.Encrypt(ctx, &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("x"), DryRun: dry}))
		},
		"Decrypt": func(ctx contextT) error {
			return second(w.Decrypt(ctx, &kmsapi.DecryptInput{CiphertextBlob: blob, KeyId: &id, DryRun: dry}))
		},
		"ReEncrypt": func(ctx contextT) error {
			return second(w.ReEncrypt(ctx, &kmsapi.ReEncryptInput{CiphertextBlob: blob, SourceKeyId: &id, DestinationKeyId: &id, DryRun: dry}))
		},
		"GenerateDataKey": func(ctx contextT) error {
			return second(w.GenerateDataKey(ctx, &kmsapi.GenerateDataKeyInput{KeyId: &id, KeySpec: ptr("AES_256"), DryRun: dry}))
		},
		"GenerateDataKeyWithoutPlaintext": func(ctx contextT) error {
			return second(w.GenerateDataKeyWithoutPlaintext(ctx, &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: &id, KeySpec: ptr("AES_256"), DryRun: dry}))
		},
		"GenerateDataKeyPair": func(ctx contextT) error {
			return second(w.GenerateDataKeyPair(ctx, &kmsapi.GenerateDataKeyPairInput{KeyId: &id, KeyPairSpec: ptr("ECC_NIST_P256"), DryRun: dry}))
		},
		"GenerateDataKeyPairWithoutPlaintext": func(ctx contextT) error {
			return second(w.GenerateDataKeyPairWithoutPlaintext(ctx, &kmsapi.GenerateDataKeyPairWithoutPlaintextInput{KeyId: &id, KeyPairSpec: ptr("ECC_NIST_P256"), DryRun: dry}))
		},
		"CreateGrant": func(ctx contextT) error {
			return second(w.CreateGrant(ctx, &kmsapi.CreateGrantInput{KeyId: &id, GranteePrincipal: ptr(bobARN), Operations: []string{"Decrypt"}, DryRun: dry}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, call(asRoot()), "DryRunOperationException", dryRunText)
			expect(t, call(asUser(aliceARN)), "AccessDeniedException", "…")
		})
	}
	if n := len(must(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: &id})).Grants); n != 0 {
		t.Errorf("a dry run made %d grants", n)
	}
}

func TestRecipientIsRefusedRatherThanIgnored(t *testing.T) {
	w := newWorld(t)
	id, r := w.symmetricKey(), &kmsapi.RecipientInfo{}
	for _, err := range []error{
		second(w.GenerateDataKey(asRoot(), &kmsapi.GenerateDataKeyInput{KeyId: &id, KeySpec: ptr("AES_256"), Recipient: r})),
		second(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: []byte("x"), Recipient: r})),
		second(w.GenerateRandom(asRoot(), &kmsapi.GenerateRandomInput{NumberOfBytes: ptr(int64(1)), Recipient: r})),
	} {
		expect(t, err, "UnsupportedOperationException", "")
	}
}

func TestContextKeysThatDifferInCaseAloneAreRefused(t *testing.T) {
	w := newWorld(t)
	_, err := w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: ptr(w.symmetricKey()), Plaintext: []byte("x"), EncryptionContext: map[string]string{"a": "1", "A": "2"}})
	expect(t, err, "ValidationException", "The encryption context has keys that differ only in case.")
}

func TestCallsNameTheirKeysForTheAudit(t *testing.T) {
	w := newWorld(t)
	a, b := w.symmetricKey(), w.symmetricKey()
	blob := must(w.GenerateDataKey(asRoot(), dataKeyInput(a))).CiphertextBlob
	ctx := asRoot()
	must(w.ReEncrypt(ctx, &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &b}))
	call, _ := access.FromContext(ctx)
	r := call.Resources()
	if len(r) != 2 || r[0].ARN != w.keyARN(a) || r[1].ARN != w.keyARN(b) || r[0].Type != "AWS::KMS::Key" || !call.Decided() {
		t.Errorf("resources %v", r)
	}
	material := func(id string) any {
		return *must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &id})).KeyMetadata.CurrentKeyMaterialId
	}
	if d := call.Data(); len(d) != 2 || d["sourceKeyMaterialId"] != material(a) || d["destinationKeyMaterialId"] != material(b) {
		t.Errorf("data %v", d)
	}
	ctx = asRoot()
	must(w.Decrypt(ctx, &kmsapi.DecryptInput{CiphertextBlob: blob}))
	if call, _ := access.FromContext(ctx); len(call.Data()) != 1 || call.Data()["keyMaterialId"] != material(a) {
		t.Errorf("data %v", call.Data())
	}
}

func TestMaterialIsWrappedInEveryRow(t *testing.T) {
	w := newWorld(t)
	m := w.create(&kmsapi.CreateKeyInput{})
	must(w.GenerateDataKey(asRoot(), dataKeyInput(*m.KeyId)))
	var x secret
	if !w.secrets.get(materialRef{*m.KeyId, *m.CurrentKeyMaterialId}, &x) {
		t.Fatal("not cached")
	}
	var all strings.Builder
	dump(t, w.db, &all)
	if strings.Contains(all.String(), string(x.bytes())) {
		t.Error("key material lies in the store in clear")
	}
}

func TestMaterialOpensAtItsOwnPlaceAlone(t *testing.T) {
	w := newWorld(t)
	a, b := w.create(&kmsapi.CreateKeyInput{}), w.create(&kmsapi.CreateKeyInput{})
	swapRows(t, w.db, rows{}.material(*a.KeyId, *a.CurrentKeyMaterialId), rows{}.material(*b.KeyId, *b.CurrentKeyMaterialId))
	_, err := w.GenerateDataKey(asRoot(), dataKeyInput(*a.KeyId))
	expect(t, err, "internal", "…")
}

func TestCacheIsBoundedAndZeroed(t *testing.T) {
	c := newSecrets(2)
	x := &secret{n: 3}
	copy(x.room[:], "abc")
	for _, id := range []string{"1", "2"} {
		c.put(materialRef{id, id}, x)
	}
	oldest := c.entries[materialRef{"2", "2"}].Value.(*cached)
	c.get(materialRef{"1", "1"}, new(secret))
	c.put(materialRef{"3", "3"}, x)
	if len(c.entries) != 2 || c.recent.Len() != 2 || c.get(materialRef{"2", "2"}, new(secret)) || oldest.secret.room != [maxSecretBytes]byte{} {
		t.Error("the least recently used secret is still there")
	}
	c.close()
	if len(c.entries) != 0 {
		t.Error("closed with entries")
	}
}

// TestDryRunWithoutACiphertext: the decision alone is asked for, so the key has to be named, and what the ciphertext is
// does not count.
func TestDryRunWithoutACiphertext(t *testing.T) {
	w := newWorld(t)
	id, rsa, sign := w.symmetricKey(), *w.keyOf("RSA_2048", "ENCRYPT_DECRYPT").KeyId, *w.keyOf("ECC_NIST_P256", "SIGN_VERIFY").KeyId
	ignore := []string{"IGNORE_CIPHERTEXT"}
	decrypt := func(c contextT, change func(*kmsapi.DecryptInput)) error {
		in := &kmsapi.DecryptInput{KeyId: &id, DryRun: ptr(true), DryRunModifiers: ignore}
		change(in)
		return second(w.Decrypt(c, in))
	}
	reencrypt := func(c contextT, change func(*kmsapi.ReEncryptInput)) error {
		in := &kmsapi.ReEncryptInput{SourceKeyId: &id, DestinationKeyId: &id, DryRun: ptr(true), DryRunModifiers: ignore}
		change(in)
		return second(w.ReEncrypt(c, in))
	}
	same := func(*kmsapi.DecryptInput) {}
	expect(t, decrypt(asRoot(), same), "DryRunOperationException", dryRunText)
	expect(t, decrypt(asRoot(), func(in *kmsapi.DecryptInput) { in.CiphertextBlob = []byte("nonsense") }), "DryRunOperationException", dryRunText)
	expect(t, decrypt(asRoot(), func(in *kmsapi.DecryptInput) { in.KeyId, in.EncryptionAlgorithm = &rsa, ptr("RSAES_OAEP_SHA_1") }), "DryRunOperationException", dryRunText)
	expect(t, decrypt(asUser(aliceARN), same), "AccessDeniedException", "…")
	expect(t, decrypt(asUser(aliceARN), func(in *kmsapi.DecryptInput) { in.KeyId = nil }), "AccessDeniedException", "…")
	expect(t, decrypt(asRoot(), func(in *kmsapi.DecryptInput) { in.KeyId = nil }), "ValidationException", "…")
	expect(t, decrypt(asRoot(), func(in *kmsapi.DecryptInput) { in.KeyId = &sign }), "InvalidKeyUsageException", "…")
	expect(t, decrypt(asRoot(), func(in *kmsapi.DecryptInput) { in.KeyId = &rsa }), "InvalidKeyUsageException", "…")
	expect(t, decrypt(asRoot(), func(in *kmsapi.DecryptInput) { in.DryRun = nil }), "ValidationException", "1 validation error detected: Value null at 'ciphertextBlob'…")
	expect(t, decrypt(asRoot(), func(in *kmsapi.DecryptInput) { in.DryRunModifiers = nil }), "ValidationException", "…")

	none := func(*kmsapi.ReEncryptInput) {}
	expect(t, reencrypt(asRoot(), none), "DryRunOperationException", dryRunText)
	expect(t, reencrypt(asRoot(), func(in *kmsapi.ReEncryptInput) { in.DestinationKeyId = &sign }), "InvalidKeyUsageException", "…")
	expect(t, reencrypt(asRoot(), func(in *kmsapi.ReEncryptInput) { in.DryRunModifiers = nil }), "ValidationException", "…")
	w.allow(aliceARN, `{"Effect":"Allow","Action":"kms:ReEncryptFrom","Resource":"*"}`)
	expect(t, reencrypt(asUser(aliceARN), none), "AccessDeniedException", deniedText(aliceARN, "kms:ReEncryptTo", w.keyARN(id), "because no identity-based policy allows the kms:ReEncryptTo action"))
	must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id}))
	expect(t, decrypt(asRoot(), same), "DisabledException", "…")
}
