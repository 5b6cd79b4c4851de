// SPDX-License-Identifier: Apache-2.0

package power_test

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/blob/disk"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/meta/pebble"
)

func writeFragment(t *testing.T, w *journal.Writer, n int) journal.Seq {
	t.Helper()
	f, err := w.Begin(t.Context(), journal.BeginOptions{Class: blob.Hour, Sealer: dataKey()})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write(t.Context(), make([]byte, n), nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(t.Context(), journal.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	return f.Seq()
}

// A stream without retention keeps a window in a volatile journal: rows in memory, bytes
// in a directory that the next start empties.
func TestSpoolKeepsAWindow(t *testing.T) {
	fs := vfs.NewMem()
	spool := func() (*journal.Journal, *disk.Store, meta.DB) {
		bs, err := disk.Open("/spool", disk.Options{FS: fs, Volatile: true, SegmentBytes: 256 << 10})
		if err != nil {
			t.Fatal(err)
		}
		db := mem.New()
		j, err := journal.Open(t.Context(), db, bs, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close(context.Background()) })
		return j, bs, db
	}
	j, bs, db := spool()
	w, err := j.Own(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	var last journal.Seq
	for range 50 {
		last = writeFragment(t, w, 50_000)
		if _, err := j.Trim(t.Context(), "s", journal.TrimOptions{KeepBytes: 200_000, OlderThan: time.Now().Add(-time.Minute)}); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Reap(t.Context(), journal.ReapOptions{Alone: true}); err != nil {
			t.Fatal(err)
		}
	}
	var kept, onDisk int64
	for d, err := range j.Scan(t.Context(), "s", 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		kept += d.Stored
		if d.Last() > last {
			t.Errorf("entry %d", d.Seq)
		}
	}
	for info, err := range bs.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		onDisk += info.Size
	}
	if kept == 0 || kept > 200_000 || onDisk > 600_000 {
		t.Errorf("window holds %d bytes, disk %d", kept, onDisk)
	}
	if r, err := journal.Check(t.Context(), db, bs, dataKey()); err != nil || !r.OK() {
		t.Errorf("check: %v %v", r.Problems, err)
	}
	j.Close(t.Context())
	_, bs, _ = spool()
	for info := range bs.List(t.Context(), "") {
		t.Errorf("%s outlived its process", info.Name)
	}
}

// A backup is a checkpoint of the meta store and the blobs, copied after it. Restored, it
// is whole, whatever was written in between.
func TestCheckpointIsABackup(t *testing.T) {
	fs := vfs.NewMem()
	ctx := t.Context()
	db, err := pebble.Open("/data/meta", pebble.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	bs, err := disk.Open("/data/blob", disk.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(ctx, db, bs, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close(context.Background())
	w, err := j.Own(ctx, "s")
	if err != nil {
		t.Fatal(err)
	}
	before := writeFragment(t, w, 10_000)
	if err := db.Checkpoint(ctx, "/backup/meta"); err != nil {
		t.Fatal(err)
	}
	after := writeFragment(t, w, 10_000)

	restored, err := pebble.Open("/backup/meta", pebble.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if r, err := journal.Check(ctx, restored, bs, dataKey()); err != nil || !r.OK() || r.Entries != 1 || r.Opened != 1 {
		t.Errorf("check of the backup: %+v, %v", r, err)
	}
	bs2, err := disk.Open("/data/blob", disk.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	j2, err := journal.Open(ctx, restored, bs2, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j2.Close(context.Background())
	if _, err := j2.Stat(ctx, "s", before); err != nil {
		t.Error(err)
	}
	if _, err := j2.Stat(ctx, "s", after); err == nil {
		t.Error("an entry is in a backup that is older")
	}
	if w2, err := j2.Own(ctx, "s"); err != nil || writeFragment(t, w2, 100) <= before {
		t.Errorf("the restored store cannot be written: %v", err)
	}
}
