// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/policy"
)

// errBoundaryGone cannot happen while DeletePolicy does what it says; it fails closed if it did.
var errBoundaryGone = errors.New("iam: permissions boundary is gone")

// LookupAccessKey returns the secret of an active access key and whose it is, as of now. It does no I/O.
//
// Errors: ErrUnknownAccessKey, also for a key that is inactive.
func (s *Service) LookupAccessKey(_ context.Context, accessKeyID string) (access.Credential, error) {
	v := s.view()
	k := v.keys[accessKeyID]
	if k == nil || !k.Active {
		return access.Credential{}, ErrUnknownAccessKey
	}
	p, ok := s.rootPrincipal(), true
	if k.Owner != "" {
		p, ok = s.userPrincipal(v, k.Owner)
	}
	if !ok {
		return access.Credential{}, ErrUnknownAccessKey
	}
	p.AccessKeyID = k.ID
	return access.Credential{SecretAccessKey: string(k.Secret), Principal: p}, nil
}

// Principal returns the user with this unique ID as it is now, or the account's root when id is the account.
func (s *Service) Principal(_ context.Context, id string) (access.Principal, bool) {
	if id == s.account {
		return s.rootPrincipal(), true
	}
	return s.userPrincipal(s.view(), id)
}

func (s *Service) rootPrincipal() access.Principal {
	return access.Principal{Principal: policy.Principal{
		Kind: policy.Root, ARN: s.rootARN(), Account: s.account, UniqueID: s.account,
	}}
}

func (s *Service) userPrincipal(v *view, id string) (access.Principal, bool) {
	u := v.entities[id]
	if u == nil || u.Kind != userKind {
		return access.Principal{}, false
	}
	return access.Principal{
		Principal: policy.Principal{Kind: policy.User, ARN: u.arn(s.account), Account: s.account, UniqueID: u.ID},
		UserName:  u.Name,
		Tags:      tagMap(u.Tags),
	}, true
}

// A Role is what it takes to assume one.
type Role struct {
	ARN, Name, ID string
	Trust         *policy.Document
	MaxSession    time.Duration
	Tags          map[string]string
}

// Role returns the role with this ARN as it is now.
func (s *Service) Role(_ context.Context, roleARN string) (Role, bool) {
	r := s.view().byARN(s.account, roleARN)
	if r == nil || r.Kind != roleKind {
		return Role{}, false
	}
	return Role{
		ARN: roleARN, Name: r.Name, ID: r.ID, Trust: r.Trust.compiled,
		MaxSession: time.Duration(r.MaxSessionSeconds) * time.Second, Tags: tagMap(r.Tags),
	}, true
}

// ManagedPolicy returns the managed policy with this ARN as it is in force now.
func (s *Service) ManagedPolicy(_ context.Context, policyARN string) (*policy.Document, bool) {
	p := s.view().policies[policyARN]
	if p == nil {
		return nil, false
	}
	return p.compiled(), true
}

// UniqueID returns the unique ID of the user or role with this ARN: what a resource's policy should keep
// in place of the ARN.
func (s *Service) UniqueID(_ context.Context, principalARN string) (string, bool) {
	e := s.view().byARN(s.account, principalARN)
	if e == nil || e.Kind == groupKind {
		return "", false
	}
	return e.ID, true
}

// PoliciesFor implements access.IdentitySource: a user's own policies and its groups', a role's for its
// sessions, and for a federated user those of the user that made the session. Root and services have none.
//
// Errors: *access.Denied when the user, role or access key is gone or the key is inactive, so that a call that
// runs on, such as a stream, ends with the credentials that began it.
func (s *Service) PoliciesFor(_ context.Context, p *access.Principal) ([]*policy.Document, *policy.Document, error) {
	v, id := s.view(), p.UniqueID
	if p.Session == nil && p.AccessKeyID != "" {
		if k := v.keys[p.AccessKeyID]; k == nil || !k.Active {
			return nil, nil, gone(p)
		}
	}
	switch p.Kind {
	case policy.User:
	case policy.AssumedRole, policy.FederatedUser:
		if p.Session == nil {
			return nil, nil, gone(p)
		}
		id = p.Session.RoleID
		if p.Kind == policy.FederatedUser && id == s.account {
			return []*policy.Document{v.policies[administratorAccess].compiled()}, nil, nil // as root itself
		}
	default:
		return nil, nil, nil
	}
	e := v.entities[id]
	if e == nil {
		return nil, nil, gone(p)
	}
	return v.policiesOf(e)
}

func gone(p *access.Principal) error {
	return &access.Denied{Message: fmt.Sprintf("User: %s is not authorized because its credentials are no longer valid", p.ARN), Explicit: true}
}

func (v *view) policiesOf(e *entity) (identity []*policy.Document, boundary *policy.Document, err error) {
	if e.Boundary != "" {
		b := v.policies[e.Boundary]
		if b == nil {
			return nil, nil, errBoundaryGone
		}
		boundary = b.compiled()
	}
	identity = v.documents(e, nil)
	for _, id := range e.Groups {
		if g := v.entities[id]; g != nil {
			identity = v.documents(g, identity)
		}
	}
	return identity, boundary, nil
}

// documents appends the inline and attached policies of one entity.
func (v *view) documents(e *entity, to []*policy.Document) []*policy.Document {
	for _, d := range e.Inline {
		to = append(to, d.compiled)
	}
	for _, a := range e.Attached {
		if p := v.policies[a]; p != nil {
			to = append(to, p.compiled())
		}
	}
	return to
}
