// SPDX-License-Identifier: Apache-2.0

// Package mailbox keeps objects that end-to-end encryption passes through the server: rosters, certificates,
// pairing messages, grants. A box holds objects by key; an object is written once and is read, listed, waited for and
// deleted.
//
// It never looks into an object: what it holds is signed or sealed by its writer for its readers, who trust the
// server with nothing but its being there. It speaks no HTTP.
//
// The invariant: what PutObject has answered is durable, and under its key nobody sees other bytes, until it expires or
// is deleted by who may do that.
//
// Everything lives in the meta space "mb" (store.go), sealed as every row is. The API is Obscura's own; its model is in
// internal/codegen/models, its page docs/compat/mailbox.md.
package mailbox

import (
	"context"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/meta"
)

var _ api.Server = (*Service)(nil)

// Bounds of a box, unless configured otherwise.
const (
	DefaultMaxBytes   = 256 << 20
	DefaultMaxObjects = 100_000
)

// Config is what New needs.
type Config struct {
	DB              meta.DB
	Account, Region string
	Authorizer      access.Authorizer
	// MaxBytes and MaxObjects bound each box; the defaults when 0. A bound below what a box holds refuses new
	// objects and deletes none.
	MaxBytes, MaxObjects int64
	// Room refuses an object of so many bytes where the disk has no room for it; nil takes every one.
	Room func(bytes int64) error
	Now  func() time.Time // time.Now when nil
}

// Service implements api.Server. Its methods are safe for concurrent use.
type Service struct {
	db                   meta.DB
	account, region      string
	auth                 access.Authorizer
	maxBytes, maxObjects int64
	room                 func(bytes int64) error
	now                  func() time.Time

	waiters waiters
	closing sync.Once
	closed  chan struct{}
}

// New makes a service over cfg.DB. Close it to end the calls that wait.
func New(cfg Config) *Service {
	s := &Service{
		db: cfg.DB, account: cfg.Account, region: cfg.Region, auth: cfg.Authorizer,
		maxBytes: cfg.MaxBytes, maxObjects: cfg.MaxObjects, room: cfg.Room, now: cfg.Now, closed: make(chan struct{}),
	}
	if s.maxBytes == 0 {
		s.maxBytes = DefaultMaxBytes
	}
	if s.maxObjects == 0 {
		s.maxObjects = DefaultMaxObjects
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Close ends every wait as if its time were over; calls from then on do not wait. It may be called more than once.
func (s *Service) Close() { s.closing.Do(func() { close(s.closed) }) }

// Waiting is how many calls wait at this moment.
func (s *Service) Waiting() int { return s.waiters.count() }

// arn names a box, or with a key an object in it.
func (s *Service) arn(box, key string) string {
	a := "arn:aws:mailbox:" + s.region + ":" + s.account + ":box/" + box
	if key != "" {
		a += "/" + key
	}
	return a
}

// allow decides an operation on an object.
func (s *Service) allow(ctx context.Context, operation, box, key string) error {
	return s.auth.Authorize(ctx, access.Request{Action: "mailbox:" + operation, Resource: s.arn(box, key)})
}

// note puts an object into the call's audit event.
func (s *Service) note(ctx context.Context, box, key string) {
	access.AddResource(ctx, s.arn(box, key), "Obscura::Mailbox::Object")
}

// writer is the ARN of ctx's caller.
func writer(ctx context.Context) string {
	if call, ok := access.FromContext(ctx); ok {
		return call.Principal.ARN
	}
	return ""
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// optional is nil for the zero time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
