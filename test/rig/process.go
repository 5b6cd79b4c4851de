// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/server"
)

// buildFolder is where Main lets the program be built.
const buildFolder = "OBSCURA_TEST_BUILD_FOLDER"

// build makes the binary, once in a test process. What `go run` has linked stays in the build cache, unlike the output of
// `go build`: the packages that run the program link it once together, and not again before it changes.
var build = sync.OnceValues(func() (string, error) {
	name := filepath.Join(os.Getenv(buildFolder), "obscura")
	if !filepath.IsAbs(name) {
		return "", errors.New("the package has no TestMain that calls rig.Main")
	}
	if out, err := exec.Command("go", "run", "-exec", "cp", "github.com/obscura-video/obscura/cmd/obscura", name).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go run: %w\n%s", err, out)
	}
	return name, nil
})

// Binary is the path of the program, built from the tree. A package that uses it has a TestMain that calls Main.
func Binary(t testing.TB) string {
	t.Helper()
	name, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Mutant is the path of the program with a mistake in it, for the control of a test: built from the tree, but for one
// file of the module in which old, which must be there once, is altered. The package has a TestMain that calls Main.
func Mutant(t testing.TB, file, old, altered string) string {
	t.Helper()
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(strings.TrimSpace(string(root)), filepath.FromSlash(file))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), old) != 1 {
		t.Fatalf("%s does not hold %q once", file, old)
	}
	dir := t.TempDir()
	program, mutant, overlay := filepath.Join(dir, "obscura"), filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {file: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.WriteFile(mutant, []byte(strings.Replace(string(text), old, altered, 1)), 0o600), os.WriteFile(overlay, list, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "build", "-overlay", overlay, "-o", program, "github.com/obscura-video/obscura/cmd/obscura").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// Main runs the tests of a package that uses Binary, and removes the program afterwards. It returns the exit code.
func Main(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "obscura-test-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o711); err != nil { // other users may run the program, see StartProcessAs
		return 1, err
	}
	if err := os.Setenv(buildFolder, dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// Process is the real server in a process of its own.
type Process struct {
	*Server
	t       testing.TB
	program string
	as      *syscall.SysProcAttr
	args    []string
	cmd     *exec.Cmd
	end     chan struct{} // closed when the process has ended
}

// StartProcess runs `obscura serve` over a data directory, on free ports, until the test ends.
func StartProcess(t testing.TB, data string, args ...string) *Process {
	t.Helper()
	return StartProcessAs(t, nil, data, args...)
}

// StartProcessAs is StartProcess with attributes of the process, such as its user.
func StartProcessAs(t testing.TB, as *syscall.SysProcAttr, data string, args ...string) *Process {
	t.Helper()
	return start(t, Binary(t), as, data, args...)
}

// StartProgram is StartProcess of another program, such as a Mutant.
func StartProgram(t testing.TB, program, data string, args ...string) *Process {
	t.Helper()
	return start(t, program, nil, data, args...)
}

func start(t testing.TB, program string, as *syscall.SysProcAttr, data string, args ...string) *Process {
	t.Helper()
	listen := []string{"--listen-api", lastingAddress(t), "--listen-media", lastingAddress(t), "--listen-device", lastingAddress(t), "--listen-admin", lastingAddress(t)}
	p := &Process{t: t, program: program, as: as, args: slices.Concat([]string{"serve", "--data", data, "--log-level", "debug"}, args)}
	log := new(Log)
	p.run(log, listen)
	e := p.awaitEndpoints(data, log)
	p.Server = clientOf(t, e, log)
	waitReady(t, p.Server)
	t.Cleanup(p.Kill)
	return p
}

// The ports of lasting addresses, below those that the kernel gives to clients: else a client's connection could
// take the port of a server that is down for a moment.
const (
	firstPort = 20_000
	ports     = 10_000
)

// lastingAddress is an address that is free now and that no client takes while the server on it is restarted.
func lastingAddress(t testing.TB) string {
	t.Helper()
	for range 200 {
		var b [2]byte
		rand.Read(b[:])
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+int(binary.BigEndian.Uint16(b[:]))%ports)
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

func (p *Process) run(log *Log, listen []string) {
	p.t.Helper()
	p.cmd = exec.Command(p.program, slices.Concat(p.args, listen)...)
	p.cmd.Stderr, p.cmd.Stdout, p.cmd.SysProcAttr = log, log, p.as
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	cmd, end := p.cmd, make(chan struct{})
	p.end = end
	go func() { _ = cmd.Wait(); close(end) }()
}

// awaitEndpoints waits for the file that the server writes last before it serves.
func (p *Process) awaitEndpoints(data string, log *Log) server.Endpoints {
	p.t.Helper()
	for end := time.Now().Add(startTimeout); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if e, err := server.ReadEndpoints(data); err == nil && e.PID == p.cmd.Process.Pid {
			return e
		}
		select {
		case <-p.end:
			p.t.Fatalf("server ended at its start:\n%s", log)
		default:
		}
	}
	p.t.Fatalf("server did not start:\n%s", log)
	return server.Endpoints{}
}

// Signal sends the process a signal that ends it, and returns when it is gone.
func (p *Process) Signal(s os.Signal) error {
	err := p.cmd.Process.Signal(s)
	if err == nil {
		<-p.end
	}
	return err
}

// Kill ends the process as a power cut would: it gets no chance to say goodbye. It returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.end
}

// Stop asks the process to end, and returns its exit code.
func (p *Process) Stop(ctx context.Context) (int, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	select {
	case <-p.end:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Restart serves again, at the same addresses, so that clients find it where it was.
func (p *Process) Restart() {
	p.t.Helper()
	p.run(p.Log, []string{
		"--listen-api", hostOf(p.API), "--listen-media", hostOf(p.Media), "--listen-device", hostOf(p.Device), "--listen-admin", hostOf(p.Admin),
	})
	p.awaitEndpoints(p.Data, p.Log)
	p.HTTP.CloseIdleConnections()
	waitReady(p.t, p.Server)
}

func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return u.Host
}
