// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/obscura-video/obscura/test/rig"
)

// TestMain lets more tests run at once than there are processors: mostly they wait for each other's ends of connections.
func TestMain(m *testing.M) {
	flag.Parse()
	err := flag.Set("test.parallel", "16")
	code := 1
	if err == nil {
		code, err = rig.Main(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}
