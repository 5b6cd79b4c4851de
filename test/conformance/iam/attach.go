// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// maxAttached is the quota of managed policies that are attached to one entity.
const maxAttached = 10

// pair is an operation on an entity and a managed policy, or an entity and the name of an inline policy.
type pair func(c *kit.Clients, name, policy string) error

func attachToUser(c *kit.Clients, name, arn string) error {
	return kit.Run(c, c.IAM.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: &arn})
}

func attachToGroup(c *kit.Clients, name, arn string) error {
	return kit.Run(c, c.IAM.AttachGroupPolicy, &iam.AttachGroupPolicyInput{GroupName: &name, PolicyArn: &arn})
}

func attachToRole(c *kit.Clients, name, arn string) error {
	return kit.Run(c, c.IAM.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: &arn})
}

func detachFromUser(c *kit.Clients, name, arn string) error {
	return kit.Run(c, c.IAM.DetachUserPolicy, &iam.DetachUserPolicyInput{UserName: &name, PolicyArn: &arn})
}

func detachFromGroup(c *kit.Clients, name, arn string) error {
	return kit.Run(c, c.IAM.DetachGroupPolicy, &iam.DetachGroupPolicyInput{GroupName: &name, PolicyArn: &arn})
}

func detachFromRole(c *kit.Clients, name, arn string) error {
	return kit.Run(c, c.IAM.DetachRolePolicy, &iam.DetachRolePolicyInput{RoleName: &name, PolicyArn: &arn})
}

// list returns what is attached to an entity.
type list func(c *kit.Clients, name string) ([]types.AttachedPolicy, error)

func attachedToUser(c *kit.Clients, name string) ([]types.AttachedPolicy, error) {
	out, err := c.IAM.ListAttachedUserPolicies(c.Ctx, &iam.ListAttachedUserPoliciesInput{UserName: &name})
	if err != nil {
		return nil, err
	}
	return out.AttachedPolicies, nil
}

func attachedToGroup(c *kit.Clients, name string) ([]types.AttachedPolicy, error) {
	out, err := c.IAM.ListAttachedGroupPolicies(c.Ctx, &iam.ListAttachedGroupPoliciesInput{GroupName: &name})
	if err != nil {
		return nil, err
	}
	return out.AttachedPolicies, nil
}

func attachedToRole(c *kit.Clients, name string) ([]types.AttachedPolicy, error) {
	out, err := c.IAM.ListAttachedRolePolicies(c.Ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &name})
	if err != nil {
		return nil, err
	}
	return out.AttachedPolicies, nil
}

// changesOf counts what is attached, for Call.Changes.
func changesOf(attached list) func(w *kit.World, name string) func() any {
	return func(w *kit.World, name string) func() any {
		return func() any {
			w.T.Helper()
			all, err := attached(w.Admin, name)
			w.Must(err)
			return len(all)
		}
	}
}

func attachCases() []kit.Case {
	return []kit.Case{
		attachCase("AttachUserPolicy", users(), attachToUser, attachedToUser),
		attachCase("AttachGroupPolicy", groups(), attachToGroup, attachedToGroup),
		attachCase("AttachRolePolicy", roles(), attachToRole, attachedToRole),
		detachCase("DetachUserPolicy", users(), attachToUser, detachFromUser, attachedToUser),
		detachCase("DetachGroupPolicy", groups(), attachToGroup, detachFromGroup, attachedToGroup),
		detachCase("DetachRolePolicy", roles(), attachToRole, detachFromRole, attachedToRole),
		attachedCase("ListAttachedUserPolicies", users(), attachToUser, attachedToUser),
		attachedCase("ListAttachedGroupPolicies", groups(), attachToGroup, attachedToGroup),
		attachedCase("ListAttachedRolePolicies", roles(), attachToRole, attachedToRole),
	}
}

// notPolicy is an ARN that is no managed policy's.
func notPolicy(k kind, call pair) kit.Errors {
	return kit.Errors{"InvalidInput": func(w *kit.World) error {
		return kit.Saying(call(w.Admin, k.make(w), w.ARN("iam", "user/"+absent)), " is not valid.")
	}}
}

func attachCase(op string, k kind, attach pair, attached list) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			policy := newPolicy(w)
			name := k.make(w)
			return kit.Call{
				Needs:   kit.On(k.arn(w, name)),
				Changes: changesOf(attached)(w, name),
				Do:      func(c *kit.Clients) error { return attach(c, name, policy) },
			}
		},
		Errors: kit.Merge(notPolicy(k, attach), kit.Errors{
			"NoSuchEntity": func(w *kit.World) error {
				arn := w.ARN("iam", "policy/"+absent)
				return kit.Saying(attach(w.Admin, k.make(w), arn), "Policy "+arn+" does not exist or is not attachable.")
			},
			"LimitExceeded": func(w *kit.World) error {
				var policies []string
				for range maxAttached + 1 {
					policies = append(policies, newPolicy(w))
				}
				name := k.make(w)
				for _, arn := range policies[:maxAttached] {
					w.Must(attach(w.Admin, name, arn))
				}
				return kit.Saying(attach(w.Admin, name, policies[maxAttached]), fmt.Sprintf("Cannot exceed quota for %s: %d", k.quota, maxAttached))
			},
		}),
	}
}

func detachCase(op string, k kind, attach, detach pair, attached list) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			policy := newPolicy(w)
			name := k.make(w)
			w.Must(attach(w.Admin, name, policy))
			return kit.Call{
				Needs:   kit.On(k.arn(w, name)),
				Changes: changesOf(attached)(w, name),
				Do:      func(c *kit.Clients) error { return detach(c, name, policy) },
			}
		},
		Errors: kit.Merge(notPolicy(k, detach), kit.Errors{
			"NoSuchEntity": func(w *kit.World) error { return detach(w.Admin, k.make(w), newPolicy(w)) },
		}),
		Never: unlimited(),
	}
}

func attachedCase(op string, k kind, attach pair, attached list) kit.Case {
	return on(op, k, func(c *kit.Clients, name string) error {
		all, err := attached(c, name)
		if err != nil {
			return err
		}
		return kit.Want("attached policies", len(all), 1)
	}, detail{
		prepare: func(w *kit.World, name string) { w.Must(attach(w.Admin, name, newPolicy(w))) },
		never:   map[string]string{"InvalidInput": outOfRange},
	})
}

// boundaryCases set and remove permissions boundaries.
func boundaryCases() []kit.Case {
	user := func(w *kit.World, name string) any {
		out, err := w.Admin.IAM.GetUser(w.Admin.Ctx, &iam.GetUserInput{UserName: &name})
		w.Must(err)
		return out.User.PermissionsBoundary
	}
	role := func(w *kit.World, name string) any {
		out, err := w.Admin.IAM.GetRole(w.Admin.Ctx, &iam.GetRoleInput{RoleName: &name})
		w.Must(err)
		return out.Role.PermissionsBoundary
	}
	putUser := func(c *kit.Clients, name, arn string) error {
		return kit.Run(c, c.IAM.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: &name, PermissionsBoundary: &arn})
	}
	putRole := func(c *kit.Clients, name, arn string) error {
		return kit.Run(c, c.IAM.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: &name, PermissionsBoundary: &arn})
	}
	return []kit.Case{
		putBoundary("PutUserPermissionsBoundary", users(), putUser, user),
		putBoundary("PutRolePermissionsBoundary", roles(), putRole, role),
		on("DeleteUserPermissionsBoundary", users(), func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IAM.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: &name})
		}, detail{changes: user, prepare: func(w *kit.World, name string) { w.Must(putUser(w.Admin, name, newPolicy(w))) }}),
		on("DeleteRolePermissionsBoundary", roles(), func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IAM.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: &name})
		}, detail{changes: role, prepare: func(w *kit.World, name string) { w.Must(putRole(w.Admin, name, newPolicy(w))) }}),
	}
}

func putBoundary(op string, k kind, put pair, boundary func(w *kit.World, name string) any) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			policy := newPolicy(w)
			name := k.make(w)
			return kit.Call{
				Needs:   kit.On(k.arn(w, name)),
				Changes: func() any { return boundary(w, name) },
				Do:      func(c *kit.Clients) error { return put(c, name, policy) },
			}
		},
		Errors: kit.Merge(notPolicy(k, put), kit.Errors{
			"NoSuchEntity": func(w *kit.World) error {
				arn := w.ARN("iam", "policy/"+absent)
				return kit.Saying(put(w.Admin, k.make(w), arn), "Scope ARN: "+arn+" does not exist or is not attachable.")
			},
		}),
	}
}

// inlineCases are about policies that are part of an entity.
func inlineCases() []kit.Case {
	user, group, role := inlineOfUser(), inlineOfGroup(), inlineOfRole()
	return []kit.Case{
		user.put("PutUserPolicy"), group.put("PutGroupPolicy"), role.put("PutRolePolicy"),
		user.get("GetUserPolicy"), group.get("GetGroupPolicy"), role.get("GetRolePolicy"),
		user.list("ListUserPolicies"), group.list("ListGroupPolicies"), role.list("ListRolePolicies"),
		user.delete("DeleteUserPolicy"), group.delete("DeleteGroupPolicy"), role.delete("DeleteRolePolicy"),
	}
}

// inlineName is the name of the inline policies here.
var inlineName = aws.String("conformance")
