// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/access"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/meta/mem"
)

// denial is what ana gets for something that she may not do.
func (w *world) denial(r access.Request) *access.Denied {
	w.t.Helper()
	var d *access.Denied
	if err := w.auth.Authorize(w.ana(), r); !errors.As(err, &d) {
		w.t.Fatalf("not denied: %v", err)
	}
	return d
}

func TestDenialIsReadByWhoMay(t *testing.T) {
	w := newWorld(t)
	w.user("ana", `{"Version":"2012-10-17","Statement":[{"Sid":"NoKeys","Effect":"Deny","Action":"kms:*","Resource":"*"}]}`)
	w.user("auditor", allow("sts:DecodeAuthorizationMessage", "*"))
	d := w.denial(access.Request{Action: "kms:Decrypt", Resource: "arn:aws:kms:us-east-1:000000000000:key/k", Context: map[string][]string{"kms:encryptioncontext:room": {"dark"}}})
	text, err := w.EncodeDenial(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"NoKeys", "dark", "ana", "key/k"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q can be read without asking", secret)
		}
	}
	in := &stsapi.DecodeAuthorizationMessageInput{EncodedMessage: &text}
	w.want("Denied", "")(w.DecodeAuthorizationMessage(w.ana(), in))
	out, err := w.DecodeAuthorizationMessage(w.as(w.users["AIDA-auditor"]), in)
	if err != nil {
		t.Fatal(err)
	}
	var m denialMessage
	if err := json.Unmarshal([]byte(*out.DecodedMessage), &m); err != nil {
		t.Fatal(err)
	}
	if m.Allowed || !m.ExplicitDeny || m.PolicyType != "identity-based policy" || len(m.Matched.Items) != 1 || m.Matched.Items[0] != (matchedStatement{"NoKeys", "DENY"}) ||
		m.Context.Principal != (denialPrincipal{"AIDA-ana", "ana", "arn:aws:iam::000000000000:user/ana"}) || m.Context.Action != "kms:Decrypt" || m.Context.Resource != d.Detail.Resource {
		t.Errorf("got %+v", m)
	}
	conditions := map[string]string{}
	for _, c := range m.Context.Conditions.Items {
		conditions[c.Key] = c.Values.Items[0].Value
	}
	for key, want := range map[string]string{
		"kms:encryptioncontext:room": "dark", "aws:PrincipalTag/team": "red", "aws:username": "ana", "kms:CallerAccount": testAccount, "aws:CurrentTime": "2026-01-02T03:04:05Z",
	} {
		if conditions[key] != want {
			t.Errorf("%s is %q, want %q", key, conditions[key], want)
		}
	}
	if _, there := conditions["aws:TokenIssueTime"]; there {
		t.Error("a condition key is there that the decision could not see")
	}
}

func TestImplicitDenialHasNoStatement(t *testing.T) {
	w := newWorld(t)
	text, err := w.EncodeDenial(w.denial(access.Request{Action: "kms:ListKeys", Resource: "*"}))
	if err != nil {
		t.Fatal(err)
	}
	w.user("ana", allow("sts:*", "*"))
	out, err := w.DecodeAuthorizationMessage(w.ana(), &stsapi.DecodeAuthorizationMessageInput{EncodedMessage: &text})
	if err != nil || !strings.HasPrefix(*out.DecodedMessage, `{"allowed":false,"explicitDeny":false,"policyType":"identity-based policy","matchedStatements":{"items":[]},"failures":{"items":[]},"context":{"principal":{"id":"AIDA-ana"`) {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestOnlySealedDenialsAreDecoded(t *testing.T) {
	w := newWorld(t)
	text, err := w.EncodeDenial(w.denial(access.Request{Action: "kms:ListKeys", Resource: "*"}))
	if err != nil {
		t.Fatal(err)
	}
	w.user("ana", allow("sts:*", "*"))
	token, err := w.GetSessionToken(w.ana(), &stsapi.GetSessionTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	bent := []byte(text)
	bent[len(bent)/2] ^= 1
	other := newWorld(t)
	foreign, err := other.EncodeDenial(other.denial(access.Request{Action: "kms:ListKeys", Resource: "*"}))
	if err != nil {
		t.Fatal(err)
	}
	for name, message := range map[string]string{
		"nonsense": "nonsense", "empty": "AQ", "altered": string(bent), "cut": text[:len(text)-4], "another server's": foreign,
		"a session token": *token.Credentials.SessionToken, "padded": text + "=",
	} {
		t.Run(name, func(*testing.T) {
			w.want("InvalidAuthorizationMessageException", "")(w.DecodeAuthorizationMessage(w.ana(), &stsapi.DecodeAuthorizationMessageInput{EncodedMessage: &message}))
		})
	}
	if _, err := w.Resolve(t.Context(), *token.Credentials.AccessKeyId, text); err == nil {
		t.Error("a denial passed for a session token")
	}
}

// TestLongDenialLosesItsConditions: what does not fit into AWS's bound is left out, not cut.
func TestLongDenialLosesItsConditions(t *testing.T) {
	w := newWorld(t)
	wide := map[string][]string{}
	for i := range 300 {
		wide["kms:encryptioncontext:"+newSecret()] = []string{newSecret(), string(rune('a' + i%26))}
	}
	text, err := w.EncodeDenial(w.denial(access.Request{Action: "kms:Decrypt", Resource: "*", Context: wide}))
	if err != nil || len(text) > maxDenialText {
		t.Fatalf("%d characters, %v", len(text), err)
	}
	if b, ok := w.openDenial(text); !ok || !strings.Contains(string(b), `"conditions":{"items":[]}`) {
		t.Errorf("%s", b)
	}
}

// TestLengthOfADenialTellsNothing: who is denied again and again, with guesses in what he chooses himself, does not see
// which of them is like what he must not know.
func TestLengthOfADenialTellsNothing(t *testing.T) {
	w := newWorld(t)
	w.user("ana", `{"Version":"2012-10-17","Statement":[{"Sid":"QuarantineOfTheNightShift","Effect":"Deny","Action":"kms:*","Resource":"*"}]}`)
	lengths := map[int]bool{}
	for _, guess := range []string{"QuarantineOfTheNightShift", "QuarantineOfTheNightShiXY", "qpwoeirutyalskdjfhgzmxncb", "7", ""} {
		text, err := w.EncodeDenial(w.denial(access.Request{Action: "kms:Decrypt", Resource: "*", Context: map[string][]string{"kms:encryptioncontext:guess": {guess}}}))
		if err != nil {
			t.Fatal(err)
		}
		lengths[len(text)] = true
	}
	if len(lengths) != 1 {
		t.Errorf("%d lengths", len(lengths))
	}
}

func FuzzOpenDenial(f *testing.F) {
	s, err := New(f.Context(), Config{DB: mem.New(), Account: testAccount})
	if err != nil {
		f.Fatal(err)
	}
	text, err := s.sealDenial(&denialMessage{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, given string) {
		if b, ok := s.openDenial(given); ok && given != text {
			t.Errorf("%q opened as %q", given, b)
		}
	})
}
