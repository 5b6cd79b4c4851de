// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

const maxTags = 50

func tagsIn(in []*iamapi.Tag) []tag {
	return each(in, func(t *iamapi.Tag) tag { return tag{*t.Key, *t.Value} })
}

// tagsOut shows the tags of an entity; nothing when there are none.
func tagsOut(tags []tag) []*iamapi.Tag {
	if len(tags) == 0 {
		return nil
	}
	return each(tags, func(t tag) *iamapi.Tag { return &iamapi.Tag{Key: new(t.Key), Value: new(t.Value)} })
}

// checkTags refuses what AWS does: reserved keys, keys that differ in case alone, more than 50.
func checkTags(tags []tag) error {
	seen := map[string]bool{}
	for _, t := range tags {
		lower := strings.ToLower(t.Key)
		if strings.HasPrefix(lower, "aws:") {
			return invalidInput("Tag keys that begin with aws: are reserved for system use.")
		}
		if seen[lower] {
			return invalidInput("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[lower] = true
	}
	if len(tags) > maxTags {
		return &iamapi.LimitExceededException{Message: "The number of tags has reached the maximum limit."}
	}
	return nil
}

// checkPath refuses a path with an empty part, which the pattern of the API lets pass.
func checkPath(path string) error {
	if strings.Contains(path, "//") {
		return validation("The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return nil
}

// mergeTags sets tags over old ones; a key in another case takes the place of the old one.
func mergeTags(old, set []tag) ([]tag, error) {
	if err := checkTags(set); err != nil {
		return nil, err
	}
	merged := slices.Clone(old)
	for _, t := range set {
		i := slices.IndexFunc(merged, func(o tag) bool { return strings.EqualFold(o.Key, t.Key) })
		if i < 0 {
			merged = append(merged, t)
		} else {
			merged[i] = t
		}
	}
	return merged, checkTags(merged)
}

func withoutTags(old []tag, keys []string) []tag {
	return slices.DeleteFunc(slices.Clone(old), func(t tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, t.Key) })
	})
}

func (s *Service) tagEntity(ctx context.Context, operation string, k kind, name string, in []*iamapi.Tag) error {
	set := tagsIn(in)
	_, err := s.change(ctx, operation, k, name, conditions{}.requestTags(set), func(_ *change, e *entity) (err error) {
		e.Tags, err = mergeTags(e.Tags, set)
		return err
	})
	return err
}

func (s *Service) untagEntity(ctx context.Context, operation string, k kind, name string, keys []string) error {
	_, err := s.change(ctx, operation, k, name, conditions{}.tagKeys(keys), func(_ *change, e *entity) error {
		e.Tags = withoutTags(e.Tags, keys)
		return nil
	})
	return err
}

// TagUser sets tags of a user.
//
// Errors: NoSuchEntityException, InvalidInputException, LimitExceededException.
func (s *Service) TagUser(ctx context.Context, in *iamapi.TagUserInput) (*iamapi.TagUserOutput, error) {
	return &iamapi.TagUserOutput{}, s.tagEntity(ctx, "TagUser", userKind, *in.UserName, in.Tags)
}

// UntagUser removes tags of a user; keys that are not there are no error.
//
// Errors: NoSuchEntityException.
func (s *Service) UntagUser(ctx context.Context, in *iamapi.UntagUserInput) (*iamapi.UntagUserOutput, error) {
	return &iamapi.UntagUserOutput{}, s.untagEntity(ctx, "UntagUser", userKind, *in.UserName, in.TagKeys)
}

// ListUserTags lists the tags of a user.
//
// Errors: NoSuchEntityException.
func (s *Service) ListUserTags(ctx context.Context, in *iamapi.ListUserTagsInput) (*iamapi.ListUserTagsOutput, error) {
	e, err := s.allowOn(ctx, s.view(), "ListUserTags", userKind, *in.UserName, nil)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListUserTagsOutput{}
	out.Tags, out.IsTruncated, out.Marker, err = pageTags(e.Tags, in.Marker, in.MaxItems)
	return out, err
}

// TagRole sets tags of a role.
//
// Errors: NoSuchEntityException, InvalidInputException, LimitExceededException.
func (s *Service) TagRole(ctx context.Context, in *iamapi.TagRoleInput) (*iamapi.TagRoleOutput, error) {
	return &iamapi.TagRoleOutput{}, s.tagEntity(ctx, "TagRole", roleKind, *in.RoleName, in.Tags)
}

// UntagRole removes tags of a role; keys that are not there are no error.
//
// Errors: NoSuchEntityException.
func (s *Service) UntagRole(ctx context.Context, in *iamapi.UntagRoleInput) (*iamapi.UntagRoleOutput, error) {
	return &iamapi.UntagRoleOutput{}, s.untagEntity(ctx, "UntagRole", roleKind, *in.RoleName, in.TagKeys)
}

// ListRoleTags lists the tags of a role.
//
// Errors: NoSuchEntityException.
func (s *Service) ListRoleTags(ctx context.Context, in *iamapi.ListRoleTagsInput) (*iamapi.ListRoleTagsOutput, error) {
	e, err := s.allowOn(ctx, s.view(), "ListRoleTags", roleKind, *in.RoleName, nil)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListRoleTagsOutput{}
	out.Tags, out.IsTruncated, out.Marker, err = pageTags(e.Tags, in.Marker, in.MaxItems)
	return out, err
}

// TagPolicy sets tags of a managed policy.
//
// Errors: NoSuchEntityException, InvalidInputException, LimitExceededException.
func (s *Service) TagPolicy(ctx context.Context, in *iamapi.TagPolicyInput) (*iamapi.TagPolicyOutput, error) {
	set := tagsIn(in.Tags)
	err := s.changePolicy(ctx, "TagPolicy", *in.PolicyArn, conditions{}.requestTags(set), func(c *change, p *managedPolicy) (err error) {
		p.Tags, err = mergeTags(p.Tags, set)
		return err
	})
	return &iamapi.TagPolicyOutput{}, err
}

// UntagPolicy removes tags of a managed policy; keys that are not there are no error.
//
// Errors: NoSuchEntityException.
func (s *Service) UntagPolicy(ctx context.Context, in *iamapi.UntagPolicyInput) (*iamapi.UntagPolicyOutput, error) {
	err := s.changePolicy(ctx, "UntagPolicy", *in.PolicyArn, conditions{}.tagKeys(in.TagKeys), func(c *change, p *managedPolicy) error {
		p.Tags = withoutTags(p.Tags, in.TagKeys)
		return nil
	})
	return &iamapi.UntagPolicyOutput{}, err
}

// ListPolicyTags lists the tags of a managed policy.
//
// Errors: NoSuchEntityException.
func (s *Service) ListPolicyTags(ctx context.Context, in *iamapi.ListPolicyTagsInput) (*iamapi.ListPolicyTagsOutput, error) {
	p, err := s.allowPolicy(ctx, s.view(), "ListPolicyTags", *in.PolicyArn, nil)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListPolicyTagsOutput{}
	out.Tags, out.IsTruncated, out.Marker, err = pageTags(p.Tags, in.Marker, in.MaxItems)
	return out, err
}

// pageTags lists tags in the order in which they were set.
func pageTags(tags []tag, marker *string, maxItems *int64) ([]*iamapi.Tag, *bool, *string, error) {
	places := make([]int, len(tags))
	for i := range places {
		places[i] = i
	}
	order := func(i int) string { return fmt.Sprintf("%02d", i) }
	places, truncated, next, err := page(places, order, marker, maxItems)
	return orEmpty(tagsOut(each(places, func(i int) tag { return tags[i] }))), truncated, next, err
}
