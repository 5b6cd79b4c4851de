// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/oidc"
	"github.com/obscura-video/obscura/internal/policy"
)

// Providers knows the OpenID Connect providers of the account as they are at this moment.
type Providers interface {
	// Provider returns the provider of an issuer and its ARN.
	Provider(ctx context.Context, issuer string) (arn string, p oidc.Provider, ok bool)
}

// TokenVerifier verifies the tokens of identity providers; oidc.Verifier is one.
type TokenVerifier interface {
	// Verify returns the claims of a token that p issued for one of its clients, or one of oidc's errors.
	Verify(ctx context.Context, p oidc.Provider, token string) (oidc.Claims, error)
}

// AssumeRoleWithWebIdentity makes credentials of a role for the bearer of an OpenID Connect ID token. Nobody signs the
// request: the token is the proof. The role's trust policy must allow it to the provider, which it names as Federated;
// the claims are condition keys. What the issuer says of the session (tags, source identity) needs sts:TagSession and
// sts:SetSourceIdentity. A role that does not exist and one that does not trust the bearer give the same answer.
//
// Errors: InvalidIdentityTokenException, ExpiredTokenException, IDPCommunicationErrorException, IDPRejectedClaimException;
// *access.Denied; MalformedPolicyDocumentException, PackedPolicyTooLargeException, ValidationError.
//
// Source: AWS STS API Reference, AssumeRoleWithWebIdentity; deviations in docs/compat/sts.md.
func (s *Service) AssumeRoleWithWebIdentity(ctx context.Context, in *stsapi.AssumeRoleWithWebIdentityInput) (*stsapi.AssumeRoleWithWebIdentityOutput, error) {
	b, err := s.bearer(ctx, in)
	if err != nil {
		access.Exempt(ctx) // there is nobody yet to decide about
		return nil, err
	}
	ask := b.ask(in)
	if err := checkAsk(ask); err != nil {
		access.Exempt(ctx)
		return nil, err
	}
	if !access.Identify(ctx, b.principal()) {
		return nil, errors.New("sts: web identity: the caller is known already")
	}
	role, known := s.directory.Role(ctx, *in.RoleArn)
	refused, err := s.decideTrust(ctx, "sts:AssumeRoleWithWebIdentity", ask, role, b.conditions(ask, role))
	if err != nil {
		return nil, err
	}
	if refused != "" || !known {
		return nil, &access.Denied{Message: "Not authorized to perform sts:AssumeRoleWithWebIdentity"}
	}
	out, err := s.assumed(ctx, ask, role, &session{
		Kind: roleSession, ID: role.ID, RoleARN: *in.RoleArn, Name: *in.RoleSessionName, SourceIdentity: b.SourceIdentity, Web: &b.web,
	})
	if err != nil {
		return nil, err
	}
	return &stsapi.AssumeRoleWithWebIdentityOutput{
		AssumedRoleUser: out.AssumedRoleUser, Credentials: out.Credentials, PackedPolicySize: out.PackedPolicySize,
		SourceIdentity: out.SourceIdentity, Audience: &b.client, Provider: &b.Issuer, SubjectFromWebIdentityToken: &b.Subject,
	}, nil
}

// bearer is who has brought a token.
type bearer struct {
	oidc.Claims
	web    access.WebIdentity
	client string // the one that the token was taken for
}

// bearer verifies the token of a request.
func (s *Service) bearer(ctx context.Context, in *stsapi.AssumeRoleWithWebIdentityInput) (*bearer, error) {
	if in.ProviderId != nil {
		return nil, validation("ProviderId is for OAuth 2.0 access tokens, which are not taken.")
	}
	issuer, err := oidc.Issuer(*in.WebIdentityToken)
	if err != nil {
		return nil, tokenError(err, issuer)
	}
	arn, provider, ok := s.provider(ctx, issuer)
	if !ok {
		return nil, &stsapi.InvalidIdentityTokenException{Message: "No OpenIDConnect provider found in your account for " + issuer}
	}
	claims, err := s.tokens.Verify(ctx, provider, *in.WebIdentityToken)
	if err != nil {
		return nil, tokenError(err, issuer)
	}
	b := &bearer{Claims: claims, client: claims.AuthorizedParty}
	b.web = access.WebIdentity{
		Provider: arn, Issuer: oidc.Name(issuer), Subject: claims.Subject, Audience: claims.Audience, Methods: claims.Methods,
	}
	if b.client != "" { // as AWS: who may use the token counts, where it says so
		b.web.Audience = []string{b.client}
		return b, nil
	}
	b.client = claims.Audience[slices.IndexFunc(claims.Audience, func(a string) bool { return slices.Contains(provider.ClientIDs, a) })]
	return b, nil
}

func (s *Service) provider(ctx context.Context, issuer string) (arn string, p oidc.Provider, ok bool) {
	if s.providers == nil || s.tokens == nil {
		return "", oidc.Provider{}, false
	}
	return s.providers.Provider(ctx, issuer)
}

// tokenError is the API's error for one of oidc's.
func tokenError(err error, issuer string) error {
	switch {
	case errors.Is(err, oidc.ErrExpired):
		return &stsapi.ExpiredTokenException{Message: "Token expired: the current time must be before its expiration time"}
	case errors.Is(err, oidc.ErrUnreachable):
		return &stsapi.IDPCommunicationErrorException{Message: "Couldn't retrieve verification key from your identity provider " + issuer}
	case errors.Is(err, oidc.ErrAudience):
		return &stsapi.InvalidIdentityTokenException{Message: "Incorrect token audience"}
	case errors.Is(err, oidc.ErrNotYet):
		return &stsapi.InvalidIdentityTokenException{Message: "The ID Token provided is not valid yet."}
	case errors.Is(err, oidc.ErrSignature):
		return &stsapi.InvalidIdentityTokenException{Message: "The signature of the ID Token provided does not verify."}
	case errors.Is(err, oidc.ErrMalformed), errors.Is(err, oidc.ErrIssuer):
		return &stsapi.InvalidIdentityTokenException{Message: "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"}
	}
	return fmt.Errorf("sts: web identity: %w", err)
}

// ask is the request with what the issuer says of the session, as AssumeRole would have it.
func (b *bearer) ask(in *stsapi.AssumeRoleWithWebIdentityInput) *stsapi.AssumeRoleInput {
	ask := &stsapi.AssumeRoleInput{
		RoleArn: in.RoleArn, RoleSessionName: in.RoleSessionName, DurationSeconds: in.DurationSeconds,
		Policy: in.Policy, PolicyArns: in.PolicyArns, TransitiveTagKeys: b.Transitive,
	}
	for _, k := range slices.Sorted(maps.Keys(b.Tags)) {
		ask.Tags = append(ask.Tags, &stsapi.Tag{Key: new(k), Value: new(b.Tags[k])})
	}
	if b.SourceIdentity != "" {
		ask.SourceIdentity = &b.SourceIdentity
	}
	return ask
}

// checkAsk holds tags and source identity, which no request has been checked for, against the rules of AssumeRole.
func checkAsk(ask *stsapi.AssumeRoleInput) error {
	var c protocol.Check
	ask.Validate(&c)
	if text := c.Err(); text != "" {
		return &stsapi.IDPRejectedClaimException{Message: text}
	}
	return nil
}

// principal is the bearer before it has a role.
func (b *bearer) principal() access.Principal {
	return access.Principal{
		Principal: policy.Principal{
			Kind: policy.WebIdentity, ARN: b.web.Provider, UniqueID: b.web.Provider + ":" + b.client + ":" + b.Subject,
		},
		UserName: b.Subject,
	}
}

// conditions are the condition keys of the trust policy, names in lower case.
func (b *bearer) conditions(ask *stsapi.AssumeRoleInput, role Role) map[string][]string {
	c := trustConditions(ask, role, b.SourceIdentity)
	c["aws:federatedprovider"] = []string{b.web.Provider}
	for _, name := range [...]string{"sub", "aud", "amr"} {
		key := strings.ToLower(b.web.Issuer) + ":" + name
		if v, ok := b.web.Value(key); ok {
			c[key] = v
		}
	}
	return c
}
