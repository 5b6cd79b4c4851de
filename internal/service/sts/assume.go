// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/policy"
)

const (
	defaultRoleSession = time.Hour
	maxChainedSession  = time.Hour
	maxPolicyARNs      = 10
	maxPolicyText      = 2048 // characters
)

// AssumeRole makes credentials of a role for whom its trust policy names.
//
// Trust must also allow sts:TagSession when tags are passed, and sts:SetSourceIdentity when the session has a
// source identity. A role that does not exist and one that does not trust the caller give the same answer.
//
// Errors: MalformedPolicyDocumentException, PackedPolicyTooLargeException, *access.Denied, ValidationError.
func (s *Service) AssumeRole(ctx context.Context, in *stsapi.AssumeRoleInput) (*stsapi.AssumeRoleOutput, error) {
	role, known := s.directory.Role(ctx, *in.RoleArn)
	se := &session{Kind: roleSession, ID: role.ID, RoleARN: *in.RoleArn, Name: *in.RoleSessionName}
	se.SourceIdentity = sourceIdentity(caller(ctx), in)
	if from := caller(ctx).Session; from != nil && from.Device != nil {
		// A session made from a device's ends with the device's certificate, too.
		se.Device = &access.Device{CertificateID: from.Device.CertificateID}
	}
	if err := s.trusted(ctx, in, role, se.SourceIdentity); err != nil {
		return nil, err
	}
	if !known {
		return nil, s.denied(ctx, "sts:AssumeRole", *in.RoleArn)
	}
	return s.assumed(ctx, in, role, se)
}

// assumed makes the session of a role that the caller may assume.
func (s *Service) assumed(ctx context.Context, in *stsapi.AssumeRoleInput, role Role, se *session) (*stsapi.AssumeRoleOutput, error) {
	lifetime, err := roleLifetime(caller(ctx), in.DurationSeconds, role.MaxSession)
	if err != nil {
		return nil, err
	}
	if se.Tags, se.Transitive, err = sessionTags(caller(ctx), in.Tags, in.TransitiveTagKeys); err != nil {
		return nil, err
	}
	if err := s.sessionPolicies(ctx, se, in.Policy, in.PolicyArns); err != nil {
		return nil, err
	}
	credentials, size, err := s.issue(se, lifetime)
	if err != nil {
		return nil, err
	}
	access.AddResource(ctx, role.ARN, "AWS::IAM::Role")
	out := &stsapi.AssumeRoleOutput{
		AssumedRoleUser: &stsapi.AssumedRoleUser{
			Arn: new(s.sessionARN(role.Name, se.Name)), AssumedRoleId: new(role.ID + ":" + se.Name),
		},
		Credentials: credentials, PackedPolicySize: size,
	}
	if se.SourceIdentity != "" {
		out.SourceIdentity = &se.SourceIdentity
	}
	return out, nil
}

// sourceIdentity is the one that the caller's session has, which stays along a chain of roles, or the one asked for.
func sourceIdentity(p *access.Principal, in *stsapi.AssumeRoleInput) string {
	if p.Session != nil && p.Session.SourceIdentity != "" {
		return p.Session.SourceIdentity
	}
	return value(in.SourceIdentity)
}

// trusted decides whether the caller may assume the role in this way. All refusals look alike.
func (s *Service) trusted(ctx context.Context, in *stsapi.AssumeRoleInput, role Role, sourceIdentity string) error {
	refused, err := s.decideTrust(ctx, "sts:AssumeRole", in, role, trustConditions(in, role, sourceIdentity))
	if err != nil {
		return err
	}
	if refused != "" {
		return s.denied(ctx, refused, *in.RoleArn)
	}
	switch p := caller(ctx); {
	case p.Kind == policy.Root:
		return &access.Denied{Message: "Roles may not be assumed by root accounts."}
	case p.Kind == policy.FederatedUser:
		return s.denied(ctx, "sts:AssumeRole", *in.RoleArn)
	case in.SourceIdentity != nil && *in.SourceIdentity != sourceIdentity:
		return s.denied(ctx, "sts:SetSourceIdentity", *in.RoleArn)
	case in.TokenCode != nil || in.SerialNumber != nil:
		return &access.Denied{Message: "MultiFactorAuthentication failed with invalid MFA one time pass code. "}
	}
	return nil
}

// decideTrust asks for action, and for what tags and a source identity need beside it, and returns the first of them
// that is refused, or "".
func (s *Service) decideTrust(ctx context.Context, action string, in *stsapi.AssumeRoleInput, role Role, c map[string][]string) (refused string, err error) {
	actions := []string{action}
	if len(in.Tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if len(c["sts:sourceidentity"]) > 0 {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	for _, action := range actions {
		err := s.auth.Authorize(ctx, access.Request{
			Action: action, Resource: *in.RoleArn, Context: c, Policy: role.Trust, Mode: policy.TrustMode,
		})
		if d := (*access.Denied)(nil); errors.As(err, &d) {
			return action, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

// denied is AWS's answer both for a role that does not exist and for one that does not trust the caller.
func (s *Service) denied(ctx context.Context, action, resource string) error {
	p := caller(ctx)
	if p.Kind == policy.Root && strings.HasPrefix(action, "sts:Assume") {
		return &access.Denied{Message: "Roles may not be assumed by root accounts."}
	}
	return &access.Denied{
		Message: fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s", p.ARN, action, resource),
	}
}

// trustConditions are the condition keys that only this service knows, names in lower case.
func trustConditions(in *stsapi.AssumeRoleInput, role Role, sourceIdentity string) map[string][]string {
	c := map[string][]string{"sts:rolesessionname": {*in.RoleSessionName}}
	if in.ExternalId != nil {
		c["sts:externalid"] = []string{*in.ExternalId}
	}
	if sourceIdentity != "" {
		c["sts:sourceidentity"] = []string{sourceIdentity}
	}
	if len(in.TransitiveTagKeys) > 0 {
		c["sts:transitivetagkeys"] = in.TransitiveTagKeys
	}
	addRequestTags(c, in.Tags)
	for k, v := range role.Tags {
		c["aws:resourcetag/"+strings.ToLower(k)] = []string{v}
		c["iam:resourcetag/"+strings.ToLower(k)] = []string{v}
	}
	return c
}

func addRequestTags(c map[string][]string, tags []*stsapi.Tag) {
	for _, t := range tags {
		c["aws:requesttag/"+strings.ToLower(*t.Key)] = []string{*t.Value}
		c["aws:tagkeys"] = append(c["aws:tagkeys"], *t.Key)
	}
}

func roleLifetime(p *access.Principal, seconds *int64, longest time.Duration) (time.Duration, error) {
	lifetime := defaultRoleSession
	if seconds != nil {
		lifetime = time.Duration(*seconds) * time.Second
	}
	switch {
	case lifetime > longest:
		return 0, validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	case p.Kind == policy.AssumedRole && lifetime > maxChainedSession:
		return 0, validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	return lifetime, nil
}

// sessionTags joins the tags asked for with those that the caller's session hands down.
func sessionTags(p *access.Principal, tags []*stsapi.Tag, transitive []string) (all map[string]string, keys []string, err error) {
	all = map[string]string{}
	for _, t := range tags {
		if strings.HasPrefix(strings.ToLower(*t.Key), "aws:") {
			return nil, nil, validation("Tag keys that begin with aws: are reserved for system use.")
		}
		if hasKey(all, *t.Key) {
			return nil, nil, validation("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		all[*t.Key] = *t.Value
	}
	for _, k := range transitive {
		if !hasKey(all, k) {
			return nil, nil, validation("The specified transitive tag keys must be included in the requested tags.")
		}
	}
	keys = slices.Clone(transitive)
	if p.Session == nil {
		return all, keys, nil
	}
	for _, k := range p.Session.TransitiveTags {
		if hasKey(all, k) {
			return nil, nil, validation("One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		keys = append(keys, k)
	}
	for _, k := range p.Session.TransitiveTags {
		if v, ok := tagOf(p.Tags, k); ok {
			all[k] = v
		}
	}
	return all, keys, nil
}

func hasKey(tags map[string]string, key string) bool {
	_, ok := tagOf(tags, key)
	return ok
}

func tagOf(tags map[string]string, key string) (string, bool) {
	for k := range maps.Keys(tags) {
		if strings.EqualFold(k, key) {
			return tags[k], true
		}
	}
	return "", false
}

// sessionPolicies checks the session policies and puts them into the session.
func (s *Service) sessionPolicies(ctx context.Context, se *session, text *string, arns []*stsapi.PolicyDescriptorType) error {
	if text != nil {
		if n := len([]rune(*text)); n > maxPolicyText {
			return tooLarge(int64((n*100 + maxPolicyText - 1) / maxPolicyText))
		}
		if _, err := policy.Parse([]byte(*text), policy.Session); err != nil {
			return malformedPolicy(err)
		}
		se.Policy = *text
	}
	if len(arns) > maxPolicyARNs {
		return validation(fmt.Sprintf("1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", maxPolicyARNs))
	}
	for _, d := range arns {
		arn := value(d.Arn)
		if _, ok := s.directory.ManagedPolicy(ctx, arn); !ok {
			return validation(fmt.Sprintf("Policy %s does not exist or is not attachable.", arn))
		}
		se.PolicyARNs = append(se.PolicyARNs, arn)
	}
	return nil
}

// issue gives the session its lifetime and makes its credentials. size is the percentage of room that policies
// and tags take, nil when there are none.
func (s *Service) issue(se *session, lifetime time.Duration) (c *stsapi.Credentials, size *int64, err error) {
	if se.hasPolicies() || len(se.Tags) > 0 {
		percent, err := se.percent()
		if err != nil {
			return nil, nil, err
		}
		if percent > 100 {
			return nil, nil, tooLarge(percent)
		}
		size = &percent
	}
	now := s.now().UTC().Truncate(time.Second)
	se.Secret, se.Created, se.Expires = newSecret(), now.Unix(), now.Add(lifetime).Unix()
	id := newAccessKeyID()
	token, err := s.seal(id, se)
	if err != nil {
		return nil, nil, err
	}
	return &stsapi.Credentials{
		AccessKeyId: &id, Expiration: new(se.expires()), SecretAccessKey: &se.Secret, SessionToken: &token,
	}, size, nil
}
