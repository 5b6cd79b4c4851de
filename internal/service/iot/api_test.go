// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
)

// fillInput sets every required-looking member of an input so that the operation can decide.
func fillInput(in reflect.Value) {
	for i := range in.NumField() {
		f := in.Field(i)
		name := in.Type().Field(i).Name
		if f.Type() != reflect.TypeFor[*string]() {
			continue
		}
		text := "x"
		switch name {
		case "Principal", "Target":
			text = "arn:aws:iot:us-east-1:000000000000:cert/x"
		case "RoleArn":
			text = roleARN
		case "NewStatus", "Status":
			text = "REVOKED"
		}
		f.Set(reflect.ValueOf(&text))
	}
}

// implemented are the operations that are not left to Unimplemented.
func implemented(t *testing.T) map[string]reflect.Method {
	t.Helper()
	out := map[string]reflect.Method{}
	server := reflect.TypeFor[api.Server]()
	own := reflect.TypeFor[*Service]()
	for i := range server.NumMethod() {
		name := server.Method(i).Name
		m, _ := own.MethodByName(name)
		w := newWorld(t)
		w.allow = func(string, string) bool { return false }
		in := reflect.New(m.Type.In(2).Elem())
		fillInput(in.Elem())
		r := m.Func.Call([]reflect.Value{reflect.ValueOf(w.Service), reflect.ValueOf(w.ctx()), in})
		err, _ := r[1].Interface().(error)
		if codeOf(err) != "NotImplementedException" {
			out[name] = m
		}
	}
	return out
}

func TestEveryOperationAsksBeforeItAnswers(t *testing.T) {
	for name, m := range implemented(t) {
		w := newWorld(t)
		w.allow = func(string, string) bool { return false }
		in := reflect.New(m.Type.In(2).Elem())
		fillInput(in.Elem())
		r := m.Func.Call([]reflect.Value{reflect.ValueOf(w.Service), reflect.ValueOf(w.ctx()), in})
		err, _ := r[1].Interface().(error)
		if codeOf(err) != "Denied" {
			t.Errorf("%s: %v", name, err)
		}
		if len(w.asked) != 1 || !strings.HasPrefix(w.asked[0], "iot:"+name+" ") {
			t.Errorf("%s asked for %v", name, w.asked)
		}
	}
}

func TestPassingARoleNeedsPermission(t *testing.T) {
	w := newWorld(t)
	w.allow = func(action, _ string) bool { return action != "iam:PassRole" }
	w.want("Denied")(w.CreateRoleAlias(w.ctx(), &api.CreateRoleAliasInput{RoleAlias: new("a"), RoleArn: new(roleARN)}))
	w.allow = func(string, string) bool { return true }
	must(w.CreateRoleAlias(w.ctx(), &api.CreateRoleAliasInput{RoleAlias: new("a"), RoleArn: new(roleARN)}))(t)
	w.allow = func(action, _ string) bool { return action != "iam:PassRole" }
	w.want("Denied")(w.UpdateRoleAlias(w.ctx(), &api.UpdateRoleAliasInput{RoleAlias: new("a"), RoleArn: new(roleARN + "2")}))
	must(w.UpdateRoleAlias(w.ctx(), &api.UpdateRoleAliasInput{RoleAlias: new("a"), CredentialDurationSeconds: new(int64(900))}))(t)
}

func TestErrorsAreAWSs(t *testing.T) {
	w := newWorld(t)
	ctx := w.ctx()
	id, _ := w.device("door")
	arn, name, nope := w.arn("cert", id), "door", "nope"
	unknown := strings.Repeat("0", 64)

	w.want("")(w.CreateThing(ctx, &api.CreateThingInput{ThingName: &name})) // the same again
	w.want("ResourceAlreadyExistsException")(w.CreateThing(ctx, &api.CreateThingInput{ThingName: &name, AttributePayload: &api.AttributePayload{Attributes: map[string]string{"a": "b"}}}))
	w.want("ResourceNotFoundException")(w.CreateThing(ctx, &api.CreateThingInput{ThingName: &nope, ThingTypeName: &nope}))
	w.want("InvalidRequestException")(w.CreateThing(ctx, &api.CreateThingInput{ThingName: &nope, AttributePayload: &api.AttributePayload{Attributes: map[string]string{"a": "b c"}}}))
	w.want("InvalidRequestException")(w.CreateThing(ctx, &api.CreateThingInput{ThingName: &nope, BillingGroupName: &nope}))
	w.want("ResourceNotFoundException")(w.DescribeThing(ctx, &api.DescribeThingInput{ThingName: &nope}))
	w.want("VersionConflictException")(w.UpdateThing(ctx, &api.UpdateThingInput{ThingName: &name, ExpectedVersion: new(int64(9))}))
	w.want("InvalidRequestException")(w.DeleteThing(ctx, &api.DeleteThingInput{ThingName: &name}))
	w.want("")(w.DeleteThing(ctx, &api.DeleteThingInput{ThingName: &nope}))

	w.want("ResourceNotFoundException")(w.ListPrincipalThings(ctx, &api.ListPrincipalThingsInput{Principal: new(w.arn("cert", unknown))}))
	w.want("ResourceNotFoundException")(w.DescribeCertificate(ctx, &api.DescribeCertificateInput{CertificateId: &unknown}))
	w.want("ResourceNotFoundException")(w.UpdateCertificate(ctx, &api.UpdateCertificateInput{CertificateId: &unknown, NewStatus: new("ACTIVE")}))
	w.want("CertificateStateException")(w.DeleteCertificate(ctx, &api.DeleteCertificateInput{CertificateId: &id}))
	w.want("")(nil, w.setStatus(id, "INACTIVE"))
	w.want("DeleteConflictException")(w.DeleteCertificate(ctx, &api.DeleteCertificateInput{CertificateId: &id, ForceDelete: new(true)}))
	w.want("")(w.DetachThingPrincipal(ctx, &api.DetachThingPrincipalInput{ThingName: &name, Principal: &arn}))
	w.want("DeleteConflictException")(w.DeleteCertificate(ctx, &api.DeleteCertificateInput{CertificateId: &id}))

	w.want("InvalidRequestException")(w.AttachThingPrincipal(ctx, &api.AttachThingPrincipalInput{ThingName: &name, Principal: new("arn:aws:iam::000000000000:user/ana")}))
	w.want("ResourceNotFoundException")(w.AttachThingPrincipal(ctx, &api.AttachThingPrincipalInput{ThingName: &nope, Principal: &arn}))
	w.want("ResourceNotFoundException")(w.AttachPolicy(ctx, &api.AttachPolicyInput{PolicyName: &nope, Target: &arn}))
	w.want("DeleteConflictException")(w.DeletePolicy(ctx, &api.DeletePolicyInput{PolicyName: &name}))
	w.want("ResourceAlreadyExistsException")(w.CreatePolicy(ctx, &api.CreatePolicyInput{PolicyName: &name, PolicyDocument: new(allowAlias("*"))}))
	w.want("MalformedPolicyException")(w.CreatePolicy(ctx, &api.CreatePolicyInput{PolicyName: &nope, PolicyDocument: new("{}")}))
	w.want("MalformedPolicyException")(w.CreatePolicy(ctx, &api.CreatePolicyInput{PolicyName: &nope, PolicyDocument: new(allowAlias(strings.Repeat("x", 2048)))}))
	w.want("InvalidRequestException")(w.CreatePolicy(ctx, &api.CreatePolicyInput{PolicyName: &nope, PolicyDocument: new(allowAlias("*")), Tags: []*api.Tag{{Key: &nope}}}))
	w.want("ResourceAlreadyExistsException")(w.CreateRoleAlias(ctx, &api.CreateRoleAliasInput{RoleAlias: &name, RoleArn: new(roleARN)}))
	w.want("ResourceNotFoundException")(w.DescribeRoleAlias(ctx, &api.DescribeRoleAliasInput{RoleAlias: &nope}))
	w.want("InvalidRequestException")(w.DescribeEndpoint(ctx, &api.DescribeEndpointInput{EndpointType: new("iot:Data-ATS")}))

	w.want("")(w.DeleteCertificate(ctx, &api.DeleteCertificateInput{CertificateId: &id, ForceDelete: new(true)}))
	w.want("")(w.DeletePolicy(ctx, &api.DeletePolicyInput{PolicyName: &name}))
	w.want("")(w.DeleteThing(ctx, &api.DeleteThingInput{ThingName: &name}))
	w.want("")(w.DeleteRoleAlias(ctx, &api.DeleteRoleAliasInput{RoleAlias: &name}))
	w.want("ResourceNotFoundException")(w.DeleteRoleAlias(ctx, &api.DeleteRoleAliasInput{RoleAlias: &name}))
}

func TestThingTypesLiveAsLongAsTheyAreUsed(t *testing.T) {
	w := newWorld(t)
	ctx, camera := w.ctx(), "camera"
	must(w.CreateThingType(ctx, &api.CreateThingTypeInput{ThingTypeName: &camera}))(t)
	must(w.CreateThing(ctx, &api.CreateThingInput{ThingName: new("door"), ThingTypeName: &camera}))(t)
	w.want("InvalidRequestException")(w.DeleteThingType(ctx, &api.DeleteThingTypeInput{ThingTypeName: &camera}))
	must(w.DeprecateThingType(ctx, &api.DeprecateThingTypeInput{ThingTypeName: &camera}))(t)
	w.want("InvalidRequestException")(w.CreateThing(ctx, &api.CreateThingInput{ThingName: new("yard"), ThingTypeName: &camera}))
	w.now = w.now.Add(5 * time.Minute)
	w.want("InvalidRequestException")(w.DeleteThingType(ctx, &api.DeleteThingTypeInput{ThingTypeName: &camera}))
	must(w.UpdateThing(ctx, &api.UpdateThingInput{ThingName: new("door"), RemoveThingType: new(true)}))(t)
	must(w.DeleteThingType(ctx, &api.DeleteThingTypeInput{ThingTypeName: &camera}))(t)
	w.want("ResourceNotFoundException")(w.DescribeThingType(ctx, &api.DescribeThingTypeInput{ThingTypeName: &camera}))
}

func TestPagesShowEverythingOnce(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		name := fmt.Sprintf("p%d", i)
		must(w.CreatePolicy(w.ctx(), &api.CreatePolicyInput{PolicyName: &name, PolicyDocument: new(allowAlias("*"))}))(t)
		must(w.CreateThing(w.ctx(), &api.CreateThingInput{ThingName: &name, AttributePayload: &api.AttributePayload{Attributes: map[string]string{"odd": fmt.Sprint(i % 2)}}}))(t)
	}
	for order, want := range map[bool]string{true: "p0 p1 p2 p3 p4 p5 p6", false: "p6 p5 p4 p3 p2 p1 p0"} {
		var got []string
		in := &api.ListPoliciesInput{PageSize: new(int64(3)), AscendingOrder: &order}
		for pages := 1; ; pages++ {
			out := must(w.ListPolicies(w.ctx(), in))(t)
			for _, p := range out.Policies {
				got = append(got, *p.PolicyName)
			}
			if in.Marker = out.NextMarker; in.Marker == nil {
				if pages != 3 {
					t.Errorf("%d pages", pages)
				}
				break
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("ascending %t: %v", order, got)
		}
	}
	out := must(w.ListThings(w.ctx(), &api.ListThingsInput{AttributeName: new("odd"), AttributeValue: new("1"), MaxResults: new(int64(3))}))(t)
	if len(out.Things) != 3 || *out.Things[2].ThingName != "p5" {
		t.Errorf("%d things with the attribute", len(out.Things))
	}
	w.want("InvalidRequestException")(w.ListThings(w.ctx(), &api.ListThingsInput{NextToken: new("!")}))
}

func TestWeakOrUnprovenKeysGetNoCertificate(t *testing.T) {
	w := newWorld(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	good := newCSR(t, newKey(t))
	forged := []byte(must(decodePEM(good, "CERTIFICATE REQUEST"))(t))
	forged[len(forged)-3] ^= 1
	for name, csr := range map[string]string{
		"RSA 1024": newCSR(t, small), "P-224": newCSR(t, p224), "Ed25519": newCSR(t, ed),
		"signature is wrong": encodePEM("CERTIFICATE REQUEST", forged), "two blocks": good + good, "no PEM": "x",
		"a certificate": encodePEM("CERTIFICATE", w.ca.Certificate.Raw),
	} {
		_, err := w.CreateCertificateFromCsr(w.ctx(), &api.CreateCertificateFromCsrInput{CertificateSigningRequest: &csr})
		if codeOf(err) != "InvalidRequestException" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCertificatesAreForClientsAndEndWithTheAuthority(t *testing.T) {
	w := newWorld(t)
	w.now = w.ca.Certificate.NotAfter.Add(-time.Hour)
	_, der := w.certify()
	c, err := parseCertificate(encodePEM("CERTIFICATE", der))
	if err != nil {
		t.Fatal(err)
	}
	if c.NotAfter.After(w.ca.Certificate.NotAfter) || c.IsCA || len(c.ExtKeyUsage) != 1 || c.CheckSignatureFrom(w.ca.Certificate) != nil {
		t.Errorf("certificate until %s, CA %t, usage %v", c.NotAfter, c.IsCA, c.ExtKeyUsage)
	}
}

func TestCompatPageIsTrue(t *testing.T) {
	b, err := os.ReadFile("../../../docs/compat/iot.md")
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Z][A-Za-z, ]+) \| (done|differs|not|own) \|`).FindAllStringSubmatch(string(b), -1) {
		for _, name := range strings.Split(row[1], ", ") {
			status[name] = row[2]
		}
	}
	built := implemented(t)
	server := reflect.TypeFor[api.Server]()
	for i := range server.NumMethod() {
		name := server.Method(i).Name
		_, there := built[name]
		if s := status[name]; s == "" || there == (s == "not") {
			t.Errorf("%s: the page says %q, it is there: %t", name, s, there)
		}
		delete(status, name)
	}
	for name := range status {
		t.Errorf("%s is no operation", name)
	}
}
