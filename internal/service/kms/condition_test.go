// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"slices"
	"strings"
	"testing"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// conditionCase is a request for which a condition key has one value.
type conditionCase struct {
	key, operator, right, wrong string
	// call makes the request; only whether it is denied counts.
	call func(w *world, c contextT) error
}

// conditionKeys are those of the KMS Developer Guide, "AWS KMS condition keys", but those of Nitro enclaves.
var conditionKeys = []string{
	"kms:BypassPolicyLockoutSafetyCheck", "kms:CallerAccount", "kms:DataKeyPairSpec", "kms:EncryptionAlgorithm", "kms:EncryptionContext:room",
	"kms:EncryptionContextKeys", "kms:ExpirationModel", "kms:GrantConstraintType", "kms:GranteePrincipal", "kms:GrantIsForAWSResource",
	"kms:GrantOperations", "kms:KeyAgreementAlgorithm", "kms:KeyOrigin", "kms:KeySpec", "kms:KeyUsage", "kms:MacAlgorithm", "kms:MessageType",
	"kms:MultiRegion", "kms:MultiRegionKeyType", "kms:PrimaryRegion", "kms:ReEncryptOnSameKey", "kms:ReplicaRegion", "kms:RequestAlias",
	"kms:ResourceAliases", "kms:RetiringPrincipal", "kms:RotationPeriodInDays", "kms:ScheduleKeyDeletionPendingWindowInDays",
	"kms:SigningAlgorithm", "kms:ValidTo", "kms:ViaService", "kms:WrappingAlgorithm", "kms:WrappingKeySpec",
	"aws:ResourceTag/Team", "aws:RequestTag/Team", "aws:TagKeys",
}

// conditionCases go over the keys that w.id names.
func conditionCases(id map[string]*string) []conditionCase {
	room := map[string]string{"room": "dark"}
	seal := func(w *world, c contextT) error {
		return second(w.Encrypt(c, &kmsapi.EncryptInput{KeyId: id["symmetric"], Plaintext: []byte("x"), EncryptionContext: room}))
	}
	describe := func(key string) func(*world, contextT) error {
		return func(w *world, c contextT) error {
			return second(w.DescribeKey(c, &kmsapi.DescribeKeyInput{KeyId: id[key]}))
		}
	}
	grant := func(w *world, c contextT) error {
		in := grantInput(*id["symmetric"], bobARN, "Decrypt")
		in.RetiringPrincipal, in.Constraints = ptr(aliceARN), &kmsapi.GrantConstraints{EncryptionContextSubset: room}
		return second(w.CreateGrant(c, in))
	}
	sign := func(w *world, c contextT) error {
		return second(w.Sign(c, &kmsapi.SignInput{KeyId: id["sign"], Message: make([]byte, 32), MessageType: ptr("DIGEST"), SigningAlgorithm: ptr("ECDSA_SHA_256")}))
	}
	wrapping := func(w *world, c contextT) error {
		return second(w.GetParametersForImport(c, &kmsapi.GetParametersForImportInput{
			KeyId: id["external"], WrappingAlgorithm: ptr("RSAES_OAEP_SHA_256"), WrappingKeySpec: ptr("RSA_2048"),
		}))
	}
	importing := func(w *world, c contextT) error {
		return second(w.ImportKeyMaterial(c, &kmsapi.ImportKeyMaterialInput{
			KeyId: id["external"], ImportToken: []byte("x"), EncryptedKeyMaterial: []byte("x"), ValidTo: ptr(w.now.Add(48 * time.Hour)),
		}))
	}
	reencrypt := func(w *world, c contextT) error {
		blob := must(w.Encrypt(asRoot(), &kmsapi.EncryptInput{KeyId: id["symmetric"], Plaintext: []byte("x")})).CiphertextBlob
		return second(w.ReEncrypt(c, &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: id["symmetric"]}))
	}
	tag := func(w *world, c contextT) error {
		return second(w.TagResource(c, &kmsapi.TagResourceInput{KeyId: id["symmetric"], Tags: []*kmsapi.Tag{{TagKey: ptr("Team"), TagValue: ptr("audio")}}}))
	}
	put := func(w *world, c contextT) error {
		return second(w.PutKeyPolicy(c, &kmsapi.PutKeyPolicyInput{KeyId: id["symmetric"], Policy: ptr(w.defaultPolicy()), BypassPolicyLockoutSafetyCheck: ptr(true)}))
	}
	const is, has = "StringEquals", "ForAnyValue:StringEquals"
	return []conditionCase{
		{"kms:BypassPolicyLockoutSafetyCheck", "Bool", "true", "false", put},
		{"kms:CallerAccount", is, account, "111111111111", seal},
		{"kms:DataKeyPairSpec", is, "ECC_NIST_P256", "RSA_2048", func(w *world, c contextT) error {
			return second(w.GenerateDataKeyPair(c, &kmsapi.GenerateDataKeyPairInput{KeyId: id["symmetric"], KeyPairSpec: ptr("ECC_NIST_P256")}))
		}},
		{"kms:DataKeyPairSpec", is, "ECC_NIST_P256", "RSA_2048", func(w *world, c contextT) error {
			return second(w.GenerateDataKeyPairWithoutPlaintext(c, &kmsapi.GenerateDataKeyPairWithoutPlaintextInput{KeyId: id["symmetric"], KeyPairSpec: ptr("ECC_NIST_P256")}))
		}},
		{"kms:EncryptionAlgorithm", is, "SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", seal},
		{"kms:EncryptionAlgorithm", is, "SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", reencrypt},
		{"kms:EncryptionContext:room", is, "dark", "light", seal},
		{"kms:EncryptionContext:room", is, "dark", "light", grant},
		{"kms:EncryptionContextKeys", has, "room", "house", seal},
		{"kms:ExpirationModel", is, "KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE", importing},
		{"kms:GrantConstraintType", has, "EncryptionContextSubset", "EncryptionContextEquals", grant},
		{"kms:GranteePrincipal", is, bobARN, aliceARN, grant},
		{"kms:GrantIsForAWSResource", "Bool", "false", "true", grant},
		{"kms:GrantIsForAWSResource", "Bool", "false", "true", func(w *world, c contextT) error {
			return second(w.ListGrants(c, &kmsapi.ListGrantsInput{KeyId: id["symmetric"]}))
		}},
		{"kms:GrantIsForAWSResource", "Bool", "false", "true", func(w *world, c contextT) error {
			return second(w.RevokeGrant(c, &kmsapi.RevokeGrantInput{KeyId: id["symmetric"], GrantId: ptr(strings.Repeat("0", 64))}))
		}},
		{"kms:GrantOperations", has, "Decrypt", "Encrypt", grant},
		{"kms:KeyAgreementAlgorithm", is, "ECDH", "X25519", func(w *world, c contextT) error {
			return second(w.DeriveSharedSecret(c, &kmsapi.DeriveSharedSecretInput{KeyId: id["agree"], KeyAgreementAlgorithm: ptr("ECDH"), PublicKey: []byte("x")}))
		}},
		{"kms:KeyOrigin", is, "EXTERNAL", "AWS_KMS", describe("external")},
		{"kms:KeySpec", is, "ECC_NIST_P256", "RSA_2048", describe("sign")},
		{"kms:KeyUsage", is, "SIGN_VERIFY", "KEY_AGREEMENT", describe("sign")},
		{"kms:MacAlgorithm", is, "HMAC_SHA_256", "HMAC_SHA_512", func(w *world, c contextT) error {
			return second(w.GenerateMac(c, &kmsapi.GenerateMacInput{KeyId: id["mac"], Message: []byte("x"), MacAlgorithm: ptr("HMAC_SHA_256")}))
		}},
		{"kms:MacAlgorithm", is, "HMAC_SHA_256", "HMAC_SHA_512", func(w *world, c contextT) error {
			return second(w.VerifyMac(c, &kmsapi.VerifyMacInput{KeyId: id["mac"], Message: []byte("x"), Mac: []byte("x"), MacAlgorithm: ptr("HMAC_SHA_256")}))
		}},
		{"kms:MessageType", is, "DIGEST", "RAW", sign},
		{"kms:MultiRegion", "Bool", "true", "false", describe("mrk")},
		{"kms:MultiRegion", "Bool", "true", "false", func(w *world, c contextT) error {
			return second(w.CreateKey(c, &kmsapi.CreateKeyInput{MultiRegion: ptr(true)}))
		}},
		{"kms:MultiRegionKeyType", is, "PRIMARY", "REPLICA", describe("mrk")},
		{"kms:PrimaryRegion", is, ireland, frankfurt, func(w *world, c contextT) error {
			return second(w.UpdatePrimaryRegion(c, &kmsapi.UpdatePrimaryRegionInput{KeyId: id["mrk"], PrimaryRegion: ptr(ireland)}))
		}},
		{"kms:ReEncryptOnSameKey", "Bool", "true", "false", reencrypt},
		{"kms:ReplicaRegion", is, frankfurt, ireland, func(w *world, c contextT) error {
			err := second(w.ReplicateKey(c, &kmsapi.ReplicateKeyInput{KeyId: id["mrk"], ReplicaRegion: ptr(frankfurt)}))
			if code, text := outcome(err); code == "AccessDeniedException" && strings.Contains(text, "kms:CreateKey") {
				return nil // that is another question
			}
			return err
		}},
		{"kms:RequestAlias", is, "alias/door", "alias/yard", func(w *world, c contextT) error {
			return second(w.Encrypt(c, &kmsapi.EncryptInput{KeyId: ptr("alias/door"), Plaintext: []byte("x")}))
		}},
		{"kms:ResourceAliases", has, "alias/door", "alias/yard", seal},
		{"kms:RetiringPrincipal", is, aliceARN, bobARN, grant},
		{"kms:RotationPeriodInDays", "NumericLessThan", "200", "100", func(w *world, c contextT) error {
			return second(w.EnableKeyRotation(c, &kmsapi.EnableKeyRotationInput{KeyId: id["symmetric"], RotationPeriodInDays: ptr(int64(150))}))
		}},
		{"kms:ScheduleKeyDeletionPendingWindowInDays", "NumericGreaterThan", "7", "14", func(w *world, c contextT) error {
			return second(w.ScheduleKeyDeletion(c, &kmsapi.ScheduleKeyDeletionInput{KeyId: id["victim"], PendingWindowInDays: ptr(int64(10))}))
		}},
		{"kms:SigningAlgorithm", is, "ECDSA_SHA_256", "ECDSA_SHA_384", sign},
		{"kms:SigningAlgorithm", is, "ECDSA_SHA_256", "ECDSA_SHA_384", func(w *world, c contextT) error {
			return second(w.Verify(c, &kmsapi.VerifyInput{KeyId: id["sign"], Message: []byte("x"), Signature: []byte("x"), SigningAlgorithm: ptr("ECDSA_SHA_256")}))
		}},
		{"kms:ValidTo", "DateLessThan", "2026-03-04T00:00:00Z", "2026-03-02T00:00:00Z", importing},
		{"kms:ViaService", is, viaVideo, "kinesis.us-east-1.amazonaws.com", func(w *world, c contextT) error { return seal(w, through(c, viaVideo)) }},
		{"kms:WrappingAlgorithm", is, "RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1", wrapping},
		{"kms:WrappingKeySpec", is, "RSA_2048", "RSA_4096", wrapping},
		{"aws:ResourceTag/Team", is, "video", "audio", seal},
		{"aws:RequestTag/Team", is, "audio", "video", tag},
		{"aws:TagKeys", has, "Team", "Site", tag},
	}
}

// TestConditionKeysDecide: each key of the guide decides in the requests that it is for: a request that has the value
// is let through, one that has another is denied.
func TestConditionKeysDecide(t *testing.T) {
	var covered []string
	for _, c := range conditionCases(map[string]*string{}) {
		covered = append(covered, c.key)
		t.Run(c.key, func(t *testing.T) {
			for value, denied := range map[string]bool{c.right: false, c.wrong: true} {
				w, id := conditionWorld(t)
				c := conditionCases(id)[len(covered)-1]
				w.allow(aliceARN, conditioned(`"`+c.operator+`":{"`+c.key+`":"`+value+`"}`))
				code, text := outcome(c.call(w, asUser(aliceARN)))
				if (code == "AccessDeniedException") != denied {
					t.Errorf("%s %s %q: got %s %s", c.operator, c.key, value, code, text)
				}
			}
		})
	}
	for _, key := range conditionKeys {
		if !slices.Contains(covered, key) {
			t.Errorf("%s is in no case", key)
		}
	}
}

// conditionWorld has a key of each kind.
func conditionWorld(t *testing.T) (*world, map[string]*string) {
	w := newWorld(t)
	w.further = []string{ireland, frankfurt}
	w.reopen()
	id := map[string]*string{
		"symmetric": w.create(&kmsapi.CreateKeyInput{Tags: []*kmsapi.Tag{{TagKey: ptr("Team"), TagValue: ptr("video")}}}).KeyId,
		"victim":    ptr(w.symmetricKey()),
		"external":  w.create(&kmsapi.CreateKeyInput{Origin: ptr("EXTERNAL")}).KeyId,
		"sign":      w.keyOf("ECC_NIST_P256", "SIGN_VERIFY").KeyId,
		"agree":     w.keyOf("ECC_NIST_P256", "KEY_AGREEMENT").KeyId,
		"mac":       w.keyOf("HMAC_256", "GENERATE_VERIFY_MAC").KeyId,
		"mrk":       ptr(w.mrk(ireland)),
	}
	expect(t, w.alias("alias/door", *id["symmetric"]), "", "")
	return w, id
}
