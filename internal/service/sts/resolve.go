// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"maps"
	"strings"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/policy"
)

// Resolve says what temporary credentials stand for at this moment: their secret and their principal, with
// tags and policies as they are now.
//
// Errors: ErrInvalidToken when the token is not one of this access key, or its role or user is gone (also when
// another has its name by now), or its device's certificate is not in force any more; ErrExpiredToken.
func (s *Service) Resolve(ctx context.Context, accessKeyID, sessionToken string) (access.Credential, error) {
	se, err := s.open(accessKeyID, sessionToken)
	if err != nil {
		return access.Credential{}, err
	}
	if !s.now().Before(se.expires()) {
		return access.Credential{}, ErrExpiredToken
	}
	p, ok := s.principal(ctx, se)
	if !ok || !s.inForce(se.Device) {
		return access.Credential{}, ErrInvalidToken
	}
	p.AccessKeyID = accessKeyID
	p.Session.Created, p.Session.Expires = se.created(), se.expires()
	p.Session.SourceIdentity, p.Session.TransitiveTags = se.SourceIdentity, se.Transitive
	p.Session.Device, p.Session.Web = se.Device, se.Web
	s.addPolicies(ctx, p.Session, se)
	return access.Credential{SecretAccessKey: se.Secret, Principal: p}, nil
}

// inForce says whether a session may go on as far as its device is concerned.
func (s *Service) inForce(d *access.Device) bool {
	return d == nil || s.certs != nil && s.certs.InForce(d.CertificateID)
}

// principal makes the principal of a session out of what its role or user is now.
func (s *Service) principal(ctx context.Context, se *session) (access.Principal, bool) {
	switch se.Kind {
	case roleSession:
		r, ok := s.directory.Role(ctx, se.RoleARN)
		return s.rolePrincipal(r, se), ok && r.ID == se.ID
	case userSession:
		p, ok := s.directory.Principal(ctx, se.ID)
		p.Session = &access.Session{}
		return p, ok
	case federatedSession:
		maker, ok := s.directory.Principal(ctx, se.ID)
		return s.federatedPrincipal(maker, se), ok
	}
	return access.Principal{}, false
}

func (s *Service) rolePrincipal(r Role, se *session) access.Principal {
	return access.Principal{
		Principal: policy.Principal{
			Kind: policy.AssumedRole, ARN: s.sessionARN(r.Name, se.Name), Account: s.account,
			RoleARN: r.ARN, UniqueID: r.ID + ":" + se.Name,
		},
		UserName: se.Name,
		Tags:     overlaid(r.Tags, se.Tags),
		Session:  &access.Session{RoleName: r.Name, RoleID: r.ID},
	}
}

func (s *Service) federatedPrincipal(maker access.Principal, se *session) access.Principal {
	return access.Principal{
		Principal: policy.Principal{
			Kind: policy.FederatedUser, ARN: s.federatedARN(se.Name), Account: s.account, UniqueID: s.account + ":" + se.Name,
		},
		UserName: se.Name,
		Tags:     overlaid(maker.Tags, se.Tags),
		Session:  &access.Session{RoleName: maker.UserName, RoleID: se.ID},
	}
}

func (s *Service) sessionARN(role, session string) string {
	return "arn:aws:sts::" + s.account + ":assumed-role/" + role + "/" + session
}

func (s *Service) federatedARN(name string) string {
	return "arn:aws:sts::" + s.account + ":federated-user/" + name
}

// addPolicies sets the session policies. A managed one that is gone allows nothing.
func (s *Service) addPolicies(ctx context.Context, to *access.Session, se *session) {
	// A federated user without policies has no rights of its maker's.
	to.HasPolicies = se.hasPolicies() || se.Kind == federatedSession
	if se.compiled != nil {
		to.Policies = append(to.Policies, se.compiled)
	}
	for _, arn := range se.PolicyARNs {
		if d, ok := s.directory.ManagedPolicy(ctx, arn); ok {
			to.Policies = append(to.Policies, d)
		}
	}
}

// overlaid returns base with the tags of top; keys are compared without case.
func overlaid(base, top map[string]string) map[string]string {
	out := maps.Clone(base)
	if out == nil {
		out = make(map[string]string, len(top))
	}
	for k, v := range top {
		maps.DeleteFunc(out, func(old, _ string) bool { return strings.EqualFold(old, k) })
		out[k] = v
	}
	return out
}
