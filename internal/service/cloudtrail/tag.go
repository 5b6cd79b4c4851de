// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	api "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
)

const (
	maxTags      = 50
	maxTagLookup = 20 // ARNs of one ListTags
)

// AddTags sets tags of a trail; a key that is there gets the new value.
//
// Errors: InvalidTagParameterException, TagsLimitExceededException, ResourceNotFoundException,
// ResourceTypeNotSupportedException, CloudTrailARNInvalidException.
func (s *Service) AddTags(ctx context.Context, in *api.AddTagsInput) (*api.AddTagsOutput, error) {
	err := s.changeTags(ctx, "AddTags", *in.ResourceId, func(t *trail) error { return t.addTags(in.TagsList) })
	if err != nil {
		return nil, err
	}
	return &api.AddTagsOutput{}, nil
}

// RemoveTags takes tags away by their keys; a value given must be the tag's, and a key not there is no error.
//
// Errors: those of AddTags, but for TagsLimitExceededException.
func (s *Service) RemoveTags(ctx context.Context, in *api.RemoveTagsInput) (*api.RemoveTagsOutput, error) {
	err := s.changeTags(ctx, "RemoveTags", *in.ResourceId, func(t *trail) error {
		if err := checkTags(in.TagsList); err != nil {
			return err
		}
		for _, tag := range in.TagsList {
			if v, ok := t.Tags[*tag.Key]; ok && (tag.Value == nil || *tag.Value == v) {
				delete(t.Tags, *tag.Key)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.RemoveTagsOutput{}, nil
}

// ListTags returns the tags of at most 20 trails, named by their ARNs.
//
// Errors: InvalidTokenException, since there is one page always; OperationNotPermittedException for none, or more than 20,
// ARNs; ResourceNotFoundException, ResourceTypeNotSupportedException, CloudTrailARNInvalidException.
func (s *Service) ListTags(ctx context.Context, in *api.ListTagsInput) (*api.ListTagsOutput, error) {
	out := &api.ListTagsOutput{ResourceTagList: []*api.ResourceTag{}}
	if len(in.ResourceIdList) == 0 || len(in.ResourceIdList) > maxTagLookup {
		if err := s.authorize(ctx, "ListTags", "*"); err != nil {
			return nil, err
		}
		return nil, &api.OperationNotPermittedException{Message: "Between 1 and 20 resources can be named."}
	}
	for _, arn := range in.ResourceIdList {
		name, err := s.beginTags(ctx, "ListTags", arn)
		if err != nil {
			return nil, err
		}
		t, err := s.view(ctx, name)
		if err != nil {
			return nil, tagError(err, arn)
		}
		r := &api.ResourceTag{ResourceId: new(arn), TagsList: []*api.Tag{}}
		for _, k := range slices.Sorted(maps.Keys(t.Tags)) {
			r.TagsList = append(r.TagsList, &api.Tag{Key: new(k), Value: new(t.Tags[k])})
		}
		out.ResourceTagList = append(out.ResourceTagList, r)
	}
	if in.NextToken != nil {
		return nil, &api.InvalidTokenException{Message: "The token is not valid."}
	}
	return out, nil
}

func (s *Service) changeTags(ctx context.Context, operation, arn string, change func(*trail) error) error {
	name, err := s.beginTags(ctx, operation, arn)
	if err != nil {
		return err
	}
	_, err = s.update(ctx, name, change)
	return tagError(err, arn)
}

// beginTags is begin for the operations on tags, which take ARNs only.
func (s *Service) beginTags(ctx context.Context, operation, arn string) (string, error) {
	name, err := s.begin(ctx, operation, arn)
	if _, bad := errors.AsType[*api.CloudTrailARNInvalidException](err); bad &&
		(strings.Contains(arn, ":eventdatastore/") || strings.Contains(arn, ":channel/")) {
		return "", &api.ResourceTypeNotSupportedException{Message: "Resource type is not supported: " + arn}
	}
	if err == nil && !strings.HasPrefix(arn, "arn:") {
		return "", &api.CloudTrailARNInvalidException{Message: "Trail ARN is not valid: " + arn}
	}
	return name, tagError(err, arn)
}

// tagError names an unknown trail as these operations do.
func tagError(err error, arn string) error {
	if _, unknown := errors.AsType[*api.TrailNotFoundException](err); unknown {
		return &api.ResourceNotFoundException{Message: "Resource not found: " + arn}
	}
	return err
}

// addTags puts tags into t, which on an error may be half changed: it is not to be stored then.
func (t *trail) addTags(tags []*api.Tag) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	for _, tag := range tags {
		value := ""
		if tag.Value != nil {
			value = *tag.Value
		}
		if t.Tags == nil {
			t.Tags = map[string]string{}
		}
		t.Tags[*tag.Key] = value
	}
	if len(t.Tags) > maxTags {
		return &api.TagsLimitExceededException{Message: "A trail can have at most 50 tags."}
	}
	return nil
}

// checkTags refuses keys that are AWS's own, and those that are given twice.
func checkTags(tags []*api.Tag) error {
	seen := map[string]bool{}
	for _, tag := range tags {
		if strings.HasPrefix(strings.ToLower(*tag.Key), "aws:") {
			return &api.InvalidTagParameterException{Message: "Tag keys beginning with aws: are reserved."}
		}
		if seen[*tag.Key] {
			return &api.InvalidTagParameterException{Message: "Duplicate tag keys."}
		}
		seen[*tag.Key] = true
	}
	return nil
}
