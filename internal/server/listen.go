// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const endpointsFile = "endpoints.json"

// Endpoints says where a server is reached and what a client needs. It lies in the data directory as
// endpoints.json, for the commands that run beside the server; it holds no secret.
type Endpoints struct {
	API    string `json:"api"`
	Media  string `json:"media,omitempty"`
	Device string `json:"device,omitempty"`
	Admin  string `json:"admin,omitempty"`
	CAFile string `json:"caFile,omitempty"` // absolute; empty with the operator's own certificate
	Data   string `json:"data"`             // absolute
	Region string `json:"region"`
	PID    int    `json:"pid"`
}

// ReadEndpoints reads where the server of a data directory was last reached. Errors: fs.ErrNotExist.
func ReadEndpoints(data string) (Endpoints, error) {
	var e Endpoints
	text, err := os.ReadFile(filepath.Join(data, endpointsFile))
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("%s: %w", filepath.Join(data, endpointsFile), err)
	}
	return e, nil
}

func (e Endpoints) write() error {
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(e.Data, endpointsFile), append(text, '\n'), 0o644)
}

// listeners are the bound sockets; nil where one is off.
type listeners struct {
	api, media, device, admin net.Listener
	servers                   []*http.Server
}

func (l *listeners) close() {
	for _, on := range []net.Listener{l.api, l.media, l.device, l.admin} {
		if on != nil {
			on.Close() // a listener that Shutdown has closed already
		}
	}
}

// listen binds every listener and settles what clients are told.
func (s *Server) listen(ctx context.Context) (err error) {
	c := s.config
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return err
	}
	s.endpoints = Endpoints{Data: data, Region: c.Region, PID: os.Getpid()}
	certificate, err := s.certificate(ctx)
	if err != nil {
		return err
	}
	scheme := "https"
	if c.InsecureHTTP {
		scheme = "http"
	}
	bind := func(l Listener, protocols ...string) (net.Listener, error) {
		if l.Listen == Off {
			return nil, nil
		}
		var lc net.ListenConfig
		on, err := lc.Listen(ctx, "tcp", l.Listen)
		if err != nil || protocols == nil || c.InsecureHTTP {
			return on, err
		}
		return tls.NewListener(on, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, GetCertificate: certificate}), nil
	}
	if s.listeners.api, err = bind(c.API, "h2", "http/1.1"); err != nil {
		return fmt.Errorf("api listener: %w", err)
	}
	// HTTP/1.1 alone: producers sign the connection and transfer-encoding headers, which HTTP/2 does not have.
	if s.listeners.media, err = bind(c.Media, "http/1.1"); err != nil {
		return fmt.Errorf("media listener: %w", err)
	}
	if s.listeners.device, err = s.bindDevice(ctx, certificate); err != nil {
		return fmt.Errorf("device listener: %w", err)
	}
	if s.listeners.admin, err = bind(c.Admin); err != nil {
		return fmt.Errorf("admin listener: %w", err)
	}
	if l := s.listeners.api; l != nil {
		s.endpoints.API = c.API.advertised(scheme, l.Addr())
	}
	if l := s.listeners.media; l != nil {
		s.endpoints.Media = c.Media.advertised(scheme, l.Addr())
	}
	if l := s.listeners.device; l != nil {
		s.endpoints.Device = c.Device.advertised("https", l.Addr())
	}
	if l := s.listeners.admin; l != nil {
		s.endpoints.Admin = c.Admin.advertised("http", l.Addr())
	}
	// One listener may stand in for the other: all services answer on both.
	if s.endpoints.API == "" {
		s.endpoints.API = s.endpoints.Media
	}
	if s.endpoints.Media == "" {
		s.endpoints.Media = s.endpoints.API
	}
	if s.endpoints.API == "" {
		return fmt.Errorf("%w: api and media listeners are both off", ErrConfig)
	}
	return nil
}

// certificate returns what hands out the server's certificate: the operator's own, or one of the local CA.
func (s *Server) certificate(ctx context.Context) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	c := s.config
	switch {
	case c.InsecureHTTP:
		return nil, nil
	case c.TLSCert != "":
		o := &operatorCertificate{certFile: c.TLSCert, keyFile: c.TLSKey}
		_, err := o.get(nil) // so that a wrong file stops the start
		return o.get, err
	}
	dir := filepath.Join(s.endpoints.Data, "tls")
	a, err := openAuthority(ctx, serverAuthority(dir), s.stores.root, c.Now())
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	s.authority = a
	s.endpoints.CAFile = filepath.Join(dir, "ca.pem")
	names := certificateNames(slices.Concat(c.API.hosts(), c.Media.hosts(), c.Device.hosts()))
	return (&certificates{authority: a, names: names, now: c.Now}).get, nil
}

const (
	// headerTimeout bounds how long a client may take to say what it wants.
	headerTimeout = 20 * time.Second
	// idleTimeout is how long a connection may wait for its next request.
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	// requestTimeout is for header and body together: the longest body has a mebibyte.
	requestTimeout = time.Minute
	// answerTimeout is for all that comes after the header: the body, the work, and a client that takes in its answer.
	answerTimeout = 3 * time.Minute
)

// newClientServer serves those who need not be trusted: whoever sends half a request, or does not take the answer, keeps
// his connection for so long only. What streams media lifts both timeouts (package protocol); its service bounds it.
func (s *Server) newClientServer(h http.Handler) *http.Server {
	hs := s.newHTTPServer(h)
	hs.ReadTimeout, hs.WriteTimeout = requestTimeout, answerTimeout
	hs.HTTP2 = &http.HTTP2Config{WriteByteTimeout: answerTimeout}
	return hs
}

// newHTTPServer has no timeout for bodies and answers.
func (s *Server) newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
}
