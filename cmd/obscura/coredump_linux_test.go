// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoCoreDumps runs in a process of its own: the limit cannot be lifted again.
func TestNoCoreDumps(t *testing.T) {
	if os.Getenv("OBSCURA_TEST_CHILD") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoCoreDumps$")
		cmd.Env = append(os.Environ(), "OBSCURA_TEST_CHILD=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	if err := forbidCoreDumps(); err != nil {
		t.Fatal(err)
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || dumpable != 0 {
		t.Errorf("dumpable: %d, %v", dumpable, err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("limit: %+v, %v", limit, err)
	}
}
