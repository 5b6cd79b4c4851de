// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // names of members are compared exactly, and none may be there twice
)

// algorithms are the ones that are taken: signatures with a public key. "none" and HMAC are not among them, so that
// nobody can sign with a key that is published.
//
// Source: RFC 8725, 3.1 and 3.2.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// token is one that was taken apart and not yet verified.
type token struct {
	jws       *jose.JSONWebSignature
	algorithm string
	keyID     string // "" when it names none
	claims    Claims
}

// Issuer returns who a token says has issued it. That is a claim nobody has verified: it is good for finding the
// provider to verify the token with, and for nothing else. Errors: ErrMalformed.
func Issuer(text string) (string, error) {
	t, err := parse(text)
	if err != nil {
		return "", err
	}
	return t.claims.Issuer, nil
}

func parse(text string) (*token, error) {
	if len(text) > maxTokenBytes || strings.Count(text, ".") != 2 {
		return nil, ErrMalformed
	}
	jws, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, ErrMalformed
	}
	header := jws.Signatures[0].Protected
	if _, critical := header.ExtraHeaders["crit"]; critical {
		return nil, ErrMalformed // no extension is understood
	}
	if _, b64 := header.ExtraHeaders["b64"]; b64 {
		return nil, ErrMalformed
	}
	t := &token{jws: jws, algorithm: header.Algorithm, keyID: header.KeyID}
	t.claims, err = parseClaims(jws.UnsafePayloadWithoutVerification())
	return t, err
}

// signedBy reports whether k signed the token. A key is used with the algorithms of its own kind alone.
func (t *token) signedBy(k jose.JSONWebKey) bool {
	if k.Algorithm != "" && k.Algorithm != t.algorithm || !fits(k.Key, t.algorithm) {
		return false
	}
	_, err := t.jws.Verify(k.Key)
	return err == nil
}

// fits says whether a public key can have made a signature of this algorithm.
//
// Source: RFC 7518, 3.3 to 3.5; RFC 8037, 3.1.
func fits(key any, algorithm string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return (strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")) &&
			k.N.BitLen() >= minRSABits && k.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return algorithm == string(jose.ES256)
		case 384:
			return algorithm == string(jose.ES384)
		case 521:
			return algorithm == string(jose.ES512)
		}
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	}
	return false
}

// texts is one text or a list of them, as the claim aud is (RFC 7519, 4.1.3).
type texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if err := json.Unmarshal(b, &one); err == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// body is the payload of a token.
type body struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  texts    `json:"aud"`
	Party     string   `json:"azp"`
	Methods   texts    `json:"amr"`
	Issued    *float64 `json:"iat"`
	NotBefore *float64 `json:"nbf"`
	Expires   *float64 `json:"exp"`
	// Source: IAM User Guide, "Pass session tags in AWS STS" (AssumeRoleWithWebIdentity).
	Tags struct {
		Principal  map[string][]string `json:"principal_tags"`
		Transitive []string            `json:"transitive_tag_keys"`
	} `json:"https://aws.amazon.com/tags"`
	SourceIdentity string `json:"https://aws.amazon.com/source_identity"`
}

const (
	maxAudience = 64
	maxIssuer   = 255 // IAM API Reference, CreateOpenIDConnectProvider
	maxSubject  = 255 // STS API Reference, SubjectFromWebIdentityToken
)

// parseClaims reads a payload that has all it must have.
func parseClaims(payload []byte) (Claims, error) {
	var b body
	if err := json.Unmarshal(payload, &b); err != nil {
		return Claims{}, ErrMalformed
	}
	switch {
	case b.Issuer == "", len(b.Issuer) > maxIssuer, b.Subject == "", len(b.Subject) > maxSubject, len(b.Audience) == 0, len(b.Audience) > maxAudience,
		len(b.Methods) > maxAudience, slices.Contains(b.Audience, ""), !instant(b.Issued), !instant(b.Expires),
		b.NotBefore != nil && !instant(b.NotBefore):
		return Claims{}, ErrMalformed
	}
	c := Claims{
		Issuer: b.Issuer, Subject: b.Subject, Audience: b.Audience, AuthorizedParty: b.Party, Methods: b.Methods,
		Issued: moment(b.Issued), Expires: moment(b.Expires), Transitive: b.Tags.Transitive, SourceIdentity: b.SourceIdentity,
	}
	if b.NotBefore != nil {
		c.NotBefore = moment(b.NotBefore)
	}
	for name, values := range b.Tags.Principal {
		if len(values) != 1 {
			return Claims{}, ErrMalformed
		}
		if c.Tags == nil {
			c.Tags = map[string]string{}
		}
		c.Tags[name] = values[0]
	}
	return c, nil
}

// maxSeconds is about the year 9999.
const maxSeconds = 253402300799

// instant says whether a number is a time that can be.
func instant(seconds *float64) bool { return seconds != nil && *seconds >= 0 && *seconds <= maxSeconds }

func moment(seconds *float64) time.Time { return time.UnixMilli(int64(*seconds * 1000)) }

// check holds verified claims against the clients and the clock.
func (c *Claims) check(clients []string, now time.Time) error {
	ours := func(id string) bool { return slices.Contains(clients, id) }
	switch {
	case !slices.ContainsFunc(c.Audience, ours), c.AuthorizedParty != "" && !ours(c.AuthorizedParty):
		return ErrAudience
	case !now.Before(c.Expires):
		return ErrExpired
	case c.Issued.After(now.Add(Skew)), c.NotBefore.After(now.Add(Skew)):
		return ErrNotYet
	}
	return nil
}
