// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/meta"
)

// ListGrants lists a key's grants by id, optionally those of one grantee or one id.
// Errors: InvalidMarkerException, InvalidGrantIdException, NotFoundException, InvalidArnException.
func (s *Service) ListGrants(ctx context.Context, in *kmsapi.ListGrantsInput) (*kmsapi.ListGrantsOutput, error) {
	k, err := s.keyFor(ctx, *in.KeyId, use{operation: "ListGrants", byID: true, extra: forService(ctx)})
	if err != nil {
		return nil, err
	}
	if in.GrantId != nil && !isGrantID(*in.GrantId) {
		return nil, &kmsapi.InvalidGrantIdException{}
	}
	p := grantPage{
		list:   strings.Join([]string{"ListGrants", k.ID, valueOr(in.GranteePrincipal, ""), valueOr(in.GrantId, "")}, "|"),
		prefix: s.rows.of("g", k.ID),
		read:   func(_ meta.Reader, row meta.KV, _ string) (*grantRecord, error) { return parseGrant(row.Value) },
		wanted: func(g *grantRecord) bool { return g.Grantee == valueOr(in.GranteePrincipal, g.Grantee) },
	}
	switch {
	case in.GrantId != nil:
		p.only = *in.GrantId
	case in.GranteePrincipal != nil:
		p.prefix = s.rows.grantee(k.ID, *in.GranteePrincipal)
		p.read = func(r meta.Reader, row meta.KV, id string) (*grantRecord, error) {
			return granteeGrant(r, s.rows, row.Value, k.ID, id)
		}
	}
	entries, cut, err := s.listGrants(ctx, p, in.Marker, in.Limit)
	if err != nil {
		return nil, err
	}
	return &kmsapi.ListGrantsOutput{Grants: entries, NextMarker: cut.next, Truncated: cut.truncated}, nil
}

// ListRetirableGrants lists the grants that a principal may retire, on whatever keys.
// It needs kms:ListRetirableGrants on "*". Errors: InvalidMarkerException, InvalidArnException.
func (s *Service) ListRetirableGrants(ctx context.Context, in *kmsapi.ListRetirableGrantsInput) (*kmsapi.ListRetirableGrantsOutput, error) {
	if err := s.decidePlain(ctx, "ListRetirableGrants", "*", nil); err != nil {
		return nil, err
	}
	if !isPrincipalARN(*in.RetiringPrincipal) {
		return nil, &kmsapi.InvalidArnException{}
	}
	now := s.cfg.Now()
	entries, cut, err := s.listGrants(ctx, grantPage{
		list: "ListRetirableGrants|" + *in.RetiringPrincipal, prefix: s.rows.retiring(*in.RetiringPrincipal),
		read: func(r meta.Reader, row meta.KV, id string) (*grantRecord, error) {
			return retirableGrant(r, s.rows, row.Value, id)
		},
		wanted: func(g *grantRecord) bool {
			_, ok, err := s.key(g.KeyID, now)
			return ok && err == nil
		},
	}, in.Marker, in.Limit)
	if err != nil {
		return nil, err
	}
	return &kmsapi.ListRetirableGrantsOutput{Grants: entries, NextMarker: cut.next, Truncated: cut.truncated}, nil
}

// grantPage is a list of grants: rows below a prefix, whose keys end with the id of a grant.
type grantPage struct {
	list   string // names it, for markers
	prefix []byte
	only   string // one id, "" for all
	// read makes the grant of a row; ErrNotFound leaves it out.
	read   func(meta.Reader, meta.KV, string) (*grantRecord, error)
	wanted func(*grantRecord) bool
}

// listGrants reads one page, and no more rows than are on it.
func (s *Service) listGrants(ctx context.Context, p grantPage, marker *string, limit *int64) (entries []*kmsapi.GrantListEntry, cut page, err error) {
	length, last := defaultPageFew, ""
	if limit != nil {
		length = int(*limit)
	}
	if marker != nil {
		if last, err = readMarker(p.list, *marker); err != nil {
			return nil, page{}, err
		}
	}
	var names []string
	err = s.cfg.DB.View(ctx, func(r meta.Reader) error {
		names, entries = nil, []*kmsapi.GrantListEntry{}
		for g, err := range p.after(r, last) {
			if err != nil {
				return err
			}
			if names = append(names, g.ID); len(names) > length {
				return nil
			}
			entries = append(entries, s.grantEntry(g))
		}
		return nil
	})
	if err != nil {
		return nil, page{}, fmt.Errorf("kms: list grants: %w", err)
	}
	cut, err = turn(p.list, names, nil, limit, defaultPageFew)
	return entries, cut, err
}

// after yields the grants of the list that come after an id.
func (p *grantPage) after(r meta.Reader, last string) iter.Seq2[*grantRecord, error] {
	from, to := p.prefix, meta.PrefixEnd(p.prefix)
	if p.only != "" {
		from = meta.AppendString(p.prefix[:len(p.prefix):len(p.prefix)], p.only)
		to = meta.PrefixEnd(from)
	}
	if last != "" {
		from = meta.PrefixEnd(meta.AppendString(p.prefix[:len(p.prefix):len(p.prefix)], last))
	}
	return func(yield func(*grantRecord, error) bool) {
		for row, err := range r.Scan(from, to) {
			var g *grantRecord
			if err == nil {
				g, err = p.grantOf(r, row)
			}
			if errors.Is(err, meta.ErrNotFound) || err == nil && !p.wanted(g) {
				continue
			}
			if !yield(g, err) || err != nil {
				return
			}
		}
	}
}

func (p *grantPage) grantOf(r meta.Reader, row meta.KV) (*grantRecord, error) {
	id, _, ok := meta.CutString(row.Key[len(p.prefix):])
	if !ok {
		return nil, fmt.Errorf("kms: row %q", row.Key)
	}
	return p.read(r, row, id)
}

func (s *Service) grantEntry(g *grantRecord) *kmsapi.GrantListEntry {
	e := &kmsapi.GrantListEntry{
		KeyId: text(s.keyARN(g.KeyID)), GrantId: &g.ID, CreationDate: &g.Created, GranteePrincipal: &g.Grantee,
		IssuingAccount: text(s.accountRoot()), Operations: g.Operations,
	}
	if g.Name != "" {
		e.Name = &g.Name
	}
	if g.Retiring != "" {
		e.RetiringPrincipal = &g.Retiring
	}
	if g.Equals != nil || g.Subset != nil || g.SourceARN != "" {
		e.Constraints = &kmsapi.GrantConstraints{EncryptionContextEquals: g.Equals, EncryptionContextSubset: g.Subset}
		if g.SourceARN != "" {
			e.Constraints.SourceArn = &g.SourceARN
		}
	}
	return e
}
