// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"maps"
	"slices"
	"strings"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

func (s *Service) putInline(ctx context.Context, operation string, k kind, name, policyName, text string) error {
	_, err := s.change(ctx, operation, k, name, nil, func(_ *change, e *entity) error {
		d, err := newDocument(text)
		if err != nil {
			return err
		}
		if e.Inline == nil {
			e.Inline = map[string]*document{}
		}
		for old := range e.Inline {
			if old != policyName && strings.EqualFold(old, policyName) {
				delete(e.Inline, old)
			}
		}
		e.Inline[policyName] = d
		total := 0
		for _, d := range e.Inline {
			total += d.size()
		}
		if total > k.maxInline() {
			return &iamapi.LimitExceededException{Message: sizeMessage(k, name)}
		}
		return nil
	})
	return err
}

func (s *Service) deleteInline(ctx context.Context, operation string, k kind, name, policyName string) error {
	_, err := s.change(ctx, operation, k, name, nil, func(_ *change, e *entity) error {
		if e.Inline[policyName] == nil {
			return noSuchInline(k, policyName)
		}
		delete(e.Inline, policyName)
		return nil
	})
	return err
}

// inlineText returns the document as the API shows it.
func (s *Service) inlineText(ctx context.Context, operation string, k kind, name, policyName string) (string, error) {
	e, err := s.allowOn(ctx, s.view(), operation, k, name, nil)
	if err != nil {
		return "", err
	}
	d := e.Inline[policyName]
	if d == nil {
		return "", noSuchInline(k, policyName)
	}
	return encode(d.Text), nil
}

func (s *Service) inlineNames(ctx context.Context, operation string, k kind, name string, marker *string, maxItems *int64) ([]string, *bool, *string, error) {
	e, err := s.allowOn(ctx, s.view(), operation, k, name, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	names, truncated, next, err := page(slices.Sorted(maps.Keys(e.Inline)), itself, marker, maxItems)
	return orEmpty(names), truncated, next, err
}
