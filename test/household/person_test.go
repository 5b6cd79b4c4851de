// SPDX-License-Identifier: Apache-2.0

//go:build unix

package household

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

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

// patience is how long a word is waited for. A passphrase costs a tenth of a second, on a busy machine more.
const patience = 30 * time.Second

// passphrase is that of all devices but cameras.
const passphrase = "dark room"

// machine is where devices of the household are: a server's data directory and a home.
type machine struct {
	t      *testing.T
	data   string
	home   string
	binary string

	serverProcess *rig.Process
}

func newMachine(t *testing.T) *machine {
	dir := t.TempDir()
	m := &machine{t: t, data: filepath.Join(dir, "data"), home: dir, binary: rig.Binary(t)}
	m.serverProcess = rig.StartProcess(t, m.data)
	m.write("passphrase", passphrase+"\n")
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.home, name) }

func (m *machine) write(name, text string) {
	if err := os.WriteFile(m.path(name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// command is the program with a device's keys. The device's name is that of its folder.
func (m *machine) command(device string, args ...string) *exec.Cmd {
	args = append(args, "--keys", m.path(device))
	if device != "camera" {
		args = append(args, "--passphrase-file", m.path("passphrase"))
	}
	cmd := exec.Command(m.binary, args...)
	cmd.Dir = m.home
	cmd.Env = append(os.Environ(), "HOME="+m.home, "TERM=xterm", "LANG=C.UTF-8", "NO_COLOR=1", "PATH="+filepath.Dir(m.binary))
	return cmd
}

// relax spares the commands that follow a device's passphrase, see rig.Relax.
func (m *machine) relax(device string) {
	m.t.Helper()
	if err := rig.Relax(m.path(device), passphrase); err != nil {
		m.t.Fatal(err)
	}
}

// run runs the program without a terminal, and returns its answer and its exit status.
func (m *machine) run(device string, args ...string) (stdout, stderr string, code int) {
	m.t.Helper()
	cmd := m.command(device, args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs the program and wants it to end well.
func (m *machine) must(device string, args ...string) string {
	m.t.Helper()
	out, errs, code := m.run(device, args...)
	if code != 0 {
		m.t.Fatalf("obscura %s: status %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// server adds where the server is.
func (m *machine) server(args ...string) []string { return append(args, "--data", m.data) }

// person sits at a terminal and runs one command.
type person struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	tty  *os.File
	end  chan struct{}

	mu   sync.Mutex
	seen strings.Builder // all that came
	read int             // how much of it, as a person sees it, was looked at
}

// at sits a person down.
func (m *machine) at(device string, args ...string) *person {
	m.t.Helper()
	p := &person{t: m.t, name: device, cmd: m.command(device, args...), end: make(chan struct{})}
	var err error
	if p.tty, err = pty.StartWithSize(p.cmd, &pty.Winsize{Rows: 60, Cols: 120}); err != nil {
		m.t.Fatal(err)
	}
	go p.look()
	m.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.end
		p.tty.Close()
	})
	return p
}

// look reads the screen until the program has ended.
func (p *person) look() {
	defer close(p.end)
	b := make([]byte, 4096)
	for {
		n, err := p.tty.Read(b)
		p.mu.Lock()
		p.seen.Write(b[:n])
		p.mu.Unlock()
		if err != nil {
			_ = p.cmd.Wait()
			return
		}
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// screen is what has not been looked at, as a person sees it.
func (p *person) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.ReplaceAll(escapes.ReplaceAllString(p.seen.String(), ""), "\r", "\n")[p.read:]
}

// sees waits for words on the screen and returns what was there up to them.
func (p *person) sees(words string) string {
	p.t.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		text := p.screen()
		if i := strings.Index(text, words); i >= 0 {
			p.mu.Lock()
			p.read += i + len(words)
			p.mu.Unlock()
			return text[:i+len(words)]
		}
		if time.Now().After(late) {
			p.t.Fatalf("%s waits for %q and sees:\n%s", p.name, words, text)
		}
		select {
		case <-p.end:
			if !strings.Contains(p.screen(), words) {
				p.t.Fatalf("%s waits for %q, the program has ended:\n%s", p.name, words, p.screen())
			}
		default:
		}
	}
}

// finds waits for a pattern, and returns its first group.
func (p *person) finds(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	for late := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if m := re.FindStringSubmatch(p.screen()); m != nil {
			return m[1]
		}
		if time.Now().After(late) {
			p.t.Fatalf("%s looks for %q and sees:\n%s", p.name, pattern, p.screen())
		}
	}
}

func (p *person) types(line string) {
	p.t.Helper()
	if _, err := p.tty.WriteString(line + "\n"); err != nil {
		p.t.Fatal(err)
	}
}

// interrupts presses Ctrl-C.
func (p *person) interrupts() { p.types("\x03") }

// ends waits for the program to end with a status.
func (p *person) ends(status int) {
	p.t.Helper()
	select {
	case <-p.end:
	case <-time.After(patience):
		p.t.Fatalf("%s: the program does not end:\n%s", p.name, p.screen())
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Fatalf("%s: status %d, want %d:\n%s", p.name, got, status, p.screen())
	}
}

// codeOf runs a device that pairs without a terminal: code gets the letters that it prints first, done all that it printed.
func (m *machine) codeOf(cmd *exec.Cmd, code, done chan<- string) {
	m.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	w.Close()
	m.t.Cleanup(func() { _ = cmd.Process.Kill() })
	re := regexp.MustCompile(`(?s)pair admit\)\s+([0-9A-Z-]{39,}.*?)\s+This (camera|device) is  `)
	go func() {
		var all strings.Builder
		told := false
		b := make([]byte, 4096)
		for {
			n, err := r.Read(b)
			all.Write(b[:n])
			if found := re.FindStringSubmatch(all.String()); found != nil && !told {
				told = true
				code <- found[1]
			}
			if err != nil {
				break
			}
		}
		_ = cmd.Wait()
		r.Close()
		if !told {
			code <- ""
		}
		done <- all.String()
	}()
}
