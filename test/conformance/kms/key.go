// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

const noStore = "there are no custom key stores"

func createKey(c *kit.Clients, in *kms.CreateKeyInput) error {
	return kit.Run(c, c.KMS.CreateKey, in)
}

// keyCases make and describe keys.
func keyCases() []kit.Case {
	return []kit.Case{
		{
			Op: "CreateKey",
			Good: func(w *kit.World) kit.Call {
				made := 0
				return kit.Call{
					Needs:   []kit.Need{{Resource: "*"}, {Action: "kms:TagResource", Resource: "*"}},
					Changes: func() any { return made },
					Do: func(c *kit.Clients) error {
						in := &kms.CreateKeyInput{
							Description: aws.String("made by a conformance test"),
							Tags:        []types.Tag{{TagKey: aws.String("k"), TagValue: aws.String("v")}},
						}
						return kit.Run(c, c.KMS.CreateKey, in, func(o *kms.CreateKeyOutput) error {
							m := o.KeyMetadata
							made++
							w.Cleanup("key "+*m.KeyId, func(c *kit.Clients) error { return deleteKey(c, *m.KeyId) })
							return kit.Want("key", []any{*m.Arn, m.KeyState, m.KeySpec, m.KeyUsage, m.Origin, m.KeyManager, m.Enabled, *m.MultiRegion},
								[]any{
									w.ARN("kms", "key/"+*m.KeyId), types.KeyStateEnabled, types.KeySpecSymmetricDefault, types.KeyUsageTypeEncryptDecrypt,
									types.OriginTypeAwsKms, types.KeyManagerTypeCustomer, true, false,
								})
						})
					},
				}
			},
			Errors: kit.Errors{
				"MalformedPolicyDocumentException": func(w *kit.World) error {
					return createKey(w.Admin, &kms.CreateKeyInput{Policy: aws.String(`{"Statement": 1}`)})
				},
				"LimitExceededException": func(w *kit.World) error {
					return createKey(w.Admin, &kms.CreateKeyInput{Policy: aws.String(wide(w))})
				},
				"TagException": func(w *kit.World) error {
					tag := types.Tag{TagKey: aws.String("twice"), TagValue: aws.String("v")}
					return kit.Saying(createKey(w.Admin, &kms.CreateKeyInput{Tags: []types.Tag{tag, tag}}), "Duplicate tag keys")
				},
				"UnsupportedOperationException": func(w *kit.World) error {
					return createKey(w.Admin, &kms.CreateKeyInput{KeySpec: types.KeySpecSm2, KeyUsage: types.KeyUsageTypeSignVerify})
				},
			},
			Others: kit.Errors{
				"ValidationException": func(w *kit.World) error {
					return kit.Saying(createKey(w.Admin, &kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048}),
						"You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
				},
			},
			Never: map[string]string{
				"InvalidArnException":                          "takes no ARN",
				"CustomKeyStoreNotFoundException":              noStore,
				"CustomKeyStoreInvalidStateException":          noStore,
				"CloudHsmClusterInvalidConfigurationException": noStore,
				"XksKeyInvalidConfigurationException":          noStore,
				"XksKeyAlreadyInUseException":                  noStore,
				"XksKeyNotFoundException":                      noStore,
			},
		},
		{
			Op: "DescribeKey",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, signing)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.DescribeKey, &kms.DescribeKeyInput{KeyId: &k.ID}, func(o *kms.DescribeKeyOutput) error {
						m := o.KeyMetadata
						return kit.Want("key", []any{*m.Arn, m.KeyState, m.KeySpec, m.KeyUsage, m.SigningAlgorithms[0]},
							[]any{k.ARN, types.KeyStateEnabled, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify, types.SigningAlgorithmSpecEcdsaSha256})
					})
				}}
			},
			Errors: flawed(describeKey, missing, unheardOf),
		},
		{
			Op: "ListKeys",
			Good: func(w *kit.World) kit.Call {
				shared(w, sealing)
				return kit.Call{Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.ListKeys, &kms.ListKeysInput{Limit: aws.Int32(1)}, func(o *kms.ListKeysOutput) error {
						return kit.True("one key and more", len(o.Keys) == 1 && o.Truncated && o.NextMarker != nil)
					})
				}}
			},
			Errors: foreignMarker(func(c *kit.Clients, marker *string) error {
				return kit.Run(c, c.KMS.ListKeys, &kms.ListKeysInput{Marker: marker})
			}),
		},
		{
			Op: "UpdateKeyDescription",
			Good: func(w *kit.World) kit.Call {
				k := symmetric(w)
				return kit.Call{
					Needs:   kit.On(k.ARN),
					Changes: func() any { return *k.metadata().Description },
					Do:      func(c *kit.Clients) error { return updateDescription(c, k.ID) },
				}
			},
			Errors: flawed(updateDescription, missing, unheardOf, pendingDeletion),
		},
		{
			Op: "GetKeyLastUsage",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, sealing)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.GetKeyLastUsage, &kms.GetKeyLastUsageInput{KeyId: &k.ID}, func(o *kms.GetKeyLastUsageOutput) error {
						return kit.True("tracked since it was created", o.KeyCreationDate != nil && o.TrackingStartDate != nil)
					})
				}}
			},
			Errors: flawed(lastUsage, missing, unheardOf),
		},
	}
}

func describeKey(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.DescribeKey, &kms.DescribeKeyInput{KeyId: &id})
}

func updateDescription(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.UpdateKeyDescription, &kms.UpdateKeyDescriptionInput{KeyId: &id, Description: aws.String("another")})
}

func lastUsage(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.GetKeyLastUsage, &kms.GetKeyLastUsageInput{KeyId: &id})
}

// wide is a key policy of more than 32 KiB, in which all but its length is good.
func wide(w *kit.World) string {
	return keyPolicy(w, strings.Repeat("x", 33<<10))
}
