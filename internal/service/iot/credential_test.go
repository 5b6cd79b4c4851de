// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"testing"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
)

func TestDeviceObtainsCredentialsOfItsRoleAlias(t *testing.T) {
	w := newWorld(t)
	must(w.CreateThingType(w.ctx(), &api.CreateThingTypeInput{ThingTypeName: new("camera")}))(t)
	id, h := w.device("door")
	must(w.UpdateThing(w.ctx(), &api.UpdateThingInput{ThingName: new("door"), ThingTypeName: new("camera")}))(t)
	must(w.UpdateRoleAlias(w.ctx(), &api.UpdateRoleAliasInput{RoleAlias: new("door"), CredentialDurationSeconds: new(int64(900))}))(t)
	must(w.AssumeRoleWithCertificate(w.ctx(), h, "door"))(t)
	got := w.issued[0]
	if got.RoleARN != roleARN || got.RoleAliasARN != w.arn("rolealias", "door") || got.Lifetime != 15*time.Minute {
		t.Errorf("session %+v", got)
	}
	if d := got.Device; d.CertificateID != id || d.ThingName != "door" || d.ThingTypeName != "camera" {
		t.Errorf("device %+v", d)
	}
}

func TestCredentialsAreRefusedUnlessEverythingHolds(t *testing.T) {
	const denied = "AccessDeniedException"
	for name, tc := range map[string]struct {
		change func(w *world, id string, h *Holder, alias *string)
		code   string
		text   string
	}{
		"all is well":          {func(*world, string, *Holder, *string) {}, "", ""},
		"no thing is named":    {func(_ *world, _ string, h *Holder, _ *string) { h.ThingName = "" }, "", ""},
		"no certificate":       {func(_ *world, _ string, h *Holder, _ *string) { h.DER = nil }, denied, textDenied},
		"unknown certificate":  {func(_ *world, _ string, h *Holder, _ *string) { h.DER = append(h.DER[:9:9], 1) }, denied, textDenied},
		"another thing":        {func(_ *world, _ string, h *Holder, _ *string) { h.ThingName = "yard" }, denied, textWrongName},
		"inactive":             {func(w *world, id string, _ *Holder, _ *string) { _ = w.setStatus(id, "INACTIVE") }, denied, textDenied},
		"revoked":              {func(w *world, id string, _ *Holder, _ *string) { _ = w.setStatus(id, "REVOKED") }, denied, textDenied},
		"expired":              {func(w *world, _ string, _ *Holder, _ *string) { w.now = w.now.Add(certificateLife) }, denied, textDenied},
		"not yet valid":        {func(w *world, _ string, _ *Holder, _ *string) { w.now = w.now.Add(-2 * clockSlack) }, denied, textDenied},
		"alias not allowed":    {func(_ *world, _ string, _ *Holder, alias *string) { *alias = "yard" }, denied, textDenied},
		"alias does not exist": {func(w *world, _ string, _ *Holder, _ *string) { w.deleteAlias("door") }, "ResourceNotFoundException", textNoAlias},
		"role does not trust":  {func(w *world, _ string, _ *Holder, _ *string) { w.untrusted = true }, denied, textDenied},
		"policy is detached": {func(w *world, id string, _ *Holder, _ *string) {
			_, _ = w.DetachPolicy(w.ctx(), &api.DetachPolicyInput{PolicyName: new("door"), Target: new(w.arn("cert", id))})
		}, denied, textDenied},
		"thing is detached": {func(w *world, id string, _ *Holder, _ *string) {
			_, _ = w.DetachThingPrincipal(w.ctx(), &api.DetachThingPrincipalInput{ThingName: new("door"), Principal: new(w.arn("cert", id))})
		}, denied, textWrongName},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.prepare("yard")
			id, h := w.device("door")
			alias := "door"
			tc.change(w, id, &h, &alias)
			_, err := w.AssumeRoleWithCertificate(w.ctx(), h, alias)
			w.want(tc.code)(nil, err)
			if e, ok := err.(interface{ ErrorMessage() string }); ok && e.ErrorMessage() != tc.text {
				t.Errorf("text %q, want %q", e.ErrorMessage(), tc.text)
			}
		})
	}
}

func (w *world) deleteAlias(name string) {
	must(w.DeleteRoleAlias(w.ctx(), &api.DeleteRoleAliasInput{RoleAlias: &name}))(w.t)
}

func TestPoliciesOfCertificatesDecideByConditions(t *testing.T) {
	const head, tail = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:AssumeRoleWithCertificate","Resource":"*","Condition":{`, `}}]}`
	for condition, allowed := range map[string]bool{
		`"StringEquals":{"iot:Connection.Thing.ThingName":"door"}`:  true,
		`"StringEquals":{"iot:Connection.Thing.ThingName":"yard"}`:  false,
		`"Bool":{"iot:Connection.Thing.IsAttached":"true"}`:         true,
		`"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}`:               true,
		`"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}`:            false,
		`"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}`: false,
	} {
		w := newWorld(t)
		id, h := w.device("door")
		arn := w.arn("cert", id)
		must(w.CreatePolicy(w.ctx(), &api.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(head + condition + tail)}))(t)
		must(w.DetachPolicy(w.ctx(), &api.DetachPolicyInput{PolicyName: new("door"), Target: &arn}))(t)
		must(w.AttachPolicy(w.ctx(), &api.AttachPolicyInput{PolicyName: new("p"), Target: &arn}))(t)
		if _, err := w.AssumeRoleWithCertificate(w.ctx(), h, "door"); (err == nil) != allowed {
			t.Errorf("%s: %v", condition, err)
		}
	}
}

func TestInForceSurvivesRestart(t *testing.T) {
	w := newWorld(t)
	good, _ := w.certify()
	bad, _ := w.certify()
	if err := w.setStatus(bad, "REVOKED"); err != nil {
		t.Fatal(err)
	}
	again := openWorld(t, w.db)
	if !again.InForce(good) || again.InForce(bad) || again.InForce("") {
		t.Error("the state of certificates was lost")
	}
}

func TestRevokedStaysRevoked(t *testing.T) {
	w := newWorld(t)
	id, _ := w.certify()
	for _, step := range []struct {
		status, code string
		inForce      bool
	}{
		{"INACTIVE", "", false},
		{"ACTIVE", "", true},
		{"PENDING_TRANSFER", "InvalidRequestException", true},
		{"REVOKED", "", false},
		{"REVOKED", "", false},
		{"ACTIVE", "CertificateStateException", false},
		{"INACTIVE", "CertificateStateException", false},
	} {
		w.want(step.code)(nil, w.setStatus(id, step.status))
		if w.InForce(id) != step.inForce {
			t.Errorf("after %s: in force is %t", step.status, w.InForce(id))
		}
	}
}
