// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"io"
	"time"
)

// StreamWriter is the body of a streaming response. Bytes leave at the latest
// with Flush; the status and the headers leave with the first byte.
type StreamWriter interface {
	io.Writer
	// Flush sends what was written so far.
	Flush() error
	// SetWriteDeadline fails what is written after t, also a write or flush that waits for the client already. It may
	// be called while another goroutine writes, and not after the stream has returned.
	SetWriteDeadline(t time.Time) error
}

// Stream is the payload of a streaming response: it is called once, after the
// operation returned, and pushes bytes until it is done. An error returned before
// the first byte becomes an error response; later it cuts the connection, so that
// the client cannot take the truncated body for a whole one.
type Stream func(w StreamWriter) error
