// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
)

func counters(list []*Descriptor) (c []uint32) {
	for _, d := range list {
		c = append(c, d.Seq.Counter())
	}
	return c
}

func TestTrimRemovesTheOldestWithTheirIndexRows(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	for name, c := range map[string]struct {
		o    TrimOptions
		want []uint32
	}{
		"nothing":    {TrimOptions{}, []uint32{1, 2, 3, 4, 5}},
		"before":     {TrimOptions{Before: NewSeq(1, 3)}, []uint32{3, 4, 5}},
		"older than": {TrimOptions{OlderThan: start.Add(4 * time.Second)}, []uint32{4, 5}},
		"keep bytes": {TrimOptions{KeepBytes: 250}, []uint32{4, 5}},
		"any":        {TrimOptions{Before: NewSeq(1, 2), OlderThan: start.Add(3 * time.Second)}, []uint32{3, 4, 5}},
		"all":        {TrimOptions{Before: ^Seq(0)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			now := start
			j := w.open(Options{Now: func() time.Time { return now }})
			wr := mustOwn(t, j, "s")
			for range 5 {
				now = now.Add(time.Second)
				f := w.begin(wr)
				w.write(f, string(make([]byte, 100-lengthBytes-16-2)))
				w.commit(f, CommitOptions{Index: []IndexKey{{Name: "t", Key: meta.AppendUint64(nil, uint64(now.Unix()))}}})
			}
			w.fragment(mustOwn(t, j, "s2"), "a neighbour")
			var removed int
			c.o.Removed = func(meta.Tx, *Descriptor) error { removed++; return nil }
			n, err := j.Trim(t.Context(), "s", c.o)
			got := counters(scanned(t, j, "s", 0, 0))
			if err != nil || !slices.Equal(got, c.want) || n != 5-len(got) || removed != n {
				t.Errorf("Trim = %d, %v, leaves %v, want %v", n, err, got, c.want)
			}
			if r := w.check(); r.Entries != len(c.want)+1 {
				t.Errorf("report = %+v", r)
			}
		})
	}
}

func TestTrimGoesOverManyPages(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	wr := mustOwn(t, j, "s")
	const n = 2*trimRows + 7
	for range n {
		w.records(wr, "x")
	}
	if got, err := j.Trim(t.Context(), "s", TrimOptions{Before: NewSeq(1, n)}); err != nil || got != n-1 {
		t.Errorf("Trim = %d, %v", got, err)
	}
}

func blobs(t *testing.T, w *world) (names []string) {
	t.Helper()
	for info, err := range w.bytes.Open().List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}

func reap(t *testing.T, j *Journal, o ReapOptions) ReapReport {
	t.Helper()
	r, err := j.Reap(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReapFreesWhatNothingRefersTo(t *testing.T) {
	w := newWorld(t)
	a := w.open(Options{})
	wr := mustOwn(t, a, "s")
	w.fragment(wr, "kept until trimmed")
	f := w.begin(wr) // never finished: the process dies
	w.write(f, "orphan")

	b := w.open(Options{})
	if r := reap(t, b, ReapOptions{}); r.Deleted != 0 || r.Live != 1 {
		t.Errorf("reap of a session that may live = %+v", r)
	}
	if r := reap(t, b, ReapOptions{Alone: true}); r.Deleted != 0 || r.Live != 1 {
		t.Errorf("reap of a blob that is referred to = %+v", r)
	}
	if err := f.Commit(t.Context(), CommitOptions{}); !errors.Is(err, ErrFenced) {
		t.Errorf("Commit of a reaped session = %v, want ErrFenced", err)
	}
	if _, err := a.Own(t.Context(), "x"); err == nil {
		t.Error("a reaped session owns streams")
	}
	w.check()
	if _, err := b.Trim(t.Context(), "s", TrimOptions{Before: ^Seq(0)}); err != nil {
		t.Fatal(err)
	}
	if r := reap(t, b, ReapOptions{}); r.Deleted != 1 || r.DeletedBytes == 0 {
		t.Errorf("reap after trim = %+v", r)
	}
	if got := blobs(t, w); len(got) != 0 {
		t.Errorf("blobs left: %v", got)
	}
	sessions, err := readSessions(t.Context(), w.db)
	if err != nil || len(sessions) != 1 {
		t.Errorf("sessions left: %v, %v", sessions, err)
	}
	reap(t, b, ReapOptions{})
	if marks, err := readGarbage(t.Context(), w.db); err != nil || len(marks) != 0 {
		t.Errorf("marks left: %v, %v", marks, err)
	}
}

func TestReapSparesWhatIsStillBeingWritten(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	wr := mustOwn(t, j, "s")
	f := w.begin(wr)
	for range 5 { // over several blobs
		w.write(f, string(make([]byte, 1<<20)))
	}
	if r := reap(t, j, ReapOptions{Alone: true}); r.Deleted != 0 {
		t.Errorf("reap = %+v", r)
	}
	w.commit(f, CommitOptions{})
	if r := reap(t, j, ReapOptions{Alone: true}); r.Deleted != 0 {
		t.Errorf("reap = %+v", r)
	}
	w.check()
	g := w.begin(wr)
	for range 5 {
		w.write(g, string(make([]byte, 1<<20)))
	}
	g.Abort()
	if r := reap(t, j, ReapOptions{}); r.Deleted == 0 {
		t.Errorf("reap after Abort = %+v", r)
	}
	w.check()
}

func TestReapWaitsForTheBackupHorizon(t *testing.T) {
	w := newWorld(t)
	a := w.open(Options{})
	w.fragment(mustOwn(t, a, "s"), "x")
	a.Close(t.Context())
	now := time.Unix(1_000_000, 0)
	b := w.open(Options{Horizon: time.Hour, Now: func() time.Time { return now }})
	if err := b.Drop(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if r := reap(t, b, ReapOptions{}); r.Waiting != 1 || r.Deleted != 0 {
			t.Errorf("before the horizon: %+v", r)
		}
		now = now.Add(20 * time.Minute)
	}
	if r := reap(t, b, ReapOptions{}); r.Deleted != 1 {
		t.Errorf("after the horizon: %+v", r)
	}
}

// A meta store that was restored from a backup does not know later sessions: their blobs
// may be all that is left of what they wrote.
func TestReapNeverTouchesUnknownSessions(t *testing.T) {
	w := newWorld(t)
	stranger := w.bytes.Open()
	if _, err := stranger.Append(t.Context(), blob.Day, []byte("x")); err != nil {
		t.Fatal(err)
	}
	j := w.open(Options{})
	r := reap(t, j, ReapOptions{Alone: true, Ended: func(string) bool { return true }})
	if r.Deleted != 0 || !slices.Equal(r.Unknown, []string{stranger.Session()}) {
		t.Errorf("reap = %+v", r)
	}
	if got := blobs(t, w); len(got) != 1 {
		t.Errorf("blobs = %v", got)
	}
}

func TestReapRunsBesideWriters(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := j.Reap(context.Background(), ReapOptions{Alone: true}); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	wr := mustOwn(t, j, "s")
	for i := range 100 {
		f := w.begin(wr)
		w.write(f, string(make([]byte, 100_000)))
		if i%3 == 0 {
			f.Abort()
		} else {
			w.commit(f, CommitOptions{})
		}
		if i%20 == 19 {
			if _, err := j.Trim(t.Context(), "s", TrimOptions{Before: NewSeq(1, uint32(i-10))}); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	<-done
	w.check()
}

// tampered is a blob store that shows other bytes.
type tampered struct {
	blob.Store
	change func([]byte) []byte
}

func (s tampered) Read(ctx context.Context, ref blob.Ref) (io.ReadCloser, error) {
	r, err := s.Store.Read(ctx, ref)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return io.NopCloser(&sliceReader{s.change(b)}), err
}

type sliceReader struct{ b []byte }

func (r *sliceReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

func TestAlteredBytesAreFoundOut(t *testing.T) {
	w := newWorld(t)
	bs := w.bytes.Open()
	j, err := Open(t.Context(), w.db, bs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close(context.Background())
	wr := mustOwn(t, j, "s")
	seq := w.fragment(wr, "first", "secnd", "third")
	d, err := j.Stat(t.Context(), "s", seq)
	if err != nil {
		t.Fatal(err)
	}
	size := int(d.Stored) / 3
	for name, change := range map[string]func([]byte) []byte{
		"length":    func(b []byte) []byte { b[3]++; return b },
		"body":      func(b []byte) []byte { b[10]++; return b },
		"tag":       func(b []byte) []byte { b[len(b)-1]++; return b },
		"reordered": func(b []byte) []byte { return append(b[size:2*size:2*size], append(b[:size:size], b[2*size:]...)...) },
		"repeated":  func(b []byte) []byte { copy(b[size:], b[:size]); return b },
		"dropped":   func(b []byte) []byte { return append(b[:size:size], b[2*size:]...) },
		"truncated": func(b []byte) []byte { return b[:2*size] },
		"empty":     func([]byte) []byte { return nil },
	} {
		err := readFrames(t.Context(), tampered{bs, change}, d, w.key, func(Frame) bool { return true })
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
		r, err := Check(t.Context(), w.db, tampered{bs, change}, w.key)
		if err != nil || r.OK() {
			t.Errorf("%s: Check finds nothing (%v)", name, err)
		}
	}
	for name, change := range map[string]func(*Descriptor){
		"count":   func(d *Descriptor) { d.Frames = 2 },
		"meta":    func(d *Descriptor) { d.Meta = []byte("other") },
		"seq":     func(d *Descriptor) { d.Seq++ },
		"stream":  func(d *Descriptor) { d.Stream = "t" },
		"kind":    func(d *Descriptor) { d.Kind = KindRecords },
		"session": func(d *Descriptor) { d.Session = blob.NewSession() },
		"time":    func(d *Descriptor) { d.Time = d.Time.Add(time.Second) },
	} {
		other := *d
		change(&other)
		if err := readFrames(t.Context(), bs, &other, w.key, func(Frame) bool { return true }); !errors.Is(err, ErrCorrupt) {
			t.Errorf("descriptor with another %s: %v, want ErrCorrupt", name, err)
		}
	}
	if err := readFrames(t.Context(), bs, d, testKey(t, 8), nil); err == nil {
		t.Error("opened with another key")
	}
}

// Check must see each kind of damage to the rows.
func TestCheckFindsDamage(t *testing.T) {
	for name, damage := range map[string]func(tx meta.Tx, a, b *Descriptor){
		"row does not parse":  func(tx meta.Tx, a, _ *Descriptor) { tx.Put(entryKey("s", a.Seq), []byte{1, 2, 3}) },
		"blob is missing":     func(tx meta.Tx, a, _ *Descriptor) { a.refs[0].Name += "9"; tx.Put(entryKey("s", a.Seq), a.encode()) },
		"ref outside of blob": func(tx meta.Tx, a, _ *Descriptor) { a.refs[0].Off = 1 << 40; tx.Put(entryKey("s", a.Seq), a.encode()) },
		"entries overlap": func(tx meta.Tx, a, b *Descriptor) {
			b.refs = a.refs
			b.Stored = a.Stored
			tx.Put(entryKey("s", b.Seq), b.encode())
		},
		"entry copied": func(tx meta.Tx, a, _ *Descriptor) {
			a.Index = nil
			tx.Put(entryKey("s", a.Seq+10), a.encode())
		},
		"index row is missing":    func(tx meta.Tx, a, _ *Descriptor) { tx.Delete(indexKey("s", a.Index[0], a.Seq)) },
		"index row without entry": func(tx meta.Tx, a, _ *Descriptor) { tx.Put(indexKey("s", a.Index[0], 99), []byte{rowVersion}) },
		"entry deleted":           func(tx meta.Tx, a, _ *Descriptor) { tx.Delete(entryKey("s", a.Seq)) },
		"epoch beyond the owner": func(tx meta.Tx, a, _ *Descriptor) {
			tx.Put(ownerKey("s"), Owner{Session: a.Session, Epoch: 0}.encode())
		},
		"session row": func(tx meta.Tx, a, _ *Descriptor) { tx.Put(sessionKey(a.Session), []byte("?")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			j := w.open(Options{})
			wr := mustOwn(t, j, "s")
			var list []*Descriptor
			for i := range 2 {
				f := w.begin(wr)
				w.write(f, fmt.Sprint("payload ", i))
				w.commit(f, CommitOptions{Index: []IndexKey{{Name: "i", Key: []byte{byte(i)}}}})
			}
			list = scanned(t, j, "s", 0, 0)
			w.check()
			err := w.db.Update(t.Context(), func(tx meta.Tx) error { damage(tx, list[0], list[1]); return nil })
			if err != nil {
				t.Fatal(err)
			}
			if r, err := Check(t.Context(), w.db, w.bytes.Open(), w.key); err != nil || r.OK() {
				t.Errorf("Check finds nothing (%v)", err)
			}
		})
	}
}

func FuzzDecodeEntry(f *testing.F) {
	d := &Descriptor{
		Stream: "s", Seq: NewSeq(1, 1), Kind: KindFragment, Class: blob.Day, KeyID: "k", Session: blob.NewSession(),
		Frames: 2, Bytes: 10, Stored: 25, Meta: []byte("m"), Index: []IndexKey{{Name: "n", Key: []byte("k")}},
		refs: []blob.Ref{{Name: "b/x/1", Off: 64, Len: 10}, {Name: "b/x/1", Off: 100, Len: 10}, {Len: 5, Inline: []byte("12345")}},
	}
	f.Add(d.encode())
	f.Add([]byte{1, 1, 2})
	f.Fuzz(func(t *testing.T, value []byte) {
		d, err := decodeEntry("s", NewSeq(1, 1), value)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Error(err)
			}
			return
		}
		again, err := decodeEntry("s", NewSeq(1, 1), d.encode())
		if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", d) {
			t.Errorf("does not encode back: %v", err)
		}
	})
}
