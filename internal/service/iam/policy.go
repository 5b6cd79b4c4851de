// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/obscura-video/obscura/internal/access"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

const managedPolicyType = "AWS::IAM::ManagedPolicy"

const maxVersions = 5 // of one managed policy

// policyOrder sorts policies by name; an own one and AWS's may share a name.
func policyOrder(p *managedPolicy) string { return strings.ToLower(p.Name) + "\x00" + p.ID }

// allowPolicy authorises an operation on a managed policy and returns it.
func (s *Service) allowPolicy(ctx context.Context, v *view, operation, policyARN string, c conditions) (*managedPolicy, error) {
	p := v.policies[policyARN]
	all := conditions{}
	if p != nil {
		all.resourceTags(p.Tags)
	}
	maps.Copy(all, c)
	if err := s.allow(ctx, operation, policyARN, all); err != nil {
		return nil, err
	}
	if err := checkPolicyARN(policyARN); err != nil {
		return nil, err
	}
	if p == nil {
		return nil, noSuchPolicy(policyARN)
	}
	access.AddResource(ctx, p.ARN, managedPolicyType)
	return p, nil
}

// changePolicy authorises an operation on one of the account's own managed policies, runs fn on a copy of
// it and stores that.
func (s *Service) changePolicy(ctx context.Context, operation, policyARN string, cond conditions, fn func(*change, *managedPolicy) error) error {
	return s.update(ctx, func(c *change) error {
		old, err := s.allowPolicy(ctx, c.view, operation, policyARN, cond)
		if err != nil {
			return err
		}
		if old.awsOwned() {
			return protocol.NewError("AccessDenied", 403, "Policy is outside your own account.")
		}
		p := old.clone()
		if err := fn(c, p); err != nil {
			return err
		}
		c.putPolicy(p)
		return nil
	})
}

func newManaged(text string) (*document, error) {
	d, err := newDocument(text)
	if err != nil {
		return nil, err
	}
	if d.size() > maxManagedPolicy {
		return nil, overQuota("PolicySize", maxManagedPolicy)
	}
	return d, nil
}

// CreatePolicy makes a managed policy, with its document as version v1.
//
// Errors: EntityAlreadyExistsException, MalformedPolicyDocumentException, InvalidInputException,
// LimitExceededException.
func (s *Service) CreatePolicy(ctx context.Context, in *iamapi.CreatePolicyInput) (*iamapi.CreatePolicyOutput, error) {
	p := &managedPolicy{
		ID: "ANPA" + rand.Text()[:17], Name: *in.PolicyName, Path: "/", Description: value(in.Description),
		Created: s.date(), Updated: s.date(), Tags: tagsIn(in.Tags),
	}
	if in.Path != nil {
		p.Path = *in.Path
	}
	p.ARN = "arn:aws:iam::" + s.account + ":policy" + p.Path + p.Name
	err := s.update(ctx, func(c *change) error {
		if err := s.allow(ctx, "CreatePolicy", p.ARN, conditions{}.requestTags(p.Tags)); err != nil {
			return err
		}
		if _, ok := c.policyNames[strings.ToLower(p.Name)]; ok {
			return &iamapi.EntityAlreadyExistsException{
				Message: fmt.Sprintf("A policy called %s already exists. Duplicate names are not allowed.", p.Name),
			}
		}
		if err := checkTags(p.Tags); err != nil {
			return err
		}
		d, err := newManaged(*in.PolicyDocument)
		if err != nil {
			return err
		}
		v := &policyVersion{ID: "v1", Created: p.Created, Document: d}
		p.Default, p.Last, p.versions = v.ID, 1, []*policyVersion{v}
		c.putVersion(p, v)
		c.putPolicy(p)
		access.AddResource(ctx, p.ARN, managedPolicyType)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.CreatePolicyOutput{Policy: policyOut(p, 0, 0, true)}, nil
}

// GetPolicy describes a managed policy, without its document.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) GetPolicy(ctx context.Context, in *iamapi.GetPolicyInput) (*iamapi.GetPolicyOutput, error) {
	v := s.view()
	p, err := s.allowPolicy(ctx, v, "GetPolicy", *in.PolicyArn, nil)
	if err != nil {
		return nil, err
	}
	attached, boundary := v.uses()
	return &iamapi.GetPolicyOutput{Policy: policyOut(p, attached[p.ARN], boundary[p.ARN], true)}, nil
}

// ListPolicies lists managed policies, the account's own and AWS's, sorted by name.
func (s *Service) ListPolicies(ctx context.Context, in *iamapi.ListPoliciesInput) (*iamapi.ListPoliciesOutput, error) {
	prefix := "/"
	if in.PathPrefix != nil {
		prefix = *in.PathPrefix
	}
	if err := s.allow(ctx, "ListPolicies", "arn:aws:iam::"+s.account+":policy"+prefix, conditions{}); err != nil {
		return nil, err
	}
	v := s.view()
	attached, boundary := v.uses()
	var list []*managedPolicy
	for _, p := range v.policies {
		scope, usage := value(in.Scope), value(in.PolicyUsageFilter)
		switch {
		case !strings.HasPrefix(p.Path, prefix):
		case scope == iamapi.PolicyScopeTypeAws && !p.awsOwned():
		case scope == iamapi.PolicyScopeTypeLocal && p.awsOwned():
		case value(in.OnlyAttached) && attached[p.ARN] == 0:
		case usage == iamapi.PolicyUsageTypePermissionsPolicy && attached[p.ARN] == 0:
		case usage == iamapi.PolicyUsageTypePermissionsBoundary && boundary[p.ARN] == 0:
		default:
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *managedPolicy) int { return strings.Compare(policyOrder(a), policyOrder(b)) })
	out := &iamapi.ListPoliciesOutput{}
	list, truncated, next, err := page(list, policyOrder, in.Marker, in.MaxItems)
	out.IsTruncated, out.Marker = truncated, next
	out.Policies = each(list, func(p *managedPolicy) *iamapi.Policy {
		return policyOut(p, attached[p.ARN], boundary[p.ARN], false)
	})
	return out, err
}

// DeletePolicy deletes a managed policy that is attached nowhere and has one version.
//
// Errors: NoSuchEntityException, DeleteConflictException, InvalidInputException.
func (s *Service) DeletePolicy(ctx context.Context, in *iamapi.DeletePolicyInput) (*iamapi.DeletePolicyOutput, error) {
	err := s.update(ctx, func(c *change) error {
		p, err := s.allowPolicy(ctx, c.view, "DeletePolicy", *in.PolicyArn, nil)
		if err != nil {
			return err
		}
		attached, boundary := c.uses()
		switch {
		case p.awsOwned():
			return protocol.NewError("AccessDenied", 403, "Policy is outside your own account.")
		case attached[p.ARN]+boundary[p.ARN] > 0:
			return &iamapi.DeleteConflictException{Message: "Cannot delete a policy attached to entities."}
		case len(p.versions) > 1:
			return &iamapi.DeleteConflictException{Message: "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy."}
		}
		c.deletePolicy(p)
		return nil
	})
	return &iamapi.DeletePolicyOutput{}, err
}

// CreatePolicyVersion adds a version to a managed policy and, when asked, puts it in force.
//
// Errors: NoSuchEntityException, MalformedPolicyDocumentException, InvalidInputException;
// LimitExceededException at five versions.
func (s *Service) CreatePolicyVersion(ctx context.Context, in *iamapi.CreatePolicyVersionInput) (*iamapi.CreatePolicyVersionOutput, error) {
	var v *policyVersion
	isDefault := value(in.SetAsDefault)
	err := s.changePolicy(ctx, "CreatePolicyVersion", *in.PolicyArn, nil, func(c *change, p *managedPolicy) error {
		d, err := newManaged(*in.PolicyDocument)
		if err != nil {
			return err
		}
		if len(p.versions) >= maxVersions {
			return &iamapi.LimitExceededException{Message: "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."}
		}
		p.Last++
		v = &policyVersion{ID: fmt.Sprintf("v%d", p.Last), Created: s.date(), Document: d}
		p.versions = append(p.versions, v)
		if p.Updated = v.Created; isDefault {
			p.Default = v.ID
		}
		c.putVersion(p, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.CreatePolicyVersionOutput{PolicyVersion: versionOut(v, isDefault, false)}, nil
}

// GetPolicyVersion returns a version with its document, percent-encoded.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) GetPolicyVersion(ctx context.Context, in *iamapi.GetPolicyVersionInput) (*iamapi.GetPolicyVersionOutput, error) {
	p, err := s.allowPolicy(ctx, s.view(), "GetPolicyVersion", *in.PolicyArn, nil)
	if err != nil {
		return nil, err
	}
	v := p.version(*in.VersionId)
	if v == nil {
		return nil, noSuchVersion(p.ARN, *in.VersionId)
	}
	return &iamapi.GetPolicyVersionOutput{PolicyVersion: versionOut(v, v.ID == p.Default, true)}, nil
}

// ListPolicyVersions lists the versions of a managed policy, newest first, without documents.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) ListPolicyVersions(ctx context.Context, in *iamapi.ListPolicyVersionsInput) (*iamapi.ListPolicyVersionsOutput, error) {
	p, err := s.allowPolicy(ctx, s.view(), "ListPolicyVersions", *in.PolicyArn, nil)
	if err != nil {
		return nil, err
	}
	newest := slices.Clone(p.versions)
	slices.Reverse(newest)
	order := func(v *policyVersion) string { return fmt.Sprintf("%010d", 1<<31-versionNumber(v.ID)) }
	out := &iamapi.ListPolicyVersionsOutput{}
	part, truncated, next, err := page(newest, order, in.Marker, in.MaxItems)
	out.IsTruncated, out.Marker = truncated, next
	out.Versions = each(part, func(v *policyVersion) *iamapi.PolicyVersion { return versionOut(v, v.ID == p.Default, false) })
	return out, err
}

// SetDefaultPolicyVersion puts a version in force, for everyone it is attached to, from the next call on.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) SetDefaultPolicyVersion(ctx context.Context, in *iamapi.SetDefaultPolicyVersionInput) (*iamapi.SetDefaultPolicyVersionOutput, error) {
	err := s.changePolicy(ctx, "SetDefaultPolicyVersion", *in.PolicyArn, nil, func(_ *change, p *managedPolicy) error {
		if p.version(*in.VersionId) == nil {
			return noSuchVersion(p.ARN, *in.VersionId)
		}
		p.Default, p.Updated = *in.VersionId, s.date()
		return nil
	})
	return &iamapi.SetDefaultPolicyVersionOutput{}, err
}

// DeletePolicyVersion deletes a version that is not in force. Its number does not come again.
//
// Errors: NoSuchEntityException, DeleteConflictException, InvalidInputException.
func (s *Service) DeletePolicyVersion(ctx context.Context, in *iamapi.DeletePolicyVersionInput) (*iamapi.DeletePolicyVersionOutput, error) {
	err := s.changePolicy(ctx, "DeletePolicyVersion", *in.PolicyArn, nil, func(c *change, p *managedPolicy) error {
		i := slices.IndexFunc(p.versions, func(v *policyVersion) bool { return v.ID == *in.VersionId })
		if i < 0 {
			return noSuchVersion(p.ARN, *in.VersionId)
		}
		if p.Default == *in.VersionId {
			return &iamapi.DeleteConflictException{Message: "Cannot delete the default version of a policy."}
		}
		p.versions = slices.Delete(p.versions, i, i+1)
		p.Updated = s.date()
		c.remove(rowVersion, p.ID, *in.VersionId)
		return nil
	})
	return &iamapi.DeletePolicyVersionOutput{}, err
}

// ListEntitiesForPolicy lists whom a managed policy is attached to or a boundary of.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) ListEntitiesForPolicy(ctx context.Context, in *iamapi.ListEntitiesForPolicyInput) (*iamapi.ListEntitiesForPolicyOutput, error) {
	v := s.view()
	p, err := s.allowPolicy(ctx, v, "ListEntitiesForPolicy", *in.PolicyArn, nil)
	if err != nil {
		return nil, err
	}
	var found []*entity
	for _, k := range [...]kind{groupKind, roleKind, userKind} {
		if f := value(in.EntityFilter); f != "" && f != k.title() {
			continue
		}
		for _, e := range v.all(k, value(in.PathPrefix)) {
			if usesPolicy(e, p.ARN, value(in.PolicyUsageFilter)) {
				found = append(found, e)
			}
		}
	}
	order := func(e *entity) string { return string(e.Kind) + "/" + entityOrder(e) }
	part, truncated, next, err := page(found, order, in.Marker, in.MaxItems)
	out := &iamapi.ListEntitiesForPolicyOutput{
		PolicyGroups: []*iamapi.PolicyGroup{}, PolicyRoles: []*iamapi.PolicyRole{}, PolicyUsers: []*iamapi.PolicyUser{},
		IsTruncated: truncated, Marker: next,
	}
	for _, e := range part {
		switch e.Kind {
		case groupKind:
			out.PolicyGroups = append(out.PolicyGroups, &iamapi.PolicyGroup{GroupId: new(e.ID), GroupName: new(e.Name)})
		case roleKind:
			out.PolicyRoles = append(out.PolicyRoles, &iamapi.PolicyRole{RoleId: new(e.ID), RoleName: new(e.Name)})
		case userKind:
			out.PolicyUsers = append(out.PolicyUsers, &iamapi.PolicyUser{UserId: new(e.ID), UserName: new(e.Name)})
		}
	}
	return out, err
}

func usesPolicy(e *entity, policyARN, usage string) bool {
	attached, boundary := slices.Contains(e.Attached, policyARN), e.Boundary == policyARN
	switch usage {
	case iamapi.PolicyUsageTypePermissionsPolicy:
		return attached
	case iamapi.PolicyUsageTypePermissionsBoundary:
		return boundary
	}
	return attached || boundary
}

// policyOut shows a policy; listings leave description and tags out.
func policyOut(p *managedPolicy, attached, boundary int64, full bool) *iamapi.Policy {
	out := &iamapi.Policy{
		Arn: new(p.ARN), AttachmentCount: &attached, CreateDate: new(p.Created), DefaultVersionId: new(p.Default),
		IsAttachable: new(true), Path: new(p.Path), PermissionsBoundaryUsageCount: &boundary,
		PolicyId: new(p.ID), PolicyName: new(p.Name), UpdateDate: new(p.Updated),
	}
	if full {
		out.Tags = tagsOut(p.Tags)
		if p.Description != "" {
			out.Description = new(p.Description)
		}
	}
	return out
}

func versionOut(v *policyVersion, isDefault, full bool) *iamapi.PolicyVersion {
	out := &iamapi.PolicyVersion{CreateDate: new(v.Created), IsDefaultVersion: &isDefault, VersionId: new(v.ID)}
	if full {
		out.Document = new(encode(v.Document.Text))
	}
	return out
}
