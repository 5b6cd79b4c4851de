// SPDX-License-Identifier: Apache-2.0

package oracle_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/obscura-video/obscura/internal/policy"
	"github.com/obscura-video/obscura/test/oracle"
)

// A tally counts what the cases reached.
type tally map[string]int

func (c tally) rule(name string, outcome bool) { c[fmt.Sprintf("%s %v", name, outcome)]++ }

var kindNames = map[policy.Kind]string{
	policy.Identity: "identity", policy.Boundary: "boundary", policy.Session: "session", policy.Resource: "resource",
	policy.KeyPolicy: "key policy", policy.Trust: "trust",
}

func (c tally) decision(v oracle.Verdict, d policy.Decision) {
	c["decided"]++
	switch d.Reason {
	case policy.Allowed:
		c["allowed"]++
	case policy.ExplicitDeny:
		c["denied by "+kindNames[d.Policy]]++
	default:
		c["missing "+kindNames[d.Policy]]++
	}
}

// The least share of all decisions, in thousandths, that each must have for the cases to be worth
// something.
var shares = map[string]int{
	"allowed": 120, "denied by identity": 60, "denied by boundary": 10, "denied by session": 10, "denied by resource": 7,
	"denied by key policy": 6, "denied by trust": 7, "missing identity": 80, "missing boundary": 8,
	"missing session": 20, "missing resource": 10, "missing key policy": 20, "missing trust": 20,
}

// check demands a fair share of every decision and both outcomes of every operator; of many cases, in
// each of its forms.
func (c tally) check(t *testing.T) {
	for what, share := range shares {
		if got := c[what] * 1000 / c["decided"]; got < share {
			t.Errorf("%s: %d of 1000 decisions, want at least %d", what, got, share)
		}
	}
	rules := []string{"Null", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal"}
	for _, o := range operands {
		for _, operator := range o.operator {
			forms := []string{operator, operator + "IfExists"}
			for _, set := range []string{"ForAllValues:", "ForAnyValue:"} {
				forms = append(forms, set+operator, set+operator+"IfExists")
			}
			if c["decided"] >= 500_000 {
				rules = append(rules, forms...)
				continue
			}
			rules = append(rules, "any form of "+operator)
			for _, form := range forms {
				c["any form of "+operator+" true"] += c[form+" true"]
				c["any form of "+operator+" false"] += c[form+" false"]
			}
		}
	}
	for _, rule := range rules {
		if c[rule+" true"] == 0 || c[rule+" false"] == 0 {
			t.Errorf("%s: %d times true, %d times false", rule, c[rule+" true"], c[rule+" false"])
		}
	}
	for _, what := range slices.Sorted(maps.Keys(shares)) {
		t.Logf("%8d %s", c[what], what)
	}
}
