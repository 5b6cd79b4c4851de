// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// Track describes one track of the media.
type Track = mkv.Track

// Tag is what a producer said of a fragment.
type Tag = mkv.Tag

// Types of tracks.
const (
	Video    = mkv.TrackVideo
	Audio    = mkv.TrackAudio
	Metadata = mkv.TrackMetadata
)

// Credentials sign requests. SessionToken is empty for long-term keys.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
}

// Options say what to read, and from where. StreamName and Credentials are required.
type Options struct {
	StreamName string // or an ARN

	// Endpoint is the URL of the control plane. Default: that of AWS in Region.
	Endpoint string
	// Region is what requests are signed for. Default us-east-1.
	Region string
	// Credentials is asked before each request, so it should keep what is still good.
	Credentials func(context.Context) (Credentials, error)
	// RootCAs are trusted instead of the system's.
	RootCAs *x509.CertPool
	// HTTPClient replaces the client that is made of RootCAs. It must have no Timeout.
	HTTPClient *http.Client

	// KeepDuplicates delivers fragments that have the producer's timestamp of another one too. Otherwise a live
	// reader gets the first one to come, and a list has the one with the larger fragment number.
	KeepDuplicates bool
	// GiveUpAfter is how long a live reader tries to connect before it returns the error. Default: for ever, unless
	// the service refuses.
	GiveUpAfter time.Duration

	// Log gets warnings. Default: discarded.
	Log *slog.Logger
}

// ErrOptions marks Options that cannot be.
var ErrOptions = errors.New("consumer: options")

// ResponseError is a failure that the service reported for a request; it holds the request's ID.
type ResponseError = protocol.ResponseError

// MediaError is what the service says in the media when it stops sending: 4000 for a fragment that is gone, 4500 to
// 4507 for the KMS key, 5000 for a fault of its own.
type MediaError struct {
	ID             int
	Code           string
	FragmentNumber string
}

func (e *MediaError) Error() string {
	return fmt.Sprintf("consumer: service stopped at fragment %s: %d %s", e.FragmentNumber, e.ID, e.Code)
}

// Consumer reads one stream. It may be used by several goroutines, each with iterators of its own.
type Consumer struct {
	o       Options
	name    *string
	arn     *string
	backoff time.Duration // the first one

	maxListed int
}

// Open checks the options. It does not talk to the service. Errors: ErrOptions.
func Open(o Options) (*Consumer, error) {
	if o.StreamName == "" || len(o.StreamName) > 1024 {
		return nil, fmt.Errorf("%w: stream name %q: want a name or an ARN", ErrOptions, o.StreamName)
	}
	if o.Credentials == nil {
		return nil, fmt.Errorf("%w: no credentials", ErrOptions)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.Endpoint = cmp.Or(o.Endpoint, "https://kinesisvideo."+o.Region+".amazonaws.com")
	if o.HTTPClient == nil {
		o.HTTPClient = newHTTPClient(o.RootCAs)
	}
	c := &Consumer{o: o, backoff: 200 * time.Millisecond, maxListed: maxListed}
	if isARN(o.StreamName) {
		c.arn = &o.StreamName
	} else {
		c.name = &o.StreamName
	}
	return c, nil
}

func isARN(s string) bool { return len(s) > 4 && s[:4] == "arn:" }

// Close lets go of idle connections. Iterators end with their contexts.
func (c *Consumer) Close() { c.o.HTTPClient.CloseIdleConnections() }
