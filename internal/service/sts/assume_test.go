// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"crypto/rand"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
)

func TestAssumeRoleGivesTheRolesRights(t *testing.T) {
	w := newWorld(t)
	w.role(trustAna, allow("kinesisvideo:GetMedia", "*"))
	out, err := w.assume(w.ana())
	if err != nil {
		t.Fatal(err)
	}
	c := out.Credentials
	if !regexp.MustCompile(`^ASIA[A-Z2-7]{16}$`).MatchString(*c.AccessKeyId) || len(*c.SecretAccessKey) != 40 || !c.Expiration.Equal(start.Add(time.Hour)) {
		t.Errorf("%s until %s", *c.AccessKeyId, c.Expiration)
	}
	if u := out.AssumedRoleUser; *u.Arn != "arn:aws:sts::000000000000:assumed-role/viewer/s1" || *u.AssumedRoleId != "AROAVIEWER:s1" || out.PackedPolicySize != nil {
		t.Errorf("%+v", u)
	}
	s := w.session(c)
	if !w.may(s, "kinesisvideo:GetMedia", "*") || w.may(s, "kinesisvideo:PutMedia", "*") {
		t.Error("rights differ from the role's")
	}
	call, _ := access.FromContext(s)
	if p := call.Principal; p.RoleARN != roleARN || p.Tags["Site"] != "north" || p.Session.RoleID != "AROAVIEWER" || !p.Session.Created.Equal(start) || p.Session.HasPolicies {
		t.Errorf("%+v %+v", p, p.Session)
	}
	id, err := w.GetCallerIdentity(s, &stsapi.GetCallerIdentityInput{})
	if err != nil || *id.Arn != *out.AssumedRoleUser.Arn || *id.UserId != "AROAVIEWER:s1" || *id.Account != testAccount {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestTrustDecides(t *testing.T) {
	const msg = "User: arn:aws:iam::000000000000:user/ana is not authorized to perform: sts:AssumeRole on resource: " + roleARN
	w := newWorld(t)
	w.want("Denied", msg)(w.assume(w.ana())) // there is no such role
	w.role(`"Principal":{"AWS":"arn:aws:iam::000000000000:user/bob"},"Action":"sts:AssumeRole"`)
	w.want("Denied", msg)(w.assume(w.ana()))
	w.role(`"Principal":{"AWS":"AIDAAAAAAAAAAAAAAAAAA"},"Action":"sts:AssumeRole"`)
	w.want("Denied", msg)(w.assume(w.ana()))

	root := `"Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"`
	w.role(root)
	w.want("Denied", msg)(w.assume(w.ana())) // trust of the account only delegates
	w.user("ana", allow("sts:AssumeRole", roleARN))
	w.want("", "")(w.assume(w.ana()))
	w.user("ana", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sts:*","Resource":"*"}]}`)
	w.role(trustAna)
	w.want("Denied", msg)(w.assume(w.ana()))
	w.want("Denied", "Roles may not be assumed by root accounts.")(w.assume(w.root()))
	delete(w.roles, roleARN)
	w.want("Denied", "Roles may not be assumed by root accounts.")(w.assume(w.root()))
}

func TestTrustConditions(t *testing.T) {
	w := newWorld(t)
	w.role(`"Principal":{"AWS":"arn:aws:iam::000000000000:user/ana"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{
		"StringEquals":{"sts:ExternalId":"x42","aws:RequestTag/Job":"7","aws:PrincipalTag/team":"red"},
		"StringLike":{"sts:RoleSessionName":"s*"},"ForAllValues:StringEquals":{"aws:TagKeys":["job"],"sts:TransitiveTagKeys":["job"]}}`)
	good := func(in *stsapi.AssumeRoleInput) {
		in.ExternalId, in.Tags, in.TransitiveTagKeys = new("x42"), []*stsapi.Tag{{Key: new("job"), Value: new("7")}}, []string{"job"}
	}
	w.want("", "")(w.assume(w.ana(), good))
	for name, bad := range map[string]func(*stsapi.AssumeRoleInput){
		"external ID":  func(in *stsapi.AssumeRoleInput) { in.ExternalId = new("x43") },
		"none":         func(in *stsapi.AssumeRoleInput) { in.ExternalId = nil },
		"session name": func(in *stsapi.AssumeRoleInput) { in.RoleSessionName = new("t") },
		"tag value":    func(in *stsapi.AssumeRoleInput) { in.Tags[0].Value = new("8") },
		"more tags": func(in *stsapi.AssumeRoleInput) {
			in.Tags = append(in.Tags, &stsapi.Tag{Key: new("x"), Value: new("")})
		},
	} {
		t.Run(name, func(*testing.T) { w.want("Denied", "")(w.assume(w.ana(), good, bad)) })
	}
}

func TestTagsAndSourceIdentityNeedTheirOwnTrust(t *testing.T) {
	w := newWorld(t)
	w.role(`"Principal":{"AWS":"arn:aws:iam::000000000000:user/ana"},"Action":"sts:AssumeRole"`)
	w.want("", "")(w.assume(w.ana()))
	w.want("Denied", "User: arn:aws:iam::000000000000:user/ana is not authorized to perform: sts:TagSession on resource: "+roleARN)(
		w.assume(w.ana(), tagged("a", "1")))
	w.want("Denied", "User: arn:aws:iam::000000000000:user/ana is not authorized to perform: sts:SetSourceIdentity on resource: "+roleARN)(
		w.assume(w.ana(), func(in *stsapi.AssumeRoleInput) { in.SourceIdentity = new("ana") }))
}

func tagged(kv ...string) func(*stsapi.AssumeRoleInput) {
	return func(in *stsapi.AssumeRoleInput) {
		for i := 0; i < len(kv); i += 2 {
			in.Tags = append(in.Tags, &stsapi.Tag{Key: &kv[i], Value: &kv[i+1]})
		}
	}
}

func TestChainedSessionsInherit(t *testing.T) {
	w := newWorld(t)
	w.role(`"Principal":{"AWS":["arn:aws:iam::000000000000:user/ana","` + roleARN + `"]},"Action":"sts:*"`)
	first := w.assumed(w.ana(), tagged("Job", "7", "shift", "2", "level", "9"), func(in *stsapi.AssumeRoleInput) {
		in.TransitiveTagKeys, in.SourceIdentity = []string{"Job"}, new("ana")
	})
	call, _ := access.FromContext(first)
	if tags := call.Principal.Tags; tags["Job"] != "7" || tags["shift"] != "2" || tags["level"] != "9" || tags["Site"] != "north" {
		t.Errorf("first session: %v", tags)
	}
	second := w.assumed(first)
	call, _ = access.FromContext(second)
	if p := call.Principal; p.Tags["Job"] != "7" || p.Tags["shift"] != "" || p.Tags["level"] != "1" || p.Session.SourceIdentity != "ana" || len(p.Session.TransitiveTags) != 1 {
		t.Errorf("second session: %v %+v", p.Tags, p.Session)
	}
	w.want("ValidationError", "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")(
		w.assume(second, tagged("job", "8")))
	w.want("Denied", "")(w.assume(second, func(in *stsapi.AssumeRoleInput) { in.SourceIdentity = new("eve") }))
	w.want("ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")(
		w.assume(first, func(in *stsapi.AssumeRoleInput) { in.DurationSeconds = new(int64(3601)) }))
}

func TestAssumeRoleRefuses(t *testing.T) {
	w := newWorld(t)
	w.role(trustAna)
	for name, tt := range map[string]struct {
		code, message string
		change        func(*stsapi.AssumeRoleInput)
	}{
		"too long":   {"ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", func(in *stsapi.AssumeRoleInput) { in.DurationSeconds = new(int64(7201)) }},
		"bad policy": {"MalformedPolicyDocument", "Syntax errors in policy.", func(in *stsapi.AssumeRoleInput) { in.Policy = new("{") }},
		"policy with principal": {"MalformedPolicyDocument", "Policy document should not specify a principal.", func(in *stsapi.AssumeRoleInput) {
			in.Policy = new(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`)
		}},
		"long policy": {"PackedPolicyTooLarge", "", func(in *stsapi.AssumeRoleInput) { in.Policy = new(allow("*", "*") + strings.Repeat(" ", 2048)) }},
		"many tags": {"PackedPolicyTooLarge", "", func(in *stsapi.AssumeRoleInput) {
			for range 40 {
				in.Tags = append(in.Tags, &stsapi.Tag{Key: new(rand.Text()), Value: new(rand.Text() + rand.Text() + rand.Text() + rand.Text())})
			}
		}},
		"tag twice":       {"ValidationError", "Duplicate tag keys found. Please note that Tag keys are case insensitive.", tagged("a", "1", "A", "2")},
		"reserved tag":    {"ValidationError", "", tagged("aws:a", "1")},
		"transitive only": {"ValidationError", "", func(in *stsapi.AssumeRoleInput) { in.TransitiveTagKeys = []string{"a"} }},
		"policy ARN":      {"ValidationError", "Policy arn:aws:iam::000000000000:policy/none does not exist or is not attachable.", policyARNs("arn:aws:iam::000000000000:policy/none")},
		"many ARNs":       {"ValidationError", "", policyARNs(strings.Split(strings.Repeat(adminARN+" ", 11), " ")[:11]...)},
		"MFA":             {"Denied", "", func(in *stsapi.AssumeRoleInput) { in.TokenCode = new("123456") }},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.want(tt.code, tt.message)(w.assume(w.ana(), tt.change))
		})
	}
}

func policyARNs(arns ...string) func(*stsapi.AssumeRoleInput) {
	return func(in *stsapi.AssumeRoleInput) {
		for i := range arns {
			in.PolicyArns = append(in.PolicyArns, &stsapi.PolicyDescriptorType{Arn: &arns[i]})
		}
	}
}

func TestSessionPoliciesOnlyNarrow(t *testing.T) {
	w := newWorld(t)
	w.role(trustAna, allow("kms:*", "*"))
	narrowed := w.assumed(w.ana(), func(in *stsapi.AssumeRoleInput) {
		in.Policy = new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","s3:*"],"Resource":"*"}]}`)
	})
	if !w.may(narrowed, "kms:Decrypt", "*") || w.may(narrowed, "kms:Encrypt", "*") || w.may(narrowed, "s3:GetObject", "*") {
		t.Error("the session may not do exactly what both allow")
	}
	w.managed["arn:aws:iam::000000000000:policy/sign"] = w.managed[adminARN]
	out, err := w.assume(w.ana(), policyARNs("arn:aws:iam::000000000000:policy/sign"))
	if err != nil || *out.PackedPolicySize < 1 || *out.PackedPolicySize > 10 {
		t.Fatalf("%+v, %v", out, err)
	}
	if !w.may(w.session(out.Credentials), "kms:Sign", "*") {
		t.Error("a managed session policy does not count")
	}
	delete(w.managed, "arn:aws:iam::000000000000:policy/sign")
	if w.may(w.session(out.Credentials), "kms:Sign", "*") {
		t.Error("without its session policy the session has all the role's rights")
	}
}
