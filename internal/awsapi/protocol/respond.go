// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// BegunError is an error that came after the response began: nothing can be said
// to the client any more, and the connection must be cut so that it does not take
// what it has for the whole.
type BegunError struct{ Err error }

// Error is the text of the cause.
func (e *BegunError) Error() string { return "after the response began: " + e.Err.Error() }

// Unwrap is the cause.
func (e *BegunError) Unwrap() error { return e.Err }

// WriteError answers with an error in the service's protocol. An error that is no
// APIError becomes an internal failure, and its text stays here. A [BegunError]
// panics with [http.ErrAbortHandler], which makes net/http cut the connection.
func (s *Service) WriteError(w http.ResponseWriter, requestID string, err error) {
	StopReading(w)
	var begun *BegunError
	if errors.As(err, &begun) {
		panic(http.ErrAbortHandler)
	}
	var e APIError
	if !errors.As(err, &e) {
		e = s.Error(Internal, "")
	}
	h := w.Header()
	var body []byte
	switch s.Protocol {
	case Query:
		h.Set("Content-Type", "text/xml")
		body = s.errorXML(e, requestID)
	case RestJSON:
		h.Set("Content-Type", "application/json")
		h.Set("X-Amzn-Errortype", e.ErrorCode())
		if s.SigningName == kinesisVideo {
			h["x-amz-ErrorType"] = []string{e.ErrorCode()} // spelled as the guide spells it
		}
		body = s.errorRestJSON(e)
	default:
		h.Set("Content-Type", "application/x-amz-json-1.1")
		body = errorJSON(e)
	}
	s.send(w, requestID, e.HTTPStatus(), body)
}

func errorJSON(e APIError) []byte {
	b := AppendString([]byte(`{"__type":`), e.ErrorCode())
	if e.ErrorMessage() != "" {
		b = AppendString(append(b, `,"message":`...), e.ErrorMessage())
	}
	return append(b, '}')
}

// coralUnknown is what the real service says on a path it does not know; producers
// print it.
const coralUnknown = `{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}`

// errorRestJSON is the body. Kinesis Video clients look for Message, others for message.
func (s *Service) errorRestJSON(e APIError) []byte {
	if e.ErrorCode() == UnknownOperation.row().json {
		return []byte(coralUnknown)
	}
	message := e.ErrorMessage()
	if message == "" {
		return []byte("{}")
	}
	b := AppendString([]byte(`{"message":`), message)
	if s.SigningName == kinesisVideo {
		b = AppendString(append(b, `,"Message":`...), message)
	}
	return append(b, '}')
}

func (s *Service) errorXML(e APIError, requestID string) []byte {
	typ := "Sender"
	if e.HTTPStatus() >= http.StatusInternalServerError {
		typ = "Receiver"
	}
	code, message := e.ErrorCode(), e.ErrorMessage()
	b := append([]byte(`<ErrorResponse xmlns="`), s.Namespace...)
	b = append(b, `"><Error>`...)
	b = XMLString(b, "Type", &typ)
	b = XMLString(b, "Code", &code)
	if message != "" {
		b = XMLString(b, "Message", &message)
	}
	b = append(b, "</Error>"...)
	b = XMLString(b, "RequestId", &requestID)
	return append(b, "</ErrorResponse>"...)
}

// send writes a whole response. It does not keep body.
func (s *Service) send(w http.ResponseWriter, requestID string, status int, body []byte) {
	h := w.Header()
	values := []string{requestID, strconv.Itoa(len(body))}
	s.setRequestID(h, values[:1:1])
	h["Content-Length"] = values[1:]
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}

// SetRequestID names the request in the headers of its response. Kinesis Video has
// a second spelling.
func (s *Service) SetRequestID(h http.Header, requestID string) {
	s.setRequestID(h, []string{requestID})
}

func (s *Service) setRequestID(h http.Header, id []string) {
	h["x-amzn-RequestId"] = id // the C producer SDK logs exactly this spelling
	if s.SigningName == kinesisVideo {
		h["x-amz-RequestId"] = id
	}
}

// SetHeader sets a header from a member, unless it is nil.
func SetHeader(h http.Header, name string, v *string) {
	if v != nil {
		h.Set(name, *v)
	}
}

// Header reads a header into a member, nil when it is absent.
func Header(h http.Header, name string) *string {
	if v := h.Values(name); len(v) > 0 {
		return &v[0]
	}
	return nil
}

// streamWriter begins the response at the first byte.
type streamWriter struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	begun bool
}

func (s *streamWriter) begin() {
	if !s.begun {
		s.begun = true
		s.w.WriteHeader(http.StatusOK)
	}
}

// Write begins the response and adds to its body.
func (s *streamWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.begin()
	return s.w.Write(p)
}

// Flush begins the response and sends what was written.
func (s *streamWriter) Flush() error {
	s.begin()
	return s.rc.Flush()
}

// SetWriteDeadline bounds how long the client may take.
func (s *streamWriter) SetWriteDeadline(t time.Time) error { return s.rc.SetWriteDeadline(t) }

// sendStream runs a stream as the body of the response.
func sendStream(w http.ResponseWriter, stream Stream) error {
	withoutTimeouts(w)
	sw := &streamWriter{w: w, rc: http.NewResponseController(w)}
	if stream != nil {
		if err := stream(sw); err != nil {
			if sw.begun {
				return &BegunError{err}
			}
			return err
		}
	}
	sw.begin()
	return nil
}
