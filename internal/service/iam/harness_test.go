// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/policy"
)

const (
	testAccount = "000000000000"
	allowAll    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	trustRoot   = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}}`
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// An account is a service over a store, the real Authorizer, and who calls.
type account struct {
	*Service
	t   *testing.T
	db  meta.DB
	now time.Time
}

func newAccount(t *testing.T) *account { return openAccount(t, mem.New()) }

func openAccount(t *testing.T, db meta.DB) *account {
	t.Helper()
	a := &account{t: t, db: db, now: start}
	s, err := New(t.Context(), Config{DB: db, Account: testAccount, Region: "us-east-1", Now: func() time.Time { return a.now }})
	if err != nil {
		t.Fatal(err)
	}
	a.Service = s
	return a
}

func as(ctx context.Context, p access.Principal) context.Context {
	return access.NewContext(ctx, &access.Call{Principal: p, Service: "iam", Time: start, SecureTransport: true})
}

// root is a context in which the account's root calls.
func (a *account) root() context.Context { return as(a.t.Context(), a.rootPrincipal()) }

// user makes a user with the inline policies given, and returns a context in which it calls.
func (a *account) user(name string, documents ...string) context.Context {
	a.t.Helper()
	a.ok(a.CreateUser(a.root(), &iamapi.CreateUserInput{UserName: &name}))
	for i, d := range documents {
		a.ok(a.PutUserPolicy(a.root(), &iamapi.PutUserPolicyInput{
			UserName: &name, PolicyName: new("p" + string(rune('0'+i))), PolicyDocument: &d,
		}))
	}
	return a.as(name)
}

// as is a context in which an existing user calls.
func (a *account) as(name string) context.Context {
	a.t.Helper()
	p, ok := a.userPrincipal(a.view(), a.view().find(userKind, name).ID)
	if !ok {
		a.t.Fatalf("no user %s", name)
	}
	return as(a.t.Context(), p)
}

// role makes a role that trusts the account, and returns a context in which a session of it calls.
func (a *account) role(name string, documents ...string) context.Context {
	a.t.Helper()
	a.ok(a.CreateRole(a.root(), &iamapi.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: new(trustRoot)}))
	for i, d := range documents {
		a.ok(a.PutRolePolicy(a.root(), &iamapi.PutRolePolicyInput{
			RoleName: &name, PolicyName: new("p" + string(rune('0'+i))), PolicyDocument: &d,
		}))
	}
	r := a.view().find(roleKind, name)
	return as(a.t.Context(), access.Principal{
		Principal: policy.Principal{
			Kind: policy.AssumedRole, ARN: "arn:aws:sts::" + testAccount + ":assumed-role/" + name + "/s",
			Account: testAccount, RoleARN: r.arn(testAccount), UniqueID: r.ID + ":s",
		},
		UserName: "s",
		Session:  &access.Session{RoleName: name, RoleID: r.ID},
	})
}

// policy makes a managed policy and returns its ARN.
func (a *account) policy(name, document string) string {
	a.t.Helper()
	out, err := a.CreatePolicy(a.root(), &iamapi.CreatePolicyInput{PolicyName: &name, PolicyDocument: &document})
	if err != nil {
		a.t.Fatal(err)
	}
	return *out.Policy.Arn
}

// ok fails the test when err is not nil.
func (a *account) ok(_ any, err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// code is the wire name of an error, "Denied" for a decision against the caller, "" for nil.
func code(err error) string {
	if err == nil {
		return ""
	}
	if errors.As(err, new(*access.Denied)) {
		return "Denied"
	}
	if e := protocol.APIError(nil); errors.As(err, &e) {
		return e.ErrorCode()
	}
	return "not an API error: " + err.Error()
}

// want checks an error's code, and its message unless that is empty.
func (a *account) want(wantCode, message string) func(any, error) {
	return func(_ any, err error) {
		a.t.Helper()
		if code(err) != wantCode {
			a.t.Errorf("got %v, want %s", err, wantCode)
			return
		}
		if e := protocol.APIError(nil); message != "" && errors.As(err, &e) && e.ErrorMessage() != message {
			a.t.Errorf("got message %q, want %q", e.ErrorMessage(), message)
		}
	}
}

// may asks the real Authorizer.
func (a *account) may(ctx context.Context, action, resource string) bool {
	a.t.Helper()
	err := a.auth.Authorize(ctx, access.Request{Action: action, Resource: resource})
	if err != nil && !errors.As(err, new(*access.Denied)) {
		a.t.Fatal(err)
	}
	return err == nil
}

func decoded(t *testing.T, s *string) string {
	t.Helper()
	out, err := url.PathUnescape(*s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func allow(action, resource string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}]}`
}
