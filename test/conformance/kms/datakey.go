// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"crypto/x509"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func dataKey(c *kit.Clients, u use) error {
	return kit.Run(c, c.KMS.GenerateDataKey, &kms.GenerateDataKeyInput{
		KeyId: u.Key, KeySpec: types.DataKeySpecAes256, GrantTokens: u.Tokens, DryRun: u.DryRun,
	})
}

func sealedDataKey(c *kit.Clients, u use) error {
	return kit.Run(c, c.KMS.GenerateDataKeyWithoutPlaintext, &kms.GenerateDataKeyWithoutPlaintextInput{
		KeyId: u.Key, KeySpec: types.DataKeySpecAes256, GrantTokens: u.Tokens, DryRun: u.DryRun,
	})
}

func pair(c *kit.Clients, u use, spec types.DataKeyPairSpec) error {
	return kit.Run(c, c.KMS.GenerateDataKeyPair, &kms.GenerateDataKeyPairInput{
		KeyId: u.Key, KeyPairSpec: spec, GrantTokens: u.Tokens, DryRun: u.DryRun,
	})
}

func sealedPair(c *kit.Clients, u use, spec types.DataKeyPairSpec) error {
	return kit.Run(c, c.KMS.GenerateDataKeyPairWithoutPlaintext, &kms.GenerateDataKeyPairWithoutPlaintextInput{
		KeyId: u.Key, KeyPairSpec: spec, GrantTokens: u.Tokens, DryRun: u.DryRun,
	})
}

// pairErrors are the errors of making pairs; the curve of China is not offered elsewhere.
func pairErrors(call func(c *kit.Clients, u use, spec types.DataKeyPairSpec) error) kit.Errors {
	return kit.Merge(
		misused(func(c *kit.Clients, u use) error { return call(c, u, types.DataKeyPairSpecEccNistP256) }, sealing, maccing),
		kit.Errors{unsupported: func(w *kit.World) error {
			return call(w.Admin, use{Key: &shared(w, sealing).ID}, types.DataKeyPairSpecSm2)
		}})
}

func dataKeyCases() []kit.Case {
	return []kit.Case{
		{
			Op: "GenerateDataKey",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, sealing)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.GenerateDataKey, &kms.GenerateDataKeyInput{KeyId: &k.ID, KeySpec: types.DataKeySpecAes256}, func(o *kms.GenerateDataKeyOutput) error {
						if err := kit.Want("key", []any{*o.KeyId, len(o.Plaintext)}, []any{k.ARN, 32}); err != nil {
							return err
						}
						return opens(w, o.CiphertextBlob, nil, o.Plaintext)
					})
				}}
			},
			Errors: misused(dataKey, sealing, maccing),
		},
		{
			Op: "GenerateDataKeyWithoutPlaintext",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, sealing)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					in := &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: &k.ID, NumberOfBytes: aws.Int32(7)}
					return kit.Run(c, c.KMS.GenerateDataKeyWithoutPlaintext, in, func(o *kms.GenerateDataKeyWithoutPlaintextOutput) error {
						return kit.Run(w.Admin, w.Admin.KMS.Decrypt, &kms.DecryptInput{CiphertextBlob: o.CiphertextBlob}, func(o *kms.DecryptOutput) error {
							return kit.Want("length", len(o.Plaintext), 7)
						})
					})
				}}
			},
			Errors: misused(sealedDataKey, sealing, maccing),
		},
		{
			Op: "GenerateDataKeyPair",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, sealing)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					in := &kms.GenerateDataKeyPairInput{KeyId: &k.ID, KeyPairSpec: types.DataKeyPairSpecEccNistP256}
					return kit.Run(c, c.KMS.GenerateDataKeyPair, in, func(o *kms.GenerateDataKeyPairOutput) error {
						if _, err := x509.ParsePKCS8PrivateKey(o.PrivateKeyPlaintext); err != nil {
							return err
						}
						if _, err := x509.ParsePKIXPublicKey(o.PublicKey); err != nil {
							return err
						}
						return opens(w, o.PrivateKeyCiphertextBlob, nil, o.PrivateKeyPlaintext)
					})
				}}
			},
			Errors: pairErrors(pair),
		},
		{
			Op: "GenerateDataKeyPairWithoutPlaintext",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, sealing)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					in := &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: &k.ID, KeyPairSpec: types.DataKeyPairSpecEccNistP256}
					return kit.Run(c, c.KMS.GenerateDataKeyPairWithoutPlaintext, in, func(o *kms.GenerateDataKeyPairWithoutPlaintextOutput) error {
						_, err := x509.ParsePKIXPublicKey(o.PublicKey)
						return err
					})
				}}
			},
			Errors: pairErrors(sealedPair),
		},
		{
			Op: "GenerateRandom",
			Good: func(w *kit.World) kit.Call {
				return kit.Call{Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.GenerateRandom, &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1024)},
						func(o *kms.GenerateRandomOutput) error { return kit.Want("length", len(o.Plaintext), 1024) })
				}}
			},
			Errors: kit.Errors{
				"CustomKeyStoreNotFoundException": func(w *kit.World) error {
					return kit.Run(w.Admin, w.Admin.KMS.GenerateRandom, &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1), CustomKeyStoreId: aws.String("cks-conformance")})
				},
			},
			Others: kit.Errors{
				"ValidationException": func(w *kit.World) error {
					return kit.Saying(kit.Run(w.Admin, w.Admin.KMS.GenerateRandom, &kms.GenerateRandomInput{}), "NumberOfBytes is required.")
				},
			},
			Never: map[string]string{
				"CustomKeyStoreInvalidStateException": noStore,
				"UnsupportedOperationException":       "needs the attestation of a Nitro enclave",
			},
		},
	}
}
