// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"fmt"
	"testing"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

func (w *world) alias(name, target string) error {
	_, err := w.CreateAlias(asRoot(), &kmsapi.CreateAliasInput{AliasName: &name, TargetKeyId: &target})
	return err
}

func TestCreateAliasErrors(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	expect(t, w.alias("alias/a", id), "", "")
	for name, c := range map[string]struct{ alias, target, code, message string }{
		"no prefix":  {"a", id, "ValidationException", `Alias must start with the prefix "alias/"…`},
		"reserved":   {"alias/aws/mine", id, "InvalidAliasNameException", ""},
		"empty":      {"alias/", id, "InvalidAliasNameException", ""},
		"exists":     {"alias/a", id, "AlreadyExistsException", "An alias with the name arn:aws:kms:us-east-1:000000000000:alias/a already exists"},
		"of alias":   {"alias/b", "alias/a", "ValidationException", "Aliases must refer to keys. Not aliases"},
		"of unknown": {"alias/b", unknownID, "NotFoundException", "Key '" + unknownARN + "' does not exist"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, w.alias(c.alias, c.target), c.code, c.message) })
	}
	for i := range 49 {
		expect(t, w.alias(fmt.Sprint("alias/n", i), id), "", "")
	}
	expect(t, w.alias("alias/too-many", id), "LimitExceededException", "")
}

func TestAliasesNameKeysInCryptography(t *testing.T) {
	w := newWorld(t)
	a, b := w.symmetricKey(), w.symmetricKey()
	expect(t, w.alias("alias/a", a), "", "")
	for _, name := range []string{"alias/a", w.aliasARN("alias/a")} {
		if out := must(w.GenerateDataKey(asRoot(), dataKeyInput(name))); *out.KeyId != w.keyARN(a) {
			t.Errorf("KeyId %s", *out.KeyId)
		}
	}
	w.advance(time.Hour)
	must(w.UpdateAlias(asRoot(), &kmsapi.UpdateAliasInput{AliasName: ptr("alias/a"), TargetKeyId: ptr(w.keyARN(b))}))
	if out := must(w.GenerateDataKey(asRoot(), dataKeyInput("alias/a"))); *out.KeyId != w.keyARN(b) {
		t.Errorf("KeyId %s", *out.KeyId)
	}
	list := must(w.ListAliases(asRoot(), &kmsapi.ListAliasesInput{KeyId: &b})).Aliases
	if len(list) != 1 || *list[0].TargetKeyId != b || *list[0].AliasArn != w.aliasARN("alias/a") || list[0].LastUpdatedDate.Sub(*list[0].CreationDate) != time.Hour {
		t.Errorf("listed %+v", list)
	}
	if n := len(must(w.ListAliases(asRoot(), &kmsapi.ListAliasesInput{KeyId: &a})).Aliases); n != 0 {
		t.Errorf("the old key has %d aliases", n)
	}
	must(w.DeleteAlias(asRoot(), &kmsapi.DeleteAliasInput{AliasName: ptr("alias/a")}))
	_, err := w.GenerateDataKey(asRoot(), dataKeyInput("alias/a"))
	expect(t, err, "NotFoundException", "Alias "+w.aliasARN("alias/a")+" is not found.")
	_, err = w.DeleteAlias(asRoot(), &kmsapi.DeleteAliasInput{AliasName: ptr("alias/a")})
	expect(t, err, "NotFoundException", "Alias "+w.aliasARN("alias/a")+" is not found.")
}

func TestUpdateAliasKeepsTypeAndState(t *testing.T) {
	w := newWorld(t)
	a, b := w.symmetricKey(), w.symmetricKey()
	mac := *w.create(&kmsapi.CreateKeyInput{KeySpec: ptr("HMAC_256"), KeyUsage: ptr("GENERATE_VERIFY_MAC")}).KeyId
	expect(t, w.alias("alias/a", a), "", "")
	update := func(target string) error {
		_, err := w.UpdateAlias(asRoot(), &kmsapi.UpdateAliasInput{AliasName: ptr("alias/a"), TargetKeyId: &target})
		return err
	}
	expect(t, update(mac), "ValidationException", "…")
	must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &b}))
	expect(t, update(b), "KMSInvalidStateException", w.keyARN(b)+" is pending deletion.")
	must(w.CancelKeyDeletion(asRoot(), &kmsapi.CancelKeyDeletionInput{KeyId: &b}))
	must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &a}))
	expect(t, update(b), "", "")
	_, err := w.UpdateAlias(asRoot(), &kmsapi.UpdateAliasInput{AliasName: ptr("alias/none"), TargetKeyId: &b})
	expect(t, err, "NotFoundException", "Alias "+w.aliasARN("alias/none")+" is not found.")
}

func TestAliasOperationsNeedPermissionOnAliasAndKey(t *testing.T) {
	on := func(w *world, id string, resources string) {
		w.allow(aliceARN, `{"Effect":"Allow","Action":["kms:*Alias"],"Resource":[`+resources+`]}`)
	}
	aliasOnly, keyOnly := `"arn:aws:kms:*:*:alias/*"`, `"arn:aws:kms:*:*:key/*"`
	for name, c := range map[string]struct {
		resources string
		allowed   bool
	}{
		"alias alone": {aliasOnly, false},
		"key alone":   {keyOnly, false},
		"both":        {aliasOnly + "," + keyOnly, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.symmetricKey(), w.symmetricKey()
			expect(t, w.alias("alias/there", a), "", "")
			on(w, a, c.resources)
			alice := asUser(aliceARN)
			_, create := w.CreateAlias(alice, &kmsapi.CreateAliasInput{AliasName: ptr("alias/new"), TargetKeyId: &a})
			_, update := w.UpdateAlias(alice, &kmsapi.UpdateAliasInput{AliasName: ptr("alias/there"), TargetKeyId: &b})
			_, remove := w.DeleteAlias(alice, &kmsapi.DeleteAliasInput{AliasName: ptr("alias/there")})
			for _, err := range []error{create, update, remove} {
				if c.allowed {
					expect(t, err, "", "")
				} else {
					expect(t, err, "AccessDeniedException", "User: "+aliceARN+" is not authorized to perform: kms:…")
				}
			}
		})
	}
}

func TestManagedKeyIsMadeOnFirstUseThroughItsService(t *testing.T) {
	w := newWorld(t)
	const alias = "alias/aws/kinesisvideo"
	w.allow(aliceARN, `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`)

	_, err := w.GenerateDataKey(asUser(aliceARN), dataKeyInput(alias))
	expect(t, err, "AccessDeniedException", "…")
	_, err = w.GenerateDataKey(asRoot(), dataKeyInput(alias))
	expect(t, err, "AccessDeniedException", "…")
	_, err = w.GenerateDataKey(through(asUser(aliceARN), "kinesis.us-east-1.amazonaws.com"), dataKeyInput(alias))
	expect(t, err, "AccessDeniedException", "…")
	if n := countRows(t, w.db); n != 0 {
		t.Fatalf("a denied use made %d rows", n)
	}

	bobThrough := through(asUser(bobARN), viaVideo) // "*" in the policy: no identity policy is needed
	out, err := w.GenerateDataKey(bobThrough, dataKeyInput(alias))
	if err != nil {
		t.Fatal(err)
	}
	back, err := w.Decrypt(through(asUser(aliceARN), viaVideo), &kmsapi.DecryptInput{CiphertextBlob: out.CiphertextBlob})
	if err != nil || string(back.Plaintext) != string(out.Plaintext) {
		t.Fatalf("decrypted %v", err)
	}
	_, err = w.Decrypt(asUser(aliceARN), &kmsapi.DecryptInput{CiphertextBlob: out.CiphertextBlob, KeyId: out.KeyId})
	expect(t, err, "AccessDeniedException", "…")

	m := must(w.DescribeKey(asUser(aliceARN), &kmsapi.DescribeKeyInput{KeyId: ptr(alias)})).KeyMetadata
	if *m.KeyManager != "AWS" || *m.Arn != *out.KeyId {
		t.Errorf("metadata %+v", m)
	}
	if status := must(w.GetKeyRotationStatus(asUser(aliceARN), &kmsapi.GetKeyRotationStatusInput{KeyId: m.KeyId})); !*status.KeyRotationEnabled {
		t.Error("not rotated")
	}
	for name, err := range map[string]error{
		"ScheduleKeyDeletion": second(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: m.KeyId})),
		"DisableKey":          second(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: m.KeyId})),
		"PutKeyPolicy":        second(w.PutKeyPolicy(asRoot(), &kmsapi.PutKeyPolicyInput{KeyId: m.KeyId, Policy: ptr(w.defaultPolicy())})),
		"DisableKeyRotation":  second(w.DisableKeyRotation(asRoot(), &kmsapi.DisableKeyRotationInput{KeyId: m.KeyId})),
		"DeleteAlias":         second(w.DeleteAlias(asRoot(), &kmsapi.DeleteAliasInput{AliasName: ptr(alias)})),
		"CreateAlias":         w.alias("alias/mine", *m.KeyId),
	} {
		t.Run(name, func(t *testing.T) { expect(t, err, "AccessDeniedException", "…") })
	}
}

func second[T any](_ T, err error) error { return err }

func TestDescribeMakesAManagedKeyForTheAccount(t *testing.T) {
	w := newWorld(t)
	list := must(w.ListAliases(asRoot(), &kmsapi.ListAliasesInput{})).Aliases
	if len(list) != 3 || list[0].TargetKeyId != nil || *list[1].AliasName != "alias/aws/kinesisvideo" {
		t.Fatalf("listed %+v", list)
	}
	m := must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: ptr("alias/aws/kinesisvideo")})).KeyMetadata
	again := must(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: ptr("alias/aws/kinesisvideo")})).KeyMetadata
	if *m.KeyId != *again.KeyId {
		t.Error("made twice")
	}
	list = must(w.ListAliases(asRoot(), &kmsapi.ListAliasesInput{})).Aliases
	if len(list) != 3 || *list[1].TargetKeyId != *m.KeyId {
		t.Errorf("listed %+v", list)
	}
}
