// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"maps"
	"strings"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
)

// addTags sets tags of a stream.
func addTags(st *stream, tags map[string]string) error {
	for k := range tags {
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return invalid("Tag keys must not begin with aws:.")
		}
	}
	if err := checkOwnTags(tags); err != nil {
		return err
	}
	all := maps.Clone(st.Tags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, tags)
	if len(all) > maxTagsPerStream {
		return &kvapi.TagsPerResourceExceededLimitException{
			Message: "You have exceeded the limit of tags that you can associate with the resource. A Kinesis video stream can support up to 50 tags.",
		}
	}
	st.Tags = all
	return nil
}

func removeTags(st *stream, keys []string) error {
	for _, k := range keys {
		delete(st.Tags, k)
	}
	return nil
}

// tag sets tags, for TagStream and TagResource.
func (s *Service) tag(ctx context.Context, q request) error {
	_, _, err := s.update(ctx, q, nil, func(st *stream) error { return addTags(st, q.tags) })
	return err
}

// untag removes tags, for UntagStream and UntagResource.
func (s *Service) untag(ctx context.Context, q request) error {
	_, _, err := s.update(ctx, q, nil, func(st *stream) error { return removeTags(st, q.tagKeys) })
	return err
}

func (s *Service) listTags(ctx context.Context, q request) (map[string]string, error) {
	st, err := s.find(ctx, q)
	if err != nil {
		return nil, err
	}
	if st.Tags == nil {
		return map[string]string{}, nil
	}
	return st.Tags, nil
}

// misformed is the error of the operations on a stream's tags for an ARN that is no stream's.
func misformed() error {
	return &kvapi.InvalidResourceFormatException{Message: "The format of the StreamARN is invalid."}
}

// TagStream sets tags of a stream; those of the same key are replaced.
//
// Errors: ResourceNotFoundException, TagsPerResourceExceededLimitException,
// InvalidArgumentException, InvalidResourceFormatException.
func (s *Service) TagStream(ctx context.Context, in *kvapi.TagStreamInput) (*kvapi.TagStreamOutput, error) {
	err := s.tag(ctx, request{action: "TagStream", name: in.StreamName, arn: in.StreamARN, tags: in.Tags, misformed: misformed()})
	if err != nil {
		return nil, err
	}
	return &kvapi.TagStreamOutput{}, nil
}

// UntagStream removes tags of a stream; keys that it has not are no error.
func (s *Service) UntagStream(ctx context.Context, in *kvapi.UntagStreamInput) (*kvapi.UntagStreamOutput, error) {
	err := s.untag(ctx, request{action: "UntagStream", name: in.StreamName, arn: in.StreamARN, tagKeys: in.TagKeyList, misformed: misformed()})
	if err != nil {
		return nil, err
	}
	return &kvapi.UntagStreamOutput{}, nil
}

// ListTagsForStream returns all tags of a stream in one answer.
func (s *Service) ListTagsForStream(ctx context.Context, in *kvapi.ListTagsForStreamInput) (*kvapi.ListTagsForStreamOutput, error) {
	tags, err := s.listTags(ctx, request{action: "ListTagsForStream", name: in.StreamName, arn: in.StreamARN, misformed: misformed()})
	if err != nil {
		return nil, err
	}
	return &kvapi.ListTagsForStreamOutput{Tags: tags}, nil
}

// TagResource is TagStream by ARN, with the tags as a list.
func (s *Service) TagResource(ctx context.Context, in *kvapi.TagResourceInput) (*kvapi.TagResourceOutput, error) {
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[value(t.Key)] = value(t.Value)
	}
	if err := s.tag(ctx, request{action: "TagResource", arn: in.ResourceARN, tags: tags}); err != nil {
		return nil, err
	}
	return &kvapi.TagResourceOutput{}, nil
}

// UntagResource is UntagStream by ARN.
func (s *Service) UntagResource(ctx context.Context, in *kvapi.UntagResourceInput) (*kvapi.UntagResourceOutput, error) {
	if err := s.untag(ctx, request{action: "UntagResource", arn: in.ResourceARN, tagKeys: in.TagKeyList}); err != nil {
		return nil, err
	}
	return &kvapi.UntagResourceOutput{}, nil
}

// ListTagsForResource is ListTagsForStream by ARN.
func (s *Service) ListTagsForResource(ctx context.Context, in *kvapi.ListTagsForResourceInput) (*kvapi.ListTagsForResourceOutput, error) {
	tags, err := s.listTags(ctx, request{action: "ListTagsForResource", arn: in.ResourceARN})
	if err != nil {
		return nil, err
	}
	return &kvapi.ListTagsForResourceOutput{Tags: tags}, nil
}
