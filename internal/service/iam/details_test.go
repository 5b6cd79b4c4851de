// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"testing"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

func TestAuthorizationDetailsShowTheWholeAccount(t *testing.T) {
	a := newAccount(t)
	a.user("ana", allowAll)
	a.role("r", allowAll)
	own := a.policy("own", allowAll)
	a.ok(a.CreateGroup(a.root(), &iamapi.CreateGroupInput{GroupName: new("g")}))
	a.ok(a.AddUserToGroup(a.root(), &iamapi.AddUserToGroupInput{GroupName: new("g"), UserName: new("ana")}))
	a.ok(a.AttachGroupPolicy(a.root(), &iamapi.AttachGroupPolicyInput{GroupName: new("g"), PolicyArn: new(administratorAccess)}))
	a.ok(a.AttachRolePolicy(a.root(), &iamapi.AttachRolePolicyInput{RoleName: new("r"), PolicyArn: &own}))

	var users []*iamapi.UserDetail
	var groups, roles, policies int
	in := &iamapi.GetAccountAuthorizationDetailsInput{MaxItems: new(int64(1))}
	for pages := 1; ; pages++ {
		out, err := a.GetAccountAuthorizationDetails(a.root(), in)
		a.ok(out, err)
		users = append(users, out.UserDetailList...)
		groups, roles, policies = groups+len(out.GroupDetailList), roles+len(out.RoleDetailList), policies+len(out.Policies)
		if in.Marker = out.Marker; !*out.IsTruncated {
			if pages != 5 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if len(users) != 1 || groups != 1 || roles != 1 || policies != 2 {
		t.Fatalf("%d users, %d groups, %d roles, %d policies", len(users), groups, roles, policies)
	}
	u := users[0]
	if u.GroupList[0] != "g" || decoded(t, u.UserPolicyList[0].PolicyDocument) != allowAll || len(u.AttachedManagedPolicies) != 0 {
		t.Errorf("%+v", u)
	}
	out, err := a.GetAccountAuthorizationDetails(a.root(), &iamapi.GetAccountAuthorizationDetailsInput{Filter: []string{"LocalManagedPolicy"}})
	if err != nil || len(out.Policies) != 1 || len(out.UserDetailList) != 0 || decoded(t, out.Policies[0].PolicyVersionList[0].Document) != allowAll {
		t.Errorf("%+v, %v", out, err)
	}
}
