// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/meta"
)

// roleAlias is a row. Its name is its key.
type roleAlias struct {
	RoleARN  string    `json:"role"`
	Seconds  int64     `json:"seconds"`
	Created  time.Time `json:"created"`
	Modified time.Time `json:"modified"`
}

const defaultCredentialSeconds = 3600

// credentialsService is the service that assumes roles for devices.
const credentialsService = "credentials.iot.amazonaws.com"

// CreateRoleAlias gives devices a name to ask for a role by. The caller must be allowed to pass the role on.
//
// Errors: ResourceAlreadyExistsException.
func (s *Service) CreateRoleAlias(ctx context.Context, in *api.CreateRoleAliasInput) (*api.CreateRoleAliasOutput, error) {
	name := *in.RoleAlias
	if err := s.allow(ctx, "CreateRoleAlias", s.arn("rolealias", name)); err != nil {
		return nil, err
	}
	if err := s.pass(ctx, *in.RoleArn, credentialsService); err != nil {
		return nil, err
	}
	if err := noTags(in.Tags); err != nil {
		return nil, err
	}
	now := s.date()
	a := &roleAlias{RoleARN: *in.RoleArn, Seconds: defaultCredentialSeconds, Created: now, Modified: now}
	if in.CredentialDurationSeconds != nil {
		a.Seconds = *in.CredentialDurationSeconds
	}
	err := s.update(ctx, func(tx *change) error {
		if err := absent(tx, &api.ResourceAlreadyExistsException{Message: "Role alias " + name + " already exists."}, rowAlias, name); err != nil {
			return err
		}
		return put(tx, a, rowAlias, name)
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "rolealias", name)
	return &api.CreateRoleAliasOutput{RoleAlias: &name, RoleAliasArn: new(s.arn("rolealias", name))}, nil
}

// DescribeRoleAlias shows a role alias. Errors: ResourceNotFoundException.
func (s *Service) DescribeRoleAlias(ctx context.Context, in *api.DescribeRoleAliasInput) (*api.DescribeRoleAliasOutput, error) {
	name := *in.RoleAlias
	if err := s.allow(ctx, "DescribeRoleAlias", s.arn("rolealias", name)); err != nil {
		return nil, err
	}
	var a *roleAlias
	err := s.db.View(ctx, func(r meta.Reader) (err error) { a, err = get[roleAlias](r, rowAlias, name); return err })
	if err != nil {
		return nil, orNotFound(err, "Role alias", name)
	}
	return &api.DescribeRoleAliasOutput{RoleAliasDescription: &api.RoleAliasDescription{
		RoleAlias: &name, RoleAliasArn: new(s.arn("rolealias", name)), RoleArn: &a.RoleARN, Owner: &s.account,
		CredentialDurationSeconds: &a.Seconds, CreationDate: &a.Created, LastModifiedDate: &a.Modified,
	}}, nil
}

// ListRoleAliases lists role aliases by name.
func (s *Service) ListRoleAliases(ctx context.Context, in *api.ListRoleAliasesInput) (*api.ListRoleAliasesOutput, error) {
	if err := s.allow(ctx, "ListRoleAliases", "*"); err != nil {
		return nil, err
	}
	out := &api.ListRoleAliasesOutput{RoleAliases: []string{}}
	var err error
	out.NextMarker, err = list(ctx, s, page{in.Marker, in.PageSize, descending(in.AscendingOrder)}, func(name string, _ *roleAlias) bool {
		out.RoleAliases = append(out.RoleAliases, name)
		return true
	}, rowAlias)
	return out, err
}

// UpdateRoleAlias changes role and duration; credentials that were handed out stay. Errors: ResourceNotFoundException.
func (s *Service) UpdateRoleAlias(ctx context.Context, in *api.UpdateRoleAliasInput) (*api.UpdateRoleAliasOutput, error) {
	name := *in.RoleAlias
	if err := s.allow(ctx, "UpdateRoleAlias", s.arn("rolealias", name)); err != nil {
		return nil, err
	}
	if in.RoleArn != nil {
		if err := s.pass(ctx, *in.RoleArn, credentialsService); err != nil {
			return nil, err
		}
	}
	err := s.update(ctx, func(tx *change) error {
		a, err := get[roleAlias](tx, rowAlias, name)
		if err != nil {
			return orNotFound(err, "Role alias", name)
		}
		if in.RoleArn != nil {
			a.RoleARN = *in.RoleArn
		}
		if in.CredentialDurationSeconds != nil {
			a.Seconds = *in.CredentialDurationSeconds
		}
		a.Modified = s.date()
		return put(tx, a, rowAlias, name)
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "rolealias", name)
	return &api.UpdateRoleAliasOutput{RoleAlias: &name, RoleAliasArn: new(s.arn("rolealias", name))}, nil
}

// DeleteRoleAlias deletes a role alias. Errors: ResourceNotFoundException.
func (s *Service) DeleteRoleAlias(ctx context.Context, in *api.DeleteRoleAliasInput) (*api.DeleteRoleAliasOutput, error) {
	name := *in.RoleAlias
	if err := s.allow(ctx, "DeleteRoleAlias", s.arn("rolealias", name)); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(tx *change) error {
		if err := present(tx, notFound("Role alias", name), rowAlias, name); err != nil {
			return err
		}
		tx.remove(rowAlias, name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "rolealias", name)
	return &api.DeleteRoleAliasOutput{}, nil
}

// DescribeEndpoint says where devices obtain credentials: endpoint type iot:CredentialProvider alone, since there is
// no MQTT. The address has a port where it is not the usual one.
//
// Errors: InvalidRequestException.
func (s *Service) DescribeEndpoint(ctx context.Context, in *api.DescribeEndpointInput) (*api.DescribeEndpointOutput, error) {
	if err := s.allow(ctx, "DescribeEndpoint", "*"); err != nil {
		return nil, err
	}
	if value(in.EndpointType) != "iot:CredentialProvider" {
		return nil, invalid("Obscura has the endpoint type iot:CredentialProvider only.")
	}
	if s.deviceEndpoint == "" {
		return nil, invalid("The device listener of this server is off.")
	}
	return &api.DescribeEndpointOutput{EndpointAddress: &s.deviceEndpoint}, nil
}
