// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/meta"
)

// indexRows are the rows of the index as they are, and as the grants say that they must be.
func indexRows(t *testing.T, w *world) (are, must []string) {
	t.Helper()
	err := w.db.View(t.Context(), func(r meta.Reader) error {
		for row, err := range r.Scan(nil, nil) {
			if err != nil {
				return err
			}
			rest, ok := meta.CutSpace(row.Key, space)
			kind, _, _ := meta.CutString(rest)
			switch {
			case !ok:
			case kind == "gp" || kind == "gi" || kind == "gr":
				are = append(are, fmt.Sprintf("%q=%q", row.Key, row.Value))
			case kind == "g":
				g, err := parseGrant(row.Value)
				if err != nil {
					return err
				}
				must = append(must, fmt.Sprintf("%q=%q", meta.AppendString(w.rows.grantee(g.KeyID, g.Grantee), g.ID), row.Value),
					fmt.Sprintf("%q=%q", w.rows.grantID(g.ID), g.KeyID))
				if g.Retiring != "" {
					must = append(must, fmt.Sprintf("%q=%q", meta.AppendString(w.rows.retiring(g.Retiring), g.ID), row.Value))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(are)
	slices.Sort(must)
	return are, must
}

func wantIndex(t *testing.T, w *world, when string) {
	t.Helper()
	if are, must := indexRows(t, w); !slices.Equal(are, must) {
		t.Errorf("%s: the index has %d rows, the grants ask for %d:\n%s\n\n%s", when, len(are), len(must), strings.Join(are, "\n"), strings.Join(must, "\n"))
	}
}

// The index follows the grants: as they are made, revoked and retired, and when their key is deleted.
func TestIndexFollowsGrants(t *testing.T) {
	w := newWorld(t)
	id, doomed := w.symmetricKey(), w.symmetricKey()
	var ids []*string
	for i := range 3 * grantBatch {
		in := grantInput(doomed, aliceARN, "Decrypt")
		if i%3 == 0 {
			in.RetiringPrincipal = ptr(bobARN)
		}
		if i%100 == 0 {
			in.KeyId = &id
		}
		ids = append(ids, w.grant(in).GrantId)
	}
	wantIndex(t, w, "after the grants were made")
	must(w.RevokeGrant(asRoot(), &kmsapi.RevokeGrantInput{KeyId: &id, GrantId: ids[0]}))
	wantIndex(t, w, "after one was revoked")
	must(w.ScheduleKeyDeletion(asRoot(), &kmsapi.ScheduleKeyDeletionInput{KeyId: &doomed, PendingWindowInDays: ptr(int64(7))}))
	w.advance(7 * 24 * time.Hour)
	if err := w.Sweep(asRoot()); err != nil {
		t.Fatal(err)
	}
	wantIndex(t, w, "after a key was deleted")
	if are, _ := indexRows(t, w); len(are) == 0 {
		t.Error("no row is left of the other key's grants")
	}
}

// A store that was written without the index gets it when it is opened, also when that was cut off before.
func TestIndexIsMadeForOlderStores(t *testing.T) {
	for name, keep := range map[string]int{"never indexed": 0, "cut off": grantBatch} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.symmetricKey()
			for range 2*grantBatch + 10 {
				in := grantInput(id, aliceARN, "Decrypt", "GenerateDataKey")
				in.RetiringPrincipal = ptr(bobARN)
				w.grant(in)
			}
			forgetIndex(t, w, keep)
			if n := faults(t, w); n != 0 {
				t.Errorf("fsck takes an older store for damaged: %d faults", n)
			}
			w.reopen()
			if n := faults(t, w); n != 0 {
				t.Errorf("fsck finds %d faults after it was opened", n)
			}
			wantIndex(t, w, "after it was opened")
			must(w.GenerateDataKey(asUser(aliceARN), dataKeyInput(id)))
			one := must(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: &id})).Grants[0]
			if err := w.db.Update(t.Context(), func(tx meta.Tx) error { tx.Delete(w.rows.grantID(*one.GrantId)); return nil }); err != nil {
				t.Fatal(err)
			}
			if n := faults(t, w); n != 1 {
				t.Errorf("fsck finds %d faults where an index row is missing in a newer store", n)
			}
		})
	}
}

// forgetIndex deletes the index rows of all but the first grants.
func forgetIndex(t *testing.T, w *world, keep int) {
	t.Helper()
	err := w.db.Update(t.Context(), func(tx meta.Tx) error {
		var all []*grantRecord
		prefix := w.rows.of("g")
		for row, err := range tx.Scan(prefix, meta.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			g, err := parseGrant(row.Value)
			if err != nil {
				return err
			}
			all = append(all, g)
		}
		for _, g := range all[keep:] {
			g.drop(tx, w.rows)
			if err := putJSON(tx, w.rows.grant(g.KeyID, g.ID), g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A store whose index rows do not hold the grants works as one whose rows do; that they hold the grant of their own row
// is for fsck to see.
func TestIndexWithoutGrantsIsRead(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	in := grantInput(id, aliceARN, "GenerateDataKey")
	in.RetiringPrincipal = ptr(bobARN)
	g := w.grant(in)
	rewrite := func(byGrantee, byRetiring string) {
		t.Helper()
		err := w.db.Update(t.Context(), func(tx meta.Tx) error {
			tx.Put(meta.AppendString(w.rows.grantee(id, aliceARN), *g.GrantId), []byte(byGrantee))
			tx.Put(meta.AppendString(w.rows.retiring(bobARN), *g.GrantId), []byte(byRetiring))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rewrite("", id)
	w.reopen()
	if n := faults(t, w); n != 0 {
		t.Errorf("fsck finds %d faults", n)
	}
	must(w.GenerateDataKey(asUser(aliceARN), dataKeyInput(id)))
	for name, list := range map[string][]*kmsapi.GrantListEntry{
		"ListGrants":          must(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: &id, GranteePrincipal: ptr(aliceARN)})).Grants,
		"ListRetirableGrants": must(w.ListRetirableGrants(asRoot(), &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: ptr(bobARN)})).Grants,
	} {
		if len(list) != 1 || *list[0].GrantId != *g.GrantId {
			t.Errorf("%s gives %d grants", name, len(list))
		}
	}
	rewrite(string(must(encodeRow(grantRecord{ID: *g.GrantId}))), id)
	if n := faults(t, w); n != 1 {
		t.Errorf("fsck finds %d faults where an index row holds another grant", n)
	}
	must(w.RevokeGrant(asRoot(), &kmsapi.RevokeGrantInput{KeyId: &id, GrantId: g.GrantId}))
	wantIndex(t, w, "after it was revoked")
	rewrite(string(must(encodeRow(grantRecord{ID: *g.GrantId, KeyID: id}))), id)
	if n := faults(t, w); n != 1 {
		t.Errorf("fsck finds %d faults where an index row stands for no grant", n)
	}
}

// A grant that was revoked allows nothing, and one that was made allows, from the answer on, however many others ask
// at the same time and fill the cache.
func TestCachedGrantIsNeverStale(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				_, _ = w.GenerateDataKey(asUser(aliceARN), dataKeyInput(id)) // allowed or not
			}
		})
	}
	for i := range 300 {
		if i%3 == 0 {
			w.grants.clear() // as if there had been no room
		}
		g := w.grant(grantInput(id, aliceARN, "GenerateDataKey"))
		must(w.GenerateDataKey(asUser(aliceARN), dataKeyInput(id)))
		must(w.RevokeGrant(asRoot(), &kmsapi.RevokeGrantInput{KeyId: &id, GrantId: g.GrantId}))
		if _, err := w.GenerateDataKey(asUser(aliceARN), dataKeyInput(id)); err == nil {
			t.Fatal("a revoked grant allowed")
		}
	}
	stop()
	readers.Wait()
}

// countingDB counts the rows that are read.
type countingDB struct {
	meta.DB
	rows atomic.Int64
}

func (c *countingDB) View(ctx context.Context, fn func(meta.Reader) error) error {
	return c.DB.View(ctx, func(r meta.Reader) error { return fn(&countingReader{r, &c.rows}) })
}

type countingReader struct {
	meta.Reader
	rows *atomic.Int64
}

func (c *countingReader) Get(key []byte) ([]byte, error) {
	c.rows.Add(1)
	return c.Reader.Get(key)
}

func (c *countingReader) Scan(from, to []byte) iter.Seq2[meta.KV, error] {
	return func(yield func(meta.KV, error) bool) {
		for row, err := range c.Reader.Scan(from, to) {
			c.rows.Add(1)
			if !yield(row, err) {
				return
			}
		}
	}
}

// A key with very many grants costs a caller no more than its own: neither a decision nor a page reads all of them.
func TestManyGrantsAreNotScanned(t *testing.T) {
	w := newWorld(t)
	counting := &countingDB{DB: w.db}
	w.db = counting
	w.reopen()
	id := w.symmetricKey()
	for i := range 2000 {
		in := grantInput(id, fmt.Sprintf("arn:aws:iam::%s:user/u%d", account, i), "GenerateDataKey")
		in.RetiringPrincipal = ptr(bobARN)
		w.grant(in)
	}
	w.reopen()
	for name, do := range map[string]func(){
		"a decision":           func() { must(w.GenerateDataKey(asUser("arn:aws:iam::"+account+":user/u77"), dataKeyInput(id))) },
		"a page of ListGrants": func() { must(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: &id, Limit: ptr(int64(10))})) },
		"a grantee's": func() {
			must(w.ListGrants(asRoot(), &kmsapi.ListGrantsInput{KeyId: &id, GranteePrincipal: ptr("arn:aws:iam::" + account + ":user/u9")}))
		},
		"a page of the retirables": func() {
			must(w.ListRetirableGrants(asRoot(), &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: ptr(bobARN), Limit: ptr(int64(10))}))
		},
	} {
		before := counting.rows.Load()
		if do(); counting.rows.Load()-before > 30 {
			t.Errorf("%s read %d rows", name, counting.rows.Load()-before)
		}
	}
}

func faults(t *testing.T, w *world) (n int) {
	t.Helper()
	c := Custodian{DB: w.db, Root: w.root}
	if _, err := c.Verify(t.Context(), func(string, error) { n++ }); err != nil {
		t.Fatal(err)
	}
	return n
}
