// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/obscura-video/obscura/test/clerk"
	"github.com/obscura-video/obscura/test/rig"
)

// TestKilledServerKeepsItsRecords: of all changes of the control plane, what was answered is there exactly, and what
// was not wholly or not at all; each answered call, and each change that was made, is in the audit log, once; and fsck
// finds nothing.
func TestKilledServerKeepsItsRecords(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	p := rig.StartProcess(t, data, "--free-space", "-1")
	office := clerk.Open(p.Server)
	kills := work(t, p, office, rounds())

	var ledgers []clerk.Ledger
	office.Freeze(func(all []clerk.Ledger) { ledgers = all })
	for _, wrong := range slices.Concat(office.Wrong(), clerk.Judge(t.Context(), p.Server, ledgers)) {
		t.Error(wrong)
	}
	changes := 0
	for _, l := range ledgers {
		changes += l.Done
	}
	log := readLog(t, p.Server)
	for _, wrong := range clerk.JudgeLog(log, office.Mail.Receipts(), kills...) {
		t.Error(wrong)
	}
	controlLog(t, log, office.Mail.Receipts(), kills)
	made, unrecorded := office.Unanswered(), 0
	for _, call := range made {
		if log[call] == nil {
			unrecorded++
			t.Errorf("%s was made, not answered, and is not on record", call)
		}
	}
	t.Logf("%d kills, %d changes of %d items answered; %d made and not answered, %d of them not recorded; %d answers on record",
		len(kills), changes, len(ledgers), len(made), unrecorded, len(office.Mail.Receipts()))

	if code, err := p.Stop(t.Context()); code != 0 || err != nil {
		t.Errorf("server ended with %d, %v", code, err)
	}
	if out, err := fsck(t, data); err != nil {
		t.Errorf("fsck: %v\n%s", err, out)
	}
}

// work lets the clerks work while the server is killed, and returns when each time it was.
func work(t *testing.T, p *rig.Process, office *clerk.Office, rounds int) (kills []time.Time) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clerks sync.WaitGroup
	clerks.Go(func() { office.Work(ctx) })
	for i := range rounds {
		awaitChanges(t, p, office, 4)
		time.Sleep(time.Duration(i*37%120) * time.Millisecond) // at another moment each time
		kills = append(kills, time.Now())
		p.Kill()
		p.Restart()
	}
	awaitChanges(t, p, office, 1)
	stop()
	clerks.Wait()
	return kills
}

// awaitChanges waits until each clerk was answered n times more.
func awaitChanges(t *testing.T, p *rig.Process, office *clerk.Office, n int64) {
	t.Helper()
	before := office.Counts()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		counts, idle := office.Counts(), ""
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			if counts[name] < before[name]+n {
				idle = name
			}
		}
		if idle == "" {
			return
		}
		if wrong := office.Wrong(); len(wrong) > 0 || time.Now().After(end) {
			log := p.Log.String()
			t.Fatalf("the clerk of %s gets nothing done: %v; log ends:\n%s", idle, wrong, log[max(0, len(log)-3000):])
		}
	}
}

func readLog(t *testing.T, s *rig.Server) map[string][]string {
	t.Helper()
	log, err := clerk.ReadLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// controlLog: a judge that does not miss an event, or sees none twice, proves nothing.
func controlLog(t *testing.T, log map[string][]string, receipts []clerk.Receipt, kills []time.Time) {
	t.Helper()
	i := slices.IndexFunc(receipts, func(r clerk.Receipt) bool { return r.Operation == "CreateKey" })
	if i < 0 {
		t.Fatal("no key was made")
	}
	call := receipts[i].Call
	lost, doubled := maps.Clone(log), maps.Clone(log)
	delete(lost, call)
	doubled[call] = []string{"CreateKey", "CreateKey"}
	for what, other := range map[string]map[string][]string{"lost": lost, "doubled": doubled} {
		if wrong := clerk.JudgeLog(other, receipts, kills...); len(wrong) != 1 || !strings.HasPrefix(wrong[0], call+":") {
			t.Errorf("control: of an event that is %s the judge says %v", what, wrong)
		}
	}
}

// TestControlForgetfulDisk: what a server without durability would lose, the end of its newest log, must be missed.
func TestControlForgetfulDisk(t *testing.T) {
	t.Parallel()
	for range 5 {
		if forgetful(t) {
			return
		}
	}
	t.Error("the log was never the same one for long enough")
}

// forgetful lets a server forget its last changes, and reports whether that could be done.
func forgetful(t *testing.T) bool {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	p := rig.StartProcess(t, data, "--free-space", "-1")
	defer p.Kill()
	office := clerk.Open(p.Server, "letter") // they are long, and would begin a new log soon
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clerks sync.WaitGroup
	clerks.Go(func() { office.Work(ctx) })
	awaitChanges(t, p, office, 1)
	name, before := newestLog(t, data)
	for range 20 { // the first logs are short
		awaitChanges(t, p, office, 3)
		now, text := newestLog(t, data)
		if now == name {
			break
		}
		name, before = now, text
	}
	p.Kill()
	stop()
	clerks.Wait()
	if now, _ := newestLog(t, data); now != name {
		return false
	}
	if err := os.WriteFile(name, before, 0o600); err != nil {
		t.Fatal(err)
	}
	var ledgers []clerk.Ledger
	office.Freeze(func(all []clerk.Ledger) { ledgers = all })
	p.Restart()

	wrong := clerk.Judge(t.Context(), p.Server, ledgers)
	if len(wrong) == 0 {
		t.Error("nobody noticed that the last changes are gone")
	}
	events := clerk.JudgeLog(readLog(t, p.Server), office.Mail.Receipts())
	if len(events) == 0 {
		t.Error("nobody noticed that the last events are gone")
	}
	t.Logf("%d items and %d events were missed, such as: %s", len(wrong), len(events), slices.Concat(wrong, []string{""})[0])
	return true
}

// newestLog is the newest log of the metadata, as it is at this moment.
func newestLog(t *testing.T, data string) (name string, text []byte) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(data, "meta", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(errors.Join(err, errors.New("no log of the metadata")))
	}
	name = slices.Max(logs)
	if text, err = os.ReadFile(name); err != nil {
		t.Fatal(err)
	}
	return name, text
}
