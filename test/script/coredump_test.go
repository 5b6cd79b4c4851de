// SPDX-License-Identifier: Apache-2.0

package script

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/obscura-video/obscura/test/rig"
)

// TestRunningServerLeavesNoCore: the limit is set in the process that holds the keys, and a flag is needed to lift it.
func TestRunningServerLeavesNoCore(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems show no limits of a process")
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &own); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args  []string
		limit uint64
	}{{nil, 0}, {[]string{"--allow-core-dumps"}, own.Max}} {
		p := rig.StartProcess(t, filepath.Join(t.TempDir(), "data"), tc.args...)
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.PID))
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`Max core file size +\S+ +(\S+)`).FindSubmatch(text)
		want := fmt.Sprint(tc.limit)
		if tc.limit == unix.RLIM_INFINITY {
			want = "unlimited"
		}
		if m == nil || string(m[1]) != want {
			t.Errorf("with %v the limit is %q, want %s", tc.args, m, want)
		}
		p.Kill()
	}
}
