// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// stateCases move keys from one state to another.
func stateCases() []kit.Case {
	return []kit.Case{
		{
			Op: "EnableKey",
			Good: func(w *kit.World) kit.Call {
				k := disabled(w)
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.state, Do: func(c *kit.Clients) error { return enableKey(c, k.ID) }}
			},
			Errors: flawed(enableKey, missing, unheardOf, pendingDeletion),
			Never:  map[string]string{"LimitExceededException": "the quota of 100,000 keys counts disabled ones too"},
		},
		{
			Op: "DisableKey",
			Good: func(w *kit.World) kit.Call {
				k := symmetric(w)
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.state, Do: func(c *kit.Clients) error { return disableKey(c, k.ID) }}
			},
			Errors: flawed(disableKey, missing, unheardOf, pendingDeletion),
		},
		{
			Op: "ScheduleKeyDeletion",
			Good: func(w *kit.World) kit.Call {
				k := symmetric(w)
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.state, Do: func(c *kit.Clients) error {
					in := &kms.ScheduleKeyDeletionInput{KeyId: &k.ID, PendingWindowInDays: aws.Int32(7)}
					return kit.Run(c, c.KMS.ScheduleKeyDeletion, in, func(o *kms.ScheduleKeyDeletionOutput) error {
						left := time.Until(*o.DeletionDate)
						if err := kit.True("deleted in seven days", left > 6*24*time.Hour && left < 8*24*time.Hour); err != nil {
							return err
						}
						return kit.Want("answer", []any{*o.KeyId, o.KeyState, *o.PendingWindowInDays}, []any{k.ARN, types.KeyStatePendingDeletion, int32(7)})
					})
				}}
			},
			Errors: flawed(scheduleDeletion, missing, unheardOf, pendingDeletion),
		},
		{
			Op: "CancelKeyDeletion",
			Good: func(w *kit.World) kit.Call {
				k := dying(w)
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.state, Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.CancelKeyDeletion, &kms.CancelKeyDeletionInput{KeyId: &k.ID}, func(o *kms.CancelKeyDeletionOutput) error {
						if err := kit.Want("state after it", k.state(), types.KeyStateDisabled); err != nil {
							return err
						}
						return kit.Want("key", *o.KeyId, k.ARN)
					})
				}}
			},
			Errors: kit.Merge(flawed(cancelDeletion, missing, unheardOf), kit.Errors{
				"KMSInvalidStateException": func(w *kit.World) error {
					k := shared(w, sealing)
					return kit.Saying(cancelDeletion(w.Admin, k.ID), k.ARN+" is not pending deletion.")
				},
			}),
		},
	}
}

func enableKey(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.EnableKey, &kms.EnableKeyInput{KeyId: &id})
}

func disableKey(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.DisableKey, &kms.DisableKeyInput{KeyId: &id})
}

func scheduleDeletion(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: &id})
}

func cancelDeletion(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.CancelKeyDeletion, &kms.CancelKeyDeletionInput{KeyId: &id})
}
