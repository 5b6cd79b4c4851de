// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"strings"
	"testing"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
)

const fleetTemplate = `{"Parameters":{"Serial":{"Type":"String"},"Site":{"Type":"String","Default":"north"}},"Resources":{
	"thing":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":{"Fn::Join":["",["cam-",{"Ref":"Serial"}]]},"AttributePayload":{"site":{"Ref":"Site"}}}},
	"cert":{"Type":"AWS::IoT::Certificate","Properties":{"CertificateId":{"Ref":"AWS::IoT::Certificate::Id"},"Status":"Active"}},
	"policy":{"Type":"AWS::IoT::Policy","Properties":{"PolicyName":"fleet"}}}}`

// claim makes the template, enabled, and a claim for it.
func (w *world) fleet() Holder {
	w.t.Helper()
	w.prepare("fleet")
	must(w.CreateProvisioningTemplate(w.ctx(), &api.CreateProvisioningTemplateInput{
		TemplateName: new("fleet"), TemplateBody: new(fleetTemplate), ProvisioningRoleArn: new(roleARN), Enabled: new(true),
	}))(w.t)
	out := must(w.CreateProvisioningClaim(w.ctx(), &api.CreateProvisioningClaimInput{TemplateName: new("fleet")}))(w.t)
	c, err := parseCertificate(*out.CertificatePem)
	if err != nil {
		w.t.Fatal(err)
	}
	return Holder{DER: c.Raw}
}

func TestClaimMakesThingsOfItsTemplate(t *testing.T) {
	w := newWorld(t)
	claim := w.fleet()
	got := must(w.Provision(w.ctx(), claim, "fleet", newCSR(t, newKey(t)), map[string]string{"Serial": "7"}))(t)
	if got.ThingName != "cam-7" {
		t.Errorf("%+v", got)
	}
	thing := must(w.DescribeThing(w.ctx(), &api.DescribeThingInput{ThingName: new("cam-7")}))(t)
	if thing.Attributes["site"] != "north" {
		t.Errorf("attributes %v", thing.Attributes)
	}
	must(w.AssumeRoleWithCertificate(w.ctx(), got.holder(t), "fleet"))(t)
	w.want("ConflictException")(w.Provision(w.ctx(), claim, "fleet", newCSR(t, newKey(t)), map[string]string{"Serial": "7"}))
	w.want("InvalidRequestException")(w.Provision(w.ctx(), claim, "fleet", newCSR(t, newKey(t)), nil))
	w.want("InvalidRequestException")(w.Provision(w.ctx(), claim, "fleet", newCSR(t, newKey(t)), map[string]string{"Serial": "a/b"}))
	w.want("AccessDeniedException")(w.Provision(w.ctx(), claim, "other", newCSR(t, newKey(t)), map[string]string{"Serial": "8"}))
	w.want("AccessDeniedException")(w.Provision(w.ctx(), got.holder(t), "fleet", newCSR(t, newKey(t)), map[string]string{"Serial": "8"}))
}

func TestClaimIsGoodForNothingElseAndSoonOver(t *testing.T) {
	w := newWorld(t)
	claim := w.fleet()
	arn := w.arn("cert", CertificateID(claim.DER))
	must(w.AttachPolicy(w.ctx(), &api.AttachPolicyInput{PolicyName: new("fleet"), Target: &arn}))(t)
	w.want("AccessDeniedException")(w.AssumeRoleWithCertificate(w.ctx(), claim, "fleet"))
	w.want("AccessDeniedException")(w.Renew(w.ctx(), claim, newCSR(t, newKey(t))))
	must(w.UpdateProvisioningTemplate(w.ctx(), &api.UpdateProvisioningTemplateInput{TemplateName: new("fleet"), Enabled: new(false)}))(t)
	w.want("AccessDeniedException")(w.Provision(w.ctx(), claim, "fleet", newCSR(t, newKey(t)), map[string]string{"Serial": "7"}))
	must(w.UpdateProvisioningTemplate(w.ctx(), &api.UpdateProvisioningTemplateInput{TemplateName: new("fleet"), Enabled: new(true)}))(t)
	w.now = w.now.Add(claimLife)
	w.want("AccessDeniedException")(w.Provision(w.ctx(), claim, "fleet", newCSR(t, newKey(t)), map[string]string{"Serial": "7"}))
}

func TestTemplatesThatSayMoreThanIsKnownAreRefused(t *testing.T) {
	for name, body := range map[string]string{
		"not JSON":         "x",
		"no thing":         `{"Resources":{"c":{"Type":"AWS::IoT::Certificate","Properties":{}}}}`,
		"another resource": strings.Replace(fleetTemplate, "AWS::IoT::Policy", "AWS::S3::Bucket", 1),
		"policy document":  strings.Replace(fleetTemplate, `"PolicyName":"fleet"`, `"PolicyDocument":"{}"`, 1),
		"policy by ref":    strings.Replace(fleetTemplate, `"PolicyName":"fleet"`, `"PolicyName":{"Ref":"Site"}`, 1),
		"inactive":         strings.Replace(fleetTemplate, "Active", "Inactive", 1),
		"number":           strings.Replace(fleetTemplate, `"Type":"String"}`, `"Type":"Number"}`, 1),
		"device config":    strings.Replace(fleetTemplate, `{"Parameters"`, `{"DeviceConfiguration":{},"Parameters"`, 1),
		"unknown function": strings.Replace(fleetTemplate, "Fn::Join", "Fn::Sub", 1),
	} {
		w := newWorld(t)
		_, err := w.CreateProvisioningTemplate(w.ctx(), &api.CreateProvisioningTemplateInput{
			TemplateName: new("fleet"), TemplateBody: &body, ProvisioningRoleArn: new(roleARN),
		})
		if codeOf(err) != "InvalidRequestException" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTemplateNeedsEveryRightThatItUses(t *testing.T) {
	for _, action := range []string{"iot:CreateProvisioningTemplate", "iam:PassRole", "iot:CreateThing", "iot:AttachPolicy"} {
		w := newWorld(t)
		w.allow = func(a, _ string) bool { return a != action }
		w.want("Denied")(w.CreateProvisioningTemplate(w.ctx(), &api.CreateProvisioningTemplateInput{
			TemplateName: new("fleet"), TemplateBody: new(fleetTemplate), ProvisioningRoleArn: new(roleARN),
		}))
	}
}
