// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	"github.com/obscura-video/obscura/internal/meta"
)

// signingKey is a key pair that digest files are signed with, stored as JSON. Retired ones are kept for ever,
// since old digests are verified with them.
type signingKey struct {
	Private    []byte // PKCS #1
	From, To   time.Time
	Public     []byte // DER of PKCS #1 RSAPublicKey, not SubjectPublicKeyInfo
	Identifier string // digestPublicKeyFingerprint
}

// signingKeyLife is how long a key is said to be valid. There is no rotation yet.
const signingKeyLife = 10 * 365 * 24 * time.Hour

const signingKeyBits = 2048 // SHA256withRSA of CloudTrail's digest files

// ListPublicKeys returns the keys whose validity meets the range, or the present one. The key pair is made
// at the first call.
//
// Errors: InvalidTimeRangeException.
//
// Source: CloudTrail API Reference, ListPublicKeys; User Guide, "CloudTrail digest file structure".
func (s *Service) ListPublicKeys(ctx context.Context, in *api.ListPublicKeysInput) (*api.ListPublicKeysOutput, error) {
	if err := s.authorize(ctx, "ListPublicKeys", "*"); err != nil {
		return nil, err
	}
	from, to := s.Now(), s.Now()
	if in.EndTime != nil {
		to = *in.EndTime
		from = time.Time{}
	}
	if in.StartTime != nil {
		from = *in.StartTime
	}
	if from.After(to) {
		return nil, &api.InvalidTimeRangeException{Message: "The start time must not be later than the end time."}
	}
	keys, err := s.signingKeys(ctx)
	if err != nil {
		return nil, err
	}
	out := &api.ListPublicKeysOutput{PublicKeyList: []*api.PublicKey{}}
	for _, k := range keys {
		if k.From.After(to) || k.To.Before(from) {
			continue
		}
		out.PublicKeyList = append(out.PublicKeyList, &api.PublicKey{
			Value: k.Public, Fingerprint: new(k.Identifier), ValidityStartTime: new(k.From), ValidityEndTime: new(k.To),
		})
	}
	return out, nil
}

// signingKeys returns every key, and makes the first one.
func (s *Service) signingKeys(ctx context.Context) ([]signingKey, error) {
	var keys []signingKey
	err := s.DB.View(ctx, func(r meta.Reader) (err error) {
		keys, err = readKeys(r)
		return err
	})
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	fresh, err := s.newSigningKey()
	if err != nil {
		return nil, err
	}
	err = s.DB.Update(ctx, func(tx meta.Tx) error {
		if keys, err = readKeys(tx); err != nil || len(keys) > 0 {
			return err // somebody else was faster
		}
		v, err := json.Marshal(fresh)
		if err != nil {
			return fmt.Errorf("cloudtrail: write signing key: %w", err)
		}
		tx.Put(meta.Key("ct", "k", fresh.Identifier), v)
		keys = []signingKey{fresh}
		return nil
	})
	return keys, err
}

func readKeys(r meta.Reader) ([]signingKey, error) {
	var keys []signingKey
	prefix := meta.Key("ct", "k")
	for kv, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
		if err != nil {
			return nil, fmt.Errorf("cloudtrail: signing keys: %w", err)
		}
		var k signingKey
		if err := json.Unmarshal(kv.Value, &k); err != nil {
			return nil, fmt.Errorf("cloudtrail: stored signing key: %w", err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (s *Service) newSigningKey() (signingKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, signingKeyBits)
	if err != nil {
		return signingKey{}, fmt.Errorf("cloudtrail: new signing key: %w", err)
	}
	public := x509.MarshalPKCS1PublicKey(&private.PublicKey)
	sum := sha256.Sum256(public)
	from := s.Now().UTC().Truncate(time.Second)
	return signingKey{
		Private: x509.MarshalPKCS1PrivateKey(private), Public: public, Identifier: hex.EncodeToString(sum[:16]),
		From: from, To: from.Add(signingKeyLife),
	}, nil
}
