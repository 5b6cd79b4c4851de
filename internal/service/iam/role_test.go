// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/policy"
)

func trusting(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal +
		`"},"Action":"sts:AssumeRole","Condition":{"StringNotEquals":{"aws:PrincipalArn":"` + principal + `"}}}]}`
}

func (a *account) shownTrust(role string) string {
	a.t.Helper()
	out, err := a.GetRole(a.root(), &iamapi.GetRoleInput{RoleName: &role})
	if err != nil {
		a.t.Fatal(err)
	}
	return decoded(a.t, out.Role.AssumeRolePolicyDocument)
}

func TestRoleLifecycle(t *testing.T) {
	a := newAccount(t)
	out, err := a.CreateRole(a.root(), &iamapi.CreateRoleInput{
		RoleName: new("viewer"), Path: new("/v/"), AssumeRolePolicyDocument: new(trustRoot), Description: new("d"),
		MaxSessionDuration: new(int64(7200)), Tags: []*iamapi.Tag{{Key: new("k"), Value: new("v")}},
	})
	a.ok(out, err)
	if r := out.Role; *r.Arn != "arn:aws:iam::000000000000:role/v/viewer" || !strings.HasPrefix(*r.RoleId, "AROA") || decoded(t, r.AssumeRolePolicyDocument) != trustRoot {
		t.Errorf("%+v", r)
	}
	a.want("EntityAlreadyExists", "Role with name VIEWER already exists.")(a.CreateRole(a.root(), &iamapi.CreateRoleInput{RoleName: new("VIEWER"), AssumeRolePolicyDocument: new(trustRoot)}))
	r, ok := a.Role(t.Context(), *out.Role.Arn)
	if !ok || r.MaxSession != 2*time.Hour || r.ID != *out.Role.RoleId || r.Tags["k"] != "v" || r.Trust == nil {
		t.Errorf("%+v", r)
	}
	if _, ok := a.Role(t.Context(), "arn:aws:iam::000000000000:role/viewer"); ok {
		t.Error("a role is found under another path")
	}
	a.ok(a.UpdateRole(a.root(), &iamapi.UpdateRoleInput{RoleName: new("viewer"), MaxSessionDuration: new(int64(3600))}))
	a.ok(a.UpdateRoleDescription(a.root(), &iamapi.UpdateRoleDescriptionInput{RoleName: new("viewer"), Description: new("e")}))
	got, err := a.GetRole(a.root(), &iamapi.GetRoleInput{RoleName: new("viewer")})
	if err != nil || *got.Role.Description != "e" || *got.Role.MaxSessionDuration != 3600 || len(got.Role.Tags) != 1 || got.Role.RoleLastUsed.LastUsedDate != nil {
		t.Errorf("%+v, %v", got.Role, err)
	}
	a.MarkUsed(&access.Principal{
		Principal: policy.Principal{Kind: policy.AssumedRole}, AccessKeyID: "ASIA", Session: &access.Session{RoleID: r.ID},
	}, "kms", "us-east-1")
	if got, err = a.GetRole(a.root(), &iamapi.GetRoleInput{RoleName: new("viewer")}); err != nil || !got.Role.RoleLastUsed.LastUsedDate.Equal(start) {
		t.Errorf("last use: %+v, %v", got.Role.RoleLastUsed, err)
	}
	profiles, err := a.ListInstanceProfilesForRole(a.root(), &iamapi.ListInstanceProfilesForRoleInput{RoleName: new("viewer")})
	if err != nil || profiles.InstanceProfiles == nil || len(profiles.InstanceProfiles) != 0 {
		t.Errorf("%+v, %v", profiles, err)
	}
	list, err := a.ListRoles(a.root(), &iamapi.ListRolesInput{PathPrefix: new("/v/")})
	if err != nil || len(list.Roles) != 1 || list.Roles[0].Tags != nil {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestTrustPoliciesAreChecked(t *testing.T) {
	a := newAccount(t)
	for text, message := range map[string]string{
		`{`:      "This policy contains invalid Json",
		allowAll: "AssumeRole policy may only specify STS AssumeRole actions.",
		strings.Replace(trustRoot, `"Principal":{"AWS":"arn:aws:iam::000000000000:root"},`, "", 1): "Missing required field Principal",
		trusting("arn:aws:iam::000000000000:user/none"):                                            `Invalid principal in policy: "AWS":"arn:aws:iam::000000000000:user/none"`,
		trusting("arn:aws:iam::111111111111:user/ana"):                                             `Invalid principal in policy: "AWS":"arn:aws:iam::111111111111:user/ana"`,
		trusting("AIDAAAAAAAAAAAAAAAAAA"):                                                          `Invalid principal in policy: "AWS":"AIDAAAAAAAAAAAAAAAAAA"`,
		strings.Replace(trustRoot, `"Action"`, `"Resource":"*","Action"`, 1):                       "Has prohibited field Resource",
	} {
		a.want("MalformedPolicyDocument", message)(a.CreateRole(a.root(), &iamapi.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: &text}))
	}
	long := strings.Replace(trustRoot, "sts:AssumeRole", "sts:AssumeRole"+strings.Repeat("?", maxTrustPolicy), 1)
	a.want("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 4096")(a.CreateRole(a.root(), &iamapi.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: &long}))
	if a.view().taken(roleKind, "r") {
		t.Error("a role was made with a bad trust policy")
	}
}

// A trust policy means the very user that had the name when it was written.
func TestTrustIsInIdentitiesNotInNames(t *testing.T) {
	const arn = "arn:aws:iam::000000000000:user/ana"
	a := newAccount(t)
	a.user("ana")
	id, ok := a.UniqueID(t.Context(), arn)
	if !ok {
		t.Fatal("no unique ID")
	}
	text := trusting(arn)
	a.ok(a.CreateRole(a.root(), &iamapi.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: &text}))
	if got := a.shownTrust("r"); got != text {
		t.Errorf("the text changed: %s", got)
	}
	role := "arn:aws:iam::000000000000:role/r"
	trusts := func(name string) bool {
		r, _ := a.Role(t.Context(), role)
		p, _ := a.Principal(t.Context(), a.view().find(userKind, name).ID)
		return policy.Evaluate(policy.Request{Action: "sts:AssumeRole", Resource: role, Principal: p.Principal},
			policy.PolicySet{Mode: policy.TrustMode, Resource: r.Trust, ResourceAccount: testAccount}).Allowed
	}
	if !trusts("ana") {
		t.Error("the named user is not trusted")
	}
	a.ok(a.UpdateUser(a.root(), &iamapi.UpdateUserInput{UserName: new("ana"), NewUserName: new("anna")}))
	if got := a.shownTrust("r"); !trusts("anna") || !strings.Contains(got, `"AWS":"`+arn[:len(arn)-3]+`anna"`) || !strings.Contains(got, `"aws:PrincipalArn":"`+arn+`"`) {
		t.Errorf("after renaming: %s", got)
	}
	a.user("ana")
	if trusts("ana") {
		t.Error("another user with the old name is trusted")
	}
	a.ok(a.DeleteUser(a.root(), &iamapi.DeleteUserInput{UserName: new("anna")}))
	got := a.shownTrust("r")
	if !strings.Contains(got, `"AWS":"`+id+`"`) {
		t.Errorf("after deletion: %s", got)
	}
	a.want("MalformedPolicyDocument", `Invalid principal in policy: "AWS":"`+id+`"`)(
		a.UpdateAssumeRolePolicy(a.root(), &iamapi.UpdateAssumeRolePolicyInput{RoleName: new("r"), PolicyDocument: &got}))
	a.ok(a.UpdateAssumeRolePolicy(a.root(), &iamapi.UpdateAssumeRolePolicyInput{RoleName: new("r"), PolicyDocument: &text}))
	if !trusts("ana") {
		t.Error("a policy saved anew does not mean the new user")
	}
}

func TestWhoIsGoneIsDenied(t *testing.T) {
	a := newAccount(t)
	ana, session := a.user("ana"), a.role("r")
	everyone, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`), policy.Resource)
	a.ok(nil, err)
	r := access.Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Policy: everyone}
	a.ok(nil, a.auth.Authorize(ana, r))
	a.ok(nil, a.auth.Authorize(session, r))
	a.ok(a.DeleteUser(a.root(), &iamapi.DeleteUserInput{UserName: new("ana")}))
	a.ok(a.DeleteRole(a.root(), &iamapi.DeleteRoleInput{RoleName: new("r")}))
	a.user("ana")
	a.role("r", allowAll)
	var denied *access.Denied
	if err := a.auth.Authorize(ana, r); !errors.As(err, &denied) || !denied.Explicit {
		t.Errorf("deleted user: %v", err)
	}
	if err := a.auth.Authorize(session, r); !errors.As(err, &denied) {
		t.Errorf("session of a deleted role: %v", err)
	}
}

func FuzzTrust(f *testing.F) {
	for _, s := range []string{trustRoot, trusting("arn:aws:iam::000000000000:root"), allowAll, `{"Statement":[{"Principal":{"AWS":["*"]}}]}`} {
		f.Add(s)
	}
	v := newView()
	f.Fuzz(func(t *testing.T, text string) {
		tr, err := v.newTrust(testAccount, text)
		if err != nil {
			return
		}
		again := &trust{Text: tr.Text, Pins: tr.Pins}
		if err := again.compile(); err != nil {
			t.Errorf("what was accepted does not load: %v", err)
		}
		if _, err := rewritePrincipals(text, strings.ToLower); err != nil {
			t.Errorf("what was accepted cannot be shown: %v", err)
		}
	})
}
