// SPDX-License-Identifier: Apache-2.0

package sts

// A session token is, before base64 (RFC 4648, standard, padded, canonical):
//
//	version 0x01 ‖ nonce (24) ‖ AEAD(form (1) ‖ session) (… + 16)
//
// sealed with XAES-256-GCM under the token key; its additional data is "obscura sts token" ‖ version ‖ the
// access key ID, so that no token goes with another key. The session is JSON, as it is (form 0) or
// deflated (form 1), whichever is shorter. Described in docs/formats/session-token.md.

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/policy"
)

const (
	tokenVersion = 1
	formPlain    = 0
	formDeflated = 1

	maxTokenBytes   = 8 << 10  // of a token that is looked at
	maxSessionBytes = 64 << 10 // of a session, inflated
	maxPackedBytes  = 2 << 10  // of policies and tags, deflated

	// maxOpened bounds the sessions that are kept opened; beyond it all are forgotten.
	maxOpened = 4096
)

// A session is what a token holds. Names are short because tokens travel with every request.
type session struct {
	Kind   kind
	Secret string `json:"k"`
	// ID is the unique ID of the role or user, or the account for its root.
	ID             string `json:"i"`
	RoleARN        string `json:"r,omitempty"`
	Name           string `json:"n,omitempty"`
	Created        int64  `json:"c"` // Unix seconds, like Expires
	Expires        int64  `json:"e"`
	SourceIdentity string `json:"s,omitempty"`
	// Device is set for sessions of a device certificate, and for those assumed from one.
	Device *access.Device `json:"d,omitempty"`
	// Web is set for sessions of AssumeRoleWithWebIdentity.
	Web *access.WebIdentity `json:"w,omitempty"`
	packed
	compiled *policy.Document // of Policy
}

// kind says which operation made a session.
type kind string

const (
	roleSession      kind = "role"
	userSession      kind = "user"
	federatedSession kind = "federated"
)

// packed are the parts of a session that its maker chooses freely, and whose size is therefore limited.
type packed struct {
	Policy     string            `json:"p,omitempty"`
	PolicyARNs []string          `json:"a,omitempty"`
	Tags       map[string]string `json:"t,omitempty"`
	Transitive []string          `json:"x,omitempty"`
}

func (p *packed) hasPolicies() bool { return p.Policy != "" || len(p.PolicyARNs) > 0 }

// percent is how much of the room for policies and tags is taken.
func (p *packed) percent() (int64, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return 0, fmt.Errorf("sts: pack: %w", err)
	}
	d, err := deflate(b)
	if err != nil {
		return 0, err
	}
	n := min(len(b), len(d))
	return int64((n*100 + maxPackedBytes - 1) / maxPackedBytes), nil
}

func deflate(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("sts: pack: %w", err)
	}
	return out.Bytes(), nil
}

func additional(accessKeyID string) []byte {
	return append([]byte("obscura sts token\x01"), accessKeyID...)
}

// newAccessKeyID makes the ID of temporary credentials: 80 random bits.
func newAccessKeyID() string { return "ASIA" + rand.Text()[:16] }

// newSecret makes a secret access key of 240 random bits.
func newSecret() string {
	var b [30]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// seal makes the token of a session.
func (s *Service) seal(accessKeyID string, se *session) (string, error) {
	b, err := json.Marshal(se)
	if err != nil {
		return "", fmt.Errorf("sts: seal token: %w", err)
	}
	plain := append([]byte{formPlain}, b...)
	d, err := deflate(b)
	if err != nil {
		return "", err
	}
	if len(d) < len(b) {
		plain = append([]byte{formDeflated}, d...)
	}
	token, err := s.key.SealRandom([]byte{tokenVersion}, plain, additional(accessKeyID))
	if err != nil {
		return "", fmt.Errorf("sts: seal token: %w", err)
	}
	return base64.StdEncoding.EncodeToString(token), nil
}

type fingerprint [sha256.Size]byte

// open returns the session of a token, whether it has expired or not. Sessions are remembered, so that a
// client that sends its token with every request costs one hash. The result must not be changed.
//
// Errors: ErrInvalidToken, whatever was wrong.
func (s *Service) open(accessKeyID, token string) (*session, error) {
	if len(token) > maxTokenBytes {
		return nil, ErrInvalidToken
	}
	f := fingerprint(sha256.Sum256([]byte(accessKeyID + "\x00" + token)))
	s.mu.Lock()
	se := s.opened[f]
	s.mu.Unlock()
	if se != nil {
		return se, nil
	}
	se, err := s.unseal(accessKeyID, token)
	if err != nil {
		return nil, ErrInvalidToken
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.opened) >= maxOpened {
		clear(s.opened)
	}
	s.opened[f] = se
	return se, nil
}

func (s *Service) unseal(accessKeyID, token string) (*session, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) == 0 || raw[0] != tokenVersion || base64.StdEncoding.EncodeToString(raw) != token {
		return nil, ErrInvalidToken // the decoder would pass over line breaks
	}
	plain, err := s.key.OpenRandom(nil, raw[1:], additional(accessKeyID))
	if err != nil || len(plain) == 0 {
		return nil, ErrInvalidToken
	}
	b := plain[1:]
	if plain[0] == formDeflated {
		b, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), maxSessionBytes))
		if err != nil {
			return nil, err
		}
	}
	se := new(session)
	if err := json.Unmarshal(b, se); err != nil {
		return nil, err
	}
	if se.Policy != "" {
		se.compiled, err = policy.Parse([]byte(se.Policy), policy.Session)
	}
	return se, err
}

func (se *session) created() time.Time { return time.Unix(se.Created, 0).UTC() }
func (se *session) expires() time.Time { return time.Unix(se.Expires, 0).UTC() }
