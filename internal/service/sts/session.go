// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/policy"
)

const (
	defaultUserSession = 12 * time.Hour
	maxRootSession     = time.Hour
)

// GetCallerIdentity says who calls. It needs no permission, and no policy can deny it.
func (s *Service) GetCallerIdentity(ctx context.Context, _ *stsapi.GetCallerIdentityInput) (*stsapi.GetCallerIdentityOutput, error) {
	access.Exempt(ctx)
	p := caller(ctx)
	return &stsapi.GetCallerIdentityOutput{Account: &p.Account, Arn: &p.ARN, UserId: &p.UniqueID}, nil
}

// GetAccessKeyInfo says to which account an access key belongs: there is one.
func (s *Service) GetAccessKeyInfo(ctx context.Context, in *stsapi.GetAccessKeyInfoInput) (*stsapi.GetAccessKeyInfoOutput, error) {
	if err := s.allow(ctx, "sts:GetAccessKeyInfo", "*", nil); err != nil {
		return nil, err
	}
	id := *in.AccessKeyId
	if !strings.HasPrefix(id, "AKIA") && !strings.HasPrefix(id, "ASIA") {
		return nil, validation("The access key ID " + id + " is not valid.")
	}
	return &stsapi.GetAccessKeyInfoOutput{Account: &s.account}, nil
}

// allow decides an operation that is not about a role. Sessions of GetSessionToken and GetFederationToken may use
// none of them.
func (s *Service) allow(ctx context.Context, action, resource string, c map[string][]string) error {
	if err := s.auth.Authorize(ctx, access.Request{Action: action, Resource: resource, Context: c}); err != nil {
		return err
	}
	if p := caller(ctx); p.Session != nil && p.Kind != policy.AssumedRole {
		return s.denied(ctx, action, resource)
	}
	return nil
}

// GetSessionToken makes credentials of the caller itself, who is a user or root with an access key. It needs no
// permission.
//
// Errors: *access.Denied for a caller with temporary credentials.
func (s *Service) GetSessionToken(ctx context.Context, in *stsapi.GetSessionTokenInput) (*stsapi.GetSessionTokenOutput, error) {
	access.Exempt(ctx)
	if err := longTerm(caller(ctx), "GetSessionToken"); err != nil {
		return nil, err
	}
	if in.TokenCode != nil || in.SerialNumber != nil {
		return nil, &access.Denied{Message: "MultiFactorAuthentication failed with invalid MFA one time pass code. "}
	}
	se := &session{Kind: userSession, ID: caller(ctx).UniqueID}
	c, _, err := s.issue(se, userLifetime(caller(ctx), in.DurationSeconds))
	if err != nil {
		return nil, err
	}
	return &stsapi.GetSessionTokenOutput{Credentials: c}, nil
}

func longTerm(p *access.Principal, operation string) error {
	if p.Session != nil || p.Kind != policy.User && p.Kind != policy.Root {
		return &access.Denied{Message: "Cannot call " + operation + " with session credentials"}
	}
	return nil
}

// userLifetime is at most an hour for root, whatever was asked for.
func userLifetime(p *access.Principal, seconds *int64) time.Duration {
	lifetime := defaultUserSession
	if seconds != nil {
		lifetime = time.Duration(*seconds) * time.Second
	}
	if p.Kind == policy.Root {
		return min(lifetime, maxRootSession)
	}
	return lifetime
}

// GetFederationToken makes credentials for somebody whom the caller, a user or root with an access key, vouches
// for. They may do what both the caller's policies and the session policies allow: nothing without the latter.
//
// Errors: MalformedPolicyDocumentException, PackedPolicyTooLargeException, *access.Denied, ValidationError.
func (s *Service) GetFederationToken(ctx context.Context, in *stsapi.GetFederationTokenInput) (*stsapi.GetFederationTokenOutput, error) {
	cond := map[string][]string{}
	addRequestTags(cond, in.Tags)
	actions := []string{"sts:GetFederationToken"}
	if len(in.Tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	for _, action := range actions {
		if err := s.auth.Authorize(ctx, access.Request{Action: action, Resource: s.federatedARN(*in.Name), Context: cond}); err != nil {
			return nil, err
		}
	}
	p := caller(ctx)
	if err := longTerm(p, "GetFederationToken"); err != nil {
		return nil, err
	}
	se := &session{Kind: federatedSession, ID: p.UniqueID, Name: *in.Name}
	var err error
	if se.Tags, _, err = sessionTags(p, in.Tags, nil); err != nil {
		return nil, err
	}
	if err := s.sessionPolicies(ctx, se, in.Policy, in.PolicyArns); err != nil {
		return nil, err
	}
	c, size, err := s.issue(se, userLifetime(p, in.DurationSeconds))
	if err != nil {
		return nil, err
	}
	return &stsapi.GetFederationTokenOutput{
		Credentials: c, PackedPolicySize: size,
		FederatedUser: &stsapi.FederatedUser{
			Arn: new(s.federatedARN(se.Name)), FederatedUserId: new(s.account + ":" + se.Name),
		},
	}, nil
}
