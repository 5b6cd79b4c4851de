// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/policy"
)

const (
	delegate = `{"Effect":"Allow","Principal":{"AWS":"` + rootARN + `"},"Action":"kms:*","Resource":"*"}`
	admin    = `{"Effect":"Allow","Principal":{"AWS":"` + rootARN + `"},"Action":["kms:PutKeyPolicy","kms:Describe*","kms:Disable*"],"Resource":"*"}`
)

func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

func deniedText(who, action, arn, because string) string {
	return "User: " + who + " is not authorized to perform: " + action + " on resource: " + arn + " " + because
}

// Each case is a key policy and Alice's identity policy, and whether she may use the key.
func TestKeyPolicyDecides(t *testing.T) {
	const everything = `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`
	because := func(kind string) string { return "because no " + kind + " allows the kms:GenerateDataKey action" }
	for name, c := range map[string]struct {
		keyPolicy, identity string
		because             string // "" when allowed
	}{
		"delegated and allowed":     {document(delegate), everything, ""},
		"delegated, not allowed":    {document(delegate), "", because("identity-based policy")},
		"allowed, not delegated":    {document(admin), everything, because("resource-based policy")},
		"named":                     {document(admin, `{"Effect":"Allow","Principal":{"AWS":"`+aliceARN+`"},"Action":"kms:GenerateDataKey*","Resource":"*"}`), "", ""},
		"other action named":        {document(admin, `{"Effect":"Allow","Principal":{"AWS":"`+aliceARN+`"},"Action":"kms:Decrypt","Resource":"*"}`), "", because("resource-based policy")},
		"another user named":        {document(admin, `{"Effect":"Allow","Principal":{"AWS":"`+bobARN+`"},"Action":"kms:*","Resource":"*"}`), everything, because("resource-based policy")},
		"denied by the key":         {document(delegate, `{"Effect":"Deny","Principal":{"AWS":"`+aliceARN+`"},"Action":"kms:*","Resource":"*"}`), everything, "with an explicit deny in a resource-based policy"},
		"denied by identity":        {document(admin, `{"Effect":"Allow","Principal":{"AWS":"`+aliceARN+`"},"Action":"kms:*","Resource":"*"}`), `{"Effect":"Deny","Action":"kms:Generate*","Resource":"*"}`, "with an explicit deny in an identity-based policy"},
		"this key's ARN":            {document(delegate), `{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:us-east-1:000000000000:key/*"}`, ""},
		"another resource":          {document(delegate), `{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:us-east-1:000000000000:alias/*"}`, because("identity-based policy")},
		"context as demanded":       {document(delegate), conditioned(`"StringEquals":{"kms:EncryptionContext:stream":"door"}`), ""},
		"context name ignores case": {document(delegate), conditioned(`"StringEquals":{"kms:encryptioncontext:STREAM":"door"}`), ""},
		"context of other value":    {document(delegate), conditioned(`"StringEquals":{"kms:EncryptionContext:stream":"Door"}`), because("identity-based policy")},
		"context keys":              {document(delegate), conditioned(`"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["stream","x"]}`), ""},
		"context keys, too many":    {document(delegate), conditioned(`"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["x"]}`), because("identity-based policy")},
		"caller account":            {document(delegate), conditioned(`"StringEquals":{"kms:CallerAccount":"` + account + `"}`), ""},
		"key spec and usage":        {document(delegate), conditioned(`"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT","kms:KeyUsage":"ENCRYPT_DECRYPT","kms:KeyOrigin":"AWS_KMS"}`), ""},
		"algorithm":                 {document(delegate), conditioned(`"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}`), ""},
		"multi-Region":              {document(delegate), conditioned(`"Bool":{"kms:MultiRegion":"true"}`), because("identity-based policy")},
		"request alias":             {document(delegate), conditioned(`"StringEquals":{"kms:RequestAlias":"alias/door"}`), ""},
		"resource aliases":          {document(delegate), conditioned(`"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/other"}`), ""},
		"resource tag":              {document(delegate), conditioned(`"StringEquals":{"aws:ResourceTag/Team":"video"}`), ""},
		"another tag":               {document(delegate), conditioned(`"StringEquals":{"aws:ResourceTag/Team":"audio"}`), because("identity-based policy")},
		"only through a service":    {document(delegate), conditioned(`"StringEquals":{"kms:ViaService":"` + viaVideo + `"}`), because("identity-based policy")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			m := w.create(&kmsapi.CreateKeyInput{Tags: []*kmsapi.Tag{{TagKey: ptr("Team"), TagValue: ptr("video")}}})
			expect(t, w.alias("alias/door", *m.KeyId), "", "")
			expect(t, w.alias("alias/other", *m.KeyId), "", "")
			w.putPolicy(*m.KeyId, c.keyPolicy)
			if c.identity != "" {
				w.allow(aliceARN, c.identity)
			}
			in, context := dataKeyInput("alias/door"), map[string]string{"stream": "door"}
			in.EncryptionContext = context
			_, err := w.GenerateDataKey(asUser(aliceARN), in)
			use := w.AuthorizeUse(asUser(aliceARN), "GenerateDataKey", "alias/door", context)
			for _, err := range []error{err, use} {
				if c.because == "" {
					expect(t, err, "", "")
				} else {
					expect(t, err, "AccessDeniedException", deniedText(aliceARN, "kms:GenerateDataKey", *m.Arn, c.because))
				}
			}
		})
	}
}

func conditioned(condition string) string {
	return `{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{` + condition + `}}`
}

func TestViaServiceOpensTheKeyToThatServiceAlone(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	w.allow(aliceARN, conditioned(`"StringEquals":{"kms:ViaService":"`+viaVideo+`"}`))
	expect(t, w.AuthorizeUse(through(asUser(aliceARN), viaVideo), "Decrypt", id, nil), "", "")
	expect(t, w.AuthorizeUse(asUser(aliceARN), "Decrypt", id, nil), "AccessDeniedException", "…")
	expect(t, w.AuthorizeUse(through(asUser(aliceARN), "kinesis.us-east-1.amazonaws.com"), "Decrypt", id, nil), "AccessDeniedException", "…")
}

func TestDecisionIsMadeAnewWhileMaterialIsCached(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	w.allow(aliceARN, `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`)
	alice := asUser(aliceARN)
	blob := must(w.GenerateDataKey(alice, dataKeyInput(id))).CiphertextBlob
	decrypt := func() error { return second(w.Decrypt(alice, &kmsapi.DecryptInput{CiphertextBlob: blob, KeyId: &id})) }
	expect(t, decrypt(), "", "")
	if w.root.unwraps != 1 {
		t.Errorf("material was unwrapped %d times", w.root.unwraps)
	}

	must(w.DisableKey(asRoot(), &kmsapi.DisableKeyInput{KeyId: &id}))
	expect(t, decrypt(), "DisabledException", w.keyARN(id)+" is disabled.")
	must(w.EnableKey(asRoot(), &kmsapi.EnableKeyInput{KeyId: &id}))
	expect(t, decrypt(), "", "")

	w.putPolicy(id, document(admin))
	expect(t, decrypt(), "AccessDeniedException", "…")
	expect(t, w.AuthorizeUse(alice, "Decrypt", id, nil), "AccessDeniedException", "…")
	w.putPolicy(id, document(delegate))
	expect(t, decrypt(), "", "")
	delete(w.ids, aliceARN)
	expect(t, decrypt(), "AccessDeniedException", "…")
}

func TestRootIsBoundByTheKeyPolicy(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	w.putPolicy(id, document(admin))
	_, err := w.GenerateDataKey(asRoot(), dataKeyInput(id))
	expect(t, err, "AccessDeniedException", "…")
}

func TestAbsentKeysAreToldToThoseWhoMayAsk(t *testing.T) {
	w := newWorld(t)
	describe := func(user, keyID string) error {
		return second(w.DescribeKey(asUser(user), &kmsapi.DescribeKeyInput{KeyId: &keyID}))
	}
	w.allow(bobARN, `{"Effect":"Allow","Action":"kms:DescribeKey","Resource":"arn:aws:kms:us-east-1:000000000000:key/*"}`)
	for _, id := range []string{unknownID, unknownARN} {
		expect(t, describe(aliceARN, id), "AccessDeniedException", deniedText(aliceARN, "kms:DescribeKey", unknownARN, "because no identity-based policy allows the kms:DescribeKey action"))
		expect(t, describe(bobARN, id), "NotFoundException", "Key '"+unknownARN+"' does not exist")
	}
	expect(t, describe(aliceARN, "alias/none"), "AccessDeniedException", "…")
	expect(t, describe(bobARN, "alias/none"), "NotFoundException", "Alias "+w.aliasARN("alias/none")+" is not found.")
	// A key that exists and delegates denies Alice in the same words.
	there := w.keyARN(w.symmetricKey())
	expect(t, describe(aliceARN, there), "AccessDeniedException", deniedText(aliceARN, "kms:DescribeKey", there, "because no identity-based policy allows the kms:DescribeKey action"))
}

func TestAcrossAccounts(t *testing.T) {
	const (
		carol = "arn:aws:iam::111122223333:user/carol"
		hint  = "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
	)
	w := newWorld(t)
	closed, open := w.keyARN(w.symmetricKey()), w.keyARN(w.symmetricKey())
	w.putPolicy(open, document(delegate, `{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:GenerateDataKey","Resource":"*"}`))
	generate := func(keyID string) error { return second(w.GenerateDataKey(asUser(carol), dataKeyInput(keyID))) }

	expect(t, generate(open), "AccessDeniedException", "…") // her own account does not allow it
	w.allow(carol, `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`)
	expect(t, generate(open), "", "")
	for _, arn := range []string{closed, unknownARN} {
		expect(t, generate(arn), "AccessDeniedException", deniedText(carol, "kms:GenerateDataKey", arn, hint))
	}
	foreign := strings.ReplaceAll(unknownARN, account, "111122223333")
	_, err := w.GenerateDataKey(asRoot(), dataKeyInput(foreign))
	expect(t, err, "AccessDeniedException", deniedText(rootARN, "kms:GenerateDataKey", foreign, hint))
}

func TestEveryOperationDecides(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	blob := must(w.GenerateDataKey(asRoot(), dataKeyInput(id))).CiphertextBlob
	for name, op := range everyOperation(w, id, blob) {
		t.Run(name, func(t *testing.T) {
			ctx := asUser(aliceARN)
			err := op(ctx)
			expect(t, err, "AccessDeniedException", "…")
			if call, _ := access.FromContext(ctx); !call.Decided() {
				t.Error("no decision was noted")
			}
		})
	}
}

// everyOperation calls each operation that is built with valid input.
func everyOperation(w *world, id string, blob []byte) map[string]func(contextT) error {
	grantID := strings.Repeat("0", 64)
	tags := []*kmsapi.Tag{{TagKey: ptr("k"), TagValue: ptr("v")}}
	return map[string]func(contextT) error{
		"CancelKeyDeletion": func(c contextT) error {
			return second(w.CancelKeyDeletion(c, &kmsapi.CancelKeyDeletionInput{KeyId: &id}))
		},
		"CreateAlias": func(c contextT) error {
			return second(w.CreateAlias(c, &kmsapi.CreateAliasInput{AliasName: ptr("alias/x"), TargetKeyId: &id}))
		},
		"CreateGrant": func(c contextT) error {
			return second(w.CreateGrant(c, &kmsapi.CreateGrantInput{KeyId: &id, GranteePrincipal: ptr(aliceARN), Operations: []string{"Decrypt"}}))
		},
		"CreateKey": func(c contextT) error { return second(w.CreateKey(c, &kmsapi.CreateKeyInput{})) },
		"Decrypt":   func(c contextT) error { return second(w.Decrypt(c, &kmsapi.DecryptInput{CiphertextBlob: blob})) },
		"DeleteAlias": func(c contextT) error {
			return second(w.DeleteAlias(c, &kmsapi.DeleteAliasInput{AliasName: ptr("alias/x")}))
		},
		"DeriveSharedSecret": func(c contextT) error {
			return second(w.DeriveSharedSecret(c, &kmsapi.DeriveSharedSecretInput{KeyId: &id, KeyAgreementAlgorithm: ptr("ECDH"), PublicKey: blob}))
		},
		"DescribeKey": func(c contextT) error { return second(w.DescribeKey(c, &kmsapi.DescribeKeyInput{KeyId: &id})) },
		"DisableKey":  func(c contextT) error { return second(w.DisableKey(c, &kmsapi.DisableKeyInput{KeyId: &id})) },
		"DisableKeyRotation": func(c contextT) error {
			return second(w.DisableKeyRotation(c, &kmsapi.DisableKeyRotationInput{KeyId: &id}))
		},
		"EnableKey": func(c contextT) error { return second(w.EnableKey(c, &kmsapi.EnableKeyInput{KeyId: &id})) },
		"EnableKeyRotation": func(c contextT) error {
			return second(w.EnableKeyRotation(c, &kmsapi.EnableKeyRotationInput{KeyId: &id}))
		},
		"Encrypt":         func(c contextT) error { return second(w.Encrypt(c, &kmsapi.EncryptInput{KeyId: &id, Plaintext: blob})) },
		"GenerateDataKey": func(c contextT) error { return second(w.GenerateDataKey(c, dataKeyInput(id))) },
		"GenerateDataKeyPair": func(c contextT) error {
			return second(w.GenerateDataKeyPair(c, &kmsapi.GenerateDataKeyPairInput{KeyId: &id, KeyPairSpec: ptr("ECC_NIST_P256")}))
		},
		"GenerateDataKeyPairWithoutPlaintext": func(c contextT) error {
			return second(w.GenerateDataKeyPairWithoutPlaintext(c, &kmsapi.GenerateDataKeyPairWithoutPlaintextInput{KeyId: &id, KeyPairSpec: ptr("ECC_NIST_P256")}))
		},
		"GenerateDataKeyWithoutPlaintext": func(c contextT) error {
			return second(w.GenerateDataKeyWithoutPlaintext(c, &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: &id, KeySpec: ptr("AES_256")}))
		},
		"GenerateMac": func(c contextT) error {
			return second(w.GenerateMac(c, &kmsapi.GenerateMacInput{KeyId: &id, Message: blob, MacAlgorithm: ptr("HMAC_SHA_256")}))
		},
		"GenerateRandom": func(c contextT) error {
			return second(w.GenerateRandom(c, &kmsapi.GenerateRandomInput{NumberOfBytes: ptr(int64(1))}))
		},
		"GetKeyPolicy": func(c contextT) error { return second(w.GetKeyPolicy(c, &kmsapi.GetKeyPolicyInput{KeyId: &id})) },
		"GetKeyRotationStatus": func(c contextT) error {
			return second(w.GetKeyRotationStatus(c, &kmsapi.GetKeyRotationStatusInput{KeyId: &id}))
		},
		"GetPublicKey":    func(c contextT) error { return second(w.GetPublicKey(c, &kmsapi.GetPublicKeyInput{KeyId: &id})) },
		"ListAliases":     func(c contextT) error { return second(w.ListAliases(c, &kmsapi.ListAliasesInput{KeyId: &id})) },
		"ListGrants":      func(c contextT) error { return second(w.ListGrants(c, &kmsapi.ListGrantsInput{KeyId: &id})) },
		"ListKeyPolicies": func(c contextT) error { return second(w.ListKeyPolicies(c, &kmsapi.ListKeyPoliciesInput{KeyId: &id})) },
		"ListKeyRotations": func(c contextT) error {
			return second(w.ListKeyRotations(c, &kmsapi.ListKeyRotationsInput{KeyId: &id}))
		},
		"ListKeys": func(c contextT) error { return second(w.ListKeys(c, &kmsapi.ListKeysInput{})) },
		"ListResourceTags": func(c contextT) error {
			return second(w.ListResourceTags(c, &kmsapi.ListResourceTagsInput{KeyId: &id}))
		},
		"ListRetirableGrants": func(c contextT) error {
			return second(w.ListRetirableGrants(c, &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: ptr(aliceARN)}))
		},
		"PutKeyPolicy": func(c contextT) error {
			return second(w.PutKeyPolicy(c, &kmsapi.PutKeyPolicyInput{KeyId: &id, Policy: ptr(w.defaultPolicy())}))
		},
		"ReEncrypt": func(c contextT) error {
			return second(w.ReEncrypt(c, &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &id}))
		},
		"ReplicateKey": func(c contextT) error {
			return second(w.ReplicateKey(c, &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: ptr("eu-west-1")}))
		},
		"UpdatePrimaryRegion": func(c contextT) error {
			return second(w.UpdatePrimaryRegion(c, &kmsapi.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: ptr("eu-west-1")}))
		},
		"RetireGrant": func(c contextT) error {
			return second(w.RetireGrant(c, &kmsapi.RetireGrantInput{KeyId: &id, GrantId: &grantID}))
		},
		"RevokeGrant": func(c contextT) error {
			return second(w.RevokeGrant(c, &kmsapi.RevokeGrantInput{KeyId: &id, GrantId: &grantID}))
		},
		"RotateKeyOnDemand": func(c contextT) error {
			return second(w.RotateKeyOnDemand(c, &kmsapi.RotateKeyOnDemandInput{KeyId: &id}))
		},
		"ScheduleKeyDeletion": func(c contextT) error {
			return second(w.ScheduleKeyDeletion(c, &kmsapi.ScheduleKeyDeletionInput{KeyId: &id}))
		},
		"Sign": func(c contextT) error {
			return second(w.Sign(c, &kmsapi.SignInput{KeyId: &id, Message: blob, SigningAlgorithm: ptr("ECDSA_SHA_256")}))
		},
		"TagResource": func(c contextT) error {
			return second(w.TagResource(c, &kmsapi.TagResourceInput{KeyId: &id, Tags: tags}))
		},
		"UntagResource": func(c contextT) error {
			return second(w.UntagResource(c, &kmsapi.UntagResourceInput{KeyId: &id, TagKeys: []string{"k"}}))
		},
		"UpdateAlias": func(c contextT) error {
			return second(w.UpdateAlias(c, &kmsapi.UpdateAliasInput{AliasName: ptr("alias/x"), TargetKeyId: &id}))
		},
		"UpdateKeyDescription": func(c contextT) error {
			return second(w.UpdateKeyDescription(c, &kmsapi.UpdateKeyDescriptionInput{KeyId: &id, Description: ptr("")}))
		},
		"Verify": func(c contextT) error {
			return second(w.Verify(c, &kmsapi.VerifyInput{KeyId: &id, Message: blob, Signature: blob, SigningAlgorithm: ptr("ECDSA_SHA_256")}))
		},
		"VerifyMac": func(c contextT) error {
			return second(w.VerifyMac(c, &kmsapi.VerifyMacInput{KeyId: &id, Message: blob, Mac: blob, MacAlgorithm: ptr("HMAC_SHA_256")}))
		},
	}
}

func TestCreateKeyConditions(t *testing.T) {
	w := newWorld(t)
	w.allow(aliceARN, `{"Effect":"Allow","Action":"kms:CreateKey","Resource":"*","Condition":{"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT"}}}`)
	tag := []*kmsapi.Tag{{TagKey: ptr("Team"), TagValue: ptr("video")}}
	expect(t, second(w.CreateKey(asUser(aliceARN), &kmsapi.CreateKeyInput{})), "", "")
	expect(t, second(w.CreateKey(asUser(aliceARN), &kmsapi.CreateKeyInput{KeySpec: ptr("HMAC_256"), KeyUsage: ptr("GENERATE_VERIFY_MAC")})), "AccessDeniedException", "…")
	expect(t, second(w.CreateKey(asUser(aliceARN), &kmsapi.CreateKeyInput{Tags: tag})), "AccessDeniedException", deniedText(aliceARN, "kms:TagResource", "*", "because no identity-based policy allows the kms:TagResource action"))
	w.allow(aliceARN, `{"Effect":"Allow","Action":"kms:TagResource","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/Team":"video"},"ForAllValues:StringEquals":{"aws:TagKeys":"Team"}}}`)
	expect(t, second(w.CreateKey(asUser(aliceARN), &kmsapi.CreateKeyInput{Tags: tag})), "", "")
	tag[0].TagValue = ptr("audio")
	expect(t, second(w.CreateKey(asUser(aliceARN), &kmsapi.CreateKeyInput{Tags: tag})), "AccessDeniedException", "…")
}

func TestKeyPolicyTextComesBack(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	get := func() string { return *must(w.GetKeyPolicy(asRoot(), &kmsapi.GetKeyPolicyInput{KeyId: &id})).Policy }
	d, err := policy.Parse([]byte(get()), policy.KeyPolicy)
	if err != nil || d.ID() != "key-default-1" || !strings.Contains(get(), `"Enable IAM User Permissions"`) {
		t.Errorf("default policy %s, %v", get(), err)
	}
	text := "\n" + document(admin, delegate)
	w.putPolicy(id, text)
	if get() != text {
		t.Errorf("policy %q, want %q", get(), text)
	}
	if names := must(w.ListKeyPolicies(asRoot(), &kmsapi.ListKeyPoliciesInput{KeyId: &id})).PolicyNames; len(names) != 1 || names[0] != "default" {
		t.Errorf("names %v", names)
	}
	_, err = w.GetKeyPolicy(asRoot(), &kmsapi.GetKeyPolicyInput{KeyId: &id, PolicyName: ptr("other")})
	expect(t, err, "NotFoundException", "No such policy exists")
	_, err = w.PutKeyPolicy(asRoot(), &kmsapi.PutKeyPolicyInput{KeyId: &id, PolicyName: ptr("other"), Policy: &text})
	expect(t, err, "NotFoundException", "No such policy exists")
}

func TestLockOutCheck(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	put := func(ctx contextT, document string, bypass bool) error {
		return second(w.PutKeyPolicy(ctx, &kmsapi.PutKeyPolicyInput{KeyId: &id, Policy: &document, BypassPolicyLockoutSafetyCheck: &bypass}))
	}
	const text = "The new key policy will not allow you to update the key policy in the future."
	w.allow(aliceARN, `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`)
	alice := asUser(aliceARN)
	expect(t, put(alice, namesOnly(bobARN, "kms:*"), false), "MalformedPolicyDocumentException", text)
	expect(t, put(alice, namesOnly(aliceARN, "kms:Decrypt"), false), "MalformedPolicyDocumentException", text)
	expect(t, put(alice, document(delegate, `{"Effect":"Deny","Principal":"*","Action":"kms:Put*","Resource":"*"}`), false), "MalformedPolicyDocumentException", text)
	expect(t, put(alice, document(delegate), false), "", "")
	expect(t, put(alice, namesOnly(aliceARN, "kms:PutKeyPolicy"), false), "", "")
	expect(t, put(alice, namesOnly(bobARN, "kms:*"), true), "", "")
	expect(t, put(alice, document(delegate), false), "AccessDeniedException", "…")
	expect(t, put(asUser(bobARN), document(delegate), true), "", "")
	expect(t, put(alice, `{"Version":"2012-10-17","Statement":[]}`, false), "MalformedPolicyDocumentException", "…")
	expect(t, put(alice, strings.Repeat(" ", 32769), false), "LimitExceededException", "")
}
