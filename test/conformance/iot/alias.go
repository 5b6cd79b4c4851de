// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iot"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// role is the ARN of a role that IoT may assume, for devices and for provisioning.
func role(w *kit.World) string {
	w.T.Helper()
	return kit.Shared(w, "a role that IoT may assume", func(w *kit.World) string {
		name := w.Name()
		trust, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": map[string]any{
			"Effect": "Allow", "Action": "sts:AssumeRole",
			"Principal": map[string][]string{"Service": {"credentials.iot.amazonaws.com", "iot.amazonaws.com"}},
		}})
		w.Must(err)
		w.Must(kit.Run(w.Admin, w.Admin.IAM.CreateRole, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(string(trust))}))
		w.Cleanup("role "+name, func(c *kit.Clients) error { return kit.Run(c, c.IAM.DeleteRole, &iam.DeleteRoleInput{RoleName: &name}) })
		return w.ARN("iam", "role/"+name)
	})
}

// passing is the permission to hand the role to IoT.
func passing(w *kit.World) []kit.Need {
	w.T.Helper()
	return []kit.Need{{Action: "iam:PassRole", Resource: role(w)}}
}

// handsOn is the case of an operation that may hand the role on; its errors are those of one that does not.
func handsOn(op string, k kind, do func(roleARN *string) named, changes func(w *kit.World, name string) any) kit.Case {
	c := on(op, k, do(nil), detail{})
	c.Good = func(w *kit.World) kit.Call {
		d := detail{changes: changes, needs: passing}
		return d.call(w, k, k.new(w), do(aws.String(role(w))))
	}
	return c
}

func aliases() kind {
	return kind{
		word: "rolealias", absent: absent,
		create: func(w *kit.World, c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.CreateRoleAlias, &iot.CreateRoleAliasInput{RoleAlias: &name, RoleArn: aws.String(role(w))}, func(o *iot.CreateRoleAliasOutput) error {
				return kit.Want("alias", *o.RoleAlias, name)
			})
		},
		describe: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.DescribeRoleAlias, &iot.DescribeRoleAliasInput{RoleAlias: &name}, func(o *iot.DescribeRoleAliasOutput) error {
				d := o.RoleAliasDescription
				return kit.Want("alias", []any{*d.RoleAlias, *d.CredentialDurationSeconds}, []any{name, int32(3600)})
			})
		},
		remove: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.DeleteRoleAlias, &iot.DeleteRoleAliasInput{RoleAlias: &name})
		},
	}
}

// alias is what DescribeRoleAlias says of it.
func alias(w *kit.World, name string) any {
	w.T.Helper()
	out, err := w.Admin.IoT.DescribeRoleAlias(w.Admin.Ctx, &iot.DescribeRoleAliasInput{RoleAlias: &name})
	w.Must(err)
	return *out.RoleAliasDescription.CredentialDurationSeconds
}

func aliasCases() []kit.Case {
	list := func(c *kit.Clients, marker *string) (listed int, err error) {
		err = kit.Run(c, c.IoT.ListRoleAliases, &iot.ListRoleAliasesInput{PageSize: aws.Int32(1), Marker: marker}, func(o *iot.ListRoleAliasesOutput) error {
			listed = len(o.RoleAliases)
			return nil
		})
		return listed, err
	}
	update := func(roleARN *string) named {
		return func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.UpdateRoleAlias, &iot.UpdateRoleAliasInput{RoleAlias: &name, RoleArn: roleARN, CredentialDurationSeconds: aws.Int32(900)})
		}
	}
	return []kit.Case{
		creates("CreateRoleAlias", aliases(), detail{needs: passing, never: noQuota()}),
		on("DescribeRoleAlias", aliases(), aliases().describe, detail{}),
		lists("ListRoleAliases", aliases(), list),
		handsOn("UpdateRoleAlias", aliases(), update, alias),
		deletes("DeleteRoleAlias", aliases(), detail{never: map[string]string{"DeleteConflictException": "an alias can be deleted while it is in use"}}),
		describeEndpoint(),
	}
}

// describeEndpoint tells where devices obtain credentials.
func describeEndpoint() kit.Case {
	describe := func(c *kit.Clients, of string) error {
		return kit.Run(c, c.IoT.DescribeEndpoint, &iot.DescribeEndpointInput{EndpointType: &of}, func(o *iot.DescribeEndpointOutput) error {
			return kit.True("an address", *o.EndpointAddress != "")
		})
	}
	return kit.Case{
		Op: "DescribeEndpoint",
		Good: func(*kit.World) kit.Call {
			return kit.Call{Do: func(c *kit.Clients) error { return describe(c, "iot:CredentialProvider") }}
		},
		Errors: kit.Errors{"InvalidRequestException": func(w *kit.World) error { return describe(w.Admin, "iot:Nothing") }},
	}
}
