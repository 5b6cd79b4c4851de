// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"errors"
	"slices"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/meta"
)

// thingType is a row. Its name is its key.
type thingType struct {
	ID          string     `json:"id"`
	Description string     `json:"description,omitempty"`
	Searchable  []string   `json:"searchable,omitempty"`
	Created     time.Time  `json:"created"`
	Deprecated  *time.Time `json:"deprecated,omitempty"`
}

// typeDeleteDelay is how long a type must have been deprecated before it can be deleted.
const typeDeleteDelay = 5 * time.Minute

// CreateThingType makes a thing type; the same again is no error. Errors: ResourceAlreadyExistsException.
func (s *Service) CreateThingType(ctx context.Context, in *api.CreateThingTypeInput) (*api.CreateThingTypeOutput, error) {
	if err := s.allow(ctx, "CreateThingType", s.arn("thingtype", *in.ThingTypeName)); err != nil {
		return nil, err
	}
	if err := noTags(in.Tags); err != nil {
		return nil, err
	}
	want := &thingType{ID: newID(), Created: s.date()}
	if p := in.ThingTypeProperties; p != nil {
		want.Description, want.Searchable = value(p.ThingTypeDescription), p.SearchableAttributes
	}
	err := s.update(ctx, func(tx *change) error {
		switch old, err := get[thingType](tx, rowType, *in.ThingTypeName); {
		case errors.Is(err, meta.ErrNotFound):
			return put(tx, want, rowType, *in.ThingTypeName)
		case err != nil:
			return err
		case old.Description != want.Description || !slices.Equal(old.Searchable, want.Searchable):
			return exists("Thing type", *in.ThingTypeName)
		default:
			want.ID = old.ID
			return nil
		}
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "thingtype", *in.ThingTypeName)
	return &api.CreateThingTypeOutput{
		ThingTypeName: in.ThingTypeName, ThingTypeId: &want.ID, ThingTypeArn: new(s.arn("thingtype", *in.ThingTypeName)),
	}, nil
}

func (t *thingType) properties() *api.ThingTypeProperties {
	return &api.ThingTypeProperties{ThingTypeDescription: optional(t.Description), SearchableAttributes: append([]string{}, t.Searchable...)}
}

func (t *thingType) metadata() *api.ThingTypeMetadata {
	return &api.ThingTypeMetadata{CreationDate: &t.Created, Deprecated: new(t.Deprecated != nil), DeprecationDate: t.Deprecated}
}

// DescribeThingType shows a thing type. Errors: ResourceNotFoundException.
func (s *Service) DescribeThingType(ctx context.Context, in *api.DescribeThingTypeInput) (*api.DescribeThingTypeOutput, error) {
	name := *in.ThingTypeName
	if err := s.allow(ctx, "DescribeThingType", s.arn("thingtype", name)); err != nil {
		return nil, err
	}
	var t *thingType
	err := s.db.View(ctx, func(r meta.Reader) (err error) { t, err = get[thingType](r, rowType, name); return err })
	if err != nil {
		return nil, orNotFound(err, "Thing type", name)
	}
	return &api.DescribeThingTypeOutput{
		ThingTypeName: &name, ThingTypeArn: new(s.arn("thingtype", name)), ThingTypeId: &t.ID,
		ThingTypeProperties: t.properties(), ThingTypeMetadata: t.metadata(),
	}, nil
}

// ListThingTypes lists thing types by name.
func (s *Service) ListThingTypes(ctx context.Context, in *api.ListThingTypesInput) (*api.ListThingTypesOutput, error) {
	if err := s.allow(ctx, "ListThingTypes", "*"); err != nil {
		return nil, err
	}
	out := &api.ListThingTypesOutput{ThingTypes: []*api.ThingTypeDefinition{}}
	var err error
	out.NextToken, err = list(ctx, s, page{token: in.NextToken, most: in.MaxResults}, func(name string, t *thingType) bool {
		if in.ThingTypeName != nil && *in.ThingTypeName != name {
			return false
		}
		out.ThingTypes = append(out.ThingTypes, &api.ThingTypeDefinition{
			ThingTypeName: &name, ThingTypeArn: new(s.arn("thingtype", name)),
			ThingTypeProperties: t.properties(), ThingTypeMetadata: t.metadata(),
		})
		return true
	}, rowType)
	return out, err
}

// DeprecateThingType ends, or takes up again, the use of a type for things. Errors: ResourceNotFoundException.
func (s *Service) DeprecateThingType(ctx context.Context, in *api.DeprecateThingTypeInput) (*api.DeprecateThingTypeOutput, error) {
	err := s.changeType(ctx, "DeprecateThingType", *in.ThingTypeName, func(tx *change, t *thingType) error {
		switch {
		case value(in.UndoDeprecate):
			t.Deprecated = nil
		case t.Deprecated == nil:
			t.Deprecated = new(s.date())
		}
		return put(tx, t, rowType, *in.ThingTypeName)
	})
	if err != nil {
		return nil, err
	}
	return &api.DeprecateThingTypeOutput{}, nil
}

// DeleteThingType deletes a type five minutes after its deprecation. Errors: ResourceNotFoundException, InvalidRequestException.
func (s *Service) DeleteThingType(ctx context.Context, in *api.DeleteThingTypeInput) (*api.DeleteThingTypeOutput, error) {
	name := *in.ThingTypeName
	err := s.changeType(ctx, "DeleteThingType", name, func(tx *change, t *thingType) error {
		if t.Deprecated == nil || s.now().Before(t.Deprecated.Add(typeDeleteDelay)) {
			return invalid("Cannot delete thing type %s: it must have been deprecated for 5 minutes.", name)
		}
		used := false
		err := scan(tx, "", func(_ string, t *thing) (bool, error) { used = t.Type == name; return !used, nil }, rowThing)
		if used {
			return invalid("Cannot delete thing type %s: things have it.", name)
		}
		tx.remove(rowType, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteThingTypeOutput{}, nil
}

func (s *Service) changeType(ctx context.Context, operation, name string, do func(*change, *thingType) error) error {
	if err := s.allow(ctx, operation, s.arn("thingtype", name)); err != nil {
		return err
	}
	s.note(ctx, "thingtype", name)
	return s.update(ctx, func(tx *change) error {
		t, err := get[thingType](tx, rowType, name)
		if err != nil {
			return orNotFound(err, "Thing type", name)
		}
		return do(tx, t)
	})
}
