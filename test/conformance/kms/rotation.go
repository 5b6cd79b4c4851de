// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// maxRotations is how often AWS lets a key be rotated on demand.
const maxRotations = 25

func enableRotation(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.EnableKeyRotation, &kms.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: aws.Int32(90)})
}

func disableRotation(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.DisableKeyRotation, &kms.DisableKeyRotationInput{KeyId: &id})
}

func rotationStatus(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.GetKeyRotationStatus, &kms.GetKeyRotationStatusInput{KeyId: &id})
}

func rotate(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.RotateKeyOnDemand, &kms.RotateKeyOnDemandInput{KeyId: &id})
}

func listRotations(c *kit.Clients, id string, marker *string) error {
	return kit.Run(c, c.KMS.ListKeyRotations, &kms.ListKeyRotationsInput{KeyId: &id, Marker: marker})
}

// rotates says whether the key is rotated automatically.
func (k *key) rotates() any {
	k.w.T.Helper()
	out, err := k.w.Admin.KMS.GetKeyRotationStatus(k.w.Admin.Ctx, &kms.GetKeyRotationStatusInput{KeyId: &k.ID})
	k.w.Must(err)
	return out.KeyRotationEnabled
}

// rotations is how often the key was rotated.
func (k *key) rotations() any {
	k.w.T.Helper()
	out, err := k.w.Admin.KMS.ListKeyRotations(k.w.Admin.Ctx, &kms.ListKeyRotationsInput{KeyId: &k.ID})
	k.w.Must(err)
	return len(out.Rotations)
}

// turning is a key that is rotated automatically.
func turning(w *kit.World) *key {
	w.T.Helper()
	k := symmetric(w)
	w.Must(enableRotation(w.Admin, k.ID))
	return k
}

func rotationCases() []kit.Case {
	return []kit.Case{
		{
			Op: "EnableKeyRotation",
			Good: func(w *kit.World) kit.Call {
				k := symmetric(w)
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.rotates, Do: func(c *kit.Clients) error { return enableRotation(c, k.ID) }}
			},
			Errors: flawed(enableRotation, missing, unheardOf, pendingDeletion, switchedOff, ofKind(signing)),
		},
		{
			Op: "DisableKeyRotation",
			Good: func(w *kit.World) kit.Call {
				k := turning(w)
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.rotates, Do: func(c *kit.Clients) error { return disableRotation(c, k.ID) }}
			},
			Errors: flawed(disableRotation, missing, unheardOf, pendingDeletion, switchedOff, ofKind(signing)),
		},
		{
			Op: "GetKeyRotationStatus",
			Good: func(w *kit.World) kit.Call {
				k := turning(w)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.GetKeyRotationStatus, &kms.GetKeyRotationStatusInput{KeyId: &k.ID}, func(o *kms.GetKeyRotationStatusOutput) error {
						return kit.True("every 90 days", o.KeyRotationEnabled && *o.RotationPeriodInDays == 90 && o.NextRotationDate != nil)
					})
				}}
			},
			Errors: flawed(rotationStatus, missing, unheardOf, ofKind(maccing)),
			Never:  map[string]string{"KMSInvalidStateException": anyState},
		},
		{
			Op: "RotateKeyOnDemand",
			Good: func(w *kit.World) kit.Call {
				k := symmetric(w)
				k.seal()
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.rotations, Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.RotateKeyOnDemand, &kms.RotateKeyOnDemandInput{KeyId: &k.ID}, func(o *kms.RotateKeyOnDemandOutput) error {
						if err := kit.Want("key", *o.KeyId, k.ARN); err != nil {
							return err
						}
						return opens(w, k.Blob, nil, plaintext) // what older material sealed
					})
				}}
			},
			Errors: kit.Merge(flawed(rotate, missing, unheardOf, pendingDeletion, switchedOff, ofKind(signing)), kit.Errors{
				"LimitExceededException": func(w *kit.World) error {
					w.Slow()
					k := symmetric(w)
					for range maxRotations {
						w.Must(rotate(w.Admin, k.ID))
					}
					return kit.Saying(rotate(w.Admin, k.ID), "The on-demand rotations limit has been reached for the given keyId.")
				},
			}),
			Never: map[string]string{"ConflictException": "comes within 20 minutes of an automatic rotation, and the shortest period is 90 days"},
		},
		{
			Op: "ListKeyRotations",
			Good: func(w *kit.World) kit.Call {
				k := symmetric(w)
				w.Must(rotate(w.Admin, k.ID))
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.ListKeyRotations, &kms.ListKeyRotationsInput{KeyId: &k.ID}, func(o *kms.ListKeyRotationsOutput) error {
						return kit.True("one on demand", len(o.Rotations) == 1 && o.Rotations[0].RotationType == "ON_DEMAND")
					})
				}}
			},
			Errors: kit.Merge(
				flawed(func(c *kit.Clients, id string) error { return listRotations(c, id, nil) }, missing, unheardOf, ofKind(signing)),
				kit.Errors{"InvalidMarkerException": func(w *kit.World) error {
					return listRotations(w.Admin, shared(w, sealing).ID, aws.String("no marker of ours"))
				}}),
			Never: map[string]string{"KMSInvalidStateException": anyState},
		},
	}
}
