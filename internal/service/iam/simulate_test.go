// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"testing"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

func TestSimulationDecidesLikeTheServer(t *testing.T) {
	const cam = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/cam/1"
	a := newAccount(t)
	ana := a.user("ana", allow("kinesisvideo:Get*", "arn:aws:kinesisvideo:*:*:stream/cam/*"),
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kinesisvideo:GetClip","Resource":"*"},{"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${aws:username}"}]}`)
	actions := []string{"kinesisvideo:GetMedia", "kinesisvideo:GetClip", "kinesisvideo:PutMedia", "iam:GetUser"}
	resources := []string{cam, "arn:aws:iam::000000000000:user/ana"}
	out, err := a.SimulatePrincipalPolicy(a.root(), &iamapi.SimulatePrincipalPolicyInput{
		PolicySourceArn: new("arn:aws:iam::000000000000:user/ana"), ActionNames: actions, ResourceArns: resources,
	})
	a.ok(out, err)
	if len(out.EvaluationResults) != len(actions)*len(resources) {
		t.Fatalf("%d results", len(out.EvaluationResults))
	}
	for _, r := range out.EvaluationResults {
		if got := *r.EvalDecision == "allowed"; got != a.may(ana, *r.EvalActionName, *r.EvalResourceName) {
			t.Errorf("%s on %s: simulated %s", *r.EvalActionName, *r.EvalResourceName, *r.EvalDecision)
		}
	}
	if r := out.EvaluationResults[2]; *r.EvalDecision != "explicitDeny" || *r.MatchedStatements[0].SourcePolicyId != "user_ana_p1" {
		t.Errorf("%s: %s", *r.EvalActionName, *r.EvalDecision)
	}
	a.want("NoSuchEntity", "")(a.SimulatePrincipalPolicy(a.root(), &iamapi.SimulatePrincipalPolicyInput{
		PolicySourceArn: new("arn:aws:iam::000000000000:user/none"), ActionNames: actions,
	}))
}

func TestSimulateCustomPolicy(t *testing.T) {
	a := newAccount(t)
	in := &iamapi.SimulateCustomPolicyInput{
		PolicyInputList: []string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"s3"}}}}`},
		ActionNames:     []string{"kms:Decrypt"},
	}
	decide := func() string {
		out, err := a.SimulateCustomPolicy(a.root(), in)
		a.ok(out, err)
		return *out.EvaluationResults[0].EvalDecision
	}
	if got := decide(); got != "implicitDeny" {
		t.Errorf("without the condition key: %s", got)
	}
	in.ContextEntries = []*iamapi.ContextEntry{{ContextKeyName: new("kms:viaservice"), ContextKeyValues: []string{"s3"}}}
	if got := decide(); got != "allowed" {
		t.Errorf("with it: %s", got)
	}
	in.PermissionsBoundaryPolicyInputList = []string{allow("s3:*", "*")}
	if got := decide(); got != "implicitDeny" {
		t.Errorf("outside the boundary: %s", got)
	}
	in.PolicyInputList = []string{"{"}
	a.want("InvalidInput", "Invalid Policy: Syntax errors in policy.")(a.SimulateCustomPolicy(a.root(), in))
}
