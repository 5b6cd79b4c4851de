// SPDX-License-Identifier: Apache-2.0

package power_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/vfstest"
	"github.com/obscura-video/obscura/test/rig"
)

// faulty counts the I/O calls and fails one of them.
type faulty struct {
	calls atomic.Int64
	fail  int64 // 0 is none
	mu    sync.Mutex
	what  string
}

// String implements errorfs.Injector.
func (f *faulty) String() string { return "one fault" }

// MaybeError implements errorfs.Injector.
func (f *faulty) MaybeError(op errorfs.Op) error {
	if f.calls.Add(1) != f.fail {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.what = fmt.Sprintf("call %d, kind %d on %s", f.fail, op.Kind, op.Path)
	return errorfs.ErrInjected
}

// faultRun works for a while on a disk of which one call fails, as one process would: an
// error is answered, never acknowledged; a fatal one ends it.
func faultRun(inject *faulty, mem *vfs.MemFS, writtenBack int, wit *witness) {
	died, done := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fatal := func(error) {
		once.Do(func() { close(died) })
		select {} // what runs on in a process that is about to exit must not matter
	}
	go func() {
		defer close(done)
		defer func() { _ = recover() }() // Pebble panics where it cannot go on: the process dies
		s, err := openStores(errorfs.Wrap(vfstest.WithWriteBack(mem, writtenBack, vfstest.NewDice(1)), inject), 1, fatal)
		if err != nil {
			return
		}
		defer s.close()
		faultWork(s, wit)
	}()
	select {
	case <-died:
	case <-done:
	}
}

func faultWork(s *stores, wit *witness) {
	ctx := context.Background()
	j, err := journal.Open(ctx, s.db, s.blobs[0], journal.Options{InlineBytes: 1024})
	if err != nil {
		return
	}
	defer j.Close(ctx)
	dice := vfstest.NewDice(2)
	for range 3 {
		for _, stream := range crashStreams {
			k := worker{j: j, stream: stream, class: blob.Day, dice: dice, wit: wit}
			if k.own(ctx) != nil {
				continue
			}
			for range 4 {
				_ = k.write(ctx)
			}
		}
		k := worker{j: j, stream: trimmedStream, class: blob.Hour, dice: dice, wit: &witness{}}
		_ = k.own(ctx)
		for range 10 {
			if k.w != nil {
				_ = k.write(ctx)
			}
		}
		_, _ = j.Trim(ctx, trimmedStream, journal.TrimOptions{KeepBytes: 5000})
		_, _ = j.Reap(ctx, journal.ReapOptions{Alone: true})
	}
}

// Every I/O call of a run fails once, one per run. Whatever it is, nothing that was
// acknowledged may be missing afterwards: neither when only the process dies, nor when the
// power goes as well. Unless all is required, it is one call of four, and another one each time.
func TestNoSingleFaultLosesAnAcknowledgedEntry(t *testing.T) {
	dry := &faulty{}
	faultRun(dry, vfs.NewCrashableMem(), 0, &witness{})
	total := dry.calls.Load()
	step, first := int64(1), int64(1)
	if !rig.Full() {
		step = 4
		if testing.Short() {
			step = 17
		}
		first = 1 + int64(crashDice(t).IntN(int(step)))
	}
	injected, acknowledged := 0, 0
	for n := first; n <= total; n += step {
		for dead, writtenBack := range map[string]int{"power": 0, "process": 100} {
			inject, mem, wit := &faulty{fail: n}, vfs.NewCrashableMem(), &witness{}
			faultRun(inject, mem, writtenBack, wit)
			acked, takeovers := wit.snapshot()
			inject.mu.Lock()
			what := inject.what
			inject.mu.Unlock()
			for _, problem := range judge(mem.CrashClone(vfs.CrashCloneCfg{}), acked, takeovers) {
				t.Errorf("%s, and the %s died: %s", what, dead, problem)
			}
			if what != "" {
				injected++
			}
			acknowledged += len(acked)
		}
	}
	if int64(injected)*step < total-step {
		t.Errorf("only %d of %d faults were injected", injected, total/step)
	}
	t.Logf("%d faults over %d calls, %d acknowledged entries, none lost", injected, total, acknowledged)
}
