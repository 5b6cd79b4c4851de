// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package kinesisvideoarchivedmedia

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/aws/aws-sdk-go/service/kinesisvideoarchivedmedia"

	"github.com/obscura-video/obscura/test/conformance/kinesisvideo"
	"github.com/obscura-video/obscura/test/conformance/kit"
)

// sealed is a stream that takes end-to-end encrypted media alone.
func sealed(w *kit.World) *kinesisvideo.Stream {
	w.T.Helper()
	return kit.Shared(w, "a sealed stream", func(w *kit.World) *kinesisvideo.Stream {
		return kinesisvideo.New(w, kinesisvideo.Options{Tags: map[string]string{"obscura:RequireE2EE": "true"}})
	}).In(w)
}

// asking is an operation that looks into the media of a stream.
type asking func(c *kit.Clients, endpoint string, name *string) error

// content is the case of an operation that is not built: it says so to who may use it, and of a sealed stream that it
// never will be.
func content(op string, api types.APIName, ask asking, ofSealed string) kit.Case {
	return kit.Case{
		Op: op, Ends: "NotImplementedException",
		Good: func(w *kit.World) kit.Call {
			s := kinesisvideo.New(w, kinesisvideo.Options{})
			endpoint := s.Endpoint(api)
			return kit.Call{Needs: kit.On(s.ARN), Do: func(c *kit.Clients) error { return ask(c, endpoint, &s.Name) }}
		},
		Errors: kit.Merge(kit.Errors{
			"ResourceNotFoundException": func(w *kit.World) error { return ask(w.Admin, shared(w).Endpoint(api), aws.String(absent)) },
			"InvalidArgumentException":  func(w *kit.World) error { return ask(w.Admin, shared(w).Endpoint(api), nil) },
		}, kit.Errors{ofSealed: func(w *kit.World) error {
			s := sealed(w)
			return kit.Saying(ask(w.Admin, s.Endpoint(api), &s.Name), "E2EE_STREAM:")
		}}),
	}
}

func contentCases() []kit.Case {
	const unsupported = "UnsupportedStreamMediaTypeException"
	hls := func(c *kit.Clients, endpoint string, name *string) error {
		return kit.Run(c, c.ArchiveAt(endpoint).GetHLSStreamingSessionURLWithContext, &kinesisvideoarchivedmedia.GetHLSStreamingSessionURLInput{StreamName: name})
	}
	dash := func(c *kit.Clients, endpoint string, name *string) error {
		return kit.Run(c, c.ArchiveAt(endpoint).GetDASHStreamingSessionURLWithContext, &kinesisvideoarchivedmedia.GetDASHStreamingSessionURLInput{StreamName: name})
	}
	begin, end := aws.Time(time.UnixMilli(1000)), aws.Time(time.UnixMilli(2000))
	clip := func(c *kit.Clients, endpoint string, name *string) error {
		return kit.Run(c, c.ArchiveAt(endpoint).GetClipWithContext, &kinesisvideoarchivedmedia.GetClipInput{StreamName: name, ClipFragmentSelector: &kinesisvideoarchivedmedia.ClipFragmentSelector{
			FragmentSelectorType: aws.String("PRODUCER_TIMESTAMP"), TimestampRange: &kinesisvideoarchivedmedia.ClipTimestampRange{StartTimestamp: begin, EndTimestamp: end},
		}})
	}
	images := func(c *kit.Clients, endpoint string, name *string) error {
		return kit.Run(c, c.ArchiveAt(endpoint).GetImagesWithContext, &kinesisvideoarchivedmedia.GetImagesInput{
			StreamName: name, Format: aws.String("JPEG"), ImageSelectorType: aws.String("PRODUCER_TIMESTAMP"), StartTimestamp: begin, EndTimestamp: end,
		})
	}
	return []kit.Case{
		content("GetHLSStreamingSessionURL", types.APINameGetHlsStreamingSessionUrl, hls, unsupported),
		content("GetDASHStreamingSessionURL", types.APINameGetDashStreamingSessionUrl, dash, unsupported),
		content("GetClip", types.APINameGetClip, clip, unsupported),
		content("GetImages", types.APINameGetImages, images, "InvalidArgumentException"),
	}
}
