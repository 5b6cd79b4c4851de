// SPDX-License-Identifier: Apache-2.0

package kms

import (
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// need says in which states of its key an operation works.
//
// Source: KMS Developer Guide, "Key states of AWS KMS keys".
type need int

const (
	// anyState: DescribeKey, key policies, lists, RetireGrant, RevokeGrant, DeleteAlias.
	anyState need = iota
	// settled: EnableKey, DisableKey.
	settled
	// notPending: what alters a key that is to stay:
	// ScheduleKeyDeletion, UpdateKeyDescription, tags, an alias's new target.
	notPending
	// enabled: all cryptography, CreateGrant, GetPublicKey, rotation.
	enabled
	// pending: CancelKeyDeletion.
	pending
)

// check returns the error of an operation with that need: DisabledException or
// KMSInvalidStateException.
func (k *key) check(n need) error {
	state := k.State
	switch {
	case n == pending && state != kmsapi.KeyStatePendingDeletion && state != kmsapi.KeyStatePendingReplicaDeletion:
		return invalidState(k.arn + " is not pending deletion.")
	case n == anyState || n == pending || state == kmsapi.KeyStateEnabled:
		return nil
	case state == kmsapi.KeyStatePendingDeletion:
		return invalidState(k.arn + " is pending deletion.")
	case state == kmsapi.KeyStatePendingReplicaDeletion:
		return invalidState(k.arn + " is pending replica deletion.")
	case state == kmsapi.KeyStatePendingImport:
		if n == notPending {
			return nil
		}
		return invalidState(k.arn + " is pending import.")
	case state == kmsapi.KeyStateDisabled:
		if n == notPending || n == settled {
			return nil
		}
		return &kmsapi.DisabledException{Message: k.arn + " is disabled."}
	}
	return invalidState(k.arn + " is " + state + ".")
}
