// SPDX-License-Identifier: Apache-2.0

// Package iam is the AWS Identity and Access Management API: users, groups, roles, their policies and
// access keys, of one account.
//
// It keeps identities and says what their policies are; it decides nothing by itself. Decisions, its own
// included, are made by the access.Authorizer that asks it as its access.IdentitySource. Sessions are
// made by package sts.
//
// The invariant: every reader sees one immutable view of the whole account, and a change is durable
// before it is in that view and in that view before it is answered. So a key that was deactivated, a
// policy that was detached or a role that was deleted counts no more from the next call on.
//
// Everything lives in the meta space "iam" (docs/formats/meta-keys.md): a row for each entity, managed
// policy, policy version and access key, as JSON. Secrets of access keys are in such rows because
// SigV4 needs them in the clear; the store beneath seals its values.
//
// Source: AWS IAM API Reference and IAM User Guide; deviations in docs/compat/iam.md.
package iam

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/meta"
)

var (
	_ iamapi.Server         = (*Service)(nil)
	_ access.IdentitySource = (*Service)(nil)
)

// ErrUnknownAccessKey says that no active access key has this ID.
var ErrUnknownAccessKey = errors.New("iam: unknown access key")

// Config is what New needs.
type Config struct {
	DB      meta.DB
	Account string // 12 digits
	Region  string // reported where AWS reports one, "us-east-1"
	// Authorizer decides the operations of this service; access.New over the service itself when nil.
	Authorizer access.Authorizer
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Log receives what concerns the operator; discarded when nil.
	Log *slog.Logger
}

// Service implements iamapi.Server. Its methods are safe for concurrent use.
type Service struct {
	iamapi.Unimplemented

	db      meta.DB
	account string
	region  string
	auth    access.Authorizer
	now     func() time.Time
	log     *slog.Logger

	writing sync.Mutex // held by update, one at a time
	current atomic.Pointer[view]
	used    usage
}

// New reads the account from cfg.DB.
func New(ctx context.Context, cfg Config) (*Service, error) {
	s := &Service{
		db:      cfg.DB,
		account: cfg.Account,
		region:  cfg.Region,
		auth:    cfg.Authorizer,
		now:     cfg.Now,
		log:     cfg.Log,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.auth == nil {
		s.auth = access.New(s, cfg.Account, cfg.Region, s.now)
	}
	if err := s.reload(ctx); err != nil {
		return nil, fmt.Errorf("iam: open: %w", err)
	}
	return s, nil
}

// view returns the account as it is now. It must not be changed.
func (s *Service) view() *view { return s.current.Load() }

// date is the time in the resolution that IAM has: seconds.
func (s *Service) date() time.Time { return s.now().UTC().Truncate(time.Second) }
