// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"context"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/internal/audit/digest"
	api "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
)

// ListPublicKeys returns the keys whose validity meets the range, or without a range the present one, by which
// digests are signed. A key is valid for the digests that end in its time, the ones that were made later too. The
// first key is made at the first call, if no digest has needed one before.
//
// Errors: InvalidTimeRangeException; InvalidTokenException, since there is one page always.
//
// Source: CloudTrail API Reference, ListPublicKeys; User Guide, "CloudTrail digest file structure".
func (s *Service) ListPublicKeys(ctx context.Context, in *api.ListPublicKeysInput) (*api.ListPublicKeysOutput, error) {
	if err := s.authorize(ctx, "ListPublicKeys", "*"); err != nil {
		return nil, err
	}
	if in.NextToken != nil {
		return nil, &api.InvalidTokenException{Message: "The token is not valid."}
	}
	if in.StartTime != nil && in.EndTime != nil && in.StartTime.After(*in.EndTime) {
		return nil, &api.InvalidTimeRangeException{Message: "The start time must not be later than the end time."}
	}
	keys, err := s.Digests.PublicKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("cloudtrail: list public keys: %w", err)
	}
	if in.StartTime == nil && in.EndTime == nil {
		keys = keys[len(keys)-1:]
	}
	out := &api.ListPublicKeysOutput{PublicKeyList: []*api.PublicKey{}}
	for _, k := range keys {
		if !meets(&k, in.StartTime, in.EndTime) {
			continue
		}
		out.PublicKeyList = append(out.PublicKeyList, &api.PublicKey{
			Value: k.Public, Fingerprint: new(k.Fingerprint), ValidityStartTime: new(k.From), ValidityEndTime: new(k.To),
		})
	}
	return out, nil
}

// meets says whether a key is valid at some time of a range; nil leaves it open.
func meets(k *digest.Key, from, to *time.Time) bool {
	return (from == nil || !k.To.Before(*from)) && (to == nil || !k.From.After(*to))
}
