// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestEveryCommandExplainsItself(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		examples := 0
		for line := range strings.Lines(c.Example) {
			if strings.HasPrefix(strings.TrimLeft(line, " "), "obscura ") || strings.Contains(line, "$(obscura ") {
				examples++
			}
		}
		if examples < 3 {
			t.Errorf("%s: %d examples, want 3", c.CommandPath(), examples)
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: Short %q is to be one sentence without full stop", c.CommandPath(), c.Short)
		}
		for _, sub := range c.Commands() {
			if sub.Name() != "help" && sub.Name() != "completion" {
				check(sub)
			}
		}
	}
	check(newRoot(newTerminal(nil, nil, nil)))
}

func TestByteCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_960: "1.0 MB", 1_180_078: "1.2 MB", 5e15: "5000.0 TB"} {
		if got := byteCount(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
