// SPDX-License-Identifier: Apache-2.0

// Package rig is what the system tests stand on: a server (in this process, or the real binary in one of its
// own), clients that trust it, media whose every byte is known, and a raw PutMedia connection that notes each
// acknowledgement. It is no test itself, and knows nothing of how the server is made beyond its configuration
// and its wire.
//
// The invariant: everything that it starts ends with the test that started it.
package rig

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// Account and Region are in the ARNs of the servers here.
const (
	Account = server.DefaultAccount
	Region  = server.DefaultRegion
)

// Server is a running server and what a client needs of it.
type Server struct {
	server.Endpoints
	Root sigv4.Credentials
	// HTTP trusts the server's CA, and speaks HTTP/2 where the server does.
	HTTP *http.Client
	// Log is everything that the server wrote to its log so far.
	Log *Log

	copies *copies
}

// copies are the copies of an HTTP client that were given away. They may be used concurrently.
type copies struct {
	mu  sync.Mutex
	all []*http.Client
}

// copyOfHTTP is HTTP for a client that alters what it is given.
func (s *Server) copyOfHTTP() *http.Client {
	c := &http.Client{Transport: s.HTTP.Transport.(*http.Transport).Clone()}
	s.copies.mu.Lock()
	defer s.copies.mu.Unlock()
	s.copies.all = append(s.copies.all, c)
	return c
}

// closeIdle closes all connections on which nothing is asked.
func (s *Server) closeIdle() {
	s.HTTP.CloseIdleConnections()
	s.copies.mu.Lock()
	defer s.copies.mu.Unlock()
	for _, c := range s.copies.all {
		c.CloseIdleConnections()
	}
}

// Log collects what a server writes. It may be used concurrently.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is everything so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Start serves in this process, on free ports, from a folder of the test's own unless an option says otherwise,
// until the test ends.
func Start(t testing.TB, options ...func(*server.Config)) *Server {
	t.Helper()
	s, stop := Run(t, options...)
	t.Cleanup(stop)
	return s
}

// Run is Start with the end in the caller's hands; stop waits for it and may be called more than once.
func Run(t testing.TB, options ...func(*server.Config)) (_ *Server, stop func()) {
	t.Helper()
	log := new(Log)
	c := server.Config{
		API: server.Listener{Listen: "127.0.0.1:0"}, Media: server.Listener{Listen: "127.0.0.1:0"},
		Device: server.Listener{Listen: "127.0.0.1:0"}, Admin: server.Listener{Listen: "127.0.0.1:0"},
		FreeSpace: -1,
		Log:       slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, o := range options {
		o(&c)
	}
	if c.Data == "" {
		c.Data = filepath.Join(t.TempDir(), "data")
	}
	s, err := server.Open(t.Context(), c)
	if err != nil {
		t.Fatalf("open server: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	client := clientOf(t, s.Endpoints(), log)
	waitReady(t, client)
	return client, sync.OnceFunc(func() {
		client.closeIdle() // else a server of HTTP/2 waits a second for their end
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server ended: %v", err)
		}
		client.closeIdle()
	})
}

// clientOf reads what the data directory says to clients.
func clientOf(t testing.TB, e server.Endpoints, log *Log) *Server {
	t.Helper()
	return &Server{Endpoints: e, Root: readCredentials(t, filepath.Join(e.Data, "credentials")), HTTP: trusting(t, e.CAFile), Log: log, copies: new(copies)}
}

func trusting(t testing.TB, caFile string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 16,
	}}
}

func readCredentials(t testing.TB, name string) (c sigv4.Credentials) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(key) {
		case "aws_access_key_id":
			c.AccessKeyID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			c.SecretAccessKey = strings.TrimSpace(value)
		}
	}
	return c
}

const startTimeout = 30 * time.Second

// waitReady waits until the server says that it serves.
func waitReady(t testing.TB, s *Server) {
	t.Helper()
	for end := time.Now().Add(startTimeout); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		resp, err := s.HTTP.Get(s.Admin + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatalf("not ready after %v; log:\n%s", startTimeout, s.Log)
}
