// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/meta"
)

const (
	ireland   = "eu-west-1"
	frankfurt = "eu-central-1"
)

func newWideWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.further = []string{ireland, frankfurt}
	w.reopen()
	return w
}

// at does something in another Region.
func (w *world) at(region string, do func()) {
	w.t.Helper()
	home := w.Service
	there, ok := home.In(region)
	if !ok {
		w.t.Fatalf("no Region %s", region)
	}
	w.Service = there
	defer func() { w.Service = home }()
	do()
}

func (w *world) primary(spec, usage string) string {
	w.t.Helper()
	return *w.create(&kmsapi.CreateKeyInput{MultiRegion: ptr(true), KeySpec: &spec, KeyUsage: &usage}).KeyId
}

// mrk makes a multi-Region symmetric key with a replica in each of the Regions.
func (w *world) mrk(regions ...string) string {
	w.t.Helper()
	id := w.primary("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
	for _, r := range regions {
		w.replicate(id, r)
	}
	return id
}

func (w *world) replicate(id, region string) *kmsapi.ReplicateKeyOutput {
	w.t.Helper()
	out, err := w.ReplicateKey(asRoot(), &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: &region})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) seal(id, plaintext string) []byte {
	w.t.Helper()
	return must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte(plaintext)})).CiphertextBlob
}

// opens checks that a blob opens here as that text, under the key's ARN of here.
func (w *world) opens(blob []byte, id, plaintext string) {
	w.t.Helper()
	out, err := w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: blob})
	if err != nil || string(out.Plaintext) != plaintext || *out.KeyId != w.keyARN(id) {
		w.t.Errorf("%s: got %+v, %v", w.cfg.Region, out, err)
	}
}

func (w *world) describe(id string) *kmsapi.KeyMetadata {
	w.t.Helper()
	out, err := w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &id})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.KeyMetadata
}

// family tells who belongs to a multi-Region key: "PRIMARY of us-east-1: eu-west-1 …".
func (w *world) family(id string) string {
	w.t.Helper()
	c := w.describe(id).MultiRegionConfiguration
	var replicas []string
	for _, r := range c.ReplicaKeys {
		if want := "arn:aws:kms:" + *r.Region + ":" + account + ":key/" + id; *r.Arn != want {
			w.t.Errorf("replica %s in %s", *r.Arn, *r.Region)
		}
		replicas = append(replicas, *r.Region)
	}
	return fmt.Sprintf("%s of %s: %s", *c.MultiRegionKeyType, *c.PrimaryKey.Region, strings.Join(replicas, " "))
}

func (w *world) wantFamily(id, want string) {
	w.t.Helper()
	if got := w.family(id); got != want {
		w.t.Errorf("%s: got %q, want %q", w.cfg.Region, got, want)
	}
}

func TestReplicasOpenEachOthersCiphertexts(t *testing.T) {
	w := newWideWorld(t)
	id := w.primary("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
	before := w.seal(id, "before the rotation")
	must(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id}))
	after := w.seal(id, "after it")
	w.at(ireland, func() {
		expect(t, second(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: after})), "AccessDeniedException", "The ciphertext refers to…")
	})
	w.replicate(id, ireland)
	var there []byte
	w.at(ireland, func() {
		w.opens(before, id, "before the rotation")
		w.opens(after, id, "after it")
		there = w.seal(id, "there")
	})
	w.opens(there, id, "there")
	w.at(frankfurt, func() {
		expect(t, second(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: there})), "AccessDeniedException", "The ciphertext refers to…")
		expect(t, second(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &id})), "NotFoundException", "Key 'arn:aws:kms:eu-central-1:000000000000:key/"+id+"' does not exist")
	})
	foreign := w.keyARN(id)
	w.at(ireland, func() { // an ARN names its Region
		expect(t, second(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: there, KeyId: &foreign})), "NotFoundException", "Invalid arn us-east-1")
	})
}

func TestReplicasOfOtherKindsOfKeysAgree(t *testing.T) {
	w := newWideWorld(t)
	message := []byte("m")
	mac := w.primary("HMAC_256", "GENERATE_VERIFY_MAC")
	sign := w.primary("ECC_NIST_P256", "SIGN_VERIFY")
	rsa := w.primary("RSA_2048", "ENCRYPT_DECRYPT")
	for _, id := range []string{mac, sign, rsa} {
		w.replicate(id, ireland)
	}
	tag := must(w.GenerateMac(asRoot(), &kmsapi.GenerateMacInput{KeyId: &mac, Message: message, MacAlgorithm: ptr("HMAC_SHA_256")})).Mac
	signature := must(w.Sign(asRoot(), &kmsapi.SignInput{KeyId: &sign, Message: message, SigningAlgorithm: ptr("ECDSA_SHA_256")})).Signature
	sealed := must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &rsa, Plaintext: message, EncryptionAlgorithm: ptr("RSAES_OAEP_SHA_256")})).CiphertextBlob
	public := must(w.GetPublicKey(asRoot(), &kmsapi.GetPublicKeyInput{KeyId: &sign})).PublicKey
	w.at(ireland, func() {
		must(w.VerifyMac(asRoot(), &kmsapi.VerifyMacInput{KeyId: &mac, Message: message, Mac: tag, MacAlgorithm: ptr("HMAC_SHA_256")}))
		must(w.Verify(asRoot(), &kmsapi.VerifyInput{KeyId: &sign, Message: message, Signature: signature, SigningAlgorithm: ptr("ECDSA_SHA_256")}))
		out := must(w.Decrypt(asRoot(), &kmsapi.DecryptInput{KeyId: &rsa, CiphertextBlob: sealed, EncryptionAlgorithm: ptr("RSAES_OAEP_SHA_256")}))
		if !bytes.Equal(out.Plaintext, message) || !bytes.Equal(public, must(w.GetPublicKey(asRoot(), &kmsapi.GetPublicKeyInput{KeyId: &sign})).PublicKey) {
			t.Error("the replica is another key")
		}
	})
}

func TestReplicaHasPropertiesOfItsOwn(t *testing.T) {
	w := newWideWorld(t)
	id := w.primary("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
	keyPolicy := document(delegate, `{"Effect":"Allow","Principal":{"AWS":"`+aliceARN+`"},"Action":"kms:Encrypt","Resource":"*"}`)
	out := must(w.ReplicateKey(asRoot(), &kmsapi.ReplicateKeyInput{
		KeyId: ptr(w.keyARN(id)), ReplicaRegion: ptr(ireland), Policy: &keyPolicy, Description: ptr("there"),
		Tags: []*kmsapi.Tag{{TagKey: ptr("b"), TagValue: ptr("2")}, {TagKey: ptr("a"), TagValue: ptr("1")}},
	}))
	m := out.ReplicaKeyMetadata
	if *out.ReplicaPolicy != keyPolicy || len(out.ReplicaTags) != 2 || *m.Description != "there" || *m.KeyState != "Enabled" || !*m.Enabled || !*m.MultiRegion ||
		*m.Arn != "arn:aws:kms:eu-west-1:000000000000:key/"+id || *m.KeyId != id || *m.CurrentKeyMaterialId != *w.describe(id).CurrentKeyMaterialId {
		t.Errorf("replica %+v", m)
	}
	w.replicate(id, frankfurt)
	w.wantFamily(id, "PRIMARY of us-east-1: eu-central-1 eu-west-1")
	w.at(frankfurt, func() {
		w.wantFamily(id, "REPLICA of us-east-1: eu-central-1 eu-west-1")
		if got := *must(w.GetKeyPolicy(asRoot(), &kmsapi.GetKeyPolicyInput{KeyId: &id})).Policy; got != w.defaultPolicy() {
			t.Errorf("policy %s", got)
		}
	})

	seal := func() error {
		return second(w.Encrypt(asUser(aliceARN), &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("x")}))
	}
	expect(t, seal(), "AccessDeniedException", "…")
	w.at(ireland, func() {
		expect(t, seal(), "", "")
		expect(t, w.alias("alias/x", id), "", "")
		w.grant(grantInput(id, bobARN, "Decrypt"))
		must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id}))
	})
	w.seal(id, "the primary is not disabled")
	if got := must(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: &id})).Grants; len(got) != 0 {
		t.Errorf("grants of the replica: %v", got)
	}
	expect(t, w.alias("alias/x", id), "", "") // the name is free here
	w.at(ireland, func() { expect(t, seal(), "DisabledException", "…") })
	w.at(frankfurt, func() { w.seal(id, "neither is the other replica") })
}

func TestReplicateKeyErrors(t *testing.T) {
	w := newWideWorld(t)
	id, single := w.mrk(ireland), w.symmetricKey()
	call := func(id, region string, change ...func(*kmsapi.ReplicateKeyInput)) error {
		in := &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: &region}
		for _, f := range change {
			f(in)
		}
		return second(w.ReplicateKey(asRoot(), in))
	}
	expect(t, call(single, ireland), "UnsupportedOperationException", w.keyARN(single)+" is not a multi-region primary key.")
	expect(t, call(id, ireland), "AlreadyExistsException", "…")
	expect(t, call(id, region), "ValidationException", "…")
	expect(t, call(id, "ap-south-1"), "ValidationException", "…")
	expect(t, call(unknownID, ireland), "NotFoundException", "Key '"+unknownARN+"' does not exist")
	expect(t, call(id, frankfurt, func(in *kmsapi.ReplicateKeyInput) { in.Policy = ptr("{}") }), "MalformedPolicyDocumentException", "…")
	expect(t, call(id, frankfurt, func(in *kmsapi.ReplicateKeyInput) { in.Policy = ptr(namesOnly(aliceARN, "kms:*")) }), "MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future.")
	expect(t, call(id, frankfurt, func(in *kmsapi.ReplicateKeyInput) { in.Tags = []*kmsapi.Tag{{TagKey: ptr("aws:x"), TagValue: ptr("")}} }), "TagException", "…")
	w.at(ireland, func() {
		expect(t, call(id, frankfurt), "UnsupportedOperationException", w.keyARN(id)+" is not a multi-region primary key.")
	})
	must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id}))
	expect(t, call(id, frankfurt), "DisabledException", "…")
	w.at(frankfurt, func() {
		if list := must(w.ListKeys(asRoot(), &kmsapi.ListKeysInput{})).Keys; len(list) != 0 {
			t.Errorf("a refused replica is there: %v", list)
		}
	})
}

func TestReplicateKeyIsDecidedOnBothSides(t *testing.T) {
	w := newWideWorld(t)
	id := w.primary("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
	call := func(region string, tags ...*kmsapi.Tag) error {
		return second(w.ReplicateKey(asUser(aliceARN), &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: &region, Tags: tags, BypassPolicyLockoutSafetyCheck: ptr(true)}))
	}
	expect(t, call(ireland), "AccessDeniedException", deniedText(aliceARN, "kms:ReplicateKey", w.keyARN(id), "because no identity-based policy allows the kms:ReplicateKey action"))
	w.allow(aliceARN, `{"Effect":"Allow","Action":"kms:ReplicateKey","Resource":"*","Condition":{"StringEquals":{"kms:ReplicaRegion":["`+ireland+`","`+frankfurt+`"],"kms:MultiRegionKeyType":"PRIMARY"}}}`)
	expect(t, call(ireland), "AccessDeniedException", deniedText(aliceARN, "kms:CreateKey", "*", "because no identity-based policy allows the kms:CreateKey action"))
	w.allow(aliceARN, `{"Effect":"Allow","Action":["kms:CreateKey","kms:TagResource"],"Resource":"*","Condition":{
		"StringEquals":{"aws:RequestedRegion":"`+ireland+`","kms:MultiRegionKeyType":"REPLICA","kms:KeySpec":"SYMMETRIC_DEFAULT"},"Bool":{"kms:MultiRegion":"true"},
		"StringEqualsIfExists":{"aws:RequestTag/a":"1"}}}`)
	expect(t, call(frankfurt), "AccessDeniedException", "…")
	expect(t, call(ireland, &kmsapi.Tag{TagKey: ptr("a"), TagValue: ptr("2")}), "AccessDeniedException", "…")
	expect(t, call(ireland, &kmsapi.Tag{TagKey: ptr("a"), TagValue: ptr("1")}), "", "")
	w.at(ireland, func() { // the kind of key is a condition of its use
		w.putPolicy(id, document(delegate, `{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:MultiRegionKeyType":"REPLICA"}}}`))
		expect(t, second(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("x")})), "AccessDeniedException", "…")
	})
}

// TestRotationReachesEveryReplicaAtOnce: on demand and by the clock, through restarts, whatever state a replica is in.
func TestRotationReachesEveryReplicaAtOnce(t *testing.T) {
	w := newWideWorld(t)
	id := w.mrk(ireland, frankfurt)
	w.at(frankfurt, func() { must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id})) })
	must(w.EnableKeyRotation(asRoot(), &kmsapi.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: ptr(int64(100))}))
	must(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id}))
	w.advance(100 * day)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	blob := w.seal(id, "new")
	rotations, status := w.rotations(id, ptr("ALL_KEY_MATERIAL")), must(w.GetKeyRotationStatus(asRoot(), &kmsapi.GetKeyRotationStatusInput{KeyId: &id}))
	if len(rotations) != 3 || !*status.KeyRotationEnabled {
		t.Fatalf("%d materials, %+v", len(rotations), status)
	}
	for _, r := range w.further {
		w.at(r, func() {
			if diff := cmp.Diff(rotations, w.rotations(id, ptr("ALL_KEY_MATERIAL"))); diff != "" {
				t.Errorf("%s: %s", r, diff)
			}
			if diff := cmp.Diff(status, must(w.GetKeyRotationStatus(asRoot(), &kmsapi.GetKeyRotationStatusInput{KeyId: &id}))); diff != "" {
				t.Errorf("%s: %s", r, diff)
			}
			must(w.EnableKey(asRoot(), &kmsapi.EnableKeyInput{KeyId: &id}))
			w.opens(blob, id, "new")
			for name, err := range map[string]error{
				"RotateKeyOnDemand":  second(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id})),
				"EnableKeyRotation":  second(w.EnableKeyRotation(asRoot(), &kmsapi.EnableKeyRotationInput{KeyId: &id})),
				"DisableKeyRotation": second(w.DisableKeyRotation(asRoot(), &kmsapi.DisableKeyRotationInput{KeyId: &id})),
			} {
				t.Log(name)
				expect(t, err, "UnsupportedOperationException", w.keyARN(id)+" is not a multi-region primary key.")
			}
		})
	}
	want := "SynchronizeMultiRegionKey arn:aws:kms:eu-west-1:000000000000:key/" + id
	if n := strings.Count(strings.Join(w.told, "\n"), want); n != 4 { // made, schedule, on demand, by the clock
		t.Errorf("%d times %q in %q", n, want, w.told)
	}
	for _, event := range w.told {
		if name, arn, _ := strings.Cut(event, " "); name == "RotateKey" && arn != w.keyARN(id) {
			t.Errorf("a replica was rotated by itself: %s", event)
		}
	}
}

// TestRotationShowsInAllRegionsAtOnce: while one Region cannot be shown the new material, no other one seals with it.
func TestRotationShowsInAllRegionsAtOnce(t *testing.T) {
	w := newWideWorld(t)
	id := w.mrk(ireland)
	there := must2(w.In(ireland))
	there.view.mu.RLock() // a reader who takes his time
	done := make(chan error, 1)
	go func() { done <- second(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id})) }()
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if !w.view.mu.TryRLock() {
			continue
		}
		shown, waiting := w.held(id).material().ID, there.held(id).material().ID
		w.view.mu.RUnlock()
		if shown != waiting {
			t.Error("one Region seals with what the other does not know")
			break
		}
	}
	there.view.mu.RUnlock()
	expect(t, <-done, "", "")
}

func TestPrimaryRegionChanges(t *testing.T) {
	w := newWideWorld(t)
	id := w.mrk(ireland, frankfurt)
	update := func(to string) error {
		return second(w.UpdatePrimaryRegion(asRoot(), &kmsapi.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: &to}))
	}
	expect(t, update(region), "ValidationException", "…")
	expect(t, update("ap-south-1"), "NotFoundException", "…")
	w.at(ireland, func() {
		expect(t, update(frankfurt), "UnsupportedOperationException", w.keyARN(id)+" is not a multi-region primary key.")
		must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id}))
	})
	expect(t, update(ireland), "DisabledException", "…")
	w.at(ireland, func() { must(w.EnableKey(asRoot(), &kmsapi.EnableKeyInput{KeyId: &id})) })
	single := w.symmetricKey()
	expect(t, second(w.UpdatePrimaryRegion(asRoot(), &kmsapi.UpdatePrimaryRegionInput{KeyId: &single, PrimaryRegion: ptr(ireland)})), "UnsupportedOperationException", "…")
	alone := w.mrk()
	expect(t, second(w.UpdatePrimaryRegion(asRoot(), &kmsapi.UpdatePrimaryRegionInput{KeyId: &alone, PrimaryRegion: ptr(ireland)})), "NotFoundException", "…")

	before := w.seal(id, "before")
	expect(t, update(ireland), "", "")
	w.reopen()
	w.wantFamily(id, "REPLICA of eu-west-1: eu-central-1 us-east-1")
	expect(t, second(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id})), "UnsupportedOperationException", "…")
	var after []byte
	w.at(ireland, func() {
		w.wantFamily(id, "PRIMARY of eu-west-1: eu-central-1 us-east-1")
		must(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id}))
		after = w.seal(id, "after")
	})
	for _, r := range []string{region, ireland, frankfurt} {
		w.at(r, func() { w.opens(before, id, "before"); w.opens(after, id, "after") })
	}
}

func TestUpdatePrimaryRegionIsDecidedForBothKeys(t *testing.T) {
	w := newWideWorld(t)
	id := w.mrk(ireland)
	call := func() error {
		return second(w.UpdatePrimaryRegion(asUser(aliceARN), &kmsapi.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: ptr(ireland)}))
	}
	w.allow(aliceARN, `{"Effect":"Allow","Action":"kms:UpdatePrimaryRegion","Resource":"`+w.keyARN(id)+`","Condition":{"StringEquals":{"kms:PrimaryRegion":"`+ireland+`"}}}`)
	there := "arn:aws:kms:eu-west-1:000000000000:key/" + id
	expect(t, call(), "AccessDeniedException", deniedText(aliceARN, "kms:UpdatePrimaryRegion", there, "because no identity-based policy allows the kms:UpdatePrimaryRegion action"))
	w.allow(aliceARN, `{"Effect":"Allow","Action":"kms:UpdatePrimaryRegion","Resource":"`+there+`","Condition":{"StringEquals":{"kms:PrimaryRegion":"`+frankfurt+`"}}}`)
	expect(t, call(), "AccessDeniedException", "…")
	w.allow(aliceARN, `{"Effect":"Allow","Action":"kms:UpdatePrimaryRegion","Resource":"`+there+`","Condition":{"StringEquals":{"kms:PrimaryRegion":"`+ireland+`","aws:RequestedRegion":"`+ireland+`"}}}`)
	expect(t, call(), "", "")
}

func TestPrimaryKeyWaitsForItsReplicas(t *testing.T) {
	w := newWideWorld(t)
	id := w.mrk(ireland, frankfurt)
	blob := w.seal(id, "x")
	schedule := func(days int64) *kmsapi.ScheduleKeyDeletionOutput {
		return must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: &days}))
	}
	out := schedule(7)
	if *out.KeyState != "PendingReplicaDeletion" || out.DeletionDate != nil || *out.PendingWindowInDays != 7 {
		t.Errorf("scheduled %+v", out)
	}
	if m := w.describe(id); *m.KeyState != "PendingReplicaDeletion" || m.DeletionDate != nil || *m.PendingDeletionWindowInDays != 7 || *m.Enabled {
		t.Errorf("described %+v", m)
	}
	expect(t, second(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: blob})), "KMSInvalidStateException", w.keyARN(id)+" is pending replica deletion.")
	expect(t, second(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &id})), "KMSInvalidStateException", "…")
	w.at(ireland, func() { w.opens(blob, id, "x") })

	must(w.CancelKeyDeletion(asRoot(), &kmsapi.CancelKeyDeletionInput{KeyId: &id}))
	if m := w.describe(id); *m.KeyState != "Disabled" || m.PendingDeletionWindowInDays != nil {
		t.Errorf("after cancelling %+v", m)
	}
	must(w.EnableKey(asRoot(), &kmsapi.EnableKeyInput{KeyId: &id}))
	schedule(7)

	w.at(ireland, func() {
		if out := schedule(10); *out.KeyState != "PendingDeletion" || out.DeletionDate == nil {
			t.Errorf("replica scheduled %+v", out)
		}
	})
	w.advance(20 * day)
	w.wantFamily(id, "PRIMARY of us-east-1: eu-central-1") // gone by the clock, swept or not
	sweep := func() {
		t.Helper()
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if m := w.describe(id); *m.KeyState != "PendingReplicaDeletion" {
		t.Errorf("with one replica left: %s", *m.KeyState)
	}
	w.at(frankfurt, func() { schedule(7) })
	w.reopen()
	w.advance(8 * day)
	sweep()
	gone := w.clock().AddDate(0, 0, 7)
	if m := w.describe(id); *m.KeyState != "PendingDeletion" || !m.DeletionDate.Equal(gone) || m.PendingDeletionWindowInDays != nil {
		t.Errorf("after the last replica: %+v", m)
	}
	w.advance(7 * day)
	sweep()
	if n := countRows(t, w.db); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	w.at(ireland, func() { // and the Region is empty, so that it can be left out
		expect(t, second(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &id})), "NotFoundException", "…")
	})
	w.further = nil
	w.reopen()
}

func TestDeletedReplicaLeavesThePrimaryAndCanBeMadeAgain(t *testing.T) {
	w := newWideWorld(t)
	id := w.mrk(ireland)
	blob := w.seal(id, "x")
	w.at(ireland, func() {
		w.opens(blob, id, "x") // its material is cached now
		must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: ptr(int64(7))}))
	})
	expect(t, second(w.ReplicateKey(asRoot(), &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: ptr(ireland)})), "AlreadyExistsException", "…")
	w.advance(7 * day)
	w.at(ireland, func() {
		expect(t, second(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: blob})), "AccessDeniedException", "…")
	})
	must(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id}))
	w.replicate(id, ireland) // before any sweep
	w.at(ireland, func() { w.opens(blob, id, "x") })
	w.opens(blob, id, "x")
	w.wantFamily(id, "PRIMARY of us-east-1: eu-west-1")
}

// TestImportedMaterialOfReplicas: it is imported in each Region; new material comes from the primary, and is in use
// when every Region has it.
func TestImportedMaterialOfReplicas(t *testing.T) {
	w := newWideWorld(t)
	id := *w.create(&kmsapi.CreateKeyInput{Origin: ptr("EXTERNAL"), MultiRegion: ptr(true)}).KeyId
	expect(t, second(w.ReplicateKey(asRoot(), &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: ptr(ireland)})), "KMSInvalidStateException", "…")
	first, next := randomBytes(32), randomBytes(32)
	bring := func(material []byte, how string) error {
		return w.importBytes(id, material, func(in *kmsapi.ImportKeyMaterialInput) {
			if how != "" {
				in.ImportType = &how
			}
		})
	}
	expect(t, bring(first, ""), "", "")
	blob := w.seal(id, "old")
	out := w.replicate(id, ireland)
	if *out.ReplicaKeyMetadata.KeyState != "PendingImport" || *out.ReplicaKeyMetadata.Origin != "EXTERNAL" {
		t.Errorf("replica %+v", out.ReplicaKeyMetadata)
	}
	w.at(ireland, func() {
		expect(t, second(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: blob})), "KMSInvalidStateException", w.keyARN(id)+" is pending import.")
		expect(t, bring(next, ""), "IncorrectKeyMaterialException", "")
		expect(t, bring(next, "NEW_KEY_MATERIAL"), "UnsupportedOperationException", "…")
		expect(t, bring(first, ""), "", "")
		w.opens(blob, id, "old")
	})

	pending := func() string {
		list := w.rotations(id, ptr("ALL_KEY_MATERIAL"))
		return *list[len(list)-1].KeyMaterialState + " " + *list[len(list)-1].ImportState
	}
	expect(t, bring(next, "NEW_KEY_MATERIAL"), "", "")
	if got := pending(); got != "PENDING_MULTI_REGION_IMPORT_AND_ROTATION IMPORTED" {
		t.Errorf("pending is %s", got)
	}
	rotate := func() error { return second(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id})) }
	expect(t, rotate(), "KMSInvalidStateException", "No available key material pending rotation for the key: "+w.keyARN(id)+".")
	w.at(ireland, func() {
		if got := pending(); got != "PENDING_MULTI_REGION_IMPORT_AND_ROTATION PENDING_IMPORT" {
			t.Errorf("there pending is %s", got)
		}
		w.opens(blob, id, "old") // it is not in use yet, so it is not missed
		expect(t, bring(next, ""), "", "")
	})
	if got := pending(); got != "PENDING_ROTATION IMPORTED" {
		t.Errorf("then pending is %s", got)
	}
	w.reopen()
	expect(t, rotate(), "", "")
	fresh := w.seal(id, "new")
	w.at(ireland, func() { w.opens(blob, id, "old"); w.opens(fresh, id, "new") })

	// What one Region loses, the others keep.
	w.at(ireland, func() {
		must(w.DeleteImportedKeyMaterial(asRoot(), &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id}))
		expect(t, second(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: fresh})), "KMSInvalidStateException", "…")
	})
	w.opens(fresh, id, "new")
	w.at(ireland, func() { expect(t, bring(next, ""), "", ""); w.opens(fresh, id, "new") })

	// But what was pending and is deleted at the primary is deleted everywhere.
	third := randomBytes(32)
	expect(t, bring(third, "NEW_KEY_MATERIAL"), "", "")
	w.at(ireland, func() { expect(t, bring(third, ""), "", "") })
	with := countRows(t, w.db)
	must(w.DeleteImportedKeyMaterial(asRoot(), &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id, KeyMaterialId: ptr(materialID(id, third))}))
	if n := countRows(t, w.db); n != with-2 {
		t.Errorf("%d rows of material left", n-with+2)
	}
	w.at(ireland, func() {
		if n := len(w.rotations(id, ptr("ALL_KEY_MATERIAL"))); n != 2 {
			t.Errorf("%d materials", n)
		}
		w.opens(fresh, id, "new")
	})
}

func TestImportTokenIsForItsRegion(t *testing.T) {
	w := newWideWorld(t)
	id := *w.create(&kmsapi.CreateKeyInput{Origin: ptr("EXTERNAL"), MultiRegion: ptr(true)}).KeyId
	material := randomBytes(32)
	in := w.transport(id, "RSAES_OAEP_SHA_256", "RSA_2048", material)
	must(w.ImportKeyMaterial(asRoot(), in))
	w.replicate(id, ireland)
	w.at(ireland, func() {
		expect(t, second(w.ImportKeyMaterial(asRoot(), in)), "InvalidImportTokenException", "")
		expect(t, w.importBytes(id, material, nil), "", "")
	})
}

func TestAllRegionsAreBackAfterARestart(t *testing.T) {
	w := newWideWorld(t)
	id := w.mrk(ireland)
	w.at(ireland, func() {
		w.symmetricKey()
		expect(t, w.alias("alias/x", id), "", "")
		w.grant(grantInput(id, aliceARN, "Decrypt"))
	})
	all := func() (s []any) {
		for _, r := range []string{region, ireland, frankfurt} {
			w.at(r, func() { s = append(s, snapshot(w)) })
		}
		return s
	}
	before := all()
	w.reopen()
	if diff := cmp.Diff(before, all()); diff != "" {
		t.Error(diff)
	}
	w.further = []string{frankfurt}
	_, err := New(Config{DB: w.db, Root: w.root, Access: alwaysYes{}, Account: account, Region: region, Further: w.further})
	if !errors.Is(err, ErrRegion) || !strings.Contains(err.Error(), ireland) {
		t.Errorf("without its Region: %v", err)
	}
}

func TestRegionsHaveKeysOfTheirOwn(t *testing.T) {
	w := newWideWorld(t)
	id := w.symmetricKey()
	blob := w.seal(id, "x")
	w.at(ireland, func() {
		other := w.symmetricKey()
		if list := must(w.ListKeys(asRoot(), &kmsapi.ListKeysInput{})).Keys; len(list) != 1 || *list[0].KeyArn != "arn:aws:kms:eu-west-1:000000000000:key/"+other {
			t.Errorf("keys %v", list)
		}
		expect(t, second(w.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: blob})), "AccessDeniedException", "…")
		if names := must(w.ListAliases(asRoot(), &kmsapi.ListAliasesInput{})).Aliases; len(names) != 0 {
			t.Errorf("aliases %v: the services are at home", names)
		}
	})
	if list := must(w.ListKeys(asRoot(), &kmsapi.ListKeysInput{})).Keys; len(list) != 1 || *list[0].KeyId != id {
		t.Errorf("keys %v", list)
	}
}

// TestMaterialIsWrappedInEveryRegion: no row holds what the root key did not wrap, and rotating the root key reaches
// the rows of all Regions, those of a replica that is made in the middle of it too.
func TestMaterialIsWrappedInEveryRegion(t *testing.T) {
	w := newWideWorld(t)
	id := w.mrk(ireland)
	secret := must(w.unwrap(t.Context(), materialRef{id, *w.describe(id).CurrentKeyMaterialId}))
	var all strings.Builder
	dump(t, w.db, &all)
	if strings.Contains(all.String(), string(secret)) {
		t.Error("the material is in a row in clear")
	}
	if n, err := w.Rewrap(t.Context()); n != 2 || err != nil {
		t.Errorf("rewrapped %d, %v", n, err)
	}
	c := Custodian{DB: w.db, Root: w.root}
	if keys, faults := verify(t, &c); keys != 2 || len(faults) != 0 {
		t.Errorf("%d keys, faults %v", keys, faults)
	}
	ref := materialRef{id, *w.describe(id).CurrentKeyMaterialId}
	drop(t, w.db, rows{ireland}.material(ref.keyID, ref.id))
	if _, faults := verify(t, &c); len(faults) != 1 {
		t.Errorf("faults %v", faults)
	}

	w = newWideWorld(t)
	id = w.mrk()
	blob := w.seal(id, "x")
	old, fresh := newRoot(), newRoot()
	turning := &turningRoot{old: old, fresh: fresh}
	w.cfg.Root = turning
	for _, o := range w.others() {
		o.cfg.Root = turning
	}
	w.replicate(id, ireland) // wrapped by the new root key, though the primary's row still is by the old one
	turning.old = nil
	w.at(ireland, func() { w.opens(blob, id, "x") })
}

// turningRoot opens with an old root key and wraps with a new one.
type turningRoot struct{ old, fresh *countingRoot }

func (r *turningRoot) Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error) {
	return r.fresh.Wrap(ctx, plaintext, append([]byte("fresh"), aad...))
}

func (r *turningRoot) Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error) {
	plain, err := r.fresh.Unwrap(ctx, wrapped, append([]byte("fresh"), aad...))
	if err != nil && r.old != nil {
		return r.old.Unwrap(ctx, wrapped, aad)
	}
	return plain, err
}

func TestUnknownOutcomeIsReadAgainInAllRegions(t *testing.T) {
	w := newWideWorld(t)
	f := &flaky{DB: w.db}
	w.db = f
	w.reopen()
	id := w.mrk()
	f.unknown = true
	expect(t, second(w.ReplicateKey(asRoot(), &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: ptr(ireland)})), "internal", "…")
	w.at(ireland, func() { w.seal(id, "it was written after all") })
	w.describe(id) // that there is no grant for root is cached now, so only the change meets the broken store
	f.unknown, f.unreadable = true, true
	expect(t, second(w.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id})), "internal", "…")
	for _, r := range []string{region, ireland} {
		w.at(r, func() {
			expect(t, second(w.DescribeKey(asRoot(), &kmsapi.DescribeKeyInput{KeyId: &id})), "internal", "…")
		})
	}
	f.unreadable = false
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	blob := w.seal(id, "x")
	w.at(ireland, func() { w.opens(blob, id, "x") })
}

// TestEveryCiphertextOpensInEveryRegionWhileTheKeyIsRotated: there is no moment at which one Region seals with what
// another does not know.
func TestEveryCiphertextOpensInEveryRegionWhileTheKeyIsRotated(t *testing.T) {
	w := newWideWorld(t)
	id := w.mrk(ireland, frankfurt)
	regions := []string{region, ireland, frankfurt}
	var work sync.WaitGroup
	stop := make(chan struct{})
	for i := range regions {
		from, to := must2(w.In(regions[i])), must2(w.In(regions[(i+1)%3]))
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				sealed, err := from.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: &id, Plaintext: []byte("x")})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := to.Decrypt(asRoot(), &kmsapi.DecryptInput{CiphertextBlob: sealed.CiphertextBlob}); err != nil {
					t.Errorf("%s to %s: %v", from.cfg.Region, to.cfg.Region, err)
					return
				}
			}
		})
	}
	for i := range 20 {
		primary := must2(w.In(regions[i%3]))
		must(primary.RotateKeyOnDemand(asRoot(), &kmsapi.RotateKeyOnDemandInput{KeyId: &id}))
		must(primary.UpdatePrimaryRegion(asRoot(), &kmsapi.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: &regions[(i+1)%3]}))
	}
	close(stop)
	work.Wait()
}

func must2[T any](v T, ok bool) T {
	if !ok {
		panic("not there")
	}
	return v
}

// TestRowsOfAnUpgradedServer: keys that were made before there were other Regions are primary keys at home.
func TestRowsOfAnUpgradedServer(t *testing.T) {
	w := newWorld(t)
	id := *w.create(&kmsapi.CreateKeyInput{MultiRegion: ptr(true)}).KeyId
	blob := w.seal(id, "x")
	var row []byte
	err := w.db.View(t.Context(), func(r meta.Reader) (err error) {
		row, err = r.Get(meta.Key("kms", "k", id))
		return err
	})
	if err != nil || bytes.Contains(row, []byte("replica")) {
		t.Fatalf("%s, %v", row, err)
	}
	w.wantFamily(id, "PRIMARY of us-east-1: ")
	w.further = []string{ireland}
	w.reopen()
	w.replicate(id, ireland)
	w.at(ireland, func() { w.opens(blob, id, "x") })
}
