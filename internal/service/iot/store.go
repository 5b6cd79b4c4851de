// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/obscura-video/obscura/internal/meta"
)

// Rows of the space, all JSON.
//
//	iot/thing       name            thing
//	iot/type        name            thingType
//	iot/cert        ID              certificate
//	iot/policy      name            policyRow
//	iot/alias       name            roleAlias
//	iot/template    name            template
//	iot/token       ID              token
//	iot/thing-cert  thing, ID       link, and iot/cert-thing the other way round
//	iot/cert-policy ID, policy      link, and iot/policy-cert the other way round
const (
	space          = "iot"
	rowThing       = "thing"
	rowType        = "type"
	rowCertificate = "cert"
	rowPolicy      = "policy"
	rowAlias       = "alias"
	rowTemplate    = "template"
	rowToken       = "token"
	rowThingCert   = "thing-cert"
	rowCertThing   = "cert-thing"
	rowCertPolicy  = "cert-policy"
	rowPolicyCert  = "policy-cert"
)

// link is the value of a row whose key says all.
type link struct{}

// A change is a transaction, and the certificates whose state it changes.
type change struct {
	meta.Tx
	states map[string]*state // nil: deleted
}

func put(tx *change, value any, key ...any) error {
	b, err := json.Marshal(value)
	if err == nil {
		tx.Put(meta.Key(space, key...), b)
	}
	return err
}

func (tx *change) remove(key ...any) { tx.Delete(meta.Key(space, key...)) }

func (tx *change) putCertificate(id string, c *certificate) error {
	st := c.state()
	tx.states[id] = &st
	return put(tx, c, rowCertificate, id)
}

func (tx *change) deleteCertificate(id string) {
	tx.states[id] = nil
	tx.remove(rowCertificate, id)
}

// connect and disconnect keep both rows of a link.
func (tx *change) connect(row, back, a, b string) error {
	return errors.Join(put(tx, link{}, row, a, b), put(tx, link{}, back, b, a))
}

func (tx *change) disconnect(row, back, a, b string) {
	tx.remove(row, a, b)
	tx.remove(back, b, a)
}

// update runs fn as a transaction; what it changed is durable, and counts for InForce, when update returns nil.
func (s *Service) update(ctx context.Context, fn func(*change) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	var tx *change
	err := s.db.Update(ctx, func(t meta.Tx) error {
		tx = &change{t, map[string]*state{}}
		return fn(tx)
	})
	if tx == nil || len(tx.states) == 0 {
		return err
	}
	if err != nil {
		// Whether it was written may not be known: ask.
		s.reread(context.WithoutCancel(ctx), tx.states)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, st := range tx.states {
		if st == nil {
			delete(s.states, id)
		} else {
			s.states[id] = *st
		}
	}
	return err
}

// reread replaces states by what the store holds; a certificate that cannot be read is not in force.
func (s *Service) reread(ctx context.Context, states map[string]*state) {
	for id := range states {
		states[id] = nil
		_ = s.db.View(ctx, func(r meta.Reader) error {
			c, err := get[certificate](r, rowCertificate, id)
			if err == nil {
				st := c.state()
				states[id] = &st
			}
			return err
		})
	}
}

// get reads one row. Errors: meta.ErrNotFound.
func get[T any](r meta.Reader, key ...any) (*T, error) {
	b, err := r.Get(meta.Key(space, key...))
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("iot: malformed row of %v", key[0])
	}
	return v, nil
}

func has(r meta.Reader, key ...any) (bool, error) {
	_, err := r.Get(meta.Key(space, key...))
	if errors.Is(err, meta.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// absent returns refusal when the row is there, present when it is not.
func absent(r meta.Reader, refusal error, key ...any) error {
	there, err := has(r, key...)
	if err == nil && there {
		return refusal
	}
	return err
}

func present(r meta.Reader, refusal error, key ...any) error {
	there, err := has(r, key...)
	if err == nil && !there {
		return refusal
	}
	return err
}

// scan yields the rows below key in the order of the last part of their keys, from after on, until fn returns false.
func scan[T any](r meta.Reader, after string, fn func(name string, v *T) (bool, error), key ...any) error {
	prefix := meta.Key(space, key...)
	from := prefix
	if after != "" {
		from = append(meta.AppendString(append([]byte(nil), prefix...), after), 0)
	}
	return walk(r.Scan(from, meta.PrefixEnd(prefix)), len(prefix), fn)
}

// scanReverse is scan in the other direction.
func scanReverse[T any](r meta.Reader, before string, fn func(name string, v *T) (bool, error), key ...any) error {
	prefix := meta.Key(space, key...)
	to := meta.PrefixEnd(prefix)
	if before != "" {
		to = meta.AppendString(append([]byte(nil), prefix...), before)
	}
	return walk(r.ScanReverse(prefix, to), len(prefix), fn)
}

func walk[T any](rows iter.Seq2[meta.KV, error], prefix int, fn func(name string, v *T) (bool, error)) error {
	for kv, err := range rows {
		if err != nil {
			return err
		}
		name, _, ok := meta.CutString(kv.Key[prefix:])
		v := new(T)
		if !ok || json.Unmarshal(kv.Value, v) != nil {
			return errors.New("iot: malformed row")
		}
		if more, err := fn(name, v); err != nil || !more {
			return err
		}
	}
	return nil
}

const defaultPage = 250

// page says what part of a list is asked for.
type page struct {
	token      *string
	most       *int64
	descending bool
}

// list collects a page of the rows below key. take returns false for a row that is not asked for. The token of the
// next page is nil at the end; it holds the last name, so it stays right while rows come and go.
func list[T any](ctx context.Context, s *Service, p page, take func(name string, v *T) bool, key ...any) (next *string, err error) {
	after, err := base64.StdEncoding.Strict().DecodeString(value(p.token))
	if err != nil {
		return nil, invalid("The pagination token is not valid.")
	}
	most, taken, last := int64(defaultPage), int64(0), ""
	if p.most != nil {
		most = *p.most
	}
	step := func(name string, v *T) (bool, error) {
		if taken == most {
			next = new(base64.StdEncoding.EncodeToString([]byte(last)))
			return false, nil
		}
		if take(name, v) {
			taken, last = taken+1, name
		}
		return true, nil
	}
	err = s.db.View(ctx, func(r meta.Reader) error {
		if p.descending {
			return scanReverse(r, string(after), step, key...)
		}
		return scan(r, string(after), step, key...)
	})
	return next, err
}

// names collects the last key parts of all rows below key.
func names(r meta.Reader, key ...any) (all []string, err error) {
	err = scan(r, "", func(name string, _ *link) (bool, error) {
		all = append(all, name)
		return true, nil
	}, key...)
	return all, err
}
