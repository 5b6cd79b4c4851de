// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func createAlias(c *kit.Clients, name string) error {
	return kit.Run(c, c.IAM.CreateAccountAlias, &iam.CreateAccountAliasInput{AccountAlias: &name})
}

func deleteAlias(c *kit.Clients, name string) error {
	return kit.Run(c, c.IAM.DeleteAccountAlias, &iam.DeleteAccountAliasInput{AccountAlias: &name})
}

// alias is the account's, which it has one of at most.
func alias(w *kit.World) any {
	w.T.Helper()
	out, err := w.Admin.IAM.ListAccountAliases(w.Admin.Ctx, &iam.ListAccountAliasesInput{})
	w.Must(err)
	return out.AccountAliases
}

// accountCases are about the account as a whole. The alias's are one case each and must not meet: those of the
// alias take the same name, and are the only ones that look at it.
func accountCases() []kit.Case {
	return []kit.Case{
		{
			Op: "GetAccountSummary",
			Good: func(w *kit.World) kit.Call {
				newUser(w)
				return kit.Call{Do: func(c *kit.Clients) error {
					return kit.Run(c, c.IAM.GetAccountSummary, &iam.GetAccountSummaryInput{}, func(o *iam.GetAccountSummaryOutput) error {
						return kit.True("it counts users and knows quotas", o.SummaryMap["Users"] > 0 && o.SummaryMap["AccessKeysPerUserQuota"] == 2)
					})
				}}
			},
		},
		{
			Op: "GetAccountAuthorizationDetails",
			Good: func(w *kit.World) kit.Call {
				newUser(w)
				return kit.Call{Do: func(c *kit.Clients) error {
					in := &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeUser}, MaxItems: aws.Int32(1)}
					return kit.Run(c, c.IAM.GetAccountAuthorizationDetails, in, func(o *iam.GetAccountAuthorizationDetailsOutput) error {
						return kit.Want("details", []int{len(o.UserDetailList), len(o.RoleDetailList)}, []int{1, 0})
					})
				}}
			},
		},
		{
			Op: "ListAccountAliases",
			Good: func(w *kit.World) kit.Call {
				return kit.Call{Do: func(c *kit.Clients) error {
					return kit.Run(c, c.IAM.ListAccountAliases, &iam.ListAccountAliasesInput{}, func(o *iam.ListAccountAliasesOutput) error {
						return kit.True("one at most", len(o.AccountAliases) <= 1)
					})
				}}
			},
		},
		{
			Op: "CreateAccountAlias", Alone: true,
			Good: func(w *kit.World) kit.Call {
				w.Destructive()
				name := w.Name()
				w.Cleanup("account alias "+name, func(c *kit.Clients) error { return gone(deleteAlias(c, name)) })
				return kit.Call{Changes: func() any { return alias(w) }, Do: func(c *kit.Clients) error { return createAlias(c, name) }}
			},
			Errors: kit.Errors{"EntityAlreadyExists": func(w *kit.World) error {
				w.Destructive()
				name := w.Name()
				w.Must(createAlias(w.Admin, name))
				w.Cleanup("account alias "+name, func(c *kit.Clients) error { return gone(deleteAlias(c, name)) })
				return kit.Saying(createAlias(w.Admin, name), "The account alias "+name+" already exists.")
			}},
			Never: map[string]string{"LimitExceeded": "a second alias takes the place of the first"},
		},
		{
			Op: "DeleteAccountAlias", Alone: true,
			Good: func(w *kit.World) kit.Call {
				w.Destructive()
				name := w.Name()
				w.Must(createAlias(w.Admin, name))
				return kit.Call{
					Changes: func() any { return slices.Contains(alias(w).([]string), name) },
					Do:      func(c *kit.Clients) error { return deleteAlias(c, name) },
				}
			},
			Errors: kit.Errors{"NoSuchEntity": func(w *kit.World) error { return deleteAlias(w.Admin, absent) }},
			Never:  unlimited(),
		},
	}
}
