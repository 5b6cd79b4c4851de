// SPDX-License-Identifier: Apache-2.0

// Package cloudtrail is the behaviour of AWS CloudTrail: LookupEvents over the audit log, and trails.
//
// It records no events itself: the audit log does (package audit), for every service, whether or not there is
// a trail, and package audit/digest signs it. A trail is at present stored, described and switched, but delivers
// nothing: its files come with the S3 service.
//
// The invariant: nothing of an event, of a trail or of its absence is said before the caller was found to be
// allowed to ask.
//
// Trails are kept in meta under "ct/"; docs/compat/cloudtrail.md lists every operation and every deviation.
package cloudtrail

import (
	"context"
	"errors"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/audit/digest"
	api "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	"github.com/obscura-video/obscura/internal/meta"
)

// EventLog is what LookupEvents needs of the audit log.
type EventLog interface {
	Lookup(ctx context.Context, q audit.Query) (audit.Page, error)
}

// Digests is what ListPublicKeys needs of what signs the audit log.
type Digests interface {
	// PublicKeys returns every key, the oldest first: at least one.
	PublicKeys(ctx context.Context) ([]digest.Key, error)
}

// ErrNoBucket is what a BucketProber answers when the bucket does not exist.
var ErrNoBucket = errors.New("cloudtrail: no such bucket")

// BucketProber tries whether a trail may write its files below prefix in bucket, as cloudtrail.amazonaws.com.
// Errors: ErrNoBucket; any other means that the bucket's policy does not let it.
type BucketProber interface {
	ProbeBucket(ctx context.Context, bucket, prefix, trailARN string) error
}

// ErrKeyPolicy is what a KeyResolver answers when CloudTrail may not use the key.
var ErrKeyPolicy = errors.New("cloudtrail: the key policy does not let cloudtrail.amazonaws.com use the key")

// KeyResolver finds the KMS key that a trail is to encrypt its files with, on the caller's behalf, and returns its
// ARN. Then it tries whether cloudtrail.amazonaws.com may generate data keys by it for the trail.
// Errors: those of package awsapi/kms; ErrKeyPolicy.
type KeyResolver interface {
	KeyARN(ctx context.Context, keyID, trailARN string) (string, error)
}

// Config makes a Service.
type Config struct {
	DB         meta.DB
	Events     EventLog
	Digests    Digests
	Authorizer access.Authorizer
	// Buckets may be nil: then there is nothing to try a bucket with, and any name is taken.
	Buckets BucketProber
	// Keys may be nil: then trails with a KMS key are refused.
	Keys            KeyResolver
	Account, Region string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Service implements api.Server. It is safe for concurrent use and holds no state of its own.
type Service struct {
	api.Unimplemented
	Config
}

var _ api.Server = (*Service)(nil)

// New returns the service. DB, Events, Digests and Authorizer must be given.
func New(c Config) (*Service, error) {
	if c.DB == nil || c.Events == nil || c.Digests == nil || c.Authorizer == nil {
		return nil, errors.New("cloudtrail: DB, Events, Digests and Authorizer are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{Config: c}, nil
}

// authorize asks whether the caller may do operation to resource.
func (s *Service) authorize(ctx context.Context, operation, resource string) error {
	return s.Authorizer.Authorize(ctx, access.Request{Action: "cloudtrail:" + operation, Resource: resource})
}
