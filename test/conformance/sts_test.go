// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/rig"
)

const (
	accountRoot = "arn:aws:iam::000000000000:root"
	trustRoot   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + accountRoot + `"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	watcher     = "arn:aws:iam::000000000000:role/watcher"
)

// TestSessionMayDoWhatItsRoleMay: a session has its role's permissions, narrowed by its own policy, and none of
// the caller's; a changed token or a wrong secret opens nothing.
func TestSessionMayDoWhatItsRoleMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.root
	if err := run(c, c.iam.CreateRole, &iam.CreateRoleInput{RoleName: aws.String("watcher"), AssumeRolePolicyDocument: aws.String(trustRoot)}); err != nil {
		t.Fatal(err)
	}
	policy := aws.String(rig.Allow("kms:ListKeys", "*", "kms:ListAliases", "*"))
	if err := run(c, c.iam.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: aws.String("watcher"), PolicyName: aws.String("p"), PolicyDocument: policy}); err != nil {
		t.Fatal(err)
	}
	w.Permit(t, "worker", rig.Allow("sts:AssumeRole", "*", "kms:CreateKey", "*"))
	var session sigv4.Credentials
	in := &sts.AssumeRoleInput{
		RoleArn: aws.String(watcher), RoleSessionName: aws.String("night"), Policy: aws.String(rig.Allow("kms:ListKeys", "*", "kms:CreateKey", "*")),
	}
	err := run(w.worker, w.worker.sts.AssumeRole, in, func(o *sts.AssumeRoleOutput) {
		session = sigv4.Credentials{AccessKeyID: *o.Credentials.AccessKeyId, SecretAccessKey: *o.Credentials.SecretAccessKey, SessionToken: *o.Credentials.SessionToken}
		w.equal("arn", *o.AssumedRoleUser.Arn, "arn:aws:sts::000000000000:assumed-role/watcher/night")
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newClients(t, w.Server, session)
	wantCode(t, run(s, s.kms.ListKeys, &kms.ListKeysInput{}), "")
	wantDenied(t, run(s, s.kms.ListAliases, &kms.ListAliasesInput{}), "assumed-role/watcher/night is not authorized to perform: kms:ListAliases")
	wantDenied(t, run(s, s.kms.CreateKey, &kms.CreateKeyInput{}), "is not authorized to perform: kms:CreateKey")
	for name, change := range map[string]func(*sigv4.Credentials){
		"changed token": func(c *sigv4.Credentials) { c.SessionToken = "A" + c.SessionToken[1:] + "A" },
		"no token":      func(c *sigv4.Credentials) { c.SessionToken = "" },
	} {
		other := session
		change(&other)
		o := newClients(t, w.Server, other)
		if code, _ := codeOf(run(o, o.kms.ListKeys, &kms.ListKeysInput{})); code != "UnrecognizedClientException" {
			t.Errorf("%s: got %q", name, code)
		}
	}
	other := session
	other.SecretAccessKey += "x"
	o := newClients(t, w.Server, other)
	wantCode(t, run(o, o.kms.ListKeys, &kms.ListKeysInput{}), "InvalidSignatureException")
}

func trailSteps() []step {
	name := aws.String("trail")
	arn := aws.String("arn:aws:cloudtrail:us-east-1:000000000000:trail/trail")
	tags := []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
	return []step{
		{action: "cloudtrail:LookupEvents", call: func(w *world, c *clients) error {
			in := &cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyEventName, AttributeValue: aws.String("CreateUser")}}}
			return run(c, c.trail.LookupEvents, in, func(o *cloudtrail.LookupEventsOutput) { w.equal("events", len(o.Events), 2) })
		}},
		{action: "cloudtrail:ListPublicKeys", call: func(_ *world, c *clients) error {
			return run(c, c.trail.ListPublicKeys, &cloudtrail.ListPublicKeysInput{})
		}},
		{action: "cloudtrail:DescribeTrails", call: func(_ *world, c *clients) error {
			return run(c, c.trail.DescribeTrails, &cloudtrail.DescribeTrailsInput{})
		}},
		{action: "cloudtrail:ListTrails", call: func(_ *world, c *clients) error {
			return run(c, c.trail.ListTrails, &cloudtrail.ListTrailsInput{})
		}},
		{action: "cloudtrail:CreateTrail", call: func(_ *world, c *clients) error {
			return run(c, c.trail.CreateTrail, &cloudtrail.CreateTrailInput{Name: name, S3BucketName: aws.String("bucket")})
		}},
		{action: "cloudtrail:UpdateTrail", call: func(_ *world, c *clients) error {
			return run(c, c.trail.UpdateTrail, &cloudtrail.UpdateTrailInput{Name: name})
		}},
		{action: "cloudtrail:GetTrail", call: func(_ *world, c *clients) error {
			return run(c, c.trail.GetTrail, &cloudtrail.GetTrailInput{Name: name})
		}},
		{action: "cloudtrail:GetTrailStatus", call: func(w *world, c *clients) error {
			return run(c, c.trail.GetTrailStatus, &cloudtrail.GetTrailStatusInput{Name: name}, func(o *cloudtrail.GetTrailStatusOutput) { w.equal("logging", *o.IsLogging, false) })
		}},
		{action: "cloudtrail:StartLogging", call: func(_ *world, c *clients) error {
			return run(c, c.trail.StartLogging, &cloudtrail.StartLoggingInput{Name: name})
		}},
		{action: "cloudtrail:StopLogging", call: func(_ *world, c *clients) error {
			return run(c, c.trail.StopLogging, &cloudtrail.StopLoggingInput{Name: name})
		}},
		{action: "cloudtrail:PutEventSelectors", call: func(_ *world, c *clients) error {
			in := &cloudtrail.PutEventSelectorsInput{TrailName: name, EventSelectors: []types.EventSelector{{ReadWriteType: types.ReadWriteTypeAll}}}
			return run(c, c.trail.PutEventSelectors, in)
		}},
		{action: "cloudtrail:GetEventSelectors", call: func(_ *world, c *clients) error {
			return run(c, c.trail.GetEventSelectors, &cloudtrail.GetEventSelectorsInput{TrailName: name})
		}},
		{action: "cloudtrail:GetInsightSelectors", want: "InsightNotEnabledException", call: func(_ *world, c *clients) error {
			return run(c, c.trail.GetInsightSelectors, &cloudtrail.GetInsightSelectorsInput{TrailName: name})
		}},
		{action: "cloudtrail:AddTags", call: func(_ *world, c *clients) error {
			return run(c, c.trail.AddTags, &cloudtrail.AddTagsInput{ResourceId: arn, TagsList: tags})
		}},
		{action: "cloudtrail:ListTags", call: func(w *world, c *clients) error {
			return run(c, c.trail.ListTags, &cloudtrail.ListTagsInput{ResourceIdList: []string{*arn}}, func(o *cloudtrail.ListTagsOutput) {
				w.equal("tags", len(o.ResourceTagList[0].TagsList), 1)
			})
		}},
		{action: "cloudtrail:RemoveTags", call: func(_ *world, c *clients) error {
			return run(c, c.trail.RemoveTags, &cloudtrail.RemoveTagsInput{ResourceId: arn, TagsList: tags})
		}},
		{action: "cloudtrail:DeleteTrail", call: func(_ *world, c *clients) error {
			return run(c, c.trail.DeleteTrail, &cloudtrail.DeleteTrailInput{Name: name})
		}},
	}
}

func TestCloudTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.walk(trailSteps())
	w.refuse([]failure{
		{"LookupEvents", "InvalidNextTokenException", func(c *clients) error {
			return run(c, c.trail.LookupEvents, &cloudtrail.LookupEventsInput{NextToken: aws.String("not one of ours")})
		}},
		{"LookupEvents", "InvalidMaxResultsException", func(c *clients) error {
			return run(c, c.trail.LookupEvents, &cloudtrail.LookupEventsInput{MaxResults: aws.Int32(51)})
		}},
		{"GetTrail", "TrailNotFoundException", func(c *clients) error {
			return run(c, c.trail.GetTrail, &cloudtrail.GetTrailInput{Name: aws.String("trail")})
		}},
		{"GetTrail", "InvalidTrailNameException", func(c *clients) error {
			return run(c, c.trail.GetTrail, &cloudtrail.GetTrailInput{Name: aws.String("a")})
		}},
	})
}

// TestDenialIsExplainedToWhoMayReadIt: with --explain-denials a denied caller has a text that he cannot read, and that
// somebody else can.
func TestDenialIsExplainedToWhoMayReadIt(t *testing.T) {
	t.Parallel()
	w := worldOf(t, rig.Start(t, func(c *server.Config) { c.ExplainDenials = true }))
	err := run(w.nobody, w.nobody.kms.ListKeys, &kms.ListKeysInput{})
	wantDenied(t, err, "because no identity-based policy allows the kms:ListKeys action. Encoded authorization failure message: ")
	_, message := codeOf(err)
	_, encoded, _ := strings.Cut(message, "Encoded authorization failure message: ")
	in := &sts.DecodeAuthorizationMessageInput{EncodedMessage: &encoded}
	wantDenied(t, run(w.nobody, w.nobody.sts.DecodeAuthorizationMessage, in), "sts:DecodeAuthorizationMessage")
	wantCode(t, run(w.root, w.root.sts.DecodeAuthorizationMessage, in, func(o *sts.DecodeAuthorizationMessageOutput) {
		for _, want := range []string{`"allowed":false`, `"arn":"arn:aws:iam::000000000000:user/nobody"`, `"action":"kms:ListKeys"`, `"key":"aws:SourceIp","values":{"items":[{"value":"127.0.0.1"}]}`} {
			if !strings.Contains(*o.DecodedMessage, want) {
				t.Errorf("no %s in %s", want, *o.DecodedMessage)
			}
		}
	}), "")
}
