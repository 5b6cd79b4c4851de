// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"errors"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
)

// Why a connection is ended from outside: the causes of its context.
var (
	errClosing    = errors.New("kinesisvideo: server is closing")
	errSuperseded = errors.New("kinesisvideo: superseded by a newer PutMedia for the stream")
	errDeleted    = errors.New("kinesisvideo: stream was deleted")
	errMoved      = errors.New("kinesisvideo: stream changed between retention and none")
	errMaxAge     = errors.New("kinesisvideo: connection reached its maximum duration")
	errIdle       = errors.New("kinesisvideo: connection was idle for too long")
)

// The errors that several operations share have the same name, status and text in all
// three APIs, so the types of the first serve for all.

func invalid(message string) error { return &kvapi.InvalidArgumentException{Message: message} }

func notFound() error {
	return &kvapi.ResourceNotFoundException{Message: "The requested stream is not found or not active."}
}

func versionMismatch() error {
	return &kvapi.VersionMismatchException{
		Message: "The stream version that you specified is not the latest version. To get the latest version, use the DescribeStream API.",
	}
}

func noRetention() error {
	return &kvapi.NoDataRetentionException{Message: "The stream data retention in hours is equal to zero."}
}
