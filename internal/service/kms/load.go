// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/obscura-video/obscura/internal/meta"
)

// load reads all keys and aliases into the view. estate.writing is held, or nobody else has s yet.
func (s *Service) load(ctx context.Context) error {
	var records []record
	var aliases []aliasRecord
	err := s.cfg.DB.View(ctx, func(r meta.Reader) error {
		records, aliases = nil, nil
		if err := readRows(r, s.rows.of("k"), &records); err != nil {
			return err
		}
		return readRows(r, s.rows.of("a"), &aliases)
	})
	if err != nil {
		return fmt.Errorf("kms: load: %w", err)
	}
	return s.fill(records, aliases)
}

func readRows[T any](r meta.Reader, prefix []byte, into *[]T) error {
	for row, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		var v T
		if err := json.Unmarshal(row.Value, &v); err != nil {
			return fmt.Errorf("row %q: %w", row.Key, err)
		}
		*into = append(*into, v)
	}
	return nil
}

// fill makes the view anew of all the rows there are.
func (s *Service) fill(records []record, aliases []aliasRecord) error {
	names := map[string][]string{} // key id to its aliases
	byName := map[string]aliasRecord{}
	for _, a := range aliases {
		byName[a.Name] = a
		names[a.KeyID] = append(names[a.KeyID], a.Name)
	}
	var keys []*key
	for _, r := range records {
		k, err := s.compile(r, slices.Sorted(slices.Values(names[r.ID])))
		if err != nil {
			return err
		}
		keys = append(keys, k)
	}
	s.grants.clear()
	v := &s.view
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys, v.dying, v.imported, v.aliases = map[string]*key{}, map[string]time.Time{}, map[string]*key{}, byName
	v.keyIDs, v.aliasNames = nil, nil
	for _, k := range keys {
		v.showKey(k)
		v.keyIDs = append(v.keyIDs, k.ID)
	}
	for name := range byName {
		v.aliasNames = append(v.aliasNames, name)
	}
	slices.Sort(v.keyIDs)
	slices.Sort(v.aliasNames)
	v.stale = false
	return nil
}
