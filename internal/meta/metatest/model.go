// SPDX-License-Identifier: Apache-2.0

package metatest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/obscura-video/obscura/internal/meta"
)

// model is what a store should be: a map. Its keys are few, so that they collide.
type model map[string]string

func (m model) join(from, to string, reverse bool) string {
	keys := slices.Sorted(maps.Keys(m))
	if reverse {
		slices.Reverse(keys)
	}
	var out []string
	for _, k := range keys {
		if k >= from && k < to {
			out = append(out, fmt.Sprintf("%s=%s", k, m[k]))
		}
	}
	return strings.Join(out, " ")
}

func (m model) deleteRange(from, to string) {
	maps.DeleteFunc(m, func(k, _ string) bool { return k >= from && k < to })
}

// testModel runs random transactions on the store and on the model.
func testModel(t *testing.T, open func(t *testing.T) meta.DB) {
	rapid.Check(t, func(rt *rapid.T) {
		db := open(t)
		defer db.Close()
		m := model{}
		key := rapid.StringMatching(`[ab\x00\xff]{1,3}`)
		rt.Repeat(map[string]func(*rapid.T){
			"update": func(rt *rapid.T) { modelUpdate(t, rt, db, m, key) },
			"commit": func(rt *rapid.T) { modelCommit(t, rt, db, m, key) },
			"": func(rt *rapid.T) {
				from, to := key.Draw(rt, "from"), key.Draw(rt, "to")
				err := db.View(t.Context(), func(r meta.Reader) error { return modelScan(r, m, from, to) })
				if err != nil {
					rt.Fatal(err)
				}
			},
		})
	})
}

func modelScan(r meta.Reader, m model, from, to string) error {
	for _, reverse := range []bool{false, true} {
		scan := r.Scan
		if reverse {
			scan = r.ScanReverse
		}
		got, err := join(scan([]byte(from), []byte(to)))
		if err != nil {
			return err
		}
		if wanted := m.join(from, to, reverse); got != wanted {
			return fmt.Errorf("scan(%q, %q, reverse %t) = %q, want %q", from, to, reverse, got, wanted)
		}
	}
	v, err := r.Get([]byte(from))
	if wanted, ok := m[from]; ok != (err == nil) || string(v) != wanted {
		return fmt.Errorf("get(%q) = %q, %v, want %q", from, v, err, wanted)
	}
	return nil
}

func modelUpdate(t *testing.T, rt *rapid.T, db meta.DB, m model, key *rapid.Generator[string]) {
	abort := errors.New("abort")
	next := maps.Clone(m)
	err := db.Update(t.Context(), func(tx meta.Tx) error {
		for range rapid.IntRange(0, 6).Draw(rt, "ops") {
			a, b := key.Draw(rt, "a"), key.Draw(rt, "b")
			switch rapid.IntRange(0, 3).Draw(rt, "op") {
			case 0, 1:
				tx.Put([]byte(a), []byte(b))
				next[a] = b
			case 2:
				tx.Delete([]byte(a))
				delete(next, a)
			case 3:
				tx.DeleteRange([]byte(a), []byte(b))
				next.deleteRange(a, b)
			}
			if err := modelScan(tx, next, b, a); err != nil {
				return err
			}
		}
		if rapid.Bool().Draw(rt, "abort") {
			return abort
		}
		return nil
	})
	switch {
	case err == nil:
		clear(m)
		maps.Copy(m, next)
	case !errors.Is(err, abort):
		rt.Fatal(err)
	}
}

func modelCommit(t *testing.T, rt *rapid.T, db meta.DB, m model, key *rapid.Generator[string]) {
	f, v, k := key.Draw(rt, "fence"), key.Draw(rt, "fence value"), key.Draw(rt, "key")
	if held, ok := m[f]; ok && rapid.Bool().Draw(rt, "right") {
		v = held
	}
	err := db.Commit(t.Context(), meta.Fence{Key: []byte(f), Value: []byte(v)}, []meta.KV{{Key: []byte(k), Value: []byte("c")}})
	held, ok := m[f]
	if fenced := !ok || held != v; fenced != errors.Is(err, meta.ErrFenced) || !fenced && err != nil {
		rt.Fatalf("Commit with fence %q=%q over %q: %v", f, v, held, err)
	}
	if err == nil {
		m[k] = "c"
	}
}
