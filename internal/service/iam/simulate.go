// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/policy"
)

// maxSimulations bounds actions times resources of one request.
const maxSimulations = 10_000

// A simulation is what SimulateCustomPolicy and SimulatePrincipalPolicy have in common.
type simulation struct {
	who      policy.Principal
	sources  []source
	boundary *policy.Document
	// outer is what the request says of resource and circumstances.
	outer outer
}

// outer are the members that both requests share.
type outer struct {
	actions, resources     []string
	resourcePolicy, caller *string
	owner                  *string
	inputs, boundaries     []string
	entries                []*iamapi.ContextEntry
	marker                 *string
	maxItems               *int64
}

// A source is an identity policy and where it came from.
type source struct {
	id, kind string
	doc      *policy.Document
}

// SimulateCustomPolicy decides as the server would, for the policies given.
//
// Errors: InvalidInputException.
func (s *Service) SimulateCustomPolicy(ctx context.Context, in *iamapi.SimulateCustomPolicyInput) (*iamapi.SimulateCustomPolicyOutput, error) {
	if err := s.allow(ctx, "SimulateCustomPolicy", "*", conditions{}); err != nil {
		return nil, err
	}
	sim := &simulation{
		who: policy.Principal{Kind: policy.User, Account: s.account, ARN: "arn:aws:iam::" + s.account + ":user/simulated"},
		outer: outer{
			in.ActionNames, in.ResourceArns, in.ResourcePolicy, in.CallerArn, in.ResourceOwner,
			in.PolicyInputList, in.PermissionsBoundaryPolicyInputList, in.ContextEntries, in.Marker, in.MaxItems,
		},
	}
	results, truncated, next, err := s.simulate(sim)
	return &iamapi.SimulateCustomPolicyOutput{EvaluationResults: results, IsTruncated: truncated, Marker: next}, err
}

// SimulatePrincipalPolicy decides as the server would, for a user, group or role with the policies that it has
// and those given.
//
// Errors: NoSuchEntityException, InvalidInputException.
func (s *Service) SimulatePrincipalPolicy(ctx context.Context, in *iamapi.SimulatePrincipalPolicyInput) (*iamapi.SimulatePrincipalPolicyOutput, error) {
	v := s.view()
	e := v.byARN(s.account, *in.PolicySourceArn)
	if err := s.allow(ctx, "SimulatePrincipalPolicy", *in.PolicySourceArn, conditions{}.of(e)); err != nil {
		return nil, err
	}
	if e == nil {
		return nil, &iamapi.NoSuchEntityException{Message: fmt.Sprintf("The policy source %s cannot be found.", *in.PolicySourceArn)}
	}
	sim := &simulation{
		who:     s.simulated(e),
		sources: v.sources(e),
		outer: outer{
			in.ActionNames, in.ResourceArns, in.ResourcePolicy, in.CallerArn, in.ResourceOwner,
			in.PolicyInputList, in.PermissionsBoundaryPolicyInputList, in.ContextEntries, in.Marker, in.MaxItems,
		},
	}
	if e.Boundary != "" {
		sim.boundary, _ = s.ManagedPolicy(ctx, e.Boundary)
	}
	results, truncated, next, err := s.simulate(sim)
	return &iamapi.SimulatePrincipalPolicyOutput{EvaluationResults: results, IsTruncated: truncated, Marker: next}, err
}

// simulated is who a user, a member of a group or a session of a role would be.
func (s *Service) simulated(e *entity) policy.Principal {
	p := policy.Principal{Kind: policy.User, Account: s.account, ARN: e.arn(s.account), UniqueID: e.ID}
	if e.Kind == roleKind {
		p.Kind, p.RoleARN, p.UniqueID = policy.AssumedRole, p.ARN, e.ID+":simulated"
		p.ARN = "arn:aws:sts::" + s.account + ":assumed-role/" + e.Name + "/simulated"
	}
	return p
}

// sources are the identity policies that bear on e.
func (v *view) sources(e *entity) []source {
	var out []source
	for name, d := range e.Inline {
		out = append(out, source{id: string(e.Kind) + "_" + e.Name + "_" + name, kind: string(e.Kind), doc: d.compiled})
	}
	for _, p := range v.attachedTo(e, "") {
		kind := iamapi.PolicySourceTypeUserManaged
		if p.awsOwned() {
			kind = iamapi.PolicySourceTypeAwsManaged
		}
		out = append(out, source{id: p.Name, kind: kind, doc: p.compiled()})
	}
	if e.Kind == userKind {
		for _, g := range v.groupsOf(e) {
			out = append(out, v.sources(g)...)
		}
	}
	slices.SortFunc(out, func(a, b source) int { return strings.Compare(a.id, b.id) })
	return out
}

func (s *Service) simulate(sim *simulation) ([]*iamapi.EvaluationResult, *bool, *string, error) {
	set, err := s.simulatedSet(sim)
	if err != nil {
		return nil, nil, nil, err
	}
	resources := sim.outer.resources
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	total := len(sim.outer.actions) * len(resources)
	if total > maxSimulations {
		return nil, nil, nil, invalidInput("At most %d combinations of action and resource may be simulated.", maxSimulations)
	}
	places := make([]int, total)
	for i := range places {
		places[i] = i
	}
	order := func(i int) string { return fmt.Sprintf("%08d", i) }
	places, truncated, next, err := page(places, order, sim.outer.marker, sim.outer.maxItems)
	if err != nil {
		return nil, nil, nil, err
	}
	known := s.simulatedContext(sim)
	results := each(places, func(i int) *iamapi.EvaluationResult {
		return sim.result(set, policy.Request{
			Action: sim.outer.actions[i/len(resources)], Resource: resources[i%len(resources)],
			Principal: sim.who, Context: known,
		})
	})
	return results, truncated, next, nil
}

// simulatedSet puts the policies together, those that the request gives too.
func (s *Service) simulatedSet(sim *simulation) (policy.PolicySet, error) {
	set := policy.PolicySet{ResourceAccount: s.account}
	for i, text := range sim.outer.inputs {
		d, err := policy.Parse([]byte(text), policy.Identity)
		if err != nil {
			return set, invalidInput("Invalid Policy: %s", err)
		}
		sim.sources = append(sim.sources, source{id: "PolicyInputList." + strconv.Itoa(i+1), kind: iamapi.PolicySourceTypeNone, doc: d})
	}
	if n := len(sim.outer.boundaries); n > 1 {
		return set, invalidInput("Only one permissions boundary policy may be given.")
	} else if n == 1 {
		d, err := policy.Parse([]byte(sim.outer.boundaries[0]), policy.Boundary)
		if err != nil {
			return set, invalidInput("Invalid Policy: %s", err)
		}
		sim.boundary = d
	}
	if sim.outer.resourcePolicy != nil {
		d, err := policy.Parse([]byte(*sim.outer.resourcePolicy), policy.Resource)
		if err != nil {
			return set, invalidInput("Invalid Policy: %s", err)
		}
		set.Resource = d
	}
	if sim.outer.caller != nil {
		e := s.view().byARN(s.account, *sim.outer.caller)
		if e == nil || e.Kind != userKind {
			return set, invalidInput("CallerArn %s is not the ARN of a user.", *sim.outer.caller)
		}
		sim.who = s.simulated(e)
	}
	if owner := value(sim.outer.owner); owner != "" {
		set.ResourceAccount = strings.TrimSuffix(strings.TrimPrefix(owner, "arn:aws:iam::"), ":root")
	}
	for _, src := range sim.sources {
		set.Identity = append(set.Identity, src.doc)
	}
	set.Boundary = sim.boundary
	return set, nil
}

// simulatedContext knows what follows from the principal, and what the request says.
func (s *Service) simulatedContext(sim *simulation) policy.Context {
	now := s.now().UTC()
	known := policy.Map{
		"aws:currenttime":      {now.Format(time.RFC3339)},
		"aws:epochtime":        {strconv.FormatInt(now.Unix(), 10)},
		"aws:principalaccount": {sim.who.Account},
		"aws:principalarn":     {sim.who.ARN},
		"aws:userid":           {sim.who.UniqueID},
	}
	if sim.who.RoleARN != "" {
		known.Set("aws:PrincipalArn", sim.who.RoleARN)
	}
	id, _, _ := strings.Cut(sim.who.UniqueID, ":")
	if e := s.view().entities[id]; e != nil {
		if e.Kind == userKind {
			known.Set("aws:username", e.Name)
		}
		for _, t := range e.Tags {
			known.Set("aws:PrincipalTag/"+t.Key, t.Value)
		}
	}
	given := policy.Map{}
	for _, c := range sim.outer.entries {
		given.Set(value(c.ContextKeyName), c.ContextKeyValues...)
	}
	maps.Copy(known, given)
	return known
}

// result decides one request and names the policies that matched.
func (sim *simulation) result(set policy.PolicySet, r policy.Request) *iamapi.EvaluationResult {
	d := policy.Evaluate(r, set)
	out := &iamapi.EvaluationResult{
		EvalActionName: &r.Action, EvalResourceName: &r.Resource, EvalDecision: new(decisionName(d)),
		MatchedStatements: []*iamapi.Statement{}, MissingContextValues: []string{},
	}
	for _, src := range sim.sources {
		alone := policy.Evaluate(r, policy.PolicySet{Identity: []*policy.Document{src.doc}})
		if alone.Reason != policy.ImplicitDeny && (alone.Allowed == d.Allowed) {
			out.MatchedStatements = append(out.MatchedStatements, &iamapi.Statement{
				SourcePolicyId: new(src.id), SourcePolicyType: new(src.kind),
			})
		}
	}
	if sim.boundary != nil {
		alone := policy.Evaluate(r, policy.PolicySet{Identity: []*policy.Document{sim.boundary}})
		out.PermissionsBoundaryDecisionDetail = &iamapi.PermissionsBoundaryDecisionDetail{
			AllowedByPermissionsBoundary: new(alone.Allowed),
		}
	}
	return out
}

func decisionName(d policy.Decision) string {
	switch d.Reason {
	case policy.Allowed:
		return iamapi.PolicyEvaluationDecisionTypeAllowed
	case policy.ExplicitDeny:
		return iamapi.PolicyEvaluationDecisionTypeExplicitDeny
	}
	return iamapi.PolicyEvaluationDecisionTypeImplicitDeny
}
