// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/arn"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

const maxAttached = 10 // PoliciesPerUser, …Group, …Role

func sizeMessage(k kind, name string) string {
	return fmt.Sprintf("Maximum policy size of %d bytes exceeded for %s %s", k.maxInline(), k, name)
}

// checkPolicyARN refuses what is no ARN of a managed policy at all.
func checkPolicyARN(text string) error { return checkARN(text, "policy/") }

// checkARN refuses what is no ARN of such a resource at all.
func checkARN(text, kind string) error {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "iam" || a.Region != "" || !strings.HasPrefix(a.Resource, kind) {
		return invalidInput("ARN %s is not valid.", text)
	}
	return nil
}

func (s *Service) attach(ctx context.Context, operation string, k kind, name, policyARN string) error {
	_, err := s.change(ctx, operation, k, name, conditions{}.policyARN(policyARN), func(c *change, e *entity) error {
		if err := checkPolicyARN(policyARN); err != nil {
			return err
		}
		if c.policies[policyARN] == nil {
			return notAttachable(policyARN)
		}
		access.AddResource(ctx, policyARN, managedPolicyType)
		if slices.Contains(e.Attached, policyARN) {
			return nil
		}
		if len(e.Attached) >= maxAttached {
			return overQuota("PoliciesPer"+k.title(), maxAttached)
		}
		e.Attached = append(e.Attached, policyARN)
		return nil
	})
	return err
}

func (s *Service) detach(ctx context.Context, operation string, k kind, name, policyARN string) error {
	_, err := s.change(ctx, operation, k, name, conditions{}.policyARN(policyARN), func(_ *change, e *entity) error {
		if err := checkPolicyARN(policyARN); err != nil {
			return err
		}
		i := slices.Index(e.Attached, policyARN)
		if i < 0 {
			return noSuchPolicy(policyARN)
		}
		access.AddResource(ctx, policyARN, managedPolicyType)
		e.Attached = slices.Delete(e.Attached, i, i+1)
		return nil
	})
	return err
}

// attachedTo returns the managed policies of e under a path, in the order of their names.
func (v *view) attachedTo(e *entity, pathPrefix string) []*managedPolicy {
	var out []*managedPolicy
	for _, a := range e.Attached {
		if p := v.policies[a]; p != nil && strings.HasPrefix(p.Path, pathPrefix) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *managedPolicy) int { return strings.Compare(policyOrder(a), policyOrder(b)) })
	return out
}

func attachedOut(p *managedPolicy) *iamapi.AttachedPolicy {
	return &iamapi.AttachedPolicy{PolicyArn: new(p.ARN), PolicyName: new(p.Name)}
}

func (s *Service) attachedPage(ctx context.Context, operation string, k kind, name string, pathPrefix, marker *string, maxItems *int64) ([]*iamapi.AttachedPolicy, *bool, *string, error) {
	v := s.view()
	e, err := s.allowOn(ctx, v, operation, k, name, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	part, truncated, next, err := page(v.attachedTo(e, value(pathPrefix)), policyOrder, marker, maxItems)
	return each(part, attachedOut), truncated, next, err
}

// checkBoundary says whether a managed policy may be a permissions boundary; "" is none at all.
func (v *view) checkBoundary(policyARN string) error {
	if policyARN == "" {
		return nil
	}
	if err := checkPolicyARN(policyARN); err != nil {
		return err
	}
	if v.policies[policyARN] == nil {
		return noSuchScope(policyARN)
	}
	return nil
}

func (s *Service) putBoundary(ctx context.Context, operation string, k kind, name, policyARN string) error {
	_, err := s.change(ctx, operation, k, name, conditions{}.boundary(policyARN), func(c *change, e *entity) error {
		e.Boundary = policyARN
		return c.checkBoundary(policyARN)
	})
	return err
}

func (s *Service) deleteBoundary(ctx context.Context, operation string, k kind, name string) error {
	_, err := s.change(ctx, operation, k, name, nil, func(_ *change, e *entity) error {
		e.Boundary = ""
		return nil
	})
	return err
}
