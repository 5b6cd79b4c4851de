// SPDX-License-Identifier: Apache-2.0

package script

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/obscura-video/obscura/test/rig"
)

func TestMain(m *testing.M) {
	code, err := rig.Main(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func TestProgram(t *testing.T) {
	binary := rig.Binary(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("ANY", "--listen-api=127.0.0.1:0 --listen-media=127.0.0.1:0 --listen-device=127.0.0.1:0 --listen-admin=127.0.0.1:0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serve, "status": status, "alter": alter, "await": await, "occupy": occupy, "append": appendTo, "relax": relax,
		},
		RequireExplicitExec: true,
	})
}

// serve DATA [flag…] starts a server on free ports and waits until it answers. It ends with the script, or by stop.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serve DATA [flag...]")
	}
	data := ts.MkAbs(args[0])
	flags := append([]string{"serve", "--data", data}, strings.Fields(ts.Getenv("ANY"))...)
	cmd := exec.Command("obscura", append(flags, args[1:]...)...)
	cmd.Path = filepath.Join(strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator))[0], "obscura")
	cmd.Err = nil // the path is looked up in the script's environment, not in ours
	cmd.Dir = ts.Getenv("WORK")
	log, err := os.Create(ts.MkAbs("serve.log"))
	ts.Check(err)
	cmd.Stdout, cmd.Stderr = log, log
	ts.Check(cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended is in the log
		_ = log.Close()
	}()
	ts.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
	})
	awaitFile(ts, filepath.Join(data, "control.sock"), true, ended)
	ts.Setenv("SERVER", strconv.Itoa(cmd.Process.Pid))
}

// await [!] FILE waits until a file is there, or gone.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] await FILE")
	}
	awaitFile(ts, ts.MkAbs(args[0]), !neg, nil)
}

// awaitFile waits until a file is there, or gone, but not longer than until a process has ended.
func awaitFile(ts *testscript.TestScript, file string, there bool, ended <-chan struct{}) {
	late := time.After(time.Minute)
	for {
		if _, err := os.Lstat(file); (err == nil) == there {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
			continue
		case <-late:
		case <-ended:
		}
		log, _ := os.ReadFile(ts.MkAbs("serve.log"))
		ts.Fatalf("waited for %s in vain\n%s", file, log)
	}
}

// status N COMMAND… runs a command that must end with exit status N.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// alter FILE OFFSET changes one bit. FILE may be a pattern, of which the first match counts.
func alter(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: alter FILE OFFSET")
	}
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no file %s", args[0])
	}
	off, err := strconv.Atoi(args[1])
	ts.Check(err)
	b, err := os.ReadFile(files[0])
	ts.Check(err)
	b[off] ^= 1
	ts.Check(os.WriteFile(files[0], b, 0o600))
}

// appendTo FILE LINE appends a line to a file.
func appendTo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: append FILE LINE")
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = f.WriteString(args[1] + "\n")
	ts.Check(errors.Join(err, f.Close()))
}

// relax DIR FILE spares the commands that follow the passphrase of a device's folder, see rig.Relax.
func relax(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: relax DIR FILE")
	}
	ts.Check(rig.Relax(ts.MkAbs(args[0]), strings.TrimSpace(ts.ReadFile(args[1]))))
}

// occupy NAME listens on a port of its own and puts its address into the environment.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}
