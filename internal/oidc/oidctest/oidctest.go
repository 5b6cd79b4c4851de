// SPDX-License-Identifier: Apache-2.0

// Package oidctest is an OpenID Connect issuer for tests: a real one, over TLS on loopback, which signs whatever a
// test asks it to and can misbehave.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Issuer is an issuer at a path of its own server. Its fields may be changed before a request, under Lock.
type Issuer struct {
	sync.Mutex
	// URL is its name, https://127.0.0.1:port/realm.
	URL string
	// Keys are published. The first one signs.
	Keys []jose.JSONWebKey
	// Hits counts the requests for each path.
	Hits map[string]int
	// Configuration, when set, is answered in place of the true one; Answer, when set, answers everything.
	Configuration map[string]any
	Answer        http.HandlerFunc

	t      testing.TB
	server *httptest.Server
}

// New starts an issuer with a P-256 key named "k1". It ends with the test.
func New(t testing.TB) *Issuer {
	i := &Issuer{t: t, Hits: map[string]int{}, Keys: []jose.JSONWebKey{Key(t, "k1", jose.ES256)}}
	i.server = httptest.NewTLSServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL + "/realm"
	return i
}

// Roots are the authorities that vouch for the issuer's address.
func (i *Issuer) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.server.Certificate())
	return pool
}

// Certificate is the certificate of the issuer's address, DER.
func (i *Issuer) Certificate() []byte { return i.server.Certificate().Raw }

// Thumbprint is the SHA-1 of the certificate of the issuer's address.
func (i *Issuer) Thumbprint() string {
	sum := sha1.Sum(i.server.Certificate().Raw)
	return hex.EncodeToString(sum[:])
}

// Close makes the issuer unreachable.
func (i *Issuer) Close() { i.server.Close() }

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.Lock()
	defer i.Unlock()
	i.Hits[r.URL.Path]++
	switch {
	case i.Answer != nil:
		i.Answer(w, r)
	case r.URL.Path == "/realm/.well-known/openid-configuration":
		about := map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
		maps.Copy(about, i.Configuration)
		_ = json.NewEncoder(w).Encode(about)
	case r.URL.Path == "/realm/keys":
		_, _ = w.Write(i.JWKS())
	default:
		http.NotFound(w, r)
	}
}

// JWKS is the set of public keys.
func (i *Issuer) JWKS() []byte {
	var set jose.JSONWebKeySet
	for _, k := range i.Keys {
		set.Keys = append(set.Keys, k.Public())
	}
	b, err := json.Marshal(set)
	if err != nil {
		i.t.Error(err)
	}
	return b
}

// Claims are those of a good token for the audience "app" and the subject "camera-7", valid for ten minutes; change
// replaces some, and removes those that are nil.
func (i *Issuer) Claims(now time.Time, change map[string]any) map[string]any {
	c := map[string]any{
		"iss": i.URL, "sub": "camera-7", "aud": "app", "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	}
	for name, value := range change {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	return c
}

// Token is a token with those claims, signed with the first key.
func (i *Issuer) Token(now time.Time, change map[string]any) string {
	i.t.Helper()
	return Sign(i.t, i.Keys[0], i.Claims(now, change), nil)
}

// Key makes a private key for an algorithm.
func Key(t testing.TB, id string, algorithm jose.SignatureAlgorithm) jose.JSONWebKey {
	t.Helper()
	var private crypto.Signer
	var err error
	switch algorithm {
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: private, KeyID: id, Algorithm: string(algorithm), Use: "sig"}
}

// Sign signs claims. header adds members to the protected header.
func Sign(t testing.TB, key jose.JSONWebKey, claims any, header map[string]any) string {
	t.Helper()
	payload, ok := claims.(string)
	if !ok {
		b, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		payload = string(b)
	}
	options := &jose.SignerOptions{}
	for name, value := range header {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Parts takes a token apart: header, payload, signature.
func Parts(token string) (header, payload, signature string) {
	p := strings.Split(token, ".")
	return p[0], p[1], p[2]
}
