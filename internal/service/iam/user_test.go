// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/access"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

func TestCreateUserAnswersAsIAMDoes(t *testing.T) {
	a := newAccount(t)
	out, err := a.CreateUser(a.root(), &iamapi.CreateUserInput{
		UserName: new("Ana"), Path: new("/cams/"), Tags: []*iamapi.Tag{{Key: new("site"), Value: new("north")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	u := out.User
	if *u.Arn != "arn:aws:iam::000000000000:user/cams/Ana" || *u.Path != "/cams/" || !u.CreateDate.Equal(start) || *u.Tags[0].Value != "north" {
		t.Errorf("user: %+v", u)
	}
	if !regexp.MustCompile(`^AIDA[A-Z2-7]{17}$`).MatchString(*u.UserId) {
		t.Errorf("unique ID %s", *u.UserId)
	}
	a.want("EntityAlreadyExists", "User with name ANA already exists.")(a.CreateUser(a.root(), &iamapi.CreateUserInput{UserName: new("ANA")}))
	a.want("NoSuchEntity", "The user with name bob cannot be found.")(a.GetUser(a.root(), &iamapi.GetUserInput{UserName: new("bob")}))
	a.want("NoSuchEntity", "Scope ARN: arn:aws:iam::000000000000:policy/none does not exist or is not attachable.")(
		a.CreateUser(a.root(), &iamapi.CreateUserInput{UserName: new("c"), PermissionsBoundary: new("arn:aws:iam::000000000000:policy/none")}))
	a.want("InvalidInput", "")(a.CreateUser(a.root(), &iamapi.CreateUserInput{UserName: new("c"), PermissionsBoundary: new("no-arn-but-twenty-long")}))
	a.want("ValidationError", "")(a.CreateUser(a.root(), &iamapi.CreateUserInput{UserName: new("c"), Path: new("/a//b/")}))
}

func TestGetUserWithoutNameIsTheCaller(t *testing.T) {
	a := newAccount(t)
	ana := a.user("ana", allowAll)
	out, err := a.GetUser(ana, &iamapi.GetUserInput{})
	if err != nil || *out.User.UserName != "ana" {
		t.Errorf("user: %+v, %v", out, err)
	}
	out, err = a.GetUser(a.root(), &iamapi.GetUserInput{})
	if err != nil || *out.User.Arn != "arn:aws:iam::000000000000:root" || *out.User.UserId != testAccount {
		t.Errorf("root: %+v, %v", out, err)
	}
	a.want("ValidationError", "Must specify userName when calling with non-User credentials")(a.GetUser(a.role("r", allowAll), &iamapi.GetUserInput{}))
}

func TestListUsersPagesByNameAndPath(t *testing.T) {
	a := newAccount(t)
	for i := range 5 {
		a.ok(a.CreateUser(a.root(), &iamapi.CreateUserInput{UserName: new(fmt.Sprintf("u%d", 4-i)), Path: new("/x/")}))
	}
	a.user("other")
	var got []string
	in := &iamapi.ListUsersInput{PathPrefix: new("/x"), MaxItems: new(int64(2))}
	for {
		out, err := a.ListUsers(a.root(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range out.Users {
			got = append(got, *u.UserName)
		}
		if len(got) == 2 { // what goes between two pages is not shown twice nor hides another
			a.ok(a.DeleteUser(a.root(), &iamapi.DeleteUserInput{UserName: new("u1")}))
		}
		if !*out.IsTruncated {
			break
		}
		in.Marker = out.Marker
	}
	if s := strings.Join(got, " "); s != "u0 u1 u2 u3 u4" {
		t.Errorf("got %s", s)
	}
	a.want("ValidationError", "Invalid Marker.")(a.ListUsers(a.root(), &iamapi.ListUsersInput{Marker: new("!")}))
}

func TestUpdateUserKeepsIdentity(t *testing.T) {
	a := newAccount(t)
	a.user("ana", allowAll)
	a.user("bob")
	key, err := a.CreateAccessKey(a.root(), &iamapi.CreateAccessKeyInput{UserName: new("ana")})
	a.ok(key, err)
	before := a.view().find(userKind, "ana").ID
	a.want("EntityAlreadyExists", "")(a.UpdateUser(a.root(), &iamapi.UpdateUserInput{UserName: new("ana"), NewUserName: new("BOB")}))
	a.ok(a.UpdateUser(a.root(), &iamapi.UpdateUserInput{UserName: new("ana"), NewUserName: new("Ana"), NewPath: new("/n/")}))
	cred, err := a.LookupAccessKey(t.Context(), *key.AccessKey.AccessKeyId)
	if err != nil || cred.Principal.UniqueID != before || cred.Principal.ARN != "arn:aws:iam::000000000000:user/n/Ana" {
		t.Errorf("principal %+v, %v", cred.Principal, err)
	}
	if !a.may(as(t.Context(), cred.Principal), "kms:Decrypt", "*") {
		t.Error("policies were lost")
	}
	a.want("NoSuchEntity", "")(a.GetUser(a.root(), &iamapi.GetUserInput{UserName: new("ana")}))
}

func TestRenamingNeedsPermissionForTheNewName(t *testing.T) {
	a := newAccount(t)
	a.user("ana")
	ed := a.user("ed", allow("iam:UpdateUser", "arn:aws:iam::000000000000:user/an*"))
	a.want("Denied", "")(a.UpdateUser(ed, &iamapi.UpdateUserInput{UserName: new("ana"), NewUserName: new("eve")}))
	a.ok(a.UpdateUser(ed, &iamapi.UpdateUserInput{UserName: new("ana"), NewUserName: new("anna")}))
}

func TestDeletionOrderIsForced(t *testing.T) {
	a := newAccount(t)
	p := a.policy("p", allowAll)
	ctx := a.root()
	key, err := a.CreateAccessKey(ctx, &iamapi.CreateAccessKeyInput{UserName: new("ana")})
	a.want("NoSuchEntity", "")(key, err)
	a.user("ana", allowAll)
	key, err = a.CreateAccessKey(ctx, &iamapi.CreateAccessKeyInput{UserName: new("ana")})
	a.ok(key, err)
	a.ok(a.CreateGroup(ctx, &iamapi.CreateGroupInput{GroupName: new("g")}))
	a.ok(a.AddUserToGroup(ctx, &iamapi.AddUserToGroupInput{GroupName: new("g"), UserName: new("ana")}))
	a.ok(a.AttachUserPolicy(ctx, &iamapi.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &p}))
	a.ok(a.AttachGroupPolicy(ctx, &iamapi.AttachGroupPolicyInput{GroupName: new("g"), PolicyArn: &p}))

	del := &iamapi.DeleteUserInput{UserName: new("ana")}
	a.want("DeleteConflict", "Cannot delete entity, must delete access keys first.")(a.DeleteUser(ctx, del))
	a.ok(a.DeleteAccessKey(ctx, &iamapi.DeleteAccessKeyInput{UserName: new("ana"), AccessKeyId: key.AccessKey.AccessKeyId}))
	a.want("DeleteConflict", "Cannot delete entity, must remove users from group first.")(a.DeleteUser(ctx, del))
	a.want("DeleteConflict", "Cannot delete entity, must remove users from group first.")(a.DeleteGroup(ctx, &iamapi.DeleteGroupInput{GroupName: new("g")}))
	a.ok(a.RemoveUserFromGroup(ctx, &iamapi.RemoveUserFromGroupInput{GroupName: new("g"), UserName: new("ana")}))
	a.want("DeleteConflict", "Cannot delete entity, must delete policies first.")(a.DeleteUser(ctx, del))
	a.ok(a.DeleteUserPolicy(ctx, &iamapi.DeleteUserPolicyInput{UserName: new("ana"), PolicyName: new("p0")}))
	a.want("DeleteConflict", "Cannot delete entity, must detach all policies first.")(a.DeleteUser(ctx, del))
	a.want("DeleteConflict", "Cannot delete a policy attached to entities.")(a.DeletePolicy(ctx, &iamapi.DeletePolicyInput{PolicyArn: &p}))
	a.ok(a.DetachUserPolicy(ctx, &iamapi.DetachUserPolicyInput{UserName: new("ana"), PolicyArn: &p}))
	a.ok(a.DeleteUser(ctx, del))
	a.want("NoSuchEntity", "")(a.DeleteUser(ctx, del))
	a.want("DeleteConflict", "Cannot delete entity, must detach all policies first.")(a.DeleteGroup(ctx, &iamapi.DeleteGroupInput{GroupName: new("g")}))
	a.ok(a.DetachGroupPolicy(ctx, &iamapi.DetachGroupPolicyInput{GroupName: new("g"), PolicyArn: &p}))
	a.ok(a.DeleteGroup(ctx, &iamapi.DeleteGroupInput{GroupName: new("g")}))

	a.role("r", allowAll)
	a.want("DeleteConflict", "Cannot delete entity, must delete policies first.")(a.DeleteRole(ctx, &iamapi.DeleteRoleInput{RoleName: new("r")}))
	a.ok(a.DeleteRolePolicy(ctx, &iamapi.DeleteRolePolicyInput{RoleName: new("r"), PolicyName: new("p0")}))
	a.ok(a.DeleteRole(ctx, &iamapi.DeleteRoleInput{RoleName: new("r")}))
	a.ok(a.DeletePolicy(ctx, &iamapi.DeletePolicyInput{PolicyArn: &p}))
}

func TestTagsMergeWithoutCase(t *testing.T) {
	a := newAccount(t)
	a.user("ana")
	tagUser := func(kv ...string) error {
		in := &iamapi.TagUserInput{UserName: new("ana")}
		for i := 0; i < len(kv); i += 2 {
			in.Tags = append(in.Tags, &iamapi.Tag{Key: &kv[i], Value: &kv[i+1]})
		}
		_, err := a.TagUser(a.root(), in)
		return err
	}
	a.ok(nil, tagUser("Site", "north", "floor", "1"))
	a.ok(nil, tagUser("site", "south"))
	a.want("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")(nil, tagUser("x", "1", "X", "2"))
	a.want("InvalidInput", "")(nil, tagUser("AWS:x", "1"))
	a.ok(a.UntagUser(a.root(), &iamapi.UntagUserInput{UserName: new("ana"), TagKeys: []string{"FLOOR", "none"}}))
	out, err := a.ListUserTags(a.root(), &iamapi.ListUserTagsInput{UserName: new("ana")})
	if err != nil || len(out.Tags) != 1 || *out.Tags[0].Key != "site" || *out.Tags[0].Value != "south" {
		t.Errorf("tags %+v, %v", out, err)
	}
	for i := range 49 {
		a.ok(nil, tagUser(fmt.Sprintf("k%d", i), ""))
	}
	a.want("LimitExceeded", "")(nil, tagUser("one-more", ""))
	page, err := a.ListUserTags(a.root(), &iamapi.ListUserTagsInput{UserName: new("ana"), MaxItems: new(int64(30))})
	a.ok(page, err)
	rest, err := a.ListUserTags(a.root(), &iamapi.ListUserTagsInput{UserName: new("ana"), Marker: page.Marker})
	if err != nil || len(page.Tags)+len(rest.Tags) != 50 {
		t.Errorf("%d and %d tags, %v", len(page.Tags), len(rest.Tags), err)
	}
	if p, _ := a.Principal(t.Context(), a.view().find(userKind, "ana").ID); p.Tags["site"] != "south" {
		t.Errorf("principal tags %v", p.Tags)
	}
}

func TestConditionsDecideOnTagsAndBoundary(t *testing.T) {
	a := newAccount(t)
	bound := a.policy("bound", allow("kinesisvideo:*", "*"))
	admin := a.user("admin", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["iam:CreateUser","iam:TagUser","iam:PutUserPolicy"],"Resource":"arn:aws:iam::*:user/*","Condition":{"StringEquals":{"iam:PermissionsBoundary":"`+bound+`","aws:RequestTag/site":"${aws:PrincipalTag/site, 'north'}"}}},
		{"Effect":"Allow","Action":"iam:PutUserPolicy","Resource":"*","Condition":{"StringEquals":{"iam:PermissionsBoundary":"`+bound+`"}}},
		{"Effect":"Allow","Action":"iam:AttachUserPolicy","Resource":"*","Condition":{"ArnEquals":{"iam:PolicyARN":"`+bound+`"}}},
		{"Effect":"Allow","Action":"iam:DeleteUser","Resource":"*","Condition":{"StringEquals":{"iam:ResourceTag/site":"north","aws:ResourceTag/Site":"north"}}}]}`)
	north := []*iamapi.Tag{{Key: new("Site"), Value: new("north")}}
	a.want("Denied", "")(a.CreateUser(admin, &iamapi.CreateUserInput{UserName: new("x"), Tags: north}))
	a.want("Denied", "")(a.CreateUser(admin, &iamapi.CreateUserInput{UserName: new("x"), PermissionsBoundary: &bound}))
	a.want("Denied", "")(a.CreateUser(admin, &iamapi.CreateUserInput{UserName: new("x"), Tags: north, PermissionsBoundary: new(administratorAccess)}))
	a.ok(a.CreateUser(admin, &iamapi.CreateUserInput{UserName: new("x"), Tags: north, PermissionsBoundary: &bound}))
	put := &iamapi.PutUserPolicyInput{UserName: new("x"), PolicyName: new("all"), PolicyDocument: new(allowAll)}
	a.ok(a.PutUserPolicy(admin, put))
	x := a.as("x")
	if !a.may(x, "kinesisvideo:PutMedia", "*") || a.may(x, "iam:CreateUser", "*") {
		t.Error("the boundary does not limit")
	}
	a.ok(a.AttachUserPolicy(admin, &iamapi.AttachUserPolicyInput{UserName: new("x"), PolicyArn: &bound}))
	a.want("Denied", "")(a.AttachUserPolicy(admin, &iamapi.AttachUserPolicyInput{UserName: new("x"), PolicyArn: new(administratorAccess)}))
	a.want("Denied", "")(a.DeleteUserPermissionsBoundary(admin, &iamapi.DeleteUserPermissionsBoundaryInput{UserName: new("x")}))
	a.ok(a.DeleteUserPermissionsBoundary(a.root(), &iamapi.DeleteUserPermissionsBoundaryInput{UserName: new("x")}))
	a.want("Denied", "")(a.PutUserPolicy(admin, put))
	if !a.may(x, "iam:CreateUser", "*") {
		t.Error("the boundary went but limits still")
	}
	a.want("DeleteConflict", "")(a.DeleteUser(admin, &iamapi.DeleteUserInput{UserName: new("x")}))
	a.user("y")
	a.want("Denied", "")(a.DeleteUser(admin, &iamapi.DeleteUserInput{UserName: new("y")}))
}

func TestExistenceIsNotRevealedWithoutPermission(t *testing.T) {
	a := newAccount(t)
	nobody := a.user("nobody")
	_, there := a.GetUser(nobody, &iamapi.GetUserInput{UserName: new("nobody")})
	_, notThere := a.GetUser(nobody, &iamapi.GetUserInput{UserName: new("absent")})
	if code(there) != "Denied" || strings.ReplaceAll(notThere.Error(), "user/absent", "user/nobody") != there.Error() {
		t.Errorf("%v\n%v", there, notThere)
	}
}

func TestUserSessionsMayNotUseIAM(t *testing.T) {
	a := newAccount(t)
	a.user("ana", allowAll)
	p, _ := a.Principal(t.Context(), a.view().find(userKind, "ana").ID)
	p.Session = &access.Session{}
	a.want("InvalidClientTokenId", "")(a.ListUsers(as(t.Context(), p), &iamapi.ListUsersInput{}))
	if !a.may(as(t.Context(), p), "kms:Decrypt", "*") {
		t.Error("other services are denied as well")
	}
}
