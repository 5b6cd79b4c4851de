// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"strings"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/meta"
)

// certificateOf returns the ID in the ARN of one of our certificates.
func (s *Service) certificateOf(arn string) (string, error) {
	id, ok := strings.CutPrefix(arn, s.arn("cert", ""))
	if !ok || id == "" || strings.ContainsAny(id, "/:*?") {
		return "", invalid("The principal or target must be the ARN of a certificate of this account and region.")
	}
	return id, nil
}

// AttachThingPrincipal says that a certificate is a thing's. Errors: ResourceNotFoundException, InvalidRequestException.
func (s *Service) AttachThingPrincipal(ctx context.Context, in *api.AttachThingPrincipalInput) (*api.AttachThingPrincipalOutput, error) {
	err := s.onThing(ctx, "AttachThingPrincipal", *in.ThingName, *in.Principal, func(tx *change, id string) error {
		return tx.connect(rowThingCert, rowCertThing, *in.ThingName, id)
	})
	if err != nil {
		return nil, err
	}
	return &api.AttachThingPrincipalOutput{}, nil
}

// DetachThingPrincipal takes that back. Errors: ResourceNotFoundException, InvalidRequestException.
func (s *Service) DetachThingPrincipal(ctx context.Context, in *api.DetachThingPrincipalInput) (*api.DetachThingPrincipalOutput, error) {
	err := s.onThing(ctx, "DetachThingPrincipal", *in.ThingName, *in.Principal, func(tx *change, id string) error {
		tx.disconnect(rowThingCert, rowCertThing, *in.ThingName, id)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DetachThingPrincipalOutput{}, nil
}

func (s *Service) onThing(ctx context.Context, operation, thingName, principal string, do func(*change, string) error) error {
	if err := s.allow(ctx, operation, s.arn("thing", thingName)); err != nil {
		return err
	}
	id, err := s.certificateOf(principal)
	if err != nil {
		return err
	}
	s.note(ctx, "thing", thingName)
	s.note(ctx, "cert", id)
	return s.update(ctx, func(tx *change) error {
		if _, err := get[thing](tx, rowThing, thingName); err != nil {
			return orNotFound(err, "Thing", thingName)
		}
		if _, err := get[certificate](tx, rowCertificate, id); err != nil {
			return orNotFound(err, "Certificate", id)
		}
		return do(tx, id)
	})
}

// ListThingPrincipals lists the ARNs of a thing's certificates. Errors: ResourceNotFoundException.
func (s *Service) ListThingPrincipals(ctx context.Context, in *api.ListThingPrincipalsInput) (*api.ListThingPrincipalsOutput, error) {
	if err := s.allow(ctx, "ListThingPrincipals", s.arn("thing", *in.ThingName)); err != nil {
		return nil, err
	}
	err := s.db.View(ctx, func(r meta.Reader) error { _, err := get[thing](r, rowThing, *in.ThingName); return err })
	if err != nil {
		return nil, orNotFound(err, "Thing", *in.ThingName)
	}
	out := &api.ListThingPrincipalsOutput{Principals: []string{}}
	out.NextToken, err = list(ctx, s, page{token: in.NextToken, most: in.MaxResults}, func(id string, _ *link) bool {
		out.Principals = append(out.Principals, s.arn("cert", id))
		return true
	}, rowThingCert, *in.ThingName)
	return out, err
}

// ListPrincipalThings lists the names of the things that a certificate is attached to. Errors: ResourceNotFoundException, InvalidRequestException.
func (s *Service) ListPrincipalThings(ctx context.Context, in *api.ListPrincipalThingsInput) (*api.ListPrincipalThingsOutput, error) {
	if err := s.allow(ctx, "ListPrincipalThings", *in.Principal); err != nil {
		return nil, err
	}
	id, err := s.certificateOf(*in.Principal)
	if err != nil {
		return nil, err
	}
	err = s.db.View(ctx, func(r meta.Reader) error { _, err := get[certificate](r, rowCertificate, id); return err })
	if err != nil {
		return nil, orNotFound(err, "Certificate", id)
	}
	out := &api.ListPrincipalThingsOutput{Things: []string{}}
	out.NextToken, err = list(ctx, s, page{token: in.NextToken, most: in.MaxResults}, func(name string, _ *link) bool {
		out.Things = append(out.Things, name)
		return true
	}, rowCertThing, id)
	return out, err
}
