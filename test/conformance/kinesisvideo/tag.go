// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// mostTags is how many tags a stream can have.
const mostTags = 50

// tags are so many.
func tags(n int) map[string]string {
	all := map[string]string{}
	for i := range n {
		all[fmt.Sprint("key", i)] = "v"
	}
	return all
}

// tagged gives a stream one tag.
func tagged(s *Stream) {
	s.w.T.Helper()
	s.w.Must(kit.Run(s.w.Admin, s.w.Admin.Video.TagStream, &kinesisvideo.TagStreamInput{StreamName: &s.Name, Tags: tags(1)}))
}

// tagsOf are the tags of a stream.
func tagsOf(s *Stream) any {
	s.w.T.Helper()
	out, err := s.w.Admin.Video.ListTagsForStream(s.w.Admin.Ctx, &kinesisvideo.ListTagsForStreamInput{StreamName: &s.Name})
	s.w.Must(err)
	return out.Tags
}

// full is a stream that can have no more tags.
func full(w *kit.World) *Stream {
	w.T.Helper()
	return New(w, Options{Tags: tags(mostTags)})
}

// misformed calls with the ARN of what has no tags of this kind: a channel.
func misformed(do func(c *kit.Clients, arn *string) error) kit.Errors {
	return kit.Errors{"InvalidResourceFormatException": func(w *kit.World) error {
		return do(w.Admin, aws.String(w.ARN("kinesisvideo", "channel/"+absent+"/1700000000000")))
	}}
}

func tagCases() []kit.Case {
	tag := func(c *kit.Clients, name, arn *string) error {
		return kit.Run(c, c.Video.TagStream, &kinesisvideo.TagStreamInput{StreamName: name, StreamARN: arn, Tags: map[string]string{"new": "v"}})
	}
	untag := func(c *kit.Clients, name, arn *string) error {
		return kit.Run(c, c.Video.UntagStream, &kinesisvideo.UntagStreamInput{StreamName: name, StreamARN: arn, TagKeyList: []string{"key0"}})
	}
	list := func(c *kit.Clients, name, arn *string) error {
		in := &kinesisvideo.ListTagsForStreamInput{StreamName: name, StreamARN: arn}
		return kit.Run(c, c.Video.ListTagsForStream, in, func(o *kinesisvideo.ListTagsForStreamOutput) error { return kit.Want("tags", o.Tags, tags(1)) })
	}
	byName := func(do func(c *kit.Clients, name, arn *string) error) named {
		return func(c *kit.Clients, name *string) error { return do(c, name, nil) }
	}
	byARN := func(do func(c *kit.Clients, name, arn *string) error) named {
		return func(c *kit.Clients, arn *string) error { return do(c, nil, arn) }
	}
	return []kit.Case{
		on("TagStream", byName(tag), detail{changes: tagsOf, errors: kit.Merge(misformed(byARN(tag)), kit.Errors{
			"TagsPerResourceExceededLimitException": func(w *kit.World) error { return tag(w.Admin, &full(w).Name, nil) },
		})}),
		on("UntagStream", byName(untag), detail{prepare: tagged, changes: tagsOf, errors: misformed(byARN(untag))}),
		on("ListTagsForStream", byName(list), detail{prepare: tagged, errors: misformed(byARN(list))}),
	}
}

// resourceCases are on tags by ARN.
func resourceCases() []kit.Case {
	tag := func(c *kit.Clients, arn string) error {
		return kit.Run(c, c.Video.TagResource, &kinesisvideo.TagResourceInput{ResourceARN: &arn, Tags: []types.Tag{{Key: aws.String("new"), Value: aws.String("v")}}})
	}
	untag := func(c *kit.Clients, arn string) error {
		return kit.Run(c, c.Video.UntagResource, &kinesisvideo.UntagResourceInput{ResourceARN: &arn, TagKeyList: []string{"key0"}})
	}
	list := func(c *kit.Clients, arn string) error {
		in := &kinesisvideo.ListTagsForResourceInput{ResourceARN: &arn}
		return kit.Run(c, c.Video.ListTagsForResource, in, func(o *kinesisvideo.ListTagsForResourceOutput) error { return kit.Want("tags", o.Tags, tags(1)) })
	}
	return []kit.Case{
		byARN("TagResource", tag, detail{changes: tagsOf, errors: kit.Errors{
			"TagsPerResourceExceededLimitException": func(w *kit.World) error { return tag(w.Admin, full(w).ARN) },
		}}),
		byARN("UntagResource", untag, detail{prepare: tagged, changes: tagsOf}),
		byARN("ListTagsForResource", list, detail{prepare: tagged}),
	}
}
