// SPDX-License-Identifier: Apache-2.0

package clerk

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/vfstest"
	"github.com/obscura-video/obscura/test/rig"
)

// ErrLeft is what somebody gets who went away before the answer.
var ErrLeft = errors.New("clerk: left before the answer")

// patience is how long a server may take to let go of somebody who has left.
const patience = 15 * time.Second

// Leaver sends requests and goes away from most of those of a clerk's steps, at a moment that dice choose: with a part
// of the request sent, while the server works, or when it answers. What a clerk looks at afterwards it waits for.
//
// It leaves by ending its half of the connection, which the server takes for the end of both; it then reads on until
// the server lets go, so that what comes next finds nothing of the request under way.
type Leaver struct {
	next http.RoundTripper // for requests that are waited for
	tls  *tls.Config
	dice *vfstest.Dice

	mu       sync.Mutex
	usual    time.Duration // how long an answer takes
	answered int
	left     int
	stuck    []string
}

// NewLeaver leaves s.
func NewLeaver(s *rig.Server, dice *vfstest.Dice) *Leaver {
	c := s.HTTP.Transport.(*http.Transport).TLSClientConfig.Clone()
	c.NextProtos = []string{"http/1.1"}
	return &Leaver{next: s.HTTP.Transport, tls: c, dice: dice, usual: 2 * time.Millisecond}
}

// Of is s as its leaver sees it.
func (l *Leaver) Of(s *rig.Server) *rig.Server {
	leaving := *s
	leaving.HTTP = &http.Client{Transport: l}
	return &leaving
}

// Counts are how many requests were answered, and how many were left.
func (l *Leaver) Counts() (answered, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered, l.left
}

// Stuck are the requests that the server did not let go of.
func (l *Leaver) Stuck() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.stuck)
}

// RoundTrip implements http.RoundTripper. The end of the request's context ends nothing: the leaver goes when he goes.
func (l *Leaver) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, step := r.Context().Value(callKey{}).(string); !step {
		return l.next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	r.Close = true
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		return nil, err
	}
	conn, err := tls.Dial("tcp", r.URL.Host, l.tls)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	switch l.dice.IntN(4) {
	case 0:
		return l.wait(conn, r, text.Bytes())
	case 1:
		_, err = conn.Write(text.Bytes()[:l.dice.IntN(text.Len())])
	default:
		if _, err = conn.Write(text.Bytes()); err == nil {
			time.Sleep(l.moment())
		}
	}
	return nil, errors.Join(err, l.leave(conn, r))
}

// wait waits for the answer.
func (l *Leaver) wait(conn *tls.Conn, r *http.Request, text []byte) (*http.Response, error) {
	began := time.Now()
	if _, err := conn.Write(text); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered++
	l.usual += (time.Since(began) - l.usual) / 8
	return resp, nil
}

// moment is after which time to leave: at most a little more than an answer takes.
func (l *Leaver) moment() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(l.dice.IntN(int(l.usual)*5/4 + 1))
}

func (l *Leaver) leave(conn *tls.Conn, r *http.Request) error {
	_ = conn.CloseWrite() // the server may have answered and gone
	_, err := io.Copy(io.Discard, conn)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left++
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		l.stuck = append(l.stuck, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("X-Amz-Target")))
	}
	return ErrLeft
}
