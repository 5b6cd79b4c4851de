// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/rig"
)

// Stream is a video stream.
type Stream struct {
	w         *kit.World
	Name, ARN string
}

// Options are those of a stream; the zero value keeps media for an hour.
type Options struct {
	// Unkept keeps no media beyond a short buffer.
	Unkept bool
	Tags   map[string]string
}

func (o Options) hours() *int32 {
	if o.Unkept {
		return aws.Int32(0)
	}
	return aws.Int32(1)
}

// New makes a stream that is active, and deleted at the end.
func New(w *kit.World, o Options) *Stream {
	w.T.Helper()
	s := &Stream{w: w, Name: w.Name()}
	w.Must(create(w.Admin, &kinesisvideo.CreateStreamInput{StreamName: &s.Name, DataRetentionInHours: o.hours(), Tags: o.Tags}, func(o *kinesisvideo.CreateStreamOutput) error {
		s.ARN = *o.StreamARN
		return nil
	}))
	w.Cleanup("stream "+s.Name, func(c *kit.Clients) error { return gone(remove(c, s.ARN, nil)) })
	w.Must(w.Eventually(func() error { return kit.Want("status", s.info().Status, types.StatusActive) }, func(error) bool { return true }))
	return s
}

// gone forgives that a stream is not there.
func gone(err error) error {
	if code, _ := kit.CodeOf(err); code == "ResourceNotFoundException" {
		return nil
	}
	return err
}

// In is the stream as another test sees it, for one that is shared.
func (s Stream) In(w *kit.World) *Stream {
	s.w = w
	return &s
}

// Endpoint is where an API of the stream's media is.
func (s *Stream) Endpoint(api types.APIName) string {
	s.w.T.Helper()
	out, err := s.w.Admin.Video.GetDataEndpoint(s.w.Admin.Ctx, &kinesisvideo.GetDataEndpointInput{StreamName: &s.Name, APIName: api})
	s.w.Must(err)
	return *out.DataEndpoint
}

// Frames are what Send sends at a timecode.
func (s *Stream) Frames(timecode uint64) [][]byte { return rig.Frames(s.Name, timecode, 3, 100) }

// Send sends one fragment, and waits until it is stored.
func (s *Stream) Send(c *kit.Clients, endpoint string, timecode uint64) error {
	p, err := c.Put(endpoint, s.Name)
	if err != nil {
		return err
	}
	if _, err := p.Write(rig.Header()); err != nil {
		return err
	}
	if _, err := p.Send(rig.Fragment(timecode, s.Frames(timecode))); err != nil {
		p.Cut()
		return err
	}
	_, err = p.End()
	return err
}

// Check finds what is wrong with a fragment that was read.
func (s *Stream) Check(f *rig.Received) error {
	if !f.Equal(s.Frames(f.Timecode)) {
		return fmt.Errorf("fragment %s is not what was sent", f.Number)
	}
	return nil
}

// info is what DescribeStream says of it.
func (s *Stream) info() *types.StreamInfo {
	s.w.T.Helper()
	out, err := s.w.Admin.Video.DescribeStream(s.w.Admin.Ctx, &kinesisvideo.DescribeStreamInput{StreamName: &s.Name})
	s.w.Must(err)
	return out.StreamInfo
}

// there says whether there is a stream of a name, for Call.Changes.
func there(w *kit.World, name string) any {
	w.T.Helper()
	err := describe(w.Admin, &name)
	w.Must(gone(err))
	return err == nil
}

func create(c *kit.Clients, in *kinesisvideo.CreateStreamInput, got ...func(*kinesisvideo.CreateStreamOutput) error) error {
	return kit.Run(c, c.Video.CreateStream, in, got...)
}

func remove(c *kit.Clients, arn string, version *string) error {
	return kit.Run(c, c.Video.DeleteStream, &kinesisvideo.DeleteStreamInput{StreamARN: &arn, CurrentVersion: version})
}

func describe(c *kit.Clients, name *string) error {
	return kit.Run(c, c.Video.DescribeStream, &kinesisvideo.DescribeStreamInput{StreamName: name}, func(o *kinesisvideo.DescribeStreamOutput) error {
		return kit.Want("stream", []any{*o.StreamInfo.StreamName, *o.StreamInfo.DataRetentionInHours}, []any{*name, int32(1)})
	})
}

func streamCases() []kit.Case {
	list := func(c *kit.Clients, token *string, got ...func(*kinesisvideo.ListStreamsOutput) error) error {
		return kit.Run(c, c.Video.ListStreams, &kinesisvideo.ListStreamsInput{MaxResults: aws.Int32(1), NextToken: token}, got...)
	}
	return []kit.Case{
		createStream(),
		on("DescribeStream", describe, detail{}),
		{
			Op: "ListStreams",
			Good: func(w *kit.World) kit.Call {
				New(w, Options{})
				return kit.Call{Do: func(c *kit.Clients) error {
					return list(c, nil, func(o *kinesisvideo.ListStreamsOutput) error { return kit.Want("streams", len(o.StreamInfoList), 1) })
				}}
			},
			Errors: kit.Errors{"InvalidArgumentException": func(w *kit.World) error { return list(w.Admin, aws.String("nothingofours")) }},
		},
		byARN("DeleteStream", func(c *kit.Clients, arn string) error { return remove(c, arn, nil) }, detail{
			changes: func(s *Stream) any { return there(s.w, s.Name) },
			errors: kit.Errors{"VersionMismatchException": func(w *kit.World) error {
				return remove(w.Admin, New(w, Options{}).ARN, aws.String("another"))
			}},
			never: alwaysActive(),
		}),
	}
}

func createStream() kit.Case {
	with := func(change func(w *kit.World, in *kinesisvideo.CreateStreamInput)) func(w *kit.World) error {
		return func(w *kit.World) error {
			in := &kinesisvideo.CreateStreamInput{StreamName: aws.String(w.Name())}
			change(w, in)
			return create(w.Admin, in)
		}
	}
	return kit.Case{
		Op: "CreateStream",
		Good: func(w *kit.World) kit.Call {
			name := w.Name()
			arn := ""
			w.Cleanup("stream "+name, func(c *kit.Clients) error { return gone(remove(c, arn, nil)) })
			return kit.Call{
				// When it is made is part of its ARN.
				Needs:   kit.On(w.ARN("kinesisvideo", "stream/"+name+"/*")),
				Changes: func() any { return there(w, name) },
				Do: func(c *kit.Clients) error {
					return create(c, &kinesisvideo.CreateStreamInput{StreamName: &name, DataRetentionInHours: aws.Int32(1)}, func(o *kinesisvideo.CreateStreamOutput) error {
						arn = *o.StreamARN
						return nil
					})
				},
			}
		},
		Errors: kit.Errors{
			"InvalidArgumentException": with(func(_ *kit.World, in *kinesisvideo.CreateStreamInput) { in.StreamName = aws.String("not a name") }),
			"ResourceInUseException":   with(func(w *kit.World, in *kinesisvideo.CreateStreamInput) { in.StreamName = &New(w, Options{}).Name }),
		},
		Never: map[string]string{"TagsPerResourceExceededLimitException": "a call takes no more tags than a stream can have"},
	}
}
