// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
)

// owing is a store whose changes are promised, and its audit log.
func owing(t *testing.T, db meta.DB) (*promising, *audit.Log) {
	t.Helper()
	p := newPromises(Config{Account: DefaultAccount, Region: DefaultRegion})
	log, err := audit.Open(t.Context(), audit.Config{DB: db, Settle: p.settle})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	if err := p.keep(t.Context(), db, log); err != nil {
		t.Fatal(err)
	}
	return &promising{db, p}, log
}

func promisesIn(t *testing.T, db meta.DB) (n int) {
	t.Helper()
	err := db.View(t.Context(), func(r meta.Reader) error {
		prefix := meta.Key(promiseSpace)
		for _, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func eventsIn(t *testing.T, log *audit.Log) (names []string) {
	t.Helper()
	page, err := log.Lookup(t.Context(), audit.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range page.Events {
		names = append(names, f.EventName)
	}
	return names
}

func inCall(ctx context.Context, operation string) (context.Context, *access.Call) {
	c := &access.Call{Service: "kms", Operation: operation, RequestID: "request"}
	return access.NewContext(ctx, c), c
}

func put(tx meta.Tx) error {
	tx.Put([]byte("x/row"), []byte("value"))
	return nil
}

// A change is promised in its own transaction, and what writes its event takes the promise away; one that is not
// made, or that nobody called for, promises nothing.
func TestChangeIsPromisedUntilItsEventIsWritten(t *testing.T) {
	t.Parallel()
	db := mem.New()
	store, log := owing(t, db)
	ctx, call := inCall(t.Context(), "CreateKey")
	failed := errors.New("no")
	for name, update := range map[string]func() error{
		"a look":             func() error { return store.Update(ctx, func(meta.Tx) error { return nil }) },
		"a failure":          func() error { return store.Update(ctx, func(tx meta.Tx) error { return errors.Join(put(tx), failed) }) },
		"the server's doing": func() error { return store.Update(t.Context(), put) },
	} {
		if err := update(); err != nil && !errors.Is(err, failed) {
			t.Fatal(err)
		}
		if n := promisesIn(t, db); n != 0 {
			t.Errorf("%s: %d promises", name, n)
		}
	}
	if err := store.Update(ctx, put); err != nil || promisesIn(t, db) != 1 {
		t.Fatalf("%d promises, %v", promisesIn(t, db), err)
	}
	_, inner := inCall(t.Context(), "Encrypt")
	if err := log.Record(t.Context(), audit.NewEvent(inner, audit.Outcome{})); err != nil {
		t.Fatal(err)
	}
	if err := log.Flush(t.Context()); err != nil || promisesIn(t, db) != 1 {
		t.Errorf("the event of another call of the same request: %d promises are left, %v", promisesIn(t, db), err)
	}
	if err := log.Record(t.Context(), audit.NewEvent(call, audit.Outcome{})); err != nil {
		t.Fatal(err)
	}
	if n := promisesIn(t, db); n != 0 {
		t.Errorf("%d promises are left of a call that is on record", n)
	}
}

// What a crash cut off is recorded at the next start, once.
func TestPromiseIsKeptAfterACrash(t *testing.T) {
	t.Parallel()
	db := mem.New()
	store, log := owing(t, db)
	ctx, _ := inCall(t.Context(), "CreateKey")
	if err := store.Update(ctx, put); err != nil {
		t.Fatal(err)
	}
	log.Close() // and the event was never recorded
	for range 2 {
		_, log = owing(t, db)
		if names := eventsIn(t, log); len(names) != 1 || names[0] != "CreateKey" {
			t.Errorf("events after a start: %v", names)
		}
		if n := promisesIn(t, db); n != 0 {
			t.Errorf("%d promises are left", n)
		}
		log.Close()
	}
}

// A call that goes on after its event is on record, as PutMedia does, owes nothing for what it changes then: nobody
// would take the promise away, and the next start would tell of a crash that was none.
func TestRecordedCallPromisesNothingMore(t *testing.T) {
	t.Parallel()
	w := start(t, filepath.Join(t.TempDir(), "data"), "")
	w.upload("door", 2)
	w.stop()
	s, err := Open(t.Context(), Config{Data: w.data, API: Listener{Listen: Off}, Media: Listener{Listen: "127.0.0.1:0"}, Device: Listener{Listen: Off}, Admin: Listener{Listen: Off}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	puts := 0
	for run, err := range s.services.audit.Runs(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range run.Records {
			puts += bytes.Count(r, []byte(`"eventName":"PutMedia"`))
		}
	}
	if n := promisesIn(t, s.stores.db); n != 0 || puts != 1 {
		t.Errorf("%d promises, %d events of one call", n, puts)
	}
}
