// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

const maxGroupsPerUser = 10

// CreateGroup makes a group without users.
//
// Errors: EntityAlreadyExistsException.
func (s *Service) CreateGroup(ctx context.Context, in *iamapi.CreateGroupInput) (*iamapi.CreateGroupOutput, error) {
	g := s.newEntity(groupKind, *in.GroupName, in.Path)
	err := s.update(ctx, func(c *change) error { return s.create(ctx, c, "CreateGroup", g) })
	if err != nil {
		return nil, err
	}
	return &iamapi.CreateGroupOutput{Group: s.groupOut(g)}, nil
}

// GetGroup describes a group and lists its users, sorted by name.
//
// Errors: NoSuchEntityException.
func (s *Service) GetGroup(ctx context.Context, in *iamapi.GetGroupInput) (*iamapi.GetGroupOutput, error) {
	v := s.view()
	g, err := s.allowOn(ctx, v, "GetGroup", groupKind, *in.GroupName, nil)
	if err != nil {
		return nil, err
	}
	out := &iamapi.GetGroupOutput{Group: s.groupOut(g)}
	users, truncated, next, err := page(v.members(g.ID), entityOrder, in.Marker, in.MaxItems)
	out.IsTruncated, out.Marker = truncated, next
	out.Users = each(users, func(u *entity) *iamapi.User { return s.userOut(u, false) })
	return out, err
}

// ListGroups lists groups under a path, sorted by name.
func (s *Service) ListGroups(ctx context.Context, in *iamapi.ListGroupsInput) (*iamapi.ListGroupsOutput, error) {
	groups, err := s.list(ctx, "ListGroups", groupKind, in.PathPrefix)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListGroupsOutput{}
	groups, out.IsTruncated, out.Marker, err = page(groups, entityOrder, in.Marker, in.MaxItems)
	out.Groups = each(groups, s.groupOut)
	return out, err
}

// ListGroupsForUser lists the groups of a user, sorted by name.
//
// Errors: NoSuchEntityException.
func (s *Service) ListGroupsForUser(ctx context.Context, in *iamapi.ListGroupsForUserInput) (*iamapi.ListGroupsForUserOutput, error) {
	v := s.view()
	u, err := s.allowOn(ctx, v, "ListGroupsForUser", userKind, *in.UserName, nil)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListGroupsForUserOutput{}
	groups, truncated, next, err := page(v.groupsOf(u), entityOrder, in.Marker, in.MaxItems)
	out.IsTruncated, out.Marker = truncated, next
	out.Groups = each(groups, s.groupOut)
	return out, err
}

// groupsOf returns the groups of a user, sorted by name.
func (v *view) groupsOf(u *entity) []*entity {
	groups := each(u.Groups, func(id string) *entity { return v.entities[id] })
	slices.SortFunc(groups, func(a, b *entity) int { return strings.Compare(entityOrder(a), entityOrder(b)) })
	return groups
}

// UpdateGroup renames or moves a group.
//
// Errors: NoSuchEntityException, EntityAlreadyExistsException.
func (s *Service) UpdateGroup(ctx context.Context, in *iamapi.UpdateGroupInput) (*iamapi.UpdateGroupOutput, error) {
	err := s.rename(ctx, "UpdateGroup", groupKind, *in.GroupName, in.NewGroupName, in.NewPath)
	return &iamapi.UpdateGroupOutput{}, err
}

// DeleteGroup deletes a group without users and policies.
//
// Errors: NoSuchEntityException, DeleteConflictException.
func (s *Service) DeleteGroup(ctx context.Context, in *iamapi.DeleteGroupInput) (*iamapi.DeleteGroupOutput, error) {
	err := s.update(ctx, func(c *change) error {
		g, err := s.allowOn(ctx, c.view, "DeleteGroup", groupKind, *in.GroupName, nil)
		if err != nil {
			return err
		}
		if len(c.members(g.ID)) > 0 {
			return conflict("remove users from group")
		}
		return c.deleteBare(g)
	})
	return &iamapi.DeleteGroupOutput{}, err
}

// AddUserToGroup gives a user the rights of a group; it is no error when it has them already.
//
// Errors: NoSuchEntityException; LimitExceededException at ten groups.
func (s *Service) AddUserToGroup(ctx context.Context, in *iamapi.AddUserToGroupInput) (*iamapi.AddUserToGroupOutput, error) {
	err := s.membership(ctx, "AddUserToGroup", *in.GroupName, *in.UserName, func(u, g *entity) error {
		if slices.Contains(u.Groups, g.ID) {
			return nil
		}
		if len(u.Groups) >= maxGroupsPerUser {
			return overQuota("GroupsPerUser", maxGroupsPerUser)
		}
		u.Groups = append(u.Groups, g.ID)
		return nil
	})
	return &iamapi.AddUserToGroupOutput{}, err
}

// RemoveUserFromGroup takes a group's rights from a user.
//
// Errors: NoSuchEntityException, also when the user is not in the group.
func (s *Service) RemoveUserFromGroup(ctx context.Context, in *iamapi.RemoveUserFromGroupInput) (*iamapi.RemoveUserFromGroupOutput, error) {
	err := s.membership(ctx, "RemoveUserFromGroup", *in.GroupName, *in.UserName, func(u, g *entity) error {
		i := slices.Index(u.Groups, g.ID)
		if i < 0 {
			return &iamapi.NoSuchEntityException{Message: fmt.Sprintf("User %s is not in group %s.", u.Name, g.Name)}
		}
		u.Groups = slices.Delete(u.Groups, i, i+1)
		return nil
	})
	return &iamapi.RemoveUserFromGroupOutput{}, err
}

// membership authorises on the group, as AWS does, and stores the user that fn changes.
func (s *Service) membership(ctx context.Context, operation, group, user string, fn func(u, g *entity) error) error {
	return s.update(ctx, func(c *change) error {
		g, err := s.allowOn(ctx, c.view, operation, groupKind, group, nil)
		if err != nil {
			return err
		}
		old := c.find(userKind, user)
		if old == nil {
			return noSuch(userKind, user)
		}
		u := old.clone()
		if err := fn(u, g); err != nil {
			return err
		}
		c.putEntity(u)
		return nil
	})
}

func (s *Service) groupOut(e *entity) *iamapi.Group {
	return &iamapi.Group{
		Arn:        new(e.arn(s.account)),
		CreateDate: new(e.Created),
		GroupId:    new(e.ID),
		GroupName:  new(e.Name),
		Path:       new(e.Path),
	}
}
