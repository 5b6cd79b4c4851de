// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	trailapi "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// caller makes requests of a service other than media.
func (c *connection) caller(ctx context.Context, service string) protocol.Client {
	return protocol.Client{
		Endpoint: c.endpoint,
		HTTP: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12},
		}},
		Sign: func(r *http.Request, payload []byte) error {
			creds, err := c.credentials(ctx)
			if err == nil {
				sigv4.Sign(r, sigv4.HashBody(payload), creds, c.region, service, time.Now())
			}
			return err
		},
	}
}

// makeDemoStream makes the stream, unless it is there.
func makeDemoStream(ctx context.Context, conn *connection, retention time.Duration) error {
	kv := kvapi.NewClient(conn.caller(ctx, "kinesisvideo"))
	_, err := kv.CreateStream(ctx, &kvapi.CreateStreamInput{
		StreamName: new(demoStream), DataRetentionInHours: new(int64(retention / time.Hour)),
		Tags: map[string]string{"obscura:RequireE2EE": "true"},
	})
	var r *protocol.ResponseError
	if err == nil || errors.As(err, &r) && r.Code == "ResourceInUseException" {
		return nil
	}
	return conn.explain("cannot make the demo's stream", demoStream, err)
}

// demoReport prints what was checked: each line is a fact that was asked for now.
func demoReport(ctx context.Context, t *terminal, conn *connection, seen demoSeen, found demoFound) error {
	version, err := tlsVersion(ctx, conn)
	if err != nil {
		return conn.explain("cannot check the demo's TLS", demoStream, err)
	}
	key, err := streamKey(ctx, conn)
	if err != nil {
		return conn.explain("cannot look up the demo's key", demoStream, err)
	}
	events, more, err := auditEvents(ctx, conn)
	if err != nil {
		return conn.explain("cannot look up the demo's audit events", demoStream, err)
	}
	recorded := fmt.Sprint(events)
	if more {
		recorded += " or more"
	}
	fmt.Fprintf(t.out, "ok  frames      %d pictures and %d pieces of sound (%.1f s) came back byte for byte, in order, to the millisecond\n",
		seen.pictures, seen.sounds, seen.length.Seconds())
	fmt.Fprintf(t.out, "ok  end to end  %s confirmed by the signature of %s, %d missing; sealed for %s under roster v%d\n",
		count(seen.fragments, "fragment", "fragments"), seen.signer, seen.missing,
		count(int(seen.last.Recipients), "viewer", "viewers"), seen.last.RosterVersion)
	fmt.Fprintf(t.out, "ok  the server  has none of %d pieces of the clip: not in %d files (%s), not in what GetMedia gives (%s); the viewer has %d of them so far\n",
		found.pieces, found.files, byteSize(found.onDisk), byteSize(found.media), found.control)
	fmt.Fprintf(t.out, "ok  on the wire %s\n", version)
	fmt.Fprintf(t.out, "ok  at rest     XAES-256-GCM, a key for each frame, under %s\n", key)
	fmt.Fprintf(t.out, "ok  audit       %s events recorded\n", recorded)
	return nil
}

// tlsVersion connects to the media listener and says what was agreed on.
func tlsVersion(ctx context.Context, conn *connection) (string, error) {
	u, err := url.Parse(conn.endpoint)
	if err != nil {
		return "", err
	}
	d := tls.Dialer{Config: &tls.Config{RootCAs: conn.roots, MinVersion: tls.VersionTLS12}}
	c, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return "", err
	}
	defer c.Close()
	tc, ok := c.(*tls.Conn)
	if !ok {
		return "", fmt.Errorf("connection is a %T", c)
	}
	s := tc.ConnectionState()
	return tls.VersionName(s.Version) + ", " + tls.CipherSuiteName(s.CipherSuite) + ", " + s.CurveID.String(), nil
}

// streamKey returns the ARN of the KMS key that the stream is sealed under.
func streamKey(ctx context.Context, conn *connection) (string, error) {
	kv := kvapi.NewClient(conn.caller(ctx, "kinesisvideo"))
	stream, err := kv.DescribeStream(ctx, &kvapi.DescribeStreamInput{StreamName: new(demoStream)})
	if err != nil {
		return "", err
	}
	if stream.StreamInfo == nil || stream.StreamInfo.KmsKeyId == nil {
		return "", errors.New("the stream names no key")
	}
	out, err := kmsapi.NewClient(conn.caller(ctx, "kms")).DescribeKey(ctx, &kmsapi.DescribeKeyInput{KeyId: stream.StreamInfo.KmsKeyId})
	if err != nil {
		return "", err
	}
	if out.KeyMetadata == nil || out.KeyMetadata.Arn == nil {
		return "", errors.New("the key has no ARN")
	}
	return *out.KeyMetadata.Arn, nil
}

// maxAuditPages bounds how many events are counted.
const maxAuditPages = 20

// auditEvents counts the events that CloudTrail's LookupEvents finds.
func auditEvents(ctx context.Context, conn *connection) (n int, more bool, err error) {
	trail := trailapi.NewClient(conn.caller(ctx, "cloudtrail"))
	in := &trailapi.LookupEventsInput{MaxResults: new(int64(50))}
	for range maxAuditPages {
		out, err := trail.LookupEvents(ctx, in)
		if err != nil {
			return n, false, err
		}
		n += len(out.Events)
		if out.NextToken == nil || *out.NextToken == "" {
			return n, false, nil
		}
		in.NextToken = out.NextToken
	}
	return n, true, nil
}
