// SPDX-License-Identifier: Apache-2.0

package kinesisvideomedia

import (
	"context"
	"io"
	"time"
)

// Values of PutMediaInput.TimecodeType.
const (
	// FragmentTimecodeTypeAbsolute: cluster timecodes count from the epoch.
	FragmentTimecodeTypeAbsolute = "ABSOLUTE"
	// FragmentTimecodeTypeRelative: cluster timecodes count from the producer's start.
	FragmentTimecodeTypeRelative = "RELATIVE"
)

// MediaServer takes in media. PutMedia is in no public model, so it is written by
// hand; the generated Server embeds this interface.
//
// Source: Kinesis Video Streams developer guide, PutMedia.
type MediaServer interface {
	// PutMedia reads in.Body to its end and answers on in.Acks while it reads.
	// An error returned before the first ack becomes an error response; later
	// it cuts the connection. Nil ends the response well.
	PutMedia(ctx context.Context, in *PutMediaInput) error
}

// PutMediaInput is a PutMedia request whose headers have been checked. Exactly one
// of StreamName and StreamARN is set.
type PutMediaInput struct {
	StreamName   *string // 1..256 characters
	StreamARN    *string // 1..1024 characters
	TimecodeType string  // FragmentTimecodeTypeAbsolute or FragmentTimecodeTypeRelative

	// ProducerStartTimestamp is what a RELATIVE timecode counts from. Producers of
	// the C SDK print its fraction without padding, so it is good to a second only.
	// Nil when the client sent none.
	ProducerStartTimestamp *time.Time

	// AckRequired is false only when the client asked for no acks.
	AckRequired bool

	// Body is the Matroska stream. It may be read until PutMedia returns.
	Body io.Reader `audit:"-"`
	// Acks sends acks. The first use, of either method, sends the status.
	Acks AckWriter `audit:"-"`
}
