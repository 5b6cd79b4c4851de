// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// primary makes a multi-Region key without replicas.
func primary(w *kit.World) *key {
	w.T.Helper()
	return newKey(w, &kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
}

// replicated makes a multi-Region key with a replica in the other Region.
func replicated(w *kit.World) *key {
	w.T.Helper()
	k := primary(w)
	w.Must(replicate(w.Admin, w, k.ID))
	k.sparedAbroad()
	w.Must(w.Eventually(func() error {
		out, err := w.Admin.Abroad().KMS.DescribeKey(w.Admin.Ctx, &kms.DescribeKeyInput{KeyId: &k.ID})
		if err != nil {
			return err
		}
		return kit.Want("state of the replica", out.KeyMetadata.KeyState, types.KeyStateEnabled)
	}, func(error) bool { return true }))
	return k
}

// sparedAbroad has the replica deleted at the end, which it must be for its primary to go.
func (k *key) sparedAbroad() {
	k.w.Cleanup("replica "+k.ID, func(c *kit.Clients) error { return deleteKey(c.Abroad(), k.ID) })
}

// abroadARN is the ARN that the key's replica has, or would have.
func (k *key) abroadARN() string {
	return "arn:aws:kms:" + k.w.OtherRegion + ":" + k.w.Account + ":key/" + k.ID
}

// replicas are the Regions of the key's replicas.
func (k *key) replicas() any {
	k.w.T.Helper()
	regions := []string{}
	for _, r := range k.metadata().MultiRegionConfiguration.ReplicaKeys {
		regions = append(regions, *r.Region)
	}
	return regions
}

func replicate(c *kit.Clients, w *kit.World, id string) error {
	return kit.Run(c, c.KMS.ReplicateKey, &kms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: &w.OtherRegion})
}

// replicateWith replicates a new key with one thing changed.
func replicateWith(change func(w *kit.World, in *kms.ReplicateKeyInput)) func(w *kit.World) error {
	return func(w *kit.World) error {
		in := &kms.ReplicateKeyInput{KeyId: &primary(w).ID, ReplicaRegion: &w.OtherRegion}
		change(w, in)
		return kit.Run(w.Admin, w.Admin.KMS.ReplicateKey, in)
	}
}

func movePrimary(c *kit.Clients, w *kit.World, id string) error {
	return kit.Run(c, c.KMS.UpdatePrimaryRegion, &kms.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: &w.OtherRegion})
}

// inRegions is an operation that needs a Region, of a world that is known when it is called.
func inRegions(call func(c *kit.Clients, w *kit.World, id string) error, flaws ...flaw) kit.Errors {
	all := kit.Errors{}
	for _, f := range flaws {
		for code := range f(nil) {
			all[code] = func(w *kit.World) error {
				return f(func(c *kit.Clients, id string) error { return call(c, w, id) })[code](w)
			}
		}
	}
	return all
}

// replicaCases are about keys in two Regions.
func replicaCases() []kit.Case {
	return []kit.Case{
		{
			Op: "ReplicateKey",
			Good: func(w *kit.World) kit.Call {
				k := primary(w)
				k.sparedAbroad()
				return kit.Call{
					Needs:   []kit.Need{{Resource: k.ARN}, {Action: "kms:CreateKey", Resource: "*"}},
					Changes: k.replicas,
					Do: func(c *kit.Clients) error {
						in := &kms.ReplicateKeyInput{KeyId: &k.ID, ReplicaRegion: &w.OtherRegion}
						return kit.Run(c, c.KMS.ReplicateKey, in, func(o *kms.ReplicateKeyOutput) error {
							m := o.ReplicaKeyMetadata
							return kit.Want("replica", []any{*m.Arn, *m.KeyId, m.MultiRegionConfiguration.MultiRegionKeyType, *m.MultiRegionConfiguration.PrimaryKey.Arn},
								[]any{k.abroadARN(), k.ID, types.MultiRegionKeyTypeReplica, k.ARN})
						})
					},
				}
			},
			Errors: kit.Merge(inRegions(replicate, missing, unheardOf, pendingDeletion, switchedOff), kit.Errors{
				unsupported: func(w *kit.World) error {
					k := shared(w, sealing)
					return kit.Saying(replicate(w.Admin, w, k.ID), k.ARN+" is not a multi-region primary key.")
				},
				"AlreadyExistsException": func(w *kit.World) error { return replicate(w.Admin, w, replicated(w).ID) },
				"MalformedPolicyDocumentException": replicateWith(func(_ *kit.World, in *kms.ReplicateKeyInput) {
					in.Policy = aws.String(`{"Statement": 1}`)
				}),
				"LimitExceededException": replicateWith(func(w *kit.World, in *kms.ReplicateKeyInput) { in.Policy = aws.String(wide(w)) }),
				"TagException": replicateWith(func(_ *kit.World, in *kms.ReplicateKeyInput) {
					in.Tags = []types.Tag{{TagKey: aws.String("aws:mine"), TagValue: aws.String("v")}}
				}),
			}),
		},
		{
			Op: "UpdatePrimaryRegion",
			Good: func(w *kit.World) kit.Call {
				k := replicated(w)
				return kit.Call{
					Needs:   []kit.Need{{Resource: k.ARN}, {Resource: k.abroadARN()}},
					Changes: func() any { return *k.metadata().MultiRegionConfiguration.PrimaryKey.Region },
					Do:      func(c *kit.Clients) error { return movePrimary(c, w, k.ID) },
				}
			},
			Errors: kit.Merge(inRegions(movePrimary, missing, unheardOf, pendingDeletion, switchedOff), kit.Errors{
				unsupported: func(w *kit.World) error {
					k := shared(w, sealing)
					return kit.Saying(movePrimary(w.Admin, w, k.ID), k.ARN+" is not a multi-region primary key.")
				},
			}),
		},
	}
}
