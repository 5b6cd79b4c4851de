// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/policy"
)

// identities gives principals the policy of their ARN.
type identities map[string]string

func (i identities) PoliciesFor(_ context.Context, p *access.Principal) ([]*policy.Document, *policy.Document, error) {
	d, err := policy.Parse([]byte(i[p.ARN]), policy.Identity)
	return []*policy.Document{d}, nil, err
}

func TestPoliciesDecideByActionResourceAndTags(t *testing.T) {
	w := newWorld(t)
	arn := w.create("front-door", 1)
	other := w.create("back-door", 1)
	w.putAll("front-door", header(), cluster(1000, "a"))
	_, err := w.TagStream(w.as(camera), &kvapi.TagStreamInput{StreamARN: &arn, Tags: map[string]string{"Room": "hall"}})
	if err != nil {
		t.Fatal(err)
	}
	w.Authorizer = access.New(identities{
		camera: `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":["kinesisvideo:PutMedia","kinesisvideo:DescribeStream"],"Resource":"arn:aws:kinesisvideo:*:*:stream/front-door/*"},
			{"Effect":"Allow","Action":"kinesisvideo:CreateStream","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/Room":"hall"}}}]}`,
		viewer: `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":["kinesisvideo:GetMedia","kinesisvideo:List*"],"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Room":"hall"}}},
			{"Effect":"Allow","Action":"kinesisvideo:ListStreams","Resource":"*"}]}`,
	}, "000000000000", "us-east-1", time.Now)

	const yes, no, none = "<nil>", "AccessDenied", "ResourceNotFoundException"
	describe := func(who, name string) error {
		_, err := w.DescribeStream(w.as(who), &kvapi.DescribeStreamInput{StreamName: &name})
		return err
	}
	list := func(who, name string) error {
		_, err := w.ListFragments(w.as(who), &archiveapi.ListFragmentsInput{StreamName: &name})
		return err
	}
	get := func(who, name string) error {
		ctx, cancel := context.WithCancel(w.as(who))
		defer cancel()
		_, err := w.GetMedia(ctx, &mediaapi.GetMediaInput{StreamName: &name, StartSelector: earliest()})
		return err
	}
	put := func(who, name string) error {
		p := w.putAs(who, &mediaapi.PutMediaInput{StreamName: &name, TimecodeType: mediaapi.FragmentTimecodeTypeAbsolute})
		return p.send(header()).end()
	}
	create := func(name string, tags map[string]string) error {
		_, err := w.CreateStream(w.as(camera), &kvapi.CreateStreamInput{StreamName: &name, Tags: tags})
		return err
	}
	listStreams := func(who string) error {
		_, err := w.ListStreams(w.as(who), &kvapi.ListStreamsInput{})
		return err
	}
	remove := func(who, arn string) error {
		_, err := w.DeleteStream(w.as(who), &kvapi.DeleteStreamInput{StreamARN: &arn})
		return err
	}
	for i, tc := range []struct {
		err  error
		want string
	}{
		{describe(camera, "front-door"), yes},
		{describe(camera, "back-door"), no},
		{describe(viewer, "front-door"), no},
		{describe(camera, "side-door"), no},
		{list(viewer, "front-door"), yes},
		{list(viewer, "back-door"), no},
		{list(camera, "front-door"), no},
		{get(viewer, "front-door"), yes},
		{get(viewer, "back-door"), no},
		{get(viewer, "side-door"), no},
		{get(camera, "front-door"), no},
		{put(camera, "front-door"), yes},
		{put(camera, "back-door"), no},
		{put(viewer, "front-door"), no},
		{create("a", map[string]string{"Room": "hall"}), yes},
		{create("b", map[string]string{"Room": "bath"}), no},
		{create("c", nil), no},
		{listStreams(viewer), yes},
		{listStreams(camera), no},
		{remove(viewer, other), no},
	} {
		if got := code(tc.err); got != tc.want {
			t.Errorf("case %d: got %s, want %s", i, got, tc.want)
		}
	}
	w.Authorizer = w.auth
	w.delete(arn)
	w.Authorizer = access.New(identities{camera: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:kinesisvideo:*:*:stream/front-door/*"}}`}, "000000000000", "us-east-1", time.Now)
	if got := code(describe(camera, "front-door")); got != none {
		t.Errorf("one's own stream that is gone: %s", got)
	}
}
