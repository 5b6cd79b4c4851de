// SPDX-License-Identifier: Apache-2.0

package household

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	mailboxapi "github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

const (
	signingName = "mailbox"
	// callTimeout bounds a call beside what it waits.
	callTimeout = 20 * time.Second
	// maxAnswer is more than the largest object in base64, and than a page of names.
	maxAnswer = 2 << 20
)

// Credentials sign requests. SessionToken is empty for long-term keys.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
}

// ResponseError is a failure that the service reported for a request; it holds the request's ID.
type ResponseError = protocol.ResponseError

// Server says where a mailbox is. Endpoint and Credentials are required.
type Server struct {
	Endpoint string // URL of the API
	Region   string // that requests are signed for; default us-east-1
	// Credentials is asked before each request, so it should keep what is still good.
	Credentials func(context.Context) (Credentials, error)
	// RootCAs are trusted instead of the system's.
	RootCAs *x509.CertPool
	// HTTPClient replaces the client that is made of RootCAs. It must have no Timeout.
	HTTPClient *http.Client
}

// wireBox is a box on a server.
type wireBox struct {
	api  *mailboxapi.Client
	name string
}

var _ Mailbox = (*wireBox)(nil)

// NewMailbox returns the box of a household on a server. Failures that the service reports are *ResponseError. It does not talk
// to the server before it is used.
func NewMailbox(s Server, household string) Mailbox {
	client := s.HTTPClient
	if client == nil {
		client = &http.Client{Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			TLSClientConfig:       &tls.Config{RootCAs: s.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: MaxWait + callTimeout,
			IdleConnTimeout:       time.Minute,
			ForceAttemptHTTP2:     true,
		}}
	}
	region := cmp.Or(s.Region, "us-east-1")
	return &wireBox{name: household, api: mailboxapi.NewClient(protocol.Client{
		Endpoint: s.Endpoint, HTTP: client, MaxResponse: maxAnswer,
		Sign: func(r *http.Request, payload []byte) error {
			k, err := s.Credentials(r.Context())
			if err != nil {
				return fmt.Errorf("household: credentials: %w", err)
			}
			sigv4.Sign(r, sigv4.HashBody(payload), sigv4.Credentials{
				AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken,
			}, region, signingName, time.Now())
			return nil
		},
	})}
}

// Put leaves an object.
func (b *wireBox) Put(ctx context.Context, key string, body []byte, keep time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &mailboxapi.PutObjectInput{Box: &b.name, Key: &key, Body: body}
	if keep > 0 {
		in.ExpiresInSeconds = new(int64(keep / time.Second))
	}
	_, err := b.api.PutObject(ctx, in)
	return named(err)
}

// Get returns an object.
func (b *wireBox) Get(ctx context.Context, key string, wait time.Duration) ([]byte, error) {
	wait = min(wait, MaxWait)
	ctx, cancel := context.WithTimeout(ctx, wait+callTimeout)
	defer cancel()
	out, err := b.api.GetObject(ctx, &mailboxapi.GetObjectInput{Box: &b.name, Key: &key, WaitSeconds: seconds(wait)})
	if err != nil {
		return nil, named(err)
	}
	if len(out.Body) > MaxObjectBytes {
		return nil, fmt.Errorf("household: the mailbox gave %d bytes as %s", len(out.Body), key)
	}
	return out.Body, nil
}

// List returns a page of objects.
func (b *wireBox) List(ctx context.Context, prefix, after string, wait time.Duration) ([]Object, error) {
	wait = min(wait, MaxWait)
	ctx, cancel := context.WithTimeout(ctx, wait+callTimeout)
	defer cancel()
	in := &mailboxapi.ListObjectsInput{Box: &b.name, WaitSeconds: seconds(wait)}
	if prefix != "" {
		in.Prefix = &prefix
	}
	if after != "" {
		in.StartAfter = &after
	}
	out, err := b.api.ListObjects(ctx, in)
	if err != nil {
		return nil, named(err)
	}
	var page []Object
	for _, o := range out.Objects {
		if o == nil || o.Key == nil {
			continue
		}
		x := Object{Key: *o.Key}
		if o.Size != nil {
			x.Size = *o.Size
		}
		if o.Created != nil {
			x.Created = *o.Created
		}
		if o.Writer != nil {
			x.Writer = *o.Writer
		}
		page = append(page, x)
	}
	return page, nil
}

// seconds are whole ones, rounded up; nil for none.
func seconds(d time.Duration) *int64 {
	if d <= 0 {
		return nil
	}
	return new(int64((d + time.Second - 1) / time.Second))
}

// named gives the service's errors the names that a Mailbox has for them.
func named(err error) error {
	var r *ResponseError
	if !errors.As(err, &r) {
		return err
	}
	switch r.Code {
	case "ObjectExistsException":
		return fmt.Errorf("%w: %w", ErrObjectExists, err)
	case "ObjectNotFoundException":
		return fmt.Errorf("%w: %w", ErrNoObject, err)
	}
	return err
}
