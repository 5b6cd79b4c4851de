// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command bench measures a built server against what the same machine can do at all.
//
// The server is the real binary in a process of its own. Beside it runs a ceiling: another process that moves the
// same bytes over the same TLS and does nothing else. One client drives both, in turns (A B A B …), so that a
// machine which slows down slows both down; what counts is the median of the rounds.
//
// It is no test: it judges nothing but the table that it prints, and no figure is written that was not measured.
// The method is docs/benchmarks.md.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	binary string
	only   string
	out    string
	dir    string
	rounds int
	round  time.Duration
	// events are the sizes of records, eventRate how many events a second they have.
	events    []int
	eventRate float64
	ledger    string
	// keys and grants are how many suite scale has.
	keys, grants int
	// calls is what the name of a case has in it that suites kms and scale measure; empty: all.
	calls string
	// profiles is a folder for processor profiles of servers that this program is itself; empty: the binary is measured.
	profiles string
}

// ceilingRole is the argument with which bench starts itself as the ceiling.
const ceilingRole = "ceiling"

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	if len(os.Args) > 2 && os.Args[1] == ceilingRole {
		log.Fatal(serveCeiling(os.Args[2]))
	}
	if len(os.Args) > 3 && os.Args[1] == profiledRole {
		if err := serveProfiled(os.Args[2], os.Args[3]); err != nil {
			log.Fatal(err)
		}
		return
	}
	var o options
	flag.StringVar(&o.binary, "binary", "bin/obscura", "server to measure")
	flag.StringVar(&o.only, "only", "ingest,latency,kms,memory,e2ee", "what to measure; the suite audit is not among them unless it is named")
	flag.StringVar(&o.out, "out", "bench/results", "folder for the results in JSON; empty: none")
	flag.StringVar(&o.dir, "dir", "", "where the data directories are made, on the disk to be measured (default: the temporary folder)")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each measurement; the median counts")
	flag.DurationVar(&o.round, "round", 3*time.Second, "length of a round")
	flag.Func("events", "sizes of the records of suite audit, separated by commas (default 1000000), and the size of that of suite scale (default 10000000)", o.setEvents)
	flag.Float64Var(&o.eventRate, "event-rate", 100, "events a second in those records, by their own clock")
	flag.IntVar(&o.keys, "keys", 100_000, "KMS keys of suite scale, at most what the quota leaves")
	flag.IntVar(&o.grants, "grants", 1_000_000, "grants of suite scale")
	flag.StringVar(&o.calls, "calls", "", "what the name of a case has in it that suites kms and scale measure, say 'HTTP/1.1, 8 callers'; empty: all")
	flag.StringVar(&o.ledger, "ledger", "", "folder of the store of suites audit and scale: it is made there unless it is there, and kept; empty: made anew, and removed")
	flag.StringVar(&o.profiles, "profiles", "", "folder for a processor profile of each server that is started; it is this program then, not the binary")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func (o *options) setEvents(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no number of events", part)
		}
		o.events = append(o.events, n)
	}
	return nil
}

// suites are what -only names.
func suites() []suite {
	return []suite{{"ingest", ingest}, {"latency", latency}, {"kms", keys}, {"scale", scale}, {"memory", memory}, {"e2ee", sealed}, {"audit", auditSuite}}
}

type suite struct {
	name string
	run  func(o options, r *report) error
}

func run(o options) error {
	r := newReport(os.Stdout)
	var errs []error
	for _, s := range suites() {
		if !strings.Contains(","+o.only+",", ","+s.name+",") {
			continue
		}
		if err := s.run(o, r); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	return errors.Join(append(errs, r.save(o.out))...)
}

// report collects results. It is for one goroutine.
type report struct {
	w io.Writer

	Date    time.Time `json:"date"`
	Machine machine   `json:"machine"`
	Results []result  `json:"results"`
}

type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Load   string `json:"load"` // before the first round
}

// result is one line of the table.
type result struct {
	Suite string `json:"suite"`
	Case  string `json:"case"`
	Unit  string `json:"unit"`
	// Server and Ceiling have one value for each round, in the order in which they were measured.
	Server  []float64 `json:"server"`
	Ceiling []float64 `json:"ceiling,omitempty"`
	// Measured is the second ceiling of suite kms: the echo that runs the primitive.
	Measured []float64 `json:"measured,omitempty"`
	// Echo and Primitive are what the first one is made of.
	Echo      []float64 `json:"echo,omitempty"`
	Primitive []float64 `json:"primitive,omitempty"`
}

func newReport(w io.Writer) *report {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: cpuModel()}
	m.Kernel = firstLine("/proc/sys/kernel/osrelease")
	m.Load = firstLine("/proc/loadavg")
	r := &report{w: w, Date: time.Now().UTC(), Machine: m}
	fmt.Fprintf(w, "%s, %d cores, Linux %s, %s, load %s\n", m.CPU, m.Cores, m.Kernel, m.Go, m.Load)
	r.line("", "", "server", "ceiling", "share", "measured", "share", "unit")
	return r
}

func firstLine(path string) string {
	text, _ := os.ReadFile(path) // nothing depends on it
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // nothing depends on it
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func (r *report) add(one result) {
	r.Results = append(r.Results, one)
	ceiling, share := one.against(one.Ceiling)
	measured, ofMeasured := one.against(one.Measured)
	r.line(one.Suite, one.Case, fmt.Sprintf("%.2f", median(one.Server)), ceiling, share, measured, ofMeasured, one.Unit)
}

// against is a ceiling and the server's share of it as the table shows them.
func (one *result) against(ceiling []float64) (value, share string) {
	if len(ceiling) == 0 {
		return "", ""
	}
	c := median(ceiling)
	return fmt.Sprintf("%.2f", c), fmt.Sprintf("%.0f %%", 100*median(one.Server)/c)
}

func (r *report) line(suite, name, server, ceiling, share, measured, ofMeasured, unit string) {
	fmt.Fprintf(r.w, "%-8s %-46s %12s %12s %7s %12s %7s  %s\n", suite, name, server, ceiling, share, measured, ofMeasured, unit)
}

func (r *report) save(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.Date.Format("2006-01-02T150405Z")+".json"), append(text, '\n'), 0o644)
}
