// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

const signingName = "kinesisvideo"

// callTimeout bounds a request whose answer is no media.
const callTimeout = 20 * time.Second

func newHTTPClient(roots *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		IdleConnTimeout:       time.Minute,
	}}
}

// client returns the caller of one request.
func (c *Consumer) client(ctx context.Context, endpoint string) protocol.Client {
	return protocol.Client{Endpoint: endpoint, HTTP: c.o.HTTPClient, Sign: func(r *http.Request, payload []byte) error {
		creds, err := c.o.Credentials(ctx)
		if err != nil {
			return fmt.Errorf("consumer: credentials: %w", err)
		}
		sigv4.Sign(r, sigv4.HashBody(payload), sigv4.Credentials{
			AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey, SessionToken: creds.SessionToken,
		}, c.o.Region, signingName, time.Now())
		return nil
	}}
}

// endpoint asks where an operation is served.
func (c *Consumer) endpoint(ctx context.Context, api string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	kv := kvapi.NewClient(c.client(ctx, c.o.Endpoint))
	out, err := kv.GetDataEndpoint(ctx, &kvapi.GetDataEndpointInput{APIName: &api, StreamName: c.name, StreamARN: c.arn})
	if err != nil {
		return "", fmt.Errorf("consumer: get data endpoint: %w", err)
	}
	if out.DataEndpoint == nil || *out.DataEndpoint == "" {
		return "", errors.New("consumer: get data endpoint: none in the answer")
	}
	return *out.DataEndpoint, nil
}

// permanent tells whether a failure will not pass by waiting.
func permanent(err error) bool {
	var media *MediaError
	var cert *tls.CertificateVerificationError
	if errors.As(err, &media) {
		return media.ID != 4000 && media.ID != 5000 && media.ID != 4503
	}
	if errors.As(err, &cert) || errors.Is(err, errNotAsked) || errors.Is(err, ErrTooLarge) {
		return true
	}
	var r *ResponseError
	if !errors.As(err, &r) || r.Status < 400 || r.Status >= 500 || r.Status == 408 || r.Status == 429 {
		return false
	}
	switch r.Code {
	case "ClientLimitExceededException", "ConnectionLimitExceededException", "ThrottlingException", "InvalidEndpointException",
		"ExpiredTokenException", "ExpiredToken":
		return false
	}
	return true
}

const maxBackoff = 30 * time.Second

// pause waits between half of d and d, or returns the context's cause.
func pause(ctx context.Context, d time.Duration) error {
	var b [8]byte
	rand.Read(b[:]) // never fails
	t := time.NewTimer(d - time.Duration(binary.BigEndian.Uint64(b[:])%uint64(d/2+1)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
