// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
	blobmem "github.com/obscura-video/obscura/internal/blob/mem"
	"github.com/obscura-video/obscura/internal/meta"
	metamem "github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/seal"
)

func testKey(t testing.TB, b byte) *StaticKey {
	t.Helper()
	k, err := seal.NewKey(bytes.Repeat([]byte{b}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return NewStaticKey(fmt.Sprintf("key-%d", b), k)
}

// world is a meta store and the bytes of a blob store that several journals share.
type world struct {
	t     testing.TB
	db    meta.DB
	bytes *blobmem.Bytes
	key   *StaticKey
}

func newWorld(t testing.TB) *world {
	return &world{t: t, db: metamem.New(), bytes: blobmem.NewBytes(), key: testKey(t, 7)}
}

func (w *world) open(o Options) *Journal {
	w.t.Helper()
	j, err := Open(context.Background(), w.db, w.bytes.Open(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { j.Close(context.Background()) })
	return j
}

func (w *world) check() Report {
	w.t.Helper()
	r, err := Check(context.Background(), w.db, w.bytes.Open(), w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range r.Problems {
		w.t.Errorf("check: %s", p)
	}
	return r
}

func mustOwn(t testing.TB, j *Journal, stream string) *Writer {
	t.Helper()
	w, err := j.Own(context.Background(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) begin(wr *Writer) *Fragment {
	w.t.Helper()
	f, err := wr.Begin(context.Background(), BeginOptions{Class: blob.Day, Sealer: w.key})
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *world) write(f *Fragment, payloads ...string) {
	w.t.Helper()
	for i, p := range payloads {
		if err := f.Write(context.Background(), []byte(p), []byte{byte(i)}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) commit(f *Fragment, o CommitOptions) {
	w.t.Helper()
	if err := f.Commit(context.Background(), o); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) fragment(wr *Writer, payloads ...string) Seq {
	w.t.Helper()
	f := w.begin(wr)
	w.write(f, payloads...)
	w.commit(f, CommitOptions{Meta: []byte(payloads[0])})
	return f.Seq()
}

func (w *world) records(wr *Writer, payloads ...string) Seq {
	w.t.Helper()
	var records []Record
	for _, p := range payloads {
		records = append(records, Record{Payload: []byte(p)})
	}
	seq, err := wr.Append(context.Background(), AppendOptions{Class: blob.Day, Sealer: w.key}, records...)
	if err != nil {
		w.t.Fatal(err)
	}
	return seq
}

func (w *world) read(j *Journal, d *Descriptor) (payloads []string) {
	w.t.Helper()
	for f, err := range j.Frames(context.Background(), d, w.key) {
		if err != nil {
			w.t.Fatal(err)
		}
		payloads = append(payloads, string(f.Payload))
	}
	return payloads
}

func scanned(t testing.TB, j *Journal, stream string, from, to Seq) (list []*Descriptor) {
	t.Helper()
	for d, err := range j.Scan(context.Background(), stream, from, to) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

func TestCommittedFragmentReadsBack(t *testing.T) {
	w := newWorld(t)
	at := time.Date(2026, 11, 23, 1, 2, 3, 456_789_000, time.UTC)
	j := w.open(Options{Now: func() time.Time { return at }})
	wr := mustOwn(t, j, "cam")
	f := w.begin(wr)
	if f.Seq() != NewSeq(1, 1) {
		t.Errorf("first number is %d", f.Seq())
	}
	w.write(f, "one", "", "three")
	index := []IndexKey{{Name: "time", Key: meta.AppendUint64(nil, 5), Value: []byte("v")}}
	w.commit(f, CommitOptions{Meta: []byte("descriptor"), Index: index, Puts: []meta.KV{{Key: []byte("own/row"), Value: []byte("1")}}})

	d, err := j.Stat(t.Context(), "cam", f.Seq())
	if err != nil {
		t.Fatal(err)
	}
	if d.Kind != KindFragment || d.Frames != 3 || d.Bytes != 8 || string(d.Meta) != "descriptor" || d.Class != blob.Day ||
		d.KeyID != "key-7" || !d.Time.Equal(at.Truncate(time.Millisecond)) || d.Session != j.Session() {
		t.Errorf("descriptor = %+v", d)
	}
	if got := w.read(j, d); fmt.Sprint(got) != "[one  three]" {
		t.Errorf("frames = %q", got)
	}
	for fr, err := range j.Frames(t.Context(), d, w.key) {
		if err != nil || len(fr.Attrs) != 1 || int(fr.Attrs[0]) != fr.Index || fr.Seq != f.Seq() {
			t.Errorf("frame = %+v, %v", fr, err)
		}
	}
	err = w.db.View(t.Context(), func(r meta.Reader) error { _, err := r.Get([]byte("own/row")); return err })
	if err != nil {
		t.Errorf("row of the caller: %v", err)
	}
	if r := w.check(); r.Opened != 1 || r.Frames != 3 || r.Bytes != 8 {
		t.Errorf("report = %+v", r)
	}
}

func TestRecordsHaveNumbersOfTheirOwn(t *testing.T) {
	for _, inline := range []int{-1, 4096} {
		w := newWorld(t)
		j := w.open(Options{InlineBytes: inline})
		wr := mustOwn(t, j, Shard("stream", "shard-1"))
		a := w.records(wr, "a", "b", "c")
		b := w.records(wr, "d")
		if a != NewSeq(1, 1) || b != NewSeq(1, 4) {
			t.Errorf("numbers %d, %d", a, b)
		}
		for seq, want := range map[Seq]Seq{1: a, 2: a, 3: a, 4: b} {
			d, err := j.Stat(t.Context(), wr.Stream(), NewSeq(1, uint32(seq)))
			if err != nil || d.Seq != want {
				t.Errorf("Stat(%d) = %+v, %v", seq, d, err)
			}
		}
		if _, err := j.Stat(t.Context(), wr.Stream(), NewSeq(1, 5)); !errors.Is(err, ErrNotFound) {
			t.Errorf("Stat of a number not given out = %v", err)
		}
		if got := scanned(t, j, wr.Stream(), NewSeq(1, 2), NewSeq(1, 4)); len(got) != 1 || got[0].Seq != a {
			t.Errorf("Scan from within a batch = %+v", got)
		}
		d, _ := j.Stat(t.Context(), wr.Stream(), a)
		for f, err := range j.Frames(t.Context(), d, w.key) {
			if err != nil || f.Seq != a+Seq(f.Index) {
				t.Errorf("record = %+v, %v", f, err)
			}
		}
		w.check()
	}
}

func TestScanGoesBothWaysOverPages(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	wr := mustOwn(t, j, "s")
	other := mustOwn(t, j, "s2")
	var want []Seq
	for i := range 2*pageRows + 10 {
		w.records(other, "x")
		if i%2 == 0 {
			want = append(want, w.records(wr, "a", "b"))
		} else {
			want = append(want, w.records(wr, "a"))
		}
	}
	var got []Seq
	for d, err := range j.ScanReverse(t.Context(), "s", 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append([]Seq{d.Seq}, got...)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("backwards: %d entries, want %d", len(got), len(want))
	}
	got = nil
	for _, d := range scanned(t, j, "s", 0, 0) {
		got = append(got, d.Seq)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("forwards: %d entries, want %d", len(got), len(want))
	}
	got = nil
	for d, err := range j.ScanReverse(t.Context(), "s", want[2]+1, want[4]) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d.Seq)
	}
	if fmt.Sprint(got) != fmt.Sprint([]Seq{want[3], want[2]}) {
		t.Errorf("from within a batch, backwards: %v, want %v", got, []Seq{want[3], want[2]})
	}
}

func TestIndexFindsEntries(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	wr := mustOwn(t, j, "s")
	for _, at := range []uint64{30, 10, 20, 20} {
		f := w.begin(wr)
		w.commit(f, CommitOptions{Index: []IndexKey{
			{Name: "t", Key: meta.AppendUint64(nil, at)},
			{Name: "u", Key: []byte("same")},
		}})
	}
	key := func(n uint64) []byte { return meta.AppendUint64(nil, n) }
	var got []Seq
	for e, err := range j.ScanIndex(t.Context(), "s", "t", key(10), key(30)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Seq.counterOnly())
	}
	if fmt.Sprint(got) != "[2 3 4]" {
		t.Errorf("ScanIndex = %v", got)
	}
	got = nil
	for e, err := range j.ScanIndexReverse(t.Context(), "s", "t", nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Seq.counterOnly())
	}
	if fmt.Sprint(got) != "[1 4 3 2]" {
		t.Errorf("ScanIndexReverse = %v", got)
	}
	w.check()
}

func (s Seq) counterOnly() Seq { return Seq(s.Counter()) }

func TestAbortedFragmentIsNeverStored(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	wr := mustOwn(t, j, "s")
	f := w.begin(wr)
	w.write(f, "x")
	f.Abort()
	f.Abort()
	if err := f.Write(t.Context(), nil, nil); !errors.Is(err, ErrDone) {
		t.Errorf("Write after Abort = %v", err)
	}
	if err := f.Commit(t.Context(), CommitOptions{}); !errors.Is(err, ErrDone) {
		t.Errorf("Commit after Abort = %v", err)
	}
	if got := scanned(t, j, "s", 0, 0); len(got) != 0 {
		t.Errorf("%d entries", len(got))
	}
	if seq := w.fragment(wr, "y"); seq != NewSeq(1, 2) {
		t.Errorf("next number is %d", seq)
	}
}

// A number becomes visible only when every smaller one is decided.
func TestEntriesAreCommittedInTheOrderOfTheirNumbers(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	wr := mustOwn(t, j, "s")
	first := w.begin(wr)
	second := w.begin(wr)
	w.write(second, "2")
	done := make(chan error)
	go func() { done <- second.Commit(context.Background(), CommitOptions{}) }()
	w.fragment(mustOwn(t, j, "other"), "not held up")
	select {
	case err := <-done:
		t.Fatalf("second was decided before the first: %v", err)
	default:
	}
	if got := scanned(t, j, "s", 0, 0); len(got) != 0 {
		t.Fatal("second is visible before the first")
	}
	w.write(first, "1")
	w.commit(first, CommitOptions{})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := scanned(t, j, "s", 0, 0); len(got) != 2 {
		t.Errorf("%d entries", len(got))
	}
	w.check()
}

func TestCancelledCommitIsNeverStored(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	wr := mustOwn(t, j, "s")
	first, second := w.begin(wr), w.begin(wr)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- second.Commit(ctx, CommitOptions{}) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Commit = %v", err)
	}
	w.commit(first, CommitOptions{})
	if got := scanned(t, j, "s", 0, 0); len(got) != 1 || got[0].Seq != first.Seq() {
		t.Errorf("entries = %+v", got)
	}
}

func TestTakeoverEndsThePreviousOwner(t *testing.T) {
	w := newWorld(t)
	a, b := w.open(Options{Address: "a"}), w.open(Options{Address: "b"})
	wa, kept := mustOwn(t, a, "s"), mustOwn(t, a, "kept")
	w.fragment(wa, "1")
	f := w.begin(wa)
	w.write(f, "never")
	wb := mustOwn(t, b, "s")
	if wb.Epoch() != 2 {
		t.Errorf("epoch = %d", wb.Epoch())
	}
	seen := len(scanned(t, b, "s", 0, 0))
	if err := f.Commit(t.Context(), CommitOptions{}); !errors.Is(err, ErrFenced) {
		t.Errorf("Commit of the previous owner = %v, want ErrFenced", err)
	}
	if _, err := wa.Begin(t.Context(), BeginOptions{Class: blob.Day, Sealer: w.key}); !errors.Is(err, ErrFenced) {
		t.Errorf("Begin of the previous owner = %v, want ErrFenced", err)
	}
	if got := len(scanned(t, b, "s", 0, 0)); got != seen {
		t.Error("an entry appeared behind the new owner")
	}
	w.fragment(kept, "a's other stream goes on")
	w.fragment(wb, "2")
	if o, err := a.Owner(t.Context(), "s"); err != nil || o.Address != "b" || o.Epoch != 2 || o.Session != b.Session() {
		t.Errorf("Owner = %+v, %v", o, err)
	}
	w.check()
}

func TestOwnInTheSameProcessTakesOverToo(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	old := mustOwn(t, j, "s")
	f := w.begin(old)
	again := mustOwn(t, j, "s")
	if err := f.Commit(t.Context(), CommitOptions{}); !errors.Is(err, ErrFenced) {
		t.Errorf("Commit = %v, want ErrFenced", err)
	}
	if err := old.Err(); !errors.Is(err, ErrFenced) {
		t.Errorf("Err = %v", err)
	}
	if seq := w.fragment(again, "x"); seq != NewSeq(2, 1) {
		t.Errorf("number = %d", seq)
	}
}

func TestOneStoreServesOneJournal(t *testing.T) {
	w := newWorld(t)
	bs := w.bytes.Open()
	j, err := Open(t.Context(), w.db, bs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close(context.Background())
	if _, err := Open(t.Context(), w.db, bs, Options{}); err == nil {
		t.Error("a second journal opened on the same blob store")
	}
}

func TestClosedJournalWritesNothing(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	wr := mustOwn(t, j, "s")
	f := w.begin(wr)
	if err := errors.Join(j.Close(t.Context()), j.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(t.Context(), CommitOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Commit = %v", err)
	}
	if _, err := j.Own(t.Context(), "t"); !errors.Is(err, ErrClosed) {
		t.Errorf("Own = %v", err)
	}
}

func TestLimitsAreHeld(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	wr := mustOwn(t, j, "s")
	for name, o := range map[string]CommitOptions{
		"meta":      {Meta: make([]byte, MaxMetaBytes+1)},
		"index key": {Index: []IndexKey{{Key: make([]byte, MaxIndexBytes+1)}}},
		"indexes":   {Index: make([]IndexKey, maxIndexKeys+1)},
		"value":     {Puts: []meta.KV{{Key: []byte("k"), Value: make([]byte, meta.MaxValueBytes+1)}}},
		"rows":      {Puts: make([]meta.KV, meta.MaxRows)},
	} {
		if err := w.begin(wr).Commit(t.Context(), o); !errors.Is(err, ErrTooLarge) {
			t.Errorf("Commit with too large %s = %v", name, err)
		}
	}
	if err := w.begin(wr).Write(t.Context(), nil, make([]byte, MaxAttrsBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Write = %v", err)
	}
	if _, err := j.Own(t.Context(), ""); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Own = %v", err)
	}
	if _, err := wr.Append(t.Context(), AppendOptions{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Append of nothing = %v", err)
	}
}

func TestConcurrentStreamsShareTheJournal(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	var wg sync.WaitGroup
	for s := range 8 {
		wg.Go(func() {
			wr := mustOwn(t, j, fmt.Sprintf("s%d", s))
			for i := range 30 {
				if i%3 == 0 {
					w.records(wr, "r", fmt.Sprint(i))
				} else {
					w.fragment(wr, fmt.Sprint(i), string(make([]byte, 5000)))
				}
			}
		})
	}
	wg.Wait()
	if r := w.check(); r.Entries != 240 || r.Opened != 240 {
		t.Errorf("report = %+v", r)
	}
}

// A dropped stream that comes back must not repeat a nonce of this session.
func TestDroppedStreamNeverRepeatsAnEpoch(t *testing.T) {
	w := newWorld(t)
	j := w.open(Options{})
	old := mustOwn(t, j, "s")
	w.fragment(old, "x")
	if err := j.Drop(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	if got := scanned(t, j, "s", 0, 0); len(got) != 0 {
		t.Errorf("%d entries after Drop", len(got))
	}
	if _, err := j.Owner(t.Context(), "s"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Owner after Drop = %v", err)
	}
	if again := mustOwn(t, j, "s"); again.Epoch() <= old.Epoch() {
		t.Errorf("epoch %d after %d", again.Epoch(), old.Epoch())
	}
}
