// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/oidc"
	"github.com/obscura-video/obscura/internal/oidc/oidctest"
	"github.com/obscura-video/obscura/internal/policy"
)

// A webWorld is a world with an identity provider, and a role that trusts it.
type webWorld struct {
	*world
	issuer   *oidctest.Issuer
	provider oidc.Provider
	gone     bool // the provider was deleted
	call     *access.Call
}

func newWebWorld(t *testing.T, conditions string) *webWorld {
	t.Helper()
	w := &webWorld{world: newWorld(t), issuer: oidctest.New(t)}
	w.provider = oidc.Provider{URL: w.issuer.URL, ClientIDs: []string{"app"}}
	w.role(w.trust(conditions), allow("kms:Decrypt", "*"))
	s, err := New(t.Context(), Config{
		DB: mem.New(), Account: testAccount, Directory: directory{w.world}, Authorizer: w.auth, Now: func() time.Time { return w.now },
		Providers: w, Tokens: oidc.New(oidc.Config{Roots: w.issuer.Roots(), Now: func() time.Time { return w.now }}),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Service = s
	return w
}

// Provider implements Providers.
func (w *webWorld) Provider(_ context.Context, issuer string) (string, oidc.Provider, bool) {
	return w.arn(), w.provider, issuer == w.issuer.URL && !w.gone
}

func (w *webWorld) arn() string {
	return "arn:aws:iam::000000000000:oidc-provider/" + oidc.Name(w.issuer.URL)
}

// trust is a trust statement's rest. "ISSUER" in conditions stands for the issuer's name.
func (w *webWorld) trust(conditions string) string {
	conditions = strings.ReplaceAll(conditions, "ISSUER", oidc.Name(w.issuer.URL))
	return `"Principal":{"Federated":"` + w.arn() + `"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"]` + conditions
}

// bring brings a token, as nobody.
func (w *webWorld) bring(token string, change ...func(*stsapi.AssumeRoleWithWebIdentityInput)) (*stsapi.AssumeRoleWithWebIdentityOutput, error) {
	w.call = &access.Call{Service: "sts", Operation: "AssumeRoleWithWebIdentity", Time: w.now, SecureTransport: true}
	in := &stsapi.AssumeRoleWithWebIdentityInput{RoleArn: new(roleARN), RoleSessionName: new("s1"), WebIdentityToken: &token}
	for _, f := range change {
		f(in)
	}
	out, err := w.AssumeRoleWithWebIdentity(access.NewContext(w.t.Context(), w.call), in)
	if !w.call.Decided() {
		w.t.Error("nothing was decided")
	}
	return out, err
}

func (w *webWorld) token(change map[string]any) string { return w.issuer.Token(w.now, change) }

func TestWebIdentityObtainsTheRole(t *testing.T) {
	w := newWebWorld(t, "")
	out, err := w.bring(w.token(map[string]any{"amr": []string{"pwd"}}))
	if err != nil {
		t.Fatal(err)
	}
	if *out.Audience != "app" || *out.Provider != w.issuer.URL || *out.SubjectFromWebIdentityToken != "camera-7" ||
		*out.AssumedRoleUser.Arn != "arn:aws:sts::000000000000:assumed-role/viewer/s1" || out.SourceIdentity != nil {
		t.Errorf("got %+v", out)
	}
	if got := out.Credentials.Expiration.Sub(w.now); got != time.Hour { // not the ten minutes of the token
		t.Errorf("lasts %v", got)
	}
	if p := w.call.Principal; p.Kind != policy.WebIdentity || p.ARN != w.arn() || p.UniqueID != w.arn()+":app:camera-7" || p.UserName != "camera-7" {
		t.Errorf("caller %+v", p)
	}
	ctx := w.session(out.Credentials)
	call, _ := access.FromContext(ctx)
	want := access.WebIdentity{Provider: w.arn(), Issuer: oidc.Name(w.issuer.URL), Subject: "camera-7", Audience: []string{"app"}, Methods: []string{"pwd"}}
	if got := call.Principal.Session.Web; got == nil || got.Provider != want.Provider || got.Subject != want.Subject || got.Issuer != want.Issuer || got.Audience[0] != "app" || got.Methods[0] != "pwd" {
		t.Errorf("session of %+v, want %+v", got, want)
	}
	if !w.may(ctx, "kms:Decrypt", "*") || w.may(ctx, "kms:Encrypt", "*") {
		t.Error("the session may not do just what the role may")
	}
}

// TestClaimsAreConditions: the trust policy sees what the token says, and nothing else of that name.
func TestClaimsAreConditions(t *testing.T) {
	for name, tc := range map[string]struct {
		conditions string
		claims     map[string]any
		ok         bool
	}{
		"subject":                 {`,"Condition":{"StringEquals":{"ISSUER:sub":"camera-7"}}`, nil, true},
		"another subject":         {`,"Condition":{"StringEquals":{"ISSUER:sub":"camera-8"}}`, nil, false},
		"subject by pattern":      {`,"Condition":{"StringLike":{"ISSUER:sub":"camera-*"}}`, nil, true},
		"audience":                {`,"Condition":{"StringEquals":{"ISSUER:aud":"app"}}`, nil, true},
		"another audience":        {`,"Condition":{"StringEquals":{"ISSUER:aud":"web"}}`, nil, false},
		"one audience of two":     {`,"Condition":{"ForAnyValue:StringEquals":{"ISSUER:aud":"web"}}`, map[string]any{"aud": []string{"web", "app"}}, true},
		"the party, not the rest": {`,"Condition":{"ForAnyValue:StringEquals":{"ISSUER:aud":"web"}}`, map[string]any{"aud": []string{"web", "app"}, "azp": "app"}, false},
		"method":                  {`,"Condition":{"ForAnyValue:StringEquals":{"ISSUER:amr":"mfa"}}`, map[string]any{"amr": []string{"pwd", "mfa"}}, true},
		"no such method":          {`,"Condition":{"ForAnyValue:StringEquals":{"ISSUER:amr":"mfa"}}`, map[string]any{"amr": []string{"pwd"}}, false},
		"no methods":              {`,"Condition":{"Null":{"ISSUER:amr":"true"}}`, nil, true},
		"another issuer's claim":  {`,"Condition":{"StringEquals":{"idp.example:sub":"camera-7"}}`, nil, false},
		"provider":                {`,"Condition":{"StringLike":{"aws:FederatedProvider":"*:oidc-provider/ISSUER"}}`, nil, true},
		"session's name":          {`,"Condition":{"StringEquals":{"sts:RoleSessionName":"s2"}}`, nil, false},
		"no user":                 {`,"Condition":{"Null":{"aws:username":"true"}}`, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWebWorld(t, tc.conditions)
			_, err := w.bring(w.token(tc.claims))
			if tc.ok && err != nil {
				t.Fatal(err)
			}
			if !tc.ok {
				w.want("Denied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")(nil, err)
			}
		})
	}
}

func TestWhomARoleDoesNotTrust(t *testing.T) {
	const text = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
	for name, trust := range map[string]string{
		"everybody is not the bearer of a token": `"Principal":"*","Action":"sts:AssumeRoleWithWebIdentity"`,
		"another provider":                       `"Principal":{"Federated":"arn:aws:iam::000000000000:oidc-provider/idp.example"},"Action":"sts:AssumeRoleWithWebIdentity"`,
		"another action":                         `"Principal":{"Federated":"ARN"},"Action":"sts:AssumeRole"`,
		"the account":                            `"Principal":{"AWS":"000000000000"},"Action":"sts:*"`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWebWorld(t, "")
			w.role(strings.ReplaceAll(trust, "ARN", w.arn()), allow("*", "*"))
			w.want("Denied", text)(w.bring(w.token(nil)))
		})
	}
	w := newWebWorld(t, "")
	w.want("Denied", text)(w.bring(w.token(nil), func(in *stsapi.AssumeRoleWithWebIdentityInput) {
		in.RoleArn = new("arn:aws:iam::000000000000:role/none")
	}))
}

func TestWebIdentityErrorsAreAWSs(t *testing.T) {
	w := newWebWorld(t, "")
	header, payload, _ := oidctest.Parts(w.token(nil))
	w.want("InvalidIdentityToken", "")(w.bring("not a token"))
	w.want("InvalidIdentityToken", "")(w.bring(header + "." + payload + ".AAAA"))
	w.want("InvalidIdentityToken", "Incorrect token audience")(w.bring(w.token(map[string]any{"aud": "web"})))
	w.want("InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://evil.example")(w.bring(w.token(map[string]any{"iss": "https://evil.example"})))
	w.want("ExpiredTokenException", "")(w.bring(w.token(map[string]any{"exp": w.now.Unix()})))
	w.want("InvalidIdentityToken", "")(w.bring(w.token(map[string]any{"nbf": w.now.Add(time.Hour).Unix()})))
	w.want("ValidationError", "")(w.bring(w.token(nil), func(in *stsapi.AssumeRoleWithWebIdentityInput) { in.ProviderId = new("graph.facebook.com") }))
	w.want("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")(
		w.bring(w.token(nil), func(in *stsapi.AssumeRoleWithWebIdentityInput) { in.DurationSeconds = new(int64(7201)) }))
	w.want("MalformedPolicyDocument", "")(w.bring(w.token(nil), func(in *stsapi.AssumeRoleWithWebIdentityInput) { in.Policy = new("{}") }))

	good := w.token(nil)
	w.gone = true
	w.want("InvalidIdentityToken", "")(w.bring(good)) // from the deletion of its provider on, with its keys still at hand

	away := newWebWorld(t, "")
	away.issuer.Close()
	away.want("IDPCommunicationError", "")(away.bring(away.token(nil)))
}

func TestIssuerSaysSomethingOfTheSession(t *testing.T) {
	tags := func(principal map[string]any, transitive ...string) map[string]any {
		return map[string]any{
			"https://aws.amazon.com/tags":            map[string]any{"principal_tags": principal, "transitive_tag_keys": transitive},
			"https://aws.amazon.com/source_identity": "ana",
		}
	}
	w := newWebWorld(t, `,"Condition":{"StringEquals":{"aws:RequestTag/Ward":"7","sts:SourceIdentity":"ana"}}`)
	out, err := w.bring(w.token(tags(map[string]any{"Ward": []string{"7"}, "Site": []string{"south"}}, "Ward")))
	if err != nil {
		t.Fatal(err)
	}
	if *out.SourceIdentity != "ana" {
		t.Errorf("source identity %q", *out.SourceIdentity)
	}
	call, _ := access.FromContext(w.session(out.Credentials))
	if p := call.Principal; p.Tags["Ward"] != "7" || p.Tags["Site"] != "south" || p.Tags["level"] != "1" || p.Session.TransitiveTags[0] != "Ward" {
		t.Errorf("tags %v, transitive %v", p.Tags, p.Session.TransitiveTags)
	}
	w.want("Denied", "")(w.bring(w.token(tags(map[string]any{"Ward": []string{"8"}}))))
	w.want("Denied", "")(w.bring(w.token(nil)))

	// An issuer cannot say what AssumeRole would not take.
	w = newWebWorld(t, "")
	w.want("IDPRejectedClaim", "")(w.bring(w.token(tags(map[string]any{"a*b": []string{"7"}}))))
	w.want("IDPRejectedClaim", "")(w.bring(w.token(map[string]any{"https://aws.amazon.com/source_identity": "a b"})))
	w.want("ValidationError", "")(w.bring(w.token(tags(map[string]any{"aws:x": []string{"7"}}))))

	// Who trusts the provider alone does not take its tags.
	w.role(strings.Replace(w.trust(""), `["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"]`, `"sts:AssumeRoleWithWebIdentity"`, 1))
	if _, err := w.bring(w.token(nil)); err != nil {
		t.Error(err)
	}
	w.want("Denied", "")(w.bring(w.token(tags(map[string]any{"Ward": []string{"7"}}))))
	w.want("Denied", "")(w.bring(w.token(map[string]any{"https://aws.amazon.com/source_identity": "ana"})))
}

// TestClaimsStayWithTheSession: they are condition keys and variables of its requests too, but not of the role that
// is assumed from it.
func TestClaimsStayWithTheSession(t *testing.T) {
	w := newWebWorld(t, "")
	name := oidc.Name(w.issuer.URL)
	w.role(w.trust(`},{"Effect":"Allow","Principal":{"AWS":"`+roleARN+`"},"Action":"sts:AssumeRole"`),
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kinesisvideo:PutMedia","sts:AssumeRole"],"Resource":["arn:aws:kinesisvideo:us-east-1:000000000000:stream/${`+name+`:sub}/*","`+roleARN+`"]},
		{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"`+name+`:sub":"camera-7","aws:FederatedProvider":"`+w.arn()+`"}}}]}`)
	out, err := w.bring(w.token(nil))
	if err != nil {
		t.Fatal(err)
	}
	ctx := w.session(out.Credentials)
	stream := func(name string) string { return "arn:aws:kinesisvideo:us-east-1:000000000000:stream/" + name + "/1" }
	if !w.may(ctx, "kinesisvideo:PutMedia", stream("camera-7")) || w.may(ctx, "kinesisvideo:PutMedia", stream("camera-8")) || !w.may(ctx, "kms:Decrypt", "*") {
		t.Error("the claims do not decide")
	}
	chained := w.world.assumed(ctx)
	if w.may(chained, "kinesisvideo:PutMedia", stream("camera-7")) || w.may(chained, "kms:Decrypt", "*") {
		t.Error("the claims went on to another role's session")
	}
}

func TestSignedCallerIsNotTheBearer(t *testing.T) {
	w := newWebWorld(t, "")
	ctx := w.ana()
	_, err := w.AssumeRoleWithWebIdentity(ctx, &stsapi.AssumeRoleWithWebIdentityInput{RoleArn: new(roleARN), RoleSessionName: new("s1"), WebIdentityToken: new(w.token(nil))})
	if call, _ := access.FromContext(ctx); err == nil || call.Principal.Kind != policy.User {
		t.Errorf("%v: %+v", err, call.Principal)
	}
}

func TestWithoutProvidersThereIsNoWebIdentity(t *testing.T) {
	w := newWorld(t)
	ctx := access.NewContext(t.Context(), &access.Call{Service: "sts"})
	token := oidctest.New(t).Token(w.now, nil)
	w.want("InvalidIdentityToken", "")(w.AssumeRoleWithWebIdentity(ctx, &stsapi.AssumeRoleWithWebIdentityInput{RoleArn: new(roleARN), RoleSessionName: new("s1"), WebIdentityToken: &token}))
}
