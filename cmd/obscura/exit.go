// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// Exit codes. They are part of the interface; scripts rely on them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3 // permission
	exitNotFound    = 4
	exitConflict    = 5
	exitUnreachable = 6 // or timed out
	exitDamaged     = 7 // verification failed, or damage found
	exitNoKey       = 8
	exitInterrupted = 130
)

// problem is an error as a person reads it: what happened to which subject, why, and what to do next.
type problem struct {
	What string // `cannot view "front-door"`
	Why  string // one sentence; empty when What says it all
	Next string // a line that can be pasted; empty when there is none
	// Code and RequestID come last, for whoever asks others for help.
	Code, RequestID string
	Exit            int
	Err             error // the cause, for errors.Is
}

func (p *problem) Error() string {
	if p.Why == "" {
		return p.What
	}
	return p.What + ": " + p.Why
}

func (p *problem) Unwrap() error { return p.Err }

// usageError marks a mistake in the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// fail reports err on standard error and returns the exit code.
func (t *terminal) fail(err error) int {
	var p *problem
	var interrupted interruptedError
	switch {
	case errors.Is(err, syscall.EPIPE):
		return exitFailed // the reader has gone; say nothing
	case errors.As(err, &interrupted):
		return exitInterrupted
	case errors.As(err, &p):
	default:
		p = &problem{What: err.Error(), Exit: exitFailed}
		var usage usageError
		if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command") {
			p.Exit = exitUsage
		}
	}
	t.report(p)
	if p.Exit == 0 {
		return exitFailed
	}
	return p.Exit
}

func (t *terminal) report(p *problem) {
	if t.json {
		enc := json.NewEncoder(t.err)
		_ = enc.Encode(map[string]string{
			"error": p.What, "why": p.Why, "next": t.pasteable(p.Next), "code": p.Code, "requestId": p.RequestID,
		})
		return
	}
	fmt.Fprintf(t.err, "%s %s\n", t.red("obscura:"), p.What)
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(t.err, "  %s %s\n", t.dim(label), text)
		}
	}
	line("why: ", p.Why)
	line("next:", t.pasteable(p.Next))
	code := p.Code
	if p.RequestID != "" {
		code = strings.TrimSpace(code + "  request " + p.RequestID)
	}
	line("code:", code)
}
