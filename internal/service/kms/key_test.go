// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/meta"
)

const day = 24 * time.Hour

func TestCreateKeyDescribesItself(t *testing.T) {
	w := newWorld(t)
	m := w.create(&kmsapi.CreateKeyInput{Description: ptr("door")})
	if *m.Arn != w.keyARN(*m.KeyId) || *m.KeyState != "Enabled" || !*m.Enabled || *m.KeyManager != "CUSTOMER" ||
		*m.KeySpec != "SYMMETRIC_DEFAULT" || *m.CustomerMasterKeySpec != "SYMMETRIC_DEFAULT" || *m.KeyUsage != "ENCRYPT_DECRYPT" ||
		*m.Origin != "AWS_KMS" || *m.MultiRegion || *m.Description != "door" || *m.AWSAccountId != account ||
		!slices.Equal(m.EncryptionAlgorithms, []string{"SYMMETRIC_DEFAULT"}) || len(*m.CurrentKeyMaterialId) != 64 || m.DeletionDate != nil {
		t.Errorf("metadata %+v", m)
	}
	out := must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: m.Arn}))
	if *out.KeyMetadata.KeyId != *m.KeyId || !out.KeyMetadata.CreationDate.Equal(w.now) {
		t.Errorf("described %+v", out.KeyMetadata)
	}
}

func TestCreateMultiRegionKey(t *testing.T) {
	m := newWorld(t).create(&kmsapi.CreateKeyInput{MultiRegion: ptr(true)})
	c := m.MultiRegionConfiguration
	if !strings.HasPrefix(*m.KeyId, "mrk-") || !*m.MultiRegion || *c.MultiRegionKeyType != "PRIMARY" || *c.PrimaryKey.Arn != *m.Arn {
		t.Errorf("metadata %+v, %+v", m, c)
	}
}

func TestCreateKeyErrors(t *testing.T) {
	tags := func(n int) (tags []*kmsapi.Tag) {
		for i := range n {
			tags = append(tags, &kmsapi.Tag{TagKey: ptr(fmt.Sprint("k", i)), TagValue: ptr("")})
		}
		return tags
	}
	tag := func(key string) *kmsapi.Tag { return &kmsapi.Tag{TagKey: &key, TagValue: ptr("v")} }
	for name, c := range map[string]struct {
		in            kmsapi.CreateKeyInput
		code, message string
	}{
		"no usage": {
			kmsapi.CreateKeyInput{KeySpec: ptr("HMAC_256")},
			"ValidationException",
			"You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
		},
		"bad combination": {
			kmsapi.CreateKeyInput{KeySpec: ptr("RSA_2048"), KeyUsage: ptr("KEY_AGREEMENT")},
			"ValidationException",
			"KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048",
		},
		"both specs": {
			kmsapi.CreateKeyInput{KeySpec: ptr("RSA_2048"), CustomerMasterKeySpec: ptr("RSA_2048")},
			"ValidationException",
			"You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.",
		},
		"SM2":            {kmsapi.CreateKeyInput{KeySpec: ptr("SM2"), KeyUsage: ptr("SIGN_VERIFY")}, "UnsupportedOperationException", ""},
		"imported":       {kmsapi.CreateKeyInput{Origin: ptr("EXTERNAL"), KeySpec: ptr("ML_DSA_44"), KeyUsage: ptr("SIGN_VERIFY")}, "UnsupportedOperationException", ""},
		"key store":      {kmsapi.CreateKeyInput{CustomKeyStoreId: ptr("cks-1")}, "UnsupportedOperationException", ""},
		"duplicate tags": {kmsapi.CreateKeyInput{Tags: []*kmsapi.Tag{tag("a"), tag("a")}}, "TagException", "Duplicate tag keys"},
		"reserved tag":   {kmsapi.CreateKeyInput{Tags: []*kmsapi.Tag{tag("aws:a")}}, "TagException", "Tags beginning with aws: are reserved"},
		"many tags":      {kmsapi.CreateKeyInput{Tags: tags(51)}, "TagException", "Too many tags"},
		"no policy":      {kmsapi.CreateKeyInput{Policy: ptr("{")}, "MalformedPolicyDocumentException", "…"},
		"long policy":    {kmsapi.CreateKeyInput{Policy: ptr(strings.Repeat(" ", 32769))}, "LimitExceededException", ""},
		"lock-out": {
			kmsapi.CreateKeyInput{Policy: ptr(namesOnly(aliceARN, "kms:*"))},
			"MalformedPolicyDocumentException",
			"The new key policy will not allow you to update the key policy in the future.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newWorld(t).CreateKey(asRoot(), &c.in)
			expect(t, err, c.code, c.message)
		})
	}
}

func TestReferencesThatNameNoKey(t *testing.T) {
	w := newWorld(t)
	for given, want := range map[string]string{
		unknownID:                "Key '" + unknownARN + "' does not exist",
		unknownARN:               "Key '" + unknownARN + "' does not exist",
		"fake-key-id":            "Invalid keyId 'fake-key-id'",
		"mrk-fake-key-id":        "Invalid keyId 'mrk-fake-key-id'",
		"alias/none":             "Alias arn:aws:kms:us-east-1:000000000000:alias/none is not found.",
		"alias/aws/nothing":      "Alias arn:aws:kms:us-east-1:000000000000:alias/aws/nothing is not found.",
		w.aliasARN("alias/none"): "Alias arn:aws:kms:us-east-1:000000000000:alias/none is not found.",
		strings.ReplaceAll(unknownARN, "us-east-1", "us-west-2"): "Invalid arn us-west-2",
	} {
		_, err := w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &given})
		expect(t, err, "NotFoundException", want)
	}
	_, err := w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: ptr("arn:aws:s3:::bucket")})
	expect(t, err, "InvalidArnException", "Invalid arn arn:aws:s3:::bucket")
}

func TestManagementTakesNoAliases(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	must(w.CreateAlias(asRoot(), &kmsapi.CreateAliasInput{AliasName: ptr("alias/a"), TargetKeyId: &id}))
	_, err := w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: ptr("alias/a")})
	expect(t, err, "NotFoundException", "Invalid keyId 'alias/a'")
	_, err = w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: ptr(w.aliasARN("alias/a"))})
	expect(t, err, "InvalidArnException", "…")
	if *must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: ptr("alias/a")})).KeyMetadata.KeyId != id {
		t.Error("alias names another key")
	}
}

// stateCalls is every operation that depends on a key's state, with its outcome in
// Enabled, Disabled and PendingDeletion.
//
// Source: KMS Developer Guide, "Key states of AWS KMS keys".
func stateCalls(w *world, id string, blob []byte) map[string]struct {
	call              func() error
	disabled, pending bool // works in that state
} {
	type row = struct {
		call              func() error
		disabled, pending bool
	}
	ctx := asRoot()
	tags := []*kmsapi.Tag{{TagKey: ptr("k"), TagValue: ptr("v")}}
	return map[string]row{
		"Encrypt": {func() error {
			_, err := w.Encrypt(ctx, &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("x")})
			return err
		}, false, false},
		"Decrypt": {func() error { _, err := w.Decrypt(ctx, &kmsapi.DecryptInput{CiphertextBlob: blob}); return err }, false, false},
		"ReEncrypt": {func() error {
			_, err := w.ReEncrypt(ctx, &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &id})
			return err
		}, false, false},
		"GenerateDataKey": {func() error { _, err := w.GenerateDataKey(ctx, dataKeyInput(id)); return err }, false, false},
		"GenerateDataKeyWithoutPlaintext": {func() error {
			_, err := w.GenerateDataKeyWithoutPlaintext(ctx, &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: &id, KeySpec: ptr("AES_128")})
			return err
		}, false, false},
		"AuthorizeUse": {func() error { return w.AuthorizeUse(ctx, "Decrypt", id, nil) }, false, false},
		"EnableKeyRotation": {func() error {
			_, err := w.EnableKeyRotation(ctx, &kmsapi.EnableKeyRotationInput{KeyId: &id})
			return err
		}, false, false},
		"RotateKeyOnDemand": {func() error {
			_, err := w.RotateKeyOnDemand(ctx, &kmsapi.RotateKeyOnDemandInput{KeyId: &id})
			return err
		}, false, false},
		"GetKeyRotationStatus": {func() error {
			_, err := w.GetKeyRotationStatus(ctx, &kmsapi.GetKeyRotationStatusInput{KeyId: &id})
			return err
		}, true, true},
		"CreateGrant": {func() error {
			_, err := w.CreateGrant(ctx, &kmsapi.CreateGrantInput{KeyId: &id, GranteePrincipal: ptr(aliceARN), Operations: []string{"Decrypt"}})
			return err
		}, false, false},
		"DisableKey": {func() error { _, err := w.DisableKey(ctx, &kmsapi.DisableKeyInput{KeyId: &id}); return err }, true, false},
		"UpdateKeyDescription": {func() error {
			_, err := w.UpdateKeyDescription(ctx, &kmsapi.UpdateKeyDescriptionInput{KeyId: &id, Description: ptr("d")})
			return err
		}, true, false},
		"TagResource": {func() error {
			_, err := w.TagResource(ctx, &kmsapi.TagResourceInput{KeyId: &id, Tags: tags})
			return err
		}, true, false},
		"UntagResource": {func() error {
			_, err := w.UntagResource(ctx, &kmsapi.UntagResourceInput{KeyId: &id, TagKeys: []string{"k"}})
			return err
		}, true, false},
		"CreateAlias": {func() error {
			_, err := w.CreateAlias(ctx, &kmsapi.CreateAliasInput{AliasName: ptr(fmt.Sprint("alias/", len(w.view.aliasNames))), TargetKeyId: &id})
			return err
		}, true, false},
		"DescribeKey":  {func() error { _, err := w.DescribeKey(ctx, &kmsapi.DescribeKeyInput{KeyId: &id}); return err }, true, true},
		"GetKeyPolicy": {func() error { _, err := w.GetKeyPolicy(ctx, &kmsapi.GetKeyPolicyInput{KeyId: &id}); return err }, true, true},
		"PutKeyPolicy": {func() error {
			_, err := w.PutKeyPolicy(ctx, &kmsapi.PutKeyPolicyInput{KeyId: &id, Policy: ptr(w.defaultPolicy())})
			return err
		}, true, true},
		"ListKeyPolicies":  {func() error { _, err := w.ListKeyPolicies(ctx, &kmsapi.ListKeyPoliciesInput{KeyId: &id}); return err }, true, true},
		"ListResourceTags": {func() error { _, err := w.ListResourceTags(ctx, &kmsapi.ListResourceTagsInput{KeyId: &id}); return err }, true, true},
		"ListGrants":       {func() error { _, err := w.ListGrants(ctx, &kmsapi.ListGrantsInput{KeyId: &id}); return err }, true, true},
		"ListAliases":      {func() error { _, err := w.ListAliases(ctx, &kmsapi.ListAliasesInput{KeyId: &id}); return err }, true, true},
	}
}

func dataKeyInput(id string) *kmsapi.GenerateDataKeyInput {
	return &kmsapi.GenerateDataKeyInput{KeyId: &id, KeySpec: ptr("AES_256")}
}

func TestKeyStates(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	blob := must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("x")})).CiphertextBlob
	for name, c := range stateCalls(w, id, blob) {
		t.Run(name, func(t *testing.T) {
			arn := w.keyARN(id)
			must(w.EnableKey(asRoot(), &kmsapi.EnableKeyInput{KeyId: &id}))
			expect(t, c.call(), "", "")
			must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id}))
			if c.disabled {
				expect(t, c.call(), "", "")
			} else {
				expect(t, c.call(), "DisabledException", arn+" is disabled.")
			}
			must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &id}))
			if c.pending {
				expect(t, c.call(), "", "")
			} else {
				expect(t, c.call(), "KMSInvalidStateException", arn+" is pending deletion.")
			}
			must(w.CancelKeyDeletion(asRoot(), &kmsapi.CancelKeyDeletionInput{KeyId: &id}))
		})
	}
}

func TestScheduledKeyVanishesAtItsDeadline(t *testing.T) {
	w := newWorld(t)
	id, other := w.symmetricKey(), w.symmetricKey()
	for _, name := range []string{"alias/one", "alias/two"} {
		must(w.CreateAlias(asRoot(), &kmsapi.CreateAliasInput{AliasName: &name, TargetKeyId: &id}))
	}
	must(w.CreateGrant(asRoot(), &kmsapi.CreateGrantInput{KeyId: &id, GranteePrincipal: ptr(aliceARN), Operations: []string{"Decrypt"}}))
	blob := must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("x")})).CiphertextBlob
	out := must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: ptr(int64(7))}))
	if *out.KeyId != w.keyARN(id) || *out.KeyState != "PendingDeletion" || *out.PendingWindowInDays != 7 || !out.DeletionDate.Equal(w.now.AddDate(0, 0, 7)) {
		t.Errorf("scheduled %+v", out)
	}
	m := must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &id})).KeyMetadata
	if *m.KeyState != "PendingDeletion" || *m.Enabled || !m.DeletionDate.Equal(*out.DeletionDate) {
		t.Errorf("metadata %+v", m)
	}

	w.advance(7*day - time.Second)
	if err := w.Sweep(asRoot()); err != nil {
		t.Fatal(err)
	}
	must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: ptr("alias/one")}))

	w.advance(time.Second)
	gone := func(when string) {
		t.Helper()
		_, err := w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &id})
		expect(t, err, "NotFoundException", "Key '"+w.keyARN(id)+"' does not exist")
		_, err = w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: ptr("alias/one")})
		expect(t, err, "NotFoundException", "Alias "+w.aliasARN("alias/one")+" is not found.")
		_, err = w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: blob})
		expect(t, err, "AccessDeniedException", "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
		if keys := must(w.ListKeys(asRoot(), &kmsapi.ListKeysInput{})).Keys; len(keys) != 1 || *keys[0].KeyId != other {
			t.Errorf("%s: listed %v", when, keys)
		}
		if n := len(must(w.ListAliases(asRoot(), &kmsapi.ListAliasesInput{})).Aliases); n != len(w.cfg.ManagedFor) {
			t.Errorf("%s: %d aliases", when, n)
		}
	}
	gone("before the sweep")
	if n := countRows(t, w.db); n != 2+2+2+3+1 { // two keys with material, two aliases, one grant with its index, one last use
		t.Errorf("%d rows before the sweep", n)
	}
	if err := w.Sweep(asRoot()); err != nil {
		t.Fatal(err)
	}
	gone("after the sweep")
	if n := countRows(t, w.db); n != 2 {
		t.Errorf("%d rows are left, want the other key and its material", n)
	}
	if w.secrets.get(materialRef{id, *m.CurrentKeyMaterialId}, new(secret)) {
		t.Error("material is still cached")
	}
	must(w.CreateAlias(asRoot(), &kmsapi.CreateAliasInput{AliasName: ptr("alias/one"), TargetKeyId: &other}))
}

func countRows(t testing.TB, db meta.DB) (n int) {
	t.Helper()
	err := db.View(t.Context(), func(r meta.Reader) error {
		for _, err := range r.Scan(nil, nil) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAliasOfADeadKeyIsFreeBeforeTheSweep(t *testing.T) {
	w := newWorld(t)
	id, other := w.symmetricKey(), w.symmetricKey()
	must(w.CreateAlias(asRoot(), &kmsapi.CreateAliasInput{AliasName: ptr("alias/a"), TargetKeyId: &id}))
	must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &id}))
	w.advance(30 * day)
	must(w.CreateAlias(asRoot(), &kmsapi.CreateAliasInput{AliasName: ptr("alias/a"), TargetKeyId: &other}))
}

func TestCancelKeyDeletionLeavesTheKeyDisabled(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	_, err := w.CancelKeyDeletion(asRoot(), &kmsapi.CancelKeyDeletionInput{KeyId: &id})
	expect(t, err, "KMSInvalidStateException", w.keyARN(id)+" is not pending deletion.")
	must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &id}))
	_, err = w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &id})
	expect(t, err, "KMSInvalidStateException", w.keyARN(id)+" is pending deletion.")
	if out := must(w.CancelKeyDeletion(asRoot(), &kmsapi.CancelKeyDeletionInput{KeyId: &id})); *out.KeyId != w.keyARN(id) {
		t.Errorf("cancelled %s", *out.KeyId)
	}
	if m := must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &id})).KeyMetadata; *m.KeyState != "Disabled" || m.DeletionDate != nil {
		t.Errorf("metadata %+v", m)
	}
	w.advance(31 * day)
	must(w.EnableKey(asRoot(), &kmsapi.EnableKeyInput{KeyId: &id}))
	must(w.GenerateDataKey(asRoot(), dataKeyInput(id)))
}

func TestDeletionWindowIsSevenToThirtyDays(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	for _, days := range []int64{1, 6, 31, 365} {
		_, err := w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: &days})
		expect(t, err, "ValidationException", "…")
	}
}

func TestListsTurnPages(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for range 7 {
		ids = append(ids, w.symmetricKey())
	}
	slices.Sort(ids)
	var got []string
	in := &kmsapi.ListKeysInput{Limit: ptr(int64(3))}
	for pages := 1; ; pages++ {
		out := must(w.ListKeys(asRoot(), in))
		for _, k := range out.Keys {
			got = append(got, *k.KeyId)
		}
		if *out.Truncated != (out.NextMarker != nil) {
			t.Fatal("Truncated and NextMarker disagree")
		}
		if !*out.Truncated {
			break
		}
		in.Marker = out.NextMarker
	}
	if !slices.Equal(got, ids) {
		t.Errorf("listed %v, want %v", got, ids)
	}
	for _, marker := range []string{"x", "!", *in.Marker + "A"} {
		_, err := w.ListAliases(asRoot(), &kmsapi.ListAliasesInput{Marker: &marker})
		expect(t, err, "InvalidMarkerException", "")
	}
	_, err := w.ListAliases(asRoot(), &kmsapi.ListAliasesInput{Marker: in.Marker})
	expect(t, err, "InvalidMarkerException", "") // of another list
}

func TestUpdateKeyDescription(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	must(w.UpdateKeyDescription(asRoot(), &kmsapi.UpdateKeyDescriptionInput{KeyId: &id, Description: ptr("new")}))
	if d := *must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &id})).KeyMetadata.Description; d != "new" {
		t.Errorf("description %q", d)
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t)
	id := *w.create(&kmsapi.CreateKeyInput{Tags: []*kmsapi.Tag{{TagKey: ptr("b"), TagValue: ptr("1")}}}).KeyId
	add := func(pairs ...string) error {
		var tags []*kmsapi.Tag
		for i := 0; i < len(pairs); i += 2 {
			tags = append(tags, &kmsapi.Tag{TagKey: &pairs[i], TagValue: &pairs[i+1]})
		}
		_, err := w.TagResource(asRoot(), &kmsapi.TagResourceInput{KeyId: &id, Tags: tags})
		return err
	}
	list := func() (s string) {
		for _, tag := range must(w.ListResourceTags(asRoot(), &kmsapi.ListResourceTagsInput{KeyId: &id})).Tags {
			s += *tag.TagKey + "=" + *tag.TagValue + " "
		}
		return s
	}
	expect(t, add("a", "2", "b", "3"), "", "")
	if got := list(); got != "a=2 b=3 " {
		t.Errorf("tags %s", got)
	}
	expect(t, add("a", "1", "a", "2"), "TagException", "Duplicate tag keys")
	expect(t, add("aws:x", "1"), "TagException", "Tags beginning with aws: are reserved")
	for i := range 48 {
		expect(t, add(fmt.Sprint("n", i), ""), "", "")
	}
	expect(t, add("one too many", ""), "TagException", "Too many tags")
	expect(t, add("a", "still"), "", "")
	page := must(w.ListResourceTags(asRoot(), &kmsapi.ListResourceTagsInput{KeyId: &id, Limit: ptr(int64(20))}))
	if len(page.Tags) != 20 || !*page.Truncated {
		t.Errorf("%d tags on the page", len(page.Tags))
	}
	must(w.UntagResource(asRoot(), &kmsapi.UntagResourceInput{KeyId: &id, TagKeys: []string{"a", "none"}}))
	if got := list(); strings.Contains(got, "a=") {
		t.Errorf("tags %s", got)
	}
}
