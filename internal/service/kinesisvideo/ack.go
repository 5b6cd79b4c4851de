// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"errors"
	"fmt"
	"io"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/media/mkv"
	"github.com/obscura-video/obscura/internal/meta"
)

// mediaError is an error that is told to a producer as an ERROR acknowledgement and to a consumer
// in the tags of the last chunk; the connection ends with it.
//
// Source: Kinesis Video Streams developer guide, PutMedia and GetMedia.
type mediaError struct {
	id   int
	code string
}

func (e *mediaError) Error() string { return fmt.Sprintf("kinesisvideo: %d %s", e.id, e.code) }

// The errors of the service. Those which a fault of the server would have to be blamed for
// (5001 ARCHIVAL_ERROR) are not sent: a producer gives up a fragment that gets an ERROR, but
// sends it again when the connection is cut.
var (
	errStreamRead        = &mediaError{4000, "STREAM_READ_ERROR"}
	errFragmentSize      = &mediaError{4001, "MAX_FRAGMENT_SIZE_REACHED"}
	errFragmentDuration  = &mediaError{4002, "MAX_FRAGMENT_DURATION_REACHED"}
	errConnectionTooLong = &mediaError{4003, "MAX_CONNECTION_DURATION_REACHED"}
	errTimecode          = &mediaError{4004, "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS"}
	errInvalidMKV        = &mediaError{4006, "INVALID_MKV_DATA"}
	errProducerTime      = &mediaError{4007, "INVALID_PRODUCER_TIMESTAMP"}
	errNotActive         = &mediaError{4008, "STREAM_NOT_ACTIVE"}
	errFragmentMetadata  = &mediaError{4009, "FRAGMENT_METADATA_LIMIT_REACHED"}
	errTrackNumber       = &mediaError{4010, "TRACK_NUMBER_MISMATCH"}
	errFramesMissing     = &mediaError{4011, "FRAMES_MISSING_FOR_TRACK"}
	errTooManyTracks     = &mediaError{4012, "MORE_THAN_ALLOWED_TRACKS_FOUND"}
	errKeyDenied         = &mediaError{4500, "KMS_KEY_ACCESS_DENIED"}
	errKeyDisabled       = &mediaError{4501, "KMS_KEY_DISABLED"}
	errKeyValidation     = &mediaError{4502, "KMS_KEY_VALIDATION_ERROR"}
	errKeyUnavailable    = &mediaError{4503, "KMS_KEY_UNAVAILABLE"}
	errKeyUsage          = &mediaError{4504, "KMS_KEY_INVALID_USAGE"}
	errKeyState          = &mediaError{4505, "KMS_KEY_INVALID_STATE"}
	errKeyNotFound       = &mediaError{4506, "KMS_KEY_NOT_FOUND"}
	errInternal          = &mediaError{5000, "INTERNAL_ERROR"}
)

// errFragmentNotFound is what 4000 means to a consumer.
var errFragmentNotFound = &mediaError{4000, "FRAGMENT_NOT_FOUND"}

// as tells whether err is or wraps an E.
func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// keyError returns what an error of the KeyService is called in acks and tags, nil when it is
// none, or one that will pass.
func keyError(err error) *mediaError {
	switch {
	case as[*access.Denied](err):
		return errKeyDenied
	case as[*kmsapi.DisabledException](err):
		return errKeyDisabled
	case as[*kmsapi.InvalidCiphertextException](err), as[*kmsapi.IncorrectKeyException](err), as[*kmsapi.InvalidArnException](err):
		return errKeyValidation
	case as[*kmsapi.KeyUnavailableException](err), as[*kmsapi.DependencyTimeoutException](err):
		return errKeyUnavailable
	case as[*kmsapi.InvalidKeyUsageException](err):
		return errKeyUsage
	case as[*kmsapi.KMSInvalidStateException](err):
		return errKeyState
	case as[*kmsapi.NotFoundException](err):
		return errKeyNotFound
	}
	return nil
}

// refusal marks an error of a decision of this service itself, so that it is not taken for one of
// the KMS's.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// producerError returns the acknowledgement for what has ended a PutMedia, nil when the connection
// is to be cut without one: then the producer sends again what is not persisted.
func producerError(err error, clean bool) *mediaError {
	var known *mediaError
	var limit *mkv.LimitError
	switch {
	case as[*refusal](err):
		return nil
	case errors.As(err, &known):
		return known
	case errors.Is(err, errMaxAge):
		return errConnectionTooLong
	case errors.Is(err, errDeleted):
		return errNotActive
	case as[*mkv.FormatError](err):
		return errInvalidMKV
	case errors.As(err, &limit):
		return limitError(limit)
	case errors.Is(err, io.ErrUnexpectedEOF) && clean:
		return errStreamRead
	case errors.Is(err, journal.ErrTooLarge), errors.Is(err, meta.ErrLimit):
		return errInternal // it would not fit the next time either
	}
	return keyError(err)
}

func limitError(e *mkv.LimitError) *mediaError {
	switch e.What {
	case "frame":
		return errFragmentSize
	case "tags":
		return errFragmentMetadata
	}
	return errInvalidMKV
}
