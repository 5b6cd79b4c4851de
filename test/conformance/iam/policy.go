// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// maxPolicy is the quota of a managed policy's size, in characters.
const maxPolicy = 6144

// maxVersions is the quota of versions of a managed policy.
const maxVersions = 5

// onPolicy is an operation on a managed policy, with all else as it should be.
type onPolicy func(c *kit.Clients, arn string) error

// badPolicy is the errors of an operation on a policy that is not there, and on an ARN that is no policy's.
func badPolicy(call onPolicy) kit.Errors {
	return kit.Errors{
		"NoSuchEntity": func(w *kit.World) error {
			arn := w.ARN("iam", "policy/"+absent)
			return kit.Saying(call(w.Admin, arn), "Policy "+arn+" ")
		},
		"InvalidInput": func(w *kit.World) error {
			return kit.Saying(call(w.Admin, w.ARN("iam", "user/"+absent)), "ARN "+w.ARN("iam", "user/"+absent)+" is not valid.")
		},
	}
}

// managed is the case of an operation that is decided on a managed policy.
func managed(op string, call onPolicy, d detail) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			arn := newPolicy(w)
			if d.prepare != nil {
				d.prepare(w, arn)
			}
			good := kit.Call{Needs: kit.On(arn), Do: func(c *kit.Clients) error { return call(c, arn) }}
			if d.changes != nil {
				good.Changes = func() any { return d.changes(w, arn) }
			}
			return good
		},
		Errors: kit.Merge(badPolicy(call), d.errors), Never: d.never,
	}
}

func deletePolicy(c *kit.Clients, arn string) error {
	return kit.Run(c, c.IAM.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: &arn})
}

func policyCases() []kit.Case {
	return []kit.Case{
		createPolicy(),
		managed("GetPolicy", func(c *kit.Clients, arn string) error {
			return kit.Run(c, c.IAM.GetPolicy, &iam.GetPolicyInput{PolicyArn: &arn}, func(o *iam.GetPolicyOutput) error {
				return kit.Want("policy", []any{*o.Policy.Arn, *o.Policy.DefaultVersionId, *o.Policy.AttachmentCount}, []any{arn, "v1", int32(0)})
			})
		}, detail{}),
		{
			Op: "ListPolicies",
			Good: func(w *kit.World) kit.Call {
				newPolicy(w)
				return kit.Call{Needs: kit.On(w.ARN("iam", "policy/")), Do: func(c *kit.Clients) error {
					in := &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal, MaxItems: aws.Int32(1)}
					return kit.Run(c, c.IAM.ListPolicies, in, func(o *iam.ListPoliciesOutput) error { return kit.Want("policies", len(o.Policies), 1) })
				}}
			},
		},
		managed("ListEntitiesForPolicy", func(c *kit.Clients, arn string) error {
			return kit.Run(c, c.IAM.ListEntitiesForPolicy, &iam.ListEntitiesForPolicyInput{PolicyArn: &arn}, func(o *iam.ListEntitiesForPolicyOutput) error {
				return kit.Want("entities", []int{len(o.PolicyUsers), len(o.PolicyGroups), len(o.PolicyRoles)}, []int{1, 0, 0})
			})
		}, detail{prepare: func(w *kit.World, arn string) { w.Must(attachToUser(w.Admin, newUser(w), arn)) }}),
		managed("DeletePolicy", deletePolicy, detail{
			changes: policyThere, never: unlimited(),
			errors: kit.Errors{"DeleteConflict": func(w *kit.World) error {
				arn := newPolicy(w)
				w.Must(attachToUser(w.Admin, newUser(w), arn))
				return kit.Saying(deletePolicy(w.Admin, arn), "Cannot delete a policy attached to entities.")
			}},
		}),
	}
}

func createPolicy() kit.Case {
	// with tries to make a policy with something wrong about it.
	with := func(change func(w *kit.World, in *iam.CreatePolicyInput)) func(w *kit.World) error {
		return func(w *kit.World) error {
			in := &iam.CreatePolicyInput{PolicyName: aws.String(w.Name()), PolicyDocument: aws.String(document("kms:ListKeys"))}
			change(w, in)
			return kit.Run(w.Admin, w.Admin.IAM.CreatePolicy, in)
		}
	}
	return kit.Case{
		Op: "CreatePolicy",
		Good: func(w *kit.World) kit.Call {
			name := w.Name()
			arn := w.ARN("iam", "policy/"+name)
			w.Cleanup("policy "+name, func(c *kit.Clients) error { return purgePolicy(c, arn) })
			return kit.Call{
				Needs:   kit.On(arn),
				Changes: func() any { return policyThere(w, arn) },
				Do: func(c *kit.Clients) error {
					in := &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: aws.String(document("kms:ListKeys"))}
					return kit.Run(c, c.IAM.CreatePolicy, in, func(o *iam.CreatePolicyOutput) error {
						return kit.Want("policy", []string{*o.Policy.Arn, *o.Policy.DefaultVersionId, (*o.Policy.PolicyId)[:4]}, []string{arn, "v1", "ANPA"})
					})
				},
			}
		},
		Errors: kit.Errors{
			"EntityAlreadyExists": func(w *kit.World) error {
				name := w.Name()
				in := &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: aws.String(document("kms:ListKeys"))}
				w.Cleanup("policy "+name, func(c *kit.Clients) error { return purgePolicy(c, w.ARN("iam", "policy/"+name)) })
				w.Must(kit.Run(w.Admin, w.Admin.IAM.CreatePolicy, in))
				return kit.Saying(kit.Run(w.Admin, w.Admin.IAM.CreatePolicy, in), "A policy called "+name+" already exists. Duplicate names are not allowed.")
			},
			"InvalidInput": with(func(_ *kit.World, in *iam.CreatePolicyInput) {
				in.Tags = []types.Tag{{Key: aws.String("aws:mine"), Value: aws.String("v")}}
			}),
			"MalformedPolicyDocument": with(func(_ *kit.World, in *iam.CreatePolicyInput) { in.PolicyDocument = aws.String(trust("*")) }),
			"LimitExceeded":           with(func(_ *kit.World, in *iam.CreatePolicyInput) { in.PolicyDocument = aws.String(bulky(maxPolicy)) }),
		},
	}
}

// versions are the ids of a policy's versions, and which is in force.
func versions(w *kit.World, arn string) any {
	w.T.Helper()
	all := []string{}
	w.Must(kit.Run(w.Admin, w.Admin.IAM.ListPolicyVersions, &iam.ListPolicyVersionsInput{PolicyArn: &arn}, func(o *iam.ListPolicyVersionsOutput) error {
		for _, v := range o.Versions {
			id := *v.VersionId
			if v.IsDefaultVersion {
				id += " in force"
			}
			all = append(all, id)
		}
		return nil
	}))
	return all
}

func newVersion(c *kit.Clients, arn string) error {
	return kit.Run(c, c.IAM.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: aws.String(document("kms:ListAliases"))})
}

func deleteVersion(c *kit.Clients, arn, id string) error {
	return kit.Run(c, c.IAM.DeletePolicyVersion, &iam.DeletePolicyVersionInput{PolicyArn: &arn, VersionId: &id})
}

// secondVersion gives a policy a version v2 that is not in force.
func secondVersion(w *kit.World, arn string) {
	w.T.Helper()
	w.Must(newVersion(w.Admin, arn))
}

func versionCases() []kit.Case {
	return []kit.Case{
		managed("CreatePolicyVersion", newVersion, detail{
			changes: versions,
			errors: kit.Errors{
				"MalformedPolicyDocument": func(w *kit.World) error {
					return kit.Run(w.Admin, w.Admin.IAM.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: aws.String(newPolicy(w)), PolicyDocument: aws.String("not a document")})
				},
				"LimitExceeded": func(w *kit.World) error {
					arn := newPolicy(w)
					for range maxVersions - 1 {
						secondVersion(w, arn)
					}
					return newVersion(w.Admin, arn)
				},
			},
		}),
		managed("GetPolicyVersion", func(c *kit.Clients, arn string) error {
			in := &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: aws.String("v1")}
			return kit.Run(c, c.IAM.GetPolicyVersion, in, func(o *iam.GetPolicyVersionOutput) error {
				text, err := url.QueryUnescape(*o.PolicyVersion.Document)
				if err != nil {
					return err
				}
				return kit.Want("version", []any{*o.PolicyVersion.VersionId, o.PolicyVersion.IsDefaultVersion, text}, []any{"v1", true, document("kms:ListKeys")})
			})
		}, detail{}),
		managed("ListPolicyVersions", func(c *kit.Clients, arn string) error {
			return kit.Run(c, c.IAM.ListPolicyVersions, &iam.ListPolicyVersionsInput{PolicyArn: &arn}, func(o *iam.ListPolicyVersionsOutput) error {
				return kit.Want("versions", []any{len(o.Versions), *o.Versions[0].VersionId}, []any{2, "v2"})
			})
		}, detail{prepare: secondVersion}),
		managed("SetDefaultPolicyVersion", func(c *kit.Clients, arn string) error {
			return kit.Run(c, c.IAM.SetDefaultPolicyVersion, &iam.SetDefaultPolicyVersionInput{PolicyArn: &arn, VersionId: aws.String("v2")})
		}, detail{prepare: secondVersion, changes: versions, never: unlimited()}),
		managed("DeletePolicyVersion", func(c *kit.Clients, arn string) error { return deleteVersion(c, arn, "v2") }, detail{
			prepare: secondVersion, changes: versions, never: unlimited(),
			errors: kit.Errors{"DeleteConflict": func(w *kit.World) error {
				return kit.Saying(deleteVersion(w.Admin, newPolicy(w), "v1"), "Cannot delete the default version of a policy.")
			}},
		}),
	}
}
