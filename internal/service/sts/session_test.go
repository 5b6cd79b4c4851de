// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"os"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/policy"
)

func TestGetCallerIdentityNeedsNoPermission(t *testing.T) {
	w := newWorld(t)
	w.user("ana", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`)
	ctx := w.ana()
	out, err := w.GetCallerIdentity(ctx, &stsapi.GetCallerIdentityInput{})
	if err != nil || *out.Arn != "arn:aws:iam::000000000000:user/ana" || *out.UserId != "AIDA-ana" || *out.Account != testAccount {
		t.Errorf("%+v, %v", out, err)
	}
	if c, _ := access.FromContext(ctx); !c.Decided() {
		t.Error("no decision was recorded")
	}
	out, err = w.GetCallerIdentity(w.root(), &stsapi.GetCallerIdentityInput{})
	if err != nil || *out.UserId != testAccount || *out.Arn != "arn:aws:iam::000000000000:root" {
		t.Errorf("root: %+v, %v", out, err)
	}
}

func TestSessionTokenIsTheUserItself(t *testing.T) {
	w := newWorld(t)
	w.user("ana", allow("*", "*"))
	out, err := w.GetSessionToken(w.ana(), &stsapi.GetSessionTokenInput{})
	if err != nil || !out.Credentials.Expiration.Equal(start.Add(12*time.Hour)) {
		t.Fatalf("%+v, %v", out, err)
	}
	s := w.session(out.Credentials)
	id, err := w.GetCallerIdentity(s, &stsapi.GetCallerIdentityInput{})
	if err != nil || *id.Arn != "arn:aws:iam::000000000000:user/ana" || *id.UserId != "AIDA-ana" {
		t.Errorf("%+v, %v", id, err)
	}
	if !w.may(s, "kms:Decrypt", "*") {
		t.Error("the session lacks its user's rights")
	}
	w.role(trustAna)
	w.want("", "")(w.assume(s))
	w.want("Denied", "Cannot call GetSessionToken with session credentials")(w.GetSessionToken(s, &stsapi.GetSessionTokenInput{}))
	w.want("Denied", "Cannot call GetFederationToken with session credentials")(w.GetFederationToken(s, &stsapi.GetFederationTokenInput{Name: new("bob")}))
	w.want("Denied", "")(w.GetAccessKeyInfo(s, &stsapi.GetAccessKeyInfoInput{AccessKeyId: new("AKIAAAAAAAAAAAAAAAAA")}))
	w.want("Denied", "")(w.GetSessionToken(w.ana(), &stsapi.GetSessionTokenInput{TokenCode: new("123456")}))

	delete(w.users, "AIDA-ana")
	if _, err := w.Resolve(t.Context(), *out.Credentials.AccessKeyId, *out.Credentials.SessionToken); err != ErrInvalidToken {
		t.Errorf("user deleted: %v", err)
	}
}

func TestRootSessionsLastAnHour(t *testing.T) {
	w := newWorld(t)
	out, err := w.GetSessionToken(w.root(), &stsapi.GetSessionTokenInput{DurationSeconds: new(int64(7200))})
	if err != nil || !out.Credentials.Expiration.Equal(start.Add(time.Hour)) {
		t.Fatalf("%+v, %v", out, err)
	}
	if call, _ := access.FromContext(w.session(out.Credentials)); call.Principal.Kind != policy.Root || call.Principal.Session == nil {
		t.Errorf("%+v", call.Principal)
	}
	w.role(trustAna)
	w.want("Denied", "Roles may not be assumed by root accounts.")(w.assume(w.session(out.Credentials)))
}

func TestFederatedUsersNeedSessionPolicies(t *testing.T) {
	w := newWorld(t)
	in := &stsapi.GetFederationTokenInput{Name: new("guest")}
	w.want("Denied", "")(w.GetFederationToken(w.ana(), in))
	w.user("ana", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:*","sts:*"],"Resource":"*"}]}`)
	out, err := w.GetFederationToken(w.ana(), in)
	if err != nil || *out.FederatedUser.Arn != "arn:aws:sts::000000000000:federated-user/guest" || *out.FederatedUser.FederatedUserId != testAccount+":guest" {
		t.Fatalf("%+v, %v", out, err)
	}
	if w.may(w.session(out.Credentials), "kms:Decrypt", "*") {
		t.Error("allowed without a session policy")
	}
	in.Policy = new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","s3:*","sts:*"],"Resource":"*"}]}`)
	out, err = w.GetFederationToken(w.ana(), in)
	if err != nil || *out.PackedPolicySize < 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	s := w.session(out.Credentials)
	if !w.may(s, "kms:Decrypt", "*") || w.may(s, "kms:Encrypt", "*") || w.may(s, "s3:GetObject", "*") {
		t.Error("rights are not what both allow")
	}
	id, err := w.GetCallerIdentity(s, &stsapi.GetCallerIdentityInput{})
	if err != nil || *id.UserId != testAccount+":guest" {
		t.Errorf("%+v, %v", id, err)
	}
	w.role(`"Principal":{"AWS":"*"},"Action":"sts:AssumeRole"`)
	w.want("Denied", "")(w.assume(s))
	w.want("Denied", "")(w.GetAccessKeyInfo(s, &stsapi.GetAccessKeyInfoInput{AccessKeyId: new("AKIAAAAAAAAAAAAAAAAA")}))
	delete(w.users, "AIDA-ana")
	if _, err := w.Resolve(t.Context(), *out.Credentials.AccessKeyId, *out.Credentials.SessionToken); err != ErrInvalidToken {
		t.Errorf("maker deleted: %v", err)
	}
}

func TestGetAccessKeyInfo(t *testing.T) {
	w := newWorld(t)
	in := &stsapi.GetAccessKeyInfoInput{AccessKeyId: new("AKIAAAAAAAAAAAAAAAAA")}
	w.want("Denied", "")(w.GetAccessKeyInfo(w.ana(), in))
	w.user("ana", allow("sts:GetAccessKeyInfo", "*"))
	if out, err := w.GetAccessKeyInfo(w.ana(), in); err != nil || *out.Account != testAccount {
		t.Errorf("%+v, %v", out, err)
	}
	w.want("ValidationError", "")(w.GetAccessKeyInfo(w.ana(), &stsapi.GetAccessKeyInfoInput{AccessKeyId: new("XKIAAAAAAAAAAAAAAAAA")}))
}

// docs/compat/sts.md names every operation of the API, and says of each truly whether it is there.
func TestCompatibilityPageIsRight(t *testing.T) {
	b, err := os.ReadFile("../../../docs/compat/sts.md")
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\w+) \| (\w+)`).FindAllStringSubmatch(string(b), -1) {
		status[m[1]] = m[2]
	}
	own, embedded := reflect.TypeFor[*Service](), reflect.TypeFor[stsapi.Unimplemented]()
	for i := range embedded.NumMethod() {
		m, _ := own.MethodByName(embedded.Method(i).Name)
		in := reflect.New(m.Type.In(2).Elem())
		call := func() (missing bool) {
			defer func() { _ = recover() }() // an operation that is there minds its empty input
			out := m.Func.Call([]reflect.Value{reflect.ValueOf(newWorld(t).Service), reflect.ValueOf(context.Background()), in})
			e, _ := out[1].Interface().(interface{ ErrorCode() string })
			return e != nil && e.ErrorCode() == "NotImplemented"
		}
		if s, missing := status[m.Name], call(); missing != (s == "not") || s == "" {
			t.Errorf("%s: the page says %q, missing is %v", m.Name, s, missing)
		}
	}
}
