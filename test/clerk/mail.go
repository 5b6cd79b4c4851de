// SPDX-License-Identifier: Apache-2.0

package clerk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/obscura-video/obscura/test/rig"
)

// Receipt is one answer.
type Receipt struct {
	// Call names the request: it is the user agent in the audit event.
	Call string
	// Operation is as the request spells it.
	Operation string
	At        time.Time
	// Reads says that the call changes nothing, so that its event may follow within a moment.
	Reads bool
	// Status is HTTP's, Took the time from the request to the answer's header.
	Status int
	Took   time.Duration
}

// Mail notes every answer of a server.
type Mail struct {
	server *rig.Server
	name   string // begins the names of all calls
	serial atomic.Int64

	mu       sync.Mutex
	receipts []Receipt
}

// NewMail notes what s answers to those who use Server.
func NewMail(s *rig.Server) *Mail {
	m := &Mail{name: "clerk"}
	noting := *s
	noting.HTTP = &http.Client{Transport: &noter{m, s.HTTP.Transport}}
	m.server = &noting
	return m
}

// Server is the server as clients see it whose answers are noted.
func (m *Mail) Server() *rig.Server { return m.server }

// Receipts are the answers so far.
func (m *Mail) Receipts() []Receipt {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.receipts[:len(m.receipts):len(m.receipts)]
}

func (m *Mail) newCall() string { return fmt.Sprint(m.name, "/", m.serial.Add(1)) }

type callKey struct{}

// withCall lets the changes that are made with ctx carry the name call.
func withCall(ctx context.Context, call string) context.Context {
	return context.WithValue(ctx, callKey{}, call)
}

// noter gives every request a name and notes its answer.
type noter struct {
	mail *Mail
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (n *noter) RoundTrip(r *http.Request) (*http.Response, error) {
	operation, err := operationOf(r)
	if err != nil {
		return nil, err
	}
	receipt := Receipt{Operation: operation, Reads: r.Method == http.MethodGet || reads(operation)}
	call, ok := r.Context().Value(callKey{}).(string)
	if receipt.Call = call; !ok || receipt.Reads {
		receipt.Call = n.mail.newCall()
	}
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", receipt.Call)
	began := time.Now()
	resp, err := n.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	receipt.At, receipt.Status, receipt.Took = time.Now(), resp.StatusCode, time.Since(began)
	n.mail.mu.Lock()
	defer n.mail.mu.Unlock()
	n.mail.receipts = append(n.mail.receipts, receipt)
	return resp, nil
}

// operationOf finds out what a request wants, by protocol: its target, its action, or its path.
func operationOf(r *http.Request) (string, error) {
	if _, name, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return name[strings.LastIndexByte(name, '.')+1:], nil
	}
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return path.Base(r.URL.Path), nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, err := url.ParseQuery(string(body))
	return form.Get("Action"), err
}

// reads reports whether an operation changes nothing that lasts, by its name.
func reads(operation string) bool {
	name := strings.ToLower(operation)
	for _, prefix := range []string{"get", "list", "describe", "lookup", "encrypt", "decrypt", "generate"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
