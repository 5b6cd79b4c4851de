// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// absent is a name that no entity has.
const absent = "conformance-absent"

// kind is one of the three kinds of entity, which have policies.
type kind struct {
	word string // in ARNs and messages
	make func(w *kit.World) (name string)
	// quota is what a message calls the number of policies that can be attached.
	quota string
}

func users() kind  { return kind{"user", newUser, "PoliciesPerUser"} }
func groups() kind { return kind{"group", newGroup, "PoliciesPerGroup"} }
func roles() kind  { return kind{"role", newRole, "PoliciesPerRole"} }

// arn is the ARN of an entity whose path is "/".
func (k kind) arn(w *kit.World, name string) string { return w.ARN("iam", k.word+"/"+name) }

func newUser(w *kit.World) string {
	w.T.Helper()
	name := w.Name()
	w.Must(kit.Run(w.Admin, w.Admin.IAM.CreateUser, &iam.CreateUserInput{UserName: &name}))
	w.Cleanup("user "+name, func(c *kit.Clients) error { return purgeUser(c, name) })
	return name
}

func newGroup(w *kit.World) string {
	w.T.Helper()
	name := w.Name()
	w.Must(kit.Run(w.Admin, w.Admin.IAM.CreateGroup, &iam.CreateGroupInput{GroupName: &name}))
	w.Cleanup("group "+name, func(c *kit.Clients) error { return purgeGroup(c, name) })
	return name
}

func newRole(w *kit.World) string {
	w.T.Helper()
	name := w.Name()
	w.Must(kit.Run(w.Admin, w.Admin.IAM.CreateRole, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trust(w.ARN("iam", "root")))}))
	w.Cleanup("role "+name, func(c *kit.Clients) error { return purgeRole(c, name) })
	return name
}

// newPolicy makes a managed policy and returns its ARN.
func newPolicy(w *kit.World) string {
	w.T.Helper()
	name := w.Name()
	w.Must(kit.Run(w.Admin, w.Admin.IAM.CreatePolicy, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: aws.String(document("kms:ListKeys"))}))
	arn := w.ARN("iam", "policy/"+name)
	w.Cleanup("policy "+name, func(c *kit.Clients) error { return purgePolicy(c, arn) })
	return arn
}

// document allows an action.
func document(action string) string { return kit.Allow(kit.Need{Action: action, Resource: "*"}) }

// bulky is a policy document of more than so many characters, white space not counted.
func bulky(characters int) string {
	var needs []kit.Need
	for n := 0; n < characters; n += len(`{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*"},`) {
		needs = append(needs, kit.Need{Action: "kms:ListKeys", Resource: "*"})
	}
	return kit.Allow(needs...)
}

// trust lets principals assume a role.
func trust(principals ...string) string {
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": map[string]any{
		"Effect": "Allow", "Principal": map[string]any{"AWS": principals}, "Action": "sts:AssumeRole",
	}})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// named is an operation on an entity, with all else as it should be.
type named func(c *kit.Clients, name string) error

// missing entities do not exist.
func missing(k kind, call named) kit.Errors {
	return kit.Errors{"NoSuchEntity": func(w *kit.World) error {
		return kit.Saying(call(w.Admin, absent), "The "+k.word+" with name "+absent+" cannot be found.")
	}}
}

// detail is what a case of an operation on an entity has besides.
type detail struct {
	// prepare makes what the operation needs of its entity.
	prepare func(w *kit.World, name string)
	// changes looks at what the operation changes.
	changes func(w *kit.World, name string) any
	errors  kit.Errors
	never   map[string]string
}

// on is the case of an operation that is decided on an entity: of one that is there, and of one that is not.
func on(op string, k kind, call named, d detail) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			name := k.make(w)
			if d.prepare != nil {
				d.prepare(w, name)
			}
			good := kit.Call{Needs: kit.On(k.arn(w, name)), Do: func(c *kit.Clients) error { return call(c, name) }}
			if d.changes != nil {
				good.Changes = func() any { return d.changes(w, name) }
			}
			return good
		},
		Errors: kit.Merge(missing(k, call), d.errors), Never: d.never,
	}
}

// there says of an entity whether there is one, for Call.Changes.
func there(w *kit.World, err error) any {
	w.T.Helper()
	if code, _ := kit.CodeOf(err); code == "NoSuchEntity" {
		return false
	}
	w.Must(err)
	return true
}

func userThere(w *kit.World, name string) any {
	return there(w, kit.Run(w.Admin, w.Admin.IAM.GetUser, &iam.GetUserInput{UserName: &name}))
}

func groupThere(w *kit.World, name string) any {
	return there(w, kit.Run(w.Admin, w.Admin.IAM.GetGroup, &iam.GetGroupInput{GroupName: &name}))
}

func roleThere(w *kit.World, name string) any {
	return there(w, kit.Run(w.Admin, w.Admin.IAM.GetRole, &iam.GetRoleInput{RoleName: &name}))
}

func policyThere(w *kit.World, arn string) any {
	return there(w, kit.Run(w.Admin, w.Admin.IAM.GetPolicy, &iam.GetPolicyInput{PolicyArn: &arn}))
}
