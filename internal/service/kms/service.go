// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"errors"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/meta"
)

// RootKey wraps key material. Implementations are safe for concurrent use.
type RootKey interface {
	// Wrap seals plaintext so that only Unwrap with the same aad opens it.
	Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error)
	// Unwrap returns plaintext in memory that the caller owns and may zero.
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
}

// Config is what a Service is made of.
type Config struct {
	// DB holds the rows. The Service is the only writer of its space in it.
	DB meta.DB
	// Root wraps all key material. Another root key than the one the rows were
	// written under makes every use of a key fail.
	Root RootKey
	// Access decides on every operation.
	Access access.Authorizer
	// Account (12 digits) and Region stand in all ARNs.
	Account, Region string
	// Further are Regions beside Region, each with keys of its own (Service.In).
	Further []string
	// Now is the clock, time.Now by default. Deletion and rotation follow it.
	Now func() time.Time
	// CachedMaterials bounds the key materials held unwrapped in memory; 1024 by
	// default. One too small costs an Unwrap per call.
	CachedMaterials int
	// ManagedFor names the services that have an AWS managed key, made when it
	// is first used; by default those of this server that encrypt at rest.
	ManagedFor []string
	// Happened, when not nil, is told of what is done on nobody's request, once
	// it is durable: "DeleteKey" at a deadline and "RotateKey" for each new
	// material, which are CloudTrail's names. It may be called while mutations
	// wait, and must not call the Service.
	Happened func(ctx context.Context, event, keyARN string)
}

const defaultCachedMaterials = 1024

// Service implements the KMS API. It is safe for concurrent use. A mutation has
// returned nil only when it is durable.
type Service struct {
	kmsapi.Unimplemented

	cfg     Config
	estate  *estate
	rows    rows
	view    view
	grants  grantCache
	secrets *secrets
	usages  usages
}

var _ kmsapi.Server = (*Service)(nil)

// New loads the keys of cfg.DB, in the background when there are very many, and returns the Service of the home Region. The caller keeps the DB and closes it
// after the Service. Errors: ErrRegion for rows of a Region that cfg does not name; the store's.
func New(cfg Config) (*Service, error) {
	if cfg.DB == nil || cfg.Root == nil || cfg.Access == nil || cfg.Account == "" || cfg.Region == "" {
		return nil, errors.New("kms: config lacks DB, Root, Access, Account or Region")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.CachedMaterials <= 0 {
		cfg.CachedMaterials = defaultCachedMaterials
	}
	if cfg.ManagedFor == nil {
		cfg.ManagedFor = []string{"kinesis", "kinesisvideo", "s3"}
	}
	s := newEstate(cfg)
	if err := s.checkRegions(context.Background()); err != nil {
		return nil, err
	}
	for _, o := range s.estate.regions {
		if err := o.indexGrants(context.Background()); err != nil {
			return nil, err
		}
	}
	if err := s.estate.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// Close zeroes the cached key material of all Regions. None of their Services must be used afterwards.
func (s *Service) Close() {
	s.estate.end()
	s.estate.loading.Wait()
	for _, o := range s.estate.regions {
		o.secrets.close()
	}
}

func (s *Service) keyARN(id string) string {
	return "arn:aws:kms:" + s.cfg.Region + ":" + s.cfg.Account + ":key/" + id
}

func (s *Service) aliasARN(name string) string {
	return "arn:aws:kms:" + s.cfg.Region + ":" + s.cfg.Account + ":" + name
}

// accountRoot is the principal that stands for the account in policies.
func (s *Service) accountRoot() string { return "arn:aws:iam::" + s.cfg.Account + ":root" }
