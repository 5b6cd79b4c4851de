// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// Put is one PutMedia connection. It is for one goroutine, but that one may write while another reads.
type Put struct {
	body *io.PipeWriter
	resp *http.Response
	acks *mediaapi.AckReader
}

// PutRequest makes a signed PutMedia request with absolute timecodes.
func (s *Server) PutRequest(ctx context.Context, c sigv4.Credentials, stream string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Media+mediaapi.PutMediaPath, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("x-amzn-stream-name", stream)
	r.Header.Set("x-amzn-fragment-timecode-type", mediaapi.FragmentTimecodeTypeAbsolute)
	r.Header.Set("x-amzn-producer-start-timestamp", "0")
	sigv4.Sign(r, sigv4.EmptyHash, c, s.Region, "kinesisvideo", time.Now())
	return r, nil
}

// PutMedia begins to send to a stream. The error is a *protocol.ResponseError when the server refused.
func (s *Server) PutMedia(ctx context.Context, c sigv4.Credentials, stream string) (*Put, error) {
	r, w := io.Pipe()
	req, err := s.PutRequest(ctx, c, stream, r)
	if err != nil {
		return nil, err
	}
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, protocol.ReadError(resp)
	}
	return &Put{body: w, resp: resp, acks: mediaapi.NewAckReader(resp.Body)}, nil
}

// Write sends bytes of Matroska.
func (p *Put) Write(b []byte) (int, error) { return p.body.Write(b) }

// Ack waits for the next acknowledgement, IDLE ones left out. io.EOF is the good end of the response.
func (p *Put) Ack() (mediaapi.Ack, error) {
	for {
		a, err := p.acks.Next()
		if err != nil || a.EventType != mediaapi.AckIdle {
			return a, err
		}
	}
}

// Await reads acknowledgements up to one of a kind. An ERROR acknowledgement in between is an *AckError.
func (p *Put) Await(kind string) (mediaapi.Ack, error) {
	for {
		a, err := p.Ack()
		switch {
		case errors.Is(err, io.EOF):
			return a, fmt.Errorf("response ended before %s: %w", kind, io.ErrUnexpectedEOF)
		case err != nil || a.EventType == kind:
			return a, err
		case a.EventType == mediaapi.AckError:
			return a, &AckError{a}
		}
	}
}

// AckError is an ERROR acknowledgement.
type AckError struct{ mediaapi.Ack }

func (e *AckError) Error() string { return fmt.Sprintf("ERROR %d %s", e.ErrorId, e.ErrorCode) }

// Send sends a fragment and waits until it is persisted. It reads while it writes, as a producer must: a server
// that refuses takes no more bytes, and the refusal is lost with the connection soon after.
func (p *Put) Send(fragment []byte) (mediaapi.Ack, error) {
	written := make(chan error, 1)
	go func() {
		_, err := p.Write(fragment)
		written <- err
	}()
	a, err := p.Await(mediaapi.AckPersisted)
	if err != nil {
		_ = p.body.CloseWithError(errCut)
	}
	if failed := <-written; err == nil && failed != nil {
		err = failed
	}
	return a, err
}

// EndBody ends the body well; acknowledgements may still come.
func (p *Put) EndBody() { p.body.Close() }

// End ends the body well and returns the acknowledgements that were left.
func (p *Put) End() (acks []mediaapi.Ack, err error) {
	p.body.Close()
	defer p.resp.Body.Close()
	for {
		a, err := p.Ack()
		if errors.Is(err, io.EOF) {
			return acks, nil
		}
		if err != nil {
			return acks, err
		}
		acks = append(acks, a)
	}
}

// Cut breaks the connection off.
func (p *Put) Cut() {
	p.resp.Body.Close()
	_ = p.body.CloseWithError(errCut)
}

var errCut = errors.New("connection cut by the test")
