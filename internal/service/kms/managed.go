// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"slices"
	"strings"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

const managedAliasPrefix = "alias/aws/"

// managedService returns the service whose AWS managed key has that alias.
func (s *Service) managedService(alias string) (string, bool) {
	service, ok := strings.CutPrefix(alias, managedAliasPrefix)
	return service, ok && slices.Contains(s.cfg.ManagedFor, service)
}

// unbornKey returns a service's AWS managed key before it exists, so that its use
// can be decided first and only a permitted one makes it.
func (s *Service) unbornKey(service string) (*key, error) {
	name := newKeyName(false)
	k, err := s.compile(record{
		Version:     recordVersion,
		ID:          name.String(),
		Created:     s.cfg.Now().UTC(),
		Description: "Default key that protects my " + service + " data when no other key is defined",
		Spec:        kmsapi.KeySpecSymmetricDefault,
		Usage:       kmsapi.KeyUsageTypeEncryptDecrypt,
		State:       kmsapi.KeyStateEnabled,
		ManagedFor:  service,
		Policy:      s.managedPolicy(service),
	}, []string{managedAliasPrefix + service})
	if err != nil {
		return nil, err
	}
	k.unborn = true
	return k, nil
}

// bear writes an unborn key, unless another request was faster, and returns what is there.
func (s *Service) bear(ctx context.Context, k *key) (*key, error) {
	secret := randomSecret(symmetricBytes)
	defer clear(secret)
	fresh := newMaterial(k.ID, secret)
	id, alias := k.ID, k.aliases[0]
	err := s.mutate(ctx, func(time.Time) (edit, error) {
		if other, ok := s.view.aliasTarget(alias); ok {
			id = other
			return edit{}, nil
		}
		r := k.record
		r.Materials = []materialRecord{{ID: fresh.id, Created: r.Created}}
		r.RotationDays = defaultRotationDays
		r.NextRotation = r.Created.AddDate(0, 0, defaultRotationDays)
		return edit{
			keys:      []record{r},
			aliases:   []aliasRecord{{Version: recordVersion, Name: alias, KeyID: r.ID, Created: r.Created, Updated: r.Created}},
			materials: []material{fresh},
		}, nil
	})
	if err != nil {
		return nil, err
	}
	return s.again(id, anyState, s.cfg.Now())
}

// managedPolicy lets everyone in the account use the key, but only through its
// service, and lets the account look at it. Nothing lets anyone alter it.
//
// Source: KMS Developer Guide, "AWS managed keys" and the policies shown there.
func (s *Service) managedPolicy(service string) string {
	return `{
  "Version" : "2012-10-17",
  "Id" : "auto-` + service + `-1",
  "Statement" : [ {
    "Sid" : "Allow access through ` + service + ` for all principals in the account that are authorized to use ` + service + `",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey" ],
    "Resource" : "*",
    "Condition" : {
      "StringEquals" : {
        "kms:ViaService" : "` + service + `.` + s.cfg.Region + `.amazonaws.com",
        "kms:CallerAccount" : "` + s.cfg.Account + `"
      }
    }
  }, {
    "Sid" : "Allow direct access to key metadata to the account",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "` + s.accountRoot() + `"
    },
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
    "Resource" : "*"
  } ]
}`
}
