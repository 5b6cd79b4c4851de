// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// caExpires and leafExpires are the rests of their lives at which certificates are worth a warning. The server
	// renews its own leaf at 30 days.
	caExpires   = 180 * 24 * time.Hour
	leafExpires = 14 * 24 * time.Hour
	reachWithin = 5 * time.Second
	// wantFiles is what a server with many streams and clients needs.
	wantFiles = 4096
)

// certificates looks at the local CAs. Those of the listeners are looked at with them.
func (e *examination) certificates(context.Context) {
	dir := filepath.Join(e.data, "tls")
	if e.status == nil || e.status.CAFile != "" {
		e.authority("CA", filepath.Join(dir, "ca.pem"), "clients must then trust the new one")
	}
	if _, err := os.Stat(filepath.Join(dir, "device-ca.pem")); err == nil {
		e.authority("device CA", filepath.Join(dir, "device-ca.pem"), "devices must then enrol anew")
	}
}

func (e *examination) authority(subject, path, after string) {
	text, err := os.ReadFile(path)
	if err != nil {
		e.add(levelWarn, subject, err.Error(), "the server makes one when it starts; "+after)
		return
	}
	block, _ := pem.Decode(text)
	if block == nil {
		e.add(levelFail, subject, path+" holds no certificate", "restore it from a backup")
		return
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		e.add(levelFail, subject, path+": "+err.Error(), "restore it from a backup")
		return
	}
	e.expiry(subject, ca, caExpires, "stop the server, move "+shellQuote(path)+" and its key away, and start it; "+after)
}

func (e *examination) expiry(subject string, c *x509.Certificate, soon time.Duration, next string) {
	now := time.Now()
	until := c.NotAfter.UTC().Format("2006-01-02")
	switch left := c.NotAfter.Sub(now); {
	case left < 0:
		e.add(levelFail, subject, "expired on "+until, next)
	case now.Before(c.NotBefore):
		e.add(levelFail, subject, "is not valid before "+c.NotBefore.UTC().Format(time.RFC3339), "set the clock right")
	case left < soon:
		e.add(levelWarn, subject, "expires on "+until, next)
	default:
		e.add(levelOK, subject, "valid until "+until, "")
	}
}

// listeners looks whether clients can reach what they are told.
func (e *examination) listeners(ctx context.Context) {
	if e.status == nil {
		return
	}
	for _, l := range []struct{ name, url string }{
		{"api", e.status.API}, {"media", e.status.Media}, {"device", e.status.Device},
	} {
		if l.url != "" {
			e.reach(ctx, l.name, l.url)
		}
	}
	if e.status.Admin != "" {
		e.ready(ctx)
	}
}

func (e *examination) reach(ctx context.Context, name, address string) {
	u, err := url.Parse(address)
	if err != nil {
		e.add(levelFail, name, err.Error(), "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	if u.Scheme != "https" {
		e.plain(ctx, name, u)
		return
	}
	d := tls.Dialer{Config: &tls.Config{ServerName: u.Hostname(), RootCAs: e.trusted(), MinVersion: tls.VersionTLS12}}
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		e.add(levelFail, name, address+": "+err.Error(),
			"make the advertised name lead here, and its certificate hold that name (--advertise-"+name+", --tls-cert)")
		return
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	e.add(levelOK, name, address+" answers with "+tls.VersionName(state.Version)+", and its certificate holds that name", "")
	e.expiry(name+" certificate", state.PeerCertificates[0], leafExpires, "put a renewed one in the place of "+e.status.TLSCert)
}

func (e *examination) plain(ctx context.Context, name string, u *url.URL) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		e.add(levelFail, name, u.String()+": "+err.Error(), "restart the server")
		return
	}
	conn.Close()
	e.add(levelWarn, name, u.String()+" answers without TLS", "serve without --insecure-http")
}

// trusted is what clients of this server trust: its CA, or what the system does.
func (e *examination) trusted() *x509.CertPool {
	if e.status.CAFile == "" {
		return nil
	}
	pool := x509.NewCertPool()
	if text, err := os.ReadFile(e.status.CAFile); err == nil {
		pool.AppendCertsFromPEM(text)
	}
	return pool
}

func (e *examination) ready(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.status.Admin+"/readyz", nil)
	if err != nil {
		e.add(levelFail, "admin", err.Error(), "")
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.add(levelFail, "admin", err.Error(), "restart the server")
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		e.add(levelFail, "admin", e.status.Admin+"/readyz answers "+resp.Status, "look at the server's log")
		return
	}
	e.add(levelOK, "admin", e.status.Admin+" says that the server is ready", "")
}

// files looks at how many files the server may open.
func (e *examination) files(context.Context) {
	if e.status == nil {
		return
	}
	n, ok := fileLimit(e.status.PID)
	switch {
	case !ok:
	case n < wantFiles:
		e.add(levelWarn, "open files", fmt.Sprintf("the server may open %d; with many streams it needs %d", n, wantFiles), fmt.Sprintf("start it with ulimit -n %d (systemd: LimitNOFILE=)", wantFiles))
	default:
		e.add(levelOK, "open files", fmt.Sprintf("the server may open %d", n), "")
	}
}

// fileLimit reads the limit of a process where the system tells it.
func fileLimit(pid int) (n uint64, ok bool) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, found := strings.CutPrefix(s.Text(), "Max open files"); found {
			fields := strings.Fields(rest)
			if len(fields) == 0 {
				return 0, false
			}
			n, err := strconv.ParseUint(fields[0], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
