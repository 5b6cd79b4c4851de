// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/policy"
)

const account = "000000000000"

func clock() time.Time { return time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC) }

// fixed is an IdentitySource that gives everybody the same policies.
type fixed struct {
	identity []*policy.Document
	boundary *policy.Document
	err      error
}

func (f fixed) PoliciesFor(context.Context, *access.Principal) ([]*policy.Document, *policy.Document, error) {
	return f.identity, f.boundary, f.err
}

func parse(t *testing.T, kind policy.Kind, doc string) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(doc), kind)
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return d
}

func allow(t *testing.T, condition string) fixed {
	t.Helper()
	return fixed{identity: []*policy.Document{parse(t, policy.Identity,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"`+condition+`}}`)}}
}

func user() access.Principal {
	return access.Principal{
		Principal:   policy.Principal{Kind: policy.User, ARN: "arn:aws:iam::" + account + ":user/ana", Account: account, UniqueID: "AIDAX"},
		AccessKeyID: "AKIAX", UserName: "ana", Tags: map[string]string{"Ward": "7"},
	}
}

func call(p access.Principal) (context.Context, *access.Call) {
	c := &access.Call{
		Principal: p, Service: "kms", Operation: "Decrypt", SourceIP: "192.0.2.7", SecureTransport: true,
		UserAgent: "aws-cli", Time: clock(),
	}
	return access.NewContext(context.Background(), c), c
}

var decrypt = access.Request{Action: "kms:Decrypt", Resource: "arn:aws:kms:us-east-1:000000000000:key/1"}

func TestNothingIsAllowedByDefault(t *testing.T) {
	ctx, c := call(user())
	err := access.New(fixed{}, account, "us-east-1", clock).Authorize(ctx, decrypt)
	d, ok := errors.AsType[*access.Denied](err)
	if !ok || d.Explicit {
		t.Fatalf("got %v", err)
	}
	want := "User: arn:aws:iam::000000000000:user/ana is not authorized to perform: kms:Decrypt on resource: " +
		decrypt.Resource + " because no identity-based policy allows the kms:Decrypt action"
	if d.Message != want {
		t.Errorf("message\n%s\nwant\n%s", d.Message, want)
	}
	if !c.Decided() {
		t.Error("the decision was not noted")
	}
}

func TestAuthorizerFailsClosed(t *testing.T) {
	a := access.New(fixed{err: errors.New("store is gone")}, account, "us-east-1", clock)
	ctx, _ := call(user())
	if err := a.Authorize(ctx, decrypt); err == nil || strings.Contains(err.Error(), "not authorized") {
		t.Errorf("unreadable policies: %v", err)
	}
	if err := a.Authorize(context.Background(), decrypt); !errors.Is(err, access.ErrNoCall) {
		t.Errorf("no call: %v", err)
	}
}

func TestConditionKeysOfTheCallCanDecide(t *testing.T) {
	for name, tc := range map[string]struct {
		condition string
		allowed   bool
	}{
		"source address":        {`"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}`, true},
		"other address":         {`"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}`, false},
		"secure transport":      {`"Bool":{"aws:SecureTransport":"true"}`, true},
		"time before":           {`"DateLessThan":{"aws:CurrentTime":"2026-11-23T08:00:01Z"}`, true},
		"time after":            {`"DateGreaterThan":{"aws:CurrentTime":"2026-11-23T08:00:01Z"}`, false},
		"user name":             {`"StringEquals":{"aws:username":"ana"}`, true},
		"principal tag":         {`"StringEquals":{"aws:PrincipalTag/ward":"7"}`, true},
		"other tag":             {`"StringEquals":{"aws:PrincipalTag/ward":"8"}`, false},
		"principal ARN":         {`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/ana"}`, true},
		"no MFA key":            {`"Bool":{"aws:MultiFactorAuthPresent":"true"}`, false},
		"region":                {`"StringEquals":{"aws:RequestedRegion":"us-east-1"}`, true},
		"not via a service":     {`"Null":{"kms:ViaService":"true"}`, true},
		"service's own context": {`"StringEquals":{"kms:EncryptionContext:room":"dark"}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, _ := call(user())
			r := decrypt
			r.Context = map[string][]string{"kms:encryptioncontext:room": {"dark"}}
			err := access.New(allow(t, `,"Condition":{`+tc.condition+`}`), account, "us-east-1", clock).Authorize(ctx, r)
			if (err == nil) != tc.allowed {
				t.Errorf("allowed %v, want %v: %v", err == nil, tc.allowed, err)
			}
		})
	}
}

func TestCallOnSomebodysBehalfSaysSo(t *testing.T) {
	const video = "kinesisvideo.us-east-1.amazonaws.com"
	a := access.New(allow(t, `,"Condition":{"StringEquals":{"kms:ViaService":"`+video+`"},"Bool":{"aws:ViaAWSService":"true"}}`), account, "us-east-1", clock)
	ctx, outer := call(user())
	if err := a.Authorize(ctx, decrypt); err == nil {
		t.Error("a direct call passed for one of a service")
	}
	child, c := access.Via(ctx, video, "kms", "Decrypt")
	if err := a.Authorize(child, decrypt); err != nil {
		t.Error(err)
	}
	if c.Principal.ARN != outer.Principal.ARN || c.Operation != "Decrypt" {
		t.Errorf("child call %+v", c)
	}
	access.AddResource(child, decrypt.Resource, "AWS::KMS::Key")
	if len(outer.Resources()) != 0 || len(c.Resources()) != 1 {
		t.Error("annotations of the child reached the outer call")
	}
}

func TestSessionEndsForACallThatRuns(t *testing.T) {
	p := user()
	now := clock()
	p.Session = &access.Session{Expires: now.Add(time.Minute)}
	ctx, _ := call(p)
	a := access.New(allow(t, ""), account, "us-east-1", func() time.Time { return now })
	if err := a.Authorize(ctx, decrypt); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if err := a.Authorize(ctx, decrypt); err == nil {
		t.Error("allowed after the session's end")
	}
}

func TestSessionPoliciesCut(t *testing.T) {
	p := user()
	p.Session = &access.Session{HasPolicies: true}
	ctx, _ := call(p)
	if err := access.New(allow(t, ""), account, "us-east-1", clock).Authorize(ctx, decrypt); err == nil {
		t.Error("a session whose policies allow nothing was allowed")
	}
}

func TestExemptIsADecision(t *testing.T) {
	ctx, c := call(user())
	if c.Decided() {
		t.Fatal("decided before anything was asked")
	}
	access.Exempt(ctx)
	if !c.Decided() {
		t.Error("not noted")
	}
}

// TestWebIdentitySessionAnswersItsIssuersKeysAlone: another issuer's claims, or those of a session without a token, are absent.
func TestWebIdentitySessionAnswersItsIssuersKeysAlone(t *testing.T) {
	web := &access.WebIdentity{Provider: "arn:aws:iam::000000000000:oidc-provider/idp.example:8443/Realm", Issuer: "idp.example:8443/Realm", Subject: "camera-7", Audience: []string{"app"}}
	for name, tc := range map[string]struct {
		condition string
		web       *access.WebIdentity
		allowed   bool
	}{
		"subject":          {`"StringEquals":{"idp.example:8443/realm:SUB":"camera-7"}`, web, true},
		"another subject":  {`"StringEquals":{"idp.example:8443/Realm:sub":"camera-8"}`, web, false},
		"another issuer":   {`"StringEquals":{"idp.example:sub":"camera-7"}`, web, false},
		"issuer's prefix":  {`"Null":{"idp.example:8443/Rea:sub":"true"}`, web, true},
		"no methods":       {`"Null":{"idp.example:8443/Realm:amr":"true"}`, web, true},
		"no other claims":  {`"Null":{"idp.example:8443/Realm:email":"true"}`, web, true},
		"provider":         {`"StringEquals":{"aws:FederatedProvider":"` + web.Provider + `"}`, web, true},
		"no token":         {`"StringEquals":{"idp.example:8443/Realm:sub":"camera-7"}`, nil, false},
		"no token, absent": {`"Null":{"idp.example:8443/Realm:sub":"true","aws:FederatedProvider":"true"}`, nil, true},
	} {
		p := user()
		p.Session = &access.Session{Web: tc.web}
		ctx, _ := call(p)
		err := access.New(allow(t, `,"Condition":{`+tc.condition+`}`), account, "us-east-1", clock).Authorize(ctx, decrypt)
		if (err == nil) != tc.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlyACallOfNobodyCanBeIdentified(t *testing.T) {
	ctx, c := call(access.Principal{})
	if !access.Identify(ctx, user()) || c.Principal.ARN != user().ARN {
		t.Errorf("caller %+v", c.Principal)
	}
	other := user()
	other.ARN += "2"
	if access.Identify(ctx, other) || c.Principal.ARN != user().ARN || access.Identify(t.Context(), other) {
		t.Errorf("changed to %+v", c.Principal)
	}
}

func TestDeviceSessionFillsPolicyVariables(t *testing.T) {
	doc := parse(t, policy.Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kinesisvideo:PutMedia",
		"Resource":"arn:aws:kinesisvideo:*:*:stream/${credentials-iot:ThingName}/*",
		"Condition":{"StringEquals":{"credentials-iot:ThingTypeName":"camera","credentials-iot:AwsCertificateId":"c1"}}}}`)
	a := access.New(fixed{identity: []*policy.Document{doc}}, account, "us-east-1", clock)
	stream := func(name string) access.Request {
		return access.Request{Action: "kinesisvideo:PutMedia", Resource: "arn:aws:kinesisvideo:us-east-1:" + account + ":stream/" + name + "/1"}
	}
	for name, tc := range map[string]struct {
		device  *access.Device
		stream  string
		allowed bool
	}{
		"its own stream":      {&access.Device{CertificateID: "c1", ThingName: "door", ThingTypeName: "camera"}, "door", true},
		"another's stream":    {&access.Device{CertificateID: "c1", ThingName: "door", ThingTypeName: "camera"}, "yard", false},
		"another type":        {&access.Device{CertificateID: "c1", ThingName: "door", ThingTypeName: "lamp"}, "door", false},
		"another certificate": {&access.Device{CertificateID: "c2", ThingName: "door", ThingTypeName: "camera"}, "door", false},
		"no thing":            {&access.Device{CertificateID: "c1", ThingTypeName: "camera"}, "door", false},
		"no device":           {nil, "door", false},
	} {
		p := user()
		p.Session = &access.Session{Device: tc.device}
		ctx, _ := call(p)
		if err := a.Authorize(ctx, stream(tc.stream)); (err == nil) != tc.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A grant is asked for only where the policies are silent. It cannot undo a deny, and one that cannot be read allows
// nothing.
func TestGrantsAreAskedWhenPoliciesAreSilent(t *testing.T) {
	keyPolicy := func(effect string) *policy.Document {
		return parse(t, policy.KeyPolicy, `{"Version":"2012-10-17","Statement":{"Effect":"`+effect+`","Principal":{"AWS":"`+user().ARN+`"},"Action":"kms:*","Resource":"*"}}`)
	}
	broken := errors.New("store is gone")
	for name, tc := range map[string]struct {
		policy         *policy.Document
		granted        bool
		err            error
		asked, allowed bool
	}{
		"allowed by policy": {policy: keyPolicy("Allow"), allowed: true},
		"denied by policy":  {policy: keyPolicy("Deny"), granted: true},
		"granted":           {granted: true, asked: true, allowed: true},
		"not granted":       {asked: true},
		"not to be read":    {granted: true, err: broken, asked: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, _ := call(user())
			r, asked := decrypt, 0
			r.Policy, r.Mode = tc.policy, policy.KeyPolicyMode
			r.Granted = func() (bool, error) { asked++; return tc.granted, tc.err }
			err := access.New(fixed{}, account, "us-east-1", clock).Authorize(ctx, r)
			if (err == nil) != tc.allowed {
				t.Errorf("allowed %v, want %v: %v", err == nil, tc.allowed, err)
			}
			if (asked == 1) != tc.asked || asked > 1 {
				t.Errorf("the grants were asked for %d times", asked)
			}
			if tc.err != nil && !errors.Is(err, tc.err) {
				t.Errorf("the cause is lost: %v", err)
			}
		})
	}
}

// TestMoreIsAskedBeforeTheDecisionIsReturned: what it looks at may change afterwards, when a denial is explained.
func TestMoreIsAskedBeforeTheDecisionIsReturned(t *testing.T) {
	ctx, _ := call(user())
	asked := 0
	r := decrypt
	r.More = func() map[string][]string { asked++; return nil }
	var d *access.Denied
	if err := access.New(fixed{}, account, "us-east-1", clock).Authorize(ctx, r); !errors.As(err, &d) || asked != 1 {
		t.Fatalf("%v after %d calls", err, asked)
	}
	if d.Detail.Conditions(); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
