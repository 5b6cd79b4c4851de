// SPDX-License-Identifier: Apache-2.0

package clerk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	videotypes "github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/test/rig"
)

// streamTrade makes, tags, resizes and deletes a video stream.
func streamTrade(s *rig.Server) Trade {
	c := kinesisvideo.NewFromConfig(s.V2(s.Root))
	name := func(it *Item) *string { return &it.Name }
	version := func(do func(context.Context, *Item, *videotypes.StreamInfo) error) func(context.Context, *Item) error {
		return func(ctx context.Context, it *Item) error {
			out, err := c.DescribeStream(ctx, &kinesisvideo.DescribeStreamInput{StreamName: &it.Name})
			if err != nil {
				return err
			}
			return do(ctx, it, out.StreamInfo)
		}
	}
	return Trade{
		Name: "stream",
		Observe: func(ctx context.Context, it *Item) (Facts, error) {
			f := Facts{}
			return f, look(func() error { return observeStream(ctx, c, it, f) })
		},
		Steps: []Step{
			{Event: "CreateStream", Do: does(option(c.CreateStream), func(it *Item) *kinesisvideo.CreateStreamInput {
				return &kinesisvideo.CreateStreamInput{StreamName: name(it), DataRetentionInHours: aws.Int32(1), MediaType: aws.String("video/h264"), Tags: map[string]string{"one": "1"}}
			}), Then: is("stream", "ACTIVE 1 video/h264", "tags", "1")},
			{Event: "TagStream", Do: does(option(c.TagStream), func(it *Item) *kinesisvideo.TagStreamInput {
				return &kinesisvideo.TagStreamInput{StreamName: name(it), Tags: map[string]string{"two": "2", "three": "3"}}
			}), Then: is("tags", "3")},
			{Event: "UpdateDataRetention", Do: version(func(ctx context.Context, it *Item, i *videotypes.StreamInfo) error {
				_, err := c.UpdateDataRetention(ctx, &kinesisvideo.UpdateDataRetentionInput{
					StreamName: &it.Name, CurrentVersion: i.Version, DataRetentionChangeInHours: aws.Int32(23), Operation: videotypes.UpdateDataRetentionOperationIncreaseDataRetention,
				})
				return err
			}), Then: is("stream", "ACTIVE 24 video/h264")},
			{Event: "UpdateStream", Do: version(func(ctx context.Context, it *Item, i *videotypes.StreamInfo) error {
				_, err := c.UpdateStream(ctx, &kinesisvideo.UpdateStreamInput{StreamName: &it.Name, CurrentVersion: i.Version, MediaType: aws.String("video/h265")})
				return err
			}), Then: is("stream", "ACTIVE 24 video/h265")},
			{Event: "UntagStream", Do: does(option(c.UntagStream), func(it *Item) *kinesisvideo.UntagStreamInput {
				return &kinesisvideo.UntagStreamInput{StreamName: name(it), TagKeyList: []string{"one", "two", "three"}}
			}), Then: ends("tags")},
			{Event: "DeleteStream", Do: version(func(ctx context.Context, _ *Item, i *videotypes.StreamInfo) error {
				_, err := c.DeleteStream(ctx, &kinesisvideo.DeleteStreamInput{StreamARN: i.StreamARN})
				return err
			}), Then: ends("stream")},
		},
	}
}

func observeStream(ctx context.Context, c *kinesisvideo.Client, it *Item, f Facts) error {
	out, err := c.DescribeStream(ctx, &kinesisvideo.DescribeStreamInput{StreamName: &it.Name})
	if err != nil {
		return err
	}
	i := out.StreamInfo
	f["stream"] = fmt.Sprint(i.Status, " ", value(i.DataRetentionInHours), " ", value(i.MediaType))
	tags, err := c.ListTagsForStream(ctx, &kinesisvideo.ListTagsForStreamInput{StreamName: &it.Name})
	if err == nil {
		f.count("tags", len(tags.Tags))
	}
	return err
}

// boxTrade puts an object that takes several rows into a mailbox, and deletes it.
func boxTrade(s *rig.Server) Trade {
	c := s.Mailbox(s.Root)
	box := aws.String("clerk")
	return Trade{
		Name: "letter",
		Observe: func(ctx context.Context, it *Item) (Facts, error) {
			f := Facts{}
			return f, look(func() error {
				out, err := c.GetObject(ctx, &mailbox.GetObjectInput{Box: box, Key: &it.Name})
				if err == nil {
					f["object"] = fmt.Sprint(bytes.Equal(out.Body, letter(it)))
				}
				return err
			})
		},
		Steps: []Step{
			{Event: "PutObject", Do: does(c.PutObject, func(it *Item) *mailbox.PutObjectInput {
				return &mailbox.PutObjectInput{Box: box, Key: &it.Name, Body: letter(it)}
			}), Then: is("object", "true")},
			{Event: "DeleteObject", Do: does(c.DeleteObject, func(it *Item) *mailbox.DeleteObjectInput {
				return &mailbox.DeleteObjectInput{Box: box, Key: &it.Name}
			}), Then: ends("object")},
		},
	}
}

// letter is about 150 kB that follow from the item's name.
func letter(it *Item) (body []byte) {
	for i := range 5000 {
		sum := sha256.Sum256(fmt.Append(nil, it.Name, i))
		body = append(body, sum[:]...)
	}
	return body
}
