// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/meta"
)

// Rows of the space, all JSON. Format changes raise accountState.Format.
//
//	iam/account                    accountState
//	iam/entity  ID                 entity
//	iam/policy  ID                 managedPolicy
//	iam/version policyID versionID policyVersion
//	iam/key     accessKeyID        accessKey
//	iam/oidc    URL                oidcProvider
//	iam/used    accessKeyID|roleID lastUse
const (
	space       = "iam"
	rowAccount  = "account"
	rowEntity   = "entity"
	rowPolicy   = "policy"
	rowVersion  = "version"
	rowKey      = "key"
	rowProvider = "oidc"
	rowUsed     = "used"

	formatVersion = 1
)

// errStale says that another node changed the account since this one read it.
var errStale = errors.New("iam: view is stale")

// A change is a view that is being changed, and the rows that make the change durable.
type change struct {
	*view
	writes []meta.KV // a nil Value deletes
	err    error
}

func (c *change) put(value any, key ...any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		c.err = errors.Join(c.err, err)
	}
	c.writes = append(c.writes, meta.KV{Key: meta.Key(space, key...), Value: b.Bytes()})
}

func (c *change) remove(key ...any) {
	c.writes = append(c.writes, meta.KV{Key: meta.Key(space, key...)})
}

func (c *change) putEntity(e *entity) {
	if old := c.entities[e.ID]; old != nil {
		delete(c.names, nameKey(old.Kind, old.Name))
	}
	c.addEntity(e)
	c.put(e, rowEntity, e.ID)
}

func (c *change) deleteEntity(e *entity) {
	delete(c.entities, e.ID)
	delete(c.names, nameKey(e.Kind, e.Name))
	c.remove(rowEntity, e.ID)
	c.remove(rowUsed, e.ID)
}

func (c *change) putPolicy(p *managedPolicy) {
	c.addPolicy(p)
	c.put(p, rowPolicy, p.ID)
}

func (c *change) putVersion(p *managedPolicy, v *policyVersion) {
	c.put(v, rowVersion, p.ID, v.ID)
}

func (c *change) deletePolicy(p *managedPolicy) {
	delete(c.policies, p.ARN)
	delete(c.policyNames, strings.ToLower(p.Name))
	c.remove(rowPolicy, p.ID)
	for _, v := range p.versions {
		c.remove(rowVersion, p.ID, v.ID)
	}
}

func (c *change) putKey(k *accessKey) {
	c.keys[k.ID] = k
	c.put(k, rowKey, k.ID)
}

func (c *change) putProvider(p *oidcProvider) {
	c.providers[p.URL] = p
	c.put(p, rowProvider, p.URL)
}

func (c *change) deleteKey(id string) {
	delete(c.keys, id)
	c.remove(rowKey, id)
	c.remove(rowUsed, id)
}

// touch makes a change of the account's own row alone durable.
func (c *change) touch() { c.writes = append(c.writes, meta.KV{}) }

// update runs fn on a private copy of the newest view, makes what it changed durable and then visible.
// fn may run again when another node was faster; it authorises inside, so that what it decided on and
// what it changes are the same.
func (s *Service) update(ctx context.Context, fn func(*change) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	for {
		c := &change{view: s.view().clone()}
		if err := fn(c); err != nil {
			return err
		}
		if c.err != nil {
			return c.err
		}
		if len(c.writes) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		ctx := context.WithoutCancel(ctx) // a caller that goes away must not make an outcome unknown
		err := s.commit(ctx, c)
		if err == nil {
			s.current.Store(c.view)
			return nil
		}
		if errors.Is(err, meta.ErrLimit) {
			return &iamapi.LimitExceededException{Message: "Cannot exceed the size quota of one entity."}
		}
		// Stale, or an outcome that is not known: the store is the truth.
		if rerr := s.reload(ctx); rerr != nil || !errors.Is(err, errStale) {
			return errors.Join(err, rerr)
		}
	}
}

func (s *Service) commit(ctx context.Context, c *change) error {
	before := c.state.Generation
	c.state.Format, c.state.Generation = formatVersion, before+1
	c.put(c.state, rowAccount)
	err := s.db.Update(ctx, func(tx meta.Tx) error {
		if g, err := generation(tx); err != nil || g != before {
			return errors.Join(err, errStale)
		}
		for _, w := range c.writes {
			switch {
			case w.Value != nil:
				tx.Put(w.Key, w.Value)
			case w.Key != nil:
				tx.Delete(w.Key)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("iam: commit: %w", err)
	}
	return nil
}

func readAccount(r meta.Reader) (accountState, error) {
	var st accountState
	b, err := r.Get(meta.Key(space, rowAccount))
	if errors.Is(err, meta.ErrNotFound) {
		return st, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &st)
	}
	if err == nil && st.Format != formatVersion {
		err = fmt.Errorf("iam: account of format %d, this program knows %d", st.Format, formatVersion)
	}
	return st, err
}

func generation(r meta.Reader) (uint64, error) {
	st, err := readAccount(r)
	return st.Generation, err
}

// Refresh reads the account anew if another node of the same store changed it. A server that shares its
// store calls it every second.
func (s *Service) Refresh(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	var g uint64
	err := s.db.View(ctx, func(r meta.Reader) (err error) {
		g, err = generation(r)
		return err
	})
	if err != nil {
		return fmt.Errorf("iam: refresh: %w", err)
	}
	if g == s.view().state.Generation {
		return nil
	}
	return s.reload(ctx)
}

// reload replaces the view by what the store holds. The caller holds writing, or is New.
func (s *Service) reload(ctx context.Context) error {
	v := newView()
	for _, p := range awsPolicies() {
		v.addPolicy(p)
	}
	err := s.db.View(ctx, func(r meta.Reader) error {
		var err error
		if v.state, err = readAccount(r); err != nil {
			return err
		}
		return v.read(r)
	})
	if err != nil {
		return fmt.Errorf("iam: load: %w", err)
	}
	s.current.Store(v)
	return nil
}

func (v *view) read(r meta.Reader) error {
	versions := map[string][]*policyVersion{}
	err := errors.Join(
		readRows(r, rowEntity, func(e *entity, _ []byte) error { v.addEntity(e); return e.compile() }),
		readRows(r, rowKey, func(k *accessKey, _ []byte) error { v.keys[k.ID] = k; return nil }),
		readRows(r, rowProvider, func(p *oidcProvider, _ []byte) error { v.providers[p.URL] = p; return nil }),
		readRows(r, rowVersion, func(pv *policyVersion, rest []byte) error {
			id, _, ok := meta.CutString(rest)
			if !ok {
				return errors.New("malformed key")
			}
			versions[id] = append(versions[id], pv)
			return pv.Document.compile()
		}),
		readRows(r, rowPolicy, func(p *managedPolicy, _ []byte) error {
			p.versions = versions[p.ID]
			slices.SortFunc(p.versions, func(a, b *policyVersion) int { return versionNumber(a.ID) - versionNumber(b.ID) })
			v.addPolicy(p)
			if p.version(p.Default) == nil {
				return errors.New("default version is missing")
			}
			return nil
		}),
	)
	return err
}

// readRows decodes every row of a kind; add gets what follows the kind in the row's key, too.
func readRows[T any](r meta.Reader, row string, add func(value *T, rest []byte) error) error {
	prefix := meta.Key(space, row)
	for kv, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		value := new(T)
		if err := json.Unmarshal(kv.Value, value); err != nil {
			return fmt.Errorf("%s row: malformed", row) // the decoder's text could quote a secret
		}
		if err := add(value, kv.Key[len(prefix):]); err != nil {
			return fmt.Errorf("%s row: %w", row, err)
		}
	}
	return nil
}

func (v *view) addEntity(e *entity) {
	v.entities[e.ID] = e
	v.names[nameKey(e.Kind, e.Name)] = e.ID
}

func (v *view) addPolicy(p *managedPolicy) {
	v.policies[p.ARN] = p
	if !p.awsOwned() {
		v.policyNames[strings.ToLower(p.Name)] = p.ARN
	}
}

func (e *entity) compile() error {
	for _, d := range e.Inline {
		if err := d.compile(); err != nil {
			return err
		}
	}
	if e.Trust != nil {
		return e.Trust.compile()
	}
	return nil
}

func versionNumber(id string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "v"))
	if err != nil {
		return 0
	}
	return n
}
