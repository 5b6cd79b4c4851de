// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package conformance

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/kinesisvideoarchivedmedia"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/rig"
)

// putOne sends one fragment and waits until it is durable. A refusal is an error of the SDK's kind.
func (w *world) putOne(c *clients, stream string, timecode uint64) error {
	p, err := w.PutMedia(c.ctx, c.creds, stream)
	if e, ok := errors.AsType[*protocol.ResponseError](err); ok {
		return awserr.New(e.Code, e.Message, err)
	}
	if err != nil {
		return err
	}
	if _, err := p.Write(rig.Header()); err != nil {
		return err
	}
	if _, err := p.Send(rig.Fragment(timecode, rig.Frames(stream, timecode, 3, 100))); err != nil {
		p.Cut()
		return err
	}
	_, err = p.End()
	return err
}

// getOne reads one fragment and checks that it is the one sent at its timecode.
func (w *world) getOne(c *clients, stream, start string) error {
	out, err := c.media.GetMediaWithContext(c.ctx, &kinesisvideomedia.GetMediaInput{
		StreamName: &stream, StartSelector: &kinesisvideomedia.StartSelector{StartSelectorType: &start},
	})
	if err != nil {
		return err
	}
	defer out.Payload.Close()
	got, err := rig.ReadMedia(out.Payload, 1)
	if err != nil {
		return err
	}
	if !got[0].Equal(rig.Frames(stream, got[0].Timecode, 3, 100)) {
		return fmt.Errorf("fragment %s is not what was sent", got[0].Number)
	}
	return nil
}

func (c *clients) listFragments(stream string) (numbers []string, err error) {
	in := &kinesisvideoarchivedmedia.ListFragmentsInput{StreamName: &stream}
	err = c.archive.ListFragmentsPagesWithContext(c.ctx, in, func(o *kinesisvideoarchivedmedia.ListFragmentsOutput, _ bool) bool {
		for _, f := range o.Fragments {
			numbers = append(numbers, *f.FragmentNumber)
		}
		return true
	})
	return numbers, err
}

func videoSteps() []step {
	door := aws.String("door")
	seal := []string{"kms:GenerateDataKey", "kms:Decrypt", "kms:DescribeKey"}
	version := func(w *world, c *clients) *string {
		// Root asks, since the step's caller may not.
		out, err := w.root.video.DescribeStream(c.ctx, &kinesisvideo.DescribeStreamInput{StreamName: door})
		if err != nil {
			w.t.Error(err)
			return door
		}
		return out.StreamInfo.Version
	}
	return []step{
		{action: "kinesisvideo:CreateStream", call: func(w *world, c *clients) error {
			return run(c, c.video.CreateStream, &kinesisvideo.CreateStreamInput{StreamName: door, DataRetentionInHours: aws.Int32(1)},
				func(o *kinesisvideo.CreateStreamOutput) { w.keep("stream", o.StreamARN) })
		}},
		{action: "kinesisvideo:DescribeStream", call: func(w *world, c *clients) error {
			return run(c, c.video.DescribeStream, &kinesisvideo.DescribeStreamInput{StreamName: door}, func(o *kinesisvideo.DescribeStreamOutput) {
				w.equal("status", o.StreamInfo.Status, types.StatusActive)
				w.equal("arn", *o.StreamInfo.StreamARN, w.id["stream"])
			})
		}},
		{action: "kinesisvideo:ListStreams", call: func(w *world, c *clients) error {
			return run(c, c.video.ListStreams, &kinesisvideo.ListStreamsInput{}, func(o *kinesisvideo.ListStreamsOutput) { w.equal("streams", len(o.StreamInfoList), 1) })
		}},
		{action: "kinesisvideo:UpdateStream", call: func(w *world, c *clients) error {
			return run(c, c.video.UpdateStream, &kinesisvideo.UpdateStreamInput{StreamName: door, CurrentVersion: version(w, c), MediaType: aws.String("video/h264")})
		}},
		{action: "kinesisvideo:UpdateDataRetention", call: func(w *world, c *clients) error {
			return run(c, c.video.UpdateDataRetention, &kinesisvideo.UpdateDataRetentionInput{
				StreamName: door, CurrentVersion: version(w, c), DataRetentionChangeInHours: aws.Int32(1),
				Operation: types.UpdateDataRetentionOperationIncreaseDataRetention,
			})
		}},
		{action: "kinesisvideo:GetDataEndpoint", call: func(w *world, c *clients) error {
			return run(c, c.video.GetDataEndpoint, &kinesisvideo.GetDataEndpointInput{StreamName: door, APIName: types.APINamePutMedia},
				func(o *kinesisvideo.GetDataEndpointOutput) { w.equal("endpoint", *o.DataEndpoint, w.Media) })
		}},
		{action: "kinesisvideo:TagStream", call: func(_ *world, c *clients) error {
			return run(c, c.video.TagStream, &kinesisvideo.TagStreamInput{StreamName: door, Tags: map[string]string{"k": "v"}})
		}},
		{action: "kinesisvideo:ListTagsForStream", call: func(w *world, c *clients) error {
			return run(c, c.video.ListTagsForStream, &kinesisvideo.ListTagsForStreamInput{StreamName: door}, func(o *kinesisvideo.ListTagsForStreamOutput) { w.equal("tags", o.Tags, map[string]string{"k": "v"}) })
		}},
		{action: "kinesisvideo:UntagStream", call: func(_ *world, c *clients) error {
			return run(c, c.video.UntagStream, &kinesisvideo.UntagStreamInput{StreamName: door, TagKeyList: []string{"k"}})
		}},
		{action: "kinesisvideo:TagResource", call: func(w *world, c *clients) error {
			return run(c, c.video.TagResource, &kinesisvideo.TagResourceInput{ResourceARN: w.s("stream"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
		}},
		{action: "kinesisvideo:ListTagsForResource", call: func(w *world, c *clients) error {
			return run(c, c.video.ListTagsForResource, &kinesisvideo.ListTagsForResourceInput{ResourceARN: w.s("stream")})
		}},
		{action: "kinesisvideo:UntagResource", call: func(w *world, c *clients) error {
			return run(c, c.video.UntagResource, &kinesisvideo.UntagResourceInput{ResourceARN: w.s("stream"), TagKeyList: []string{"k"}})
		}},
		{action: "kinesisvideo:DescribeImageGenerationConfiguration", call: func(_ *world, c *clients) error {
			return run(c, c.video.DescribeImageGenerationConfiguration, &kinesisvideo.DescribeImageGenerationConfigurationInput{StreamName: door})
		}},
		{action: "kinesisvideo:UpdateImageGenerationConfiguration", call: func(_ *world, c *clients) error {
			return run(c, c.video.UpdateImageGenerationConfiguration, &kinesisvideo.UpdateImageGenerationConfigurationInput{StreamName: door})
		}},
		{action: "kinesisvideo:DescribeNotificationConfiguration", call: func(_ *world, c *clients) error {
			return run(c, c.video.DescribeNotificationConfiguration, &kinesisvideo.DescribeNotificationConfigurationInput{StreamName: door})
		}},
		{action: "kinesisvideo:UpdateNotificationConfiguration", call: func(_ *world, c *clients) error {
			return run(c, c.video.UpdateNotificationConfiguration, &kinesisvideo.UpdateNotificationConfigurationInput{StreamName: door})
		}},
		{action: "kinesisvideo:DescribeStreamStorageConfiguration", call: func(_ *world, c *clients) error {
			return run(c, c.video.DescribeStreamStorageConfiguration, &kinesisvideo.DescribeStreamStorageConfigurationInput{StreamName: door})
		}},
		{action: "kinesisvideo:UpdateStreamStorageConfiguration", call: func(w *world, c *clients) error {
			return run(c, c.video.UpdateStreamStorageConfiguration, &kinesisvideo.UpdateStreamStorageConfigurationInput{
				StreamName: door, CurrentVersion: version(w, c),
				StreamStorageConfiguration: &types.StreamStorageConfiguration{DefaultStorageTier: types.DefaultStorageTierHot},
			})
		}},
		{action: "kinesisvideo:PutMedia", needs: seal, call: func(w *world, c *clients) error { return w.putOne(c, "door", 1000) }},
		{action: "kinesisvideo:ListFragments", call: func(w *world, c *clients) error {
			numbers, err := c.listFragments("door")
			if err == nil {
				w.equal("any", len(numbers) > 0, true)
				w.id["fragment"] = numbers[0]
			}
			return err
		}},
		{action: "kinesisvideo:GetMedia", needs: seal, call: func(w *world, c *clients) error {
			return w.getOne(c, "door", kinesisvideomedia.StartSelectorTypeEarliest)
		}},
		{action: "kinesisvideo:GetMediaForFragmentList", needs: seal, call: func(w *world, c *clients) error {
			fragment := w.id["fragment"]
			if fragment == "" {
				fragment = "1"
			}
			out, err := c.archive.GetMediaForFragmentListWithContext(c.ctx, &kinesisvideoarchivedmedia.GetMediaForFragmentListInput{
				StreamName: door, Fragments: []*string{&fragment},
			})
			if err != nil {
				return err
			}
			defer out.Payload.Close()
			got, err := rig.ReadMedia(out.Payload, 0)
			if err == nil {
				w.equal("fragment", got[0].Equal(rig.Frames("door", 1000, 3, 100)), true)
			}
			return err
		}},
		{action: "kinesisvideo:DeleteStream", call: func(w *world, c *clients) error {
			return run(c, c.video.DeleteStream, &kinesisvideo.DeleteStreamInput{StreamARN: w.s("stream")})
		}},
	}
}

func (w *world) createStream(name string, in kinesisvideo.CreateStreamInput) string {
	w.t.Helper()
	in.StreamName = &name
	if in.DataRetentionInHours == nil {
		in.DataRetentionInHours = aws.Int32(1)
	}
	out, err := w.root.video.CreateStream(w.t.Context(), &in)
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.StreamARN
}

func TestKinesisVideo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.walk(videoSteps())
	w.createStream("hall", kinesisvideo.CreateStreamInput{})
	w.createStream("buffer", kinesisvideo.CreateStreamInput{DataRetentionInHours: aws.Int32(0)})
	hall, absent := aws.String("hall"), aws.String("absent")
	arn := aws.String("arn:aws:kinesisvideo:us-east-1:000000000000:stream/absent/1700000000000")
	w.refuse([]failure{
		{"CreateStream", "ResourceInUseException", func(c *clients) error {
			return run(c, c.video.CreateStream, &kinesisvideo.CreateStreamInput{StreamName: hall})
		}},
		{"CreateStream", "InvalidArgumentException", func(c *clients) error {
			return run(c, c.video.CreateStream, &kinesisvideo.CreateStreamInput{StreamName: aws.String("../../etc/passwd")})
		}},
		{"DescribeStream", "ResourceNotFoundException", func(c *clients) error {
			return run(c, c.video.DescribeStream, &kinesisvideo.DescribeStreamInput{StreamName: absent})
		}},
		{"DescribeStream", "InvalidArgumentException", func(c *clients) error {
			return run(c, c.video.DescribeStream, &kinesisvideo.DescribeStreamInput{})
		}},
		{"UpdateStream", "VersionMismatchException", func(c *clients) error {
			return run(c, c.video.UpdateStream, &kinesisvideo.UpdateStreamInput{StreamName: hall, CurrentVersion: aws.String("other"), MediaType: aws.String("video/h264")})
		}},
		{"UpdateDataRetention", "VersionMismatchException", func(c *clients) error {
			return run(c, c.video.UpdateDataRetention, &kinesisvideo.UpdateDataRetentionInput{
				StreamName: hall, CurrentVersion: aws.String("other"), DataRetentionChangeInHours: aws.Int32(1), Operation: types.UpdateDataRetentionOperationIncreaseDataRetention,
			})
		}},
		{"DeleteStream", "ResourceNotFoundException", func(c *clients) error {
			return run(c, c.video.DeleteStream, &kinesisvideo.DeleteStreamInput{StreamARN: arn})
		}},
		{"GetDataEndpoint", "ResourceNotFoundException", func(c *clients) error {
			return run(c, c.video.GetDataEndpoint, &kinesisvideo.GetDataEndpointInput{StreamName: absent, APIName: types.APINameGetMedia})
		}},
		{"TagStream", "TagsPerResourceExceededLimitException", func(c *clients) error {
			err := error(nil)
			for i := 0; i < 6 && err == nil; i++ {
				tags := map[string]string{}
				for j := range 10 {
					tags[fmt.Sprint("k", i, j)] = "v"
				}
				err = run(c, c.video.TagStream, &kinesisvideo.TagStreamInput{StreamName: hall, Tags: tags})
			}
			return err
		}},
		{"PutMedia", "ResourceNotFoundException", func(c *clients) error { return w.putOne(c, "absent", 1000) }},
		{"GetMedia", "ResourceNotFoundException", func(c *clients) error { return w.getOne(c, "absent", "EARLIEST") }},
		{"ListFragments", "ResourceNotFoundException", func(c *clients) error {
			_, err := c.listFragments("absent")
			return err
		}},
	})
	_, err := w.root.archive.ListFragments(&kinesisvideoarchivedmedia.ListFragmentsInput{StreamName: absent})
	if _, ok := err.(*kinesisvideoarchivedmedia.ResourceNotFoundException); !ok {
		t.Errorf("the SDK made %T of it: %v", err, err)
	}
}

// TestEveryBuiltOperationIsWalked: what the server answers otherwise than with "not built" is among the steps, or its
// service has cases for all.
func TestEveryBuiltOperationIsWalked(t *testing.T) {
	t.Parallel()
	s := rig.Start(t)
	var walked []string
	for _, steps := range [][]step{videoSteps(), sealedSteps()} {
		for _, s := range steps {
			walked = append(walked, s.action)
		}
	}
	for _, service := range apis() {
		if slices.ContainsFunc(suites(), func(a *kit.API) bool { return a.Model.Name == service.Name }) {
			continue
		}
		for _, op := range service.Operations {
			a := askedOf(t, op)
			if a.ask(t, s, s.Root).status != 501 && !slices.Contains(walked, a.action()) && !slices.Contains(federated, a.name()) {
				t.Errorf("%s is built and not walked", a.name())
			}
		}
	}
}

// eventually tries until it is so, or the test is lost.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("not within 5 s: %s", what)
}
