// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"fmt"
	"slices"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

// GetAccountSummary counts what there is, and names the quotas.
func (s *Service) GetAccountSummary(ctx context.Context, _ *iamapi.GetAccountSummaryInput) (*iamapi.GetAccountSummaryOutput, error) {
	if err := s.allow(ctx, "GetAccountSummary", "*", conditions{}); err != nil {
		return nil, err
	}
	v := s.view()
	m := map[string]int64{
		iamapi.SummaryKeyTypeAccessKeysPerUserQuota:        maxAccessKeys,
		iamapi.SummaryKeyTypeAccountAccessKeysPresent:      int64(min(1, len(v.keysOf("")))),
		iamapi.SummaryKeyTypeAccountMFAEnabled:             0,
		iamapi.SummaryKeyTypeMFADevices:                    0,
		iamapi.SummaryKeyTypeMFADevicesInUse:               0,
		iamapi.SummaryKeyTypeAttachedPoliciesPerGroupQuota: maxAttached,
		iamapi.SummaryKeyTypeAttachedPoliciesPerRoleQuota:  maxAttached,
		iamapi.SummaryKeyTypeAttachedPoliciesPerUserQuota:  maxAttached,
		iamapi.SummaryKeyTypeGroupPolicySizeQuota:          maxGroupInline,
		iamapi.SummaryKeyTypeGroupsPerUserQuota:            maxGroupsPerUser,
		iamapi.SummaryKeyTypePolicySizeQuota:               maxManagedPolicy,
		iamapi.SummaryKeyTypeUserPolicySizeQuota:           maxUserInline,
		iamapi.SummaryKeyTypeVersionsPerPolicyQuota:        maxVersions,
		iamapi.SummaryKeyTypePolicies:                      int64(len(v.policyNames)),
		"AssumeRolePolicySizeQuota":                        maxTrustPolicy,
		"RolePolicySizeQuota":                              maxRoleInline,
	}
	m["Providers"] = int64(len(v.providers))
	counts := map[kind]string{userKind: iamapi.SummaryKeyTypeUsers, groupKind: iamapi.SummaryKeyTypeGroups, roleKind: "Roles"}
	for k, name := range counts {
		m[name] = int64(len(v.all(k, "")))
	}
	for _, arn := range v.policyNames {
		m[iamapi.SummaryKeyTypePolicyVersionsInUse] += int64(len(v.policies[arn].versions))
	}
	return &iamapi.GetAccountSummaryOutput{SummaryMap: m}, nil
}

// ListAccountAliases lists the account's alias, if it has one.
func (s *Service) ListAccountAliases(ctx context.Context, _ *iamapi.ListAccountAliasesInput) (*iamapi.ListAccountAliasesOutput, error) {
	if err := s.allow(ctx, "ListAccountAliases", "*", conditions{}); err != nil {
		return nil, err
	}
	aliases := orEmpty(slices.Clone(s.view().state.Aliases))
	return &iamapi.ListAccountAliasesOutput{AccountAliases: aliases, IsTruncated: new(false)}, nil
}

// CreateAccountAlias gives the account an alias in place of the one it had.
//
// Errors: EntityAlreadyExistsException when it has this one.
func (s *Service) CreateAccountAlias(ctx context.Context, in *iamapi.CreateAccountAliasInput) (*iamapi.CreateAccountAliasOutput, error) {
	err := s.update(ctx, func(c *change) error {
		if err := s.allow(ctx, "CreateAccountAlias", "*", conditions{}); err != nil {
			return err
		}
		if slices.Contains(c.state.Aliases, *in.AccountAlias) {
			return &iamapi.EntityAlreadyExistsException{Message: fmt.Sprintf("The account alias %s already exists.", *in.AccountAlias)}
		}
		c.state.Aliases = []string{*in.AccountAlias}
		c.touch()
		return nil
	})
	return &iamapi.CreateAccountAliasOutput{}, err
}

// DeleteAccountAlias takes the account's alias away.
//
// Errors: NoSuchEntityException.
func (s *Service) DeleteAccountAlias(ctx context.Context, in *iamapi.DeleteAccountAliasInput) (*iamapi.DeleteAccountAliasOutput, error) {
	err := s.update(ctx, func(c *change) error {
		if err := s.allow(ctx, "DeleteAccountAlias", "*", conditions{}); err != nil {
			return err
		}
		if !slices.Contains(c.state.Aliases, *in.AccountAlias) {
			return &iamapi.NoSuchEntityException{
				Message: fmt.Sprintf("The account alias with name %s cannot be found.", *in.AccountAlias),
			}
		}
		c.state.Aliases = nil
		c.touch()
		return nil
	})
	return &iamapi.DeleteAccountAliasOutput{}, err
}
