// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Protocol is how a service puts calls into HTTP.
type Protocol string

// The protocols.
const (
	JSON11   Protocol = "json"      // AWS JSON 1.1: POST / and X-Amz-Target
	RestJSON Protocol = "rest-json" // method and path
	Query    Protocol = "query"     // a form in, XML out
)

// DefaultMaxBody bounds a request body, in bytes, where a service says nothing.
const DefaultMaxBody = 1 << 20

// Service is one AWS API: what its generated New returns. It is immutable after
// that and may be used concurrently.
type Service struct {
	Name         string // package name, and that of docs/compat/<Name>.md
	SigningName  string // service part of the SigV4 credential scope
	APIVersion   string
	Protocol     Protocol
	TargetPrefix string // JSON 1.1: X-Amz-Target before the operation
	Namespace    string // query: of the XML response
	MaxBody      int64  // bytes of a request body that is not streamed
	Operations   []*Operation

	byName map[string]*Operation
	shown  *shownMembers
	rooms  *sync.Pool // of *[]byte, for answers under way
}

// Operation is one row of a dispatch table. The caller takes a request through
// Read, Decode, Call and Encode, and puts what must happen in between there.
type Operation struct {
	Service *Service
	Name    string
	Method  string
	Path    string // template, for example /tags/{arn}
	// Unsigned operations carry no signature: the request itself is the proof.
	Unsigned bool
	// StreamsIn operations read the request body while they run; Read leaves it alone.
	StreamsIn bool
	// StreamsOut operations answer with a body of unknown length and duration.
	StreamsOut bool
	// Errors are the codes that the model declares for the operation, in order. Those that any
	// operation can end with, such as a denial or a failed validation, are mostly not among them.
	Errors []string

	// Decode parses and validates. Its errors are APIErrors.
	Decode func(*Request) (any, error)
	// Call runs the operation with what Decode returned.
	Call func(ctx context.Context, in any) (any, error)
	// Encode sends what Call returned. An error before the first byte is for
	// WriteError; so is one later, which then cuts the connection.
	Encode func(w http.ResponseWriter, requestID string, out any) error

	encodeInput  func(in any) (*Binding, []byte, error)
	decodeOutput func(r *http.Response, body []byte, out any) error
}

// Request is what Decode reads.
type Request struct {
	HTTP      *http.Request
	RequestID string
	// Body is the whole body, nil for an operation that streams in. It is what the
	// signature covers.
	Body []byte
	// Writer answers an operation that streams in while it runs. The caller may put
	// its own writer here, if that has an Unwrap method.
	Writer http.ResponseWriter
}

// NewService completes a dispatch table.
func NewService(s Service, operations ...*Operation) *Service {
	if s.MaxBody == 0 {
		s.MaxBody = DefaultMaxBody
	}
	s.Operations = operations
	s.shown = new(shownMembers)
	s.rooms = &sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}
	s.byName = make(map[string]*Operation, len(operations))
	for _, op := range operations {
		op.Service = &s
		s.byName[op.Name] = op
	}
	return &s
}

// Operation finds an operation by name.
func (s *Service) Operation(name string) (*Operation, bool) {
	op, ok := s.byName[name]
	return op, ok
}

// Read takes in the body, bounded by the service's MaxBody, unless the operation
// streams it; then answers may be sent while it is being read. Errors: TooLarge; Serialization when the body breaks off.
func (op *Operation) Read(w http.ResponseWriter, r *http.Request, requestID string) (*Request, error) {
	req := &Request{HTTP: r, RequestID: requestID, Writer: w}
	if op.StreamsIn {
		withoutTimeouts(w)
		fullDuplex(w, r)
		return req, nil
	}
	body, err := op.Service.readBody(w, r)
	req.Body = body
	return req, err
}

// withoutTimeouts lifts the timeouts of the server for a request that streams: it lasts for as long as it does.
func withoutTimeouts(w http.ResponseWriter) {
	rc := http.NewResponseController(w)
	_ = errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Time{})) // a recorder in a test has none
}

// fullDuplex lets HTTP/1 answer while the body comes; HTTP/2 does so by itself.
// Otherwise net/http reads on before it answers, and waits for a client that is
// itself waiting. The connection is not used again, since the body may not have been
// read to its end, and net/http (1.26) then panics over the next request.
func fullDuplex(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		_ = http.NewResponseController(w).EnableFullDuplex() // a recorder in a test cannot
		w.Header().Set("Connection", "close")
	}
}

// linger is how long a client may go on sending after its answer. Closing at once
// would reset the connection, and the answer could be lost on its way.
const linger = time.Second

// StopReading bounds what is still read of a request whose connection will not be
// used again, and says whether it is bounded. Without it net/http waits for more of
// the body before it closes the connection, and a producer that waits for us would
// wait long.
func StopReading(w http.ResponseWriter) bool {
	if w.Header().Get("Connection") != "close" {
		return false
	}
	return http.NewResponseController(w).SetReadDeadline(time.Now().Add(linger)) == nil // a recorder in a test cannot
}

func (s *Service) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	body, err := readAnnounced(http.MaxBytesReader(w, r.Body, s.MaxBody), r.ContentLength)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, s.Error(TooLarge, "")
	case err != nil:
		return nil, s.Error(Serialization, "The request body could not be read.")
	}
	return body, nil
}

// trusted is up to how many bytes room is made because the client says that so many will come.
const trusted = 16 << 10

// readAnnounced is io.ReadAll with room for what is announced.
func readAnnounced(r io.Reader, announced int64) ([]byte, error) {
	if announced < 0 || announced >= trusted {
		announced = 512
	}
	b := make([]byte, 0, announced+1) // one more, to see the end in the same room
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if len(b) == cap(b) {
			b = slices.Grow(b, len(b))
		}
	}
}

// matches says whether a method and path are this operation's.
func (op *Operation) matches(method, path string) bool {
	if method != op.Method {
		return false
	}
	if !strings.Contains(op.Path, "{") {
		return path == op.Path
	}
	want, got := strings.Split(op.Path, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != got[i] && (!strings.HasPrefix(want[i], "{") || got[i] == "") {
			return false
		}
	}
	return true
}
