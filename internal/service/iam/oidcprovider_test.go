// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
)

const (
	idpURL = "https://idp.example:8443/realm"
	idpARN = "arn:aws:iam::000000000000:oidc-provider/idp.example:8443/realm"
)

var thumbs = []string{strings.Repeat("A", 40), strings.Repeat("b", 40)}

// provider makes the provider of the tests.
func (a *account) provider() {
	a.t.Helper()
	out, err := a.CreateOpenIDConnectProvider(a.root(), &iamapi.CreateOpenIDConnectProviderInput{
		Url: new(idpURL), ClientIDList: []string{"app", "app", "web"}, ThumbprintList: thumbs, Tags: []*iamapi.Tag{{Key: new("Site"), Value: new("north")}},
	})
	if err != nil || *out.OpenIDConnectProviderArn != idpARN || len(out.Tags) != 1 {
		a.t.Fatalf("create: %+v, %v", out, err)
	}
}

func (a *account) clients() []string {
	a.t.Helper()
	out, err := a.GetOpenIDConnectProvider(a.root(), &iamapi.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(idpARN)})
	if err != nil {
		a.t.Fatal(err)
	}
	return out.ClientIDList
}

func TestProviderThroughItsLife(t *testing.T) {
	a := newAccount(t)
	a.provider()
	out, err := a.GetOpenIDConnectProvider(a.root(), &iamapi.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(idpARN)})
	if err != nil || *out.Url != "idp.example:8443/realm" || !slices.Equal(out.ClientIDList, []string{"app", "web"}) ||
		!slices.Equal(out.ThumbprintList, []string{strings.ToLower(thumbs[0]), thumbs[1]}) || !out.CreateDate.Equal(start) {
		t.Fatalf("get: %+v, %v", out, err)
	}
	for range 2 { // both are idempotent
		a.ok(a.AddClientIDToOpenIDConnectProvider(a.root(), &iamapi.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(idpARN), ClientID: new("tv")}))
		a.ok(a.RemoveClientIDFromOpenIDConnectProvider(a.root(), &iamapi.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(idpARN), ClientID: new("app")}))
	}
	if got := a.clients(); !slices.Equal(got, []string{"web", "tv"}) {
		t.Errorf("clients %v", got)
	}
	a.ok(a.UpdateOpenIDConnectProviderThumbprint(a.root(), &iamapi.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: new(idpARN), ThumbprintList: thumbs[1:]}))
	arn, p, ok := a.Provider(t.Context(), idpURL)
	if !ok || arn != idpARN || !slices.Equal(p.Thumbprints, thumbs[1:]) || !slices.Equal(p.ClientIDs, []string{"web", "tv"}) || p.URL != idpURL {
		t.Errorf("provider %q %+v %v", arn, p, ok)
	}
	list, err := a.ListOpenIDConnectProviders(a.root(), &iamapi.ListOpenIDConnectProvidersInput{})
	if err != nil || len(list.OpenIDConnectProviderList) != 1 || *list.OpenIDConnectProviderList[0].Arn != idpARN {
		t.Errorf("list %+v, %v", list, err)
	}
	for range 2 {
		a.ok(a.DeleteOpenIDConnectProvider(a.root(), &iamapi.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(idpARN)}))
	}
	if _, _, ok := a.Provider(t.Context(), idpURL); ok {
		t.Error("it is there after its deletion")
	}
}

func TestProviderTags(t *testing.T) {
	a := newAccount(t)
	a.provider()
	a.ok(a.TagOpenIDConnectProvider(a.root(), &iamapi.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(idpARN), Tags: []*iamapi.Tag{{Key: new("site"), Value: new("south")}, {Key: new("a"), Value: new("b")}}}))
	a.ok(a.UntagOpenIDConnectProvider(a.root(), &iamapi.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(idpARN), TagKeys: []string{"a", "none"}}))
	out, err := a.ListOpenIDConnectProviderTags(a.root(), &iamapi.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: new(idpARN)})
	if err != nil || len(out.Tags) != 1 || *out.Tags[0].Value != "south" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestProviderErrors(t *testing.T) {
	a := newAccount(t)
	a.provider()
	create := func(url string, change ...func(*iamapi.CreateOpenIDConnectProviderInput)) (any, error) {
		in := &iamapi.CreateOpenIDConnectProviderInput{Url: &url}
		for _, f := range change {
			f(in)
		}
		return a.CreateOpenIDConnectProvider(a.root(), in)
	}
	a.want("EntityAlreadyExists", "Provider with url "+idpURL+" already exists.")(create(idpURL))
	a.want("EntityAlreadyExists", "")(create("https://idp.example:8443/REALM"))
	a.want("InvalidInput", "Invalid Open ID Connect Provider URL")(create("http://idp.example"))
	a.want("InvalidInput", "")(create("https://idp.example/?a=b"))
	a.want("InvalidInput", "")(create("https://b.example", func(in *iamapi.CreateOpenIDConnectProviderInput) {
		in.ThumbprintList = []string{strings.Repeat("g", 40)}
	}))
	a.want("InvalidInput", "")(create("https://b.example", func(in *iamapi.CreateOpenIDConnectProviderInput) {
		for i := range 6 {
			in.ThumbprintList = append(in.ThumbprintList, fmt.Sprintf("%040d", i))
		}
	}))
	a.want("LimitExceeded", "")(create("https://b.example", func(in *iamapi.CreateOpenIDConnectProviderInput) {
		for i := range 101 {
			in.ClientIDList = append(in.ClientIDList, fmt.Sprint(i))
		}
	}))
	none := new("arn:aws:iam::000000000000:oidc-provider/none.example")
	a.want("NoSuchEntity", "OpenIDConnect Provider not found for arn "+*none)(a.GetOpenIDConnectProvider(a.root(), &iamapi.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: none}))
	a.want("NoSuchEntity", "")(a.AddClientIDToOpenIDConnectProvider(a.root(), &iamapi.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: none, ClientID: new("x")}))
	a.want("NoSuchEntity", "")(a.UpdateOpenIDConnectProviderThumbprint(a.root(), &iamapi.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: none}))
	for i := range maxProviders - 1 {
		a.ok(create(fmt.Sprintf("https://idp%d.example", i)))
	}
	a.want("LimitExceeded", "")(create("https://one-more.example"))
}

func TestProvidersAreForWhoMay(t *testing.T) {
	a := newAccount(t)
	a.provider()
	get := func(name, document string) error {
		_, err := a.GetOpenIDConnectProvider(a.user(name, document), &iamapi.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(idpARN)})
		return err
	}
	tagged := func(site string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetOpenIDConnectProvider","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Site":"` + site + `"}}}}`
	}
	for name, tc := range map[string]struct{ document, want string }{
		"all":      {allow("iam:*", "*"), ""},
		"this":     {allow("iam:GetOpenIDConnectProvider", idpARN), ""},
		"another":  {allow("iam:GetOpenIDConnectProvider", idpARN+"x"), "Denied"},
		"list":     {allow("iam:ListOpenIDConnectProviders", "*"), "Denied"},
		"tag":      {tagged("north"), ""},
		"othertag": {tagged("south"), "Denied"},
	} {
		if got := code(get(name, tc.document)); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
	ana := a.user("ana", allow("kms:*", "*"))
	a.want("Denied", "")(a.CreateOpenIDConnectProvider(ana, &iamapi.CreateOpenIDConnectProviderInput{Url: new("https://x.example")}))
	a.want("Denied", "")(a.DeleteOpenIDConnectProvider(ana, &iamapi.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(idpARN)}))
	a.want("Denied", "")(a.GetOpenIDConnectProvider(ana, &iamapi.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new("arn:aws:iam::000000000000:oidc-provider/none")}))
}
