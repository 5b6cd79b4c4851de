// SPDX-License-Identifier: Apache-2.0

// Package iot is the part of the AWS IoT API by which devices get an identity: things, certificates, policies,
// role aliases, and the credential provider, where a device that holds a certificate's key obtains temporary
// credentials and so never needs a secret of its own.
//
// It speaks no HTTP and opens no connection: who proved to hold which certificate is told to it (credential.go,
// enrol.go) by the device listener. It carries no messages: there is no MQTT here.
//
// The invariant: a certificate counts by being registered, active and within its time at the moment of each use,
// never by who signed it alone; and a change of its state counts from the next use on, also for sessions that
// were obtained with it (InForce).
//
// Everything lives in the meta space "iot" (store.go), as JSON; one-time tokens only as hashes.
//
// Source: AWS IoT API Reference (2015-05-28) and IoT Core Developer Guide; deviations in docs/compat/iot.md.
package iot

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/meta"
)

var _ api.Server = (*Service)(nil)

// A Session is what Sessions is asked for.
type Session struct {
	RoleARN, RoleAliasARN string
	Device                access.Device
	Lifetime              time.Duration
}

// Sessions makes temporary credentials; package sts does.
type Sessions interface {
	// AssumeRoleForDevice makes credentials of a role for a device, if the role trusts
	// credentials.iot.amazonaws.com. Errors: *access.Denied.
	AssumeRoleForDevice(ctx context.Context, s Session) (*stsapi.Credentials, error)
}

// Authority signs device certificates.
type Authority struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// Config is what New needs.
type Config struct {
	DB              meta.DB
	Account, Region string
	Authorizer      access.Authorizer
	Sessions        Sessions
	CA              Authority
	// DeviceEndpoint is host:port of the device listener; empty when it is off.
	DeviceEndpoint string
	// APIEndpoint is the URL that enrolled devices are told to call services at.
	APIEndpoint string
	// ServerCA is the certificate (PEM) that the listeners' certificates chain to; nil with an operator's own
	// certificate, which devices trust by their system's roots.
	ServerCA []byte
	// Lifetime of the certificates of enrolled devices, which renew them; DefaultLifetime when 0.
	Lifetime time.Duration
	Now      func() time.Time // time.Now when nil
}

// DefaultLifetime is how long the certificate of an enrolled device is valid. It is renewed when a third is left.
const DefaultLifetime = 90 * 24 * time.Hour

// Service implements api.Server. Its methods are safe for concurrent use.
type Service struct {
	api.Unimplemented

	db              meta.DB
	account, region string
	auth            access.Authorizer
	sessions        Sessions
	ca              Authority
	deviceEndpoint  string
	apiEndpoint     string
	serverCA        []byte
	lifetime        time.Duration
	now             func() time.Time

	writing sync.Mutex // held by update, one at a time

	mu     sync.RWMutex // guards the field below
	states map[string]state
}

// state is what decides whether a certificate is in force.
type state struct {
	active              bool
	notBefore, notAfter time.Time
}

// New reads the certificates' states from cfg.DB.
func New(ctx context.Context, cfg Config) (*Service, error) {
	s := &Service{
		db: cfg.DB, account: cfg.Account, region: cfg.Region, auth: cfg.Authorizer, sessions: cfg.Sessions, ca: cfg.CA,
		deviceEndpoint: cfg.DeviceEndpoint, apiEndpoint: cfg.APIEndpoint, serverCA: cfg.ServerCA, lifetime: cfg.Lifetime, now: cfg.Now,
		states: map[string]state{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.lifetime == 0 {
		s.lifetime = DefaultLifetime
	}
	if s.ca.Certificate == nil || s.ca.Key == nil {
		return nil, errors.New("iot: no device CA")
	}
	err := s.db.View(ctx, func(r meta.Reader) error {
		return scan(r, "", func(id string, c *certificate) (bool, error) {
			s.states[id] = c.state()
			return true, nil
		}, rowCertificate)
	})
	if err != nil {
		return nil, fmt.Errorf("iot: open: %w", err)
	}
	return s, nil
}

// InForce says whether a certificate is registered, active and within its time. It does no I/O.
func (s *Service) InForce(certificateID string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, now := s.states[certificateID], s.now()
	return st.active && !now.Before(st.notBefore) && now.Before(st.notAfter)
}

// anchor is the SHA-256 of the certificate that devices trust the server by; nil when the system's roots do.
func (s *Service) anchor() []byte {
	if c, err := parseCertificate(string(s.serverCA)); err == nil {
		sum := sha256.Sum256(c.Raw)
		return sum[:]
	}
	return nil
}

func (s *Service) arn(kind, name string) string {
	return "arn:aws:iot:" + s.region + ":" + s.account + ":" + kind + "/" + name
}

// allow decides an operation of this API.
func (s *Service) allow(ctx context.Context, operation, resource string) error {
	return s.auth.Authorize(ctx, access.Request{Action: "iot:" + operation, Resource: resource})
}

// pass decides whether the caller may hand a role to a service.
func (s *Service) pass(ctx context.Context, roleARN, service string) error {
	return s.auth.Authorize(ctx, access.Request{
		Action: "iam:PassRole", Resource: roleARN, Context: map[string][]string{"iam:passedtoservice": {service}},
	})
}

// date is the time in the resolution that is stored.
func (s *Service) date() time.Time { return s.now().UTC().Truncate(time.Second) }

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
