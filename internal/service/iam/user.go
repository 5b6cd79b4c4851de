// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"crypto/rand"

	"github.com/obscura-video/obscura/internal/access"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

// newEntity makes an entity with a fresh unique ID: four letters and 85 random bits in base 32.
func (s *Service) newEntity(k kind, name string, path *string) *entity {
	e := &entity{Kind: k, ID: k.idPrefix() + rand.Text()[:17], Name: name, Path: "/", Created: s.date()}
	if path != nil {
		e.Path = *path
	}
	return e
}

// create authorises, checks and stores a new entity; a role's trust policy comes as text.
func (s *Service) create(ctx context.Context, c *change, operation string, e *entity) error {
	cond := conditions{}.requestTags(e.Tags).boundary(e.Boundary)
	if err := s.allow(ctx, operation, e.arn(s.account), cond); err != nil {
		return err
	}
	if err := checkPath(e.Path); err != nil {
		return err
	}
	if c.taken(e.Kind, e.Name) {
		return alreadyExists(e.Kind, e.Name)
	}
	if err := checkTags(e.Tags); err != nil {
		return err
	}
	if err := c.checkBoundary(e.Boundary); err != nil {
		return err
	}
	if e.Trust != nil {
		t, err := c.newTrust(s.account, e.Trust.Text)
		if err != nil {
			return err
		}
		e.Trust = t
	}
	c.putEntity(e)
	access.AddResource(ctx, e.arn(s.account), "AWS::IAM::"+e.Kind.title())
	return nil
}

// CreateUser makes a user without credentials or rights.
//
// Errors: EntityAlreadyExistsException, NoSuchEntityException (the boundary), InvalidInputException,
// LimitExceededException.
func (s *Service) CreateUser(ctx context.Context, in *iamapi.CreateUserInput) (*iamapi.CreateUserOutput, error) {
	u := s.newEntity(userKind, *in.UserName, in.Path)
	u.Tags, u.Boundary = tagsIn(in.Tags), value(in.PermissionsBoundary)
	err := s.update(ctx, func(c *change) error { return s.create(ctx, c, "CreateUser", u) })
	if err != nil {
		return nil, err
	}
	return &iamapi.CreateUserOutput{User: s.userOut(u, true)}, nil
}

// GetUser describes a user, or the caller when no name is given.
//
// Errors: NoSuchEntityException.
func (s *Service) GetUser(ctx context.Context, in *iamapi.GetUserInput) (*iamapi.GetUserOutput, error) {
	v := s.view()
	name, root, err := s.nameOf(ctx, v, in.UserName)
	if err != nil {
		return nil, s.first(ctx, "GetUser", err)
	}
	if root {
		return s.getRoot(ctx)
	}
	u, err := s.allowOn(ctx, v, "GetUser", userKind, name, nil)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetUserOutput{User: s.userOut(u, true)}, nil
}

func (s *Service) getRoot(ctx context.Context) (*iamapi.GetUserOutput, error) {
	if err := s.allow(ctx, "GetUser", s.rootARN(), conditions{}); err != nil {
		return nil, err
	}
	u := &iamapi.User{Arn: new(s.rootARN()), UserId: new(s.account), UserName: new("root"), Path: new("/"), CreateDate: new(s.date())}
	if keys := s.view().keysOf(""); len(keys) > 0 {
		u.CreateDate = new(keys[0].Created)
	}
	return &iamapi.GetUserOutput{User: u}, nil
}

// first makes sure that a caller without the permission hears that, and not err.
func (s *Service) first(ctx context.Context, operation string, err error) error {
	if denied := s.allow(ctx, operation, "*", conditions{}); denied != nil {
		return denied
	}
	return err
}

// ListUsers lists users under a path, sorted by name.
func (s *Service) ListUsers(ctx context.Context, in *iamapi.ListUsersInput) (*iamapi.ListUsersOutput, error) {
	users, err := s.list(ctx, "ListUsers", userKind, in.PathPrefix)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListUsersOutput{}
	users, out.IsTruncated, out.Marker, err = page(users, entityOrder, in.Marker, in.MaxItems)
	out.Users = each(users, func(u *entity) *iamapi.User { return s.userOut(u, false) })
	return out, err
}

// list authorises a listing of a kind and returns all that lie under the path.
func (s *Service) list(ctx context.Context, operation string, k kind, pathPrefix *string) ([]*entity, error) {
	prefix := "/"
	if pathPrefix != nil {
		prefix = *pathPrefix
	}
	if err := s.allow(ctx, operation, "arn:aws:iam::"+s.account+":"+string(k)+prefix, conditions{}); err != nil {
		return nil, err
	}
	return s.view().all(k, prefix), nil
}

// UpdateUser renames or moves a user; its unique ID, keys and policies stay. The new name needs the
// permission as well.
//
// Errors: NoSuchEntityException, EntityAlreadyExistsException.
func (s *Service) UpdateUser(ctx context.Context, in *iamapi.UpdateUserInput) (*iamapi.UpdateUserOutput, error) {
	err := s.rename(ctx, "UpdateUser", userKind, *in.UserName, in.NewUserName, in.NewPath)
	return &iamapi.UpdateUserOutput{}, err
}

func (s *Service) rename(ctx context.Context, operation string, k kind, name string, newName, newPath *string) error {
	return s.update(ctx, func(c *change) error {
		old, err := s.allowOn(ctx, c.view, operation, k, name, nil)
		if err != nil {
			return err
		}
		e := old.clone()
		if newName != nil {
			e.Name = *newName
		}
		if newPath != nil {
			e.Path = *newPath
		}
		if err := s.allow(ctx, operation, e.arn(s.account), conditions{}.of(e)); err != nil {
			return err
		}
		if err := checkPath(e.Path); err != nil {
			return err
		}
		if nameKey(k, e.Name) != nameKey(k, name) && c.taken(k, e.Name) {
			return alreadyExists(k, e.Name)
		}
		c.putEntity(e)
		return nil
	})
}

// DeleteUser deletes a user that has nothing left: no keys, policies or groups.
//
// Errors: NoSuchEntityException, DeleteConflictException.
func (s *Service) DeleteUser(ctx context.Context, in *iamapi.DeleteUserInput) (*iamapi.DeleteUserOutput, error) {
	err := s.update(ctx, func(c *change) error {
		name, root, err := s.nameOf(ctx, c.view, in.UserName)
		if root {
			err = validation("Must specify userName when calling with non-User credentials")
		}
		if err != nil {
			return s.first(ctx, "DeleteUser", err)
		}
		u, err := s.allowOn(ctx, c.view, "DeleteUser", userKind, name, nil)
		if err != nil {
			return err
		}
		if len(c.keysOf(u.ID)) > 0 {
			return conflict("delete access keys")
		}
		if len(u.Groups) > 0 {
			return conflict("remove users from group")
		}
		return c.deleteBare(u)
	})
	return &iamapi.DeleteUserOutput{}, err
}

// deleteBare deletes an entity unless policies are left.
func (c *change) deleteBare(e *entity) error {
	if len(e.Inline) > 0 {
		return conflict("delete policies")
	}
	if len(e.Attached) > 0 {
		return &iamapi.DeleteConflictException{Message: "Cannot delete entity, must detach all policies first."}
	}
	c.deleteEntity(e)
	return nil
}

// userOut shows a user; listings leave tags and boundary out.
func (s *Service) userOut(e *entity, full bool) *iamapi.User {
	u := &iamapi.User{
		Arn:        new(e.arn(s.account)),
		CreateDate: new(e.Created),
		Path:       new(e.Path),
		UserId:     new(e.ID),
		UserName:   new(e.Name),
	}
	if full {
		u.PermissionsBoundary, u.Tags = boundaryOut(e), tagsOut(e.Tags)
	}
	return u
}
