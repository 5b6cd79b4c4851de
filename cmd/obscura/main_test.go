// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestMain keeps the tests' buffers and keys away from the user's, and lets more tests run at once than there are
// processors: mostly they wait for media, and for silence.
func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runAway(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// runAway runs the tests in a home of their own, which is the same one for all, and removes it.
func runAway(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "obscura-test-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	set := map[string]string{
		"HOME": dir, "XDG_CACHE_HOME": filepath.Join(dir, "cache"), "XDG_CONFIG_HOME": filepath.Join(dir, "config"), "AWS_ENDPOINT_URL": "",
	}
	for _, name := range overrides {
		set[name] = ""
	}
	for name, value := range set {
		if err := os.Setenv(name, value); err != nil {
			return 1, err
		}
	}
	if err := flag.Set("test.parallel", "16"); err != nil {
		return 1, err
	}
	return m.Run(), nil
}
