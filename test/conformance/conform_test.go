// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/test/conformance/cloudtrail"
	"github.com/obscura-video/obscura/test/conformance/iam"
	"github.com/obscura-video/obscura/test/conformance/iot"
	"github.com/obscura-video/obscura/test/conformance/kinesisvideo"
	"github.com/obscura-video/obscura/test/conformance/kinesisvideoarchivedmedia"
	"github.com/obscura-video/obscura/test/conformance/kinesisvideomedia"
	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/conformance/kms"
	"github.com/obscura-video/obscura/test/conformance/mailbox"
	"github.com/obscura-video/obscura/test/conformance/sts"
	"github.com/obscura-video/obscura/test/rig"
)

var options = kit.Flags(flag.CommandLine)

// suites are the cases of every service. The mailbox is ours: against other servers, choose the rest
// with -run.
func suites() []*kit.API {
	return []*kit.API{
		kms.API(), iam.API(), sts.API(), iot.API(), cloudtrail.API(),
		kinesisvideo.API(), kinesisvideomedia.API(), kinesisvideoarchivedmedia.API(), mailbox.API(),
	}
}

// TestConformance runs the cases of every operation, against a server of its own or, with -endpoint, another one.
func TestConformance(t *testing.T) {
	t.Parallel()
	target := kit.Open(t, *options)
	for _, a := range suites() {
		t.Run(a.Model.Name, func(t *testing.T) {
			t.Parallel()
			target.Run(t, a)
		})
	}
}

// TestCompatSaysWhatTheServerDoes: what the pages of docs/compat call built is answered, what they do not is not, and
// the cases that they name are all that there are.
func TestCompatSaysWhatTheServerDoes(t *testing.T) {
	t.Parallel()
	s := rig.Start(t)
	pages := compatPages(t)
	for _, service := range apis() {
		for _, op := range service.Operations {
			row, ok := pages[service.Name+"/"+op.Name]
			a := askedOf(t, op)
			got := a.ask(t, s, s.Root)
			if unanswered := got.status == 501; !ok || unanswered && row.status != "not" || row.status == "not" && got.status < 400 {
				t.Errorf("%s: the page says %q; the server answers %v", a.name(), row.status, got)
			}
		}
	}
	named := 0
	for _, a := range suites() {
		for _, c := range a.Cases {
			if name := a.Model.Name + "/" + c.Op; pages[name].test != name {
				t.Errorf("%s: the page names %q as its test", name, pages[name].test)
			}
			named++
		}
	}
	for _, row := range pages {
		if row.test != "" {
			named--
		}
	}
	if named != 0 {
		t.Errorf("the pages name %d cases that are not there", -named)
	}
}

// compatRow is what a page of docs/compat says of an operation.
type compatRow struct{ status, test string }

var (
	tableMark = regexp.MustCompile(`^<!-- operations of (\w+):`)
	tableRow  = regexp.MustCompile("(?m)^\\| (\\w+) \\| (done|differs|not) \\|.*\\| (?:`(.*)`)? \\|$")
)

// compatPages reads the tables of docs/compat; names are those of service and operation.
func compatPages(t *testing.T) map[string]compatRow {
	t.Helper()
	names, err := filepath.Glob("../../docs/compat/*.md")
	if err != nil || len(names) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	rows := map[string]compatRow{}
	for _, name := range names {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		service := ""
		for line := range strings.Lines(string(page)) {
			if m := tableMark.FindStringSubmatch(line); m != nil {
				service = m[1]
			} else if m := tableRow.FindStringSubmatch(line); m != nil && service != "" {
				rows[service+"/"+m[1]] = compatRow{m[2], m[3]}
			}
		}
	}
	return rows
}

// TestEveryBuiltOperationHasItsCases: what the server answers otherwise than with "not built" has a case, and each
// error that the model declares for it has a way to it or a reason why there is none.
func TestEveryBuiltOperationHasItsCases(t *testing.T) {
	t.Parallel()
	s := rig.Start(t)
	for _, a := range suites() {
		var built []string
		for _, op := range a.Model.Operations {
			got := askedOf(t, op).ask(t, s, s.Root)
			if got.status != 501 && !(op.Unsigned && got.code == a.Denied) { // nobody is let near what is not built and not signed
				built = append(built, op.Name)
			}
		}
		for _, fault := range a.Incomplete(func(op string) bool { return slices.Contains(built, op) }) {
			t.Errorf("%s/%s", a.Model.Name, fault)
		}
	}
}
