// SPDX-License-Identifier: Apache-2.0

// Package oidc verifies the ID tokens of OpenID Connect issuers: who signed one, for whom, and until when.
//
// It knows no roles and decides nothing. Which issuers count, and for which audiences, is the caller's to say; it is
// the only package that fetches anything from servers that are not ours, and the only one that touches JOSE.
//
// The invariant: claims leave the package only after a key of the issuer has verified the signature over them, and
// issuer, audience and time were found right. Keys come over TLS from the issuer's own address, or from a file of the
// operator's. What an issuer or a token can make the server do is bounded: bytes, keys, seconds, and fetches.
//
// Source: OpenID Connect Core 1.0, 3.1.3.7; OpenID Connect Discovery 1.0; RFC 7515, 7517, 7518, 7519, 8725.
package oidc

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Errors of Verify. Whichever it is, nothing of the token is to be believed.
var (
	// ErrMalformed says that the text is no signed token of a form and algorithm that is taken.
	ErrMalformed = errors.New("oidc: malformed token")
	// ErrIssuer says that the token is another issuer's than the one that was asked about.
	ErrIssuer = errors.New("oidc: token of another issuer")
	// ErrSignature says that no key of the issuer verifies the signature.
	ErrSignature = errors.New("oidc: signature does not verify")
	// ErrAudience says that the token is for somebody else.
	ErrAudience = errors.New("oidc: incorrect token audience")
	// ErrExpired says that the token's time is over.
	ErrExpired = errors.New("oidc: token has expired")
	// ErrNotYet says that the token's time has not come, or that it was issued in the future.
	ErrNotYet = errors.New("oidc: token is not yet valid")
	// ErrUnreachable says that the issuer's keys could not be had; it may be worth trying again.
	ErrUnreachable = errors.New("oidc: the issuer's keys cannot be fetched")
)

const (
	// Skew is how far the issuer's clock may be ahead of ours. A token that has expired by our clock has expired.
	Skew = time.Minute
	// maxTokenBytes is the longest token that is looked at (STS API Reference, WebIdentityToken).
	maxTokenBytes = 20000
	// maxSets bounds the issuers whose keys are kept; beyond it all are forgotten.
	maxSets = 256
)

// A Provider is an issuer that somebody trusts, and for whom its tokens may be.
type Provider struct {
	// URL is the issuer, https://…, as it stands in tokens.
	URL string
	// ClientIDs are the audiences that are ours.
	ClientIDs []string
	// Thumbprints are SHA-1 hashes (40 hex digits) of certificates that are trusted for the issuer's address beside
	// the authorities of the system.
	Thumbprints []string
}

// Claims are what a token says, verified.
type Claims struct {
	Issuer, Subject string
	// Audience is what the token says it is for; AuthorizedParty is "" unless it says who may use it.
	Audience        []string
	AuthorizedParty string
	// Methods are how the subject proved who it is (the claim amr).
	Methods         []string
	Issued, Expires time.Time
	// NotBefore is zero when the token names no such time.
	NotBefore time.Time
	// Tags, Transitive and SourceIdentity are what the issuer says of the session, in claims named by AWS.
	Tags           map[string]string
	Transitive     []string
	SourceIdentity string
}

// Name is a provider's URL as ARNs and condition keys have it: without "https://".
func Name(issuer string) string { return strings.TrimPrefix(issuer, "https://") }

// CheckURL says whether an issuer can be a provider: https, a host, and neither user, query nor fragment. A port is
// taken. Errors are for the operator to read.
func CheckURL(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("issuer %q: want https://host/path", issuer)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(issuer, "#"):
		return fmt.Errorf("issuer %q: user, query and fragment cannot be", issuer)
	case u.String() != issuer || strings.ContainsAny(issuer, "*?${},'\" \t\r\n"):
		return fmt.Errorf("issuer %q: not in normal form", issuer)
	}
	return nil
}

// Config is what a Verifier is made of. The zero value trusts the system's authorities.
type Config struct {
	// Roots are trusted for issuers' addresses; the system's when nil.
	Roots *x509.CertPool
	// Files has, by issuer, the file that its keys are read from, a JWK Set, in place of the network.
	Files map[string]string
	// Timeout is how long one fetch of an issuer's keys may take; five seconds when zero.
	Timeout time.Duration
	Log     *slog.Logger     // discarded when nil
	Now     func() time.Time // time.Now when nil
}

// Verifier verifies tokens and keeps the keys of issuers. It is safe for concurrent use.
type Verifier struct {
	config Config

	mu   sync.Mutex // guards the field below
	sets map[string]*keySet
}

// New returns a Verifier. It fetches nothing before a token asks for it.
func New(c Config) *Verifier {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Timeout <= 0 {
		c.Timeout = fetchTimeout
	}
	return &Verifier{config: c, sets: map[string]*keySet{}}
}

// Verify returns the claims of a token that p issued, for one of p's clients, now.
//
// The audience must contain a client ID of p; where the token names an authorized party, that must be one too. A token
// without subject, audience, time of issue or expiry is malformed.
//
// Errors: ErrMalformed, ErrIssuer, ErrSignature, ErrAudience, ErrExpired, ErrNotYet, ErrUnreachable. It takes at most
// a few seconds, when keys have to be fetched.
func (v *Verifier) Verify(ctx context.Context, p Provider, token string) (Claims, error) {
	t, err := parse(token)
	if err != nil {
		return Claims{}, err
	}
	if t.claims.Issuer != p.URL {
		return Claims{}, ErrIssuer
	}
	if err := v.verify(ctx, p, t); err != nil {
		return Claims{}, err
	}
	return t.claims, t.claims.check(p.ClientIDs, v.config.Now())
}

// verify checks the signature.
func (v *Verifier) verify(ctx context.Context, p Provider, t *token) error {
	keys, err := v.set(p).find(ctx, t)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if t.signedBy(k) {
			return nil
		}
	}
	return ErrSignature
}

// set returns the keys of a provider. With other thumbprints it is another set: what was fetched under those that were
// withdrawn counts no more.
func (v *Verifier) set(p Provider) *keySet {
	name := p.URL + "\x00" + strings.Join(p.Thumbprints, ",")
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.sets[name]
	if s == nil {
		if len(v.sets) >= maxSets {
			clear(v.sets)
		}
		s = &keySet{source: v.source(p), now: v.config.Now, timeout: v.config.Timeout, log: v.config.Log.With("issuer", p.URL)}
		v.sets[name] = s
	}
	return s
}

// source says where the keys of a provider come from.
func (v *Verifier) source(p Provider) source {
	if file, ok := v.config.Files[p.URL]; ok {
		return fileSource(file)
	}
	return &issuerSource{issuer: p.URL, roots: v.config.Roots, thumbprints: p.Thumbprints, inside: inside}
}
