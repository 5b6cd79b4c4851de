// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// ResponseError is a failure that the service reported for a request; it holds the request's ID.
type ResponseError = protocol.ResponseError

// Errors of a Producer.
var (
	// ErrClosed says that the Producer was closed.
	ErrClosed = errors.New("producer: closed")
	// ErrTooLarge says that a frame exceeds 15 MiB.
	ErrTooLarge = errors.New("producer: frame is too large")
	// ErrTag says that a tag breaks a rule of the service: 10 in a fragment, a name of 1 to 128 bytes that does not
	// begin with "AWS", a value of up to 256. A sealed Producer has no tags for the service, which could not see them.
	ErrTag = errors.New("producer: tag is not allowed")
	// ErrClock says that the service refused a request because this machine's clock is wrong.
	ErrClock = errors.New("producer: the clock of this machine differs too much from the service's")
	// ErrBufferInUse says that another Producer has the stream's buffer open.
	ErrBufferInUse = errors.New("producer: buffer is in use by another process")
	// ErrBufferKey says that the buffer was sealed with another key.
	ErrBufferKey = errors.New("producer: buffer was sealed with another key")
	// ErrBufferPlain says that the buffer holds fragments that are not end-to-end encrypted, from before the stream was
	// sealed. A Producer without Seal still sends them; or remove the folder.
	ErrBufferPlain = errors.New("producer: buffer holds media that is not end-to-end encrypted")
)

// AckError is an ERROR acknowledgement.
type AckError struct {
	ID             int    // 4000 to 5001
	Code           string // STREAM_READ_ERROR and so on
	FragmentNumber string // may be empty
}

func (e *AckError) Error() string {
	return fmt.Sprintf("producer: service answered ERROR %d %s", e.ID, e.Code)
}

// UnsentError is what Close returns when media is not durable. What is buffered on disk is sent by the next
// Producer of the stream; what is lost is lost.
type UnsentError struct {
	Fragments int   // still in the buffer
	Bytes     int64 // of them
	Lost      int64 // fragments refused for good, or given up because the buffer was full
	Err       error // why the rest was not sent; nil if there is none
}

func (e *UnsentError) Error() string {
	var parts []string
	if e.Fragments > 0 {
		parts = append(parts, fmt.Sprintf("%d fragments (%d bytes) are not acknowledged yet", e.Fragments, e.Bytes))
	}
	if e.Lost > 0 {
		parts = append(parts, fmt.Sprintf("%d fragments were lost", e.Lost))
	}
	s := "producer: " + strings.Join(parts, ", ")
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *UnsentError) Unwrap() error { return e.Err }

// What is done about an ERROR acknowledgement.
type remedy int

const (
	retry  remedy = iota // send again on a new connection
	giveUp               // this fragment will never be taken
	stop                 // nothing of this Producer will ever be taken
)

// maxRefused is how often a fragment is sent again after an ERROR that may pass.
const maxRefused = 5

// remedyFor classifies the service's error IDs.
//
// Source: Kinesis Video Streams developer guide, PutMedia, error codes; producer SDKs for C.
func remedyFor(id int) remedy {
	switch id {
	case 4001, 4002, 4007, 4009, 4011: // size, duration, time, metadata, a track without frames
		return giveUp
	case 4005, 4010, 4012: // tracks
		return stop
	}
	// The connection's age, read errors, an unclean start, times that descend, the stream's deletion, its KMS key,
	// internal errors: a new connection may do, or the operator will.
	return retry
}

// passes tells whether an error will pass by itself or with the operator's help, however often it comes.
func passes(id int) bool { return id == 4003 || id == 4008 || id >= 4500 && id <= 4507 }

// permanent tells whether a failure before anything was ever acknowledged will not pass by waiting.
func permanent(err error) bool {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) || errors.Is(err, ErrClock) {
		return true
	}
	var r *ResponseError
	if !errors.As(err, &r) || r.Status < 400 || r.Status >= 500 || r.Status == 408 || r.Status == 429 {
		return false
	}
	switch r.Code {
	case "ClientLimitExceededException", "ConnectionLimitExceededException", "ThrottlingException", "InvalidEndpointException",
		"ExpiredTokenException", "ExpiredToken", "ResourceInUseException":
		return false
	}
	return true
}

// explain adds what a service's error about the signature's time means.
func explain(err error) error {
	var r *ResponseError
	if !errors.As(err, &r) {
		return err
	}
	switch text := strings.ToLower(r.Message); {
	case r.Code == "RequestExpired", r.Code == "RequestTimeTooSkewed", strings.HasPrefix(text, "signature expired"),
		strings.HasPrefix(text, "signature not yet current"):
		return fmt.Errorf("%w: %w", ErrClock, err)
	}
	return err
}

// hasCode tells whether the service answered with one of the codes.
func hasCode(err error, codes ...string) bool {
	var r *ResponseError
	if !errors.As(err, &r) {
		return false
	}
	for _, c := range codes {
		if r.Code == c {
			return true
		}
	}
	return false
}
