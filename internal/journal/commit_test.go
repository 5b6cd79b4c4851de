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

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/blob/disk"
	"github.com/obscura-video/obscura/internal/meta"
	metamem "github.com/obscura-video/obscura/internal/meta/mem"
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

func TestFullDiskFailsTheFragmentOnly(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 30})
	bs, err := disk.Open("/blob", disk.Options{FS: fs, MinFreeBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	j, err := Open(t.Context(), metamem.New(), bs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close(context.Background())
	wr := mustOwn(t, j, "s")
	w.fragment(wr, "before")
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 10, TotalBytes: 1 << 30})
	f := w.begin(wr)
	for err == nil {
		err = f.Write(t.Context(), make([]byte, 1<<20), nil)
	}
	if !errors.Is(err, blob.ErrFull) {
		t.Errorf("Write on a full disk = %v, want ErrFull", err)
	}
	if err := f.Commit(t.Context(), CommitOptions{}); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Commit = %v, want ErrFull", err)
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 30})
	if seq := w.fragment(wr, "after"); seq != NewSeq(1, 3) {
		t.Errorf("number = %d", seq)
	}
}
