// SPDX-License-Identifier: Apache-2.0

package sealed_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/meta/metatest"
	"github.com/obscura-video/obscura/internal/meta/sealed"
	"github.com/obscura-video/obscura/internal/seal"
)

func testKey(t *testing.T, b byte) *seal.Key {
	t.Helper()
	k, err := seal.NewKey(bytes.Repeat([]byte{b}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func create(t *testing.T, inner meta.DB) meta.DB {
	t.Helper()
	db, err := sealed.Create(t.Context(), inner, []byte("wrapped"), testKey(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestConformance(t *testing.T) {
	metatest.Run(t, func(t *testing.T) meta.DB { return create(t, mem.New()) })
}

func put(t *testing.T, db meta.DB, key, value string) {
	t.Helper()
	err := db.Update(t.Context(), func(tx meta.Tx) error { tx.Put([]byte(key), []byte(value)); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoValueIsStoredInTheClear(t *testing.T) {
	inner := mem.New()
	db := create(t, inner)
	put(t, db, "fence", "plaintext-1")
	if err := db.Commit(t.Context(), meta.Fence{Key: []byte("fence"), Value: []byte("plaintext-1")},
		[]meta.KV{{Key: []byte("row"), Value: []byte("plaintext-2")}}); err != nil {
		t.Fatal(err)
	}
	err := inner.View(t.Context(), func(r meta.Reader) error {
		for kv, err := range r.Scan(nil, nil) {
			if err != nil || bytes.Contains(kv.Value, []byte("plaintext")) {
				t.Errorf("row %q = %q, %v", kv.Key, kv.Value, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWrongKeyIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	inner := mem.New()
	put(t, create(t, inner), "a", "1")
	if _, err := sealed.Open(t.Context(), inner, testKey(t, 2)); !errors.Is(err, sealed.ErrWrongKey) {
		t.Errorf("Open = %v, want ErrWrongKey", err)
	}
	if err := sealed.Rewrap(t.Context(), inner, []byte("w"), testKey(t, 2)); !errors.Is(err, sealed.ErrWrongKey) {
		t.Errorf("Rewrap = %v, want ErrWrongKey", err)
	}
	if _, err := sealed.Create(t.Context(), inner, nil, testKey(t, 2)); !errors.Is(err, sealed.ErrNotEmpty) {
		t.Errorf("Create = %v, want ErrNotEmpty", err)
	}
	if w, err := sealed.WrappedKey(t.Context(), inner); err != nil || string(w) != "wrapped" {
		t.Errorf("WrappedKey = %q, %v", w, err)
	}
	if _, err := sealed.Open(t.Context(), inner, testKey(t, 1)); err != nil {
		t.Errorf("Open with the right key = %v", err)
	}
}

func TestNewStoreHasNoWrappedKey(t *testing.T) {
	if _, err := sealed.WrappedKey(t.Context(), mem.New()); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("WrappedKey = %v, want ErrNotFound", err)
	}
}

func TestRewrapKeepsTheValues(t *testing.T) {
	inner := mem.New()
	put(t, create(t, inner), "a", "1")
	if err := sealed.Rewrap(t.Context(), inner, []byte("again"), testKey(t, 1)); err != nil {
		t.Fatal(err)
	}
	db, err := sealed.Open(t.Context(), inner, testKey(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if w, _ := sealed.WrappedKey(t.Context(), inner); string(w) != "again" {
		t.Errorf("WrappedKey = %q", w)
	}
	if err := db.View(t.Context(), func(r meta.Reader) error { _, err := r.Get([]byte("a")); return err }); err != nil {
		t.Error(err)
	}
}

func TestValueMovedToAnotherKeyIsRefused(t *testing.T) {
	inner := mem.New()
	db := create(t, inner)
	put(t, db, "a", "1")
	err := inner.Update(t.Context(), func(tx meta.Tx) error {
		v, err := tx.Get([]byte("a"))
		tx.Put([]byte("b"), v)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(t.Context(), func(r meta.Reader) error { _, err := r.Get([]byte("b")); return err })
	if !errors.Is(err, sealed.ErrCorrupt) {
		t.Errorf("Get = %v, want ErrCorrupt", err)
	}
}

func TestHeaderIsOutOfReach(t *testing.T) {
	inner := mem.New()
	db := create(t, inner)
	header := []byte("!/sealed")
	err := db.Update(t.Context(), func(tx meta.Tx) error {
		if _, err := tx.Get(header); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("Get of the header = %v", err)
		}
		tx.Delete(header)
		tx.DeleteRange([]byte{0}, []byte{0xff})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealed.WrappedKey(t.Context(), inner); err != nil {
		t.Errorf("header after DeleteRange: %v", err)
	}
	if err := db.Update(t.Context(), func(tx meta.Tx) error { tx.Put(header, nil); return nil }); err == nil {
		t.Error("Put of the header was accepted")
	}
}

// A fence row that is written again with the same value has other bytes.
func TestCommitHoldsOverARewrittenFence(t *testing.T) {
	db := create(t, mem.New())
	fence := meta.Fence{Key: []byte("f"), Value: []byte("g")}
	for range 3 {
		put(t, db, "f", "g")
		if err := db.Commit(t.Context(), fence, nil); err != nil {
			t.Errorf("Commit = %v", err)
		}
	}
	put(t, db, "f", "h")
	if err := db.Commit(t.Context(), fence, nil); !errors.Is(err, meta.ErrFenced) {
		t.Errorf("Commit = %v, want ErrFenced", err)
	}
}
