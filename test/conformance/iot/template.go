// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// body makes a thing of a parameter, and a certificate with a policy.
func body(policy string) *string {
	return aws.String(`{
		"Parameters": {"Serial": {"Type": "String"}},
		"Resources": {
			"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Serial"}}},
			"certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}},
			"policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "` + policy + `"}}
		}
	}`)
}

// provisioned is a policy that templates give to certificates.
func provisioned(w *kit.World) string {
	w.T.Helper()
	return kit.Shared(w, "a policy for provisioned devices", func(w *kit.World) string { return policies().new(w) })
}

func templates() kind {
	return kind{
		word: "provisioningtemplate", absent: absent,
		create: func(w *kit.World, c *kit.Clients, name string) error {
			in := &iot.CreateProvisioningTemplateInput{
				TemplateName: &name, TemplateBody: body(provisioned(w)), ProvisioningRoleArn: aws.String(role(w)), Enabled: aws.Bool(true),
			}
			return kit.Run(c, c.IoT.CreateProvisioningTemplate, in, func(o *iot.CreateProvisioningTemplateOutput) error {
				return kit.Want("template", []any{*o.TemplateName, *o.DefaultVersionId}, []any{name, int32(1)})
			})
		},
		describe: func(c *kit.Clients, name string) error {
			in := &iot.DescribeProvisioningTemplateInput{TemplateName: &name}
			return kit.Run(c, c.IoT.DescribeProvisioningTemplate, in, func(o *iot.DescribeProvisioningTemplateOutput) error {
				return kit.Want("template", []any{*o.TemplateName, strings.Contains(*o.TemplateBody, "Serial"), *o.Enabled}, []any{name, true, true})
			})
		},
		remove: func(c *kit.Clients, name string) error {
			return kit.Run(c, c.IoT.DeleteProvisioningTemplate, &iot.DeleteProvisioningTemplateInput{TemplateName: &name})
		},
	}
}

// description is the one of a template.
func description(w *kit.World, name string) any {
	w.T.Helper()
	out, err := w.Admin.IoT.DescribeProvisioningTemplate(w.Admin.Ctx, &iot.DescribeProvisioningTemplateInput{TemplateName: &name})
	w.Must(err)
	return aws.ToString(out.Description)
}

func templateCases() []kit.Case {
	list := func(c *kit.Clients, token *string) (listed int, err error) {
		in := &iot.ListProvisioningTemplatesInput{MaxResults: aws.Int32(1), NextToken: token}
		err = kit.Run(c, c.IoT.ListProvisioningTemplates, in, func(o *iot.ListProvisioningTemplatesOutput) error {
			listed = len(o.Templates)
			return nil
		})
		return listed, err
	}
	update := func(roleARN *string) named {
		return func(c *kit.Clients, name string) error {
			in := &iot.UpdateProvisioningTemplateInput{TemplateName: &name, Description: aws.String("another"), ProvisioningRoleArn: roleARN}
			return kit.Run(c, c.IoT.UpdateProvisioningTemplate, in)
		}
	}
	// A template does what its maker may do.
	needs := func(w *kit.World) []kit.Need {
		return append(passing(w), kit.Need{Action: "iot:CreateThing", Resource: things().arn(w, "*")},
			kit.Need{Action: "iot:AttachPolicy", Resource: policies().arn(w, provisioned(w))})
	}
	return []kit.Case{
		creates("CreateProvisioningTemplate", templates(), detail{needs: needs, never: noQuota(), errors: kit.Errors{
			"InvalidRequestException": func(w *kit.World) error {
				in := &iot.CreateProvisioningTemplateInput{TemplateName: aws.String(w.Name()), TemplateBody: aws.String(`{}`), ProvisioningRoleArn: aws.String(role(w))}
				return kit.Run(w.Admin, w.Admin.IoT.CreateProvisioningTemplate, in)
			},
		}}),
		on("DescribeProvisioningTemplate", templates(), templates().describe, detail{}),
		lists("ListProvisioningTemplates", templates(), list),
		handsOn("UpdateProvisioningTemplate", templates(), update, description),
		deletes("DeleteProvisioningTemplate", templates(), detail{never: map[string]string{"DeleteConflictException": "a template has one version, which goes with it"}}),
		createClaim(),
	}
}

// createClaim makes a certificate with its key, which is good for becoming things of a template.
func createClaim() kit.Case {
	return on("CreateProvisioningClaim", templates(), func(c *kit.Clients, name string) error {
		in := &iot.CreateProvisioningClaimInput{TemplateName: &name}
		return kit.Run(c, c.IoT.CreateProvisioningClaim, in, func(o *iot.CreateProvisioningClaimOutput) error {
			if err := kit.Want("ID", *o.CertificateId, fingerprint(*o.CertificatePem)); err != nil {
				return err
			}
			return kit.True("a key pair", strings.Contains(*o.KeyPair.PrivateKey, "PRIVATE KEY") && strings.Contains(*o.KeyPair.PublicKey, "PUBLIC KEY"))
		})
	}, detail{})
}
