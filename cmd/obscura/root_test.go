// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"
)

func TestPassphraseComesFromADescriptor(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		fails      bool
	}{
		"line":      {"correct horse\nand what follows", "correct horse", false},
		"no end":    {"correct horse", "correct horse", false},
		"windows":   {"correct horse\r\n", "correct horse", false},
		"spaces":    {"  two  \n", "  two  ", false},
		"unbounded": {strings.Repeat("x", 2*maxSecretBytes), "", true},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = w.WriteString(c.text) // the reader may have gone
			w.Close()
		}()
		got, err := readSecret(r)
		if string(got) != c.want || (err != nil) != c.fails {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		r.Close()
	}
	if _, err := newTerminal(os.Stdin, os.Stdout, os.Stderr).askSecret("x", false); err == nil {
		t.Error("asked where there is no terminal")
	}
}
