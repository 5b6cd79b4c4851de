// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
)

// slowDB counts commits, delays them, and can be made to fail.
type slowDB struct {
	meta.DB
	commits atomic.Int64
	fail    atomic.Bool
}

func (db *slowDB) Commit(ctx context.Context, f meta.Fence, puts []meta.KV) error {
	db.commits.Add(1)
	time.Sleep(time.Millisecond)
	if db.fail.Load() {
		return errors.New("connection lost")
	}
	return db.DB.Commit(ctx, f, puts)
}

func TestEntriesOfManyStreamsShareCommits(t *testing.T) {
	w := newWorld(t)
	db := &slowDB{DB: w.db}
	w.db = db
	j := w.open(Options{})
	var wg sync.WaitGroup
	for s := range 32 {
		wr := mustOwn(t, j, fmt.Sprint(s))
		wg.Go(func() {
			for range 8 {
				w.records(wr, "x")
			}
		})
	}
	wg.Wait()
	if n := db.commits.Load(); n > 128 {
		t.Errorf("%d commits for 256 entries", n)
	}
	w.check()
}

// After an outcome that is not known the order of streams cannot be promised any more.
func TestUnknownOutcomeEndsTheJournal(t *testing.T) {
	w := newWorld(t)
	db := &slowDB{DB: w.db}
	w.db = db
	j := w.open(Options{})
	wr, other := mustOwn(t, j, "s"), mustOwn(t, j, "t")
	f := w.begin(wr)
	w.write(f, "x")
	db.fail.Store(true)
	if err := f.Commit(t.Context(), CommitOptions{}); !errors.Is(err, ErrBroken) {
		t.Errorf("Commit = %v, want ErrBroken", err)
	}
	db.fail.Store(false)
	if _, err := other.Begin(t.Context(), BeginOptions{Class: blob.Day, Sealer: w.key}); !errors.Is(err, ErrBroken) {
		t.Errorf("Begin = %v, want ErrBroken", err)
	}
	if _, err := j.Own(t.Context(), "u"); !errors.Is(err, ErrBroken) {
		t.Errorf("Own = %v, want ErrBroken", err)
	}
	if r := reap(t, j, ReapOptions{}); r.Deleted != 0 {
		t.Errorf("a blob that a row may refer to was deleted: %+v", r)
	}
	if _, err := w.open(Options{}).Own(t.Context(), "s"); err != nil {
		t.Errorf("a new journal cannot go on: %v", err)
	}
}

// fullStore is a blob store that is full at times.
type fullStore struct {
	blob.Store
	full atomic.Bool
}

func (s *fullStore) NewWriter(ctx context.Context, c blob.Class) (blob.Writer, error) {
	w, err := s.Store.NewWriter(ctx, c)
	return fullWriter{w, s}, err
}

type fullWriter struct {
	blob.Writer
	s *fullStore
}

func (w fullWriter) Write(ctx context.Context, p []byte) (blob.Ref, error) {
	if w.s.full.Load() {
		return blob.Ref{}, blob.ErrFull
	}
	return w.Writer.Write(ctx, p)
}

func TestFullDiskFailsTheFragmentOnly(t *testing.T) {
	w := newWorld(t)
	bs := &fullStore{Store: w.bytes.Open()}
	j, err := Open(t.Context(), w.db, bs, Options{InlineBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close(context.Background())
	wr := mustOwn(t, j, "s")
	w.fragment(wr, "before")
	f := w.begin(wr)
	w.write(f, "still fits")
	bs.full.Store(true)
	if err := f.Write(t.Context(), []byte("x"), nil); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Write = %v, want ErrFull", err)
	}
	if err := f.Commit(t.Context(), CommitOptions{}); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Commit = %v, want ErrFull", err)
	}
	_, err = wr.Append(t.Context(), AppendOptions{Class: blob.Day, Sealer: w.key}, Record{Payload: []byte("x")})
	if !errors.Is(err, blob.ErrFull) {
		t.Errorf("Append = %v, want ErrFull", err)
	}
	bs.full.Store(false)
	if seq := w.fragment(wr, "after"); seq != NewSeq(1, 4) {
		t.Errorf("number = %d", seq)
	}
	if got := counters(scanned(t, j, "s", 0, 0)); len(got) != 2 {
		t.Errorf("entries = %v", got)
	}
	w.check()
}
