// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"
	"strings"
	"testing"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

func TestPolicyDocumentsComeBackPercentEncoded(t *testing.T) {
	a := newAccount(t)
	text := "{\n \"Version\": \"2012-10-17\",\n \"Statement\": [{\"Effect\":\"Allow\",\"Action\":\"s3:Get*\",\"Resource\":\"arn:aws:s3:::b/ä+~\"}]\n}"
	arn := a.policy("p", text)
	v, err := a.GetPolicyVersion(a.root(), &iamapi.GetPolicyVersionInput{PolicyArn: &arn, VersionId: new("v1")})
	a.ok(v, err)
	doc := *v.PolicyVersion.Document
	if decoded(t, v.PolicyVersion.Document) != text || strings.ContainsAny(doc, " +{}\":/\n") || !strings.Contains(doc, "%20") || !strings.Contains(doc, "~") {
		t.Errorf("document %s", doc)
	}
	a.user("ana", text)
	u, err := a.GetUserPolicy(a.root(), &iamapi.GetUserPolicyInput{UserName: new("ana"), PolicyName: new("p0")})
	if err != nil || *u.PolicyDocument != doc {
		t.Errorf("inline: %v", err)
	}
}

func TestManagedPolicyVersions(t *testing.T) {
	a := newAccount(t)
	arn := a.policy("p", allow("kms:Decrypt", "*"))
	ana := a.user("ana")
	a.ok(a.AttachUserPolicy(a.root(), &iamapi.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &arn}))
	version := func(action string, setDefault bool) (*iamapi.CreatePolicyVersionOutput, error) {
		return a.CreatePolicyVersion(a.root(), &iamapi.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: new(allow(action, "*")), SetAsDefault: &setDefault})
	}
	a.ok(version("kms:Encrypt", false))
	if !a.may(ana, "kms:Decrypt", "*") || a.may(ana, "kms:Encrypt", "*") {
		t.Error("a version that is not the default is in force")
	}
	a.ok(a.SetDefaultPolicyVersion(a.root(), &iamapi.SetDefaultPolicyVersionInput{PolicyArn: &arn, VersionId: new("v2")}))
	if a.may(ana, "kms:Decrypt", "*") || !a.may(ana, "kms:Encrypt", "*") {
		t.Error("the default version is not in force")
	}
	for range 3 {
		a.ok(version("kms:Sign", false))
	}
	a.want("LimitExceeded", "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")(version("kms:Sign", true))
	del := func(v string) (any, error) {
		return a.DeletePolicyVersion(a.root(), &iamapi.DeletePolicyVersionInput{PolicyArn: &arn, VersionId: &v})
	}
	a.want("DeleteConflict", "Cannot delete the default version of a policy.")(del("v2"))
	a.ok(del("v5"))
	a.want("NoSuchEntity", "")(del("v5"))
	out, err := version("kms:Sign", true)
	if err != nil || *out.PolicyVersion.VersionId != "v6" || !*out.PolicyVersion.IsDefaultVersion {
		t.Errorf("a version number came again: %+v, %v", out, err)
	}
	list, err := a.ListPolicyVersions(a.root(), &iamapi.ListPolicyVersionsInput{PolicyArn: &arn, MaxItems: new(int64(3))})
	if err != nil || *list.Versions[0].VersionId != "v6" || list.Versions[0].Document != nil || !*list.IsTruncated {
		t.Errorf("%+v, %v", list, err)
	}
	rest, err := a.ListPolicyVersions(a.root(), &iamapi.ListPolicyVersionsInput{PolicyArn: &arn, Marker: list.Marker})
	if err != nil || len(rest.Versions) != 2 || *rest.Versions[1].VersionId != "v1" {
		t.Errorf("%+v, %v", rest, err)
	}
	a.want("NoSuchEntity", "Policy "+arn+" version v9 does not exist or is not attachable.")(a.GetPolicyVersion(a.root(), &iamapi.GetPolicyVersionInput{PolicyArn: &arn, VersionId: new("v9")}))
	a.want("NoSuchEntity", "")(a.SetDefaultPolicyVersion(a.root(), &iamapi.SetDefaultPolicyVersionInput{PolicyArn: &arn, VersionId: new("v9")}))
	a.ok(a.DetachUserPolicy(a.root(), &iamapi.DetachUserPolicyInput{UserName: new("ana"), PolicyArn: &arn}))
	a.want("DeleteConflict", "")(a.DeletePolicy(a.root(), &iamapi.DeletePolicyInput{PolicyArn: &arn}))
}

func TestMalformedPoliciesAreRefusedInAWSsWords(t *testing.T) {
	a := newAccount(t)
	a.user("ana")
	for text, message := range map[string]string{
		`{`:  "Syntax errors in policy.",
		`{}`: "Syntax errors in policy.",
		`{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"bucket"}}`:                          `Resource bucket must be in ARN format or "*".`,
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:*","Resource":"*"}}`:       "Policy document should not specify a principal.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"GetObject","Resource":"*"}]}`: "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
	} {
		a.want("MalformedPolicyDocument", message)(a.CreatePolicy(a.root(), &iamapi.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: &text}))
		a.want("MalformedPolicyDocument", message)(a.PutUserPolicy(a.root(), &iamapi.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("p"), PolicyDocument: &text}))
	}
}

// padded is a policy of about n characters without white space.
func padded(n int) string {
	return allow("s3:GetObject", "arn:aws:s3:::"+strings.Repeat("x", n-100))
}

func TestPolicySizesAreLimited(t *testing.T) {
	a := newAccount(t)
	a.user("ana")
	a.role("r")
	a.want("LimitExceeded", "Cannot exceed quota for PolicySize: 6144")(a.CreatePolicy(a.root(), &iamapi.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(padded(6300))}))
	spaced := strings.Replace(padded(6000), ":[", ":"+strings.Repeat(" ", 60_000)+"[", 1)
	arn := a.policy("spaced", spaced)
	v, err := a.GetPolicyVersion(a.root(), &iamapi.GetPolicyVersionInput{PolicyArn: &arn, VersionId: new("v1")})
	if err != nil || decoded(t, v.PolicyVersion.Document) != padded(6000) {
		t.Errorf("white space: %v", err)
	}
	put := func(name string, n int) (any, error) {
		return a.PutUserPolicy(a.root(), &iamapi.PutUserPolicyInput{UserName: new("ana"), PolicyName: &name, PolicyDocument: new(padded(n))})
	}
	a.ok(put("one", 1500))
	a.want("LimitExceeded", "Maximum policy size of 2048 bytes exceeded for user ana")(put("two", 700))
	a.ok(put("ONE", 1900)) // takes the place of "one"
	if p := a.view().find(userKind, "ana").Inline; len(p) != 1 {
		t.Errorf("%d inline policies", len(p))
	}
	for i := range 5 {
		a.ok(a.PutRolePolicy(a.root(), &iamapi.PutRolePolicyInput{RoleName: new("r"), PolicyName: new(fmt.Sprint(i)), PolicyDocument: new(padded(2000))}))
	}
	a.want("LimitExceeded", "")(a.PutRolePolicy(a.root(), &iamapi.PutRolePolicyInput{RoleName: new("r"), PolicyName: new("x"), PolicyDocument: new(padded(500))}))
}

func TestAWSManagedPoliciesAreThereAndFixed(t *testing.T) {
	a := newAccount(t)
	ana := a.user("ana")
	for _, name := range []string{"AdministratorAccess", "ReadOnlyAccess", "AmazonKinesisFullAccess", "AmazonKinesisVideoStreamsFullAccess", "AmazonS3FullAccess"} {
		arn := "arn:aws:iam::aws:policy/" + name
		a.ok(a.AttachUserPolicy(a.root(), &iamapi.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &arn}))
		a.want("AccessDenied", "Policy is outside your own account.")(a.DeletePolicy(a.root(), &iamapi.DeletePolicyInput{PolicyArn: &arn}))
		a.want("AccessDenied", "")(a.CreatePolicyVersion(a.root(), &iamapi.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: new(allowAll)}))
	}
	if !a.may(ana, "iam:CreateUser", "*") {
		t.Error("an administrator may not")
	}
	a.want("Denied", "")(a.CreateUser(a.user("reader"), &iamapi.CreateUserInput{UserName: new("x")}))
	a.ok(a.CreatePolicy(a.root(), &iamapi.CreatePolicyInput{PolicyName: new("ReadOnlyAccess"), PolicyDocument: new(allowAll)}))
}

func TestListPoliciesFilters(t *testing.T) {
	a := newAccount(t)
	own, bound := a.policy("own", allowAll), a.policy("bound", allowAll)
	a.user("ana")
	a.ok(a.AttachUserPolicy(a.root(), &iamapi.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &own}))
	a.ok(a.PutUserPermissionsBoundary(a.root(), &iamapi.PutUserPermissionsBoundaryInput{UserName: new("ana"), PermissionsBoundary: &bound}))
	count := func(in iamapi.ListPoliciesInput) int {
		out, err := a.ListPolicies(a.root(), &in)
		a.ok(out, err)
		return len(out.Policies)
	}
	for _, tt := range []struct {
		in   iamapi.ListPoliciesInput
		want int
	}{
		{iamapi.ListPoliciesInput{}, 2 + len(awsPolicies())},
		{iamapi.ListPoliciesInput{Scope: new("AWS")}, len(awsPolicies())},
		{iamapi.ListPoliciesInput{Scope: new("Local")}, 2},
		{iamapi.ListPoliciesInput{OnlyAttached: new(true)}, 1},
		{iamapi.ListPoliciesInput{PolicyUsageFilter: new("PermissionsBoundary")}, 1},
		{iamapi.ListPoliciesInput{PathPrefix: new("/no/")}, 0},
	} {
		if got := count(tt.in); got != tt.want {
			t.Errorf("%+v: %d policies, want %d", tt.in, got, tt.want)
		}
	}
	p, err := a.GetPolicy(a.root(), &iamapi.GetPolicyInput{PolicyArn: &own})
	if err != nil || *p.Policy.AttachmentCount != 1 || *p.Policy.PermissionsBoundaryUsageCount != 0 || *p.Policy.DefaultVersionId != "v1" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, tt := range []struct{ arn, filter string }{{own, "User"}, {bound, ""}} {
		e, err := a.ListEntitiesForPolicy(a.root(), &iamapi.ListEntitiesForPolicyInput{PolicyArn: &tt.arn, EntityFilter: &tt.filter})
		if err != nil || len(e.PolicyUsers) != 1 || len(e.PolicyRoles)+len(e.PolicyGroups) != 0 {
			t.Errorf("%+v, %v", e, err)
		}
	}
	a.want("DeleteConflict", "")(a.DeletePolicy(a.root(), &iamapi.DeletePolicyInput{PolicyArn: &bound}))
}

func TestAttachmentErrors(t *testing.T) {
	a := newAccount(t)
	a.user("ana")
	a.want("NoSuchEntity", "Policy arn:aws:iam::000000000000:policy/x does not exist or is not attachable.")(
		a.AttachUserPolicy(a.root(), &iamapi.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: new("arn:aws:iam::000000000000:policy/x")}))
	a.want("InvalidInput", "ARN arn:aws:s3:::bucket/policy is not valid.")(
		a.AttachUserPolicy(a.root(), &iamapi.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: new("arn:aws:s3:::bucket/policy")}))
	a.want("NoSuchEntity", "Policy "+administratorAccess+" was not found.")(
		a.DetachUserPolicy(a.root(), &iamapi.DetachUserPolicyInput{UserName: new("ana"), PolicyArn: new(administratorAccess)}))
	for i := range maxAttached + 1 {
		arn := a.policy(fmt.Sprintf("p%d", i), allowAll)
		_, err := a.AttachUserPolicy(a.root(), &iamapi.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &arn})
		if i == maxAttached {
			a.want("LimitExceeded", "Cannot exceed quota for PoliciesPerUser: 10")(nil, err)
		} else {
			a.ok(nil, err)
		}
	}
	out, err := a.ListAttachedUserPolicies(a.root(), &iamapi.ListAttachedUserPoliciesInput{UserName: new("ana"), MaxItems: new(int64(4))})
	if err != nil || len(out.AttachedPolicies) != 4 || !*out.IsTruncated {
		t.Errorf("%+v, %v", out, err)
	}
	a.want("EntityAlreadyExists", "A policy called P1 already exists. Duplicate names are not allowed.")(
		a.CreatePolicy(a.root(), &iamapi.CreatePolicyInput{PolicyName: new("P1"), PolicyDocument: new(allowAll)}))
	a.want("NoSuchEntity", "The user policy with name none cannot be found.")(
		a.GetUserPolicy(a.root(), &iamapi.GetUserPolicyInput{UserName: new("ana"), PolicyName: new("none")}))
}

func TestGroupsGiveTheirPoliciesToMembers(t *testing.T) {
	a := newAccount(t)
	ana := a.user("ana")
	arn := a.policy("p", allow("kms:Decrypt", "*"))
	a.ok(a.CreateGroup(a.root(), &iamapi.CreateGroupInput{GroupName: new("viewers"), Path: new("/g/")}))
	a.ok(a.AttachGroupPolicy(a.root(), &iamapi.AttachGroupPolicyInput{GroupName: new("viewers"), PolicyArn: &arn}))
	a.ok(a.PutGroupPolicy(a.root(), &iamapi.PutGroupPolicyInput{GroupName: new("viewers"), PolicyName: new("i"), PolicyDocument: new(allow("kinesisvideo:GetMedia", "*"))}))
	add := &iamapi.AddUserToGroupInput{GroupName: new("viewers"), UserName: new("ana")}
	if a.may(ana, "kms:Decrypt", "*") {
		t.Error("allowed before membership")
	}
	a.ok(a.AddUserToGroup(a.root(), add))
	a.ok(a.AddUserToGroup(a.root(), add))
	if !a.may(ana, "kms:Decrypt", "*") || !a.may(ana, "kinesisvideo:GetMedia", "*") {
		t.Error("a member lacks the group's rights")
	}
	g, err := a.GetGroup(a.root(), &iamapi.GetGroupInput{GroupName: new("viewers")})
	if err != nil || len(g.Users) != 1 || *g.Group.Arn != "arn:aws:iam::000000000000:group/g/viewers" || !strings.HasPrefix(*g.Group.GroupId, "AGPA") {
		t.Errorf("%+v, %v", g, err)
	}
	l, err := a.ListGroupsForUser(a.root(), &iamapi.ListGroupsForUserInput{UserName: new("ana")})
	if err != nil || len(l.Groups) != 1 {
		t.Errorf("%+v, %v", l, err)
	}
	a.ok(a.RemoveUserFromGroup(a.root(), &iamapi.RemoveUserFromGroupInput{GroupName: new("viewers"), UserName: new("ana")}))
	a.want("NoSuchEntity", "")(a.RemoveUserFromGroup(a.root(), &iamapi.RemoveUserFromGroupInput{GroupName: new("viewers"), UserName: new("ana")}))
	if a.may(ana, "kms:Decrypt", "*") {
		t.Error("allowed after membership ended")
	}
	for i := range maxGroupsPerUser + 1 {
		name := fmt.Sprintf("g%d", i)
		a.ok(a.CreateGroup(a.root(), &iamapi.CreateGroupInput{GroupName: &name}))
		_, err := a.AddUserToGroup(a.root(), &iamapi.AddUserToGroupInput{GroupName: &name, UserName: new("ana")})
		if i == maxGroupsPerUser {
			a.want("LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10")(nil, err)
		} else {
			a.ok(nil, err)
		}
	}
	a.want("NoSuchEntity", "The group with name none cannot be found.")(a.GetGroup(a.root(), &iamapi.GetGroupInput{GroupName: new("none")}))
	a.want("EntityAlreadyExists", "Group with name G1 already exists.")(a.CreateGroup(a.root(), &iamapi.CreateGroupInput{GroupName: new("G1")}))
}

// The examples of least privilege: a camera and a viewer, which must be able to do their work and nothing else.
func TestLeastPrivilegeProducerAndConsumer(t *testing.T) {
	const (
		stream = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/cam/1700000000000"
		other  = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/cam2/1700000000000"
		kmsKey = "arn:aws:kms:us-east-1:000000000000:key/1"
	)
	a := newAccount(t)
	document := func(actions string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + actions + `],"Resource":"arn:aws:kinesisvideo:us-east-1:000000000000:stream/cam/*"}]}`
	}
	producer := a.user("producer", document(`"kinesisvideo:DescribeStream","kinesisvideo:GetDataEndpoint","kinesisvideo:PutMedia"`))
	consumer := a.role("consumer", document(`"kinesisvideo:GetDataEndpoint","kinesisvideo:GetMedia"`))
	for _, tt := range []struct {
		action, resource   string
		produces, consumes bool
	}{
		{"kinesisvideo:PutMedia", stream, true, false},
		{"kinesisvideo:DescribeStream", stream, true, false},
		{"kinesisvideo:GetDataEndpoint", stream, true, true},
		{"kinesisvideo:GetMedia", stream, false, true},
		{"kinesisvideo:PutMedia", other, false, false},
		{"kinesisvideo:GetMedia", other, false, false},
		{"kinesisvideo:GetDataEndpoint", other, false, false},
		{"kinesisvideo:DeleteStream", stream, false, false},
		{"kinesisvideo:ListStreams", "*", false, false},
		{"kms:Decrypt", kmsKey, false, false},
		{"kms:GenerateDataKey", kmsKey, false, false},
		{"iam:CreateAccessKey", "arn:aws:iam::000000000000:user/producer", false, false},
		{"sts:AssumeRole", "arn:aws:iam::000000000000:role/consumer", false, false},
		{"cloudtrail:LookupEvents", "*", false, false},
	} {
		if a.may(producer, tt.action, tt.resource) != tt.produces {
			t.Errorf("producer: %s on %s should be %v", tt.action, tt.resource, tt.produces)
		}
		if a.may(consumer, tt.action, tt.resource) != tt.consumes {
			t.Errorf("consumer: %s on %s should be %v", tt.action, tt.resource, tt.consumes)
		}
	}
}
