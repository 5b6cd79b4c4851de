// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"maps"
	"strings"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/policy"
)

// conditions are the condition keys that this service knows of a request, names in lower case.
//
// Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS IAM".
type conditions map[string][]string

// of adds what is known of the entity that is acted upon.
func (c conditions) of(e *entity) conditions {
	if e == nil {
		return c
	}
	if e.Boundary != "" && e.Kind != groupKind {
		c["iam:permissionsboundary"] = []string{e.Boundary}
	}
	return c.resourceTags(e.Tags)
}

func (c conditions) resourceTags(tags []tag) conditions {
	for _, t := range tags {
		name := "resourcetag/" + strings.ToLower(t.Key)
		c["aws:"+name] = []string{t.Value}
		c["iam:"+name] = []string{t.Value}
	}
	return c
}

// requestTags adds the tags that the request sets.
func (c conditions) requestTags(tags []tag) conditions {
	keys := make([]string, 0, len(tags))
	for _, t := range tags {
		c["aws:requesttag/"+strings.ToLower(t.Key)] = []string{t.Value}
		keys = append(keys, t.Key)
	}
	return c.tagKeys(keys)
}

func (c conditions) tagKeys(keys []string) conditions {
	if len(keys) > 0 {
		c["aws:tagkeys"] = keys
	}
	return c
}

// boundary adds the boundary that the request sets.
func (c conditions) boundary(arn string) conditions {
	if arn != "" {
		c["iam:permissionsboundary"] = []string{arn}
	}
	return c
}

func (c conditions) policyARN(arn string) conditions {
	c["iam:policyarn"] = []string{arn}
	return c
}

// allow decides whether the caller may do the operation to the resource. Sessions of GetSessionToken and
// GetFederationToken may use no operation of IAM whatever their policies say, unless MFA was used.
func (s *Service) allow(ctx context.Context, operation, resource string, c conditions) error {
	err := s.auth.Authorize(ctx, access.Request{
		Action:   "iam:" + operation,
		Resource: resource,
		Context:  c,
	})
	if err != nil {
		return err
	}
	call, ok := access.FromContext(ctx)
	if ok && call.Principal.Session != nil && call.Principal.Kind != policy.AssumedRole && !call.Principal.Session.MFA {
		return invalidToken()
	}
	return nil
}

// allowOn authorises an operation on the entity of that name and returns it. c holds what the request says, which
// goes before what is known of the entity. Whether it exists is revealed only to who may know.
func (s *Service) allowOn(ctx context.Context, v *view, operation string, k kind, name string, c conditions) (*entity, error) {
	e := v.find(k, name)
	all := conditions{}.of(e)
	maps.Copy(all, c)
	if err := s.allow(ctx, operation, s.arnOf(e, k, name), all); err != nil {
		return nil, err
	}
	if e == nil {
		return nil, noSuch(k, name)
	}
	access.AddResource(ctx, e.arn(s.account), "AWS::IAM::"+k.title())
	return e, nil
}

// arnOf returns the ARN of e, or that which an entity of that name would have.
func (s *Service) arnOf(e *entity, k kind, name string) string {
	if e == nil {
		e = &entity{Kind: k, Path: "/", Name: name}
	}
	return e.arn(s.account)
}

// caller returns who calls; the anonymous principal when nobody is known.
func caller(ctx context.Context) access.Principal {
	if call, ok := access.FromContext(ctx); ok {
		return call.Principal
	}
	return access.Principal{}
}

// nameOf returns the user name that an operation is about: the given one, or the caller's own. root is
// true when the caller is the account's root and gave no name.
func (s *Service) nameOf(ctx context.Context, v *view, given *string) (name string, root bool, err error) {
	if given != nil {
		return *given, false, nil
	}
	p := caller(ctx)
	switch p.Kind {
	case policy.Root:
		return "", true, nil
	case policy.User:
		if e := v.entities[p.UniqueID]; e != nil {
			return e.Name, false, nil
		}
	}
	return "", false, validation("Must specify userName when calling with non-User credentials")
}

func (s *Service) rootARN() string { return "arn:aws:iam::" + s.account + ":root" }
