// SPDX-License-Identifier: Apache-2.0

package oracle_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/obscura-video/obscura/internal/policy"
	"github.com/obscura-video/obscura/test/oracle"
)

var (
	cases = flag.Int("oracle.n", 6000, "how many requests to decide twice")
	small = flag.Bool("oracle.shrink", true, "whether to make a case smaller on which the two disagree")
	start = flag.Uint64("oracle.seed", 1, "where the dice start")
)

// requestsPerWorld is how many requests are decided with one set of policies.
const requestsPerWorld = 4

// The evaluator and the oracle decide alike, and give the same reason.
func TestEvaluateAgreesWithOracle(t *testing.T) {
	d := dice(*start)
	seen := tally{}
	judge := oracle.Judge{Note: seen.rule}
	var w oracle.World
	for i := range *cases {
		if i%requestsPerWorld == 0 {
			w = d.policies()
		}
		w.Request = d.request(w.Mode)
		set, err := parse(w)
		if err != nil {
			t.Fatalf("%v\n%s", err, encode(w))
		}
		verdict, decision := judge.Decide(w), policy.Evaluate(w.Request, set)
		seen.decision(verdict, decision)
		if problem := compare(verdict, decision); problem != "" {
			t.Fatalf("case %d from seed %d: %s", i, *start, explain(w))
		}
	}
	if *cases >= 5000 {
		seen.check(t)
	}
}

// compare says how a decision contradicts the oracle's verdict, or nothing.
func compare(v oracle.Verdict, d policy.Decision) string {
	sids, denies := v.Denying[d.Policy]
	switch {
	case v.Allowed != d.Allowed:
		return fmt.Sprintf("oracle says allowed=%v, evaluator %v", v.Allowed, d.Allowed)
	case d.Allowed != (d.Reason == policy.Allowed):
		return fmt.Sprintf("allowed=%v with reason %v", d.Allowed, d.Reason)
	case d.Allowed:
		return ""
	case (len(v.Denying) > 0) != (d.Reason == policy.ExplicitDeny):
		return fmt.Sprintf("oracle has denials %v, evaluator reason %v", v.Denying, d.Reason)
	case d.Reason == policy.ExplicitDeny && (!denies || !slices.Contains(sids, d.SID)):
		return fmt.Sprintf("oracle has denials %v, evaluator one of kind %v, Sid %q", v.Denying, d.Policy, d.SID)
	case d.Reason == policy.ImplicitDeny && !v.Missing[d.Policy]:
		return fmt.Sprintf("oracle misses %v, evaluator %v", slices.Collect(maps.Keys(v.Missing)), d.Policy)
	}
	return ""
}

func parse(w oracle.World) (policy.PolicySet, error) {
	set := policy.PolicySet{
		Mode: w.Mode, HasSession: w.HasSession, ResourceAccount: w.ResourceAccount, GrantAllows: w.GrantAllows,
	}
	var err error
	document := func(text string, kind policy.Kind) *policy.Document {
		if text == "" || err != nil {
			return nil
		}
		var doc *policy.Document
		if doc, err = policy.Parse([]byte(text), kind); err != nil {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return doc
	}
	for _, text := range w.Identity {
		set.Identity = append(set.Identity, document(text, policy.Identity))
	}
	for _, text := range w.Session {
		set.Session = append(set.Session, document(text, policy.Session))
	}
	set.Boundary = document(w.Boundary, policy.Boundary)
	set.Resource = document(w.Resource, resourceKinds[w.Mode])
	return set, err
}

var resourceKinds = map[policy.Mode]policy.Kind{
	policy.Standard: policy.Resource, policy.KeyPolicyMode: policy.KeyPolicy, policy.TrustMode: policy.Trust,
}

// disagreement decides a world both ways, and says how the outcomes differ.
func disagreement(w oracle.World) string {
	set, err := parse(w)
	if err != nil {
		return ""
	}
	return compare(oracle.Judge{}.Decide(w), policy.Evaluate(w.Request, set))
}

// explain makes a world on which the two disagree smaller, as long as they do, and prints it.
func explain(w oracle.World) string {
	for shrunk := *small; shrunk; {
		w, shrunk = shrink(w)
	}
	text, _ := json.MarshalIndent(w, "", " ")
	return disagreement(w) + "\n" + string(text)
}

// shrink tries to leave out one thing.
func shrink(w oracle.World) (oracle.World, bool) {
	for _, smaller := range smallerWorlds(w) {
		if disagreement(smaller) != "" {
			return smaller, true
		}
	}
	return w, false
}

func smallerWorlds(w oracle.World) []oracle.World {
	var all []oracle.World
	change := func(f func(*oracle.World)) {
		smaller := w
		f(&smaller)
		all = append(all, smaller)
	}
	if w.GrantAllows {
		change(func(s *oracle.World) { s.GrantAllows = false })
	}
	if w.HasSession {
		change(func(s *oracle.World) { s.HasSession, s.Session = false, nil })
	}
	for _, text := range smallerDocuments(w.Boundary) {
		change(func(s *oracle.World) { s.Boundary = text })
	}
	for _, text := range smallerDocuments(w.Resource) {
		change(func(s *oracle.World) { s.Resource = text })
	}
	for _, list := range smallerLists(w.Identity) {
		change(func(s *oracle.World) { s.Identity = list })
	}
	for _, list := range smallerLists(w.Session) {
		change(func(s *oracle.World) { s.Session = list })
	}
	context, _ := w.Request.Context.(policy.Map)
	for key := range context {
		change(func(s *oracle.World) {
			fewer := maps.Clone(context)
			delete(fewer, key)
			s.Request.Context = fewer
		})
	}
	return all
}

func smallerLists(list []string) [][]string {
	var all [][]string
	for i := range list {
		for _, text := range smallerDocuments(list[i]) {
			smaller := slices.Clone(list)
			smaller[i] = text
			all = append(all, smaller)
		}
		all = append(all, slices.Delete(slices.Clone(list), i, i+1))
	}
	return all
}

// smallerDocuments returns a document without any one of its parts, and "".
func smallerDocuments(text string) []string {
	if text == "" {
		return nil
	}
	var doc any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		panic(err)
	}
	all := []string{""}
	for _, v := range smallerValues(doc) {
		all = append(all, encode(v))
	}
	return all
}

func smallerValues(v any) []any {
	var all []any
	switch v := v.(type) {
	case map[string]any:
		for key, element := range v {
			fewer := maps.Clone(v)
			delete(fewer, key)
			all = append(all, fewer)
			for _, smaller := range smallerValues(element) {
				changed := maps.Clone(v)
				changed[key] = smaller
				all = append(all, changed)
			}
		}
	case []any:
		for i := range v {
			all = append(all, slices.Delete(slices.Clone(v), i, i+1))
			for _, smaller := range smallerValues(v[i]) {
				changed := slices.Clone(v)
				changed[i] = smaller
				all = append(all, changed)
			}
		}
	}
	return all
}
