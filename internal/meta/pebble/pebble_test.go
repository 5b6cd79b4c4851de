// SPDX-License-Identifier: Apache-2.0

package pebble

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/metatest"
	"github.com/obscura-video/obscura/internal/vfstest"
)

func openAt(t *testing.T, fs vfs.FS, o Options) *DB {
	t.Helper()
	o.FS, o.MemTableBytes, o.CacheBytes = fs, 256<<10, 1<<20
	db, err := Open("/data/meta", o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestConformance(t *testing.T) {
	metatest.Run(t, func(t *testing.T) meta.DB { return openAt(t, vfs.NewMem(), Options{}) })
}

func put(t *testing.T, db *DB, key string) {
	t.Helper()
	err := db.Update(t.Context(), func(tx meta.Tx) error { tx.Put([]byte(key), []byte(key)); return nil })
	if err != nil {
		t.Error(err)
	}
}

func has(t *testing.T, db *DB, key string) bool {
	t.Helper()
	err := db.View(t.Context(), func(r meta.Reader) error { _, err := r.Get([]byte(key)); return err })
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// crash returns the store as a power cut at this moment leaves it.
func crash(t *testing.T, fs *vfs.MemFS, db *DB) *DB {
	t.Helper()
	cut := fs.CrashClone(vfs.CrashCloneCfg{})
	db.Close()
	return openAt(t, cut, Options{})
}

func TestAcknowledgedUpdateSurvivesPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db := openAt(t, fs, Options{})
	put(t, db, "a")
	db = crash(t, fs, db)
	defer db.Close()
	if !has(t, db, "a") {
		t.Error("acknowledged row is gone")
	}
}

// The control: without the sync the same test must lose the row.
func TestControlWithoutSyncLosesTheRow(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db := openAt(t, vfstest.WithoutSync(fs, func(path string) bool { return strings.HasSuffix(path, ".log") }), Options{})
	put(t, db, "a")
	db = crash(t, fs, db)
	defer db.Close()
	if has(t, db, "a") {
		t.Error("the row survived a power cut without a sync: this test cannot fail")
	}
}

// A View that saw a row whose writer has not yet been answered must make it
// durable before it answers itself.
func TestViewAnswersOnlyWithDurableData(t *testing.T) {
	for range 50 {
		fs := vfs.NewCrashableMem()
		db := openAt(t, fs, Options{})
		// A transaction that has been applied but not synced, as between the two steps of Update.
		_, err := db.transact(t.Context(), func(tx meta.Tx) error { tx.Put([]byte("a"), nil); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if !has(t, db, "a") {
			t.Fatal("row is not visible: the test does not test what it should")
		}
		db = crash(t, fs, db)
		if !has(t, db, "a") {
			t.Fatal("a View answered with a row that a power cut took back")
		}
		db.Close()
	}
}

func TestFailedUpdateMakesWhatItReadDurable(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db := openAt(t, fs, Options{})
	if _, err := db.transact(t.Context(), func(tx meta.Tx) error { tx.Put([]byte("a"), nil); return nil }); err != nil {
		t.Fatal(err)
	}
	exists := errors.New("exists already")
	err := db.Update(t.Context(), func(tx meta.Tx) error {
		if _, err := tx.Get([]byte("a")); err != nil {
			return err
		}
		return exists
	})
	if !errors.Is(err, exists) {
		t.Fatal(err)
	}
	db = crash(t, fs, db)
	defer db.Close()
	if !has(t, db, "a") {
		t.Error("an answer rested on a row that a power cut took back")
	}
}

func TestCheckpointIsAStoreOfItsOwn(t *testing.T) {
	fs := vfs.NewMem()
	db := openAt(t, fs, Options{})
	defer db.Close()
	put(t, db, "before")
	if err := db.Checkpoint(t.Context(), "/data/backup"); err != nil {
		t.Fatal(err)
	}
	put(t, db, "after")
	backup, err := Open("/data/backup", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer backup.Close()
	if !has(t, backup, "before") || has(t, backup, "after") {
		t.Error("checkpoint does not hold what was there when it was made")
	}
}
