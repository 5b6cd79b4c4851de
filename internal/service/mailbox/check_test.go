// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/meta"
)

// judge is everything that Check finds wrong.
func (w *world) judge() string {
	w.t.Helper()
	var found []string
	if _, err := Check(w.t.Context(), w.db, func(what string) { found = append(found, what) }); err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(found, "\n")
}

// fill puts what the damage of the tests below is about.
func (w *world) fill() {
	w.t.Helper()
	w.want(w.put("home", "a", strings.Repeat("x", 100<<10)), "")
	w.want(w.putFor("home", "b", "1", 60), "")
	w.want(w.put("yard", "c", ""), "")
}

func TestWhatTheServiceWroteIsClean(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.want(w.put("home", "d", "1"), "")
	w.want(w.remove("home", "d"), "")
	w.equal(w.judge(), "")
	c, err := Check(t.Context(), w.db, nil)
	w.want(err, "")
	w.equal(c, Counts{Boxes: 2, Objects: 3, Bytes: 100<<10 + 1})
	w.later = time.Hour
	w.want(w.Sweep(t.Context()), "")
	w.want(w.remove("yard", "c"), "")
	w.equal(w.judge(), "")
}

// TestEachDamageIsFound: a row that is changed, taken away or added is noticed.
func TestEachDamageIsFound(t *testing.T) {
	drop := func(key ...any) func(meta.Tx) { return func(tx meta.Tx) { tx.Delete(meta.Key(space, key...)) } }
	write := func(value string, key ...any) func(meta.Tx) {
		return func(tx meta.Tx) { tx.Put(meta.Key(space, key...), []byte(value)) }
	}
	for name, c := range map[string]struct {
		damage func(meta.Tx)
		want   string
	}{
		"chunk gone":          {drop(rowBody, "home", "a", uint64(1)), "object home/a: mailbox: chunk 1"},
		"chunk short":         {write("x", rowBody, "home", "a", uint64(1)), "object home/a: mailbox: home/a has"},
		"chunk changed":       {write("2", rowBody, "home", "b", uint64(0)), "object home/b: its body is not the one"},
		"chunk too many":      {write("x", rowBody, "home", "a", uint64(2)), "belongs to nothing"},
		"body of nothing":     {write("x", rowBody, "home", "z", uint64(0)), "belongs to nothing"},
		"object gone":         {drop(rowObject, "home", "a"), "box home counts 2 objects"},
		"object unreadable":   {write("{", rowObject, "home", "z"), "cannot be read: mb/object"},
		"count gone":          {drop(rowBox, "home"), "box home counts 0 objects"},
		"count of nothing":    {write(`{"objects":1}`, rowBox, "shed"), "belongs to nothing, or cannot be read: mb/box"},
		"would never expire":  {func(tx meta.Tx) { dropFirst(tx, rowDue) }, "object home/b: meta: not found"},
		"due of nothing":      {write("{}", rowDue, uint64(1), "home", "a"), "mb/due"},
		"due at no such time": {write("{}", rowDue, uint64(1), "home", "b"), "mb/due"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			if err := w.db.Update(t.Context(), func(tx meta.Tx) error { c.damage(tx); return nil }); err != nil {
				t.Fatal(err)
			}
			if got := w.judge(); !strings.Contains(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func dropFirst(tx meta.Tx, row string) {
	prefix := meta.Key(space, row)
	for kv := range tx.Scan(prefix, meta.PrefixEnd(prefix)) {
		defer tx.Delete(kv.Key) // after the scan
		return
	}
}
