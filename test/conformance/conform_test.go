// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"flag"
	"slices"
	"testing"

	"github.com/obscura-video/obscura/test/conformance/iam"
	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/conformance/kms"
	"github.com/obscura-video/obscura/test/conformance/sts"
	"github.com/obscura-video/obscura/test/rig"
)

var options = kit.Flags(flag.CommandLine)

// suites are the services whose every operation has a case.
func suites() []*kit.API {
	return []*kit.API{kms.API(), iam.API(), sts.API()}
}

// TestConformance runs the cases of every operation, against a server of its own or, with -endpoint, another one.
func TestConformance(t *testing.T) {
	t.Parallel()
	target := kit.Open(t, *options)
	for _, a := range suites() {
		t.Run(a.Model.Name, func(t *testing.T) {
			t.Parallel()
			target.Run(t, a)
		})
	}
}

// TestEveryBuiltOperationHasItsCases: what the server answers otherwise than with "not built" has a case, and each
// error that the model declares for it has a way to it or a reason why there is none.
func TestEveryBuiltOperationHasItsCases(t *testing.T) {
	t.Parallel()
	s := rig.Start(t)
	for _, a := range suites() {
		var built []string
		for _, op := range a.Model.Operations {
			got := askedOf(t, op).ask(t, s, s.Root)
			if got.status != 501 && !(op.Unsigned && got.code == a.Denied) { // nobody is let near what is not built and not signed
				built = append(built, op.Name)
			}
		}
		for _, fault := range a.Incomplete(func(op string) bool { return slices.Contains(built, op) }) {
			t.Errorf("%s/%s", a.Model.Name, fault)
		}
	}
}
