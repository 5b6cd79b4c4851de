// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"time"
)

// Sweep does what is due: keys at the end of their waiting period are deleted,
// with all rows of theirs, imported material that has expired is destroyed, the last
// uses of keys are written, and keys whose automatic rotation is due get new
// material. The server calls it regularly; between two calls a key whose deletion
// is due is already treated as gone, and only its wrapped material still exists.
// It stops at the first error and can be called again.
func (s *Service) Sweep(ctx context.Context) error {
	for _, name := range s.estate.names() {
		if err := s.estate.regions[name].sweep(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) sweep(ctx context.Context) error {
	if err := s.mutate(ctx, func(time.Time) (edit, error) { return edit{}, nil }); err != nil {
		return err
	}
	if err := s.rotateDue(ctx); err != nil {
		return err
	}
	return s.writeUsages(ctx)
}

// removeDue deletes the keys whose deletion is due, each in a transaction of its
// own. estate.writing is held.
func (s *Service) removeDue(ctx context.Context, now time.Time) error {
	for _, id := range s.view.due(now) {
		k := s.held(id)
		if err := s.unindex(ctx, id); err != nil {
			return err
		}
		if err := s.commit(ctx, edit{dropKeys: []string{id}, dropAliases: k.aliases, others: s.lastReplica(id, now)}); err != nil {
			return err
		}
		s.happened(ctx, "DeleteKey", k)
	}
	return nil
}

// tell says of the replicas that an edit of another Region has changed that they were synchronised, which is
// CloudTrail's name for it.
func (p *regional) tell(ctx context.Context, keys [][]*key) {
	for _, list := range keys {
		for _, k := range list {
			if k.Replica && k.arn == p.s.keyARN(k.ID) {
				p.s.happened(ctx, "SynchronizeMultiRegionKey", k)
			}
		}
	}
}

// happened tells of what the service did by itself.
func (s *Service) happened(ctx context.Context, event string, k *key) {
	if s.cfg.Happened != nil {
		s.cfg.Happened(ctx, event, k.arn)
	}
}
