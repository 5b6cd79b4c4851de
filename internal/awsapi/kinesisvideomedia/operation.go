// SPDX-License-Identifier: Apache-2.0

package kinesisvideomedia

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// PutMediaPath is the path of PutMedia below a data endpoint.
const PutMediaPath = "/putMedia"

// The headers of PutMedia. The last is sent by the C SDK and in no document.
const (
	headerStreamName   = "X-Amzn-Stream-Name"
	headerStreamARN    = "X-Amzn-Stream-Arn"
	headerTimecodeType = "X-Amzn-Fragment-Timecode-Type"
	headerStart        = "X-Amzn-Producer-Start-Timestamp"
	headerAckRequired  = "X-Amzn-Fragment-Acknowledgment-Required"
)

// SetHeader puts the input's members into the headers of a request.
func (in *PutMediaInput) SetHeader(h http.Header) {
	protocol.SetHeader(h, headerStreamName, in.StreamName)
	protocol.SetHeader(h, headerStreamARN, in.StreamARN)
	h.Set(headerTimecodeType, in.TimecodeType)
	start := "0"
	if in.ProducerStartTimestamp != nil {
		start = string(protocol.AppendTime(nil, *in.ProducerStartTimestamp))
	}
	h.Set(headerStart, start)
	required := "0"
	if in.AckRequired {
		required = "1"
	}
	h.Set(headerAckRequired, required)
}

// Validate checks the headers as the service does. That exactly one of name
// and ARN is given is checked where the request is decoded.
func (in *PutMediaInput) Validate(c *protocol.Check) {
	c.Text("streamName", in.StreamName, &ruleStreamName)
	c.Text("streamARN", in.StreamARN, &ruleResourceARN)
	c.Text("fragmentTimecodeType", &in.TimecodeType, &timecodeTypes)
}

var timecodeTypes = protocol.Text{Enum: []string{FragmentTimecodeTypeAbsolute, FragmentTimecodeTypeRelative}}

// putMediaOperation is the row of PutMedia in the dispatch table. Its Call answers by
// itself, unless it fails before the first ack.
func putMediaOperation(s MediaServer) *protocol.Operation {
	op := &protocol.Operation{Name: "PutMedia", Method: http.MethodPost, Path: PutMediaPath, StreamsIn: true, StreamsOut: true, Errors: []string{
		"ClientLimitExceededException", "ConnectionLimitExceededException", "InvalidArgumentException",
		"InvalidEndpointException", "NotAuthorizedException", "ResourceNotFoundException",
	}}
	op.Decode = func(r *protocol.Request) (any, error) { return decodePutMedia(op.Service, r) }
	op.Call = func(ctx context.Context, in any) (any, error) {
		put, ok := in.(*PutMediaInput)
		if !ok {
			return nil, fmt.Errorf("PutMedia: input is %T", in)
		}
		err := s.PutMedia(ctx, put)
		if acks, ok := put.Acks.(*ackWriter); ok {
			if err = acks.finish(err); err == nil && acks.lingers {
				drain(put.Body)
			}
		}
		return put, err
	}
	op.Encode = func(http.ResponseWriter, string, any) error { return nil } // Call has answered
	return op
}

// drain takes what the client goes on sending after its last ack, for as long as StopReading allows: net/http takes
// 256 KB, less than a fragment, and then resets the connection, which can take the ack with it.
func drain(body io.Reader) {
	_, _ = io.Copy(io.Discard, body) // it ends with the body or at the deadline
}

func decodePutMedia(s *protocol.Service, r *protocol.Request) (*PutMediaInput, error) {
	h := r.HTTP.Header
	in := &PutMediaInput{
		StreamName:   protocol.Header(h, headerStreamName),
		StreamARN:    protocol.Header(h, headerStreamARN),
		TimecodeType: h.Get(headerTimecodeType),
		AckRequired:  !isFalse(h.Get(headerAckRequired)),
		Body:         r.HTTP.Body,
	}
	var c protocol.Check
	in.Validate(&c)
	if text := c.Err(); text != "" {
		return nil, &InvalidArgumentException{Message: text}
	}
	if (in.StreamName == nil) == (in.StreamARN == nil) {
		return nil, &InvalidArgumentException{Message: "Either StreamName or StreamARN should be provided."}
	}
	if text := h.Get(headerStart); text != "" {
		t, err := protocol.ParseEpoch(text)
		if err != nil {
			return nil, &InvalidArgumentException{Message: "The producer start timestamp is not a number of seconds."}
		}
		in.ProducerStartTimestamp = &t
	}
	in.Acks = newAckWriter(s, r, in.AckRequired)
	return in, nil
}

func isFalse(s string) bool { return s == "0" || strings.EqualFold(s, "false") }
