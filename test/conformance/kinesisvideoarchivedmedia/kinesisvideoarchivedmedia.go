// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

// Package kinesisvideoarchivedmedia is the conformance cases of the archived media of Kinesis Video Streams. See kit for
// what a case is.
//
// Source: Kinesis Video Streams API Reference.
package kinesisvideoarchivedmedia

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/aws/aws-sdk-go/service/kinesisvideoarchivedmedia"

	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	"github.com/obscura-video/obscura/test/conformance/kinesisvideo"
	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/rig"
)

// API is the cases of archived media.
func API() *kit.API {
	return &kit.API{
		Model: archiveapi.New(archiveapi.Unimplemented{}), Denied: "NotAuthorizedException",
		Never: map[string]string{
			"NotAuthorizedException":           "is how each case is denied to who has too little permission",
			"ClientLimitExceededException":     "calls are not counted",
			"NoDataRetentionException":         unbuilt,
			"MissingCodecPrivateDataException": unbuilt,
			"InvalidCodecPrivateDataException": unbuilt,
			"InvalidMediaFrameException":       unbuilt,
		},
		Cases: slices.Concat(fragmentCases(), contentCases()),
	}
}

// unbuilt is why errors about the content of media do not come.
const unbuilt = "what looks into the media is not built"

// absent is a name that no stream has.
const absent = "conformance-absent"

// recorded is a stream with a fragment, and where its archive is. No case alters it.
type recorded struct {
	*kinesisvideo.Stream
	list, get, fragment string
}

func shared(w *kit.World) *recorded {
	w.T.Helper()
	r := *kit.Shared(w, "a stream with a fragment in its archive", func(w *kit.World) *recorded {
		s := kinesisvideo.New(w, kinesisvideo.Options{})
		w.Must(s.Send(w.Admin, s.Endpoint(types.APINamePutMedia), 1000))
		r := &recorded{Stream: s, list: s.Endpoint(types.APINameListFragments), get: s.Endpoint(types.APINameGetMediaForFragmentList)}
		w.Must(list(w.Admin, r.list, &s.Name, nil, func(o *kinesisvideoarchivedmedia.ListFragmentsOutput) error {
			r.fragment = *o.Fragments[0].FragmentNumber
			return nil
		}))
		return r
	})
	r.Stream = r.In(w)
	return &r
}

func list(c *kit.Clients, endpoint string, name, token *string, got ...func(*kinesisvideoarchivedmedia.ListFragmentsOutput) error) error {
	in := &kinesisvideoarchivedmedia.ListFragmentsInput{StreamName: name, NextToken: token}
	return kit.Run(c, c.ArchiveAt(endpoint).ListFragmentsWithContext, in, got...)
}

func get(c *kit.Clients, endpoint, name, fragment string, got ...func(*kinesisvideoarchivedmedia.GetMediaForFragmentListOutput) error) error {
	in := &kinesisvideoarchivedmedia.GetMediaForFragmentListInput{StreamName: &name, Fragments: []*string{&fragment}}
	return kit.Run(c, c.ArchiveAt(endpoint).GetMediaForFragmentListWithContext, in, got...)
}

func fragmentCases() []kit.Case {
	return []kit.Case{
		{
			Op: "ListFragments",
			Good: func(w *kit.World) kit.Call {
				r := shared(w)
				return kit.Call{Needs: kit.On(r.ARN), Do: func(c *kit.Clients) error {
					return list(c, r.list, &r.Name, nil, func(o *kinesisvideoarchivedmedia.ListFragmentsOutput) error {
						return kit.True("the one fragment", len(o.Fragments) == 1 && *o.Fragments[0].FragmentNumber == r.fragment && o.Fragments[0].ProducerTimestamp.UnixMilli() == 1000)
					})
				}}
			},
			Errors: kit.Errors{
				"ResourceNotFoundException": func(w *kit.World) error { return list(w.Admin, shared(w).list, aws.String(absent), nil) },
				"InvalidArgumentException": func(w *kit.World) error {
					return list(w.Admin, shared(w).list, &shared(w).Name, aws.String("nothingofours"))
				},
			},
		},
		{
			Op: "GetMediaForFragmentList",
			Good: func(w *kit.World) kit.Call {
				r := shared(w)
				return kit.Call{Needs: kit.On(r.ARN), Do: func(c *kit.Clients) error {
					return get(c, r.get, r.Name, r.fragment, func(o *kinesisvideoarchivedmedia.GetMediaForFragmentListOutput) error {
						defer o.Payload.Close()
						all, err := rig.ReadMedia(o.Payload, 0)
						if err != nil {
							return err
						}
						if err := kit.Want("fragments", len(all), 1); err != nil {
							return err
						}
						return r.Check(all[0])
					})
				}}
			},
			Errors: kit.Errors{
				"ResourceNotFoundException": func(w *kit.World) error { return get(w.Admin, shared(w).get, absent, shared(w).fragment) },
				"InvalidArgumentException":  func(w *kit.World) error { return get(w.Admin, shared(w).get, shared(w).Name, "no number") },
			},
		},
	}
}
