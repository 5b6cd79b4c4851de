// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// fillIn gives every field below v a value that is not zero, another one each time.
func fillIn(t *testing.T, v reflect.Value, n *int64) {
	t.Helper()
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000+*n, *n).UTC()))
	case v.Kind() == reflect.String:
		v.SetString(string(rune('a'+*n%26)) + "é\x00")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(*n)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillIn(t, v.Elem(), n)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fillIn(t, v.Index(0), n)
		fillIn(t, v.Index(1), n)
	case v.Kind() == reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"tag": "value", "": ""}))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fillIn(t, v.Field(i), n)
		}
	default:
		t.Fatalf("record has a field of type %s: pack it, then say here how to fill it in", v.Type())
	}
}

func repacked(t interface{ Fatal(...any) }, r record, aliases []string) (record, []string) {
	shared, own := r.traits(), packOwn(&r, aliases)
	back := shared.record()
	back.ID = r.ID
	names, err := unpackOwn(own, &back)
	if err != nil {
		t.Fatal(err)
	}
	return back, names
}

// No field of a record is lost in memory: one that is added must be packed as well.
func TestEveryFieldOfARecordIsPacked(t *testing.T) {
	var r record
	var n int64
	fillIn(t, reflect.ValueOf(&r).Elem(), &n)
	r.Materials[0].ID = "00ff00ff"
	back, aliases := repacked(t, r, []string{"alias/a", "alias/b"})
	if diff := cmp.Diff(r, back); diff != "" || !slices.Equal(aliases, []string{"alias/a", "alias/b"}) {
		t.Error(diff, aliases)
	}
}

func TestPackedKeysComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		at := rapid.Custom(func(t *rapid.T) time.Time {
			if rapid.Bool().Draw(t, "zero") {
				return time.Time{}
			}
			return time.Unix(rapid.Int64Range(-1<<33, 1<<37).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
		})
		made := rapid.Custom(func(t *rapid.T) materialRecord {
			id := rapid.OneOf(rapid.StringMatching(`[0-9a-fA-F]{0,8}`), text)
			return materialRecord{
				ID: id.Draw(t, "id"), Created: at.Draw(t, "created"), Rotation: text.Draw(t, "rotation"), Imported: rapid.Bool().Draw(t, "imported"),
				Missing: rapid.Bool().Draw(t, "missing"), ValidTo: at.Draw(t, "validTo"), Description: text.Draw(t, "description"),
			}
		})
		r := record{
			Created: at.Draw(t, "created"), Deletion: at.Draw(t, "deletion"), NextRotation: at.Draw(t, "next"), Description: text.Draw(t, "description"),
			Tags: rapid.MapOfN(text, text, 0, 3).Draw(t, "tags"), Materials: rapid.SliceOfN(made, 0, 3).Draw(t, "materials"),
		}
		if rapid.Bool().Draw(t, "pending") {
			m := made.Draw(t, "pending material")
			r.Pending = &m
		}
		if len(r.Tags) == 0 {
			r.Tags = nil
		}
		if len(r.Materials) == 0 {
			r.Materials = nil
		}
		aliases := rapid.SliceOfN(text, 0, 3).Draw(t, "aliases")
		back, names := repacked(t, r, aliases)
		if diff := cmp.Diff(r, back); diff != "" || !slices.Equal(names, aliases) {
			t.Fatal(diff, names)
		}
		own := packOwn(&r, aliases)
		cut := rapid.IntRange(0, len(own)-1).Draw(t, "cut")
		var part record
		if _, err := unpackOwn(own[:cut], &part); err == nil && r.Pending == nil {
			t.Fatalf("%d of %d bytes were taken for all", cut, len(own))
		}
	})
}

// The order of lists is that of the ids' texts, and a page begins behind a key that is no more, too.
func TestKeyringKeepsTheOrderOfTexts(t *testing.T) {
	h := newKeyring()
	shared := new(traits)
	var ids []string
	for i := range 300 {
		name := newKeyName(i%3 == 0)
		h.put(&key{record: record{ID: name.String()}, name: name, shared: shared})
		ids = append(ids, name.String())
	}
	slices.Sort(ids)
	if got := slices.Collect(h.after("")); !slices.Equal(got, ids) {
		t.Error("keys are listed out of order")
	}
	for i := range 300 {
		if got := slices.Collect(h.after(ids[i])); !slices.Equal(got, ids[i+1:]) {
			t.Fatalf("after key %d come %d", i, len(got))
		}
	}
	h.drop(ids[7])
	if got := slices.Collect(h.after(ids[7])); h.has(ids[7]) || !slices.Equal(got, ids[8:]) {
		t.Errorf("after a key that is gone come %d", len(got))
	}
}

// What is ready for use is bounded, and never what a key was before it changed.
func TestReadyKeysAreBoundedAndNew(t *testing.T) {
	w := newWorld(t)
	id := w.symmetricKey()
	was := w.held(id)
	if w.held(id) != was {
		t.Error("a key that was asked for is not ready")
	}
	if err := w.alias("alias/one", id); err != nil {
		t.Fatal(err)
	}
	if is := w.held(id); is == was || len(is.aliases) != 1 {
		t.Errorf("a changed key is the old one: %v", is.aliases)
	}
	p := packedKey{new(traits), ""}
	for range 2 * maxReady {
		w.view.keys.ready.put(newKeyName(false), p, was)
	}
	if n := len(w.view.keys.ready.keys); n > maxReady {
		t.Errorf("%d keys are ready", n)
	}
}
