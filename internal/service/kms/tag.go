// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/policy"
)

// maxTags is the quota of tags on one key.
const maxTags = 50

// TagResource adds tags to a key, or gives those it has new values.
// Errors: TagException, NotFoundException, InvalidArnException, KMSInvalidStateException.
func (s *Service) TagResource(ctx context.Context, in *kmsapi.TagResourceInput) (*kmsapi.TagResourceOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "TagResource", byID: true, need: notPending, extra: tagConditions(in.Tags)})
	if err != nil {
		return nil, err
	}
	err = s.alter(ctx, k, notPending, func(r *record, _ time.Time) (err error) {
		r.Tags, err = addTags(r.Tags, in.Tags)
		return err
	})
	return &kmsapi.TagResourceOutput{}, err
}

// UntagResource removes tags; keys that the key does not have are no error. Errors: as TagResource, so for AWS's own
// tags, which nobody removes.
func (s *Service) UntagResource(ctx context.Context, in *kmsapi.UntagResourceInput) (*kmsapi.UntagResourceOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{
		operation: "UntagResource", byID: true, need: notPending, extra: map[string][]string{"aws:tagkeys": in.TagKeys},
	})
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(in.TagKeys, reserved) {
		return nil, reservedTag()
	}
	err = s.alter(ctx, k, notPending, func(r *record, _ time.Time) error {
		r.Tags = maps.Clone(r.Tags)
		maps.DeleteFunc(r.Tags, func(tag, _ string) bool { return slices.Contains(in.TagKeys, tag) })
		return nil
	})
	return &kmsapi.UntagResourceOutput{}, err
}

// ListResourceTags lists a key's tags by tag key, at most 50 on a page.
// Errors: InvalidMarkerException, NotFoundException, InvalidArnException.
func (s *Service) ListResourceTags(ctx context.Context, in *kmsapi.ListResourceTagsInput) (*kmsapi.ListResourceTagsOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "ListResourceTags", byID: true})
	if err != nil {
		return nil, err
	}
	limit := in.Limit
	if limit != nil {
		limit = new(int64)
		*limit = min(*in.Limit, maxTagsPerPage)
	}
	p, err := turn("ListResourceTags"+k.ID, slices.Sorted(maps.Keys(k.Tags)), in.Marker, limit, defaultPageFew)
	if err != nil {
		return nil, err
	}
	out := &kmsapi.ListResourceTagsOutput{Tags: []*kmsapi.Tag{}, NextMarker: p.next, Truncated: p.truncated}
	for _, tag := range p.names {
		out.Tags = append(out.Tags, &kmsapi.Tag{TagKey: text(tag), TagValue: text(k.Tags[tag])})
	}
	return out, nil
}

// reserved says that a tag key is one of AWS's own.
func reserved(tagKey string) bool { return strings.HasPrefix(strings.ToLower(tagKey), "aws:") }

func reservedTag() error {
	return &kmsapi.TagException{Message: "Tags beginning with aws: are reserved"}
}

// addTags returns old with more over it. Errors: TagException.
func addTags(old map[string]string, more []*kmsapi.Tag) (map[string]string, error) {
	all := maps.Clone(old)
	if all == nil {
		all = map[string]string{}
	}
	seen := map[string]bool{}
	for _, tag := range more {
		tagKey := *tag.TagKey
		if reserved(tagKey) {
			return nil, reservedTag()
		}
		if seen[tagKey] {
			return nil, &kmsapi.TagException{Message: "Duplicate tag keys"}
		}
		seen[tagKey] = true
		all[tagKey] = *tag.TagValue
	}
	if len(all) > maxTags {
		return nil, &kmsapi.TagException{Message: "Too many tags"}
	}
	return all, nil
}

// tagConditions returns aws:TagKeys and aws:RequestTag of the tags in a request.
func tagConditions(tags []*kmsapi.Tag) map[string][]string {
	c := policy.Map{}
	for _, tag := range tags {
		c.Add("aws:TagKeys", *tag.TagKey)
		c.Add("aws:RequestTag/"+*tag.TagKey, *tag.TagValue)
	}
	return c
}
