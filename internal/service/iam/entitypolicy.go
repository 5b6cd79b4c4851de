// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

// The policies of users, groups and roles, inline and attached. Each kind has the same operations.

// PutUserPolicy writes an inline policy of a user, in place of one of the same name.
//
// Errors: NoSuchEntityException, MalformedPolicyDocumentException; LimitExceededException when the
// user's inline policies together exceed 2048 characters.
func (s *Service) PutUserPolicy(ctx context.Context, in *iamapi.PutUserPolicyInput) (*iamapi.PutUserPolicyOutput, error) {
	err := s.putInline(ctx, "PutUserPolicy", userKind, *in.UserName, *in.PolicyName, *in.PolicyDocument)
	return &iamapi.PutUserPolicyOutput{}, err
}

// GetUserPolicy returns an inline policy of a user, percent-encoded.
//
// Errors: NoSuchEntityException.
func (s *Service) GetUserPolicy(ctx context.Context, in *iamapi.GetUserPolicyInput) (*iamapi.GetUserPolicyOutput, error) {
	text, err := s.inlineText(ctx, "GetUserPolicy", userKind, *in.UserName, *in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetUserPolicyOutput{UserName: in.UserName, PolicyName: in.PolicyName, PolicyDocument: &text}, nil
}

// ListUserPolicies lists the names of the inline policies of a user.
//
// Errors: NoSuchEntityException.
func (s *Service) ListUserPolicies(ctx context.Context, in *iamapi.ListUserPoliciesInput) (*iamapi.ListUserPoliciesOutput, error) {
	names, truncated, next, err := s.inlineNames(ctx, "ListUserPolicies", userKind, *in.UserName, in.Marker, in.MaxItems)
	return &iamapi.ListUserPoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: next}, err
}

// DeleteUserPolicy deletes an inline policy of a user.
//
// Errors: NoSuchEntityException.
func (s *Service) DeleteUserPolicy(ctx context.Context, in *iamapi.DeleteUserPolicyInput) (*iamapi.DeleteUserPolicyOutput, error) {
	err := s.deleteInline(ctx, "DeleteUserPolicy", userKind, *in.UserName, *in.PolicyName)
	return &iamapi.DeleteUserPolicyOutput{}, err
}

// AttachUserPolicy attaches a managed policy to a user; attaching it again is no error.
//
// Errors: NoSuchEntityException, InvalidInputException; LimitExceededException at ten policies.
func (s *Service) AttachUserPolicy(ctx context.Context, in *iamapi.AttachUserPolicyInput) (*iamapi.AttachUserPolicyOutput, error) {
	err := s.attach(ctx, "AttachUserPolicy", userKind, *in.UserName, *in.PolicyArn)
	return &iamapi.AttachUserPolicyOutput{}, err
}

// DetachUserPolicy detaches a managed policy from a user.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) DetachUserPolicy(ctx context.Context, in *iamapi.DetachUserPolicyInput) (*iamapi.DetachUserPolicyOutput, error) {
	err := s.detach(ctx, "DetachUserPolicy", userKind, *in.UserName, *in.PolicyArn)
	return &iamapi.DetachUserPolicyOutput{}, err
}

// ListAttachedUserPolicies lists the managed policies of a user under a path.
//
// Errors: NoSuchEntityException.
func (s *Service) ListAttachedUserPolicies(ctx context.Context, in *iamapi.ListAttachedUserPoliciesInput) (*iamapi.ListAttachedUserPoliciesOutput, error) {
	list, truncated, next, err := s.attachedPage(ctx, "ListAttachedUserPolicies", userKind, *in.UserName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iamapi.ListAttachedUserPoliciesOutput{AttachedPolicies: list, IsTruncated: truncated, Marker: next}, err
}

// PutUserPermissionsBoundary limits a user to what a managed policy allows.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) PutUserPermissionsBoundary(ctx context.Context, in *iamapi.PutUserPermissionsBoundaryInput) (*iamapi.PutUserPermissionsBoundaryOutput, error) {
	err := s.putBoundary(ctx, "PutUserPermissionsBoundary", userKind, *in.UserName, *in.PermissionsBoundary)
	return &iamapi.PutUserPermissionsBoundaryOutput{}, err
}

// DeleteUserPermissionsBoundary lifts the boundary of a user; it is no error when there is none.
//
// Errors: NoSuchEntityException.
func (s *Service) DeleteUserPermissionsBoundary(ctx context.Context, in *iamapi.DeleteUserPermissionsBoundaryInput) (*iamapi.DeleteUserPermissionsBoundaryOutput, error) {
	err := s.deleteBoundary(ctx, "DeleteUserPermissionsBoundary", userKind, *in.UserName)
	return &iamapi.DeleteUserPermissionsBoundaryOutput{}, err
}

// PutGroupPolicy writes an inline policy of a group, in place of one of the same name.
//
// Errors: NoSuchEntityException, MalformedPolicyDocumentException; LimitExceededException when the
// group's inline policies together exceed 5120 characters.
func (s *Service) PutGroupPolicy(ctx context.Context, in *iamapi.PutGroupPolicyInput) (*iamapi.PutGroupPolicyOutput, error) {
	err := s.putInline(ctx, "PutGroupPolicy", groupKind, *in.GroupName, *in.PolicyName, *in.PolicyDocument)
	return &iamapi.PutGroupPolicyOutput{}, err
}

// GetGroupPolicy returns an inline policy of a group, percent-encoded.
//
// Errors: NoSuchEntityException.
func (s *Service) GetGroupPolicy(ctx context.Context, in *iamapi.GetGroupPolicyInput) (*iamapi.GetGroupPolicyOutput, error) {
	text, err := s.inlineText(ctx, "GetGroupPolicy", groupKind, *in.GroupName, *in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetGroupPolicyOutput{GroupName: in.GroupName, PolicyName: in.PolicyName, PolicyDocument: &text}, nil
}

// ListGroupPolicies lists the names of the inline policies of a group.
//
// Errors: NoSuchEntityException.
func (s *Service) ListGroupPolicies(ctx context.Context, in *iamapi.ListGroupPoliciesInput) (*iamapi.ListGroupPoliciesOutput, error) {
	names, truncated, next, err := s.inlineNames(ctx, "ListGroupPolicies", groupKind, *in.GroupName, in.Marker, in.MaxItems)
	return &iamapi.ListGroupPoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: next}, err
}

// DeleteGroupPolicy deletes an inline policy of a group.
//
// Errors: NoSuchEntityException.
func (s *Service) DeleteGroupPolicy(ctx context.Context, in *iamapi.DeleteGroupPolicyInput) (*iamapi.DeleteGroupPolicyOutput, error) {
	err := s.deleteInline(ctx, "DeleteGroupPolicy", groupKind, *in.GroupName, *in.PolicyName)
	return &iamapi.DeleteGroupPolicyOutput{}, err
}

// AttachGroupPolicy attaches a managed policy to a group; attaching it again is no error.
//
// Errors: NoSuchEntityException, InvalidInputException; LimitExceededException at ten policies.
func (s *Service) AttachGroupPolicy(ctx context.Context, in *iamapi.AttachGroupPolicyInput) (*iamapi.AttachGroupPolicyOutput, error) {
	err := s.attach(ctx, "AttachGroupPolicy", groupKind, *in.GroupName, *in.PolicyArn)
	return &iamapi.AttachGroupPolicyOutput{}, err
}

// DetachGroupPolicy detaches a managed policy from a group.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) DetachGroupPolicy(ctx context.Context, in *iamapi.DetachGroupPolicyInput) (*iamapi.DetachGroupPolicyOutput, error) {
	err := s.detach(ctx, "DetachGroupPolicy", groupKind, *in.GroupName, *in.PolicyArn)
	return &iamapi.DetachGroupPolicyOutput{}, err
}

// ListAttachedGroupPolicies lists the managed policies of a group under a path.
//
// Errors: NoSuchEntityException.
func (s *Service) ListAttachedGroupPolicies(ctx context.Context, in *iamapi.ListAttachedGroupPoliciesInput) (*iamapi.ListAttachedGroupPoliciesOutput, error) {
	list, truncated, next, err := s.attachedPage(ctx, "ListAttachedGroupPolicies", groupKind, *in.GroupName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iamapi.ListAttachedGroupPoliciesOutput{AttachedPolicies: list, IsTruncated: truncated, Marker: next}, err
}

// PutRolePolicy writes an inline policy of a role, in place of one of the same name.
//
// Errors: NoSuchEntityException, MalformedPolicyDocumentException; LimitExceededException when the
// role's inline policies together exceed 10240 characters.
func (s *Service) PutRolePolicy(ctx context.Context, in *iamapi.PutRolePolicyInput) (*iamapi.PutRolePolicyOutput, error) {
	err := s.putInline(ctx, "PutRolePolicy", roleKind, *in.RoleName, *in.PolicyName, *in.PolicyDocument)
	return &iamapi.PutRolePolicyOutput{}, err
}

// GetRolePolicy returns an inline policy of a role, percent-encoded.
//
// Errors: NoSuchEntityException.
func (s *Service) GetRolePolicy(ctx context.Context, in *iamapi.GetRolePolicyInput) (*iamapi.GetRolePolicyOutput, error) {
	text, err := s.inlineText(ctx, "GetRolePolicy", roleKind, *in.RoleName, *in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetRolePolicyOutput{RoleName: in.RoleName, PolicyName: in.PolicyName, PolicyDocument: &text}, nil
}

// ListRolePolicies lists the names of the inline policies of a role.
//
// Errors: NoSuchEntityException.
func (s *Service) ListRolePolicies(ctx context.Context, in *iamapi.ListRolePoliciesInput) (*iamapi.ListRolePoliciesOutput, error) {
	names, truncated, next, err := s.inlineNames(ctx, "ListRolePolicies", roleKind, *in.RoleName, in.Marker, in.MaxItems)
	return &iamapi.ListRolePoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: next}, err
}

// DeleteRolePolicy deletes an inline policy of a role.
//
// Errors: NoSuchEntityException.
func (s *Service) DeleteRolePolicy(ctx context.Context, in *iamapi.DeleteRolePolicyInput) (*iamapi.DeleteRolePolicyOutput, error) {
	err := s.deleteInline(ctx, "DeleteRolePolicy", roleKind, *in.RoleName, *in.PolicyName)
	return &iamapi.DeleteRolePolicyOutput{}, err
}

// AttachRolePolicy attaches a managed policy to a role; attaching it again is no error.
//
// Errors: NoSuchEntityException, InvalidInputException; LimitExceededException at ten policies.
func (s *Service) AttachRolePolicy(ctx context.Context, in *iamapi.AttachRolePolicyInput) (*iamapi.AttachRolePolicyOutput, error) {
	err := s.attach(ctx, "AttachRolePolicy", roleKind, *in.RoleName, *in.PolicyArn)
	return &iamapi.AttachRolePolicyOutput{}, err
}

// DetachRolePolicy detaches a managed policy from a role.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) DetachRolePolicy(ctx context.Context, in *iamapi.DetachRolePolicyInput) (*iamapi.DetachRolePolicyOutput, error) {
	err := s.detach(ctx, "DetachRolePolicy", roleKind, *in.RoleName, *in.PolicyArn)
	return &iamapi.DetachRolePolicyOutput{}, err
}

// ListAttachedRolePolicies lists the managed policies of a role under a path.
//
// Errors: NoSuchEntityException.
func (s *Service) ListAttachedRolePolicies(ctx context.Context, in *iamapi.ListAttachedRolePoliciesInput) (*iamapi.ListAttachedRolePoliciesOutput, error) {
	list, truncated, next, err := s.attachedPage(ctx, "ListAttachedRolePolicies", roleKind, *in.RoleName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iamapi.ListAttachedRolePoliciesOutput{AttachedPolicies: list, IsTruncated: truncated, Marker: next}, err
}

// PutRolePermissionsBoundary limits a role to what a managed policy allows.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) PutRolePermissionsBoundary(ctx context.Context, in *iamapi.PutRolePermissionsBoundaryInput) (*iamapi.PutRolePermissionsBoundaryOutput, error) {
	err := s.putBoundary(ctx, "PutRolePermissionsBoundary", roleKind, *in.RoleName, *in.PermissionsBoundary)
	return &iamapi.PutRolePermissionsBoundaryOutput{}, err
}

// DeleteRolePermissionsBoundary lifts the boundary of a role; it is no error when there is none.
//
// Errors: NoSuchEntityException.
func (s *Service) DeleteRolePermissionsBoundary(ctx context.Context, in *iamapi.DeleteRolePermissionsBoundaryInput) (*iamapi.DeleteRolePermissionsBoundaryOutput, error) {
	err := s.deleteBoundary(ctx, "DeleteRolePermissionsBoundary", roleKind, *in.RoleName)
	return &iamapi.DeleteRolePermissionsBoundaryOutput{}, err
}
