// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/obscura-video/obscura/internal/meta"
)

// patience is how long New waits for the keys. A store with so many that it takes longer serves before they are
// loaded: a key that is not is read when it is used, while changes and lists wait.
const patience = 200 * time.Millisecond

// open begins to load the rows of all Regions, and waits for it as long as patience lasts.
func (e *estate) open() error {
	e.writing.Lock()
	for _, s := range e.regions {
		if err := s.openAliases(e.ctx); err != nil {
			e.writing.Unlock()
			return err
		}
	}
	loaded := make(chan error, 1)
	e.loading.Go(func() {
		defer e.writing.Unlock()
		err := e.loadAll(e.ctx)
		for _, s := range e.regions {
			s.view.opened(err)
		}
		loaded <- err
	})
	patient := time.NewTimer(patience)
	defer patient.Stop()
	select {
	case err := <-loaded:
		return err
	case <-patient.C:
		return nil
	}
}

// openAliases makes a view whose keys are not loaded yet.
func (s *Service) openAliases(ctx context.Context) error {
	var aliases []aliasRecord
	err := s.cfg.DB.View(ctx, func(r meta.Reader) error {
		aliases = nil
		return readRows(r, s.rows.of("a"), func(a *aliasRecord) { aliases = append(aliases, *a) })
	})
	if err != nil {
		return fmt.Errorf("kms: load: %w", err)
	}
	v := &s.view
	v.mu.Lock()
	defer v.mu.Unlock()
	v.aliases, v.unread = map[string]aliasRecord{}, &unread{names: aliasNames(aliases), done: make(chan struct{})}
	for _, a := range aliases {
		v.aliases[a.Name] = a
	}
	return nil
}

// aliasNames returns the names of each key's aliases, sorted.
func aliasNames(aliases []aliasRecord) map[string][]string {
	names := map[string][]string{}
	for _, a := range aliases {
		names[a.KeyID] = append(names[a.KeyID], a.Name)
	}
	for _, list := range names {
		slices.Sort(list)
	}
	return names
}

// unread is what a view has while its keys are not loaded.
type unread struct {
	names map[string][]string // of aliases, by key id
	done  chan struct{}       // closed when they are
}

// opened ends the time without keys. If they could not be loaded, nothing is decided until a change or Sweep has read
// them after all.
func (v *view) opened(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if u := v.unread; u != nil {
		v.unread, v.stale = nil, err != nil
		close(u.done)
	}
}

// await waits until all keys are in the view.
func (v *view) await() {
	v.mu.RLock()
	u := v.unread
	v.mu.RUnlock()
	if u != nil {
		<-u.done
	}
}

// unreadKey reads a key that is not loaded yet, nil when there is none.
func (s *Service) unreadKey(id string, u *unread) (k *key, err error) {
	err = s.cfg.DB.View(s.estate.ctx, func(r meta.Reader) error {
		row, err := r.Get(s.rows.key(id))
		if err != nil {
			return err
		}
		var v record
		if err = json.Unmarshal(row, &v); err == nil {
			k, err = s.compile(v, u.names[id])
		}
		return err
	})
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil
	}
	return k, err
}

// load reads all keys and aliases into the view. estate.writing is held.
func (s *Service) load(ctx context.Context) error {
	var aliases []aliasRecord
	var keys keyring
	err := s.cfg.DB.View(ctx, func(r meta.Reader) error {
		aliases, keys = nil, newKeyring()
		if err := readRows(r, s.rows.of("a"), func(a *aliasRecord) { aliases = append(aliases, *a) }); err != nil {
			return err
		}
		names := aliasNames(aliases)
		var failed error
		err := readRows(r, s.rows.of("k"), func(v *record) {
			k, err := s.compile(*v, names[v.ID])
			if err == nil {
				keys.put(k)
			}
			failed = cmp.Or(failed, err)
		})
		return cmp.Or(err, failed)
	})
	if err != nil {
		return fmt.Errorf("kms: load: %w", err)
	}
	s.fill(keys, aliases)
	return nil
}

// readRows calls add with each row below a prefix; what it gets is its own for that long.
func readRows[T any](r meta.Reader, prefix []byte, add func(*T)) error {
	for row, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		var v T
		if err := json.Unmarshal(row.Value, &v); err != nil {
			return fmt.Errorf("row %q: %w", row.Key, err)
		}
		add(&v)
	}
	return nil
}

// fill makes the view anew of all the rows there are.
func (s *Service) fill(keys keyring, aliases []aliasRecord) {
	s.grants.clear()
	v := &s.view
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys, v.aliases, v.aliasNames = keys, make(map[string]aliasRecord, len(aliases)), nil
	for _, a := range aliases {
		v.aliases[a.Name] = a
		v.aliasNames = append(v.aliasNames, a.Name)
	}
	slices.Sort(v.aliasNames)
	v.stale = false
}
