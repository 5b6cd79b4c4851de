// SPDX-License-Identifier: Apache-2.0

// Package server is the composition root: it alone knows every concrete type, and wires
//
//	config → stores → services → listeners
//
// Open does all of that and fails with nothing changed when it cannot; Run serves until its context ends and
// then lets go in the reverse order. It holds no behaviour of any API.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/gateway"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// ErrConfig marks a configuration that cannot be.
var ErrConfig = errors.New("configuration")

// shutdownGrace is how long calls that run may go on after the server was told to stop. Uploads and downloads of
// media are ended at once, after their current fragment's fate is settled.
const shutdownGrace = 10 * time.Second

// Server is an opened server. Run may be called once.
type Server struct {
	config    Config
	metrics   *metrics
	authority *authority
	endpoints Endpoints
	listeners listeners
	stores    *stores
	services  *services
	gateway   *gateway.Gateway

	ready   atomic.Bool
	failed  chan error // the first failure that nobody can answer for
	work    sync.WaitGroup
	closing sync.Once
	closed  error
}

// Open opens the data directory, builds the services and binds the listeners; it serves nothing yet.
//
// Errors: ErrConfig, ErrForeign, ErrNewerFormat, ErrInUse; rootkey's ErrMissing, ErrMalformed and ErrWrongKey; the
// operating system's. On an error nothing that the directory held was changed.
func Open(ctx context.Context, c Config) (_ *Server, err error) {
	if c, err = c.withDefaults(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	s := &Server{config: c, metrics: newMetrics(), failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.stores, err = openStores(ctx, c, s.fatal); err != nil {
		return nil, err
	}
	if err = s.stores.bind(ctx, c); err != nil {
		return nil, err
	}
	if err = s.listen(ctx); err != nil {
		return nil, err
	}
	devices, err := s.deviceConfig(ctx)
	if err != nil {
		return nil, err
	}
	if err = upgradeData(c.Data); err != nil {
		return nil, err
	}
	if s.services, err = openServices(ctx, c, s.stores, s.endpoints, s.metrics, devices); err != nil {
		return nil, err
	}
	s.finishRotation(ctx)
	if err = s.writeCredentials(ctx); err != nil {
		return nil, err
	}
	var explain func(*access.Denied) (string, error)
	if c.ExplainDenials {
		explain = s.services.sts.EncodeDenial
	}
	s.gateway = gateway.New(gateway.Config{
		Explain:     explain,
		Router:      s.services.router(),
		Verifier:    sigv4.NewVerifier(c.Region),
		Further:     s.services.further(c),
		Credentials: credentials{s.services.iam, s.services.sts},
		Authorizer:  s.services.authorizer,
		Audit:       recording{s.services.audit, s.services.iam, c.Region},
		Observer:    s.metrics,
		Throttle:    gateway.NewThrottle(c.RequestsPerSecond),
		Region:      c.Region, Account: c.Account,
		Log: c.Log, Now: c.Now,
	})
	return s, s.endpoints.write()
}

// fatal ends the server when a store can no longer tell what is durable. A later attempt to sync would find
// nothing wrong, so nothing may be acknowledged any more: not even the shutdown waits.
func (s *Server) fatal(err error) {
	s.config.Log.Error("the disk failed; stopping at once, since what is durable can no longer be told", "error", err)
	os.Exit(1)
}

// Endpoints says where the server is reached.
func (s *Server) Endpoints() Endpoints { return s.endpoints }

// Fingerprint is the SHA-256 of the local CA's certificate; empty when the operator's own certificate is used.
func (s *Server) Fingerprint() string {
	if s.authority == nil {
		return ""
	}
	return s.authority.fingerprint()
}

// Run serves until ctx ends, then shuts down: what was acknowledged is durable, clients that are connected are
// told to come back. It returns nil after a shutdown that was asked for.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s.serveAll()
	s.serveControl(background)
	s.sweepUntil(background)
	s.ready.Store(true)
	var err error
	select {
	case <-ctx.Done():
		s.config.Log.Info("stopping", "why", context.Cause(ctx))
	case err = <-s.failed:
	}
	s.ready.Store(false)
	stop()
	return errors.Join(err, s.Close())
}

// serveAll begins to serve every listener.
func (s *Server) serveAll() {
	api := s.newClientServer(s.gateway)
	media := s.newClientServer(s.gateway)
	admin := s.newHTTPServer(s.adminHandler())
	for _, l := range []struct {
		on     net.Listener
		server *http.Server
	}{{s.listeners.api, api}, {s.listeners.media, media}, {s.listeners.device, s.newClientServer(s.deviceHandler())}, {s.listeners.admin, admin}} {
		if l.on == nil {
			continue
		}
		s.listeners.servers = append(s.listeners.servers, l.server)
		s.work.Go(func() {
			if err := l.server.Serve(l.on); !errors.Is(err, http.ErrServerClosed) {
				s.fail(err)
			}
		})
	}
}

func (s *Server) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// chore is something that is due by time.
type chore struct {
	name  string
	every time.Duration
	do    func(context.Context) error
}

func (s *Server) chores() []chore {
	return []chore{
		{"tune the heap", time.Second, tuneHeap},
		{"delete keys that are due", 10 * time.Second, s.services.kms.Sweep},
		{"forget enrolment tokens", time.Hour, s.services.iot.Sweep},
		{"delete expired objects of mailboxes", 10 * time.Second, s.services.mailbox.Sweep},
		{"trim footage to its retention", 10 * time.Second, s.services.video.Sweep},
		{"free the spool", 30 * time.Second, s.stores.reapSpool},
		{"free segments", 10 * time.Minute, s.stores.reapArchive},
	}
}

// sweepUntil does the chores until ctx ends, each in a goroutine of its own.
func (s *Server) sweepUntil(ctx context.Context) {
	s.work.Go(func() { s.services.iam.Run(ctx) })
	s.work.Go(func() { s.services.digests.Run(ctx) })
	for _, c := range s.chores() {
		s.work.Go(func() { s.repeat(ctx, c) })
	}
}

func (s *Server) repeat(ctx context.Context, c chore) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.do(ctx); err != nil && ctx.Err() == nil {
			s.config.Log.Warn("chore", "what", c.name, "error", err)
		}
	}
}

// Close ends the listeners, waits for the calls that run, and closes services and stores. It may be called more
// than once.
func (s *Server) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	errs := []error{s.stopServing(ctx)}
	if s.services != nil {
		errs = append(errs, s.services.close())
	}
	if s.stores != nil {
		errs = append(errs, s.stores.close(ctx))
	}
	return errors.Join(errs...)
}

// stopServing takes no new connection, ends those that carry media, and waits for the calls that run until ctx
// ends; what is left then is cut off.
func (s *Server) stopServing(ctx context.Context) (err error) {
	var stopping sync.WaitGroup
	for _, h := range s.listeners.servers {
		stopping.Go(func() {
			if h.Shutdown(ctx) != nil {
				h.Close()
			}
		})
	}
	if s.services != nil && s.services.mailbox != nil {
		s.services.mailbox.Close() // or calls that wait would hold up the others
	}
	if s.services != nil && s.services.video != nil {
		// It waits for its connections; one whose client takes nothing any more ends when it is cut off above.
		err = s.services.video.Close()
	}
	stopping.Wait()
	s.listeners.close()
	s.work.Wait()
	return err
}

// writeCredentials writes the root access key where `obscura env` points to.
func (s *Server) writeCredentials(ctx context.Context) error {
	id, secret, created, err := s.services.iam.EnsureRoot(ctx)
	if err != nil || id == "" {
		return err
	}
	path := filepath.Join(s.config.Data, "credentials")
	if _, err := os.Stat(path); err == nil && !created {
		return nil
	}
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id, secret)
	return writeFile(path, []byte(text), 0o600)
}
