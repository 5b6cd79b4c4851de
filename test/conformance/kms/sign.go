// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

const ecdsa256 = types.SigningAlgorithmSpecEcdsaSha256

func sign(c *kit.Clients, u use) error {
	return kit.Run(c, c.KMS.Sign, &kms.SignInput{KeyId: u.Key, Message: plaintext, SigningAlgorithm: ecdsa256, GrantTokens: u.Tokens, DryRun: u.DryRun})
}

func verify(c *kit.Clients, u use) error { return verifySignature(c, u, []byte("none")) }

func verifySignature(c *kit.Clients, u use, signature []byte) error {
	return kit.Run(c, c.KMS.Verify, &kms.VerifyInput{
		KeyId: u.Key, Message: plaintext, Signature: signature, SigningAlgorithm: ecdsa256, GrantTokens: u.Tokens, DryRun: u.DryRun,
	})
}

func derive(c *kit.Clients, u use, peer []byte) error {
	return kit.Run(c, c.KMS.DeriveSharedSecret, &kms.DeriveSharedSecretInput{
		KeyId: u.Key, PublicKey: peer, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh, GrantTokens: u.Tokens, DryRun: u.DryRun,
	})
}

func getPublic(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.GetPublicKey, &kms.GetPublicKeyInput{KeyId: &id})
}

// public is the key's public key, DER.
func (k *key) public() []byte {
	k.w.T.Helper()
	out, err := k.w.Admin.KMS.GetPublicKey(k.w.Admin.Ctx, &kms.GetPublicKeyInput{KeyId: &k.ID})
	k.w.Must(err)
	return out.PublicKey
}

// signature is the key's over the plaintext.
func (k *key) signature() []byte {
	k.w.T.Helper()
	out, err := k.w.Admin.KMS.Sign(k.w.Admin.Ctx, &kms.SignInput{KeyId: &k.ID, Message: plaintext, SigningAlgorithm: ecdsa256})
	k.w.Must(err)
	return out.Signature
}

// checks verifies a signature over the plaintext outside of the KMS.
func checks(public, signature []byte) error {
	parsed, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("the public key is %T", parsed)
	}
	digest := sha256.Sum256(plaintext)
	return kit.True("the signature verifies", ecdsa.VerifyASN1(key, digest[:], signature))
}

func signCases() []kit.Case {
	return []kit.Case{
		{
			Op: "Sign",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, signing)
				public := k.public()
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					in := &kms.SignInput{KeyId: &k.ID, Message: plaintext, SigningAlgorithm: ecdsa256}
					return kit.Run(c, c.KMS.Sign, in, func(o *kms.SignOutput) error {
						if err := kit.Want("key", []any{*o.KeyId, o.SigningAlgorithm}, []any{k.ARN, ecdsa256}); err != nil {
							return err
						}
						return checks(public, o.Signature)
					})
				}}
			},
			Errors: misused(sign, signing, sealing),
			Others: kit.Errors{
				"ValidationException": func(w *kit.World) error {
					in := &kms.SignInput{KeyId: &shared(w, signing).ID, Message: plaintext, MessageType: types.MessageTypeDigest, SigningAlgorithm: ecdsa256}
					return kit.Saying(kit.Run(w.Admin, w.Admin.KMS.Sign, in), "Digest is invalid length for algorithm ECDSA_SHA_256.")
				},
			},
		},
		{
			Op: "Verify",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, signing)
				signature := k.signature()
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					in := &kms.VerifyInput{KeyId: &k.ID, Message: plaintext, Signature: signature, SigningAlgorithm: ecdsa256}
					return kit.Run(c, c.KMS.Verify, in, func(o *kms.VerifyOutput) error {
						return kit.Want("answer", []any{*o.KeyId, o.SignatureValid, o.SigningAlgorithm}, []any{k.ARN, true, ecdsa256})
					})
				}}
			},
			Errors: kit.Merge(misused(verify, signing, sealing), kit.Errors{
				"DryRunOperationException": func(w *kit.World) error {
					k := shared(w, signing)
					return dry(verifySignature(w.Admin, use{Key: &k.ID, DryRun: aws.Bool(true)}, k.signature()))
				},
				"KMSInvalidSignatureException": func(w *kit.World) error { return verify(w.Admin, use{Key: &shared(w, signing).ID}) },
			}),
		},
		{
			Op: "GetPublicKey",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, signing)
				signature := k.signature()
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.GetPublicKey, &kms.GetPublicKeyInput{KeyId: &k.ID}, func(o *kms.GetPublicKeyOutput) error {
						if err := kit.Want("key", []any{*o.KeyId, o.KeySpec, o.KeyUsage, o.SigningAlgorithms},
							[]any{k.ARN, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify, []types.SigningAlgorithmSpec{ecdsa256}}); err != nil {
							return err
						}
						return checks(o.PublicKey, signature)
					})
				}}
			},
			Errors: kit.Merge(flawed(getPublic, missing, unheardOf, pendingDeletion, switchedOff, ofKind(sealing)), kit.Errors{
				"InvalidGrantTokenException": func(w *kit.World) error {
					return kit.Run(w.Admin, w.Admin.KMS.GetPublicKey, &kms.GetPublicKeyInput{KeyId: &shared(w, signing).ID, GrantTokens: []string{"no token of ours"}})
				},
			}),
			Never: map[string]string{"InvalidKeyUsageException": "every usage of an asymmetric key has a public key"},
		},
		{
			Op: "DeriveSharedSecret",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, agreeing)
				peer := k.public()
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					in := &kms.DeriveSharedSecretInput{KeyId: &k.ID, PublicKey: peer, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh}
					return kit.Run(c, c.KMS.DeriveSharedSecret, in, func(o *kms.DeriveSharedSecretOutput) error {
						return kit.Want("answer", []any{*o.KeyId, len(o.SharedSecret), o.KeyOrigin}, []any{k.ARN, 32, types.OriginTypeAwsKms})
					})
				}}
			},
			Errors: deriveErrors(),
		},
	}
}

// deriveErrors bring a peer's key of the right curve, for a dry run looks at it.
func deriveErrors() kit.Errors {
	all := misused(func(c *kit.Clients, u use) error { return derive(c, u, plaintext) }, agreeing, signing)
	all["DryRunOperationException"] = func(w *kit.World) error {
		k := shared(w, agreeing)
		return dry(derive(w.Admin, use{Key: &k.ID, DryRun: aws.Bool(true)}, k.public()))
	}
	return all
}
