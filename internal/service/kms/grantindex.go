// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/obscura-video/obscura/internal/meta"
)

// There can be a million grants, so they are not loaded at the start. Index rows, written in the transaction of the
// grant, find them by who may use them, by id alone, and by who may retire them:
//
//	"gp", key id, grantee, grant id    the grant, as its own row has it
//	"gi", grant id                     key id
//	"gr", retiring principal, grant id the grant
//
// The first and the last hold the grant, which never changes, so that a decision and a page are one run of rows each and
// no row more. Stores that were written before have nothing in the first, and the key's id in the last: there the
// grant's own row is read.
//
// What was read last is cached, by key and grantee. The cache follows every change, so a decision never sees a grant
// that was withdrawn before it was asked for.

func (r rows) grantee(keyID, grantee string) []byte { return r.of("gp", keyID, grantee) }

// cutGrantee takes the row of a grantee's grant apart.
func (r rows) cutGrantee(row []byte) (keyID, id string, err error) {
	rest, ok := bytes.CutPrefix(row, r.of("gp"))
	for _, part := range []*string{&keyID, new(string), &id} {
		if ok {
			*part, rest, ok = meta.CutString(rest)
		}
	}
	if !ok || len(rest) > 0 {
		return "", "", errors.New("is no index row")
	}
	return keyID, id, nil
}

func (r rows) grantID(id string) []byte         { return r.of("gi", id) }
func (r rows) retiring(principal string) []byte { return r.of("gr", principal) }

// put writes a grant and its index rows.
func (g *grantRecord) put(tx meta.Tx, of rows) error {
	row, err := encodeRow(g)
	if err != nil {
		return err
	}
	tx.Put(of.grant(g.KeyID, g.ID), row)
	g.index(tx, of, row)
	return nil
}

// index writes the index rows of the grant that its own row holds.
func (g *grantRecord) index(tx meta.Tx, of rows, row []byte) {
	tx.Put(meta.AppendString(of.grantee(g.KeyID, g.Grantee), g.ID), row)
	tx.Put(of.grantID(g.ID), []byte(g.KeyID))
	if g.Retiring != "" {
		tx.Put(meta.AppendString(of.retiring(g.Retiring), g.ID), row)
	}
}

// drop deletes a grant and its index rows.
func (g *grantRecord) drop(tx meta.Tx, of rows) {
	tx.Delete(of.grant(g.KeyID, g.ID))
	tx.Delete(meta.AppendString(of.grantee(g.KeyID, g.Grantee), g.ID))
	g.dropFromAfar(tx, of)
}

// dropFromAfar deletes the index rows that do not lie under the key's own prefix.
func (g *grantRecord) dropFromAfar(tx meta.Tx, of rows) {
	tx.Delete(of.grantID(g.ID))
	if g.Retiring != "" {
		tx.Delete(meta.AppendString(of.retiring(g.Retiring), g.ID))
	}
}

// indexed says which index row is missing, or tells something else, of a grant that its own row holds.
func (g *grantRecord) indexed(r meta.Reader, of rows, row []byte) error {
	type entry struct{ key, value, before []byte }
	entries := []entry{
		{meta.AppendString(of.grantee(g.KeyID, g.Grantee), g.ID), row, nil},
		{of.grantID(g.ID), []byte(g.KeyID), []byte(g.KeyID)},
	}
	if g.Retiring != "" {
		entries = append(entries, entry{meta.AppendString(of.retiring(g.Retiring), g.ID), row, []byte(g.KeyID)})
	}
	for _, e := range entries {
		value, err := r.Get(e.key)
		if err == nil && !bytes.Equal(value, e.value) && !bytes.Equal(value, e.before) {
			err = errors.New("does not hold its grant")
		}
		if err != nil {
			return fmt.Errorf("kms: index row %q: %w", e.key, err)
		}
	}
	return nil
}

// grantBatch is how many grants one transaction indexes, or forgets.
const grantBatch = 256

// eachBatch runs fn on transactions that each see some of the grants below a prefix.
func (s *Service) eachBatch(ctx context.Context, prefix []byte, fn func(tx meta.Tx, g *grantRecord, row []byte)) error {
	for from := prefix; from != nil; {
		err := s.cfg.DB.Update(ctx, func(tx meta.Tx) error {
			var batch []*grantRecord
			var values [][]byte
			var next []byte
			for row, err := range tx.Scan(from, meta.PrefixEnd(prefix)) {
				if err != nil {
					return err
				}
				if len(batch) == grantBatch {
					next = row.Key
					break
				}
				g, err := parseGrant(row.Value)
				if err != nil {
					return err
				}
				batch, values = append(batch, g), append(values, row.Value)
			}
			for i, g := range batch {
				fn(tx, g, values[i])
			}
			from = next
			return nil
		})
		if err != nil {
			return fmt.Errorf("kms: index of grants: %w", err)
		}
	}
	return nil
}

// awaitsIndex says whether a store was written without index rows, and the next start has yet to make them or the rest
// of them. They are made in the order of the grants, before any new one is: so where the last grant has its own, all have.
func awaitsIndex(ctx context.Context, db meta.DB, of rows) (awaits bool, err error) {
	prefix := of.of("g")
	err = db.View(ctx, func(r meta.Reader) error {
		awaits = false
		for row, err := range r.ScanReverse(prefix, meta.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			g, err := parseGrant(row.Value)
			if err != nil {
				return nil // damage, which fsck names
			}
			if _, err = r.Get(of.grantID(g.ID)); errors.Is(err, meta.ErrNotFound) {
				awaits, err = true, nil
			}
			return err
		}
		return nil
	})
	return awaits, err
}

// indexGrants makes the index rows of a store that was written without them. estate.writing is held, or nobody else
// has s yet.
func (s *Service) indexGrants(ctx context.Context) error {
	awaits, err := awaitsIndex(ctx, s.cfg.DB, s.rows)
	if err != nil || !awaits {
		return err
	}
	return s.eachBatch(ctx, s.rows.of("g"), func(tx meta.Tx, g *grantRecord, row []byte) { g.index(tx, s.rows, row) })
}

// unindex deletes the index rows of a key that is about to be deleted, and is gone for all callers already.
func (s *Service) unindex(ctx context.Context, keyID string) error {
	return s.eachBatch(ctx, s.rows.of("g", keyID), func(tx meta.Tx, g *grantRecord, _ []byte) { g.dropFromAfar(tx, s.rows) })
}

func parseGrant(row []byte) (*grantRecord, error) {
	g := new(grantRecord)
	if err := json.Unmarshal(row, g); err != nil {
		return nil, fmt.Errorf("kms: row of a grant: %w", err)
	}
	return g, nil
}

// granteeGrant returns the grant that an index row of a key's grantee stands for.
func granteeGrant(r meta.Reader, of rows, value []byte, keyID, id string) (*grantRecord, error) {
	if len(value) == 0 {
		return readGrant(r, of, keyID, id)
	}
	return parseGrant(value)
}

// retirableGrant returns the grant that an index row of a retiring principal stands for.
func retirableGrant(r meta.Reader, of rows, value []byte, id string) (*grantRecord, error) {
	if _, ok := parseKeyName(string(value)); ok {
		return readGrant(r, of, string(value), id)
	}
	return parseGrant(value)
}

func readGrant(r meta.Reader, of rows, keyID, id string) (*grantRecord, error) {
	row, err := r.Get(of.grant(keyID, id))
	if err != nil {
		return nil, err
	}
	return parseGrant(row)
}

// grant returns a grant of a key, nil when there is none by that id.
func (s *Service) grant(ctx context.Context, keyID, id string) (g *grantRecord, err error) {
	err = s.cfg.DB.View(ctx, func(r meta.Reader) (err error) { g, err = readGrant(r, s.rows, keyID, id); return err })
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil
	}
	return g, err
}

// grantByID returns a grant of any key, nil when there is none by that id.
func (s *Service) grantByID(ctx context.Context, id string) (g *grantRecord, err error) {
	err = s.cfg.DB.View(ctx, func(r meta.Reader) error {
		keyID, err := r.Get(s.rows.grantID(id))
		if err == nil {
			g, err = readGrant(r, s.rows, string(keyID), id)
		}
		return err
	})
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil
	}
	return g, err
}

// grantsOf returns the grants of a principal on a key; they are not to be changed.
func (s *Service) grantsOf(ctx context.Context, keyID, principal string) ([]*grantRecord, error) {
	at := granteeKey{keyID, principal}
	list, epoch, ok := s.grants.get(at)
	if ok {
		return list, nil
	}
	return s.readGrantsOf(ctx, at, epoch)
}

// readGrantsOf reads what grantsOf has not cached at this epoch.
func (s *Service) readGrantsOf(ctx context.Context, at granteeKey, epoch uint64) (list []*grantRecord, err error) {
	err = s.cfg.DB.View(ctx, func(r meta.Reader) (err error) {
		list, err = readGrantsOf(r, s.rows, at)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kms: grants on key %s: %w", at.keyID, err)
	}
	s.grants.put(at, list, epoch)
	return list, nil
}

func readGrantsOf(r meta.Reader, of rows, at granteeKey) (list []*grantRecord, err error) {
	prefix := of.grantee(at.keyID, at.principal)
	for row, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
		if err != nil {
			return nil, err
		}
		id, _, ok := meta.CutString(row.Key[len(prefix):])
		if !ok {
			return nil, fmt.Errorf("kms: row %q", row.Key)
		}
		g, err := granteeGrant(r, of, row.Value, at.keyID, id)
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

// countGrants returns how many grants a key has. estate.writing is held.
func (s *Service) countGrants(ctx context.Context, keyID string) (n int, err error) {
	if n, ok := s.grants.counted(keyID); ok {
		return n, nil
	}
	prefix := s.rows.of("gp", keyID)
	err = s.cfg.DB.View(ctx, func(r meta.Reader) error {
		n = 0
		for _, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err == nil {
		s.grants.count(keyID, n)
	}
	return n, err
}
