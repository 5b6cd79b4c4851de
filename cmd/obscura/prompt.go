// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/term"
)

// canAsk says whether there is a person: prompts are on standard error, answers on standard input.
func (t *terminal) canAsk() bool { return term.IsTerminal(int(t.in.Fd())) && t.live() }

// ask prints a prompt and reads a line. It returns early when ctx ends.
func (t *terminal) ask(ctx context.Context, prompt string) (string, error) {
	fmt.Fprint(t.err, prompt)
	type answer struct {
		line []byte
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := readSecret(t.in)
		got <- answer{line, err}
	}()
	select {
	case a := <-got:
		return strings.TrimSpace(string(a.line)), a.err
	case <-ctx.Done():
		fmt.Fprintln(t.err)
		return "", context.Cause(ctx)
	}
}

// askDefault is ask for what has a usual answer.
func (t *terminal) askDefault(ctx context.Context, prompt, usual string) (string, error) {
	s, err := t.ask(ctx, fmt.Sprintf("%s [%s]: ", prompt, usual))
	if s == "" {
		s = usual
	}
	return s, err
}

// askYes asks for yes or no. Whatever is neither is asked again.
func (t *terminal) askYes(ctx context.Context, prompt string) (bool, error) {
	for {
		s, err := t.ask(ctx, prompt)
		if err != nil {
			return false, err
		}
		switch strings.ToLower(s) {
		case "y", "yes":
			return true, nil
		case "n", "no":
			return false, nil
		}
		fmt.Fprintln(t.err, "please type yes or no")
	}
}

// confirmName has a person type a name before something is taken away; without a terminal --confirm must have it.
func (t *terminal) confirmName(ctx context.Context, name, confirm, what string) error {
	switch {
	case confirm == name:
		return nil
	case confirm != "":
		return usageError{fmt.Errorf("--confirm %q is not %q", confirm, name)}
	case !t.canAsk():
		return usageError{fmt.Errorf("there is no terminal to confirm on: give --confirm %s", shellQuote(name))}
	}
	typed, err := t.ask(ctx, fmt.Sprintf("Type the name %q to have it %s: ", name, what))
	if err == nil && typed != name {
		err = usageError{fmt.Errorf("that is not %q; nothing was changed", name)}
	}
	return err
}
