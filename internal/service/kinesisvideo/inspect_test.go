// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"errors"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/meta"
)

// inspect judges the archive of a world.
func (w *world) inspect(gone error) (n Inspected, faults []Fault) {
	w.t.Helper()
	i := Inspection{
		DB: w.db, Blobs: w.bytes.Open(), Keys: w.Archive.Keys, Account: w.Account, Region: w.Region,
		Gone:  func(err error) bool { return gone != nil && errors.Is(err, gone) },
		Fault: func(f Fault) { faults = append(faults, f) },
	}
	n, err := i.Run(w.as(viewer))
	if err != nil {
		w.t.Fatal(err)
	}
	return n, faults
}

func (w *world) change(fn func(meta.Tx) error) {
	w.t.Helper()
	if err := w.db.Update(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func TestInspectionFindsWholeFootageClean(t *testing.T) {
	w := newWorld(t)
	w.create("front", 24)
	w.create("empty", 24)
	w.putAll("front", header(), cluster(1000, "one", "two"), cluster(2000, "three"))
	w.putAll("front", header(), cluster(3000, "four"))
	n, faults := w.inspect(nil)
	if len(faults) != 0 || n.Streams != 2 || n.Fragments != 3 || n.Frames != 10 { // each fragment: its start and another element, and the blocks
		t.Errorf("%+v, faults %+v", n, faults)
	}
}

func TestInspectionNamesWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(w *world, st *stream)
		want   string
	}{
		"no header": {func(w *world, st *stream) {
			prefix := meta.Key(space, rowHeader, st.ID)
			w.change(func(tx meta.Tx) error { tx.DeleteRange(prefix, meta.PrefixEnd(prefix)); return nil })
		}, "load header"},
		"no stream": {func(w *world, st *stream) {
			w.change(func(tx meta.Tx) error { tx.Delete(meta.Key(space, rowStream, st.Name)); return nil })
		}, "a stream that does not exist"},
		"malformed stream": {func(w *world, st *stream) {
			w.change(func(tx meta.Tx) error { tx.Put(meta.Key(space, rowStream, st.Name), []byte("{")); return nil })
		}, "malformed stream"},
		"no data key": {func(w *world, st *stream) {
			if err := w.Archive.Keys.Shred(w.t.Context(), st.key()); err != nil {
				w.t.Fatal(err)
			}
		}, "data key was deleted"},
		"index of another fragment": {func(w *world, st *stream) {
			prefix := meta.Key("x", st.key(), indexServer)
			w.change(func(tx meta.Tx) error {
				for kv, err := range tx.Scan(prefix, meta.PrefixEnd(prefix)) {
					if err == nil {
						kv.Value[len(kv.Value)-1] ^= 1
						tx.Put(kv.Key, kv.Value)
					}
					return err
				}
				return errors.New("no index row")
			})
		}, "names another fragment"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create("front", 24)
			w.putAll("front", header(), cluster(1000, "one"))
			st, err := w.loadStream(t.Context(), "front")
			if err != nil {
				t.Fatal(err)
			}
			tc.damage(w, st)
			_, faults := w.inspect(nil)
			var text strings.Builder
			for _, f := range faults {
				text.WriteString(f.Err.Error() + "\n")
			}
			if !strings.Contains(text.String(), tc.want) {
				t.Errorf("faults %q, want %q", text.String(), tc.want)
			}
		})
	}
}

func TestInspectionCountsWhatNobodyCanOpen(t *testing.T) {
	w := newWorld(t)
	w.create("front", 24)
	w.putAll("front", header(), cluster(1000, "one"))
	deleted := errors.New("key was deleted")
	w.restart() // so that no plaintext is left
	w.kms.Fail(testKey, deleted)
	if n, faults := w.inspect(deleted); n.Gone != 1 || len(faults) != 0 {
		t.Errorf("%+v, faults %+v", n, faults)
	}
}
