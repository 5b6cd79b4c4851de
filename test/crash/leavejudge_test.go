// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/test/clerk"
	"github.com/obscura-video/obscura/test/rig"
)

// judge compares what there is with what was promised, and ends the server.
func (l *leavers) judge() {
	l.awaitPlaces()
	time.Sleep(250 * time.Millisecond) // an event of what only reads may follow its answer by 100 ms
	log := readLog(l.t, l.p.Server)
	for office, of := range map[string]*clerk.Office{"left": l.left, "normal": l.normal} {
		var ledgers []clerk.Ledger
		of.Freeze(func(all []clerk.Ledger) { ledgers = all })
		changes := 0
		for _, one := range ledgers {
			changes += one.Done
		}
		l.t.Logf("%s: %d changes of %d items, %d of them without an answer; %d answers", office, changes, len(ledgers), len(of.Unanswered()), len(of.Mail.Receipts()))
		l.wrong = slices.Concat(l.wrong, of.Wrong(), clerk.Judge(l.t.Context(), l.p.Server, ledgers),
			clerk.JudgeLog(log, of.Mail.Receipts()), clerk.JudgeLeft(log, of.Unanswered(), office+"-"))
		if len(ledgers) == 0 || changes == 0 {
			l.report("%s: nothing was done", office)
		}
	}
	answered, left := l.leaver.Counts()
	l.t.Logf("%d requests were left, %d were not", left, answered)
	if left == 0 || len(l.left.Unanswered()) == 0 {
		l.report("nobody has left in the middle")
	}
	l.wrong = slices.Concat(l.wrong, l.leaver.Stuck(), clerk.JudgeAnswers(l.normal.Mail.Receipts(), bound))
	for _, c := range l.cameras {
		l.t.Logf("%s: %d fragments promised", c.name, len(c.promise))
		l.wrong = append(l.wrong, judge(c.name, c.promise, stored(l.t, l.p.Server, c.name))...)
	}
	controlJudge(l.t, l.cameras[0], stored(l.t, l.p.Server, l.cameras[0].name))
	l.end()
}

// awaitPlaces waits until the viewers who have left have left their places: three more must be let in.
func (l *leavers) awaitPlaces() {
	for end := time.Now().Add(bound); ; time.Sleep(10 * time.Millisecond) {
		ctx, leave := context.WithCancel(l.t.Context())
		var refused []error
		for range 3 {
			_, err := l.look(ctx, l.cameras[1].name, func(io.Reader) ([]*rig.Received, error) { return nil, nil })
			refused = append(refused, err)
		}
		leave()
		if errors.Join(refused...) == nil {
			return
		}
		if time.Now().After(end) {
			l.report("viewers who have left keep their places: %v", refused)
			return
		}
	}
}

// end ends the server and looks for what it says of itself.
func (l *leavers) end() {
	l.p.HTTP.CloseIdleConnections() // else a server of HTTP/2 waits a second for their end
	if code, err := l.p.Stop(l.t.Context()); code != 0 || err != nil {
		l.report("server ended with %d, %v", code, err)
	}
	faults := map[string]int{}
	for line := range strings.Lines(l.p.Log.String()) {
		if what, bad := fault(line); bad {
			faults[what]++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(faults)) {
		l.report("the server says, %d times: %s", faults[what], what)
	}
	if out, err := fsck(l.t, l.p.Data); err != nil {
		l.report("fsck: %v\n%s", err, out)
	}
}

// ofOne is what a line of the log says of one request alone.
var ofOne = regexp.MustCompile(`(time|request|source|accessKeyId)=\S+ ?`)

// fault says whether a line of the log tells of a fault of the server.
func fault(line string) (what string, bad bool) {
	bad = strings.Contains(line, "level=ERROR") || strings.Contains(line, "level=WARN") || strings.Contains(line, "panic")
	return ofOne.ReplaceAllString(strings.TrimSpace(line), ""), bad
}

// controlAnswers: a judge that takes any answer proves nothing.
func controlAnswers(t *testing.T) {
	t.Helper()
	good := clerk.Receipt{Call: "one", Operation: "GetKey", Status: 400, Took: time.Second}
	bad, late := good, good
	bad.Status, late.Took = 500, bound+1
	if wrong := clerk.JudgeAnswers([]clerk.Receipt{good, bad, late}, bound); len(wrong) != 2 {
		t.Errorf("control: of answers that are bad and late the judge says %v", wrong)
	}
	log := map[string][]string{"a/1": {"CreateKey"}, "a/2": {"CreateKey (InternalFailure)"}, "a/3": {"CreateKey", "CreateKey"}, "a/5": {"TagUser", "TagUser"}}
	if wrong := clerk.JudgeLeft(log, []string{"a/1", "a/2", "a/3", "a/4"}, "a/"); len(wrong) != 4 {
		t.Errorf("control: of events that are failures, doubled or missing the judge says %v", wrong)
	}
	if what, bad := fault(`time=1 level=ERROR msg="call failed" request=2 error=no`); !bad || what != `level=ERROR msg="call failed" error=no` {
		t.Errorf("control: the judge finds no fault in a call that has failed, or calls it %q", what)
	}
}
