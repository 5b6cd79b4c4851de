// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// inline is the operations on the inline policies of one kind of entity.
type inline struct {
	kind
	putPolicy    func(c *kit.Clients, name, document string) error
	getPolicy    func(c *kit.Clients, name string) (document string, err error)
	listPolicies func(c *kit.Clients, name string) ([]string, error)
	deletePolicy named
	// most is the quota of all inline policies of an entity, in characters.
	most int
}

func inlineOfUser() inline {
	return inline{
		kind: users(), most: 2048,
		putPolicy: func(c *kit.Clients, name, document string) error {
			return kit.Run(c, c.IAM.PutUserPolicy, &iam.PutUserPolicyInput{UserName: &name, PolicyName: inlineName, PolicyDocument: &document})
		},
		getPolicy: func(c *kit.Clients, name string) (text string, err error) {
			return text, kit.Run(c, c.IAM.GetUserPolicy, &iam.GetUserPolicyInput{UserName: &name, PolicyName: inlineName},
				func(o *iam.GetUserPolicyOutput) error { return decode(*o.PolicyDocument, &text) })
		},
		listPolicies: func(c *kit.Clients, name string) (names []string, err error) {
			return names, kit.Run(c, c.IAM.ListUserPolicies, &iam.ListUserPoliciesInput{UserName: &name},
				func(o *iam.ListUserPoliciesOutput) error { names = o.PolicyNames; return nil })
		},
		deletePolicy: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IAM.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: &name, PolicyName: inlineName})
		},
	}
}

func inlineOfGroup() inline {
	return inline{
		kind: groups(), most: 5120,
		putPolicy: func(c *kit.Clients, name, document string) error {
			return kit.Run(c, c.IAM.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: &name, PolicyName: inlineName, PolicyDocument: &document})
		},
		getPolicy: func(c *kit.Clients, name string) (text string, err error) {
			return text, kit.Run(c, c.IAM.GetGroupPolicy, &iam.GetGroupPolicyInput{GroupName: &name, PolicyName: inlineName},
				func(o *iam.GetGroupPolicyOutput) error { return decode(*o.PolicyDocument, &text) })
		},
		listPolicies: func(c *kit.Clients, name string) (names []string, err error) {
			return names, kit.Run(c, c.IAM.ListGroupPolicies, &iam.ListGroupPoliciesInput{GroupName: &name},
				func(o *iam.ListGroupPoliciesOutput) error { names = o.PolicyNames; return nil })
		},
		deletePolicy: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IAM.DeleteGroupPolicy, &iam.DeleteGroupPolicyInput{GroupName: &name, PolicyName: inlineName})
		},
	}
}

func inlineOfRole() inline {
	return inline{
		kind: roles(), most: 10240,
		putPolicy: func(c *kit.Clients, name, document string) error {
			return kit.Run(c, c.IAM.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: inlineName, PolicyDocument: &document})
		},
		getPolicy: func(c *kit.Clients, name string) (text string, err error) {
			return text, kit.Run(c, c.IAM.GetRolePolicy, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: inlineName},
				func(o *iam.GetRolePolicyOutput) error { return decode(*o.PolicyDocument, &text) })
		},
		listPolicies: func(c *kit.Clients, name string) (names []string, err error) {
			return names, kit.Run(c, c.IAM.ListRolePolicies, &iam.ListRolePoliciesInput{RoleName: &name},
				func(o *iam.ListRolePoliciesOutput) error { names = o.PolicyNames; return nil })
		},
		deletePolicy: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IAM.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: inlineName})
		},
	}
}

// decode takes the percent signs out of a document.
func decode(encoded string, into *string) (err error) {
	*into, err = url.QueryUnescape(encoded)
	return err
}

// filled gives an entity its inline policy.
func (i inline) filled(w *kit.World, name string) {
	w.T.Helper()
	w.Must(i.putPolicy(w.Admin, name, document("kms:ListKeys")))
}

// names are what an entity's inline policies are called.
func (i inline) names(w *kit.World, name string) any {
	w.T.Helper()
	names, err := i.listPolicies(w.Admin, name)
	w.Must(err)
	return len(names)
}

func (i inline) put(op string) kit.Case {
	return on(op, i.kind, func(c *kit.Clients, name string) error { return i.putPolicy(c, name, document("kms:ListKeys")) }, detail{
		changes: i.names,
		errors: kit.Errors{
			"MalformedPolicyDocument": func(w *kit.World) error {
				return kit.Saying(i.putPolicy(w.Admin, i.make(w), trust("*")), "Policy document should not specify a principal.")
			},
			"LimitExceeded": func(w *kit.World) error { return i.putPolicy(w.Admin, i.make(w), bulky(i.most)) },
		},
	})
}

func (i inline) get(op string) kit.Case {
	return on(op, i.kind, func(c *kit.Clients, name string) error {
		text, err := i.getPolicy(c, name)
		if err != nil {
			return err
		}
		return kit.Want("document", text, document("kms:ListKeys"))
	}, detail{prepare: i.filled, errors: i.without(func(c *kit.Clients, name string) error {
		_, err := i.getPolicy(c, name)
		return err
	})})
}

func (i inline) list(op string) kit.Case {
	return on(op, i.kind, func(c *kit.Clients, name string) error {
		names, err := i.listPolicies(c, name)
		if err != nil {
			return err
		}
		return kit.Want("policies", names, []string{*inlineName})
	}, detail{prepare: i.filled})
}

func (i inline) delete(op string) kit.Case {
	return on(op, i.kind, i.deletePolicy, detail{prepare: i.filled, changes: i.names, never: unlimited(), errors: i.without(i.deletePolicy)})
}

// without calls for the inline policy of an entity that has none.
func (i inline) without(call named) kit.Errors {
	return kit.Errors{"NoSuchEntity": func(w *kit.World) error {
		return kit.Saying(call(w.Admin, i.make(w)), "The "+i.word+" policy with name "+*inlineName+" cannot be found.")
	}}
}
