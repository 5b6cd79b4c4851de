// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Need skips the test where a tool is missing, or fails it where OBSCURA_TEST_REQUIRE demands the tool. works
// are arguments with which the tool ends well; a shim without its program behind it does not.
func Need(t testing.TB, tool string, works ...string) {
	t.Helper()
	if exec.Command(tool, works...).Run() == nil {
		return
	}
	if Required(tool) {
		t.Fatalf("%s is required and does not run", tool)
	}
	t.Skipf("%s does not run; OBSCURA_TEST_REQUIRE=%s makes this a failure", tool, tool)
}

// Required says whether OBSCURA_TEST_REQUIRE, a list separated by commas, names a tool.
func Required(tool string) bool {
	return slices.Contains(strings.Split(os.Getenv("OBSCURA_TEST_REQUIRE"), ","), tool)
}

// Full says whether the long way is to be taken: where anything at all is required, and the tests are not short.
func Full() bool { return os.Getenv("OBSCURA_TEST_REQUIRE") != "" && !testing.Short() }
