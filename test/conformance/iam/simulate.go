// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// simulated are two actions, of which the policies here allow the first.
var simulated = []string{"kms:ListKeys", "kms:CreateKey"}

// decided checks what became of them.
func decided(results []types.EvaluationResult) error {
	var decisions []types.PolicyEvaluationDecisionType
	for _, r := range results {
		decisions = append(decisions, r.EvalDecision)
	}
	return kit.Want("decisions", decisions, []types.PolicyEvaluationDecisionType{types.PolicyEvaluationDecisionTypeAllowed, types.PolicyEvaluationDecisionTypeImplicitDeny})
}

func simulate(c *kit.Clients, arn string, documents ...string) error {
	in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &arn, ActionNames: simulated, PolicyInputList: documents}
	return kit.Run(c, c.IAM.SimulatePrincipalPolicy, in, func(o *iam.SimulatePrincipalPolicyOutput) error { return decided(o.EvaluationResults) })
}

func simulateCases() []kit.Case {
	custom := func(c *kit.Clients, document string) error {
		in := &iam.SimulateCustomPolicyInput{PolicyInputList: []string{document}, ActionNames: simulated}
		return kit.Run(c, c.IAM.SimulateCustomPolicy, in, func(o *iam.SimulateCustomPolicyOutput) error { return decided(o.EvaluationResults) })
	}
	return []kit.Case{
		{
			Op: "SimulateCustomPolicy",
			Good: func(*kit.World) kit.Call {
				return kit.Call{Do: func(c *kit.Clients) error { return custom(c, document("kms:ListKeys")) }}
			},
			Errors: kit.Errors{"InvalidInput": func(w *kit.World) error { return custom(w.Admin, "not a document") }},
		},
		{
			Op: "SimulatePrincipalPolicy",
			Good: func(w *kit.World) kit.Call {
				name := newUser(w)
				inlineOfUser().filled(w, name)
				return kit.Call{Needs: kit.On(users().arn(w, name)), Do: func(c *kit.Clients) error { return simulate(c, users().arn(w, name)) }}
			},
			Errors: kit.Errors{
				"NoSuchEntity": func(w *kit.World) error { return simulate(w.Admin, users().arn(w, absent)) },
				"InvalidInput": func(w *kit.World) error { return simulate(w.Admin, users().arn(w, newUser(w)), "not a document") },
			},
		},
	}
}
