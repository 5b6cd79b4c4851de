// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"hash"
	"strings"
	"testing"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// wrapPadded is RFC 5649's wrapping, for tests.
func wrapPadded(kek, plain []byte) []byte {
	block := must(aes.NewCipher(kek))
	padded := append(bytes.Clone(plain), make([]byte, (8-len(plain)%8)%8)...)
	a := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, wrapIV), uint32(len(plain)))
	if len(padded) == 8 {
		out := make([]byte, 16)
		block.Encrypt(out, append(a, padded...))
		return out
	}
	return wrapBlocks(block, a, padded)
}

func wrapBlocks(block cipher.Block, a, r []byte) []byte {
	n := len(r) / 8
	for t := 1; t <= 6*n; t++ {
		b := append(bytes.Clone(a), r[(t-1)%n*8:(t-1)%n*8+8]...)
		block.Encrypt(b, b)
		binary.BigEndian.PutUint64(a, binary.BigEndian.Uint64(b)^uint64(t))
		copy(r[(t-1)%n*8:], b[8:])
	}
	return append(a, r...)
}

func (w *world) external(spec, usage string) string {
	w.t.Helper()
	m := w.create(&kmsapi.CreateKeyInput{Origin: ptr("EXTERNAL"), KeySpec: &spec, KeyUsage: &usage})
	if *m.KeyState != "PendingImport" || *m.Enabled || *m.Origin != "EXTERNAL" || m.CurrentKeyMaterialId != nil {
		w.t.Errorf("new key %+v", m)
	}
	return *m.KeyId
}

// transport wraps material for a key.
func (w *world) transport(id, algorithm, spec string, plain []byte) *kmsapi.ImportKeyMaterialInput {
	w.t.Helper()
	p := must(w.GetParametersForImport(asRoot(), &kmsapi.GetParametersForImportInput{KeyId: &id, WrappingAlgorithm: &algorithm, WrappingKeySpec: &spec}))
	if !p.ParametersValidTo.Equal(w.now.Add(24 * time.Hour)) {
		w.t.Errorf("valid to %s", p.ParametersValidTo)
	}
	public := must(x509.ParsePKIXPublicKey(p.PublicKey)).(*rsa.PublicKey)
	h := map[bool]func() hash.Hash{true: sha1.New, false: sha256.New}[strings.HasSuffix(algorithm, "SHA_1")]
	wrapped := plain
	if strings.HasPrefix(algorithm, "RSA_AES") {
		kek := randomBytes(32)
		wrapped = append(must(rsa.EncryptOAEP(h(), rand.Reader, public, kek, nil)), wrapPadded(kek, plain)...)
	} else {
		wrapped = must(rsa.EncryptOAEP(h(), rand.Reader, public, wrapped, nil))
	}
	return &kmsapi.ImportKeyMaterialInput{
		KeyId: &id, ImportToken: p.ImportToken, EncryptedKeyMaterial: wrapped, ExpirationModel: ptr("KEY_MATERIAL_DOES_NOT_EXPIRE"),
	}
}

func (w *world) importBytes(id string, plain []byte, alter func(*kmsapi.ImportKeyMaterialInput)) error {
	w.t.Helper()
	in := w.transport(id, "RSAES_OAEP_SHA_256", "RSA_2048", plain)
	if alter != nil {
		alter(in)
	}
	_, err := w.ImportKeyMaterial(asRoot(), in)
	return err
}

func (w *world) state(id string) string {
	w.t.Helper()
	return *must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &id})).KeyMetadata.KeyState
}

func TestImportedMaterialWorksThroughEveryWrapping(t *testing.T) {
	w := newWorld(t)
	rsaKey := must(x509.MarshalPKCS8PrivateKey(must(rsa.GenerateKey(rand.Reader, 2048))))
	ecKey := must(x509.MarshalPKCS8PrivateKey(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))))
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for _, c := range []struct {
		spec, usage string
		plain       []byte
		algorithms  []string
	}{
		{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", randomBytes(32), []string{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"}},
		{"HMAC_512", "GENERATE_VERIFY_MAC", randomBytes(64), []string{"RSAES_OAEP_SHA_256"}},
		{"RSA_2048", "SIGN_VERIFY", rsaKey, []string{"RSA_AES_KEY_WRAP_SHA_256"}},
		{"ECC_NIST_P384", "SIGN_VERIFY", ecKey, []string{"RSAES_OAEP_SHA_1", "RSA_AES_KEY_WRAP_SHA_1"}},
		{"ECC_NIST_EDWARDS25519", "SIGN_VERIFY", must(x509.MarshalPKCS8PrivateKey(ed)), []string{"RSAES_OAEP_SHA_256"}},
		{"ECC_SECG_P256K1", "SIGN_VERIFY", must(newKoblitz()), []string{"RSA_AES_KEY_WRAP_SHA_256"}},
	} {
		for _, algorithm := range c.algorithms {
			id := w.external(c.spec, c.usage)
			in := w.transport(id, algorithm, "RSA_2048", c.plain)
			out, err := w.ImportKeyMaterial(asRoot(), in)
			if err != nil || len(*out.KeyMaterialId) != 64 || *out.KeyId != w.keyARN(id) {
				t.Errorf("%s %s: %v", c.spec, algorithm, err)
				continue
			}
			if w.state(id) != "Enabled" {
				t.Errorf("%s: state %s", c.spec, w.state(id))
			}
			in.EncryptedKeyMaterial[len(in.EncryptedKeyMaterial)-1] ^= 1
			_, err = w.ImportKeyMaterial(asRoot(), in)
			expect(t, err, "InvalidCiphertextException", "")
		}
	}
	mac := w.external("HMAC_256", "GENERATE_VERIFY_MAC")
	expect(t, w.importBytes(mac, []byte("0123456789abcdef0123456789abcdef"), nil), "", "")
	got := must(w.GenerateMac(asRoot(), &kmsapi.GenerateMacInput{KeyId: &mac, MacAlgorithm: ptr("HMAC_SHA_256"), Message: []byte("m")}))
	if len(got.Mac) != 32 {
		t.Error("no MAC")
	}
}

func TestImportErrors(t *testing.T) {
	w := newWorld(t)
	id, own, other := w.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), w.symmetricKey(), w.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
	plain := randomBytes(32)
	_, err := w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: plain})
	expect(t, err, "KMSInvalidStateException", w.keyARN(id)+" is pending import.")
	for _, err := range []error{
		second(w.EnableKey(asRoot(), &kmsapi.EnableKeyInput{KeyId: &id})),
		second(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id})),
	} {
		expect(t, err, "KMSInvalidStateException", w.keyARN(id)+" is pending import.")
	}
	_, err = w.GetParametersForImport(asRoot(), &kmsapi.GetParametersForImportInput{KeyId: &own, WrappingAlgorithm: ptr("RSAES_OAEP_SHA_256"), WrappingKeySpec: ptr("RSA_2048")})
	expect(t, err, "UnsupportedOperationException", w.keyARN(own)+" origin is AWS_KMS which is not valid for this operation.")
	for algorithm, spec := range map[string]string{"RSAES_PKCS1_V1_5": "RSA_2048", "SM2PKE": "SM2"} {
		_, err = w.GetParametersForImport(asRoot(), &kmsapi.GetParametersForImportInput{KeyId: &id, WrappingAlgorithm: &algorithm, WrappingKeySpec: &spec})
		expect(t, err, "UnsupportedOperationException", "")
	}
	for name, c := range map[string]struct {
		alter         func(*kmsapi.ImportKeyMaterialInput)
		code, message string
	}{
		"no validTo":       {func(in *kmsapi.ImportKeyMaterialInput) { in.ExpirationModel = nil }, "ValidationException", "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"},
		"validTo":          {func(in *kmsapi.ImportKeyMaterialInput) { in.ValidTo = ptr(w.now.Add(day)) }, "ValidationException", "…"},
		"past":             {func(in *kmsapi.ImportKeyMaterialInput) { in.ExpirationModel, in.ValidTo = nil, ptr(w.now) }, "ValidationException", "…"},
		"far":              {func(in *kmsapi.ImportKeyMaterialInput) { in.ExpirationModel, in.ValidTo = nil, ptr(w.now.Add(366*day)) }, "ValidationException", "…"},
		"broken token":     {func(in *kmsapi.ImportKeyMaterialInput) { in.ImportToken[40] ^= 1 }, "InvalidImportTokenException", ""},
		"another key":      {func(in *kmsapi.ImportKeyMaterialInput) { in.KeyId = &other }, "InvalidImportTokenException", ""},
		"other id":         {func(in *kmsapi.ImportKeyMaterialInput) { in.KeyMaterialId = ptr(strings.Repeat("0", 64)) }, "IncorrectKeyMaterialException", ""},
		"nothing existing": {func(in *kmsapi.ImportKeyMaterialInput) { in.ImportType = ptr("EXISTING_KEY_MATERIAL") }, "IncorrectKeyMaterialException", ""},
	} {
		code, message := outcome(w.importBytes(id, plain, c.alter))
		if code != c.code || c.message != "…" && message != c.message {
			t.Errorf("%s: %s %s", name, code, message)
		}
	}
	expect(t, w.importBytes(id, randomBytes(16), nil), "InvalidCiphertextException", "")
	late := w.transport(id, "RSAES_OAEP_SHA_256", "RSA_2048", plain)
	w.advance(24 * time.Hour)
	_, err = w.ImportKeyMaterial(asRoot(), late)
	expect(t, err, "ExpiredImportTokenException", "")
}

func TestDeletedMaterialComesBackOnlyAsTheSameBytes(t *testing.T) {
	w := newWorld(t)
	id, plain := w.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), randomBytes(32)
	expect(t, w.importBytes(id, plain, nil), "", "")
	blob := must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("x")})).CiphertextBlob
	before := countRows(t, w.db)
	must(w.DeleteImportedKeyMaterial(asRoot(), &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id}))
	if n := countRows(t, w.db); n != before-1 || w.state(id) != "PendingImport" {
		t.Errorf("%d rows of %d, state %s", n, before, w.state(id))
	}
	_, err := w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: blob})
	expect(t, err, "KMSInvalidStateException", w.keyARN(id)+" is pending import.")
	expect(t, w.importBytes(id, randomBytes(32), nil), "IncorrectKeyMaterialException", "")
	w.reopen()
	expect(t, w.importBytes(id, plain, nil), "", "")
	if back := must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: blob})); string(back.Plaintext) != "x" {
		t.Error("another plaintext")
	}
}

// TestKeyWithoutMaterialIsNotEnabled: not by way of a deletion that is cancelled either.
func TestKeyWithoutMaterialIsNotEnabled(t *testing.T) {
	w := newWorld(t)
	for _, had := range []bool{false, true} {
		id := w.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
		if had {
			expect(t, w.importBytes(id, randomBytes(32), nil), "", "")
		}
		must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &id}))
		if had {
			must(w.DeleteImportedKeyMaterial(asRoot(), &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id}))
		}
		must(w.CancelKeyDeletion(asRoot(), &kmsapi.CancelKeyDeletionInput{KeyId: &id}))
		if got := w.state(id); got != "PendingImport" {
			t.Errorf("state %s", got)
		}
		expect(t, second(w.EnableKey(asRoot(), &kmsapi.EnableKeyInput{KeyId: &id})), "KMSInvalidStateException", "…")
		expect(t, second(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("x")})), "KMSInvalidStateException", "…")
	}
}

func TestImportedMaterialExpiresByTheClock(t *testing.T) {
	w := newWorld(t)
	var told []string
	w.cfg.Happened = func(_ contextT, event, _ string) { told = append(told, event) }
	id, plain := w.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), randomBytes(32)
	expires := func(in *kmsapi.ImportKeyMaterialInput) { in.ExpirationModel, in.ValidTo = nil, ptr(w.now.Add(day)) }
	expect(t, w.importBytes(id, plain, expires), "", "")
	m := must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &id})).KeyMetadata
	if *m.ExpirationModel != "KEY_MATERIAL_EXPIRES" || !m.ValidTo.Equal(w.now.Add(day)) {
		t.Errorf("metadata %+v", m)
	}
	must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: plain}))
	w.advance(day)
	before := countRows(t, w.db)
	_, err := w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: plain})
	expect(t, err, "KMSInvalidStateException", w.keyARN(id)+" is pending import.")
	if countRows(t, w.db) != before || w.state(id) != "PendingImport" {
		t.Errorf("state %s", w.state(id))
	}
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	if len(told) != 1 || w.state(id) != "PendingImport" {
		t.Errorf("told %v, state %s", told, w.state(id))
	}
	if w.secrets.get(materialRef{id, *m.CurrentKeyMaterialId}, new(secret)) {
		t.Error("expired material is still cached")
	}
	expect(t, w.importBytes(id, plain, nil), "", "")
	must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: plain}))
}

func TestSeveralImportedMaterialsRotateOnDemand(t *testing.T) {
	w := newWorld(t)
	id := w.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
	first, next := randomBytes(32), randomBytes(32)
	expect(t, w.importBytes(id, first, nil), "", "")
	_, err := w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id})
	expect(t, err, "KMSInvalidStateException", "No available key material pending rotation for the key: "+w.keyARN(id)+".")
	_, err = w.EnableKeyRotation(asRoot(), &kmsapi.EnableKeyRotationInput{KeyId: &id})
	expect(t, err, "UnsupportedOperationException", w.keyARN(id)+" origin is EXTERNAL which is not valid for this operation.")

	fresh := func(in *kmsapi.ImportKeyMaterialInput) { in.ImportType = ptr("NEW_KEY_MATERIAL") }
	old := must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("old")})).CiphertextBlob
	expect(t, w.importBytes(id, next, fresh), "", "")
	expect(t, w.importBytes(id, next, fresh), "", "") // once more: its expiration, say
	third := randomBytes(32)
	expect(t, w.importBytes(id, third, fresh), "KMSInvalidStateException",
		"New key material (id: "+materialID(id, third)+") cannot be imported into KMS key "+w.keyARN(id)+
			", because another key material (id: "+materialID(id, next)+") is pending rotation.")
	all := w.rotations(id, ptr("ALL_KEY_MATERIAL"))
	if len(all) != 2 || *all[0].KeyMaterialState != "CURRENT" || *all[1].KeyMaterialState != "PENDING_ROTATION" || *all[1].ImportState != "IMPORTED" {
		t.Errorf("before: %+v", all)
	}
	must(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id}))
	w.reopen()
	if back := must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: old})); *back.KeyMaterialId != materialID(id, first) {
		t.Error("opened by another material")
	}
	now := must(w.GenerateDataKey(asRoot(), &kmsapi.GenerateDataKeyInput{KeyId: &id, NumberOfBytes: ptr(int64(32))}))
	if *now.KeyMaterialId != materialID(id, next) {
		t.Error("the new material is not the current one")
	}
	// Without any one of its materials the key is of no use.
	must(w.DeleteImportedKeyMaterial(asRoot(), &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id, KeyMaterialId: ptr(materialID(id, first))}))
	_, err = w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: now.CiphertextBlob})
	expect(t, err, "KMSInvalidStateException", w.keyARN(id)+" is pending import.")
	var faults int
	c := Custodian{DB: w.db, Root: w.root}
	if _, err := c.Verify(t.Context(), func(string, error) { faults++ }); err != nil || faults != 0 {
		t.Errorf("%d faults, %v", faults, err)
	}
	expect(t, w.importBytes(id, first, nil), "", "")
	must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: old}))
}

func TestLastUsage(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	last := func() *kmsapi.KeyLastUsageData {
		return must(w.GetKeyLastUsage(asRoot(), &kmsapi.GetKeyLastUsageInput{KeyId: &id})).KeyLastUsage
	}
	if last() != nil {
		t.Error("used before it was used")
	}
	must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("x")}))
	at := w.now
	if u := last(); u == nil || *u.Operation != "Encrypt" || !u.Timestamp.Equal(at) {
		t.Errorf("before the sweep: %+v", u)
	}
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.advance(time.Hour)
	_, _ = w.Decrypt(asRoot(), &kmsapi.DecryptInput{KeyId: &id, CiphertextBlob: []byte("none")})
	w.reopen()
	if u := last(); u == nil || *u.Operation != "Encrypt" || !u.Timestamp.Equal(at) {
		t.Errorf("after a restart: %+v", u)
	}
}

func TestRewrapTouchesEveryMaterialAndBlocksNone(t *testing.T) {
	w := newWorld(t)
	for range rewrapBatch + 3 {
		w.symmetricKey()
	}
	before := new(strings.Builder)
	dump(t, w.db, before)
	n, err := w.Rewrap(t.Context())
	if err != nil || n != rewrapBatch+3 {
		t.Fatalf("%d, %v", n, err)
	}
	after := new(strings.Builder)
	dump(t, w.db, after)
	if before.String() == after.String() {
		t.Error("nothing was wrapped anew")
	}
	c := Custodian{DB: w.db, Root: w.root}
	if keys, err := c.Verify(t.Context(), func(id string, err error) { t.Error(id, err) }); err != nil || keys != n {
		t.Errorf("%d keys, %v", keys, err)
	}
}
