// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// long is a trust policy that is longer than any quota.
func long(w *kit.World) string {
	var principals []string
	for range 200 {
		principals = append(principals, w.ARN("iam", "root"))
	}
	return trust(principals...)
}

// role is what GetRole says of it, without when it was used.
func role(w *kit.World, name string) any {
	w.T.Helper()
	out, err := w.Admin.IAM.GetRole(w.Admin.Ctx, &iam.GetRoleInput{RoleName: &name})
	w.Must(err)
	out.Role.RoleLastUsed = nil
	return *out.Role
}

func deleteRole(c *kit.Clients, name string) error {
	return kit.Run(c, c.IAM.DeleteRole, &iam.DeleteRoleInput{RoleName: &name})
}

func updateTrust(c *kit.Clients, name, document string) error {
	return kit.Run(c, c.IAM.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: &document})
}

func roleCases() []kit.Case {
	return []kit.Case{
		createRole(),
		on("GetRole", roles(), func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IAM.GetRole, &iam.GetRoleInput{RoleName: &name}, func(o *iam.GetRoleOutput) error {
				document, err := url.QueryUnescape(*o.Role.AssumeRolePolicyDocument)
				if err != nil {
					return err
				}
				return kit.Want("role", []any{*o.Role.RoleName, *o.Role.MaxSessionDuration, strings.Contains(document, "sts:AssumeRole")}, []any{name, int32(3600), true})
			})
		}, detail{}),
		{
			Op: "ListRoles",
			Good: func(w *kit.World) kit.Call {
				newRole(w)
				return kit.Call{Needs: kit.On(w.ARN("iam", "role/")), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.IAM.ListRoles, &iam.ListRolesInput{MaxItems: aws.Int32(1)}, func(o *iam.ListRolesOutput) error {
						return kit.Want("roles", len(o.Roles), 1)
					})
				}}
			},
		},
		on("UpdateRole", roles(), func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IAM.UpdateRole, &iam.UpdateRoleInput{RoleName: &name, Description: aws.String("another"), MaxSessionDuration: aws.Int32(7200)})
		}, detail{changes: role}),
		on("UpdateRoleDescription", roles(), func(c *kit.Clients, name string) error {
			in := &iam.UpdateRoleDescriptionInput{RoleName: &name, Description: aws.String("a third")}
			return kit.Run(c, c.IAM.UpdateRoleDescription, in, func(o *iam.UpdateRoleDescriptionOutput) error {
				return kit.Want("description", *o.Role.Description, "a third")
			})
		}, detail{changes: role}),
		{
			Op: "UpdateAssumeRolePolicy",
			Good: func(w *kit.World) kit.Call {
				name, document := newRole(w), trust(users().arn(w, newUser(w)))
				return kit.Call{
					Needs:   kit.On(roles().arn(w, name)),
					Changes: func() any { return role(w, name) },
					Do:      func(c *kit.Clients) error { return updateTrust(c, name, document) },
				}
			},
			Errors: kit.Merge(missing(roles(), func(c *kit.Clients, name string) error { return updateTrust(c, name, `{}`) }), kit.Errors{
				"MalformedPolicyDocument": func(w *kit.World) error {
					unknown := users().arn(w, absent)
					return kit.Saying(updateTrust(w.Admin, newRole(w), trust(unknown)), `Invalid principal in policy: "AWS":"`+unknown+`"`)
				},
				"LimitExceeded": func(w *kit.World) error {
					return kit.Saying(updateTrust(w.Admin, newRole(w), long(w)), "Cannot exceed quota for ACLSizePerRole")
				},
			}),
		},
		on("DeleteRole", roles(), deleteRole, detail{
			changes: roleThere, never: unlimited(),
			errors: kit.Errors{"DeleteConflict": func(w *kit.World) error {
				name := newRole(w)
				w.Must(kit.Run(w.Admin, w.Admin.IAM.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: aws.String(newPolicy(w))}))
				return kit.Saying(deleteRole(w.Admin, name), "Cannot delete entity, must detach all policies first.")
			}},
		}),
		on("ListInstanceProfilesForRole", roles(), func(c *kit.Clients, name string) error {
			in := &iam.ListInstanceProfilesForRoleInput{RoleName: &name}
			return kit.Run(c, c.IAM.ListInstanceProfilesForRole, in, func(o *iam.ListInstanceProfilesForRoleOutput) error {
				return kit.Want("profiles", len(o.InstanceProfiles), 0)
			})
		}, detail{}),
	}
}

func createRole() kit.Case {
	// with tries to make a role with something wrong about it.
	with := func(change func(w *kit.World, in *iam.CreateRoleInput)) func(w *kit.World) error {
		return func(w *kit.World) error {
			in := &iam.CreateRoleInput{RoleName: aws.String(w.Name()), AssumeRolePolicyDocument: aws.String(trust(w.ARN("iam", "root")))}
			change(w, in)
			return kit.Run(w.Admin, w.Admin.IAM.CreateRole, in)
		}
	}
	return kit.Case{
		Op: "CreateRole",
		Good: func(w *kit.World) kit.Call {
			name := w.Name()
			w.Cleanup("role "+name, func(c *kit.Clients) error { return purgeRole(c, name) })
			return kit.Call{
				Needs:   kit.On(roles().arn(w, name)),
				Changes: func() any { return roleThere(w, name) },
				Do: func(c *kit.Clients) error {
					in := &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trust(w.ARN("iam", "root")))}
					return kit.Run(c, c.IAM.CreateRole, in, func(o *iam.CreateRoleOutput) error {
						return kit.Want("role", []string{*o.Role.Arn, *o.Role.RoleName, (*o.Role.RoleId)[:4]}, []string{roles().arn(w, name), name, "AROA"})
					})
				},
			}
		},
		Errors: kit.Errors{
			"EntityAlreadyExists": with(func(w *kit.World, in *iam.CreateRoleInput) { in.RoleName = aws.String(newRole(w)) }),
			"InvalidInput": with(func(_ *kit.World, in *iam.CreateRoleInput) {
				twice := types.Tag{Key: aws.String("twice"), Value: aws.String("v")}
				in.Tags = []types.Tag{twice, twice}
			}),
			"MalformedPolicyDocument": with(func(_ *kit.World, in *iam.CreateRoleInput) {
				in.AssumeRolePolicyDocument = aws.String(document("sts:AssumeRole")) // names nobody
			}),
			"LimitExceeded": with(func(w *kit.World, in *iam.CreateRoleInput) { in.AssumeRolePolicyDocument = aws.String(long(w)) }),
		},
		Others: kit.Errors{"NoSuchEntity": with(func(w *kit.World, in *iam.CreateRoleInput) {
			in.PermissionsBoundary = aws.String(w.ARN("iam", "policy/"+absent))
		})},
	}
}
