// SPDX-License-Identifier: Apache-2.0

// Package sts is the AWS Security Token Service API: it makes temporary credentials and says what they stand for.
//
// It keeps no sessions. A session token is the session itself, sealed under a key that only this server has
// (token.go); users, roles and policies are asked of a Directory, which package iam is. It verifies no
// signatures: Resolve hands the secret to who does.
//
// The invariant: a session is worth what its token says and no more, until it expires, and nothing at all once
// its role or user is gone.
//
// Its one row in the meta store, "sts/tokenkey" (docs/formats/meta-keys.md), is the key of the tokens.
//
// Source: AWS STS API Reference and IAM User Guide, "Temporary security credentials"; deviations in
// docs/compat/sts.md.
package sts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/policy"
	"github.com/obscura-video/obscura/internal/seal"
)

var _ stsapi.Server = (*Service)(nil)

var (
	// ErrInvalidToken says that a session token was not made here for this access key, or that what it
	// stands for is gone.
	ErrInvalidToken = errors.New("sts: invalid session token")
	// ErrExpiredToken says that a session has ended.
	ErrExpiredToken = errors.New("sts: expired session token")
)

// A Role is what it takes to assume one.
type Role struct {
	ARN, Name, ID string
	Trust         *policy.Document
	MaxSession    time.Duration
	Tags          map[string]string
}

// Directory knows users, roles and managed policies as they are at this moment.
type Directory interface {
	// Role returns the role with this ARN.
	Role(ctx context.Context, arn string) (Role, bool)
	// Principal returns the user with this unique ID, or the account's root when id is the account.
	Principal(ctx context.Context, id string) (access.Principal, bool)
	// ManagedPolicy returns the managed policy with this ARN.
	ManagedPolicy(ctx context.Context, arn string) (*policy.Document, bool)
}

// Config is what New needs.
type Config struct {
	DB         meta.DB
	Account    string // 12 digits
	Directory  Directory
	Authorizer access.Authorizer
	// Certificates says whether device certificates are in force; nil says that none is.
	Certificates Certificates
	// Providers and Tokens are the identity providers whose tokens roles may trust; without either there are none.
	Providers Providers
	Tokens    TokenVerifier
	Now       func() time.Time // time.Now when nil
}

// Certificates knows device certificates as they are at this moment.
type Certificates interface {
	// InForce says whether the certificate with this ID is registered, active and within its time.
	InForce(certificateID string) bool
}

// Service implements stsapi.Server. Its methods are safe for concurrent use.
type Service struct {
	stsapi.Unimplemented

	account   string
	directory Directory
	auth      access.Authorizer
	certs     Certificates
	providers Providers
	tokens    TokenVerifier
	now       func() time.Time
	key       *seal.Key

	mu     sync.Mutex // guards the fields below
	opened map[fingerprint]*session
}

// New reads the key of the tokens from cfg.DB, or makes it when there is none.
func New(ctx context.Context, cfg Config) (*Service, error) {
	material, err := tokenKey(ctx, cfg.DB)
	if err != nil {
		return nil, fmt.Errorf("sts: token key: %w", err)
	}
	defer clear(material)
	key, err := seal.NewKey(material)
	if err != nil {
		return nil, fmt.Errorf("sts: token key: %w", err)
	}
	s := &Service{
		account: cfg.Account, directory: cfg.Directory, auth: cfg.Authorizer, certs: cfg.Certificates, now: cfg.Now, key: key,
		providers: cfg.Providers, tokens: cfg.Tokens,
		opened: map[fingerprint]*session{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

func tokenKey(ctx context.Context, db meta.DB) (material []byte, err error) {
	row := meta.Key("sts", "tokenkey")
	err = db.Update(ctx, func(tx meta.Tx) error {
		if material, err = tx.Get(row); !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		material = make([]byte, seal.KeySize)
		rand.Read(material)
		tx.Put(row, material)
		return nil
	})
	return material, err
}

// caller returns who calls; the anonymous principal when nobody is known.
func caller(ctx context.Context) *access.Principal {
	if call, ok := access.FromContext(ctx); ok {
		return &call.Principal
	}
	return &access.Principal{}
}
