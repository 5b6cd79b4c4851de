// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

const defaultSessionSeconds = 3600

// CreateRole makes a role that those may assume whom its trust policy names.
//
// Errors: EntityAlreadyExistsException, MalformedPolicyDocumentException, NoSuchEntityException (the
// boundary), InvalidInputException, LimitExceededException.
func (s *Service) CreateRole(ctx context.Context, in *iamapi.CreateRoleInput) (*iamapi.CreateRoleOutput, error) {
	r := s.newEntity(roleKind, *in.RoleName, in.Path)
	r.Tags, r.Boundary, r.Description = tagsIn(in.Tags), value(in.PermissionsBoundary), value(in.Description)
	r.MaxSessionSeconds = defaultSessionSeconds
	if in.MaxSessionDuration != nil {
		r.MaxSessionSeconds = *in.MaxSessionDuration
	}
	r.Trust = &trust{Text: *in.AssumeRolePolicyDocument}
	err := s.update(ctx, func(c *change) error { return s.create(ctx, c, "CreateRole", r) })
	if err != nil {
		return nil, err
	}
	return &iamapi.CreateRoleOutput{Role: s.roleOut(s.view(), r, true)}, nil
}

// GetRole describes a role.
//
// Errors: NoSuchEntityException.
func (s *Service) GetRole(ctx context.Context, in *iamapi.GetRoleInput) (*iamapi.GetRoleOutput, error) {
	v := s.view()
	r, err := s.allowOn(ctx, v, "GetRole", roleKind, *in.RoleName, nil)
	if err != nil {
		return nil, err
	}
	out := s.roleOut(v, r, true)
	use, ok, err := s.lastUse(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	out.RoleLastUsed = &iamapi.RoleLastUsed{}
	if ok {
		out.RoleLastUsed = &iamapi.RoleLastUsed{LastUsedDate: &use.Time, Region: &use.Region}
	}
	return &iamapi.GetRoleOutput{Role: out}, nil
}

// ListRoles lists roles under a path, sorted by name.
func (s *Service) ListRoles(ctx context.Context, in *iamapi.ListRolesInput) (*iamapi.ListRolesOutput, error) {
	roles, err := s.list(ctx, "ListRoles", roleKind, in.PathPrefix)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListRolesOutput{}
	roles, out.IsTruncated, out.Marker, err = page(roles, entityOrder, in.Marker, in.MaxItems)
	v := s.view()
	out.Roles = each(roles, func(r *entity) *iamapi.Role { return s.roleOut(v, r, false) })
	return out, err
}

// UpdateRole sets description and longest session; what is not given stays.
//
// Errors: NoSuchEntityException.
func (s *Service) UpdateRole(ctx context.Context, in *iamapi.UpdateRoleInput) (*iamapi.UpdateRoleOutput, error) {
	_, err := s.change(ctx, "UpdateRole", roleKind, *in.RoleName, nil, func(_ *change, r *entity) error {
		if in.Description != nil {
			r.Description = *in.Description
		}
		if in.MaxSessionDuration != nil {
			r.MaxSessionSeconds = *in.MaxSessionDuration
		}
		return nil
	})
	return &iamapi.UpdateRoleOutput{}, err
}

// UpdateRoleDescription sets a role's description.
//
// Errors: NoSuchEntityException.
func (s *Service) UpdateRoleDescription(ctx context.Context, in *iamapi.UpdateRoleDescriptionInput) (*iamapi.UpdateRoleDescriptionOutput, error) {
	r, err := s.change(ctx, "UpdateRoleDescription", roleKind, *in.RoleName, nil, func(_ *change, r *entity) error {
		r.Description = *in.Description
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.UpdateRoleDescriptionOutput{Role: s.roleOut(s.view(), r, true)}, nil
}

// UpdateAssumeRolePolicy replaces a role's trust policy. Sessions that exist stay.
//
// Errors: NoSuchEntityException, MalformedPolicyDocumentException, LimitExceededException.
func (s *Service) UpdateAssumeRolePolicy(ctx context.Context, in *iamapi.UpdateAssumeRolePolicyInput) (*iamapi.UpdateAssumeRolePolicyOutput, error) {
	_, err := s.change(ctx, "UpdateAssumeRolePolicy", roleKind, *in.RoleName, nil, func(c *change, r *entity) (err error) {
		r.Trust, err = c.newTrust(s.account, *in.PolicyDocument)
		return err
	})
	return &iamapi.UpdateAssumeRolePolicyOutput{}, err
}

// DeleteRole deletes a role without policies; its sessions are refused from the next call on.
//
// Errors: NoSuchEntityException, DeleteConflictException.
func (s *Service) DeleteRole(ctx context.Context, in *iamapi.DeleteRoleInput) (*iamapi.DeleteRoleOutput, error) {
	err := s.update(ctx, func(c *change) error {
		r, err := s.allowOn(ctx, c.view, "DeleteRole", roleKind, *in.RoleName, nil)
		if err != nil {
			return err
		}
		return c.deleteBare(r)
	})
	return &iamapi.DeleteRoleOutput{}, err
}

// ListInstanceProfilesForRole answers with none: there are no instances. Tools ask before they delete a role.
//
// Errors: NoSuchEntityException.
func (s *Service) ListInstanceProfilesForRole(ctx context.Context, in *iamapi.ListInstanceProfilesForRoleInput) (*iamapi.ListInstanceProfilesForRoleOutput, error) {
	if _, err := s.allowOn(ctx, s.view(), "ListInstanceProfilesForRole", roleKind, *in.RoleName, nil); err != nil {
		return nil, err
	}
	return &iamapi.ListInstanceProfilesForRoleOutput{
		InstanceProfiles: []*iamapi.InstanceProfile{}, IsTruncated: new(false),
	}, nil
}

// change authorises an operation on the entity of that name, runs fn on a copy of it and stores that.
func (s *Service) change(ctx context.Context, operation string, k kind, name string, cond conditions, fn func(*change, *entity) error) (*entity, error) {
	var e *entity
	err := s.update(ctx, func(c *change) error {
		old, err := s.allowOn(ctx, c.view, operation, k, name, cond)
		if err != nil {
			return err
		}
		e = old.clone()
		if err := fn(c, e); err != nil {
			return err
		}
		c.putEntity(e)
		return nil
	})
	return e, err
}

// roleOut shows a role; listings leave tags and boundary out.
func (s *Service) roleOut(v *view, e *entity, full bool) *iamapi.Role {
	r := &iamapi.Role{
		Arn:                      new(e.arn(s.account)),
		AssumeRolePolicyDocument: new(encode(e.Trust.shown(v, s.account))),
		CreateDate:               new(e.Created),
		MaxSessionDuration:       new(e.MaxSessionSeconds),
		Path:                     new(e.Path),
		RoleId:                   new(e.ID),
		RoleName:                 new(e.Name),
	}
	if e.Description != "" {
		r.Description = new(e.Description)
	}
	if full {
		r.PermissionsBoundary, r.Tags = boundaryOut(e), tagsOut(e.Tags)
	}
	return r
}
