// SPDX-License-Identifier: Apache-2.0

// Package kinesisvideo is the conformance cases of the control plane of Kinesis Video Streams, and the streams that the
// cases of its media use. See kit for what a case is.
//
// Source: Kinesis Video Streams API Reference.
package kinesisvideo

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"

	videoapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/test/conformance/kit"
)

// API is the cases of the control plane.
func API() *kit.API {
	return &kit.API{
		Model: videoapi.New(videoapi.Unimplemented{}), Denied: "NotAuthorizedException",
		Never: map[string]string{
			"AccessDeniedException":               "is how each case is denied to who has too little permission",
			"NotAuthorizedException":              "is how each case is denied to who has too little permission",
			"ClientLimitExceededException":        "calls are not counted",
			"AccountStreamLimitExceededException": "there can be any number of streams",
			"DeviceStreamLimitExceededException":  "there can be any number of streams",
			"InvalidDeviceException":              "devices are names only",
		},
		Cases: slices.Concat(streamCases(), settingCases(), tagCases(), resourceCases(), featureCases()),
	}
}

// absent is a name that no stream has.
const absent = "conformance-absent"

// named is an operation on a stream, with all else as it should be. Without a name it is wrong.
type named func(c *kit.Clients, name *string) error

// detail is what a case has besides.
type detail struct {
	// prepare makes what the operation needs of its stream.
	prepare func(s *Stream)
	// changes looks at what the operation changes.
	changes func(s *Stream) any
	errors  kit.Errors
	never   map[string]string
}

// call is the good call of an operation on a stream.
func (d detail) call(s *Stream, do func(c *kit.Clients) error) kit.Call {
	if d.prepare != nil {
		d.prepare(s)
	}
	good := kit.Call{Needs: kit.On(s.ARN), Do: do}
	if d.changes != nil {
		good.Changes = func() any { return d.changes(s) }
	}
	return good
}

// on is the case of an operation on a stream that is called by its name.
func on(op string, do named, d detail) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			s := New(w, Options{})
			return d.call(s, func(c *kit.Clients) error { return do(c, &s.Name) })
		},
		Errors: kit.Merge(kit.Errors{
			"ResourceNotFoundException": func(w *kit.World) error { return do(w.Admin, aws.String(absent)) },
			"InvalidArgumentException":  func(w *kit.World) error { return do(w.Admin, nil) },
		}, d.errors),
		Never: d.never,
	}
}

// byARN is the case of an operation on a stream that is called by its ARN.
func byARN(op string, do func(c *kit.Clients, arn string) error, d detail) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			s := New(w, Options{})
			return d.call(s, func(c *kit.Clients) error { return do(c, s.ARN) })
		},
		Errors: kit.Merge(kit.Errors{
			"ResourceNotFoundException": func(w *kit.World) error {
				return do(w.Admin, w.ARN("kinesisvideo", "stream/"+absent+"/1700000000000"))
			},
			"InvalidArgumentException": func(w *kit.World) error { return do(w.Admin, "no ARN") },
		}, d.errors),
		Never: d.never,
	}
}

// versioned is on for an operation that wants to be told the stream's version.
func versioned(op string, do func(c *kit.Clients, name, version *string) error, changes func(s *Stream) any) kit.Case {
	const other = "another"
	c := on(op, func(c *kit.Clients, name *string) error { return do(c, name, aws.String(other)) }, detail{
		errors: kit.Errors{"VersionMismatchException": func(w *kit.World) error {
			return do(w.Admin, &New(w, Options{}).Name, aws.String(other))
		}},
		never: alwaysActive(),
	})
	c.Good = func(w *kit.World) kit.Call {
		s := New(w, Options{})
		return detail{changes: changes}.call(s, func(c *kit.Clients) error { return do(c, &s.Name, s.info().Version) })
	}
	return c
}

// alwaysActive is the reason why a stream is never in use.
func alwaysActive() map[string]string {
	return map[string]string{"ResourceInUseException": "a stream is active whenever it is there"}
}
