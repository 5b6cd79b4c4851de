// SPDX-License-Identifier: Apache-2.0

package kinesisvideomedia

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// Values of Ack.EventType.
const (
	AckBuffering = "BUFFERING"
	AckReceived  = "RECEIVED"
	AckPersisted = "PERSISTED"
	AckError     = "ERROR"
	AckIdle      = "IDLE"
)

// AckWriter answers a producer while its request is still being read. It may be
// used by several goroutines, and not after PutMedia returned.
type AckWriter interface {
	// Start sends the status 200 and no ack, once the request is accepted. It is
	// optional: the first WriteAck does the same.
	Start() error
	// WriteAck sends one ack in a piece of its own and flushes it. It does nothing
	// when the client asked for no acks.
	WriteAck(a Ack) error
	// SetWriteDeadline fails what is sent after t, also an ack that waits for the client already.
	SetWriteDeadline(t time.Time) error
}

// Ack tells a producer what became of a fragment.
type Ack struct {
	EventType string // AckBuffering …
	// FragmentTimecode is the raw timecode of the cluster in the stream's own
	// units, without the producer's start. Nil for IDLE.
	FragmentTimecode *uint64
	FragmentNumber   string // decimal digits; empty is left out
	ErrorCode        string // only with AckError
	ErrorId          int    // only with AckError
}

// ackWriter sends acks over the response while the request is read. It begins the
// response itself, in the order that producers built on curl need: 100 Continue,
// then 200, then acks.
type ackWriter struct {
	required bool
	expects  bool

	mu      sync.Mutex // guards what follows, and the response
	w       http.ResponseWriter
	rc      *http.ResponseController
	service *protocol.Service
	id      string
	started bool
	closed  bool
	lingers bool // the body can be read for a moment after the last ack
	err     error
	buf     []byte
}

func newAckWriter(s *protocol.Service, r *protocol.Request, required bool) *ackWriter {
	return &ackWriter{
		required: required,
		expects:  strings.EqualFold(r.HTTP.Header.Get("Expect"), "100-continue"),
		w:        r.Writer,
		rc:       http.NewResponseController(r.Writer),
		service:  s,
		id:       r.RequestID,
	}
}

// errReturned is the answer to an ack that comes after its PutMedia.
var errReturned = errors.New("kinesisvideomedia: PutMedia has returned")

// finish ends the response with what PutMedia returned: well, or as a [protocol.BegunError]
// once it has begun.
func (a *ackWriter) finish(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if err == nil {
		a.lingers = protocol.StopReading(a.w)
		err = a.start()
	}
	if err != nil && a.started {
		err = &protocol.BegunError{Err: err}
	}
	return err
}

// Start sends the status.
func (a *ackWriter) Start() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.start()
}

func (a *ackWriter) start() error {
	if a.started {
		return a.err
	}
	a.started = true
	if a.expects {
		a.w.WriteHeader(http.StatusContinue)
	}
	h := a.w.Header()
	h.Set("Content-Type", "application/json")
	a.service.SetRequestID(h, a.id)
	a.w.WriteHeader(http.StatusOK)
	a.err = a.rc.Flush()
	return a.err
}

// SetWriteDeadline does not take mu, which an ack that waits holds.
func (a *ackWriter) SetWriteDeadline(t time.Time) error { return a.rc.SetWriteDeadline(t) }

// WriteAck sends one ack: one write, one flush, hence one chunk, since the C
// parser refuses a piece above 1024 bytes.
func (a *ackWriter) WriteAck(ack Ack) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errReturned
	}
	if err := a.start(); err != nil || !a.required {
		return err
	}
	a.buf = append(ack.AppendJSON(a.buf[:0]), '\n')
	if _, a.err = a.w.Write(a.buf); a.err == nil {
		a.err = a.rc.Flush()
	}
	return a.err
}

// AppendJSON adds the ack as a flat object without nulls: the C parser skips nested
// objects and knows neither null nor booleans.
func (a Ack) AppendJSON(b []byte) []byte {
	b = protocol.AppendString(append(b, `{"EventType":`...), a.EventType)
	if a.FragmentTimecode != nil {
		b = strconv.AppendUint(append(b, `,"FragmentTimecode":`...), *a.FragmentTimecode, 10)
	}
	if a.FragmentNumber != "" {
		b = protocol.AppendString(append(b, `,"FragmentNumber":`...), a.FragmentNumber)
	}
	if a.ErrorCode != "" {
		b = protocol.AppendString(append(b, `,"ErrorCode":`...), a.ErrorCode)
	}
	if a.EventType == AckError {
		b = strconv.AppendInt(append(b, `,"ErrorId":`...), int64(a.ErrorId), 10)
	}
	return append(b, '}')
}

// maxAck bounds one ack, in bytes; the service's are below 1024.
const maxAck = 16 << 10

// AckReader takes acks from the response to a PutMedia.
type AckReader struct{ r *bufio.Reader }

// NewAckReader reads from a response body, which it does not close.
func NewAckReader(r io.Reader) *AckReader { return &AckReader{bufio.NewReader(r)} }

// Next waits for one ack. Errors: io.EOF when the response ended between acks;
// io.ErrUnexpectedEOF when it broke off inside one.
func (a *AckReader) Next() (Ack, error) {
	data, err := a.object()
	if err != nil {
		return Ack{}, err
	}
	var ack Ack
	r := protocol.NewJSONReader(data)
	ack.decode(r)
	return ack, r.Finish()
}

// object takes the bytes of one flat object and the blanks before it.
func (a *AckReader) object() ([]byte, error) {
	var data []byte
	quoted, escaped := false, false
	for len(data) < maxAck {
		c, err := a.r.ReadByte()
		if err != nil {
			if err == io.EOF && len(strings.TrimSpace(string(data))) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		data = append(data, c)
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case c == '}' && !quoted:
			return data, nil
		}
	}
	return nil, errors.New("kinesisvideomedia: ack is too long")
}

func (a *Ack) decode(r *protocol.JSONReader) {
	for name := range r.Members() {
		switch name {
		case "EventType":
			a.EventType = r.String()
		case "FragmentTimecode":
			a.FragmentTimecode = new(r.Unsigned())
		case "FragmentNumber":
			a.FragmentNumber = r.String()
		case "ErrorCode":
			a.ErrorCode = r.String()
		case "ErrorId":
			a.ErrorId = int(r.Int())
		default:
			r.Skip()
		}
	}
}
