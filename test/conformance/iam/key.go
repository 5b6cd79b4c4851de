// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// absentKey is well formed, and nobody's.
const absentKey = "AKIA0000000000000000"

func createKey(c *kit.Clients, user string) error {
	return kit.Run(c, c.IAM.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: &user}, func(o *iam.CreateAccessKeyOutput) error {
		k := o.AccessKey
		return kit.Want("key", []any{*k.UserName, k.Status, len(*k.SecretAccessKey), (*k.AccessKeyId)[:4]}, []any{user, types.StatusTypeActive, 40, "AKIA"})
	})
}

// newKey gives a user an access key.
func newKey(w *kit.World, user string) (id string) {
	w.T.Helper()
	out, err := w.Admin.IAM.CreateAccessKey(w.Admin.Ctx, &iam.CreateAccessKeyInput{UserName: &user})
	w.Must(err)
	return *out.AccessKey.AccessKeyId
}

// keys are a user's access keys, with their states.
func keys(w *kit.World, user string) any {
	w.T.Helper()
	all := []string{}
	w.Must(kit.Run(w.Admin, w.Admin.IAM.ListAccessKeys, &iam.ListAccessKeysInput{UserName: &user}, func(o *iam.ListAccessKeysOutput) error {
		for _, k := range o.AccessKeyMetadata {
			all = append(all, *k.AccessKeyId+" "+string(k.Status))
		}
		return nil
	}))
	return all
}

func updateKey(c *kit.Clients, user, id string) error {
	return kit.Run(c, c.IAM.UpdateAccessKey, &iam.UpdateAccessKeyInput{UserName: &user, AccessKeyId: &id, Status: types.StatusTypeInactive})
}

func deleteKey(c *kit.Clients, user, id string) error {
	return kit.Run(c, c.IAM.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: &user, AccessKeyId: &id})
}

// onKey is the case of an operation that alters an access key.
func onKey(op string, call func(c *kit.Clients, user, id string) error, never map[string]string) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			user := newUser(w)
			id := newKey(w, user)
			return kit.Call{
				Needs:   kit.On(users().arn(w, user)),
				Changes: func() any { return keys(w, user) },
				Do:      func(c *kit.Clients) error { return call(c, user, id) },
			}
		},
		Errors: kit.Errors{"NoSuchEntity": func(w *kit.World) error {
			return kit.Saying(call(w.Admin, newUser(w), absentKey), "The Access Key with id "+absentKey+" cannot be found.")
		}},
		Never: never,
	}
}

func keyCases() []kit.Case {
	return []kit.Case{
		on("CreateAccessKey", users(), createKey, detail{
			changes: keys,
			errors: kit.Errors{"LimitExceeded": func(w *kit.World) error {
				user := newUser(w)
				newKey(w, user)
				newKey(w, user)
				return kit.Saying(createKey(w.Admin, user), "Cannot exceed quota for AccessKeysPerUser: 2")
			}},
		}),
		on("ListAccessKeys", users(), func(c *kit.Clients, user string) error {
			return kit.Run(c, c.IAM.ListAccessKeys, &iam.ListAccessKeysInput{UserName: &user}, func(o *iam.ListAccessKeysOutput) error {
				return kit.Want("keys", []any{len(o.AccessKeyMetadata), *o.AccessKeyMetadata[0].UserName}, []any{1, user})
			})
		}, detail{prepare: func(w *kit.World, user string) { newKey(w, user) }}),
		onKey("UpdateAccessKey", updateKey, map[string]string{"LimitExceeded": noQuota, "InvalidInput": outOfRange}),
		onKey("DeleteAccessKey", deleteKey, unlimited()),
		{
			Op: "GetAccessKeyLastUsed",
			Good: func(w *kit.World) kit.Call {
				user := newUser(w)
				id := newKey(w, user)
				return kit.Call{Needs: kit.On(users().arn(w, user)), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.IAM.GetAccessKeyLastUsed, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id}, func(o *iam.GetAccessKeyLastUsedOutput) error {
						return kit.Want("last use", []string{*o.UserName, *o.AccessKeyLastUsed.ServiceName, *o.AccessKeyLastUsed.Region}, []string{user, "N/A", "N/A"})
					})
				}}
			},
			Others: kit.Errors{"NoSuchEntity": func(w *kit.World) error {
				return kit.Run(w.Admin, w.Admin.IAM.GetAccessKeyLastUsed, &iam.GetAccessKeyLastUsedInput{AccessKeyId: aws.String(absentKey)})
			}},
		},
	}
}
