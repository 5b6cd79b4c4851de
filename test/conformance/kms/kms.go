// SPDX-License-Identifier: Apache-2.0

// Package kms is the conformance cases of AWS KMS. See kit for what a case is.
//
// Sources: AWS KMS API Reference and Developer Guide; the texts are those that AWS sends.
package kms

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/test/conformance/kit"
)

// API is the cases of KMS.
func API() *kit.API {
	return &kit.API{
		Model: kmsapi.New(kmsapi.Unimplemented{}), Denied: "AccessDeniedException",
		Never: map[string]string{
			"KMSInternalException":       "a fault of the server's own",
			"DependencyTimeoutException": "KMS depends on nothing that could be made to wait",
			"KeyUnavailableException":    "a fault of the server's own: the material of a key cannot be reached",
		},
		Cases: slices.Concat(keyCases(), stateCases(), aliasCases(), policyCases(), grantCases(), tagCases(), rotationCases(),
			encryptCases(), dataKeyCases(), signCases(), macCases(), importCases(), replicaCases(), storeCases()),
	}
}

// Ids and reasons that many cases share.
const (
	absentID = "12345678-1234-1234-1234-123456789012"
	anyState = "works in every state of the key"
)

var plaintext = []byte("what nobody is to read")

// key is a KMS key and, where it is symmetric and has material, something that it has sealed.
type key struct {
	w       *kit.World
	ID, ARN string
	Blob    []byte
}

// newKey makes a key that is deleted at the end.
func newKey(w *kit.World, in *kms.CreateKeyInput) *key {
	w.T.Helper()
	in.Description = aws.String("made by a conformance test")
	out, err := w.Admin.KMS.CreateKey(w.Admin.Ctx, in)
	w.Must(err)
	k := &key{w: w, ID: *out.KeyMetadata.KeyId, ARN: *out.KeyMetadata.Arn}
	w.Cleanup("key "+k.ID, func(c *kit.Clients) error { return deleteKey(c, k.ID) })
	return k
}

func deleteKey(c *kit.Clients, id string) error {
	err := kit.Run(c, c.KMS.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: aws.Int32(7)})
	if code, _ := kit.CodeOf(err); code == "KMSInvalidStateException" { // on its way already
		return nil
	}
	return err
}

// symmetric makes a symmetric key for a case of its own.
func symmetric(w *kit.World) *key {
	w.T.Helper()
	return newKey(w, &kms.CreateKeyInput{})
}

// disabled makes a disabled symmetric key that has sealed something before.
func disabled(w *kit.World) *key {
	w.T.Helper()
	k := symmetric(w)
	k.seal()
	w.Must(kit.Run(w.Admin, w.Admin.KMS.DisableKey, &kms.DisableKeyInput{KeyId: &k.ID}))
	return k
}

// dying makes a key that is pending deletion and has sealed something before.
func dying(w *kit.World) *key {
	w.T.Helper()
	k := symmetric(w)
	k.seal()
	w.Must(deleteKey(w.Admin, k.ID))
	return k
}

func (k *key) seal() {
	k.w.T.Helper()
	out, err := k.w.Admin.KMS.Encrypt(k.w.Admin.Ctx, &kms.EncryptInput{KeyId: &k.ID, Plaintext: plaintext})
	k.w.Must(err)
	k.Blob = out.CiphertextBlob
}

// The keys that cases share; none alters them.
const (
	sealing   = "a symmetric key"
	asleep    = "a disabled key"
	condemned = "a key that is pending deletion"
	empty     = "a key without material"
	signing   = "a key on P-256 that signs"
	agreeing  = "a key on P-256 that agrees"
	maccing   = "an HMAC key"
	opening   = "an RSA key that decrypts"
)

// shared is one of these keys.
func shared(w *kit.World, name string) *key {
	w.T.Helper()
	k := *kit.Shared(w, name, func(w *kit.World) *key {
		switch name {
		case asleep:
			return disabled(w)
		case condemned:
			return dying(w)
		case empty:
			return newKey(w, &kms.CreateKeyInput{Origin: types.OriginTypeExternal})
		case signing:
			return newKey(w, &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify})
		case agreeing:
			return newKey(w, &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeKeyAgreement})
		case maccing:
			return newKey(w, &kms.CreateKeyInput{KeySpec: types.KeySpecHmac256, KeyUsage: types.KeyUsageTypeGenerateVerifyMac})
		case opening:
			return newKey(w, &kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeEncryptDecrypt})
		}
		k := symmetric(w)
		k.seal()
		return k
	})
	k.w = w
	return &k
}

// metadata is what DescribeKey says of the key.
func (k *key) metadata() *types.KeyMetadata {
	k.w.T.Helper()
	out, err := k.w.Admin.KMS.DescribeKey(k.w.Admin.Ctx, &kms.DescribeKeyInput{KeyId: &k.ID})
	k.w.Must(err)
	return out.KeyMetadata
}

// state is the key's state, for Call.Changes.
func (k *key) state() any { return k.metadata().KeyState }
