// SPDX-License-Identifier: Apache-2.0

// Package metatest is the conformance suite of package meta: it defines what a
// driver and a decorator are. It is not a benchmark and injects no faults.
package metatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/obscura-video/obscura/internal/meta"
)

// Run runs the suite. open returns a new, empty store, which the suite closes.
func Run(t *testing.T, open func(t *testing.T) meta.DB) {
	for name, test := range map[string]func(*testing.T, meta.DB){
		"GetAndScanSeeWhatWasPut":         testReadBack,
		"ScanKeepsOrderAndBounds":         testScan,
		"EmptyValuesAreValues":            testEmptyValue,
		"UpdateSeesItsOwnWrites":          testOwnWrites,
		"FailedUpdateWritesNothing":       testRollback,
		"ViewIsASnapshot":                 testSnapshot,
		"CommitIsFenced":                  testFence,
		"CommitIsIdempotent":              testIdempotent,
		"UpdatesAreSerializable":          testSerializable,
		"TakeoverStopsEveryLaterCommit":   testTakeover,
		"LimitsAreHeld":                   testLimits,
		"BytesAreNotShared":               testOwnership,
		"CancelledContextWritesNothing":   testCancelled,
		"ClosedStoreAnswersNothing":       testClosed,
		"ScanMayBeLeftEarly":              testBreak,
		"DeleteRangeTakesExactlyTheRange": testDeleteRange,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			defer db.Close()
			test(t, db)
		})
	}
	t.Run("BehavesAsTheModel", func(t *testing.T) { testModel(t, open) })
}

func update(t *testing.T, db meta.DB, fn func(meta.Tx)) {
	t.Helper()
	if err := db.Update(t.Context(), func(tx meta.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func put(t *testing.T, db meta.DB, pairs ...string) {
	t.Helper()
	update(t, db, func(tx meta.Tx) {
		for i := 0; i < len(pairs); i += 2 {
			tx.Put([]byte(pairs[i]), []byte(pairs[i+1]))
		}
	})
}

func get(t *testing.T, db meta.DB, key string) (value string, ok bool) {
	t.Helper()
	err := db.View(t.Context(), func(r meta.Reader) error {
		v, err := r.Get([]byte(key))
		value, ok = string(v), err == nil
		if errors.Is(err, meta.ErrNotFound) {
			err = nil
		}
		return err
	})
	if err != nil {
		t.Fatalf("View: %v", err)
	}
	return value, ok
}

// all is the whole store as "k=v k=v …".
func all(t *testing.T, db meta.DB) string {
	t.Helper()
	var s string
	if err := db.View(t.Context(), func(r meta.Reader) (err error) { s, err = join(r.Scan(nil, nil)); return err }); err != nil {
		t.Fatalf("View: %v", err)
	}
	return s
}

func join(rows iter.Seq2[meta.KV, error]) (string, error) {
	var out []string
	for kv, err := range rows {
		if err != nil {
			return "", err
		}
		out = append(out, fmt.Sprintf("%s=%s", kv.Key, kv.Value))
	}
	return strings.Join(out, " "), nil
}

func want(t *testing.T, what, got, wanted string) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s = %q, want %q", what, got, wanted)
	}
}

func testReadBack(t *testing.T, db meta.DB) {
	put(t, db, "b", "2", "a", "1", "c", "3")
	put(t, db, "b", "two")
	want(t, "store", all(t, db), "a=1 b=two c=3")
	if v, ok := get(t, db, "bb"); ok {
		t.Errorf("absent key holds %q", v)
	}
}

func testScan(t *testing.T, db meta.DB) {
	put(t, db, "a", "1", "ab", "2", "b", "3", "b\x00", "4", "b\xff", "5", "c", "6")
	err := db.View(t.Context(), func(r meta.Reader) error {
		for _, c := range []struct {
			from, to []byte
			want     string
		}{
			{nil, nil, "a=1 ab=2 b=3 b\x00=4 b\xff=5 c=6"},
			{[]byte("ab"), []byte("b"), "ab=2"},
			{[]byte("b"), meta.PrefixEnd([]byte("b")), "b=3 b\x00=4 b\xff=5"},
			{[]byte("bb"), nil, "b\xff=5 c=6"},
			{nil, []byte("a"), ""},
			{[]byte("c"), []byte("a"), ""},
			{[]byte("x"), []byte("z"), ""},
			{[]byte{}, []byte("b"), "a=1 ab=2"},
		} {
			got, err := join(r.Scan(c.from, c.to))
			if err != nil {
				return err
			}
			want(t, fmt.Sprintf("Scan(%q, %q)", c.from, c.to), got, c.want)
			got, err = join(r.ScanReverse(c.from, c.to))
			if err != nil {
				return err
			}
			want(t, fmt.Sprintf("ScanReverse(%q, %q)", c.from, c.to), got, reverse(c.want))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func reverse(s string) string {
	words := strings.Split(s, " ")
	slices.Reverse(words)
	return strings.Join(words, " ")
}

func testEmptyValue(t *testing.T, db meta.DB) {
	put(t, db, "empty", "")
	err := db.View(t.Context(), func(r meta.Reader) error {
		v, err := r.Get([]byte("empty"))
		if v == nil || len(v) != 0 {
			t.Errorf("empty value read as %#v", v)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func testOwnWrites(t *testing.T, db meta.DB) {
	put(t, db, "a", "1", "b", "2", "c", "3")
	update(t, db, func(tx meta.Tx) {
		tx.Put([]byte("d"), []byte("4"))
		tx.Delete([]byte("a"))
		tx.DeleteRange([]byte("b"), []byte("c"))
		tx.Put([]byte("b2"), []byte("x"))
		got, err := join(tx.Scan(nil, nil))
		if err != nil {
			t.Error(err)
		}
		want(t, "inside", got, "b2=x c=3 d=4")
		got, _ = join(tx.ScanReverse(nil, []byte("d")))
		want(t, "inside, backwards", got, "c=3 b2=x")
		if _, err := tx.Get([]byte("a")); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("deleted key inside: %v", err)
		}
	})
	want(t, "after", all(t, db), "b2=x c=3 d=4")
}

func testRollback(t *testing.T, db meta.DB) {
	put(t, db, "a", "1")
	boom := errors.New("boom")
	err := db.Update(t.Context(), func(tx meta.Tx) error {
		tx.Put([]byte("a"), []byte("2"))
		tx.DeleteRange([]byte("a"), []byte("z"))
		return fmt.Errorf("wrapped: %w", boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("Update = %v, want the function's error", err)
	}
	want(t, "store", all(t, db), "a=1")
}

func testSnapshot(t *testing.T, db meta.DB) {
	put(t, db, "a", "1")
	err := db.View(t.Context(), func(r meta.Reader) error {
		done := make(chan error)
		go func() {
			done <- db.Update(context.WithoutCancel(t.Context()), func(tx meta.Tx) error {
				tx.Put([]byte("a"), []byte("2"))
				tx.Put([]byte("b"), []byte("2"))
				return nil
			})
		}()
		if err := <-done; err != nil {
			return err
		}
		got, err := join(r.Scan(nil, nil))
		want(t, "snapshot", got, "a=1")
		return err
	})
	if err != nil {
		t.Error(err)
	}
	want(t, "afterwards", all(t, db), "a=2 b=2")
}

func fence(value string) meta.Fence { return meta.Fence{Key: []byte("fence"), Value: []byte(value)} }

func testFence(t *testing.T, db meta.DB) {
	puts := []meta.KV{{Key: []byte("x"), Value: []byte("1")}, {Key: []byte("y"), Value: []byte("2")}}
	if err := db.Commit(t.Context(), fence(""), puts); !errors.Is(err, meta.ErrFenced) {
		t.Errorf("Commit without a fence row = %v, want ErrFenced", err)
	}
	put(t, db, "fence", "g1")
	if err := db.Commit(t.Context(), fence("g2"), puts); !errors.Is(err, meta.ErrFenced) {
		t.Errorf("Commit with another fence = %v, want ErrFenced", err)
	}
	want(t, "store", all(t, db), "fence=g1")
	if err := db.Commit(t.Context(), fence("g1"), puts); err != nil {
		t.Errorf("Commit = %v", err)
	}
	want(t, "store", all(t, db), "fence=g1 x=1 y=2")
	put(t, db, "fence", "g2")
	if err := db.Commit(t.Context(), fence("g1"), puts[:1]); !errors.Is(err, meta.ErrFenced) {
		t.Errorf("Commit after takeover = %v, want ErrFenced", err)
	}
	if err := db.Commit(t.Context(), fence("g2"), nil); err != nil {
		t.Errorf("empty Commit = %v", err)
	}
}

func testIdempotent(t *testing.T, db meta.DB) {
	put(t, db, "fence", "g1")
	for range 3 {
		if err := db.Commit(t.Context(), fence("g1"), []meta.KV{{Key: []byte("x"), Value: []byte("1")}}); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "store", all(t, db), "fence=g1 x=1")
}

func testSerializable(t *testing.T, db meta.DB) {
	const workers, rounds = 8, 25
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				err := db.Update(t.Context(), func(tx meta.Tx) error {
					n, err := tx.Get([]byte("n"))
					if err != nil && !errors.Is(err, meta.ErrNotFound) {
						return err
					}
					tx.Put([]byte("n"), append(n, '.'))
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, _ := get(t, db, "n"); len(n) != workers*rounds {
		t.Errorf("%d increments arrived, want %d", len(n), workers*rounds)
	}
}

// testTakeover: once the fence was moved, no commit under the old value may add a row.
func testTakeover(t *testing.T, db meta.DB) {
	put(t, db, "fence", "old")
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				err := db.Commit(t.Context(), fence("old"), []meta.KV{{Key: fmt.Appendf(nil, "row/%d/%d", w, i), Value: []byte("v")}})
				if errors.Is(err, meta.ErrFenced) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var seen string
	update(t, db, func(tx meta.Tx) {
		tx.Put([]byte("fence"), []byte("new"))
		seen, _ = join(tx.Scan([]byte("row/"), []byte("row0")))
	})
	wg.Wait()
	want(t, "rows after the takeover", all(t, db), strings.TrimSpace("fence=new "+seen))
}

func testLimits(t *testing.T, db meta.DB) {
	put(t, db, "fence", "g")
	update(t, db, func(tx meta.Tx) { tx.Put([]byte("max"), make([]byte, meta.MaxValueBytes)) })
	update(t, db, func(tx meta.Tx) { tx.Put(bytes.Repeat([]byte{'k'}, meta.MaxKeyBytes), nil) })
	many := make([]meta.KV, meta.MaxRows+1)
	for i := range many {
		many[i].Key = fmt.Appendf(nil, "many/%05d", i)
	}
	if err := db.Commit(t.Context(), fence("g"), many[1:]); err != nil {
		t.Errorf("Commit of %d rows = %v", meta.MaxRows, err)
	}
	for what, puts := range map[string][]meta.KV{
		"value bytes":  {{Key: []byte("v"), Value: make([]byte, meta.MaxStoredBytes+1)}},
		"key bytes":    {{Key: make([]byte, meta.MaxKeyBytes+1)}},
		"rows":         many,
		"commit bytes": slices.Repeat([]meta.KV{{Key: []byte("big"), Value: make([]byte, meta.MaxValueBytes)}}, 100),
	} {
		err := db.Commit(t.Context(), fence("g"), puts)
		var limit *meta.LimitError
		if !errors.Is(err, meta.ErrLimit) || !errors.As(err, &limit) || limit.What != what {
			t.Errorf("Commit over %s = %v, want a LimitError", what, err)
		}
		err = db.Update(t.Context(), func(tx meta.Tx) error {
			for _, kv := range puts {
				tx.Put(kv.Key, kv.Value)
			}
			return nil
		})
		if !errors.Is(err, meta.ErrLimit) {
			t.Errorf("Update over %s = %v, want ErrLimit", what, err)
		}
	}
	if _, ok := get(t, db, "many/00000"); ok {
		t.Error("a refused commit left a row behind")
	}
}

func testOwnership(t *testing.T, db meta.DB) {
	key, value := []byte("key"), []byte("value")
	update(t, db, func(tx meta.Tx) { tx.Put(key, value); key[0], value[0] = 'X', 'X' })
	var kept meta.KV
	err := db.View(t.Context(), func(r meta.Reader) error {
		v, err := r.Get([]byte("key"))
		v[0] = '!'
		for kv, err := range r.Scan(nil, nil) {
			if err != nil {
				return err
			}
			kept = kv
			kept.Value[0] = '?'
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "store", all(t, db), "key=value")
	want(t, "kept row", string(kept.Key)+string(kept.Value), "key?alue")
}

func testCancelled(t *testing.T, db meta.DB) {
	put(t, db, "fence", "g")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := db.Update(ctx, func(tx meta.Tx) error { tx.Put([]byte("a"), nil); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v", err)
	}
	if err := db.Commit(ctx, fence("g"), []meta.KV{{Key: []byte("a")}}); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit = %v", err)
	}
	if err := db.View(ctx, func(meta.Reader) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("View = %v", err)
	}
	want(t, "store", all(t, db), "fence=g")
}

func testClosed(t *testing.T, db meta.DB) {
	put(t, db, "fence", "g")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.View(t.Context(), func(meta.Reader) error { return nil }); !errors.Is(err, meta.ErrClosed) {
		t.Errorf("View = %v, want ErrClosed", err)
	}
	if err := db.Update(t.Context(), func(meta.Tx) error { return nil }); !errors.Is(err, meta.ErrClosed) {
		t.Errorf("Update = %v, want ErrClosed", err)
	}
	if err := db.Commit(t.Context(), fence("g"), nil); !errors.Is(err, meta.ErrClosed) {
		t.Errorf("Commit = %v, want ErrClosed", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
}

func testBreak(t *testing.T, db meta.DB) {
	put(t, db, "a", "1", "b", "2", "c", "3")
	err := db.View(t.Context(), func(r meta.Reader) error {
		for range 3 {
			for kv, err := range r.Scan(nil, nil) {
				if err != nil || string(kv.Key) != "a" {
					t.Errorf("first row = %q, %v", kv.Key, err)
				}
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func testDeleteRange(t *testing.T, db meta.DB) {
	put(t, db, "a", "1", "b", "2", "b\x00", "3", "c", "4", "d", "5")
	update(t, db, func(tx meta.Tx) {
		tx.DeleteRange([]byte("b"), []byte("d"))
		tx.DeleteRange([]byte("d"), []byte("a")) // reversed: nothing
	})
	want(t, "store", all(t, db), "a=1 d=5")
	update(t, db, func(tx meta.Tx) { tx.Delete([]byte("d")); tx.Delete([]byte("none")) })
	want(t, "store", all(t, db), "a=1")
}
