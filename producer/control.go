// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

const signingName = "kinesisvideo"

// newHTTPClient makes a client that speaks HTTP/1.1 only: PutMedia answers while its request is being sent.
func newHTTPClient(roots *x509.CertPool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     time.Minute,
		Protocols:           protocols,
	}}
}

// control makes the requests that are not media. It is for one goroutine, but for close.
type control struct {
	o         *Options
	call      time.Duration
	endpoints map[string]string // by API name
	prepared  bool
	retained  bool // the stream keeps what it gets, so fragments become PERSISTED
	warned    bool // that fragments cannot be looked up
}

func newControl(o *Options, call time.Duration) *control {
	return &control{o: o, call: call, endpoints: map[string]string{}, retained: true}
}

func (c *control) close() { c.o.HTTPClient.CloseIdleConnections() }

// forget makes the next use ask anew, since a server may have moved.
func (c *control) forget() {
	clear(c.endpoints)
	c.prepared = false
}

// client returns the caller of one request.
func (c *control) client(ctx context.Context, endpoint string) protocol.Client {
	return protocol.Client{
		Endpoint: endpoint, HTTP: c.o.HTTPClient,
		Sign: func(r *http.Request, payload []byte) error { return c.sign(ctx, r, sigv4.HashBody(payload)) },
	}
}

func (c *control) credentials(ctx context.Context) (Credentials, error) {
	creds, err := c.o.Credentials(ctx)
	if err != nil {
		return creds, fmt.Errorf("producer: credentials: %w", err)
	}
	return creds, nil
}

func (c *control) sign(ctx context.Context, r *http.Request, hash string) error {
	creds, err := c.credentials(ctx)
	if err != nil {
		return err
	}
	sign(r, hash, creds, c.o.Region)
	return nil
}

func sign(r *http.Request, hash string, creds Credentials, region string) {
	sigv4.Sign(r, hash, sigv4.Credentials{
		AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey, SessionToken: creds.SessionToken,
	}, region, signingName, time.Now())
}

// prepare makes sure that the stream exists, and learns whether it keeps what it gets.
func (c *control) prepare(ctx context.Context) error {
	if c.prepared {
		return nil
	}
	info, err := c.describe(ctx)
	if c.o.Create && hasCode(err, "ResourceNotFoundException") {
		if err = c.create(ctx); err == nil {
			info, err = c.describe(ctx)
		}
	}
	switch {
	case hasCode(err, "AccessDeniedException", "NotAuthorizedException"):
		// Who may only put media is told by PutMedia what is wrong.
	case err != nil:
		return fmt.Errorf("producer: describe stream: %w", explain(err))
	case info.DataRetentionInHours != nil:
		c.retained = *info.DataRetentionInHours > 0
	}
	c.prepared = true
	return nil
}

// describe returns what the stream is, once it is active.
func (c *control) describe(ctx context.Context) (*kvapi.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, c.call)
	defer cancel()
	api := kvapi.NewClient(c.client(ctx, c.o.Endpoint))
	for {
		out, err := api.DescribeStream(ctx, &kvapi.DescribeStreamInput{StreamName: &c.o.StreamName})
		if err != nil {
			return nil, err
		}
		if out.StreamInfo == nil {
			return &kvapi.StreamInfo{}, nil
		}
		if s := out.StreamInfo.Status; s == nil || *s != kvapi.StatusCreating {
			return out.StreamInfo, nil
		}
		if err := sleep(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

func (c *control) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.call)
	defer cancel()
	api := kvapi.NewClient(c.client(ctx, c.o.Endpoint))
	in := &kvapi.CreateStreamInput{
		StreamName: &c.o.StreamName, DataRetentionInHours: new(int64(c.o.Retention / time.Hour)),
	}
	for _, t := range c.o.Tracks {
		if name := mediaType(t.CodecID); name != "" && t.Type == Video {
			in.MediaType = &name
		}
	}
	if c.o.KMSKeyID != "" {
		in.KmsKeyId = &c.o.KMSKeyID
	}
	if c.o.Seal != nil {
		in.Tags = map[string]string{requireE2EE: "true"}
	}
	_, err := api.CreateStream(ctx, in)
	if hasCode(err, "ResourceInUseException") {
		return nil // another one was faster
	}
	return err
}

// requireE2EE is the tag of streams that take no readable media.
const requireE2EE = "obscura:RequireE2EE"

func mediaType(codecID string) string {
	return map[string]string{"V_MPEG4/ISO/AVC": "video/h264", "V_MPEGH/ISO/HEVC": "video/h265"}[codecID]
}

// endpoint returns where an operation is served.
func (c *control) endpoint(ctx context.Context, api string) (string, error) {
	if e := c.endpoints[api]; e != "" {
		return e, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.call)
	defer cancel()
	kv := kvapi.NewClient(c.client(ctx, c.o.Endpoint))
	out, err := kv.GetDataEndpoint(ctx, &kvapi.GetDataEndpointInput{APIName: &api, StreamName: &c.o.StreamName})
	if err != nil {
		return "", fmt.Errorf("producer: get data endpoint: %w", explain(err))
	}
	if out.DataEndpoint == nil || *out.DataEndpoint == "" {
		return "", fmt.Errorf("producer: get data endpoint: none in the answer")
	}
	c.endpoints[api] = *out.DataEndpoint
	return *out.DataEndpoint, nil
}

// lookUp returns the timecodes of the fragments of a range of producer timestamps that are durable. It reports
// false when the caller may not ask, or the stream keeps nothing.
func (c *control) lookUp(ctx context.Context, first, last int64) (found map[int64]bool, ok bool, err error) {
	if !c.retained {
		return nil, false, nil
	}
	endpoint, err := c.endpoint(ctx, kvapi.APINameListFragments)
	if err == nil {
		found, err = c.list(ctx, endpoint, first, last)
	}
	if hasCode(err, "AccessDeniedException", "NotAuthorizedException", "NoDataRetentionException") {
		if !c.warned {
			c.warned = true
			c.o.Log.Warn("fragments cannot be looked up, so some may be stored twice after a reconnect; allow kinesisvideo:ListFragments",
				"stream", c.o.StreamName, "error", err)
		}
		return nil, false, nil
	}
	return found, err == nil, err
}

func (c *control) list(ctx context.Context, endpoint string, first, last int64) (map[int64]bool, error) {
	in := &archiveapi.ListFragmentsInput{
		StreamName: &c.o.StreamName, MaxResults: new(int64(1000)),
		FragmentSelector: &archiveapi.FragmentSelector{
			FragmentSelectorType: new(archiveapi.FragmentSelectorTypeProducerTimestamp),
			TimestampRange: &archiveapi.TimestampRange{
				StartTimestamp: new(time.UnixMilli(first - 1)), EndTimestamp: new(time.UnixMilli(last + 1)),
			},
		},
	}
	found := map[int64]bool{}
	for {
		out, err := c.listPage(ctx, endpoint, in)
		if err != nil {
			return nil, fmt.Errorf("producer: list fragments: %w", explain(err))
		}
		for _, f := range out.Fragments {
			if f.ProducerTimestamp != nil {
				found[f.ProducerTimestamp.Round(time.Millisecond).UnixMilli()] = true
			}
		}
		if out.NextToken == nil || *out.NextToken == "" {
			return found, nil
		}
		in = &archiveapi.ListFragmentsInput{StreamName: &c.o.StreamName, MaxResults: in.MaxResults, NextToken: out.NextToken}
	}
}

func (c *control) listPage(ctx context.Context, endpoint string, in *archiveapi.ListFragmentsInput) (*archiveapi.ListFragmentsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, c.call)
	defer cancel()
	return archiveapi.NewClient(c.client(ctx, endpoint)).ListFragments(ctx, in)
}

// sleep waits, or returns the context's cause.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
