// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// keyPolicy delegates a key to its account; id tells one from another.
func keyPolicy(w *kit.World, id string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Id":%q,"Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"kms:*","Resource":"*"}]}`,
		id, w.ARN("iam", "root"))
}

func getPolicy(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.GetKeyPolicy, &kms.GetKeyPolicyInput{KeyId: &id})
}

func putPolicy(c *kit.Clients, id, policy string) error {
	return kit.Run(c, c.KMS.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: &id, Policy: &policy})
}

// policy is the key's policy, for Call.Changes.
func (k *key) policy() any {
	k.w.T.Helper()
	out, err := k.w.Admin.KMS.GetKeyPolicy(k.w.Admin.Ctx, &kms.GetKeyPolicyInput{KeyId: &k.ID})
	k.w.Must(err)
	return *out.Policy
}

func policyCases() []kit.Case {
	return []kit.Case{
		{
			Op: "GetKeyPolicy",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, sealing)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.GetKeyPolicy, &kms.GetKeyPolicyInput{KeyId: &k.ID}, func(o *kms.GetKeyPolicyOutput) error {
						return kit.True("the default policy", *o.PolicyName == "default" &&
							strings.Contains(*o.Policy, "key-default-1") && strings.Contains(*o.Policy, "Enable IAM User Permissions"))
					})
				}}
			},
			Errors: flawed(getPolicy, missing, unheardOf),
			Never:  map[string]string{"KMSInvalidStateException": anyState},
		},
		{
			Op: "PutKeyPolicy",
			Good: func(w *kit.World) kit.Call {
				k := symmetric(w)
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.policy, Do: func(c *kit.Clients) error { return putPolicy(c, k.ID, keyPolicy(w, "another")) }}
			},
			Errors: kit.Merge(
				flawed(func(c *kit.Clients, id string) error { return putPolicy(c, id, `{}`) }, missing, unheardOf),
				kit.Errors{
					"MalformedPolicyDocumentException": func(w *kit.World) error {
						lockedOut := strings.Replace(keyPolicy(w, "locked out"), "kms:*", "kms:DescribeKey", 1)
						return kit.Saying(putPolicy(w.Admin, shared(w, sealing).ID, lockedOut),
							"The new key policy will not allow you to update the key policy in the future.")
					},
					"LimitExceededException": func(w *kit.World) error { return putPolicy(w.Admin, shared(w, sealing).ID, wide(w)) },
				}),
			Never: map[string]string{
				"KMSInvalidStateException":      anyState,
				"UnsupportedOperationException": "every key of the account's has a policy that can be put",
			},
		},
		{
			Op: "ListKeyPolicies",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, sealing)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.ListKeyPolicies, &kms.ListKeyPoliciesInput{KeyId: &k.ID, Limit: aws.Int32(5)}, func(o *kms.ListKeyPoliciesOutput) error {
						return kit.Want("names", o.PolicyNames, []string{"default"})
					})
				}}
			},
			Errors: flawed(func(c *kit.Clients, id string) error {
				return kit.Run(c, c.KMS.ListKeyPolicies, &kms.ListKeyPoliciesInput{KeyId: &id})
			}, missing, unheardOf),
			Never: map[string]string{"KMSInvalidStateException": anyState},
		},
	}
}
