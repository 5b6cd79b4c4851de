// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"regexp"
	"strings"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/meta"
)

// thing is a row. Its name is its key.
type thing struct {
	ID         string            `json:"id"`
	Type       string            `json:"type,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Version    int64             `json:"version"`
}

const (
	maxAttributes        = 50
	maxAttributesUntyped = 3 // of a thing without a type
)

var (
	attributeName  = regexp.MustCompile(`\A[a-zA-Z0-9_.,@/:#-]{1,128}\z`)
	attributeValue = regexp.MustCompile(`\A[a-zA-Z0-9_.,@/:#-]{0,800}\z`)
)

// newID makes the unique ID of a thing or thing type.
func newID() string { return strings.ToLower(rand.Text()) }

func checkAttributes(attributes map[string]string, typed bool) error {
	most := maxAttributesUntyped
	if typed {
		most = maxAttributes
	}
	if len(attributes) > most {
		return invalid("A thing with this configuration can have at most %d attributes.", most)
	}
	for k, v := range attributes {
		if !attributeName.MatchString(k) || !attributeValue.MatchString(v) {
			return invalid("Attribute names and values may hold letters, digits and _.,@/:#- only.")
		}
	}
	return nil
}

// usableType checks that a thing may be given this type.
func usableType(r meta.Reader, name string) error {
	if name == "" {
		return nil
	}
	t, err := get[thingType](r, rowType, name)
	if err != nil {
		return orNotFound(err, "Thing type", name)
	}
	if t.Deprecated != nil {
		return invalid("Thing type %s is deprecated.", name)
	}
	return nil
}

// CreateThing makes a thing. Made again with the same properties, it answers with the one there is.
//
// Errors: ResourceAlreadyExistsException, ResourceNotFoundException (thing type), InvalidRequestException.
func (s *Service) CreateThing(ctx context.Context, in *api.CreateThingInput) (*api.CreateThingOutput, error) {
	if err := s.allow(ctx, "CreateThing", s.arn("thing", *in.ThingName)); err != nil {
		return nil, err
	}
	if in.BillingGroupName != nil {
		return nil, invalid("Billing groups are not supported by Obscura.")
	}
	want := &thing{Type: value(in.ThingTypeName), Version: 1, ID: newID()}
	if in.AttributePayload != nil {
		want.Attributes = in.AttributePayload.Attributes
	}
	if err := checkAttributes(want.Attributes, want.Type != ""); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(tx *change) error {
		switch old, err := get[thing](tx, rowThing, *in.ThingName); {
		case errors.Is(err, meta.ErrNotFound):
		case err != nil:
			return err
		case old.Type != want.Type || !maps.Equal(old.Attributes, want.Attributes):
			return exists("Thing", *in.ThingName)
		default:
			want.ID = old.ID
			return nil
		}
		if err := usableType(tx, want.Type); err != nil {
			return err
		}
		return put(tx, want, rowThing, *in.ThingName)
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "thing", *in.ThingName)
	return &api.CreateThingOutput{ThingArn: new(s.arn("thing", *in.ThingName)), ThingId: &want.ID, ThingName: in.ThingName}, nil
}

// note puts a resource into the call's audit event.
func (s *Service) note(ctx context.Context, kind, name string) {
	access.AddResource(ctx, s.arn(kind, name), map[string]string{
		"thing": "AWS::IoT::Thing", "cert": "AWS::IoT::Certificate", "policy": "AWS::IoT::Policy", "rolealias": "AWS::IoT::RoleAlias",
		"thingtype": "AWS::IoT::ThingType", "provisioningtemplate": "AWS::IoT::ProvisioningTemplate",
	}[kind])
}

// DescribeThing shows a thing. Errors: ResourceNotFoundException.
func (s *Service) DescribeThing(ctx context.Context, in *api.DescribeThingInput) (*api.DescribeThingOutput, error) {
	if err := s.allow(ctx, "DescribeThing", s.arn("thing", *in.ThingName)); err != nil {
		return nil, err
	}
	var t *thing
	err := s.db.View(ctx, func(r meta.Reader) (err error) { t, err = get[thing](r, rowThing, *in.ThingName); return err })
	if err != nil {
		return nil, orNotFound(err, "Thing", *in.ThingName)
	}
	return &api.DescribeThingOutput{
		ThingName: in.ThingName, ThingArn: new(s.arn("thing", *in.ThingName)), ThingId: &t.ID, DefaultClientId: in.ThingName,
		ThingTypeName: optional(t.Type), Attributes: notNil(t.Attributes), Version: &t.Version,
	}, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func notNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// ListThings lists things by name, those of a type or with an attribute when these are given.
func (s *Service) ListThings(ctx context.Context, in *api.ListThingsInput) (*api.ListThingsOutput, error) {
	if err := s.allow(ctx, "ListThings", "*"); err != nil {
		return nil, err
	}
	out := &api.ListThingsOutput{Things: []*api.ThingAttribute{}}
	var err error
	out.NextToken, err = list(ctx, s, page{token: in.NextToken, most: in.MaxResults}, func(name string, t *thing) bool {
		if !matches(t, in) {
			return false
		}
		out.Things = append(out.Things, &api.ThingAttribute{
			ThingName: &name, ThingArn: new(s.arn("thing", name)), ThingTypeName: optional(t.Type),
			Attributes: notNil(t.Attributes), Version: &t.Version,
		})
		return true
	}, rowThing)
	return out, err
}

func matches(t *thing, in *api.ListThingsInput) bool {
	if in.ThingTypeName != nil && t.Type != *in.ThingTypeName {
		return false
	}
	if in.AttributeName == nil {
		return true
	}
	got, ok := t.Attributes[*in.AttributeName]
	if value(in.UsePrefixAttributeValue) {
		return ok && strings.HasPrefix(got, value(in.AttributeValue))
	}
	return ok && got == value(in.AttributeValue)
}

// UpdateThing changes type and attributes. Errors: ResourceNotFoundException, VersionConflictException, InvalidRequestException.
func (s *Service) UpdateThing(ctx context.Context, in *api.UpdateThingInput) (*api.UpdateThingOutput, error) {
	if err := s.allow(ctx, "UpdateThing", s.arn("thing", *in.ThingName)); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(tx *change) error {
		t, err := s.thingAt(tx, *in.ThingName, in.ExpectedVersion)
		if err != nil {
			return err
		}
		switch {
		case value(in.RemoveThingType):
			t.Type = ""
		case in.ThingTypeName != nil:
			t.Type = *in.ThingTypeName
			if err := usableType(tx, t.Type); err != nil {
				return err
			}
		}
		t.setAttributes(in.AttributePayload)
		if err := checkAttributes(t.Attributes, t.Type != ""); err != nil {
			return err
		}
		t.Version++
		return put(tx, t, rowThing, *in.ThingName)
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "thing", *in.ThingName)
	return &api.UpdateThingOutput{}, nil
}

// setAttributes replaces the attributes, or merges; an empty value takes an attribute away.
func (t *thing) setAttributes(p *api.AttributePayload) {
	if p == nil {
		return
	}
	merged := map[string]string{}
	if value(p.Merge) {
		maps.Copy(merged, t.Attributes)
	}
	maps.Copy(merged, p.Attributes)
	maps.DeleteFunc(merged, func(_, v string) bool { return v == "" })
	t.Attributes = merged
}

// thingAt reads a thing of an expected version.
func (s *Service) thingAt(r meta.Reader, name string, expected *int64) (*thing, error) {
	t, err := get[thing](r, rowThing, name)
	if err != nil {
		return nil, orNotFound(err, "Thing", name)
	}
	if expected != nil && *expected != 0 && *expected != t.Version {
		return nil, &api.VersionConflictException{Message: "The expected version does not match the thing's."}
	}
	return t, nil
}

// DeleteThing deletes a thing that no certificate is attached to. A thing that is not there is no error, as on AWS.
//
// Errors: InvalidRequestException, VersionConflictException.
func (s *Service) DeleteThing(ctx context.Context, in *api.DeleteThingInput) (*api.DeleteThingOutput, error) {
	if err := s.allow(ctx, "DeleteThing", s.arn("thing", *in.ThingName)); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(tx *change) error {
		switch _, err := s.thingAt(tx, *in.ThingName, in.ExpectedVersion); {
		case errors.As(err, new(*api.ResourceNotFoundException)):
			return nil
		case err != nil:
			return err
		}
		attached, err := names(tx, rowThingCert, *in.ThingName)
		if err != nil {
			return err
		}
		if len(attached) > 0 {
			return invalid("Cannot delete. Thing %s is still attached to one or more principals", *in.ThingName)
		}
		tx.remove(rowThing, *in.ThingName)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "thing", *in.ThingName)
	return &api.DeleteThingOutput{}, nil
}
