// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

const symmetricAlgorithm = kmsapi.EncryptionAlgorithmSpecSymmetricDefault

// symmetricConditions says which algorithm an operation uses that offers no choice.
var symmetricConditions = algorithmConditions(symmetricAlgorithm)

func algorithmConditions(algorithm string) map[string][]string {
	return map[string][]string{"kms:encryptionalgorithm": {algorithm}}
}

// Encrypt seals up to 4096 bytes under a symmetric key, or as much as RSA-OAEP takes
// under an RSA key. With a symmetric key the encryption context is bound to the
// result: Decrypt needs the same pairs.
//
// Errors: NotFoundException; DisabledException and KMSInvalidStateException by key
// state; InvalidKeyUsageException; ValidationException; InvalidGrantTokenException;
// DryRunOperationException in place of success.
//
// Source: AWS KMS API Reference, Encrypt; deviations in docs/compat/kms.md.
func (s *Service) Encrypt(ctx context.Context, in *kmsapi.EncryptInput) (*kmsapi.EncryptOutput, error) {
	algorithm := valueOr(in.EncryptionAlgorithm, symmetricAlgorithm)
	k, err := s.keyFor(ctx, *in.KeyId, use{
		operation: "Encrypt", need: enabled, context: in.EncryptionContext, tokens: in.GrantTokens,
		extra: algorithmConditions(algorithm),
	})
	if err != nil {
		return nil, err
	}
	blob, err := s.encrypt(ctx, k, "Encrypt", algorithm, in.Plaintext, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	noteMaterial(ctx, "keyMaterialId", k.currentMaterial())
	if isTrue(in.DryRun) {
		return nil, dryRun()
	}
	s.used(ctx, k, "Encrypt")
	return &kmsapi.EncryptOutput{CiphertextBlob: blob, KeyId: &k.arn, EncryptionAlgorithm: &algorithm}, nil
}

// encrypt encrypts under k, which the caller may use.
func (s *Service) encrypt(ctx context.Context, k *key, operation, algorithm string, plaintext []byte, context map[string]string) ([]byte, error) {
	if err := k.mustDo(operation, kmsapi.KeyUsageTypeEncryptDecrypt, algorithm); err != nil {
		return nil, err
	}
	if algorithm != symmetricAlgorithm {
		return s.encryptRSA(ctx, k, algorithm, plaintext, context)
	}
	if len(plaintext) > maxPlaintextBytes {
		return nil, invalid("1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to " + strconv.Itoa(maxPlaintextBytes))
	}
	return s.seal(ctx, k, plaintext, context)
}

// seal makes a ciphertext blob under the current material of a symmetric key.
func (s *Service) seal(ctx context.Context, k *key, plaintext []byte, context map[string]string) ([]byte, error) {
	var material secret
	defer material.clear()
	if err := s.fetch(ctx, k, k.material().ID, &material); err != nil {
		return nil, err
	}
	return sealCiphertext(k.name, k.current, material.bytes(), plaintext, context), nil
}

// noteMaterial names a material in the audit event; asymmetric keys have none to name.
func noteMaterial(ctx context.Context, member string, id *string) {
	if id != nil {
		access.AddData(ctx, member, *id)
	}
}

// currentMaterial is the KeyMaterialId of answers, nil for asymmetric keys.
func (k *key) currentMaterial() *string {
	if !k.symmetric() || len(k.Materials) == 0 {
		return nil
	}
	return text(k.material().ID)
}

// Decrypt opens a ciphertext blob made by Encrypt, ReEncrypt or GenerateDataKey…, or
// what was encrypted under an RSA key.
//
// A symmetric key is found from the blob itself; KeyId, when given, must name the
// same key. EncryptionContext is compared byte for byte with the one given at
// encryption, order aside.
//
// Errors: InvalidCiphertextException when the blob or the context does not verify
// (which of the two is not revealed); IncorrectKeyException; a denial that does not
// tell whether the key exists, when KeyId is not given; otherwise as Encrypt.
//
// Source: AWS KMS API Reference, Decrypt; deviations in docs/compat/kms.md.
func (s *Service) Decrypt(ctx context.Context, in *kmsapi.DecryptInput) (*kmsapi.DecryptOutput, error) {
	if in.Recipient != nil {
		return nil, s.refuse(ctx)
	}
	algorithm := valueOr(in.EncryptionAlgorithm, symmetricAlgorithm)
	u := use{
		operation: "Decrypt", need: enabled, context: in.EncryptionContext, tokens: in.GrantTokens,
		extra: algorithmConditions(algorithm),
	}
	if ignoresCiphertext(in.DryRun, in.DryRunModifiers) {
		if err := s.mayDecrypt(ctx, in.KeyId, algorithm, u); err != nil {
			return nil, err
		}
		return nil, dryRun()
	}
	p, err := s.decrypt(ctx, in.KeyId, in.CiphertextBlob, algorithm, u)
	if err != nil {
		return nil, err
	}
	noteMaterial(ctx, "keyMaterialId", p.materialID)
	if isTrue(in.DryRun) {
		clear(p.plaintext)
		return nil, dryRun()
	}
	s.used(ctx, p.key, "Decrypt")
	return &kmsapi.DecryptOutput{
		KeyId: &p.key.arn, Plaintext: p.plaintext, EncryptionAlgorithm: &algorithm, KeyMaterialId: p.materialID,
	}, nil
}

// opened is a plaintext and what opened it. The holder may zero the plaintext.
type opened struct {
	key        *key
	materialID *string // nil with asymmetric keys
	plaintext  []byte
}

// ignoresCiphertext reports whether a request asks for the decision alone.
func ignoresCiphertext(dryRun *bool, modifiers []string) bool {
	return isTrue(dryRun) && slices.Contains(modifiers, kmsapi.DryRunModifierTypeIgnoreCiphertext)
}

// mayDecrypt decides about u, for a key that has to be named, and looks at no ciphertext.
func (s *Service) mayDecrypt(ctx context.Context, keyID *string, algorithm string, u use) error {
	if keyID == nil {
		return s.unnamed(ctx, u, "KeyId is required when the ciphertext is ignored.")
	}
	k, err := s.keyFor(ctx, *keyID, u)
	if err != nil {
		return err
	}
	if !k.symmetric() && len(u.context) > 0 {
		return invalid(noContext)
	}
	return k.mustDo(u.operation, kmsapi.KeyUsageTypeEncryptDecrypt, algorithm)
}

// unnamed refuses a request that has to name a key and does not, to those who may use any.
func (s *Service) unnamed(ctx context.Context, u use, message string) error {
	if err := s.decidePlain(ctx, u.operation, s.keyARN("*"), nil); err != nil {
		return err
	}
	return invalid(message)
}

// decrypt decides about u and opens blob.
func (s *Service) decrypt(ctx context.Context, keyID *string, blob []byte, algorithm string, u use) (opened, error) {
	if blob == nil {
		access.Exempt(ctx) // refused whoever asks
		return opened{}, invalid("1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null")
	}
	if algorithm != symmetricAlgorithm {
		return s.decryptRSA(ctx, keyID, blob, algorithm, u)
	}
	c, parseErr := parseCiphertext(blob)
	k, err := s.ciphertextKey(ctx, keyID, c, parseErr, u)
	if err != nil {
		return opened{}, err
	}
	if err := k.mustSeal(u.operation); err != nil {
		return opened{}, err
	}
	switch {
	case parseErr != nil:
		return opened{}, &kmsapi.InvalidCiphertextException{}
	case c.keyID != k.ID:
		return opened{}, incorrectKey()
	case !k.hasMaterial(c.materialID):
		return opened{}, &kmsapi.InvalidCiphertextException{}
	}
	var material secret
	defer material.clear()
	if err := s.fetch(ctx, k, c.materialID, &material); err != nil {
		return opened{}, err
	}
	plaintext, err := c.open(material.bytes(), u.context)
	if errors.Is(err, errBlob) {
		return opened{}, &kmsapi.InvalidCiphertextException{}
	}
	if err != nil {
		return opened{}, fmt.Errorf("kms: open ciphertext of key %s: %w", k.ID, err)
	}
	return opened{key: k, materialID: &c.materialID, plaintext: plaintext}, nil
}

func incorrectKey() error {
	return &kmsapi.IncorrectKeyException{Message: "The key ID in the request does not identify a CMK that can perform this operation."}
}

// ciphertextKey finds and decides about the key of a blob. The key that a request
// names is decided about before the blob is looked at. What a blob names is told
// only to those who may use it: others cannot tell it from a key that is not there.
func (s *Service) ciphertextKey(ctx context.Context, keyID *string, c ciphertext, parseErr error, u use) (*key, error) {
	if keyID != nil {
		return s.keyFor(ctx, *keyID, u)
	}
	if parseErr != nil {
		access.Exempt(ctx) // it names no key, so there is nothing to decide or to reveal
		return nil, &kmsapi.InvalidCiphertextException{}
	}
	k, err := s.keyFor(ctx, c.keyID, u)
	var missing *kmsapi.NotFoundException
	if denied(err) || errors.As(err, &missing) {
		return nil, &access.Denied{
			Message:  "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.",
			Explicit: explicitly(err),
		}
	}
	return k, err
}

func denied(err error) bool {
	var d *access.Denied
	return errors.As(err, &d)
}

func explicitly(err error) bool {
	var d *access.Denied
	return errors.As(err, &d) && d.Explicit
}

// refuse answers a request for a Nitro enclave: this server has none to seal for,
// and would have to send the plaintext instead.
func (s *Service) refuse(ctx context.Context) error {
	access.Exempt(ctx) // refused whoever asks
	return unsupported("")
}

// ReEncrypt opens a blob and seals its plaintext under another key or context,
// without showing it. It needs kms:ReEncryptFrom on the source key and
// kms:ReEncryptTo on the destination.
//
// Errors: as Decrypt for the source and as Encrypt for the destination.
func (s *Service) ReEncrypt(ctx context.Context, in *kmsapi.ReEncryptInput) (*kmsapi.ReEncryptOutput, error) {
	from := valueOr(in.SourceEncryptionAlgorithm, symmetricAlgorithm)
	to := valueOr(in.DestinationEncryptionAlgorithm, symmetricAlgorithm)
	same := boolText(s.sameKey(in))
	source := use{
		operation: "ReEncryptFrom", need: enabled, context: in.SourceEncryptionContext, tokens: in.GrantTokens,
		extra: map[string][]string{"kms:encryptionalgorithm": {from}, "kms:reencryptonsamekey": {same}},
	}
	destination := use{
		operation: "ReEncryptTo", need: enabled, context: in.DestinationEncryptionContext, tokens: in.GrantTokens,
		extra: map[string][]string{"kms:encryptionalgorithm": {to}, "kms:reencryptonsamekey": {same}},
	}
	if ignoresCiphertext(in.DryRun, in.DryRunModifiers) {
		if err := s.mayDecrypt(ctx, in.SourceKeyId, from, source); err != nil {
			return nil, err
		}
		if err := s.mayDecrypt(ctx, in.DestinationKeyId, to, destination); err != nil {
			return nil, err
		}
		return nil, dryRun()
	}
	p, err := s.decrypt(ctx, in.SourceKeyId, in.CiphertextBlob, from, source)
	if err != nil {
		return nil, err
	}
	defer clear(p.plaintext)
	k, err := s.keyFor(ctx, *in.DestinationKeyId, destination)
	if err != nil {
		return nil, err
	}
	blob, err := s.encrypt(ctx, k, "ReEncryptTo", to, p.plaintext, in.DestinationEncryptionContext)
	if err != nil {
		return nil, err
	}
	noteMaterial(ctx, "sourceKeyMaterialId", p.materialID)
	noteMaterial(ctx, "destinationKeyMaterialId", k.currentMaterial())
	if isTrue(in.DryRun) {
		return nil, dryRun()
	}
	s.used(ctx, p.key, "ReEncrypt")
	s.used(ctx, k, "ReEncrypt")
	return &kmsapi.ReEncryptOutput{
		CiphertextBlob: blob, SourceKeyId: &p.key.arn, KeyId: &k.arn, SourceKeyMaterialId: p.materialID,
		SourceEncryptionAlgorithm: &from, DestinationEncryptionAlgorithm: &to, DestinationKeyMaterialId: k.currentMaterial(),
	}, nil
}

// sameKey reports whether source and destination are one key, for kms:ReEncryptOnSameKey.
func (s *Service) sameKey(in *kmsapi.ReEncryptInput) bool {
	to, err := s.find(parseReference(*in.DestinationKeyId), false)
	if err != nil {
		return false
	}
	if in.SourceKeyId != nil {
		from, err := s.find(parseReference(*in.SourceKeyId), false)
		return err == nil && from.ID == to.ID
	}
	c, err := parseCiphertext(in.CiphertextBlob)
	return err == nil && c.keyID == to.ID
}
