// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// notAllowed is what AWS says of a ciphertext whose key the caller may not use: it does not tell whether there is one.
const notAllowed = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."

// wrongKey is what AWS says of a ciphertext of another key than was named.
const wrongKey = "The key ID in the request does not identify a CMK that can perform this operation."

func encrypt(c *kit.Clients, u use) error {
	return kit.Run(c, c.KMS.Encrypt, &kms.EncryptInput{KeyId: u.Key, Plaintext: plaintext, GrantTokens: u.Tokens, DryRun: u.DryRun})
}

// opens checks that a ciphertext is of the plaintext, as the administrator.
func opens(w *kit.World, blob []byte, context map[string]string, want []byte) error {
	return kit.Run(w.Admin, w.Admin.KMS.Decrypt, &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: context}, func(o *kms.DecryptOutput) error {
		return kit.True("the plaintext came back", bytes.Equal(o.Plaintext, want))
	})
}

func encryptCases() []kit.Case {
	context := map[string]string{"camera": "front-door"}
	return []kit.Case{
		{
			Op: "Encrypt",
			Good: func(w *kit.World) kit.Call {
				k := symmetric(w)
				name, _ := newAlias(w, k)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					in := &kms.EncryptInput{KeyId: &name, Plaintext: plaintext, EncryptionContext: context}
					return kit.Run(c, c.KMS.Encrypt, in, func(o *kms.EncryptOutput) error {
						if err := kit.Want("key", *o.KeyId, k.ARN); err != nil {
							return err
						}
						return opens(w, o.CiphertextBlob, context, plaintext)
					})
				}}
			},
			Errors: misused(encrypt, sealing, signing),
			Others: kit.Errors{
				"ValidationException": func(w *kit.World) error {
					return kit.Saying(kit.Run(w.Admin, w.Admin.KMS.Encrypt, &kms.EncryptInput{KeyId: &shared(w, sealing).ID, Plaintext: make([]byte, 4097)}),
						"1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096")
				},
			},
		},
		decryptCase(context),
		reEncryptCase(context),
	}
}

func decryptCase(context map[string]string) kit.Case {
	decrypt := func(w *kit.World, in *kms.DecryptInput) error { return kit.Run(w.Admin, w.Admin.KMS.Decrypt, in) }
	return kit.Case{
		Op: "Decrypt",
		Good: func(w *kit.World) kit.Call {
			k := shared(w, sealing)
			out, err := w.Admin.KMS.Encrypt(w.Admin.Ctx, &kms.EncryptInput{KeyId: &k.ID, Plaintext: plaintext, EncryptionContext: context})
			w.Must(err)
			return kit.Call{
				Needs: []kit.Need{{Resource: k.ARN, Text: notAllowed}},
				Do: func(c *kit.Clients) error {
					in := &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob, EncryptionContext: context}
					return kit.Run(c, c.KMS.Decrypt, in, func(o *kms.DecryptOutput) error {
						return kit.Want("answer", []string{*o.KeyId, string(o.Plaintext)}, []string{k.ARN, string(plaintext)})
					})
				},
			}
		},
		Errors: kit.Errors{
			"NotFoundException": func(w *kit.World) error {
				return decrypt(w, &kms.DecryptInput{KeyId: aws.String(absentID), CiphertextBlob: shared(w, sealing).Blob})
			},
			"DisabledException": func(w *kit.World) error {
				return decrypt(w, &kms.DecryptInput{CiphertextBlob: shared(w, asleep).Blob})
			},
			"KMSInvalidStateException": func(w *kit.World) error {
				return decrypt(w, &kms.DecryptInput{CiphertextBlob: shared(w, condemned).Blob})
			},
			"InvalidCiphertextException": func(w *kit.World) error {
				return decrypt(w, &kms.DecryptInput{CiphertextBlob: shared(w, sealing).Blob, EncryptionContext: map[string]string{"camera": "back-door"}})
			},
			"IncorrectKeyException": func(w *kit.World) error {
				return kit.Saying(decrypt(w, &kms.DecryptInput{KeyId: &symmetric(w).ID, CiphertextBlob: shared(w, sealing).Blob}), wrongKey)
			},
			"InvalidKeyUsageException": func(w *kit.World) error {
				return decrypt(w, &kms.DecryptInput{
					KeyId: &shared(w, signing).ID, CiphertextBlob: plaintext, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256,
				})
			},
			"InvalidGrantTokenException": func(w *kit.World) error {
				return decrypt(w, &kms.DecryptInput{CiphertextBlob: shared(w, sealing).Blob, GrantTokens: []string{"no token of ours"}})
			},
			"DryRunOperationException": func(w *kit.World) error {
				return dry(decrypt(w, &kms.DecryptInput{CiphertextBlob: shared(w, sealing).Blob, DryRun: aws.Bool(true)}))
			},
		},
	}
}

func reEncryptCase(context map[string]string) kit.Case {
	// again re-encrypts a blob under a key, with one thing changed.
	again := func(w *kit.World, from *key, change func(in *kms.ReEncryptInput)) error {
		in := &kms.ReEncryptInput{CiphertextBlob: from.Blob, DestinationKeyId: &shared(w, sealing).ID}
		change(in)
		return kit.Run(w.Admin, w.Admin.KMS.ReEncrypt, in)
	}
	same := func(*kms.ReEncryptInput) {}
	return kit.Case{
		Op: "ReEncrypt",
		Good: func(w *kit.World) kit.Call {
			from, to := shared(w, sealing), symmetric(w)
			return kit.Call{
				Needs: []kit.Need{{Action: "kms:ReEncryptFrom", Resource: from.ARN, Text: notAllowed}, {Action: "kms:ReEncryptTo", Resource: to.ARN}},
				Do: func(c *kit.Clients) error {
					in := &kms.ReEncryptInput{CiphertextBlob: from.Blob, DestinationKeyId: &to.ID, DestinationEncryptionContext: context}
					return kit.Run(c, c.KMS.ReEncrypt, in, func(o *kms.ReEncryptOutput) error {
						if err := kit.Want("keys", []string{*o.SourceKeyId, *o.KeyId}, []string{from.ARN, to.ARN}); err != nil {
							return err
						}
						return opens(w, o.CiphertextBlob, context, plaintext)
					})
				},
			}
		},
		Errors: kit.Errors{
			"NotFoundException": func(w *kit.World) error {
				return again(w, shared(w, sealing), func(in *kms.ReEncryptInput) { in.DestinationKeyId = aws.String(absentID) })
			},
			"DisabledException":        func(w *kit.World) error { return again(w, shared(w, asleep), same) },
			"KMSInvalidStateException": func(w *kit.World) error { return again(w, shared(w, condemned), same) },
			"InvalidCiphertextException": func(w *kit.World) error {
				return again(w, shared(w, sealing), func(in *kms.ReEncryptInput) { in.SourceEncryptionContext = context })
			},
			"IncorrectKeyException": func(w *kit.World) error {
				other := symmetric(w)
				return kit.Saying(again(w, shared(w, sealing), func(in *kms.ReEncryptInput) { in.SourceKeyId = &other.ID }), wrongKey)
			},
			"InvalidKeyUsageException": func(w *kit.World) error {
				k := shared(w, maccing)
				return again(w, shared(w, sealing), func(in *kms.ReEncryptInput) { in.DestinationKeyId = &k.ID })
			},
			"InvalidGrantTokenException": func(w *kit.World) error {
				return again(w, shared(w, sealing), func(in *kms.ReEncryptInput) { in.GrantTokens = []string{"no token of ours"} })
			},
			"DryRunOperationException": func(w *kit.World) error {
				return dry(again(w, shared(w, sealing), func(in *kms.ReEncryptInput) { in.DryRun = aws.Bool(true) }))
			},
		},
	}
}
