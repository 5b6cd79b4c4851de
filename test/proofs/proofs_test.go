// SPDX-License-Identifier: Apache-2.0

package proofs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/test/rig"
)

// patience is for one run of the prover; it takes seconds on an idle machine.
const patience = 2 * time.Minute

var verdict = regexp.MustCompile(`(?m)^Query .* (is true|is false|cannot be proved)\.`)

// prove runs the prover and returns its verdicts by label.
func prove(t *testing.T, m *model, source string) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), m.name+".pv")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "proverif", file).CombinedOutput()
	_, summary, ok := strings.Cut(string(out), "Verification summary:")
	if err != nil || !ok {
		t.Fatalf("%v\n%.2000s", err, out)
	}
	verdicts := map[string]string{}
	for i, v := range verdict.FindAllStringSubmatch(summary, -1) {
		if i < len(m.queries) {
			verdicts[m.queries[i]] = v[1]
		}
	}
	if len(verdicts) != len(m.queries) {
		t.Fatalf("%d verdicts for %d queries:\n%s", len(verdicts), len(m.queries), summary)
	}
	return verdicts
}

// expect holds verdicts against what must be: what is broken has an attack, all else is proved, and what must be reachable is.
func expect(t *testing.T, m *model, got map[string]string, broken []string) {
	t.Helper()
	for _, q := range m.queries {
		want := "is true"
		if strings.HasPrefix(q, "R") || slices.Contains(broken, q) {
			want = "is false"
		}
		if got[q] != want {
			t.Errorf("%s %s, but should: %s", q, got[q], want)
		}
	}
}

func TestModelsAreProved(t *testing.T) {
	rig.Need(t, "proverif", "-help")
	for _, m := range readModels(t) {
		t.Run(m.name, func(t *testing.T) { expect(t, m, prove(t, m, m.source), nil) })
	}
}

// TestEachControlHasItsAttack takes one check or one binding away, and expects the prover to find the attack that it is against.
func TestEachControlHasItsAttack(t *testing.T) {
	rig.Need(t, "proverif", "-help")
	for _, m := range readModels(t) {
		for _, c := range m.controls {
			t.Run(m.name+"/"+c, func(t *testing.T) { expect(t, m, prove(t, m, m.without(c)), m.breaks[c]) })
		}
	}
}
