// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// document lets devices obtain credentials.
func document() *string {
	return aws.String(kit.Allow(kit.Need{Action: "iot:AssumeRoleWithCertificate", Resource: "*"}))
}

func policies() kind {
	return kind{
		word: "policy", absent: absent,
		create: func(_ *kit.World, c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.CreatePolicy, &iot.CreatePolicyInput{PolicyName: &name, PolicyDocument: document()}, func(o *iot.CreatePolicyOutput) error {
				return kit.Want("policy", []string{*o.PolicyName, *o.PolicyDocument, *o.PolicyVersionId}, []string{name, *document(), "1"})
			})
		},
		describe: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.GetPolicy, &iot.GetPolicyInput{PolicyName: &name}, func(o *iot.GetPolicyOutput) error {
				return kit.Want("policy", []string{*o.PolicyName, *o.PolicyDocument, *o.DefaultVersionId}, []string{name, *document(), "1"})
			})
		},
		remove: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.DeletePolicy, &iot.DeletePolicyInput{PolicyName: &name})
		},
	}
}

func policyCases() []kit.Case {
	list := func(c *kit.Clients, marker *string) (listed int, err error) {
		err = kit.Run(c, c.IoT.ListPolicies, &iot.ListPoliciesInput{PageSize: aws.Int32(1), Marker: marker}, func(o *iot.ListPoliciesOutput) error {
			listed = len(o.Policies)
			return nil
		})
		return listed, err
	}
	return []kit.Case{
		creates("CreatePolicy", policies(), detail{errors: kit.Errors{
			"MalformedPolicyException": func(w *kit.World) error {
				in := &iot.CreatePolicyInput{PolicyName: aws.String(w.Name()), PolicyDocument: aws.String(`{}`)}
				return kit.Run(w.Admin, w.Admin.IoT.CreatePolicy, in)
			},
		}}),
		on("GetPolicy", policies(), policies().describe, detail{}),
		lists("ListPolicies", policies(), list),
		deletes("DeletePolicy", policies(), detail{errors: kit.Errors{
			"DeleteConflictException": func(w *kit.World) error {
				name := policies().new(w)
				attachPolicy(w, name, certificates().new(w))
				return policies().remove(w.Admin, name)
			},
		}}),
		on("ListTargetsForPolicy", policies(), targets, detail{never: noQuota()}),
	}
}

// targets are asked for a policy that nothing has.
func targets(c *kit.Clients, name string) error {
	return kit.Run(c, c.IoT.ListTargetsForPolicy, &iot.ListTargetsForPolicyInput{PolicyName: &name}, func(o *iot.ListTargetsForPolicyOutput) error {
		return kit.Want("targets", len(o.Targets), 0)
	})
}
