// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/rig"
)

const (
	accountRoot = "arn:aws:iam::000000000000:root"
	trustRoot   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + accountRoot + `"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
)

func iamSteps() []step {
	doc := aws.String(rig.Allow("kms:ListKeys", "*"))
	tags := []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
	ana, crew, door := aws.String("ana"), aws.String("crew"), aws.String("door")
	inline := aws.String("inline")
	idp := aws.String("arn:aws:iam::000000000000:oidc-provider/idp.example/realm")
	managed := aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")
	return []step{
		{action: "iam:CreateUser", call: func(w *world, c *clients) error {
			return run(c, c.iam.CreateUser, &iam.CreateUserInput{UserName: ana}, func(o *iam.CreateUserOutput) {
				w.equal("arn", *o.User.Arn, "arn:aws:iam::000000000000:user/ana")
			})
		}},
		{action: "iam:GetUser", call: func(_ *world, c *clients) error {
			return run(c, c.iam.GetUser, &iam.GetUserInput{UserName: ana})
		}},
		{action: "iam:ListUsers", call: func(w *world, c *clients) error {
			return run(c, c.iam.ListUsers, &iam.ListUsersInput{}, func(o *iam.ListUsersOutput) { w.equal("users", len(o.Users), 3) })
		}},
		{action: "iam:UpdateUser", call: func(_ *world, c *clients) error {
			return run(c, c.iam.UpdateUser, &iam.UpdateUserInput{UserName: ana, NewPath: aws.String("/crew/")})
		}},
		{action: "iam:TagUser", call: func(_ *world, c *clients) error {
			return run(c, c.iam.TagUser, &iam.TagUserInput{UserName: ana, Tags: tags})
		}},
		{action: "iam:ListUserTags", call: func(w *world, c *clients) error {
			return run(c, c.iam.ListUserTags, &iam.ListUserTagsInput{UserName: ana}, func(o *iam.ListUserTagsOutput) { w.equal("tags", len(o.Tags), 1) })
		}},
		{action: "iam:UntagUser", call: func(_ *world, c *clients) error {
			return run(c, c.iam.UntagUser, &iam.UntagUserInput{UserName: ana, TagKeys: []string{"k"}})
		}},
		{action: "iam:CreateAccessKey", call: func(w *world, c *clients) error {
			return run(c, c.iam.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: ana}, func(o *iam.CreateAccessKeyOutput) { w.keep("accessKey", o.AccessKey.AccessKeyId) })
		}},
		{action: "iam:ListAccessKeys", call: func(w *world, c *clients) error {
			return run(c, c.iam.ListAccessKeys, &iam.ListAccessKeysInput{UserName: ana}, func(o *iam.ListAccessKeysOutput) { w.equal("keys", len(o.AccessKeyMetadata), 1) })
		}},
		{action: "iam:GetAccessKeyLastUsed", call: func(w *world, c *clients) error {
			return run(c, c.iam.GetAccessKeyLastUsed, &iam.GetAccessKeyLastUsedInput{AccessKeyId: w.s("accessKey")})
		}},
		{action: "iam:UpdateAccessKey", call: func(w *world, c *clients) error {
			return run(c, c.iam.UpdateAccessKey, &iam.UpdateAccessKeyInput{UserName: ana, AccessKeyId: w.s("accessKey"), Status: types.StatusTypeInactive})
		}},
		{action: "iam:DeleteAccessKey", call: func(w *world, c *clients) error {
			return run(c, c.iam.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: ana, AccessKeyId: w.s("accessKey")})
		}},
		{action: "iam:PutUserPolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.PutUserPolicy, &iam.PutUserPolicyInput{UserName: ana, PolicyName: inline, PolicyDocument: doc})
		}},
		{action: "iam:GetUserPolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.GetUserPolicy, &iam.GetUserPolicyInput{UserName: ana, PolicyName: inline})
		}},
		{action: "iam:ListUserPolicies", call: func(w *world, c *clients) error {
			return run(c, c.iam.ListUserPolicies, &iam.ListUserPoliciesInput{UserName: ana}, func(o *iam.ListUserPoliciesOutput) { w.equal("policies", o.PolicyNames, []string{"inline"}) })
		}},
		{action: "iam:DeleteUserPolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: ana, PolicyName: inline})
		}},
		{action: "iam:CreatePolicy", call: func(w *world, c *clients) error {
			return run(c, c.iam.CreatePolicy, &iam.CreatePolicyInput{PolicyName: aws.String("reading"), PolicyDocument: doc}, func(o *iam.CreatePolicyOutput) { w.keep("policy", o.Policy.Arn) })
		}},
		{action: "iam:GetPolicy", call: func(w *world, c *clients) error {
			return run(c, c.iam.GetPolicy, &iam.GetPolicyInput{PolicyArn: w.s("policy")})
		}},
		{action: "iam:ListPolicies", call: func(w *world, c *clients) error {
			return run(c, c.iam.ListPolicies, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal}, func(o *iam.ListPoliciesOutput) { w.equal("policies", len(o.Policies), 1) })
		}},
		{action: "iam:CreatePolicyVersion", call: func(w *world, c *clients) error {
			return run(c, c.iam.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: w.s("policy"), PolicyDocument: doc})
		}},
		{action: "iam:ListPolicyVersions", call: func(w *world, c *clients) error {
			return run(c, c.iam.ListPolicyVersions, &iam.ListPolicyVersionsInput{PolicyArn: w.s("policy")}, func(o *iam.ListPolicyVersionsOutput) { w.equal("versions", len(o.Versions), 2) })
		}},
		{action: "iam:GetPolicyVersion", call: func(w *world, c *clients) error {
			return run(c, c.iam.GetPolicyVersion, &iam.GetPolicyVersionInput{PolicyArn: w.s("policy"), VersionId: aws.String("v2")})
		}},
		{action: "iam:SetDefaultPolicyVersion", call: func(w *world, c *clients) error {
			return run(c, c.iam.SetDefaultPolicyVersion, &iam.SetDefaultPolicyVersionInput{PolicyArn: w.s("policy"), VersionId: aws.String("v2")})
		}},
		{action: "iam:DeletePolicyVersion", call: func(w *world, c *clients) error {
			return run(c, c.iam.DeletePolicyVersion, &iam.DeletePolicyVersionInput{PolicyArn: w.s("policy"), VersionId: aws.String("v1")})
		}},
		{action: "iam:TagPolicy", call: func(w *world, c *clients) error {
			return run(c, c.iam.TagPolicy, &iam.TagPolicyInput{PolicyArn: w.s("policy"), Tags: tags})
		}},
		{action: "iam:ListPolicyTags", call: func(w *world, c *clients) error {
			return run(c, c.iam.ListPolicyTags, &iam.ListPolicyTagsInput{PolicyArn: w.s("policy")})
		}},
		{action: "iam:UntagPolicy", call: func(w *world, c *clients) error {
			return run(c, c.iam.UntagPolicy, &iam.UntagPolicyInput{PolicyArn: w.s("policy"), TagKeys: []string{"k"}})
		}},
		{action: "iam:AttachUserPolicy", call: func(w *world, c *clients) error {
			return run(c, c.iam.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: ana, PolicyArn: w.s("policy")})
		}},
		{action: "iam:ListAttachedUserPolicies", call: func(w *world, c *clients) error {
			return run(c, c.iam.ListAttachedUserPolicies, &iam.ListAttachedUserPoliciesInput{UserName: ana}, func(o *iam.ListAttachedUserPoliciesOutput) {
				w.equal("policies", len(o.AttachedPolicies), 1)
			})
		}},
		{action: "iam:ListEntitiesForPolicy", call: func(w *world, c *clients) error {
			return run(c, c.iam.ListEntitiesForPolicy, &iam.ListEntitiesForPolicyInput{PolicyArn: w.s("policy")}, func(o *iam.ListEntitiesForPolicyOutput) { w.equal("users", len(o.PolicyUsers), 1) })
		}},
		{action: "iam:SimulatePrincipalPolicy", call: func(w *world, c *clients) error {
			in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String("arn:aws:iam::000000000000:user/crew/ana"), ActionNames: []string{"kms:ListKeys"}}
			return run(c, c.iam.SimulatePrincipalPolicy, in, func(o *iam.SimulatePrincipalPolicyOutput) {
				w.equal("decision", o.EvaluationResults[0].EvalDecision, "allowed")
			})
		}},
		{action: "iam:SimulateCustomPolicy", call: func(w *world, c *clients) error {
			in := &iam.SimulateCustomPolicyInput{PolicyInputList: []string{*doc}, ActionNames: []string{"kms:Encrypt"}}
			return run(c, c.iam.SimulateCustomPolicy, in, func(o *iam.SimulateCustomPolicyOutput) {
				w.equal("decision", o.EvaluationResults[0].EvalDecision, "implicitDeny")
			})
		}},
		{action: "iam:DetachUserPolicy", call: func(w *world, c *clients) error {
			return run(c, c.iam.DetachUserPolicy, &iam.DetachUserPolicyInput{UserName: ana, PolicyArn: w.s("policy")})
		}},
		{action: "iam:PutUserPermissionsBoundary", call: func(_ *world, c *clients) error {
			return run(c, c.iam.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: ana, PermissionsBoundary: managed})
		}},
		{action: "iam:DeleteUserPermissionsBoundary", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: ana})
		}},
		{action: "iam:CreateGroup", call: func(_ *world, c *clients) error {
			return run(c, c.iam.CreateGroup, &iam.CreateGroupInput{GroupName: crew})
		}},
		{action: "iam:ListGroups", call: func(_ *world, c *clients) error {
			return run(c, c.iam.ListGroups, &iam.ListGroupsInput{})
		}},
		{action: "iam:UpdateGroup", call: func(_ *world, c *clients) error {
			return run(c, c.iam.UpdateGroup, &iam.UpdateGroupInput{GroupName: crew, NewPath: aws.String("/")})
		}},
		{action: "iam:AddUserToGroup", call: func(_ *world, c *clients) error {
			return run(c, c.iam.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: crew, UserName: ana})
		}},
		{action: "iam:GetGroup", call: func(w *world, c *clients) error {
			return run(c, c.iam.GetGroup, &iam.GetGroupInput{GroupName: crew}, func(o *iam.GetGroupOutput) { w.equal("users", len(o.Users), 1) })
		}},
		{action: "iam:ListGroupsForUser", call: func(_ *world, c *clients) error {
			return run(c, c.iam.ListGroupsForUser, &iam.ListGroupsForUserInput{UserName: ana})
		}},
		{action: "iam:RemoveUserFromGroup", call: func(_ *world, c *clients) error {
			return run(c, c.iam.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: crew, UserName: ana})
		}},
		{action: "iam:PutGroupPolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: crew, PolicyName: inline, PolicyDocument: doc})
		}},
		{action: "iam:GetGroupPolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.GetGroupPolicy, &iam.GetGroupPolicyInput{GroupName: crew, PolicyName: inline})
		}},
		{action: "iam:ListGroupPolicies", call: func(_ *world, c *clients) error {
			return run(c, c.iam.ListGroupPolicies, &iam.ListGroupPoliciesInput{GroupName: crew})
		}},
		{action: "iam:DeleteGroupPolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DeleteGroupPolicy, &iam.DeleteGroupPolicyInput{GroupName: crew, PolicyName: inline})
		}},
		{action: "iam:AttachGroupPolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.AttachGroupPolicy, &iam.AttachGroupPolicyInput{GroupName: crew, PolicyArn: managed})
		}},
		{action: "iam:ListAttachedGroupPolicies", call: func(_ *world, c *clients) error {
			return run(c, c.iam.ListAttachedGroupPolicies, &iam.ListAttachedGroupPoliciesInput{GroupName: crew})
		}},
		{action: "iam:DetachGroupPolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DetachGroupPolicy, &iam.DetachGroupPolicyInput{GroupName: crew, PolicyArn: managed})
		}},
		{action: "iam:DeleteGroup", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DeleteGroup, &iam.DeleteGroupInput{GroupName: crew})
		}},
		{action: "iam:CreateRole", call: func(w *world, c *clients) error {
			return run(c, c.iam.CreateRole, &iam.CreateRoleInput{RoleName: door, AssumeRolePolicyDocument: aws.String(trustRoot)}, func(o *iam.CreateRoleOutput) { w.keep("role", o.Role.Arn) })
		}},
		{action: "iam:GetRole", call: func(_ *world, c *clients) error {
			return run(c, c.iam.GetRole, &iam.GetRoleInput{RoleName: door})
		}},
		{action: "iam:ListRoles", call: func(w *world, c *clients) error {
			return run(c, c.iam.ListRoles, &iam.ListRolesInput{}, func(o *iam.ListRolesOutput) { w.equal("roles", len(o.Roles), 1) })
		}},
		{action: "iam:UpdateRole", call: func(_ *world, c *clients) error {
			return run(c, c.iam.UpdateRole, &iam.UpdateRoleInput{RoleName: door, MaxSessionDuration: aws.Int32(7200)})
		}},
		{action: "iam:UpdateRoleDescription", call: func(_ *world, c *clients) error {
			return run(c, c.iam.UpdateRoleDescription, &iam.UpdateRoleDescriptionInput{RoleName: door, Description: aws.String("d")})
		}},
		{action: "iam:UpdateAssumeRolePolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: door, PolicyDocument: aws.String(trustRoot)})
		}},
		{action: "iam:TagRole", call: func(_ *world, c *clients) error {
			return run(c, c.iam.TagRole, &iam.TagRoleInput{RoleName: door, Tags: tags})
		}},
		{action: "iam:ListRoleTags", call: func(_ *world, c *clients) error {
			return run(c, c.iam.ListRoleTags, &iam.ListRoleTagsInput{RoleName: door})
		}},
		{action: "iam:UntagRole", call: func(_ *world, c *clients) error {
			return run(c, c.iam.UntagRole, &iam.UntagRoleInput{RoleName: door, TagKeys: []string{"k"}})
		}},
		{action: "iam:PutRolePolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: door, PolicyName: inline, PolicyDocument: doc})
		}},
		{action: "iam:GetRolePolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.GetRolePolicy, &iam.GetRolePolicyInput{RoleName: door, PolicyName: inline})
		}},
		{action: "iam:ListRolePolicies", call: func(_ *world, c *clients) error {
			return run(c, c.iam.ListRolePolicies, &iam.ListRolePoliciesInput{RoleName: door})
		}},
		{action: "iam:DeleteRolePolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: door, PolicyName: inline})
		}},
		{action: "iam:AttachRolePolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: door, PolicyArn: managed})
		}},
		{action: "iam:ListAttachedRolePolicies", call: func(_ *world, c *clients) error {
			return run(c, c.iam.ListAttachedRolePolicies, &iam.ListAttachedRolePoliciesInput{RoleName: door})
		}},
		{action: "iam:DetachRolePolicy", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DetachRolePolicy, &iam.DetachRolePolicyInput{RoleName: door, PolicyArn: managed})
		}},
		{action: "iam:PutRolePermissionsBoundary", call: func(_ *world, c *clients) error {
			return run(c, c.iam.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: door, PermissionsBoundary: managed})
		}},
		{action: "iam:DeleteRolePermissionsBoundary", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: door})
		}},
		{action: "iam:ListInstanceProfilesForRole", call: func(_ *world, c *clients) error {
			return run(c, c.iam.ListInstanceProfilesForRole, &iam.ListInstanceProfilesForRoleInput{RoleName: door})
		}},
		{action: "iam:CreateOpenIDConnectProvider", call: func(w *world, c *clients) error {
			in := &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://idp.example/realm"), ClientIDList: []string{"app"}}
			return run(c, c.iam.CreateOpenIDConnectProvider, in, func(o *iam.CreateOpenIDConnectProviderOutput) { w.equal("arn", *o.OpenIDConnectProviderArn, *idp) })
		}},
		{action: "iam:AddClientIDToOpenIDConnectProvider", call: func(_ *world, c *clients) error {
			return run(c, c.iam.AddClientIDToOpenIDConnectProvider, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: idp, ClientID: aws.String("web")})
		}},
		{action: "iam:RemoveClientIDFromOpenIDConnectProvider", call: func(_ *world, c *clients) error {
			return run(c, c.iam.RemoveClientIDFromOpenIDConnectProvider, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: idp, ClientID: aws.String("app")})
		}},
		{action: "iam:UpdateOpenIDConnectProviderThumbprint", call: func(_ *world, c *clients) error {
			in := &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: idp, ThumbprintList: []string{"990f4193972f2becf12ddeda5237f9c952f20d9e"}}
			return run(c, c.iam.UpdateOpenIDConnectProviderThumbprint, in)
		}},
		{action: "iam:TagOpenIDConnectProvider", call: func(_ *world, c *clients) error {
			return run(c, c.iam.TagOpenIDConnectProvider, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: idp, Tags: tags})
		}},
		{action: "iam:ListOpenIDConnectProviderTags", call: func(w *world, c *clients) error {
			in := &iam.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: idp}
			return run(c, c.iam.ListOpenIDConnectProviderTags, in, func(o *iam.ListOpenIDConnectProviderTagsOutput) { w.equal("tags", len(o.Tags), 1) })
		}},
		{action: "iam:UntagOpenIDConnectProvider", call: func(_ *world, c *clients) error {
			return run(c, c.iam.UntagOpenIDConnectProvider, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: idp, TagKeys: []string{"k"}})
		}},
		{action: "iam:GetOpenIDConnectProvider", call: func(w *world, c *clients) error {
			in := &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: idp}
			return run(c, c.iam.GetOpenIDConnectProvider, in, func(o *iam.GetOpenIDConnectProviderOutput) {
				w.equal("provider", []any{o.ClientIDList[0], len(o.ThumbprintList), len(o.Tags), *o.Url}, []any{"web", 1, 0, "idp.example/realm"})
			})
		}},
		{action: "iam:ListOpenIDConnectProviders", call: func(w *world, c *clients) error {
			return run(c, c.iam.ListOpenIDConnectProviders, &iam.ListOpenIDConnectProvidersInput{}, func(o *iam.ListOpenIDConnectProvidersOutput) {
				w.equal("providers", len(o.OpenIDConnectProviderList), 1)
			})
		}},
		{action: "iam:DeleteOpenIDConnectProvider", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DeleteOpenIDConnectProvider, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: idp})
		}},
		{action: "iam:GetAccountSummary", call: func(_ *world, c *clients) error {
			return run(c, c.iam.GetAccountSummary, &iam.GetAccountSummaryInput{})
		}},
		{action: "iam:GetAccountAuthorizationDetails", call: func(_ *world, c *clients) error {
			return run(c, c.iam.GetAccountAuthorizationDetails, &iam.GetAccountAuthorizationDetailsInput{})
		}},
		{action: "iam:CreateAccountAlias", call: func(_ *world, c *clients) error {
			return run(c, c.iam.CreateAccountAlias, &iam.CreateAccountAliasInput{AccountAlias: aws.String("dark-room")})
		}},
		{action: "iam:ListAccountAliases", call: func(_ *world, c *clients) error {
			return run(c, c.iam.ListAccountAliases, &iam.ListAccountAliasesInput{})
		}},
		{action: "iam:DeleteAccountAlias", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DeleteAccountAlias, &iam.DeleteAccountAliasInput{AccountAlias: aws.String("dark-room")})
		}},
		{action: "iam:DeleteRole", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DeleteRole, &iam.DeleteRoleInput{RoleName: door})
		}},
		{action: "iam:DeletePolicy", call: func(w *world, c *clients) error {
			return run(c, c.iam.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: w.s("policy")})
		}},
		{action: "iam:DeleteUser", call: func(_ *world, c *clients) error {
			return run(c, c.iam.DeleteUser, &iam.DeleteUserInput{UserName: ana})
		}},
	}
}

func TestIAM(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.walk(iamSteps())
	absent := aws.String("absent")
	doc := aws.String(rig.Allow("kms:ListKeys", "*"))
	w.refuse([]failure{
		{"GetUser", "NoSuchEntity", func(c *clients) error {
			return run(c, c.iam.GetUser, &iam.GetUserInput{UserName: absent})
		}},
		{"CreateUser", "EntityAlreadyExists", func(c *clients) error {
			return run(c, c.iam.CreateUser, &iam.CreateUserInput{UserName: aws.String("worker")})
		}},
		{"DeleteUser", "DeleteConflict", func(c *clients) error {
			return run(c, c.iam.DeleteUser, &iam.DeleteUserInput{UserName: aws.String("worker")})
		}},
		{"PutUserPolicy", "MalformedPolicyDocument", func(c *clients) error {
			return run(c, c.iam.PutUserPolicy, &iam.PutUserPolicyInput{UserName: aws.String("worker"), PolicyName: absent, PolicyDocument: aws.String("{}")})
		}},
		{"AttachUserPolicy", "NoSuchEntity", func(c *clients) error {
			return run(c, c.iam.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: aws.String("worker"), PolicyArn: aws.String("arn:aws:iam::000000000000:policy/absent")})
		}},
		{"CreateRole", "MalformedPolicyDocument", func(c *clients) error {
			return run(c, c.iam.CreateRole, &iam.CreateRoleInput{RoleName: absent, AssumeRolePolicyDocument: doc})
		}},
		{"CreateAccessKey", "LimitExceeded", func(c *clients) error {
			in := &iam.CreateAccessKeyInput{UserName: aws.String("nobody")}
			_ = run(c, c.iam.CreateAccessKey, in)
			return run(c, c.iam.CreateAccessKey, in)
		}},
		{"DeletePolicy", "NoSuchEntity", func(c *clients) error {
			return run(c, c.iam.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: aws.String("arn:aws:iam::000000000000:policy/absent")})
		}},
	})
}
