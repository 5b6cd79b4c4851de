// SPDX-License-Identifier: Apache-2.0

package oracle_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	mutateFiles = flag.String("oracle.mutate", "", "test mutants of these files of internal/policy, such as evaluate.go,condition.go, or of all")
	mutateOnly  = flag.String("oracle.only", "", "test only mutants whose description contains this, such as evaluate.go:12")
)

const policyDir = "../../internal/policy"

// No mutant of the evaluator passes both the package's own tests and the comparison with the oracle,
// but those that do the same in other words. This takes tens of minutes, so it has to be asked for;
// a mutant that survives is logged, for a human to judge.
func TestMutantsAreKilled(t *testing.T) {
	if *mutateFiles == "" {
		t.Skip("asked for with -oracle.mutate")
	}
	mutants, own, comparison := buildMutants(t)
	t.Logf("%d mutants", len(mutants)-1)
	if survives(t, own, comparison, 0) != nil {
		t.Fatal("the tests fail without any mutant")
	}
	var (
		wait             sync.WaitGroup
		mu               sync.Mutex
		killed, survived int
		next             = make(chan int)
	)
	for range runtime.NumCPU() {
		wait.Go(func() {
			for n := range next {
				err := survives(t, own, comparison, n)
				mu.Lock()
				if killed++; err == nil {
					killed, survived = killed-1, survived+1
					t.Logf("survived: %s", mutants[n])
				}
				mu.Unlock()
			}
		})
	}
	for n := 1; n < len(mutants); n++ {
		if strings.Contains(mutants[n], *mutateOnly) {
			next <- n
		}
	}
	close(next)
	wait.Wait()
	t.Logf("%d mutants, %d killed, %d survived", killed+survived, killed, survived)
}

// buildMutants makes one program of each of the two tests that has all mutants in it; the
// environment chooses which is alive.
func buildMutants(t *testing.T) (mutants []string, own, comparison string) {
	t.Helper()
	dir := t.TempDir()
	sources, mutants, err := mutate(policyDir, *mutateFiles)
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for name, text := range sources {
		original, err := filepath.Abs(filepath.Join(policyDir, name))
		if err != nil {
			t.Fatal(err)
		}
		replace[original] = filepath.Join(dir, name)
		if err := os.WriteFile(replace[original], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay := filepath.Join(dir, "overlay.json")
	text, _ := json.Marshal(map[string]any{"Replace": replace})
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	own, comparison = filepath.Join(dir, "own.test"), filepath.Join(dir, "comparison.test")
	for binary, pkg := range map[string]string{own: policyDir, comparison: "."} {
		out, err := exec.Command("go", "test", "-c", "-o", binary, "-overlay", overlay, pkg).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return mutants, own, comparison
}

// survives runs the tests with one mutant alive, and returns how they failed.
func survives(t *testing.T, own, comparison string, mutant int) error {
	for _, args := range [][]string{
		{comparison, "-test.run=Agrees", "-oracle.shrink=false", "-oracle.n=3000"},
		{own, "-test.run=.", "-rapid.nofailfile", "-rapid.seed=1"},
		{comparison, "-test.run=Agrees", "-oracle.shrink=false", "-oracle.n=20000", "-oracle.seed=2"},
	} {
		run := exec.CommandContext(t.Context(), args[0], append(args[1:], "-test.failfast", "-test.timeout=60s")...)
		run.Env = append(os.Environ(), fmt.Sprintf("POLICY_MUTANT=%d", mutant), "GOMEMLIMIT=1GiB")
		run.WaitDelay = time.Second
		if args[0] == own {
			run.Dir = policyDir
		}
		if out, err := run.CombinedOutput(); err != nil {
			if mutant == 0 {
				t.Logf("%s", strings.TrimSpace(string(out)))
			}
			return err
		}
	}
	return nil
}
