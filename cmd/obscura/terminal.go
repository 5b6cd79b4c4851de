// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// terminal is where the program talks: the answer on out, everything else on err.
type terminal struct {
	in, out, err *os.File
	self         string // how this program was called
	color        string // auto, always, never
	json         bool
	// descriptors are other files that were inherited. They stay open: a *os.File that is dropped closes its own.
	descriptors map[int]*os.File
}

// descriptor returns the file of an inherited file descriptor.
func (t *terminal) descriptor(fd int) *os.File {
	if t.descriptors == nil {
		t.descriptors = map[int]*os.File{0: t.in, 1: t.out, 2: t.err}
	}
	if t.descriptors[fd] == nil {
		t.descriptors[fd] = os.NewFile(uintptr(fd), "descriptor "+strconv.Itoa(fd))
	}
	return t.descriptors[fd]
}

func newTerminal(in, out, err *os.File) *terminal {
	return &terminal{in: in, out: out, err: err, self: "obscura", color: "auto"}
}

// pasteable writes a command line of this program in the way in which it was called, so that the line works
// where obscura is not in the PATH.
func (t *terminal) pasteable(line string) string {
	const name = "obscura "
	if rest, ok := strings.CutPrefix(line, name); ok {
		line = t.self + " " + rest
	}
	return strings.ReplaceAll(line, "$("+name, "$("+t.self+" ")
}

func (t *terminal) addFlags(f *pflag.FlagSet) {
	f.StringVar(&t.color, "color", "auto", "colour on standard error: auto, always or never")
	f.BoolVar(&t.json, "json", false, "print the answer, and errors, as JSON")
}

// live says whether standard error is a terminal: then progress is one redrawn line, else plain lines.
func (t *terminal) live() bool { return term.IsTerminal(int(t.err.Fd())) }

// outIsTerminal says whether the answer is read by a person.
func (t *terminal) outIsTerminal() bool { return term.IsTerminal(int(t.out.Fd())) }

// width of standard error in columns; 80 where it is unknown.
func (t *terminal) width() int {
	if w, _, err := term.GetSize(int(t.err.Fd())); err == nil && w > 0 {
		return w
	}
	return 80
}

func (t *terminal) colored() bool {
	switch t.color {
	case "always":
		return true
	case "never":
		return false
	}
	return t.live() && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (t *terminal) paint(code, s string) string {
	if !t.colored() {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t *terminal) bold(s string) string   { return t.paint("1", s) }
func (t *terminal) dim(s string) string    { return t.paint("2", s) }
func (t *terminal) red(s string) string    { return t.paint("31", s) }
func (t *terminal) green(s string) string  { return t.paint("32", s) }
func (t *terminal) yellow(s string) string { return t.paint("33", s) }
