// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/meta"
)

// An enrolment token is "obs1_" and base64url (RFC 4648, no padding) of
//
//	secret (32) ‖ SHA-256 of the CA certificate of the server (32), absent with an operator's own certificate
//
// Described in docs/formats/device-folder.md.
const (
	tokenPrefix = "obs1_"
	secretBytes = 32

	defaultTokenLife = 24 * time.Hour
)

// ErrToken says that a text is no enrolment token.
var ErrToken = errors.New("iot: not an enrolment token")

// A Token is what an enrolment token says.
type Token struct {
	// Secret redeems the token, once. It must not reach any log.
	Secret []byte
	// Anchor is the SHA-256 of the CA certificate that the server's certificate must chain to; nil leaves it to
	// the system's roots.
	Anchor []byte
}

// ParseToken reads a token. Errors: ErrToken.
func ParseToken(text string) (Token, error) {
	body, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	switch {
	case !ok || err != nil:
		return Token{}, ErrToken
	case len(b) == secretBytes:
		return Token{Secret: b}, nil
	case len(b) == secretBytes+sha256.Size:
		return Token{Secret: b[:secretBytes:secretBytes], Anchor: b[secretBytes:]}, nil
	}
	return Token{}, ErrToken
}

// String is the text that ParseToken reads.
func (t Token) String() string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(append([]byte(nil), t.Secret...), t.Anchor...))
}

// token is a row. Of the secret only the hash is kept; its key is the beginning of it.
type token struct {
	Hash    string    `json:"hash"`
	Thing   string    `json:"thing"`
	Policy  string    `json:"policy"`
	Alias   string    `json:"alias"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

const tokenIDLength = 16

func hashOf(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}

// CreateEnrolmentToken makes a token by which one device becomes a thing, once. Redeeming it makes the thing, when it
// is missing, and a certificate that is attached to it and has the policy; so the caller must be allowed all of that.
//
// An operation of Obscura's own. Errors: ResourceNotFoundException (policy, role alias).
func (s *Service) CreateEnrolmentToken(ctx context.Context, in *api.CreateEnrolmentTokenInput) (*api.CreateEnrolmentTokenOutput, error) {
	thingARN := s.arn("thing", *in.ThingName)
	for _, a := range [][2]string{
		{"CreateEnrolmentToken", thingARN},
		{"CreateThing", thingARN},
		{"CreateCertificateFromCsr", "*"},
		{"AttachThingPrincipal", thingARN},
		{"AttachPolicy", s.arn("policy", *in.PolicyName)},
	} {
		if err := s.allow(ctx, a[0], a[1]); err != nil {
			return nil, err
		}
	}
	if s.deviceEndpoint == "" {
		return nil, invalid("The device listener of this server is off.")
	}
	secret := make([]byte, secretBytes)
	rand.Read(secret) // never fails
	now := s.date()
	t := &token{
		Hash: hashOf(secret), Thing: *in.ThingName, Policy: *in.PolicyName, Alias: *in.RoleAlias,
		Created: now, Expires: now.Add(defaultTokenLife),
	}
	if in.ExpiresInSeconds != nil {
		t.Expires = now.Add(time.Duration(*in.ExpiresInSeconds) * time.Second)
	}
	id := t.Hash[:tokenIDLength]
	err := s.update(ctx, func(tx *change) error {
		if err := present(tx, notFound("Policy", t.Policy), rowPolicy, t.Policy); err != nil {
			return err
		}
		if err := present(tx, notFound("Role alias", t.Alias), rowAlias, t.Alias); err != nil {
			return err
		}
		return put(tx, t, rowToken, id)
	})
	if err != nil {
		return nil, err
	}
	s.note(ctx, "thing", *in.ThingName)
	return &api.CreateEnrolmentTokenOutput{
		TokenId: &id, EnrolmentToken: new(Token{secret, s.anchor()}.String()), EndpointAddress: &s.deviceEndpoint, ExpirationDate: &t.Expires,
	}, nil
}

// ListEnrolmentTokens lists the tokens that were not redeemed, expired ones too, without what redeems them.
//
// An operation of Obscura's own.
func (s *Service) ListEnrolmentTokens(ctx context.Context, in *api.ListEnrolmentTokensInput) (*api.ListEnrolmentTokensOutput, error) {
	if err := s.allow(ctx, "ListEnrolmentTokens", "*"); err != nil {
		return nil, err
	}
	out := &api.ListEnrolmentTokensOutput{EnrolmentTokens: []*api.EnrolmentTokenSummary{}}
	var err error
	out.NextToken, err = list(ctx, s, page{token: in.NextToken, most: in.MaxResults}, func(id string, t *token) bool {
		out.EnrolmentTokens = append(out.EnrolmentTokens, &api.EnrolmentTokenSummary{
			TokenId: &id, ThingName: &t.Thing, PolicyName: &t.Policy, RoleAlias: &t.Alias, CreationDate: &t.Created, ExpirationDate: &t.Expires,
		})
		return true
	}, rowToken)
	return out, err
}

// DeleteEnrolmentToken withdraws a token. An operation of Obscura's own. Errors: ResourceNotFoundException.
func (s *Service) DeleteEnrolmentToken(ctx context.Context, in *api.DeleteEnrolmentTokenInput) (*api.DeleteEnrolmentTokenOutput, error) {
	if err := s.allow(ctx, "DeleteEnrolmentToken", "*"); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(tx *change) error {
		if err := present(tx, notFound("Enrolment token", *in.TokenId), rowToken, *in.TokenId); err != nil {
			return err
		}
		tx.remove(rowToken, *in.TokenId)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteEnrolmentTokenOutput{}, nil
}

// Sweep deletes tokens, and claim certificates, that expired a week ago.
func (s *Service) Sweep(ctx context.Context) error {
	const atOnce = 1000
	before := s.now().Add(-7 * 24 * time.Hour)
	var tokens, claims []string
	err := s.db.View(ctx, func(r meta.Reader) error {
		tokens, claims = nil, nil
		err := scan(r, "", func(id string, t *token) (bool, error) {
			if t.Expires.Before(before) {
				tokens = append(tokens, id)
			}
			return len(tokens) < atOnce, nil
		}, rowToken)
		return errors.Join(err, scan(r, "", func(id string, c *certificate) (bool, error) {
			if c.Claim != "" && c.NotAfter.Before(before) {
				claims = append(claims, id)
			}
			return len(claims) < atOnce, nil
		}, rowCertificate))
	})
	if err != nil || len(tokens)+len(claims) == 0 {
		return err
	}
	return s.update(ctx, func(tx *change) error {
		for _, id := range tokens {
			tx.remove(rowToken, id)
		}
		for _, id := range claims {
			if err := s.deleteCertificate(tx, id, true); err != nil && !errors.As(err, new(*api.DeleteConflictException)) {
				return err
			}
		}
		return nil
	})
}
