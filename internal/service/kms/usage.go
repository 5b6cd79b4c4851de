// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/meta"
)

// usage is the row of a key's last use.
type usage struct {
	Version   int       `json:"v"`
	Operation string    `json:"operation"`
	Time      time.Time `json:"time"`
	RequestID string    `json:"requestId,omitempty"`
}

// usages are the last uses that are not written yet: Sweep writes them, so that a use costs no write.
type usages struct {
	mu    sync.Mutex
	fresh map[string]usage // by key id
}

// used notes that a cryptographic operation with k has succeeded.
func (s *Service) used(ctx context.Context, k *key, operation string) {
	u := usage{Version: recordVersion, Operation: operation, Time: s.cfg.Now().UTC()}
	if call, ok := access.FromContext(ctx); ok {
		u.RequestID = call.RequestID
	}
	s.usages.mu.Lock()
	defer s.usages.mu.Unlock()
	if s.usages.fresh == nil {
		s.usages.fresh = map[string]usage{}
	}
	s.usages.fresh[k.ID] = u
}

// writeUsages writes what was noted. Of a key that is gone nothing is written.
func (s *Service) writeUsages(ctx context.Context) error {
	s.estate.writing.Lock() // a key is deleted under it
	defer s.estate.writing.Unlock()
	s.usages.mu.Lock()
	fresh := s.usages.fresh
	s.usages.fresh = nil
	s.usages.mu.Unlock()
	for batch := range slices.Chunk(slices.Collect(maps.Keys(fresh)), usageBatch) {
		err := s.cfg.DB.Update(ctx, func(tx meta.Tx) error {
			for _, id := range batch {
				if _, ok, err := s.key(id, fresh[id].Time); err != nil || !ok {
					continue
				}
				if err := putJSON(tx, s.rows.usage(id), fresh[id]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("kms: last use of %d keys: %w", len(batch), err)
		}
	}
	return nil
}

// usageBatch is how many last uses one transaction writes.
const usageBatch = 1000

// lastUsage returns a key's last use; its Version is 0 when there is none.
func (s *Service) lastUsage(ctx context.Context, keyID string) (u usage, err error) {
	s.usages.mu.Lock()
	u, ok := s.usages.fresh[keyID]
	s.usages.mu.Unlock()
	if ok {
		return u, nil
	}
	err = s.cfg.DB.View(ctx, func(r meta.Reader) error {
		for row, err := range r.Scan(s.rows.usage(keyID), meta.PrefixEnd(s.rows.usage(keyID))) {
			if err != nil {
				return err
			}
			return json.Unmarshal(row.Value, &u)
		}
		return nil
	})
	return u, err
}

// GetKeyLastUsage tells when a key was last used for cryptography, by which operation. What happened in the last
// seconds before a crash may be missing. A data key that a service of this server holds opened is no use of its key.
//
// Errors: NotFoundException, InvalidArnException.
func (s *Service) GetKeyLastUsage(ctx context.Context, in *kmsapi.GetKeyLastUsageInput) (*kmsapi.GetKeyLastUsageOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "GetKeyLastUsage", byID: true})
	if err != nil {
		return nil, err
	}
	u, err := s.lastUsage(ctx, k.ID)
	if err != nil {
		return nil, err
	}
	out := &kmsapi.GetKeyLastUsageOutput{KeyId: &k.arn, KeyCreationDate: &k.Created, TrackingStartDate: &k.Created}
	if u.Version != 0 {
		out.KeyLastUsage = &kmsapi.KeyLastUsageData{Operation: &u.Operation, Timestamp: &u.Time}
		if u.RequestID != "" {
			out.KeyLastUsage.KmsRequestId = &u.RequestID
		}
	}
	return out, nil
}
