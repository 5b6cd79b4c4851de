// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/meta"
)

// view is what the rows say, ready for use.
type view struct {
	mu sync.RWMutex
	// stale says that a transaction ended in the unknown and the rows could not
	// be read again: nothing may be decided until they are.
	stale      bool
	keys       keyring
	aliases    map[string]aliasRecord // by name
	aliasNames []string               // sorted, for lists
	// unread is nil when all keys are here.
	unread *unread
}

var errStale = errors.New("kms: the outcome of an earlier change is not known yet")

// key returns the key of that id, and false when there is none any more.
func (s *Service) key(id string, now time.Time) (*key, bool, error) {
	v := &s.view
	v.mu.RLock()
	k, unread, stale := s.held(id), v.unread, v.stale
	v.mu.RUnlock()
	if stale {
		return nil, false, errStale
	}
	if k == nil && unread != nil {
		var err error
		if k, err = s.unreadKey(id, unread); err != nil {
			return nil, false, err
		}
	}
	if k == nil || k.gone(now) {
		return nil, false, nil
	}
	return k.at(now), true, nil
}

// held returns the key of that id, whatever the time, nil when there is none. view.mu is held, for reading at least,
// or estate.writing.
func (s *Service) held(id string) *key {
	name, ok := parseKeyName(id)
	if !ok {
		return nil
	}
	h := &s.view.keys
	p, ok := h.packed[name]
	if !ok {
		return nil
	}
	k := h.ready.get(name, p)
	if k == nil {
		var err error
		if k, err = s.unpack(name, p); err != nil {
			panic(err) // it was packed by this process, from a key that was right
		}
		h.ready.put(name, p, k)
	}
	return k
}

// aliasTarget returns the id of the key that an alias names.
func (v *view) aliasTarget(name string) (string, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	a, ok := v.aliases[name]
	return a.KeyID, ok
}

// edit is what one mutation writes.
type edit struct {
	keys        []record
	dropKeys    []string // with their material, aliases and grants
	aliases     []aliasRecord
	dropAliases []string
	materials   []material
	// dropMaterials are of keys that stay.
	dropMaterials []materialRef
	grants        []grantRecord
	dropGrants    []*grantRecord
	others        []regional // what is written in other Regions in the same transaction
}

// regional is an edit in one Region. It has no others.
type regional struct {
	s *Service
	edit
}

// material is new key material. The maker of the edit clears its secret.
type material struct {
	keyID, id       string
	secret, wrapped []byte
}

// empty reports whether e changes nothing.
func (e edit) empty() bool {
	return len(e.keys)+len(e.dropKeys)+len(e.aliases)+len(e.dropAliases)+len(e.materials)+
		len(e.dropMaterials)+len(e.grants)+len(e.dropGrants)+len(e.others) == 0
}

// mutate runs one mutation: fn looks at the view, which no other mutation
// changes meanwhile, and returns what is to be written. Keys whose deletion is
// due are gone before fn runs. nil means durable and visible.
func (s *Service) mutate(ctx context.Context, fn func(now time.Time) (edit, error)) error {
	s.estate.writing.Lock()
	defer s.estate.writing.Unlock()
	if s.estate.stale() { // written under estate.writing alone
		if err := s.estate.loadAll(ctx); err != nil {
			return err
		}
	}
	now := s.cfg.Now().UTC()
	if err := s.removeDue(ctx, now); err != nil {
		return err
	}
	if err := s.expire(ctx, now); err != nil {
		return err
	}
	e, err := fn(now)
	if err != nil || e.empty() {
		return err
	}
	return s.commit(ctx, e)
}

// again returns the key of that id as it is now: within mutate, what was decided
// about is looked up anew.
func (s *Service) again(id string, n need, now time.Time) (*key, error) {
	k, ok, err := s.key(id, now)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, notFoundKey(s.keyARN(id))
	}
	return k, k.check(n)
}

// alter changes the record of one key. fn gets a copy whose maps and slices it
// must replace, not change.
func (s *Service) alter(ctx context.Context, k *key, n need, fn func(r *record, now time.Time) error) error {
	return s.mutate(ctx, func(now time.Time) (edit, error) {
		k, err := s.again(k.ID, n, now)
		if err != nil {
			return edit{}, err
		}
		r := k.record
		if err := fn(&r, now); err != nil {
			return edit{}, err
		}
		return edit{keys: []record{r}}, nil
	})
}

// commit makes e durable, in all Regions that it concerns at once, then shows it. estate.writing is held.
func (s *Service) commit(ctx context.Context, e edit) error {
	parts := s.synchronised(e)
	keys := make([][]*key, len(parts))
	for i, p := range parts {
		var err error
		if keys[i], err = p.s.compileEdit(p.edit); err != nil {
			return err
		}
		if err := p.s.wrapAll(ctx, p.materials); err != nil {
			return err
		}
	}
	// A caller that goes away must not make an outcome unknown: all others would wait for the rows to be read again.
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	err := s.cfg.DB.Update(ctx, func(tx meta.Tx) error {
		for _, p := range parts {
			if err := p.s.write(tx, p.edit); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, meta.ErrLimit) { // nothing was written
		return &kmsapi.LimitExceededException{}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("kms: commit: %w", err), s.estate.reload(ctx))
	}
	showAll(parts, keys)
	for _, p := range parts {
		p.dropSecrets()
		if p.s != s {
			p.tell(ctx, keys)
		}
	}
	return nil
}

// showAll shows what is durable in all Regions at once: nobody meets a ciphertext of one whose material another does
// not know yet. No view is locked while another one is but here, where estate.writing is held.
func showAll(parts []regional, keys [][]*key) {
	for _, p := range parts {
		p.s.view.mu.Lock()
		defer p.s.view.mu.Unlock()
	}
	for i, p := range parts {
		p.s.view.show(p.edit, keys[i])
		p.s.grants.change(p.edit)
	}
}

// dropSecrets forgets material that is no more.
func (p *regional) dropSecrets() {
	for _, id := range p.dropKeys {
		p.s.secrets.drop(id)
	}
	for _, ref := range p.dropMaterials {
		p.s.secrets.drop(ref.keyID)
	}
}

// reload reads the rows again after a transaction whose outcome is not known.
// While it cannot, nothing is decided.
func (e *estate) reload(ctx context.Context) error {
	for _, s := range e.regions {
		s.view.mu.Lock()
		s.view.stale = true
		s.view.mu.Unlock()
	}
	return e.loadAll(ctx)
}

// compileEdit makes the keys that e changes, those whose aliases change among them.
func (s *Service) compileEdit(e edit) ([]*key, error) {
	records := map[string]record{}
	for _, r := range e.keys {
		records[r.ID] = r
	}
	touch := func(keyID string) {
		if k := s.held(keyID); k != nil && records[keyID].ID == "" && !slices.Contains(e.dropKeys, keyID) {
			records[keyID] = k.record
		}
	}
	for _, a := range e.aliases {
		touch(a.KeyID)
		touch(s.view.aliases[a.Name].KeyID)
	}
	for _, name := range e.dropAliases {
		touch(s.view.aliases[name].KeyID)
	}
	var keys []*key
	for id, r := range records {
		k, err := s.compile(r, s.aliasesAfter(id, e))
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// aliasesAfter returns the aliases that key id has once e is done.
func (s *Service) aliasesAfter(id string, e edit) []string {
	var names []string
	if k := s.held(id); k != nil {
		names = k.aliases
	}
	for _, a := range e.aliases {
		if a.KeyID == id {
			names = with(names, a.Name)
		} else {
			names = without(names, a.Name)
		}
	}
	for _, name := range e.dropAliases {
		names = without(names, name)
	}
	return names
}

// write puts the rows of e.
func (s *Service) write(tx meta.Tx, e edit) error {
	for _, id := range e.dropKeys {
		tx.Delete(s.rows.key(id))
		for _, kind := range []string{"m", "g", "gp", "u"} {
			prefix := s.rows.of(kind, id)
			tx.DeleteRange(prefix, meta.PrefixEnd(prefix))
		}
	}
	for _, name := range e.dropAliases {
		tx.Delete(s.rows.alias(name))
	}
	for _, g := range e.dropGrants {
		g.drop(tx, s.rows)
	}
	for _, m := range e.materials {
		tx.Put(s.rows.material(m.keyID, m.id), m.wrapped)
	}
	for _, ref := range e.dropMaterials {
		tx.Delete(s.rows.material(ref.keyID, ref.id))
	}
	for _, r := range e.keys {
		if err := putJSON(tx, s.rows.key(r.ID), r); err != nil {
			return err
		}
	}
	for _, a := range e.aliases {
		if err := putJSON(tx, s.rows.alias(a.Name), a); err != nil {
			return err
		}
	}
	for _, g := range e.grants {
		if err := g.put(tx, s.rows); err != nil {
			return err
		}
	}
	return nil
}

func putJSON(tx meta.Tx, row []byte, value any) error {
	b, err := encodeRow(value)
	if err == nil {
		tx.Put(row, b)
	}
	return err
}

func encodeRow(value any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // would make policies up to six times as long
	err := enc.Encode(value)
	return b.Bytes(), err
}

// show puts what is durable into the view. v.mu is held.
func (v *view) show(e edit, keys []*key) {
	for _, id := range e.dropKeys {
		v.keys.drop(id)
	}
	for _, name := range e.dropAliases {
		delete(v.aliases, name)
		v.aliasNames = without(v.aliasNames, name)
	}
	for _, a := range e.aliases {
		v.aliases[a.Name] = a
		v.aliasNames = with(v.aliasNames, a.Name)
	}
	for _, k := range keys {
		v.keys.put(k)
	}
}

// due returns the ids of the keys whose deletion is due, sorted.
func (v *view) due(now time.Time) []string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var ids []string
	for id := range v.keys.dying {
		if v.keys.gone(id, now) {
			ids = with(ids, id)
		}
	}
	return ids
}

// with returns a sorted list that also holds s; without, one that does not. Both
// leave the old list alone, which a reader may still hold.
func with(list []string, s string) []string {
	i, found := slices.BinarySearch(list, s)
	if found {
		return list
	}
	return slices.Insert(slices.Clone(list), i, s)
}

func without(list []string, s string) []string {
	i, found := slices.BinarySearch(list, s)
	if !found {
		return list
	}
	return slices.Delete(slices.Clone(list), i, i+1)
}
