// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/oidc"
)

// Quotas of OpenID Connect providers.
//
// Source: IAM User Guide, "IAM and AWS STS quotas".
const (
	maxProviders   = 100
	maxClientIDs   = 100
	maxThumbprints = 5
)

// An oidcProvider is an OpenID Connect issuer whose tokens roles may trust. It is immutable once it is in a view.
type oidcProvider struct {
	URL         string // as it stands in tokens, https://…
	Created     time.Time
	ClientIDs   []string
	Thumbprints []string // lower case
	Tags        []tag    `json:",omitempty"`
}

func (p *oidcProvider) clone() *oidcProvider {
	c := *p
	c.ClientIDs, c.Thumbprints, c.Tags = slices.Clone(p.ClientIDs), slices.Clone(p.Thumbprints), slices.Clone(p.Tags)
	return &c
}

func (s *Service) providerARN(url string) string {
	return "arn:aws:iam::" + s.account + ":oidc-provider/" + oidc.Name(url)
}

func providerOrder(p *oidcProvider) string { return p.URL }

// provider returns the provider with this ARN, or nil.
func (v *view) provider(account, arn string) *oidcProvider {
	name, ok := strings.CutPrefix(arn, "arn:aws:iam::"+account+":oidc-provider/")
	if !ok {
		return nil
	}
	return v.providers["https://"+name]
}

// Provider returns the provider of an issuer as it is now, its ARN and what its tokens are verified with.
func (s *Service) Provider(_ context.Context, issuer string) (arn string, p oidc.Provider, ok bool) {
	o := s.view().providers[issuer]
	if o == nil {
		return "", oidc.Provider{}, false
	}
	return s.providerARN(issuer), oidc.Provider{URL: o.URL, ClientIDs: o.ClientIDs, Thumbprints: o.Thumbprints}, true
}

func noSuchProvider(arn string) error {
	return &iamapi.NoSuchEntityException{Message: "OpenIDConnect Provider not found for arn " + arn}
}

// CreateOpenIDConnectProvider lets roles trust the tokens of an issuer. Nothing is fetched from it here.
//
// Errors: EntityAlreadyExistsException, also for a URL that differs from another one's in case alone, since condition
// keys do not tell them apart; InvalidInputException; LimitExceededException.
//
// Source: IAM API Reference, CreateOpenIDConnectProvider; deviations in docs/compat/iam.md.
func (s *Service) CreateOpenIDConnectProvider(ctx context.Context, in *iamapi.CreateOpenIDConnectProviderInput) (*iamapi.CreateOpenIDConnectProviderOutput, error) {
	p := &oidcProvider{
		URL: *in.Url, Created: s.date(), ClientIDs: unique(in.ClientIDList), Thumbprints: thumbprintsIn(in.ThumbprintList), Tags: tagsIn(in.Tags),
	}
	arn := s.providerARN(p.URL)
	err := s.update(ctx, func(c *change) error {
		if err := s.allow(ctx, "CreateOpenIDConnectProvider", arn, conditions{}.requestTags(p.Tags)); err != nil {
			return err
		}
		if err := p.check(); err != nil {
			return err
		}
		for url := range c.providers {
			if strings.EqualFold(url, p.URL) {
				return &iamapi.EntityAlreadyExistsException{Message: "Provider with url " + p.URL + " already exists."}
			}
		}
		if len(c.providers) >= maxProviders {
			return overQuota("OpenIdConnectProvidersPerAccount", maxProviders)
		}
		c.putProvider(p)
		access.AddResource(ctx, arn, providerType)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.CreateOpenIDConnectProviderOutput{OpenIDConnectProviderArn: &arn, Tags: tagsOut(p.Tags)}, nil
}

// providerType is CloudFormation's name of a provider, for audit events.
const providerType = "AWS::IAM::OIDCProvider"

// check refuses a provider that cannot be.
func (p *oidcProvider) check() error {
	if err := oidc.CheckURL(p.URL); err != nil {
		return invalidInput("Invalid Open ID Connect Provider URL")
	}
	if len(p.ClientIDs) > maxClientIDs {
		return overQuota("ClientIdsPerOpenIdConnectProvider", maxClientIDs)
	}
	if len(p.Thumbprints) > maxThumbprints {
		return invalidInput("Thumbprint list must contain fewer than %d entries.", maxThumbprints+1)
	}
	for _, t := range p.Thumbprints {
		if _, err := hex.DecodeString(t); err != nil {
			return invalidInput("Thumbprint must be a 40 character hexadecimal string.")
		}
	}
	return checkTags(p.Tags)
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func thumbprintsIn(list []string) []string { return unique(each(list, strings.ToLower)) }

// allowProvider authorises an operation on a provider and returns it. Whether it exists is revealed only to who may know.
func (s *Service) allowProvider(ctx context.Context, v *view, operation, arn string, c conditions) (*oidcProvider, error) {
	p := v.provider(s.account, arn)
	all := conditions{}
	if p != nil {
		all.resourceTags(p.Tags)
	}
	maps.Copy(all, c)
	if err := s.allow(ctx, operation, arn, all); err != nil {
		return nil, err
	}
	if err := checkARN(arn, "oidc-provider/"); err != nil {
		return nil, err
	}
	if p == nil {
		return nil, noSuchProvider(arn)
	}
	access.AddResource(ctx, arn, providerType)
	return p, nil
}

// changeProvider authorises an operation on a provider, runs fn on a copy of it and stores that.
func (s *Service) changeProvider(ctx context.Context, operation, arn string, c conditions, fn func(*oidcProvider) error) error {
	return s.update(ctx, func(ch *change) error {
		old, err := s.allowProvider(ctx, ch.view, operation, arn, c)
		if err != nil {
			return err
		}
		p := old.clone()
		if err := fn(p); err != nil {
			return err
		}
		if err := p.check(); err != nil {
			return err
		}
		ch.putProvider(p)
		return nil
	})
}

// GetOpenIDConnectProvider describes a provider. Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) GetOpenIDConnectProvider(ctx context.Context, in *iamapi.GetOpenIDConnectProviderInput) (*iamapi.GetOpenIDConnectProviderOutput, error) {
	p, err := s.allowProvider(ctx, s.view(), "GetOpenIDConnectProvider", *in.OpenIDConnectProviderArn, nil)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetOpenIDConnectProviderOutput{
		ClientIDList: orEmpty(slices.Clone(p.ClientIDs)), ThumbprintList: orEmpty(slices.Clone(p.Thumbprints)),
		CreateDate: new(p.Created), Tags: tagsOut(p.Tags), Url: new(oidc.Name(p.URL)),
	}, nil
}

// ListOpenIDConnectProviders lists all providers, by URL.
func (s *Service) ListOpenIDConnectProviders(ctx context.Context, _ *iamapi.ListOpenIDConnectProvidersInput) (*iamapi.ListOpenIDConnectProvidersOutput, error) {
	if err := s.allow(ctx, "ListOpenIDConnectProviders", "*", conditions{}); err != nil {
		return nil, err
	}
	var all []*oidcProvider
	for _, p := range s.view().providers {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *oidcProvider) int { return strings.Compare(providerOrder(a), providerOrder(b)) })
	return &iamapi.ListOpenIDConnectProvidersOutput{
		OpenIDConnectProviderList: each(all, func(p *oidcProvider) *iamapi.OpenIDConnectProviderListEntry {
			return &iamapi.OpenIDConnectProviderListEntry{Arn: new(s.providerARN(p.URL))}
		}),
	}, nil
}

// DeleteOpenIDConnectProvider ends the trust in an issuer: no role is given for its tokens any more. Sessions that were
// made go on until they expire. Deleting what is not there is no error, as on AWS. Errors: InvalidInputException.
func (s *Service) DeleteOpenIDConnectProvider(ctx context.Context, in *iamapi.DeleteOpenIDConnectProviderInput) (*iamapi.DeleteOpenIDConnectProviderOutput, error) {
	err := s.update(ctx, func(c *change) error {
		p, err := s.allowProvider(ctx, c.view, "DeleteOpenIDConnectProvider", *in.OpenIDConnectProviderArn, nil)
		if errors.As(err, new(*iamapi.NoSuchEntityException)) {
			return nil
		}
		if err != nil {
			return err
		}
		delete(c.providers, p.URL)
		c.remove(rowProvider, p.URL)
		return nil
	})
	return &iamapi.DeleteOpenIDConnectProviderOutput{}, err
}

// AddClientIDToOpenIDConnectProvider takes tokens for one audience more; one that is taken already is no error.
//
// Errors: NoSuchEntityException, InvalidInputException, LimitExceededException.
func (s *Service) AddClientIDToOpenIDConnectProvider(ctx context.Context, in *iamapi.AddClientIDToOpenIDConnectProviderInput) (*iamapi.AddClientIDToOpenIDConnectProviderOutput, error) {
	err := s.changeProvider(ctx, "AddClientIDToOpenIDConnectProvider", *in.OpenIDConnectProviderArn, nil, func(p *oidcProvider) error {
		p.ClientIDs = unique(append(p.ClientIDs, *in.ClientID))
		return nil
	})
	return &iamapi.AddClientIDToOpenIDConnectProviderOutput{}, err
}

// RemoveClientIDFromOpenIDConnectProvider takes tokens for an audience no longer; one that is not taken is no error.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) RemoveClientIDFromOpenIDConnectProvider(ctx context.Context, in *iamapi.RemoveClientIDFromOpenIDConnectProviderInput) (*iamapi.RemoveClientIDFromOpenIDConnectProviderOutput, error) {
	err := s.changeProvider(ctx, "RemoveClientIDFromOpenIDConnectProvider", *in.OpenIDConnectProviderArn, nil, func(p *oidcProvider) error {
		p.ClientIDs = slices.DeleteFunc(p.ClientIDs, func(id string) bool { return id == *in.ClientID })
		return nil
	})
	return &iamapi.RemoveClientIDFromOpenIDConnectProviderOutput{}, err
}

// UpdateOpenIDConnectProviderThumbprint replaces the thumbprints.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) UpdateOpenIDConnectProviderThumbprint(ctx context.Context, in *iamapi.UpdateOpenIDConnectProviderThumbprintInput) (*iamapi.UpdateOpenIDConnectProviderThumbprintOutput, error) {
	err := s.changeProvider(ctx, "UpdateOpenIDConnectProviderThumbprint", *in.OpenIDConnectProviderArn, nil, func(p *oidcProvider) error {
		p.Thumbprints = thumbprintsIn(in.ThumbprintList)
		return nil
	})
	return &iamapi.UpdateOpenIDConnectProviderThumbprintOutput{}, err
}

// TagOpenIDConnectProvider sets tags of a provider.
//
// Errors: NoSuchEntityException, InvalidInputException, LimitExceededException.
func (s *Service) TagOpenIDConnectProvider(ctx context.Context, in *iamapi.TagOpenIDConnectProviderInput) (*iamapi.TagOpenIDConnectProviderOutput, error) {
	set := tagsIn(in.Tags)
	cond := conditions{}.requestTags(set)
	err := s.changeProvider(ctx, "TagOpenIDConnectProvider", *in.OpenIDConnectProviderArn, cond, func(p *oidcProvider) (err error) {
		p.Tags, err = mergeTags(p.Tags, set)
		return err
	})
	return &iamapi.TagOpenIDConnectProviderOutput{}, err
}

// UntagOpenIDConnectProvider removes tags of a provider; keys that are not there are no error.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) UntagOpenIDConnectProvider(ctx context.Context, in *iamapi.UntagOpenIDConnectProviderInput) (*iamapi.UntagOpenIDConnectProviderOutput, error) {
	cond := conditions{}.tagKeys(in.TagKeys)
	err := s.changeProvider(ctx, "UntagOpenIDConnectProvider", *in.OpenIDConnectProviderArn, cond, func(p *oidcProvider) error {
		p.Tags = withoutTags(p.Tags, in.TagKeys)
		return nil
	})
	return &iamapi.UntagOpenIDConnectProviderOutput{}, err
}

// ListOpenIDConnectProviderTags lists the tags of a provider. Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) ListOpenIDConnectProviderTags(ctx context.Context, in *iamapi.ListOpenIDConnectProviderTagsInput) (*iamapi.ListOpenIDConnectProviderTagsOutput, error) {
	p, err := s.allowProvider(ctx, s.view(), "ListOpenIDConnectProviderTags", *in.OpenIDConnectProviderArn, nil)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListOpenIDConnectProviderTagsOutput{}
	out.Tags, out.IsTruncated, out.Marker, err = pageTags(p.Tags, in.Marker, in.MaxItems)
	return out, err
}
