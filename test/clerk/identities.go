// SPDX-License-Identifier: Apache-2.0

package clerk

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/rig"
)

type identityWork struct{ *iam.Client }

func newIdentityWork(s *rig.Server) identityWork {
	return identityWork{iam.NewFromConfig(s.V2(s.Root))}
}

func policyARN(it *Item) *string { return aws.String(account + "policy/" + it.Name) }

func itemTags(it *Item) []types.Tag {
	return []types.Tag{{Key: aws.String("item"), Value: &it.Name}}
}

// userTrade makes a user, a group and a managed policy, ties them together, renames two of them, and undoes it all.
func userTrade(s *rig.Server) Trade {
	w := newIdentityWork(s)
	name := func(it *Item) *string { return &it.Name }
	renamed := func(it *Item) *string { return aws.String(it.Name + "-new") }
	return Trade{Name: "user", Observe: w.observeUser, Steps: []Step{
		{Event: "CreateUser", Do: does(option(w.CreateUser), func(it *Item) *iam.CreateUserInput {
			return &iam.CreateUserInput{UserName: name(it), Path: aws.String("/staff/"), Tags: itemTags(it)}
		}), Then: is("user", "/staff/ tagged")},
		{Event: "CreateGroup", Do: does(option(w.CreateGroup), func(it *Item) *iam.CreateGroupInput {
			return &iam.CreateGroupInput{GroupName: name(it)}
		}), Then: is("group", "0 members")},
		{Event: "AddUserToGroup", Do: does(option(w.AddUserToGroup), func(it *Item) *iam.AddUserToGroupInput {
			return &iam.AddUserToGroupInput{GroupName: name(it), UserName: name(it)}
		}), Then: is("group", "1 members", "user/groups", "1")},
		{Event: "CreatePolicy", Do: does(option(w.CreatePolicy), func(it *Item) *iam.CreatePolicyInput {
			return &iam.CreatePolicyInput{PolicyName: name(it), PolicyDocument: aws.String(policyOf("kms:Decrypt")), Tags: itemTags(it)}
		}), Then: is("policy", "v1 of 1, attached 0, to 0 users and 0 groups, "+policyOf("kms:Decrypt"))},
		{Event: "AttachUserPolicy", Do: does(option(w.AttachUserPolicy), func(it *Item) *iam.AttachUserPolicyInput {
			return &iam.AttachUserPolicyInput{UserName: name(it), PolicyArn: policyARN(it)}
		}), Then: is("policy", "v1 of 1, attached 1, to 1 users and 0 groups, "+policyOf("kms:Decrypt"), "user/attached", "1")},
		{Event: "AttachGroupPolicy", Do: does(option(w.AttachGroupPolicy), func(it *Item) *iam.AttachGroupPolicyInput {
			return &iam.AttachGroupPolicyInput{GroupName: name(it), PolicyArn: policyARN(it)}
		}), Then: is("policy", "v1 of 1, attached 2, to 1 users and 1 groups, "+policyOf("kms:Decrypt"))},
		{Event: "CreatePolicyVersion", Do: does(option(w.CreatePolicyVersion), func(it *Item) *iam.CreatePolicyVersionInput {
			return &iam.CreatePolicyVersionInput{PolicyArn: policyARN(it), PolicyDocument: aws.String(policyOf("kms:Sign")), SetAsDefault: true}
		}), Then: is("policy", "v2 of 2, attached 2, to 1 users and 1 groups, "+policyOf("kms:Sign"))},
		{Event: "PutUserPolicy", Do: does(option(w.PutUserPolicy), func(it *Item) *iam.PutUserPolicyInput {
			return &iam.PutUserPolicyInput{UserName: name(it), PolicyName: aws.String("own"), PolicyDocument: aws.String(policyOf("kms:Verify"))}
		}), Then: is("user/inline", policyOf("kms:Verify"))},
		{Event: "CreateAccessKey", Do: does(option(w.CreateAccessKey), func(it *Item) *iam.CreateAccessKeyInput {
			return &iam.CreateAccessKeyInput{UserName: name(it)}
		}), Then: is("user/keys", "Active")},
		{Event: "UpdateAccessKey", Do: w.withKey(func(ctx context.Context, it *Item, id string) error {
			_, err := w.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: name(it), AccessKeyId: &id, Status: types.StatusTypeInactive})
			return err
		}), Then: is("user/keys", "Inactive")},
		{Event: "UpdateUser", Do: does(option(w.UpdateUser), func(it *Item) *iam.UpdateUserInput {
			return &iam.UpdateUserInput{UserName: name(it), NewUserName: renamed(it), NewPath: aws.String("/former/")}
		}), Then: both(rename("user", "user-new"), is("user-new", "/former/ tagged"))},
		{Event: "UpdateUser", Do: does(option(w.UpdateUser), func(it *Item) *iam.UpdateUserInput {
			return &iam.UpdateUserInput{UserName: renamed(it), NewUserName: name(it), NewPath: aws.String("/staff/")}
		}), Then: both(rename("user-new", "user"), is("user", "/staff/ tagged"))},
		{Event: "UpdateGroup", Do: does(option(w.UpdateGroup), func(it *Item) *iam.UpdateGroupInput {
			return &iam.UpdateGroupInput{GroupName: name(it), NewGroupName: renamed(it)}
		}), Then: rename("group", "group-new")},
		{Event: "RemoveUserFromGroup", Do: does(option(w.RemoveUserFromGroup), func(it *Item) *iam.RemoveUserFromGroupInput {
			return &iam.RemoveUserFromGroupInput{GroupName: renamed(it), UserName: name(it)}
		}), Then: both(is("group-new", "0 members"), ends("user/groups"))},
		{Event: "DetachUserPolicy", Do: does(option(w.DetachUserPolicy), func(it *Item) *iam.DetachUserPolicyInput {
			return &iam.DetachUserPolicyInput{UserName: name(it), PolicyArn: policyARN(it)}
		}), Then: both(is("policy", "v2 of 2, attached 1, to 0 users and 1 groups, "+policyOf("kms:Sign")), ends("user/attached"))},
		{Event: "DetachGroupPolicy", Do: does(option(w.DetachGroupPolicy), func(it *Item) *iam.DetachGroupPolicyInput {
			return &iam.DetachGroupPolicyInput{GroupName: renamed(it), PolicyArn: policyARN(it)}
		}), Then: is("policy", "v2 of 2, attached 0, to 0 users and 0 groups, "+policyOf("kms:Sign"))},
		{Event: "DeletePolicyVersion", Do: does(option(w.DeletePolicyVersion), func(it *Item) *iam.DeletePolicyVersionInput {
			return &iam.DeletePolicyVersionInput{PolicyArn: policyARN(it), VersionId: aws.String("v1")}
		}), Then: is("policy", "v2 of 1, attached 0, to 0 users and 0 groups, "+policyOf("kms:Sign"))},
		{Event: "DeletePolicy", Do: does(option(w.DeletePolicy), func(it *Item) *iam.DeletePolicyInput {
			return &iam.DeletePolicyInput{PolicyArn: policyARN(it)}
		}), Then: ends("policy")},
		{Event: "DeleteGroup", Do: does(option(w.DeleteGroup), func(it *Item) *iam.DeleteGroupInput {
			return &iam.DeleteGroupInput{GroupName: renamed(it)}
		}), Then: ends("group-new")},
		{Event: "DeleteUserPolicy", Do: does(option(w.DeleteUserPolicy), func(it *Item) *iam.DeleteUserPolicyInput {
			return &iam.DeleteUserPolicyInput{UserName: name(it), PolicyName: aws.String("own")}
		}), Then: ends("user/inline")},
		{Event: "DeleteAccessKey", Do: w.withKey(func(ctx context.Context, it *Item, id string) error {
			_, err := w.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: name(it), AccessKeyId: &id})
			return err
		}), Then: ends("user/keys")},
		{Event: "DeleteUser", Do: does(option(w.DeleteUser), func(it *Item) *iam.DeleteUserInput {
			return &iam.DeleteUserInput{UserName: name(it)}
		}), Then: ends("user")},
	}}
}

// rename moves a fact and those below it.
func rename(from, to string) func(Facts) {
	return func(f Facts) {
		for fact, v := range f {
			if rest, ok := strings.CutPrefix(fact, from); ok && (rest == "" || rest[0] == '/') {
				delete(f, fact)
				f[to+rest] = v
			}
		}
	}
}

// withKey finds the one access key of a user first: the answer that told its id may have been lost.
func (w identityWork) withKey(do func(context.Context, *Item, string) error) func(context.Context, *Item) error {
	return func(ctx context.Context, it *Item) error {
		out, err := w.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: &it.Name})
		if err != nil {
			return err
		}
		return do(ctx, it, *out.AccessKeyMetadata[0].AccessKeyId)
	}
}

func (w identityWork) observeUser(ctx context.Context, it *Item) (Facts, error) {
	f := Facts{}
	return f, look(
		func() error { return w.oneUser(ctx, it.Name, "user", it, f) },
		func() error { return w.oneUser(ctx, it.Name+"-new", "user-new", it, f) },
		func() error { return w.oneGroup(ctx, it.Name, "group", f) },
		func() error { return w.oneGroup(ctx, it.Name+"-new", "group-new", f) },
		func() error { return w.onePolicy(ctx, it, f) },
	)
}

func (w identityWork) oneUser(ctx context.Context, name, as string, it *Item, f Facts) error {
	user, err := w.GetUser(ctx, &iam.GetUserInput{UserName: &name})
	if err != nil {
		return err
	}
	f[as] = *user.User.Path
	if tags := user.User.Tags; len(tags) == 1 && *tags[0].Value == it.Name {
		f[as] += " tagged"
	}
	keys, err := w.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: &name})
	if err != nil {
		return err
	}
	groups, err := w.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: &name})
	if err != nil {
		return err
	}
	attached, err := w.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: &name})
	if err != nil {
		return err
	}
	var status []string
	for _, k := range keys.AccessKeyMetadata {
		status = append(status, string(k.Status))
	}
	f.note(as+"/keys", joined(status))
	f.count(as+"/groups", len(groups.Groups))
	f.count(as+"/attached", len(attached.AttachedPolicies))
	return look(func() error {
		inline, err := w.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &name, PolicyName: aws.String("own")})
		if err == nil {
			f[as+"/inline"] = unescaped(inline.PolicyDocument)
		}
		return err
	})
}

func (f Facts) note(name, value string) {
	if value != "" {
		f[name] = value
	}
}

func (f Facts) count(name string, n int) {
	if n > 0 {
		f[name] = fmt.Sprint(n)
	}
}

// unescaped reads a document as IAM answers it.
func unescaped(document *string) string {
	text, err := url.QueryUnescape(value(document))
	if err != nil {
		return value(document)
	}
	return compact(text)
}

func (w identityWork) oneGroup(ctx context.Context, name, as string, f Facts) error {
	group, err := w.GetGroup(ctx, &iam.GetGroupInput{GroupName: &name})
	if err == nil {
		f[as] = fmt.Sprint(len(group.Users), " members")
	}
	return err
}

func (w identityWork) onePolicy(ctx context.Context, it *Item, f Facts) error {
	policy, err := w.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: policyARN(it)})
	if err != nil {
		return err
	}
	versions, err := w.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: policyARN(it)})
	if err != nil {
		return err
	}
	current, err := w.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: policyARN(it), VersionId: policy.Policy.DefaultVersionId})
	if err != nil {
		return err
	}
	entities, err := w.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: policyARN(it)})
	if err != nil {
		return err
	}
	f["policy"] = fmt.Sprintf("%s of %d, attached %d, to %d users and %d groups, %s", *policy.Policy.DefaultVersionId, len(versions.Versions),
		value(policy.Policy.AttachmentCount), len(entities.PolicyUsers), len(entities.PolicyGroups), unescaped(current.PolicyVersion.Document))
	return nil
}

// roleTrade makes a role and a provider of tokens.
func roleTrade(s *rig.Server) Trade {
	w := newIdentityWork(s)
	name := func(it *Item) *string { return &it.Name }
	trust := func(service string) *string {
		return aws.String(compact(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, service)))
	}
	first, second := trust("kinesisvideo.amazonaws.com"), trust("credentials.iot.amazonaws.com")
	return Trade{Name: "role", Observe: w.observeRole, Steps: []Step{
		{Event: "CreateRole", Do: does(option(w.CreateRole), func(it *Item) *iam.CreateRoleInput {
			return &iam.CreateRoleInput{RoleName: name(it), AssumeRolePolicyDocument: first, Tags: itemTags(it)}
		}), Then: is("role", *first+" "+"item=")},
		{Event: "PutRolePolicy", Do: does(option(w.PutRolePolicy), func(it *Item) *iam.PutRolePolicyInput {
			return &iam.PutRolePolicyInput{RoleName: name(it), PolicyName: aws.String("own"), PolicyDocument: aws.String(policyOf("kms:Verify"))}
		}), Then: is("role/inline", policyOf("kms:Verify"))},
		{Event: "AttachRolePolicy", Do: does(option(w.AttachRolePolicy), func(it *Item) *iam.AttachRolePolicyInput {
			return &iam.AttachRolePolicyInput{RoleName: name(it), PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")}
		}), Then: is("role/attached", "1")},
		{Event: "TagRole", Do: does(option(w.TagRole), func(it *Item) *iam.TagRoleInput {
			return &iam.TagRoleInput{RoleName: name(it), Tags: []types.Tag{{Key: aws.String("one"), Value: aws.String("1")}, {Key: aws.String("two"), Value: aws.String("2")}}}
		}), Then: is("role", *first+" item=one=1two=2")},
		{Event: "UpdateAssumeRolePolicy", Do: does(option(w.UpdateAssumeRolePolicy), func(it *Item) *iam.UpdateAssumeRolePolicyInput {
			return &iam.UpdateAssumeRolePolicyInput{RoleName: name(it), PolicyDocument: second}
		}), Then: is("role", *second+" item=one=1two=2")},
		{Event: "PutRolePermissionsBoundary", Do: does(option(w.PutRolePermissionsBoundary), func(it *Item) *iam.PutRolePermissionsBoundaryInput {
			return &iam.PutRolePermissionsBoundaryInput{RoleName: name(it), PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")}
		}), Then: is("role/boundary", "arn:aws:iam::aws:policy/ReadOnlyAccess")},
		{Event: "CreateOpenIDConnectProvider", Do: does(option(w.CreateOpenIDConnectProvider), func(it *Item) *iam.CreateOpenIDConnectProviderInput {
			return &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://issuer.example/" + it.Name), ClientIDList: []string{"one"}, Tags: itemTags(it)}
		}), Then: is("provider", "one")},
		{Event: "AddClientIDToOpenIDConnectProvider", Do: does(option(w.AddClientIDToOpenIDConnectProvider), func(it *Item) *iam.AddClientIDToOpenIDConnectProviderInput {
			return &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: providerARN(it), ClientID: aws.String("two")}
		}), Then: is("provider", "one,two")},
		{Event: "DeleteOpenIDConnectProvider", Do: does(option(w.DeleteOpenIDConnectProvider), func(it *Item) *iam.DeleteOpenIDConnectProviderInput {
			return &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: providerARN(it)}
		}), Then: ends("provider")},
		{Event: "DeleteRolePermissionsBoundary", Do: does(option(w.DeleteRolePermissionsBoundary), func(it *Item) *iam.DeleteRolePermissionsBoundaryInput {
			return &iam.DeleteRolePermissionsBoundaryInput{RoleName: name(it)}
		}), Then: ends("role/boundary")},
		{Event: "DetachRolePolicy", Do: does(option(w.DetachRolePolicy), func(it *Item) *iam.DetachRolePolicyInput {
			return &iam.DetachRolePolicyInput{RoleName: name(it), PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")}
		}), Then: ends("role/attached")},
		{Event: "DeleteRolePolicy", Do: does(option(w.DeleteRolePolicy), func(it *Item) *iam.DeleteRolePolicyInput {
			return &iam.DeleteRolePolicyInput{RoleName: name(it), PolicyName: aws.String("own")}
		}), Then: ends("role/inline")},
		{Event: "DeleteRole", Do: does(option(w.DeleteRole), func(it *Item) *iam.DeleteRoleInput {
			return &iam.DeleteRoleInput{RoleName: name(it)}
		}), Then: ends("role")},
	}}
}

func providerARN(it *Item) *string {
	return aws.String(account + "oidc-provider/issuer.example/" + it.Name)
}

func (w identityWork) observeRole(ctx context.Context, it *Item) (Facts, error) {
	f := Facts{}
	return f, look(
		func() error { return w.oneRole(ctx, it, f) },
		func() error {
			inline, err := w.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &it.Name, PolicyName: aws.String("own")})
			if err == nil {
				f["role/inline"] = unescaped(inline.PolicyDocument)
			}
			return err
		},
		func() error {
			attached, err := w.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &it.Name})
			if err == nil {
				f.count("role/attached", len(attached.AttachedPolicies))
			}
			return err
		},
		func() error {
			provider, err := w.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: providerARN(it)})
			if err == nil {
				f["provider"] = joined(provider.ClientIDList)
			}
			return err
		},
	)
}

func (w identityWork) oneRole(ctx context.Context, it *Item, f Facts) error {
	role, err := w.GetRole(ctx, &iam.GetRoleInput{RoleName: &it.Name})
	if err != nil {
		return err
	}
	var tags []string
	for _, t := range role.Role.Tags {
		tags = append(tags, strings.Replace(*t.Key+"="+*t.Value, it.Name, "", 1))
	}
	f["role"] = unescaped(role.Role.AssumeRolePolicyDocument) + " " + strings.ReplaceAll(joined(tags), ",", "")
	if b := role.Role.PermissionsBoundary; b != nil {
		f["role/boundary"] = *b.PermissionsBoundaryArn
	}
	return nil
}
