// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// What was made is taken away again in the order that IAM wants. What is not there any more is no error.

// gone forgives that something is not there.
func gone(err error) error {
	if code, _ := kit.CodeOf(err); code == "NoSuchEntity" {
		return nil
	}
	return err
}

func purgeUser(c *kit.Clients, name string) (err error) {
	note := func(e error) { err = errors.Join(err, gone(e)) }
	note(kit.Run(c, c.IAM.ListAccessKeys, &iam.ListAccessKeysInput{UserName: &name}, func(o *iam.ListAccessKeysOutput) error {
		for _, k := range o.AccessKeyMetadata {
			note(kit.Run(c, c.IAM.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: &name, AccessKeyId: k.AccessKeyId}))
		}
		return nil
	}))
	note(kit.Run(c, c.IAM.ListGroupsForUser, &iam.ListGroupsForUserInput{UserName: &name}, func(o *iam.ListGroupsForUserOutput) error {
		for _, g := range o.Groups {
			note(kit.Run(c, c.IAM.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{UserName: &name, GroupName: g.GroupName}))
		}
		return nil
	}))
	note(kit.Run(c, c.IAM.ListAttachedUserPolicies, &iam.ListAttachedUserPoliciesInput{UserName: &name}, func(o *iam.ListAttachedUserPoliciesOutput) error {
		for _, p := range o.AttachedPolicies {
			note(kit.Run(c, c.IAM.DetachUserPolicy, &iam.DetachUserPolicyInput{UserName: &name, PolicyArn: p.PolicyArn}))
		}
		return nil
	}))
	note(kit.Run(c, c.IAM.ListUserPolicies, &iam.ListUserPoliciesInput{UserName: &name}, func(o *iam.ListUserPoliciesOutput) error {
		for _, p := range o.PolicyNames {
			note(kit.Run(c, c.IAM.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: &name, PolicyName: &p}))
		}
		return nil
	}))
	note(kit.Run(c, c.IAM.DeleteUser, &iam.DeleteUserInput{UserName: &name}))
	return err
}

func purgeGroup(c *kit.Clients, name string) (err error) {
	note := func(e error) { err = errors.Join(err, gone(e)) }
	note(kit.Run(c, c.IAM.GetGroup, &iam.GetGroupInput{GroupName: &name}, func(o *iam.GetGroupOutput) error {
		for _, u := range o.Users {
			note(kit.Run(c, c.IAM.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{UserName: u.UserName, GroupName: &name}))
		}
		return nil
	}))
	note(kit.Run(c, c.IAM.ListAttachedGroupPolicies, &iam.ListAttachedGroupPoliciesInput{GroupName: &name}, func(o *iam.ListAttachedGroupPoliciesOutput) error {
		for _, p := range o.AttachedPolicies {
			note(kit.Run(c, c.IAM.DetachGroupPolicy, &iam.DetachGroupPolicyInput{GroupName: &name, PolicyArn: p.PolicyArn}))
		}
		return nil
	}))
	note(kit.Run(c, c.IAM.ListGroupPolicies, &iam.ListGroupPoliciesInput{GroupName: &name}, func(o *iam.ListGroupPoliciesOutput) error {
		for _, p := range o.PolicyNames {
			note(kit.Run(c, c.IAM.DeleteGroupPolicy, &iam.DeleteGroupPolicyInput{GroupName: &name, PolicyName: &p}))
		}
		return nil
	}))
	note(kit.Run(c, c.IAM.DeleteGroup, &iam.DeleteGroupInput{GroupName: &name}))
	return err
}

func purgeRole(c *kit.Clients, name string) (err error) {
	note := func(e error) { err = errors.Join(err, gone(e)) }
	note(kit.Run(c, c.IAM.ListAttachedRolePolicies, &iam.ListAttachedRolePoliciesInput{RoleName: &name}, func(o *iam.ListAttachedRolePoliciesOutput) error {
		for _, p := range o.AttachedPolicies {
			note(kit.Run(c, c.IAM.DetachRolePolicy, &iam.DetachRolePolicyInput{RoleName: &name, PolicyArn: p.PolicyArn}))
		}
		return nil
	}))
	note(kit.Run(c, c.IAM.ListRolePolicies, &iam.ListRolePoliciesInput{RoleName: &name}, func(o *iam.ListRolePoliciesOutput) error {
		for _, p := range o.PolicyNames {
			note(kit.Run(c, c.IAM.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &p}))
		}
		return nil
	}))
	note(kit.Run(c, c.IAM.DeleteRole, &iam.DeleteRoleInput{RoleName: &name}))
	return err
}

// purgePolicy takes the policy away from all who have it, too.
func purgePolicy(c *kit.Clients, arn string) (err error) {
	note := func(e error) { err = errors.Join(err, gone(e)) }
	attached := &iam.ListEntitiesForPolicyInput{PolicyArn: &arn, PolicyUsageFilter: types.PolicyUsageTypePermissionsPolicy}
	note(kit.Run(c, c.IAM.ListEntitiesForPolicy, attached, func(o *iam.ListEntitiesForPolicyOutput) error {
		for _, u := range o.PolicyUsers {
			note(detachFromUser(c, *u.UserName, arn))
		}
		for _, g := range o.PolicyGroups {
			note(detachFromGroup(c, *g.GroupName, arn))
		}
		for _, r := range o.PolicyRoles {
			note(detachFromRole(c, *r.RoleName, arn))
		}
		return nil
	}))
	boundary := &iam.ListEntitiesForPolicyInput{PolicyArn: &arn, PolicyUsageFilter: types.PolicyUsageTypePermissionsBoundary}
	note(kit.Run(c, c.IAM.ListEntitiesForPolicy, boundary, func(o *iam.ListEntitiesForPolicyOutput) error {
		for _, u := range o.PolicyUsers {
			note(kit.Run(c, c.IAM.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: u.UserName}))
		}
		for _, r := range o.PolicyRoles {
			note(kit.Run(c, c.IAM.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: r.RoleName}))
		}
		return nil
	}))
	note(kit.Run(c, c.IAM.ListPolicyVersions, &iam.ListPolicyVersionsInput{PolicyArn: &arn}, func(o *iam.ListPolicyVersionsOutput) error {
		for _, v := range o.Versions {
			if !v.IsDefaultVersion {
				note(kit.Run(c, c.IAM.DeletePolicyVersion, &iam.DeletePolicyVersionInput{PolicyArn: &arn, VersionId: v.VersionId}))
			}
		}
		return nil
	}))
	note(kit.Run(c, c.IAM.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: &arn}))
	return err
}
