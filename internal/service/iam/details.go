// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"maps"
	"slices"
	"strings"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

// A detail is one item of GetAccountAuthorizationDetails: an entity or a managed policy.
type detail struct {
	entity *entity
	policy *managedPolicy
}

// filter is the value of EntityType under which the item is listed.
func (d detail) filter() string {
	switch {
	case d.entity != nil:
		return d.entity.Kind.title()
	case d.policy.awsOwned():
		return iamapi.EntityTypeAWSManagedPolicy
	}
	return iamapi.EntityTypeLocalManagedPolicy
}

func (d detail) order() string {
	if d.entity != nil {
		return d.filter() + "/" + entityOrder(d.entity)
	}
	return d.filter() + "/" + policyOrder(d.policy)
}

// details lists every entity and policy that the filter lets through; AWS-managed policies when they are attached.
func (v *view) details(filter []string, attached map[string]int64) []detail {
	var out []detail
	for _, e := range v.entities {
		out = append(out, detail{entity: e})
	}
	for _, p := range v.policies {
		if !p.awsOwned() || attached[p.ARN] > 0 {
			out = append(out, detail{policy: p})
		}
	}
	if len(filter) > 0 {
		out = slices.DeleteFunc(out, func(d detail) bool { return !slices.Contains(filter, d.filter()) })
	}
	slices.SortFunc(out, func(a, b detail) int { return strings.Compare(a.order(), b.order()) })
	return out
}

// GetAccountAuthorizationDetails lists users, groups, roles and managed policies with all their policies: what
// it takes to audit the account.
func (s *Service) GetAccountAuthorizationDetails(ctx context.Context, in *iamapi.GetAccountAuthorizationDetailsInput) (*iamapi.GetAccountAuthorizationDetailsOutput, error) {
	if err := s.allow(ctx, "GetAccountAuthorizationDetails", "*", conditions{}); err != nil {
		return nil, err
	}
	v := s.view()
	attached, boundary := v.uses()
	part, truncated, next, err := page(v.details(in.Filter, attached), detail.order, in.Marker, in.MaxItems)
	out := &iamapi.GetAccountAuthorizationDetailsOutput{
		UserDetailList: []*iamapi.UserDetail{}, GroupDetailList: []*iamapi.GroupDetail{},
		RoleDetailList: []*iamapi.RoleDetail{}, Policies: []*iamapi.ManagedPolicyDetail{},
		IsTruncated: truncated, Marker: next,
	}
	for _, d := range part {
		switch {
		case d.policy != nil:
			out.Policies = append(out.Policies, policyDetail(d.policy, attached[d.policy.ARN], boundary[d.policy.ARN]))
		case d.entity.Kind == userKind:
			out.UserDetailList = append(out.UserDetailList, s.userDetail(v, d.entity))
		case d.entity.Kind == groupKind:
			out.GroupDetailList = append(out.GroupDetailList, s.groupDetail(v, d.entity))
		default:
			out.RoleDetailList = append(out.RoleDetailList, s.roleDetail(v, d.entity))
		}
	}
	return out, err
}

func (s *Service) userDetail(v *view, e *entity) *iamapi.UserDetail {
	u := s.userOut(e, true)
	return &iamapi.UserDetail{
		Arn: u.Arn, CreateDate: u.CreateDate, Path: u.Path, UserId: u.UserId, UserName: u.UserName,
		PermissionsBoundary: u.PermissionsBoundary, Tags: u.Tags,
		GroupList:               each(v.groupsOf(e), func(g *entity) string { return g.Name }),
		UserPolicyList:          inlineOut(e),
		AttachedManagedPolicies: each(v.attachedTo(e, ""), attachedOut),
	}
}

func (s *Service) groupDetail(v *view, e *entity) *iamapi.GroupDetail {
	g := s.groupOut(e)
	return &iamapi.GroupDetail{
		Arn: g.Arn, CreateDate: g.CreateDate, Path: g.Path, GroupId: g.GroupId, GroupName: g.GroupName,
		GroupPolicyList:         inlineOut(e),
		AttachedManagedPolicies: each(v.attachedTo(e, ""), attachedOut),
	}
}

func (s *Service) roleDetail(v *view, e *entity) *iamapi.RoleDetail {
	r := s.roleOut(v, e, true)
	return &iamapi.RoleDetail{
		Arn: r.Arn, CreateDate: r.CreateDate, Path: r.Path, RoleId: r.RoleId, RoleName: r.RoleName,
		AssumeRolePolicyDocument: r.AssumeRolePolicyDocument, PermissionsBoundary: r.PermissionsBoundary, Tags: r.Tags,
		InstanceProfileList:     []*iamapi.InstanceProfile{},
		RolePolicyList:          inlineOut(e),
		AttachedManagedPolicies: each(v.attachedTo(e, ""), attachedOut),
	}
}

func policyDetail(p *managedPolicy, attached, boundary int64) *iamapi.ManagedPolicyDetail {
	out := policyOut(p, attached, boundary, true)
	return &iamapi.ManagedPolicyDetail{
		Arn: out.Arn, AttachmentCount: out.AttachmentCount, CreateDate: out.CreateDate,
		DefaultVersionId: out.DefaultVersionId, Description: out.Description, IsAttachable: out.IsAttachable,
		Path: out.Path, PermissionsBoundaryUsageCount: out.PermissionsBoundaryUsageCount,
		PolicyId: out.PolicyId, PolicyName: out.PolicyName, UpdateDate: out.UpdateDate,
		PolicyVersionList: each(p.versions, func(v *policyVersion) *iamapi.PolicyVersion {
			return versionOut(v, v.ID == p.Default, true)
		}),
	}
}

// inlineOut shows the inline policies of an entity, sorted by name.
func inlineOut(e *entity) []*iamapi.PolicyDetail {
	return each(slices.Sorted(maps.Keys(e.Inline)), func(name string) *iamapi.PolicyDetail {
		return &iamapi.PolicyDetail{PolicyName: &name, PolicyDocument: new(encode(e.Inline[name].Text))}
	})
}
