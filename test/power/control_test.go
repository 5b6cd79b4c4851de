// SPDX-License-Identifier: Apache-2.0

package power_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/vfstest"
	"github.com/obscura-video/obscura/test/clerk"
	"github.com/obscura-video/obscura/test/rig"
)

// officeCut is a disk after a power cut, and what had been promised before.
type officeCut struct {
	fs       *vfs.MemFS
	ledgers  []clerk.Ledger
	receipts []clerk.Receipt
	at       time.Time
}

// runOffice lets the clerks of the control plane work with a whole server on a disk in memory, whose power is cut.
func runOffice(t *testing.T, data string, dice *vfstest.Dice, cuts int, lie func(vfs.FS) vfs.FS) (list []officeCut) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	makeDurable(t, mem, data)
	s, stop := rig.Run(t, onDisk(data, vfstest.WithWriteBack(lie(mem), dice.IntN(60), dice)))
	defer stop()
	office := clerk.Open(s)
	ctx, cancel := context.WithCancel(t.Context())
	var clerks sync.WaitGroup
	clerks.Go(func() { office.Work(ctx) })
	for range cuts {
		time.Sleep(200*time.Millisecond + time.Duration(dice.IntN(100_000))*time.Microsecond)
		office.Freeze(func(ledgers []clerk.Ledger) {
			list = append(list, officeCut{ledgers: ledgers, receipts: office.Mail.Receipts(), at: time.Now(), fs: mem.CrashClone(vfs.CrashCloneCfg{})})
		})
	}
	cancel()
	clerks.Wait()
	for _, wrong := range office.Wrong() {
		t.Error(wrong)
	}
	return list
}

// makeDurable makes a folder, and those above it, as the server does on the operating system's disk.
func makeDurable(t *testing.T, mem *vfs.MemFS, dir string) {
	t.Helper()
	if err := mem.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for dir != "/" {
		dir = mem.PathDir(dir)
		d, err := mem.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func onDisk(data string, fs vfs.FS) func(*server.Config) {
	return func(c *server.Config) { c.Data, c.FS = data, fs }
}

// judgeOffice serves from a disk as it was found, and says how it breaks the promises.
func judgeOffice(t *testing.T, data string, c officeCut) []string {
	t.Helper()
	s, stop := rig.Run(t, onDisk(data, c.fs))
	defer stop()
	wrong := clerk.Judge(t.Context(), s, c.ledgers)
	log, err := clerk.ReadLog(t.Context(), s)
	if err != nil {
		return append(wrong, err.Error())
	}
	return slices.Concat(wrong, clerk.JudgeLog(log, c.receipts, c.at))
}

// TestAnsweredChangesSurvivePowerCuts: of all changes of the control plane, what was answered is there exactly after
// a power cut, what was not wholly or not at all, and each answered call is in the audit log.
func TestAnsweredChangesSurvivePowerCuts(t *testing.T) {
	dice, cuts := crashDice(t), 2
	if rig.Full() {
		cuts = 30
	}
	changes, items := 0, 0
	for done := 0; done < cuts; {
		data := filepath.Join(t.TempDir(), "data")
		for _, c := range runOffice(t, data, dice, min(5, cuts), honest) {
			for _, wrong := range judgeOffice(t, data, c) {
				t.Error(wrong)
			}
			for _, l := range c.ledgers {
				changes += l.Done
			}
			items, done = items+len(c.ledgers), done+1
		}
	}
	t.Logf("%d cuts, %d changes of %d items answered before them, none lost", cuts, changes, items)
}

// TestControlOfficeWithoutSync: the same on a disk that lies about its syncs must be found out.
func TestControlOfficeWithoutSync(t *testing.T) {
	dice := crashDice(t)
	lie := func(fs vfs.FS) vfs.FS {
		return vfstest.WithoutSync(fs, func(p string) bool { return strings.HasSuffix(p, ".log") })
	}
	for range 5 {
		data := filepath.Join(t.TempDir(), "data")
		for _, c := range runOffice(t, data, dice, 1, lie) {
			wrong := judgeOffice(t, data, c)
			if slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, "promised was") }) &&
				slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, "is not on record") }) {
				return
			}
		}
	}
	t.Error("nobody noticed that answered changes were lost")
}
