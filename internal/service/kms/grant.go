// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/policy"
)

// grantRecord is the row of a grant: it lets one principal do some operations
// with one key, and can only allow.
type grantRecord struct {
	Version    int       `json:"v"`
	ID         string    `json:"id"` // 64 hex digits
	KeyID      string    `json:"keyId"`
	Name       string    `json:"name,omitempty"`
	Grantee    string    `json:"grantee"`
	Retiring   string    `json:"retiring,omitempty"`
	Operations []string  `json:"operations"` // sorted
	Created    time.Time `json:"created"`
	// SourceARN is the resource on whose behalf the key must be used, "" for any use.
	SourceARN string `json:"sourceArn,omitempty"`
	// Equals and Subset bind the encryption context: all of it, or some pairs.
	Equals map[string]string `json:"equals,omitempty"`
	Subset map[string]string `json:"subset,omitempty"`
}

// grantAllows reports whether a grant lets the caller do u with k. The error is of reading grants: then nothing may be
// decided.
func (s *Service) grantAllows(ctx context.Context, k *key, u use) (bool, error) {
	call, ok := access.FromContext(ctx)
	if !ok || k.unborn {
		return false, nil
	}
	names := grantNames(&call.Principal)
	if u.entitled != nil {
		return u.entitled(k, names, call.SourceARN)
	}
	for _, name := range names {
		list, err := s.grantsOf(ctx, k.ID, name)
		if err != nil {
			return false, err
		}
		for _, g := range list {
			if g.permits(u.operation, u.context) && g.serves(u.operation, call.SourceARN) {
				return true, nil
			}
		}
	}
	return false, nil
}

// grantNames returns the ARNs by which a grant can name the caller: its own, and
// for a role's session also the role's.
func grantNames(p *access.Principal) []string {
	if p.Kind == policy.AssumedRole && p.RoleARN != "" {
		return []string{p.ARN, p.RoleARN}
	}
	return []string{p.ARN}
}

// permits reports whether g allows operation with that encryption context.
// Constraints do not bear on operations that have no encryption context.
func (g *grantRecord) permits(operation string, context map[string]string) bool {
	if !slices.Contains(g.Operations, operation) {
		return false
	}
	if operation == kmsapi.GrantOperationDescribeKey || operation == kmsapi.GrantOperationRetireGrant {
		return true
	}
	return (g.Equals == nil || maps.Equal(g.Equals, context)) && holds(context, g.Subset)
}

// serves reports whether g may be used on the behalf of source. That does not bear on retiring it.
func (g *grantRecord) serves(operation, source string) bool {
	return g.SourceARN == "" || operation == kmsapi.GrantOperationRetireGrant || g.SourceARN == source
}

// holds reports whether all pairs of subset are in set.
func holds(set, subset map[string]string) bool {
	for name, value := range subset {
		if v, ok := set[name]; !ok || v != value {
			return false
		}
	}
	return true
}

// covers reports whether a holder of g may pass on what child allows: no more
// operations, and constraints at least as strict.
func (g *grantRecord) covers(child *grantRecord) bool {
	for _, operation := range child.Operations {
		if !slices.Contains(g.Operations, operation) {
			return false
		}
	}
	if g.SourceARN != "" && g.SourceARN != child.SourceARN {
		return false
	}
	if g.Equals != nil && (child.Equals == nil || !maps.Equal(g.Equals, child.Equals)) {
		return false
	}
	return holds(child.Equals, g.Subset) || holds(child.Subset, g.Subset)
}

// Grant tokens are names, not credentials: grants work from the moment CreateGrant
// returns, so a token proves nothing and gives nothing. It holds its version, the
// grant's id and random bytes, so that no two are alike.
const (
	tokenVersion = 1
	tokenBytes   = 1 + 32 + 32
)

func newGrantToken(grantID string) string {
	b := make([]byte, tokenBytes)
	rand.Read(b)
	b[0] = tokenVersion
	if _, err := hex.Decode(b[1:33], []byte(grantID)); err != nil {
		panic("kms: grant id is not hex")
	}
	return base64.StdEncoding.EncodeToString(b)
}

// tokenGrant returns the grant that a token names. Errors: InvalidGrantTokenException.
func (s *Service) tokenGrant(ctx context.Context, token string) (*grantRecord, error) {
	b, err := base64.StdEncoding.DecodeString(token)
	if err == nil && len(b) == tokenBytes && b[0] == tokenVersion {
		if g, err := s.grantByID(ctx, hex.EncodeToString(b[1:33])); g != nil || err != nil {
			return g, err
		}
	}
	return nil, &kmsapi.InvalidGrantTokenException{}
}

func (s *Service) checkTokens(ctx context.Context, tokens []string) error {
	for _, token := range tokens {
		if _, err := s.tokenGrant(ctx, token); err != nil {
			return err
		}
	}
	return nil
}
