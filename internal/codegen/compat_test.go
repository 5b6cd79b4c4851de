// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNotesAreAboutOperationsThatExist(t *testing.T) {
	operations := []string{"Open", "Shut", "Look"}
	got, err := parseNotes("# a comment\n\nOpen, Shut: slowly: creaks\nLook: not at all\n", operations)
	if err != nil || !maps.Equal(got, map[string]string{"Open": "slowly: creaks", "Shut": "slowly: creaks", "Look": "not at all"}) {
		t.Errorf("got %v, %v", got, err)
	}
	for text, want := range map[string]string{
		"Opne: slowly":                  `line 1: there is no operation "Opne"`,
		"Open: slowly\nOpen: fast":      "line 2: a second note about Open",
		"Open, Shut,Look: x":            "there is no operation",
		"Open slowly":                   "want",
		"Open: ":                        "want",
		"# x\nOpen: x\n\nShut, Open: y": "line 4: a second note about Open",
	} {
		if _, err := parseNotes(text, operations); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// TestBuiltIsWhatHasAMethod: of this API, of this operation, and not in a test.
func TestBuiltIsWhatHasAMethod(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.go", `package door
import doorapi "example.org/internal/awsapi/door"
import otherapi "example.org/internal/awsapi/other"
func (s *Service) Open(ctx context.Context, in *doorapi.OpenInput) (*doorapi.OpenOutput, error) { return nil, nil }
func (s *Service) Shut(ctx context.Context, in *doorapi.OpenInput) error { return nil } // another's input
func (s *Service) Look(ctx context.Context, in *otherapi.LookInput) error { return nil } // another API's
func Knock(ctx context.Context, in *doorapi.KnockInput) error { return nil } // no method
`)
	write("b.go", `package door
import "example.org/internal/awsapi/door"
func (part) Lock(ctx context.Context, _ *door.LockInput) error { return nil }
`)
	write("a_test.go", `package door
import doorapi "example.org/internal/awsapi/door"
func (fake) Break(ctx context.Context, in *doorapi.BreakInput) error { return nil }
`)
	got, err := methods(dir, "door")
	if want := []string{"Lock", "Open"}; err != nil || !slices.Equal(sorted(got), want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestTestedIsWhatACaseNames(t *testing.T) {
	dir := t.TempDir()
	text := "package door\nvar cases = []Case{{Op: \"Open\"}, shut(`Shut`)} // Look\n"
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := literals(dir)
	if want := []string{"Open", "Shut"}; err != nil || !slices.Equal(sorted(got), want) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := literals(filepath.Join(dir, "nothing")); err != nil || len(got) > 0 {
		t.Errorf("a service without cases: %v, %v", got, err)
	}
}

func TestTableSaysWhatIsSo(t *testing.T) {
	u := &support{
		pkg: "door", operations: []string{"Knock", "Look", "Open", "Shut"},
		built: map[string]bool{"Open": true, "Shut": true, "Look": true}, tested: map[string]bool{"Open": true},
		notes: map[string]string{"Shut": "a|b", "Knock": "no bell", "Look": "not built: no window"},
	}
	got := u.table()
	for _, want := range []string{
		"4 operations: 1 `done`, as AWS documents it; 1 `differs`, there, with the deviation named; 2 `not`, NotImplementedException (501) to callers who may use it.",
		"\n| Knock | not | no bell |  |\n| Look | not | no window |  |\n| Open | done |  | `door/Open` |\n| Shut | differs | a\\|b |  |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestOnlyTheTableOfAPageIsMade(t *testing.T) {
	mark := strings.ReplaceAll(beginTable, "%s", "door")
	mark = strings.ReplaceAll(mark, "%[1]s", "door")
	page := "# Door\n\n" + mark + "old\n" + endTable + "prose\n"
	found := map[string]bool{}
	got, err := fill(page, map[string]string{"door": "new\n", "gate": "none\n"}, found)
	if want := strings.Replace(page, "old", "new", 1); err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	if !maps.Equal(found, map[string]bool{"door": true}) {
		t.Error(found)
	}
	if again, err := fill(got, map[string]string{"door": "new\n"}, map[string]bool{}); err != nil || again != got {
		t.Errorf("made twice: %q, %v", again, err)
	}
	if _, err := fill(got, map[string]string{"door": "new\n"}, found); err == nil {
		t.Error("a second table was taken")
	}
	if _, err := fill(strings.Replace(page, endTable, "", 1), map[string]string{"door": "new\n"}, map[string]bool{}); err == nil {
		t.Error("a table without an end was taken")
	}
}
