// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/meta"
)

// leavingDB is a store after whose next Update the caller is gone.
type leavingDB struct {
	meta.DB
	leave context.CancelFunc
}

func (l *leavingDB) Update(ctx context.Context, fn func(meta.Tx) error) error {
	defer l.leave()
	return l.DB.Update(ctx, fn)
}

// hourly puts n fragments, an hour apart and each under a data key of its own.
func (w *world) hourly(name string, n int) {
	w.t.Helper()
	for i := range n {
		w.putAll(name, header(), cluster(uint64(1000+i), "a"))
		time.Sleep(time.Hour)
	}
}

// TestFootageIsDeletedForCallerWhoLeaves: the caller of UpdateDataRetention may go away when the stream has its new
// retention; what is then too old goes all the same, with its data keys.
func TestFootageIsDeletedForCallerWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 4)
		w.hourly("s", 3)
		time.Sleep(time.Minute)
		ctx, leave := context.WithCancel(w.as(camera))
		w.DB = &leavingDB{w.db, leave}
		_, err := w.UpdateDataRetention(ctx, &kvapi.UpdateDataRetentionInput{
			StreamName: ptr("s"), CurrentVersion: w.describe("s").Version, DataRetentionChangeInHours: ptr(int64(2)),
			Operation: ptr(kvapi.UpdateDataRetentionOperationDecreaseDataRetention),
		})
		if err != nil || ctx.Err() == nil {
			t.Fatalf("the change: %v, the caller: %v", err, ctx.Err())
		}
		if n := len(w.list("s")); n != 1 {
			t.Errorf("%d fragments are younger than two hours", n)
		}
		if keys, headers := w.rows("dk"), w.rows("kv", rowHeader); keys != 1 || headers != 1 {
			t.Errorf("%d data keys and %d headers for one fragment", keys, headers)
		}
	})
}

// TestSweepFinishesATrim: a process that dies between the deletion of fragments and that of their data keys leaves
// these to the next one, also when no other fragment has come or gone since.
func TestSweepFinishesATrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 24)
		w.hourly("s", 3)
		st, err := w.loadStream(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		last := w.list("s")[2]
		n, err := parseNumber(last)
		if err != nil {
			t.Fatal(err)
		}
		d, err := findNumber(t.Context(), w.Archive, st, n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Archive.Journal.Trim(t.Context(), st.key(), journal.TrimOptions{Before: d.Seq}); err != nil {
			t.Fatal(err)
		}
		w.restart()
		if keys := w.rows("dk"); keys != 3 {
			t.Fatalf("%d data keys: the test is of nothing", keys)
		}
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if keys, headers := w.rows("dk"), w.rows("kv", rowHeader); keys != 1 || headers != 1 {
			t.Errorf("%d data keys and %d headers for one fragment", keys, headers)
		}
		if media := w.readAll("s"); len(media) != 1 || media[0].number != last {
			t.Errorf("what is left is not readable: %+v", media)
		}
	})
}

// TestConnectionThatWasEndedWaitsForNobody: a viewer whose client takes nothing any more is cut when
// the stream is deleted, or the time of a connection is over.
func TestConnectionThatWasEndedWaitsForNobody(t *testing.T) {
	for _, deleted := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			arn := w.create("s", 1)
			w.putAll("s", header(), cluster(1000, "a"))
			slow := w.getInto(viewer, "s", earliest(), &sink{gate: make(chan struct{}), cut: make(chan struct{})})
			synctest.Wait()
			if deleted {
				w.delete(arn)
			}
			select {
			case <-slow.done:
			case <-time.After(maxConnection + 2*cutAfter):
				t.Error("a viewer that takes nothing keeps his place")
			}
		})
	}
}
