// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// fetchTimeout is for both requests together.
	fetchTimeout      = 5 * time.Second
	maxDiscoveryBytes = 64 << 10
	maxHeaderBytes    = 16 << 10
)

var (
	errTooLong = errors.New("answer is too long")
	errAddress = errors.New("address is not https")
)

// issuerSource asks the issuer: its configuration for the address of its keys, and that for the keys.
//
// Source: OpenID Connect Discovery 1.0, 4.
type issuerSource struct {
	issuer      string
	roots       *x509.CertPool
	thumbprints []string
	inside      func(netip.Addr) bool
}

func (s *issuerSource) load(ctx context.Context) ([]byte, error) {
	to := &reach{inside: s.inside}
	raw, err := s.get(ctx, to, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration", maxDiscoveryBytes)
	if err != nil {
		return nil, err
	}
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(raw, &about); err != nil {
		return nil, fmt.Errorf("malformed configuration: %w", err)
	}
	if about.Issuer != s.issuer { // 4.3: it must be exactly the same
		return nil, fmt.Errorf("the configuration is that of issuer %q", about.Issuer)
	}
	return s.get(ctx, &reach{inside: s.inside, openOnly: !to.within.Load()}, about.Keys, maxSetBytes)
}

// get fetches one document. A certificate that no authority vouches for is taken if it, or one that it is issued
// under, has a thumbprint of the provider.
func (s *issuerSource) get(ctx context.Context, to *reach, address string, limit int64) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errAddress
	}
	body, err := fetch(ctx, to, u, s.roots, limit)
	if pinned := s.pinned(err); pinned != nil {
		return fetch(ctx, to, u, pinned, limit)
	}
	return body, err
}

// pinned returns a pool of the certificates that a thumbprint names, of those that a server has shown and nobody has
// vouched for; nil when there is none. They are then verified like any other: the chain, the host, the time.
func (s *issuerSource) pinned(err error) *x509.CertPool {
	failed, unknown := (*tls.CertificateVerificationError)(nil), x509.UnknownAuthorityError{}
	if !errors.As(err, &failed) || !errors.As(err, &unknown) {
		return nil
	}
	var pool *x509.CertPool
	for _, c := range failed.UnverifiedCertificates {
		sum := sha1.Sum(c.Raw) // AWS's thumbprints are SHA-1; a second certificate with a given one cannot be made
		if !slices.ContainsFunc(s.thumbprints, func(t string) bool { return strings.EqualFold(t, hex.EncodeToString(sum[:])) }) {
			continue
		}
		if pool == nil {
			pool = x509.NewCertPool()
		}
		pool.AddCert(c)
	}
	return pool
}

// fetch gets a document over a connection of its own. It follows no redirect. Where the operator has a proxy, that one
// decides about addresses.
func fetch(ctx context.Context, to *reach, u *url.URL, roots *x509.CertPool, limit int64) ([]byte, error) {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); proxy == nil && err == nil {
		transport.DialContext = to.dial
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", u.Redacted(), response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = errTooLong
	}
	return body, err
}
