// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/internal/server"
)

// Levels of a finding. They are words, since colour is never alone.
const (
	levelOK   = "ok"
	levelWarn = "warn"
	levelFail = "FAIL"
)

// finding is what doctor says of one thing.
type finding struct {
	Level   string `json:"level"`
	Subject string `json:"subject"`
	What    string `json:"what"`
	Next    string `json:"next,omitempty"`
}

type doctorOptions struct {
	data, rootFile string
	strict         bool
}

func newDoctor(t *terminal) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong, or soon will be, and say what to do",
		Long: `Look at a server's disk, clock, root key, certificates, listeners and limits, and say
what is wrong, or soon will be, and what to do about it. Nothing is changed.

Exit status 0 means that nothing failed, 1 that something did. With --strict warnings
count as failures.`,
		Example: `  obscura doctor
  obscura doctor --data /srv/obscura --strict
  obscura doctor --json | jq '.[] | select(.level != "ok")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return doctor(cmd.Context(), t, &o) },
	}
	cmd.Flags().StringVar(&o.data, "data", server.DefaultData, "data directory")
	cmd.Flags().StringVar(&o.rootFile, "root-file", "", "root key's file of a stopped server (default <data>/root.key)")
	cmd.Flags().BoolVar(&o.strict, "strict", false, "count warnings as failures")
	return cmd
}

func doctor(ctx context.Context, t *terminal, o *doctorOptions) error {
	if err := server.CheckData(o.data); err != nil {
		return explainData(ctx, "cannot examine "+o.data, err)
	}
	e := &examination{data: o.data, rootFile: o.rootFile}
	st, err := server.ReadStatus(ctx, o.data)
	switch {
	case err == nil:
		e.status = &st
		e.add(levelOK, "server", fmt.Sprintf("runs as process %d since %s", st.PID, st.Started.UTC().Format("2006-01-02T15:04:05Z")), "")
	case errors.Is(err, server.ErrNotRunning):
		e.add(levelWarn, "server", "does not run; its listeners and certificates were not looked at", "obscura serve --data "+shellQuote(o.data))
	default:
		e.add(levelFail, "server", err.Error(), "look at its log, then restart it")
	}
	for _, look := range []func(context.Context){e.modes, e.disk, e.clock, e.seal, e.certificates, e.listeners, e.files} {
		look(ctx)
	}
	return e.tell(t, o.strict)
}

// examination gathers findings about one data directory.
type examination struct {
	data, rootFile string
	status         *server.Status // nil when no server runs
	findings       []finding
}

func (e *examination) add(level, subject, what, next string) {
	e.findings = append(e.findings, finding{level, subject, what, next})
}

// tell prints the findings; failures are an error.
func (e *examination) tell(t *terminal, strict bool) error {
	if err := e.print(t); err != nil {
		return err
	}
	n := map[string]int{}
	for _, f := range e.findings {
		n[f.Level]++
	}
	failed := n[levelFail]
	if strict {
		failed += n[levelWarn]
	}
	if failed == 0 {
		return nil
	}
	return &problem{What: fmt.Sprintf("%s needs attention", e.data), Why: fmt.Sprintf("%d failed, %s", n[levelFail], count(n[levelWarn], "warning", "warnings")), Exit: exitFailed}
}

func (e *examination) print(t *terminal) error {
	if t.json {
		return json.NewEncoder(t.out).Encode(e.findings)
	}
	var b strings.Builder
	for _, f := range e.findings {
		if !t.outIsTerminal() {
			fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", f.Level, f.Subject, f.What, f.Next)
			continue
		}
		paint := map[string]func(string) string{levelOK: t.green, levelWarn: t.yellow, levelFail: t.red}[f.Level]
		fmt.Fprintf(&b, "%s  %-12s %s\n", paint(fmt.Sprintf("%-4s", f.Level)), f.Subject, f.What)
		if f.Next != "" {
			fmt.Fprintf(&b, "      %s %s\n", t.dim("next:"), f.Next)
		}
	}
	_, err := t.out.WriteString(b.String())
	return err
}
