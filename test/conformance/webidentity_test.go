// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK reads the environment without a module more

package conformance

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	awsv1 "github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	stsv1 "github.com/aws/aws-sdk-go/service/sts"

	"github.com/obscura-video/obscura/internal/oidc"
	"github.com/obscura-video/obscura/internal/oidc/oidctest"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/rig"
)

const webRole = "arn:aws:iam::000000000000:role/web"

// webWorld is a server whose role "web" trusts the subject camera-7 of an issuer, which the server knows through AWS's
// operations alone.
type webWorld struct {
	*world
	issuer    *oidctest.Issuer
	provider  string // its ARN
	tokenFile string
}

func newWebWorld(t *testing.T) *webWorld {
	t.Helper()
	w := &webWorld{issuer: oidctest.New(t), tokenFile: filepath.Join(t.TempDir(), "token")}
	ca := filepath.Join(t.TempDir(), "idp-ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.issuer.Certificate()})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	w.world = worldOf(t, rig.Start(t, func(c *server.Config) { c.OIDCCA = ca }))
	w.provider = "arn:aws:iam::000000000000:oidc-provider/" + oidc.Name(w.issuer.URL)
	c := w.root
	w.must(run(c, c.iam.CreateOpenIDConnectProvider, &iam.CreateOpenIDConnectProviderInput{Url: &w.issuer.URL, ClientIDList: []string{"app"}},
		func(o *iam.CreateOpenIDConnectProviderOutput) {
			w.equal("provider", *o.OpenIDConnectProviderArn, w.provider)
		}))
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringEquals":{"%s:sub":"camera-7","%[2]s:aud":"app"}}}}`, w.provider, oidc.Name(w.issuer.URL))
	w.must(run(c, c.iam.CreateRole, &iam.CreateRoleInput{RoleName: aws.String("web"), AssumeRolePolicyDocument: &trust}))
	w.must(run(c, c.iam.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: aws.String("web"), PolicyName: aws.String("p"), PolicyDocument: aws.String(rig.Allow("kms:ListKeys", "*"))}))
	return w
}

func (w *webWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// bring puts a token where the SDKs look for it.
func (w *webWorld) bring(change map[string]any) {
	w.t.Helper()
	w.must(os.WriteFile(w.tokenFile, []byte(w.issuer.Token(time.Now(), change)), 0o600))
}

// v2 asks for a list of keys through the web identity provider of the SDK for Go v2.
func (w *webWorld) v2() error {
	anonymous := w.V2(sigv4.Credentials{})
	anonymous.Credentials = aws.AnonymousCredentials{}
	c := w.V2(sigv4.Credentials{})
	c.Credentials = aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(sts.NewFromConfig(anonymous), webRole, stscreds.IdentityTokenFile(w.tokenFile),
		func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = "night" }))
	_, err := kms.NewFromConfig(c).ListKeys(w.t.Context(), &kms.ListKeysInput{})
	return err
}

func TestWebIdentityWithTheSDKs(t *testing.T) {
	w := newWebWorld(t)
	w.bring(nil)
	w.must(w.v2())

	// As a process finds itself in a container: nothing but its environment.
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", w.tokenFile)
	t.Setenv("AWS_ROLE_ARN", webRole)
	t.Setenv("AWS_ROLE_SESSION_NAME", "day")
	ca, err := os.ReadFile(w.CAFile)
	w.must(err)
	s, err := session.NewSessionWithOptions(session.Options{
		CustomCABundle: bytes.NewReader(ca),
		Config:         awsv1.Config{Region: &w.Region, Endpoint: &w.API, HTTPClient: &http.Client{Transport: w.HTTP.Transport.(*http.Transport).Clone()}},
	})
	w.must(err)
	who, err := stsv1.New(s).GetCallerIdentity(&stsv1.GetCallerIdentityInput{})
	w.must(err)
	w.equal("arn", *who.Arn, "arn:aws:sts::000000000000:assumed-role/web/day")

	// Whoever else the issuer vouches for, and whoever else vouches.
	for code, change := range map[string]map[string]any{
		"AccessDenied":          {"sub": "camera-8"},
		"InvalidIdentityToken":  {"aud": "web"},
		"ExpiredTokenException": {"exp": time.Now().Add(-time.Minute).Unix()},
	} {
		w.bring(change)
		wantCode(t, w.v2(), code)
	}
	w.bring(map[string]any{"iss": "https://idp.example"})
	if err := w.v2(); err == nil || !strings.Contains(err.Error(), "No OpenIDConnect provider found in your account for https://idp.example") {
		t.Errorf("got %v", err)
	}
	w.bring(nil)
	w.must(run(w.root, w.root.iam.DeleteOpenIDConnectProvider, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &w.provider}))
	wantCode(t, w.v2(), "InvalidIdentityToken")
	w.checkRecord()
}

// checkRecord looks for what the audit log says of the calls above: who, by whose word, and never the token.
func (w *webWorld) checkRecord() {
	w.t.Helper()
	look := func(name string) (events []string) {
		in := &cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyEventName, AttributeValue: &name}}}
		w.must(run(w.root, w.root.trail.LookupEvents, in, func(o *cloudtrail.LookupEventsOutput) {
			for _, e := range o.Events {
				events = append(events, *e.CloudTrailEvent)
			}
		}))
		return events
	}
	assumed := look("AssumeRoleWithWebIdentity")
	all := strings.Join(assumed, "\n")
	for _, want := range []string{
		`"type":"WebIdentityUser"`, `"principalId":"` + w.provider + `:app:camera-7"`, `"userName":"camera-7"`, `"identityProvider":"` + w.provider + `"`,
		`"errorCode":"AccessDenied"`, `"errorCode":"InvalidIdentityTokenException"`, `"errorCode":"ExpiredTokenException"`,
	} {
		if !strings.Contains(all, want) {
			w.t.Errorf("no event of AssumeRoleWithWebIdentity has %s in\n%s", want, all)
		}
	}
	header, _, _ := oidctest.Parts(w.issuer.Token(time.Now(), nil))
	if strings.Contains(all+w.Log.String(), header) {
		w.t.Error("a token is on the record")
	}
	used := strings.Join(look("ListKeys"), "\n")
	if want := `"webIdFederationData":{"federatedProvider":"` + w.provider + `"`; !strings.Contains(used, want) {
		w.t.Errorf("no %s in\n%s", want, used)
	}
}

// TestStrangersWithTokensAreSlowedDown: who is refused again and again is told to wait, and leaves no more events; who
// has a good token meanwhile waits too, if he comes from the same address, and not for long.
func TestStrangersWithTokensAreSlowedDown(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	w.bring(map[string]any{"sub": "camera-8"})
	codes := map[string]int{}
	for range 40 {
		code, _ := kit.CodeOf(w.v2())
		codes[code]++
	}
	if codes["AccessDenied"] < 10 || codes["AccessDenied"] > 30 || codes["AccessDenied"]+codes["Throttling"] != 40 {
		t.Errorf("got %v", codes)
	}
	w.bring(nil)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := w.v2()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
