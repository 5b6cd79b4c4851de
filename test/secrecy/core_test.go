// SPDX-License-Identifier: Apache-2.0

//go:build linux

package secrecy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/obscura-video/obscura/test/rig"
)

func TestMain(m *testing.M) {
	code, err := rig.Main(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// crash runs a server, makes it die in the way that dumps core, in a folder of its own and without a limit on cores,
// and returns what lies in that folder afterwards. mapped are the bytes of the root key, which its memory holds.
func crash(t *testing.T, flags ...string) (cores []string, root []byte) {
	t.Helper()
	data, dir := filepath.Join(t.TempDir(), "data"), t.TempDir()
	rig.Binary(t) // is built from where the module is
	t.Chdir(dir)
	unlimit(t)
	t.Setenv("GOTRACEBACK", "crash") // the worst that an operator can set: a fatal signal then means a core
	p := rig.StartProcess(t, data, flags...)
	useKeys(t, p.Server, map[string][]byte{})
	root = rootKey(t, filepath.Join(data, "root.key"))
	if err := p.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		cores = append(cores, filepath.Join(dir, e.Name()))
	}
	return cores, root
}

// unlimit lifts the limit on cores as far as it goes, for processes that are started from now on.
func unlimit(t *testing.T) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &old); err != nil {
		t.Fatal(err)
	}
	if old.Max == 0 {
		t.Skip("the limit on cores is 0 and cannot be lifted")
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: old.Max, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &old); err != nil {
			t.Error(err)
		}
	})
}

// TestNoCoreIsLeft: a server that dies leaves no core file, whatever the limits it was started with. The control is
// the same with --allow-core-dumps: it leaves one, and the root key is in it.
func TestNoCoreIsLeft(t *testing.T) {
	if !rig.Full() {
		t.Skip("a Go program takes five seconds to dump core, and this makes two; OBSCURA_TEST_REQUIRE is not set")
	}
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil || strings.ContainsAny(string(pattern[:1]), "|/") {
		t.Skipf("the system puts cores elsewhere: %s", pattern)
	}
	if cores, _ := crash(t); len(cores) > 0 {
		t.Errorf("the server left %v", cores)
	}
	cores, root := crash(t, "--allow-core-dumps")
	if len(cores) != 1 {
		t.Fatalf("control: with --allow-core-dumps the server left %v", cores)
	}
	n := newNeedles()
	n.add("the root key", root)
	if text, err := os.ReadFile(cores[0]); err != nil || len(text) < 1<<20 {
		t.Errorf("control: a core of %d bytes, %v", len(text), err)
	} else if name, _ := n.find(text); name == "" {
		t.Error("control: the root key is not found in the core of a process that holds it: the search is worth nothing")
	}
}

// TestMemoryIsClosedToItsOwnUser: another process of the same user, without privileges, cannot read the server's
// memory, nor have it dumped. The control is the same with --allow-core-dumps.
func TestMemoryIsClosedToItsOwnUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run the server and its neighbour as another user")
	}
	const nobody = 65534
	as := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	read := func(flags ...string) error {
		dir := t.TempDir()
		for at := dir; at != "/" && at != os.TempDir(); at = filepath.Dir(at) {
			if err := os.Chmod(at, 0o711); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		p := rig.StartProcessAs(t, as, filepath.Join(dir, "data"), flags...)
		neighbour := exec.Command("head", "-c", "1", fmt.Sprintf("/proc/%d/environ", p.PID))
		neighbour.SysProcAttr = as
		return neighbour.Run()
	}
	if read() == nil {
		t.Error("a neighbour reads what belongs to the server's memory")
	}
	if err := read("--allow-core-dumps"); err != nil {
		t.Errorf("control: with --allow-core-dumps a neighbour cannot read either: %v", err)
	}
}
