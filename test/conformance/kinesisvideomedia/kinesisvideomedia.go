// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

// Package kinesisvideomedia is the conformance cases of the media of Kinesis Video Streams, as it comes in and goes out.
// See kit for what a case is.
//
// Sources: Kinesis Video Streams API Reference and Developer Guide.
package kinesisvideomedia

import (
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/aws/aws-sdk-go/service/kinesisvideoarchivedmedia"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/test/conformance/kinesisvideo"
	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/rig"
)

// API is the cases of PutMedia and GetMedia.
func API() *kit.API {
	return &kit.API{
		Model: mediaapi.New(mediaapi.Unimplemented{}), Denied: "NotAuthorizedException",
		Never: map[string]string{
			"NotAuthorizedException":       "is how each case is denied to who has too little permission",
			"ClientLimitExceededException": "calls are not counted",
			"InvalidEndpointException":     "one endpoint is every stream's",
		},
		Cases: []kit.Case{putMedia(), getMedia()},
	}
}

// absent is a name that no stream has, misnomer a text that can be no name.
const (
	absent   = "conformance-absent"
	misnomer = "not.a/name"
)

// recorded is a stream with a fragment, and where it is read. No case alters it.
type recorded struct {
	*kinesisvideo.Stream
	put, get string
}

// record makes a stream with one fragment.
func record(w *kit.World) *recorded {
	w.T.Helper()
	s := kinesisvideo.New(w, kinesisvideo.Options{})
	r := &recorded{s, s.Endpoint(types.APINamePutMedia), s.Endpoint(types.APINameGetMedia)}
	w.Must(s.Send(w.Admin, r.put, 1000))
	return r
}

func shared(w *kit.World) *recorded {
	w.T.Helper()
	r := *kit.Shared(w, "a stream with a fragment", record)
	r.Stream = r.In(w)
	return &r
}

// stored is how many fragments a stream has, for Call.Changes.
func stored(w *kit.World, s *kinesisvideo.Stream) any {
	w.T.Helper()
	c := w.Admin.ArchiveAt(s.Endpoint(types.APINameListFragments))
	out, err := c.ListFragmentsWithContext(w.Admin.Ctx, &kinesisvideoarchivedmedia.ListFragmentsInput{StreamName: &s.Name})
	w.Must(err)
	return len(out.Fragments)
}

func putMedia() kit.Case {
	// to sends to a stream that is not there, or cannot be.
	to := func(name string) func(w *kit.World) error {
		return func(w *kit.World) error {
			p, err := w.Admin.Put(shared(w).put, name)
			if err == nil {
				p.Cut()
			}
			return err
		}
	}
	return kit.Case{
		Op: "PutMedia",
		Good: func(w *kit.World) kit.Call {
			s := kinesisvideo.New(w, kinesisvideo.Options{})
			endpoint := s.Endpoint(types.APINamePutMedia)
			return kit.Call{
				Needs:   kit.On(s.ARN),
				Changes: func() any { return stored(w, s) },
				Do:      func(c *kit.Clients) error { return s.Send(c, endpoint, 1000) },
			}
		},
		Errors: kit.Errors{"ResourceNotFoundException": to(absent), "InvalidArgumentException": to(misnomer)},
		Never:  map[string]string{"ConnectionLimitExceededException": "a new connection ends the one before it"},
	}
}

// get begins to read a stream from a place.
func get(c *kit.Clients, endpoint, stream, from string, got ...func(*kinesisvideomedia.GetMediaOutput) error) error {
	in := &kinesisvideomedia.GetMediaInput{StreamName: &stream, StartSelector: &kinesisvideomedia.StartSelector{StartSelectorType: &from}}
	return kit.Run(c, c.MediaAt(endpoint).GetMediaWithContext, in, got...)
}

func getMedia() kit.Case {
	const earliest, number = kinesisvideomedia.StartSelectorTypeEarliest, kinesisvideomedia.StartSelectorTypeFragmentNumber
	return kit.Case{
		Op: "GetMedia",
		Good: func(w *kit.World) kit.Call {
			r := shared(w)
			return kit.Call{Needs: kit.On(r.ARN), Do: func(c *kit.Clients) error {
				return get(c, r.get, r.Name, earliest, func(o *kinesisvideomedia.GetMediaOutput) error {
					defer o.Payload.Close()
					all, err := rig.ReadMedia(o.Payload, 1)
					if err != nil {
						return err
					}
					return r.Check(all[0])
				})
			}}
		},
		Errors: kit.Errors{
			"ResourceNotFoundException": func(w *kit.World) error { return get(w.Admin, shared(w).get, absent, earliest) },
			"InvalidArgumentException":  func(w *kit.World) error { return get(w.Admin, shared(w).get, shared(w).Name, number) }, // which none is given
			"ConnectionLimitExceededException": func(w *kit.World) error {
				r := record(w)
				for { // three can be open
					err := get(w.Admin, r.get, r.Name, earliest, func(o *kinesisvideomedia.GetMediaOutput) error {
						w.T.Cleanup(func() { o.Payload.Close() })
						return nil
					})
					if err != nil {
						return err
					}
				}
			},
		},
	}
}
