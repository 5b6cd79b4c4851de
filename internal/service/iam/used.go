// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/policy"
)

// usageInterval is how often Run writes what MarkUsed noted: a crash forgets so much at most.
const usageInterval = time.Minute

// A lastUse is the newest use of an access key or a role.
type lastUse struct {
	Time    time.Time
	Service string
	Region  string
}

// usage holds uses that are not written yet.
type usage struct {
	mu      sync.Mutex
	pending map[string]lastUse // by access key ID or role ID
}

// MarkUsed notes that the principal called a service just now. It is cheap and writes nothing: Run does.
func (s *Service) MarkUsed(p *access.Principal, service, region string) {
	id := p.AccessKeyID
	if p.Session != nil {
		id = p.Session.RoleID
	}
	if id == "" || p.Session != nil && p.Kind != policy.AssumedRole {
		return
	}
	s.used.mu.Lock()
	defer s.used.mu.Unlock()
	if s.used.pending == nil {
		s.used.pending = map[string]lastUse{}
	}
	s.used.pending[id] = lastUse{Time: s.date(), Service: service, Region: region}
}

// Run writes last uses once a minute, and once more when ctx ends; then it returns.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(usageInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.flushUsed(context.WithoutCancel(ctx))
			return
		}
		s.flushUsed(ctx)
	}
}

func (s *Service) flushUsed(ctx context.Context) {
	s.used.mu.Lock()
	batch := s.used.pending
	s.used.pending = nil
	s.used.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	// Deletions take the row along; holding writing keeps a late flush from bringing it back.
	s.writing.Lock()
	defer s.writing.Unlock()
	v := s.view()
	err := s.db.Update(ctx, func(tx meta.Tx) error {
		for id, use := range batch {
			if v.keys[id] == nil && v.entities[id] == nil {
				continue
			}
			b, err := json.Marshal(use)
			if err != nil {
				return err
			}
			tx.Put(meta.Key(space, rowUsed, id), b)
		}
		return nil
	})
	if err != nil {
		s.log.Warn("last use of access keys not written", "error", err)
	}
}

// lastUse returns the newest use of an access key or role, written or not; ok is false when there is none.
func (s *Service) lastUse(ctx context.Context, id string) (use lastUse, ok bool, err error) {
	s.used.mu.Lock()
	use, ok = s.used.pending[id]
	s.used.mu.Unlock()
	if ok {
		return use, true, nil
	}
	err = s.db.View(ctx, func(r meta.Reader) error {
		b, err := r.Get(meta.Key(space, rowUsed, id))
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &use)
	})
	if errors.Is(err, meta.ErrNotFound) {
		return use, false, nil
	}
	if err != nil {
		return use, false, fmt.Errorf("iam: last use of %s: %w", id, err)
	}
	return use, true, nil
}
