// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/policy"
)

const testAccount = "000000000000"

func call(user, service, operation string) *access.Call {
	return &access.Call{
		Principal: access.Principal{
			Principal: policy.Principal{
				Kind: policy.User, Account: testAccount,
				ARN: "arn:aws:iam::" + testAccount + ":user/" + user, UniqueID: "AIDA" + strings.ToUpper(user),
			},
			AccessKeyID: "AKIA" + strings.ToUpper(user), UserName: user,
		},
		Service: service, Operation: operation, RequestID: "req", SourceIP: "192.0.2.1", UserAgent: "test",
	}
}

func event(user, service, operation string) Event {
	return NewEvent(call(user, service, operation), Outcome{
		Region: "us-east-1", Account: testAccount,
		Params: map[string]any{"keyId": "alias/<video>", "encryptionContext": map[string]any{"stream": "door"}},
	})
}

func open(t testing.TB, db meta.DB) *Log {
	t.Helper()
	l, err := Open(t.Context(), Config{DB: db})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func record(t testing.TB, l *Log, events ...Event) {
	t.Helper()
	for _, e := range events {
		if err := l.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// all pages through a query and returns what it found.
func all(t testing.TB, l *Log, q Query) []Found {
	t.Helper()
	var found []Found
	for {
		p, err := l.Lookup(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Events) > q.Limit {
			t.Fatalf("page of %d, limit %d", len(p.Events), q.Limit)
		}
		found = append(found, p.Events...)
		if p.Next == (Cursor{}) {
			return found
		}
		q.After = p.Next
	}
}

func TestMutatingEventIsDurableBeforeRecordReturns(t *testing.T) {
	db := mem.New()
	l := open(t, db)
	record(t, l, event("alice", "kms", "CreateKey"))
	// A second log on the same store sees what is in it, no more.
	if got := all(t, open(t, db), Query{Limit: 10}); len(got) != 1 || got[0].EventName != "CreateKey" {
		t.Fatalf("found %v", got)
	}
}

func TestReadOnlyEventIsWrittenWithinTheFlushDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, mem.New())
		record(t, l, event("alice", "kms", "Decrypt"))
		synctest.Wait()
		if got := all(t, l, Query{Limit: 10}); len(got) != 0 {
			t.Fatal("written at once: nothing is gathered")
		}
		time.Sleep(flushDelay)
		synctest.Wait()
		if got := all(t, l, Query{Limit: 10}); len(got) != 1 {
			t.Fatalf("found %d", len(got))
		}
		l.Close()
	})
}

func TestCloseFlushesAndReopeningContinuesTheChain(t *testing.T) {
	db := mem.New()
	for round := range 4 {
		l := open(t, db)
		for i := range 300 {
			record(t, l, event("alice", "kms", fmt.Sprintf("Get%d-%d", round, i)))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Record(t.Context(), event("alice", "kms", "Decrypt")); !errors.Is(err, ErrClosed) {
			t.Fatalf("after Close: %v", err)
		}
	}
	l := open(t, db)
	r, err := l.Verify(t.Context())
	if err != nil || r.Events != 1200 || r.Blocks < 8 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestConcurrentRecordsAreGroupedAndAllKept(t *testing.T) {
	l := open(t, &slow{DB: mem.New()})
	const workers, each = 16, 20
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if err := l.Record(t.Context(), event(fmt.Sprintf("u%d", w), "kms", fmt.Sprintf("CreateKey%d", i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r, err := l.Verify(t.Context())
	if err != nil || r.Events != workers*each {
		t.Fatalf("%+v, %v", r, err)
	}
	if r.Blocks > workers*each/2 {
		t.Errorf("%d blocks for %d events: no group commit", r.Blocks, r.Events)
	}
	seen := map[string]bool{}
	for _, f := range all(t, l, Query{Limit: 50}) {
		seen[f.EventID] = true
	}
	if len(seen) != workers*each {
		t.Errorf("%d different IDs", len(seen))
	}
}

// slow is a store whose writes take a while.
type slow struct{ meta.DB }

func (s *slow) Update(ctx context.Context, fn func(meta.Tx) error) error {
	time.Sleep(time.Millisecond)
	return s.DB.Update(ctx, fn)
}

// flaky is a store that fails while down, after or before it has written.
type flaky struct {
	meta.DB
	down, after atomic.Bool
}

var errDisk = errors.New("disk gone")

func (f *flaky) Update(ctx context.Context, fn func(meta.Tx) error) error {
	if !f.down.Load() {
		return f.DB.Update(ctx, fn)
	}
	if f.after.Load() {
		if err := f.DB.Update(ctx, fn); err != nil {
			return err
		}
	}
	return errDisk
}

func TestRecordFailsWhileTheStoreFailsAndNothingTakenUpIsLost(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("outcome unknown=%v", after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := &flaky{DB: mem.New()}
				l := open(t, db)
				record(t, l, event("alice", "kms", "CreateKey"))
				db.down.Store(true)
				db.after.Store(after)
				for range 3 {
					err := l.Record(t.Context(), event("alice", "kms", "CreateGrant"))
					if !errors.Is(err, ErrUnavailable) || !errors.Is(err, errDisk) {
						t.Fatalf("mutating: %v", err)
					}
				}
				if err := l.Record(t.Context(), event("alice", "kms", "Decrypt")); !errors.Is(err, ErrUnavailable) {
					t.Fatalf("read-only: %v", err)
				}
				db.down.Store(false)
				time.Sleep(2 * flushDelay)
				synctest.Wait()
				record(t, l, event("alice", "kms", "DisableKey"))
				r, err := l.Verify(t.Context())
				// The first CreateGrant was taken up; the others were refused at the door.
				if err != nil || r.Events != 3 {
					t.Fatalf("%+v, %v", r, err)
				}
				l.Close()
			})
		})
	}
}

func TestCloseTellsWhatTheStoreDidNotTake(t *testing.T) {
	db := &flaky{DB: mem.New()}
	l := open(t, db)
	db.down.Store(true)
	if err := l.Record(t.Context(), event("alice", "kms", "CreateKey")); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "1 events lost") {
		t.Fatal(err)
	}
}

// stuck is a store whose writes wait.
type stuck struct {
	meta.DB
	release chan struct{}
}

func (s *stuck) Update(ctx context.Context, fn func(meta.Tx) error) error {
	<-s.release
	return s.DB.Update(ctx, fn)
}

func TestFullQueueBlocksReadOnlyEventsAndDropsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &stuck{mem.New(), make(chan struct{})}
		l, err := Open(t.Context(), Config{DB: db, QueueLength: 4})
		if err != nil {
			t.Fatal(err)
		}
		var recorded atomic.Int64
		go func() {
			for range 1000 {
				if l.Record(t.Context(), event("alice", "kms", "Decrypt")) != nil {
					t.Error("refused")
				}
				recorded.Add(1)
			}
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := recorded.Load(); n > maxBlockEvents+4 {
			t.Fatalf("%d accepted with a stuck store", n)
		}
		close(db.release)
		synctest.Wait()
		if n := recorded.Load(); n != 1000 {
			t.Fatalf("%d accepted", n)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, db.DB)
		if r, err := l.Verify(t.Context()); err != nil || r.Events != 1000 {
			t.Fatalf("%+v, %v", r, err)
		}
		l.Close()
	})
}

func TestTwoProcessesCannotExtendOneChain(t *testing.T) {
	db := mem.New()
	a, b := open(t, db), open(t, db)
	record(t, a, event("alice", "kms", "CreateKey"))
	if err := b.Record(t.Context(), event("bob", "kms", "CreateKey")); !errors.Is(err, ErrForked) {
		t.Fatalf("got %v", err)
	}
	if err := b.Close(); !errors.Is(err, ErrForked) {
		t.Fatal(err)
	}
	if r, err := a.Verify(t.Context()); err != nil || r.Events != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// doomed is a store that stops for good in the middle of its nth write: before it, or after.
type doomed struct {
	meta.DB
	left  atomic.Int64
	after bool
}

func (d *doomed) Update(ctx context.Context, fn func(meta.Tx) error) error {
	n := d.left.Add(-1)
	if n < 0 || n == 0 && !d.after {
		return errDisk
	}
	if err := d.DB.Update(ctx, fn); err != nil || n > 0 {
		return err
	}
	return errDisk
}

// TestCrashLosesNothingThatWasAcknowledged stops the store at every one of its writes, both ways, and opens
// what is left as after a crash.
func TestCrashLosesNothingThatWasAcknowledged(t *testing.T) {
	for n := range int64(8) {
		for _, after := range []bool{false, true} {
			db := &doomed{DB: mem.New(), after: after}
			db.left.Store(n)
			l := open(t, db)
			var acknowledged []string
			for i := range 10 {
				name := fmt.Sprintf("Create%d", i)
				if l.Record(t.Context(), event("alice", "kms", name)) == nil {
					acknowledged = append(acknowledged, name)
				}
			}
			if len(acknowledged) > int(n) {
				t.Fatalf("acknowledged %d of %d writes", len(acknowledged), n)
			}
			again := open(t, db.DB)
			record(t, again, event("alice", "kms", "CreateLast"))
			if _, err := again.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, f := range all(t, again, Query{Limit: 50}) {
				names = append(names, f.EventName)
			}
			for _, name := range append(acknowledged, "CreateLast") {
				if !slices.Contains(names, name) {
					t.Errorf("write %d, after=%v: %s is lost; found %v", n, after, name, names)
				}
			}
		}
	}
}

func TestHugeEventsAreSplitOverSeveralValues(t *testing.T) {
	l := open(t, mem.New())
	var noise strings.Builder
	for i := 0; noise.Len() < 90<<10; i++ {
		noise.WriteString(newID(int64(i) * 7919))
	}
	for range 30 {
		e := event("alice", "iam", "PutUserPolicy")
		e.RequestParameters = map[string]any{"policyDocument": noise.String()}
		e.ReadOnly = true // gathered
		record(t, l, e)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := l.Verify(t.Context()); err != nil || r.Events != 30 || r.Blocks < 2 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestClockSetBackKeepsTheLogInOrder(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	l, err := Open(t.Context(), Config{DB: mem.New(), Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i, step := range []time.Duration{0, 0, -time.Hour, 2 * time.Hour, 150 * time.Millisecond, 150 * time.Millisecond} {
		mu.Lock()
		now = now.Add(step)
		mu.Unlock()
		record(t, l, event("alice", "kms", fmt.Sprintf("Describe%d", i)))
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var last time.Time
	for i, f := range all(t, l, Query{Limit: 2}) {
		if i > 0 && f.EventTime.After(last) {
			t.Errorf("%s is out of order", f.EventName)
		}
		last = f.EventTime
	}
	if _, err := l.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkRecordReadOnly(b *testing.B) {
	l := open(b, mem.New())
	c := call("alice", "kms", "Decrypt")
	o := Outcome{Region: "us-east-1", Account: testAccount, Params: map[string]any{
		"keyId": "arn:aws:kms:us-east-1:000000000000:key/1234", "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
		"encryptionContext": map[string]any{"aws:kinesisvideo:arn": "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1"},
	}}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Record(ctx, NewEvent(c, o)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecordCaller measures what the caller waits for when the writer keeps up.
func BenchmarkRecordCaller(b *testing.B) {
	const burst = 1000
	l := open(b, mem.New())
	c := call("alice", "kms", "Decrypt")
	ctx := context.Background()
	n := 0
	for b.Loop() {
		if n++; n%burst == 0 {
			b.StopTimer()
			l.Flush(ctx)
			b.StartTimer()
		}
		if err := l.Record(ctx, NewEvent(c, Outcome{Region: "us-east-1", Account: testAccount})); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e := event("alice", "kms", "Decrypt")
	var c encoder
	for b.Loop() {
		x := e
		c.encode(&x)
	}
}

func BenchmarkLookup(b *testing.B) {
	l := open(b, mem.New())
	for i := range 200_000 {
		user := "alice"
		if i%50_000 == 7 {
			user = "mallory"
		}
		record(b, l, event(user, "kms", "Decrypt"))
	}
	l.Flush(b.Context())
	for _, q := range []Query{
		{Limit: 50},
		{Attribute: Username, Value: "mallory", Limit: 50},
		{Attribute: Username, Value: "nobody", Limit: 50},
	} {
		b.Run(q.Value, func(b *testing.B) {
			for b.Loop() {
				if _, err := l.Lookup(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
