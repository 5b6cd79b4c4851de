// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package conformance

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	kmsv1 "github.com/aws/aws-sdk-go/service/kms"
)

var (
	plaintext = []byte("what nobody is to read")
	encCtx    = map[string]string{"camera": "front-door"}
)

// notAllowed is what AWS says of a ciphertext whose key the caller may not use: it does not tell whether there is one.
const notAllowed = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."

// makeKeys makes a key of each usage, as root.
func (w *world) makeKeys() {
	for name, in := range map[string]*kms.CreateKeyInput{
		"other": {}, "victim": {}, "empty": {Origin: types.OriginTypeExternal},
		"hmac":  {KeySpec: types.KeySpecHmac256, KeyUsage: types.KeyUsageTypeGenerateVerifyMac},
		"sign":  {KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify},
		"agree": {KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeKeyAgreement},
	} {
		if err := run(w.root, w.root.kms.CreateKey, in, func(o *kms.CreateKeyOutput) { w.keep(name, o.KeyMetadata.KeyId) }); err != nil {
			w.t.Fatal(err)
		}
	}
	out, err := w.root.kms.GetPublicKey(w.t.Context(), &kms.GetPublicKeyInput{KeyId: w.s("agree")})
	if err != nil {
		w.t.Fatal(err)
	}
	w.blob["peer"] = out.PublicKey
}

func kmsSteps() []step {
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:*","Resource":"*"}]}`
	tags := []types.Tag{{TagKey: aws.String("k"), TagValue: aws.String("v")}}
	ops := []types.GrantOperation{types.GrantOperationDecrypt}
	return append([]step{
		{action: "kms:CreateKey", call: func(w *world, c *clients) error {
			return run(c, c.kms.CreateKey, &kms.CreateKeyInput{Description: aws.String("first")}, func(o *kms.CreateKeyOutput) {
				w.keep("key", o.KeyMetadata.KeyId)
				w.keep("keyARN", o.KeyMetadata.Arn)
			})
		}},
		{action: "kms:DescribeKey", call: func(w *world, c *clients) error {
			return run(c, c.kms.DescribeKey, &kms.DescribeKeyInput{KeyId: w.s("key")}, func(o *kms.DescribeKeyOutput) {
				w.equal("arn", *o.KeyMetadata.Arn, w.id["keyARN"])
				w.equal("state", o.KeyMetadata.KeyState, types.KeyStateEnabled)
			})
		}},
		{action: "kms:ListKeys", call: func(w *world, c *clients) error {
			return run(c, c.kms.ListKeys, &kms.ListKeysInput{}, func(o *kms.ListKeysOutput) { w.equal("any", len(o.Keys) > 0, true) })
		}},
		{action: "kms:UpdateKeyDescription", call: func(w *world, c *clients) error {
			return run(c, c.kms.UpdateKeyDescription, &kms.UpdateKeyDescriptionInput{KeyId: w.s("key"), Description: aws.String("second")})
		}},
		{action: "kms:CreateAlias", call: func(w *world, c *clients) error {
			return run(c, c.kms.CreateAlias, &kms.CreateAliasInput{AliasName: aws.String("alias/door"), TargetKeyId: w.s("key")})
		}},
		{action: "kms:ListAliases", call: func(w *world, c *clients) error {
			return run(c, c.kms.ListAliases, &kms.ListAliasesInput{KeyId: w.s("key")}, func(o *kms.ListAliasesOutput) { w.equal("aliases", len(o.Aliases), 1) })
		}},
		{action: "kms:UpdateAlias", call: func(w *world, c *clients) error {
			return run(c, c.kms.UpdateAlias, &kms.UpdateAliasInput{AliasName: aws.String("alias/door"), TargetKeyId: w.s("key")})
		}},
		{action: "kms:Encrypt", call: func(w *world, c *clients) error {
			in := &kms.EncryptInput{KeyId: aws.String("alias/door"), Plaintext: plaintext, EncryptionContext: encCtx}
			return run(c, c.kms.Encrypt, in, func(o *kms.EncryptOutput) { w.blob["ciphertext"] = o.CiphertextBlob })
		}},
		{action: "kms:Decrypt", denial: notAllowed, call: func(w *world, c *clients) error {
			in := &kms.DecryptInput{CiphertextBlob: w.blob["ciphertext"], EncryptionContext: encCtx}
			return run(c, c.kms.Decrypt, in, func(o *kms.DecryptOutput) { w.equal("plaintext", string(o.Plaintext), string(plaintext)) })
		}},
		{action: "kms:ReEncryptFrom", denial: notAllowed, needs: []string{"kms:ReEncryptTo"}, call: func(w *world, c *clients) error {
			in := &kms.ReEncryptInput{CiphertextBlob: w.blob["ciphertext"], SourceEncryptionContext: encCtx, DestinationKeyId: w.s("other")}
			return run(c, c.kms.ReEncrypt, in, func(o *kms.ReEncryptOutput) { w.equal("source", *o.SourceKeyId, w.id["keyARN"]) })
		}},
		{action: "kms:GenerateDataKey", call: func(w *world, c *clients) error {
			return run(c, c.kms.GenerateDataKey, &kms.GenerateDataKeyInput{KeyId: w.s("key"), KeySpec: types.DataKeySpecAes256},
				func(o *kms.GenerateDataKeyOutput) { w.equal("length", len(o.Plaintext), 32) })
		}},
		{action: "kms:GenerateDataKeyWithoutPlaintext", call: func(w *world, c *clients) error {
			return run(c, c.kms.GenerateDataKeyWithoutPlaintext, &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: w.s("key"), KeySpec: types.DataKeySpecAes256})
		}},
		{action: "kms:GenerateDataKeyPair", call: func(w *world, c *clients) error {
			return run(c, c.kms.GenerateDataKeyPair, &kms.GenerateDataKeyPairInput{KeyId: w.s("key"), KeyPairSpec: types.DataKeyPairSpecEccNistP256})
		}},
		{action: "kms:GenerateDataKeyPairWithoutPlaintext", call: func(w *world, c *clients) error {
			return run(c, c.kms.GenerateDataKeyPairWithoutPlaintext, &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: w.s("key"), KeyPairSpec: types.DataKeyPairSpecEccNistP256})
		}},
		{action: "kms:GenerateRandom", call: func(w *world, c *clients) error {
			return run(c, c.kms.GenerateRandom, &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(7)}, func(o *kms.GenerateRandomOutput) { w.equal("length", len(o.Plaintext), 7) })
		}},
		{action: "kms:GenerateMac", call: func(w *world, c *clients) error {
			in := &kms.GenerateMacInput{KeyId: w.s("hmac"), Message: plaintext, MacAlgorithm: types.MacAlgorithmSpecHmacSha256}
			return run(c, c.kms.GenerateMac, in, func(o *kms.GenerateMacOutput) { w.blob["mac"] = o.Mac })
		}},
		{action: "kms:VerifyMac", call: func(w *world, c *clients) error {
			in := &kms.VerifyMacInput{KeyId: w.s("hmac"), Message: plaintext, MacAlgorithm: types.MacAlgorithmSpecHmacSha256, Mac: w.blob["mac"]}
			return run(c, c.kms.VerifyMac, in, func(o *kms.VerifyMacOutput) { w.equal("valid", o.MacValid, true) })
		}},
		{action: "kms:Sign", call: func(w *world, c *clients) error {
			in := &kms.SignInput{KeyId: w.s("sign"), Message: plaintext, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256}
			return run(c, c.kms.Sign, in, func(o *kms.SignOutput) { w.blob["signature"] = o.Signature })
		}},
		{action: "kms:Verify", call: func(w *world, c *clients) error {
			in := &kms.VerifyInput{KeyId: w.s("sign"), Message: plaintext, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256, Signature: w.blob["signature"]}
			return run(c, c.kms.Verify, in, func(o *kms.VerifyOutput) { w.equal("valid", o.SignatureValid, true) })
		}},
		{action: "kms:GetPublicKey", call: func(w *world, c *clients) error {
			return run(c, c.kms.GetPublicKey, &kms.GetPublicKeyInput{KeyId: w.s("sign")})
		}},
		{action: "kms:DeriveSharedSecret", call: func(w *world, c *clients) error {
			return run(c, c.kms.DeriveSharedSecret, &kms.DeriveSharedSecretInput{KeyId: w.s("agree"), PublicKey: w.blob["peer"], KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh})
		}},
		{action: "kms:TagResource", call: func(w *world, c *clients) error {
			return run(c, c.kms.TagResource, &kms.TagResourceInput{KeyId: w.s("key"), Tags: tags})
		}},
		{action: "kms:ListResourceTags", call: func(w *world, c *clients) error {
			return run(c, c.kms.ListResourceTags, &kms.ListResourceTagsInput{KeyId: w.s("key")}, func(o *kms.ListResourceTagsOutput) { w.equal("tags", len(o.Tags), 1) })
		}},
		{action: "kms:UntagResource", call: func(w *world, c *clients) error {
			return run(c, c.kms.UntagResource, &kms.UntagResourceInput{KeyId: w.s("key"), TagKeys: []string{"k"}})
		}},
		{action: "kms:PutKeyPolicy", call: func(w *world, c *clients) error {
			return run(c, c.kms.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: w.s("key"), Policy: &policy})
		}},
		{action: "kms:GetKeyPolicy", call: func(w *world, c *clients) error {
			return run(c, c.kms.GetKeyPolicy, &kms.GetKeyPolicyInput{KeyId: w.s("key")}, func(o *kms.GetKeyPolicyOutput) { w.equal("policy", len(*o.Policy) > 10, true) })
		}},
		{action: "kms:ListKeyPolicies", call: func(w *world, c *clients) error {
			return run(c, c.kms.ListKeyPolicies, &kms.ListKeyPoliciesInput{KeyId: w.s("key")})
		}},
		{action: "kms:CreateGrant", call: func(w *world, c *clients) error {
			in := &kms.CreateGrantInput{KeyId: w.s("key"), GranteePrincipal: aws.String("arn:aws:iam::000000000000:user/worker"), Operations: ops}
			return run(c, c.kms.CreateGrant, in, func(o *kms.CreateGrantOutput) { w.keep("grant", o.GrantId) })
		}},
		{action: "kms:ListGrants", call: func(w *world, c *clients) error {
			return run(c, c.kms.ListGrants, &kms.ListGrantsInput{KeyId: w.s("key")}, func(o *kms.ListGrantsOutput) { w.equal("grants", len(o.Grants), 1) })
		}},
		{action: "kms:ListRetirableGrants", call: func(w *world, c *clients) error {
			return run(c, c.kms.ListRetirableGrants, &kms.ListRetirableGrantsInput{RetiringPrincipal: aws.String("arn:aws:iam::000000000000:user/worker")})
		}},
		{action: "kms:RevokeGrant", call: func(w *world, c *clients) error {
			return run(c, c.kms.RevokeGrant, &kms.RevokeGrantInput{KeyId: w.s("key"), GrantId: w.s("grant")})
		}},
		{action: "kms:CreateGrant", call: func(w *world, c *clients) error {
			in := &kms.CreateGrantInput{KeyId: w.s("key"), GranteePrincipal: aws.String("arn:aws:iam::000000000000:user/worker"), Operations: ops}
			return run(c, c.kms.CreateGrant, in, func(o *kms.CreateGrantOutput) { w.keep("grant", o.GrantId) })
		}},
		{action: "kms:RetireGrant", call: func(w *world, c *clients) error {
			return run(c, c.kms.RetireGrant, &kms.RetireGrantInput{KeyId: w.s("keyARN"), GrantId: w.s("grant")})
		}},
		{action: "kms:EnableKeyRotation", call: func(w *world, c *clients) error {
			return run(c, c.kms.EnableKeyRotation, &kms.EnableKeyRotationInput{KeyId: w.s("key")})
		}},
		{action: "kms:GetKeyRotationStatus", call: func(w *world, c *clients) error {
			return run(c, c.kms.GetKeyRotationStatus, &kms.GetKeyRotationStatusInput{KeyId: w.s("key")}, func(o *kms.GetKeyRotationStatusOutput) { w.equal("on", o.KeyRotationEnabled, true) })
		}},
		{action: "kms:DisableKeyRotation", call: func(w *world, c *clients) error {
			return run(c, c.kms.DisableKeyRotation, &kms.DisableKeyRotationInput{KeyId: w.s("key")})
		}},
		{action: "kms:RotateKeyOnDemand", call: func(w *world, c *clients) error {
			return run(c, c.kms.RotateKeyOnDemand, &kms.RotateKeyOnDemandInput{KeyId: w.s("key")})
		}},
		{action: "kms:ListKeyRotations", call: func(w *world, c *clients) error {
			return run(c, c.kms.ListKeyRotations, &kms.ListKeyRotationsInput{KeyId: w.s("key")}, func(o *kms.ListKeyRotationsOutput) { w.equal("rotations", len(o.Rotations), 1) })
		}},
		{action: "kms:Decrypt", denial: notAllowed, call: func(w *world, c *clients) error { // what an older material sealed
			in := &kms.DecryptInput{CiphertextBlob: w.blob["ciphertext"], EncryptionContext: encCtx}
			return run(c, c.kms.Decrypt, in, func(o *kms.DecryptOutput) { w.equal("plaintext", bytes.Equal(o.Plaintext, plaintext), true) })
		}},
		{action: "kms:DisableKey", call: func(w *world, c *clients) error {
			return run(c, c.kms.DisableKey, &kms.DisableKeyInput{KeyId: w.s("key")})
		}},
		{action: "kms:Decrypt", denial: notAllowed, want: "DisabledException", call: func(w *world, c *clients) error {
			return run(c, c.kms.Decrypt, &kms.DecryptInput{CiphertextBlob: w.blob["ciphertext"], EncryptionContext: encCtx})
		}},
		{action: "kms:EnableKey", call: func(w *world, c *clients) error {
			return run(c, c.kms.EnableKey, &kms.EnableKeyInput{KeyId: w.s("key")})
		}},
		{action: "kms:ScheduleKeyDeletion", call: func(w *world, c *clients) error {
			return run(c, c.kms.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: w.s("victim"), PendingWindowInDays: aws.Int32(7)})
		}},
		{action: "kms:CancelKeyDeletion", call: func(w *world, c *clients) error {
			return run(c, c.kms.CancelKeyDeletion, &kms.CancelKeyDeletionInput{KeyId: w.s("victim")})
		}},
		{action: "kms:DeleteAlias", call: func(w *world, c *clients) error {
			return run(c, c.kms.DeleteAlias, &kms.DeleteAliasInput{AliasName: aws.String("alias/door")})
		}},
		{action: "kms:DescribeCustomKeyStores", call: func(w *world, c *clients) error {
			return run(c, c.kms.DescribeCustomKeyStores, &kms.DescribeCustomKeyStoresInput{})
		}},
	}, importSteps()...)
}

// equal checks a part of an answer.
func (w *world) equal(what string, got, want any) {
	w.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestKMS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.makeKeys()
	w.walk(kmsSteps())
	const absent = "12345678-1234-1234-1234-123456789012"
	use := func(c *clients, key string) error {
		return run(c, c.kms.Encrypt, &kms.EncryptInput{KeyId: &key, Plaintext: plaintext})
	}
	w.refuse([]failure{
		{"Encrypt", "NotFoundException", func(c *clients) error { return use(c, absent) }},
		{"Encrypt", "InvalidKeyUsageException", func(c *clients) error { return use(c, w.id["hmac"]) }},
		{"Decrypt", "IncorrectKeyException", func(c *clients) error {
			return run(c, c.kms.Decrypt, &kms.DecryptInput{KeyId: w.s("other"), CiphertextBlob: w.blob["ciphertext"], EncryptionContext: encCtx})
		}},
		{"Encrypt", "DisabledException", func(c *clients) error {
			_ = run(c, c.kms.DisableKey, &kms.DisableKeyInput{KeyId: w.s("other")})
			return use(c, w.id["other"])
		}},
		{"Encrypt", "KMSInvalidStateException", func(c *clients) error {
			_ = run(c, c.kms.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: w.s("other")})
			return use(c, w.id["other"])
		}},
		{"Decrypt", "InvalidCiphertextException", func(c *clients) error {
			return run(c, c.kms.Decrypt, &kms.DecryptInput{CiphertextBlob: w.blob["ciphertext"], EncryptionContext: map[string]string{"camera": "back-door"}})
		}},
		{"VerifyMac", "KMSInvalidMacException", func(c *clients) error {
			return run(c, c.kms.VerifyMac, &kms.VerifyMacInput{KeyId: w.s("hmac"), Message: []byte("other"), MacAlgorithm: types.MacAlgorithmSpecHmacSha256, Mac: w.blob["mac"]})
		}},
		{"Verify", "KMSInvalidSignatureException", func(c *clients) error {
			return run(c, c.kms.Verify, &kms.VerifyInput{KeyId: w.s("sign"), Message: []byte("other"), SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256, Signature: w.blob["signature"]})
		}},
		{"CreateAlias", "InvalidAliasNameException", func(c *clients) error {
			return run(c, c.kms.CreateAlias, &kms.CreateAliasInput{AliasName: aws.String("alias/aws/mine"), TargetKeyId: w.s("key")})
		}},
		{"CreateAlias", "AlreadyExistsException", func(c *clients) error {
			in := &kms.CreateAliasInput{AliasName: aws.String("alias/twice"), TargetKeyId: w.s("key")}
			_ = run(c, c.kms.CreateAlias, in)
			return run(c, c.kms.CreateAlias, in)
		}},
		{"DeleteAlias", "NotFoundException", func(c *clients) error {
			return run(c, c.kms.DeleteAlias, &kms.DeleteAliasInput{AliasName: aws.String("alias/absent")})
		}},
		{"PutKeyPolicy", "MalformedPolicyDocumentException", func(c *clients) error {
			return run(c, c.kms.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: w.s("key"), Policy: aws.String(`{"Statement":1}`)})
		}},
		{"ListKeys", "InvalidMarkerException", func(c *clients) error {
			return run(c, c.kms.ListKeys, &kms.ListKeysInput{Marker: aws.String("no marker of ours")})
		}},
	})
}

// TestKMSWithSDKv1 shows that the older SDK, which many programs still use, agrees.
func TestKMSWithSDKv1(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := kmsv1.New(w.V1(w.Root))
	key, err := c.CreateKey(&kmsv1.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := c.Encrypt(&kmsv1.EncryptInput{KeyId: key.KeyMetadata.Arn, Plaintext: plaintext})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := c.Decrypt(&kmsv1.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	if err != nil || !bytes.Equal(opened.Plaintext, plaintext) {
		t.Fatalf("got %q, %v", opened.Plaintext, err)
	}
	_, err = c.Decrypt(&kmsv1.DecryptInput{CiphertextBlob: plaintext})
	if _, ok := err.(*kmsv1.InvalidCiphertextException); !ok {
		t.Errorf("got %T: %v", err, err)
	}
}
