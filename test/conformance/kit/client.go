// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package kit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	awsv1 "github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	credentialsv1 "github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/kinesisvideoarchivedmedia"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"
	"github.com/aws/smithy-go"

	iotapi "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/rig"
)

// Clients are AWS's own, all with the credentials of one caller.
type Clients struct {
	Ctx         context.Context
	Credentials sigv4.Credentials

	KMS   *kms.Client
	IAM   *iam.Client
	STS   *sts.Client
	Video *kinesisvideo.Client
	Trail *cloudtrail.Client
	IoT   *iot.Client
	// Enrol is our own client of IoT, for the operations that AWS does not have.
	Enrol *iotapi.Client
	// Boxes is ours, since AWS has no such service.
	Boxes *mailbox.Client
	// Version 2 of the SDK has no media APIs in reach of this module; version 1 has.
	Media   *kinesisvideomedia.KinesisVideoMedia
	Archive *kinesisvideoarchivedmedia.KinesisVideoArchivedMedia

	target *Target
	v1     *session.Session
	abroad func() *Clients
}

// MediaAt, ArchiveAt and Put are for an endpoint that GetDataEndpoint has given.
func (c *Clients) MediaAt(endpoint string) *kinesisvideomedia.KinesisVideoMedia {
	return kinesisvideomedia.New(c.v1, awsv1.NewConfig().WithEndpoint(endpoint))
}

// ArchiveAt is for GetMediaForFragmentList and its neighbours.
func (c *Clients) ArchiveAt(endpoint string) *kinesisvideoarchivedmedia.KinesisVideoArchivedMedia {
	return kinesisvideoarchivedmedia.New(c.v1, awsv1.NewConfig().WithEndpoint(endpoint))
}

// Put begins to send media to a stream. No SDK for Go has that.
func (c *Clients) Put(endpoint, stream string) (*rig.Put, error) {
	s := rig.Server{HTTP: c.target.http}
	s.Media, s.Region = endpoint, c.target.Region
	return s.PutMedia(c.Ctx, c.Credentials, stream)
}

// Abroad is the same caller's clients in the target's other Region.
func (c *Clients) Abroad() *Clients { return c.abroad().with(c.Ctx) }

func (tg *Target) clients(c sigv4.Credentials) *Clients { return tg.clientsIn(tg.Region, c) }

func (tg *Target) clientsIn(region string, c sigv4.Credentials) *Clients {
	v2, v1 := tg.v2(region, c), tg.v1(region, c)
	return &Clients{
		Ctx: context.Background(), Credentials: c, target: tg, v1: v1,
		abroad: func() *Clients { return tg.clientsIn(tg.OtherRegion, c) },
		KMS:    kms.NewFromConfig(v2), IAM: iam.NewFromConfig(v2), STS: sts.NewFromConfig(v2),
		Video: kinesisvideo.NewFromConfig(v2), Trail: cloudtrail.NewFromConfig(v2), IoT: iot.NewFromConfig(v2),
		Enrol: iotapi.NewClient(tg.own(region, "iot", c)), Boxes: mailbox.NewClient(tg.own(region, "mailbox", c)),
		Media: kinesisvideomedia.New(v1), Archive: kinesisvideoarchivedmedia.New(v1),
	}
}

// with is the same clients for calls within a context.
func (c *Clients) with(ctx context.Context) *Clients {
	copied := *c
	copied.Ctx = ctx
	return &copied
}

func (tg *Target) v2(region string, c sigv4.Credentials) aws.Config {
	config := aws.Config{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
		HTTPClient:  tg.http,
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
	if c.AccessKeyID == "" {
		config.Credentials = aws.AnonymousCredentials{}
	}
	if tg.Foreign {
		config.Retryer = func() aws.Retryer { return retry.NewStandard() }
	}
	if !tg.aws() {
		config.BaseEndpoint = &tg.Endpoint
	}
	return config
}

// v1 is given the CA once more, since it would replace the client's by what AWS_CA_BUNDLE in the environment names.
func (tg *Target) v1(region string, c sigv4.Credentials) *session.Session {
	o := session.Options{Config: awsv1.Config{
		Region: &region, MaxRetries: awsv1.Int(0),
		Credentials: credentialsv1.NewStaticCredentials(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
	}}
	if transport, ok := tg.http.Transport.(*http.Transport); ok && tg.CA != "" {
		ca, err := os.ReadFile(tg.CA)
		if err != nil {
			tg.t.Fatal(err)
		}
		client := &http.Client{Transport: transport.Clone()}
		tg.t.Cleanup(client.CloseIdleConnections)
		o.CustomCABundle, o.Config.HTTPClient = bytes.NewReader(ca), client
	}
	if !tg.aws() {
		o.Config.Endpoint = &tg.Endpoint
	}
	return session.Must(session.NewSessionWithOptions(o))
}

// own is what our own clients are made of.
func (tg *Target) own(region, service string, c sigv4.Credentials) protocol.Client {
	return protocol.Client{Endpoint: tg.Endpoint, HTTP: tg.http, Sign: func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), c, region, service, time.Now())
		return nil
	}}
}

// Run calls an operation of the SDK, of either version, and hands on what it answered to each of got, which say what
// is wrong with it.
func Run[I, O, F any](c *Clients, f func(context.Context, *I, ...F) (*O, error), in *I, got ...func(*O) error) error {
	out, err := f(c.Ctx, in)
	if err != nil {
		return err
	}
	for _, g := range got {
		if err := g(out); err != nil {
			return fmt.Errorf("wrong answer: %w", err)
		}
	}
	return nil
}

// Want is nil where a part of an answer is as it should be.
func Want(what string, got, want any) error {
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}

// True is nil where a claim about an answer holds.
func True(claim string, holds bool) error {
	if !holds {
		return errors.New("not so: " + claim)
	}
	return nil
}

// Saying is the error itself where its message holds the text, and another one where it does not.
func Saying(err error, text string) error {
	if _, message := CodeOf(err); err != nil && !strings.Contains(message, text) {
		return fmt.Errorf("the message of %q has not %q", err, text)
	}
	return err
}

// CodeOf is the code and message of an error that AWS's SDKs return, whichever version, or our own client.
func CodeOf(err error) (code, message string) {
	var v2 smithy.APIError
	var v1 awserr.Error
	var own protocol.APIError
	switch {
	case errors.As(err, &v2):
		return v2.ErrorCode(), v2.ErrorMessage()
	case errors.As(err, &v1):
		return v1.Code(), v1.Message()
	case errors.As(err, &own):
		return own.ErrorCode(), own.ErrorMessage()
	}
	return "", ""
}
