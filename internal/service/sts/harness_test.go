// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/policy"
)

const (
	testAccount = "000000000000"
	roleARN     = "arn:aws:iam::000000000000:role/team/viewer"
	adminARN    = "arn:aws:iam::aws:policy/AdministratorAccess"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A world is a service with the real Authorizer and a directory in memory: users "ana" (AIDA-ana) and so on, whose
// identity policies and roles a test sets.
type world struct {
	*Service
	t        *testing.T
	db       meta.DB
	now      time.Time
	auth     access.Authorizer
	roles    map[string]Role
	users    map[string]access.Principal
	managed  map[string]*policy.Document
	policies map[string]*policy.Document // of users and roles, by unique ID
}

func newWorld(t *testing.T) *world { return openWorld(t, mem.New()) }

func openWorld(t *testing.T, db meta.DB) *world {
	t.Helper()
	w := &world{
		t: t, db: db, now: start, roles: map[string]Role{}, users: map[string]access.Principal{},
		managed: map[string]*policy.Document{}, policies: map[string]*policy.Document{},
	}
	w.auth = access.New(w, testAccount, "us-east-1", func() time.Time { return w.now })
	s, err := New(t.Context(), Config{
		DB: db, Account: testAccount, Directory: directory{w}, Authorizer: w.auth, Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Service = s
	w.managed[adminARN] = w.parse(allow("*", "*"), policy.Identity)
	w.user("ana")
	return w
}

type directory struct{ *world }

func (d directory) Role(_ context.Context, arn string) (Role, bool) {
	r, ok := d.roles[arn]
	return r, ok
}

func (d directory) Principal(_ context.Context, id string) (access.Principal, bool) {
	if id == testAccount {
		return access.Principal{Principal: policy.Principal{
			Kind: policy.Root, ARN: "arn:aws:iam::" + testAccount + ":root", Account: testAccount, UniqueID: testAccount,
		}}, true
	}
	p, ok := d.users[id]
	return p, ok
}

func (d directory) ManagedPolicy(_ context.Context, arn string) (*policy.Document, bool) {
	p, ok := d.managed[arn]
	return p, ok
}

// PoliciesFor implements access.IdentitySource.
func (w *world) PoliciesFor(_ context.Context, p *access.Principal) ([]*policy.Document, *policy.Document, error) {
	id := p.UniqueID
	if p.Session != nil && p.Session.RoleID != "" {
		id = p.Session.RoleID
	}
	if d := w.policies[id]; d != nil {
		return []*policy.Document{d}, nil, nil
	}
	return nil, nil, nil
}

func (w *world) parse(text string, k policy.Kind) *policy.Document {
	w.t.Helper()
	d, err := policy.Parse([]byte(text), k)
	if err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
	return d
}

// user makes a user, with an identity policy when one is given.
func (w *world) user(name string, document ...string) {
	id := "AIDA-" + name
	w.users[id] = access.Principal{
		Principal: policy.Principal{
			Kind: policy.User, ARN: "arn:aws:iam::" + testAccount + ":user/" + name, Account: testAccount, UniqueID: id,
		},
		UserName: name, AccessKeyID: "AKIA" + name, Tags: map[string]string{"team": "red"},
	}
	for _, d := range document {
		w.policies[id] = w.parse(d, policy.Identity)
	}
}

// role makes the role with a trust statement's rest (after Effect) and an identity policy.
func (w *world) role(trust string, document ...string) Role {
	w.t.Helper()
	r := Role{
		ARN: roleARN, Name: "viewer", ID: "AROAVIEWER", MaxSession: 2 * time.Hour, Tags: map[string]string{"Site": "north", "level": "1"},
		Trust: w.parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",`+trust+`}]}`, policy.Trust),
	}
	w.roles[roleARN] = r
	for _, d := range document {
		w.policies[r.ID] = w.parse(d, policy.Identity)
	}
	return r
}

const trustAna = `"Principal":{"AWS":"arn:aws:iam::000000000000:user/ana"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`

func (w *world) as(p access.Principal) context.Context {
	return access.NewContext(w.t.Context(), &access.Call{Principal: p, Service: "sts", Time: w.now, SecureTransport: true})
}

func (w *world) ana() context.Context { return w.as(w.users["AIDA-ana"]) }

func (w *world) root() context.Context {
	p, _ := directory{w}.Principal(w.t.Context(), testAccount)
	p.AccessKeyID = "AKIAROOT"
	return w.as(p)
}

// assume assumes the role as the caller of ctx.
func (w *world) assume(ctx context.Context, change ...func(*stsapi.AssumeRoleInput)) (*stsapi.AssumeRoleOutput, error) {
	in := &stsapi.AssumeRoleInput{RoleArn: new(roleARN), RoleSessionName: new("s1")}
	for _, f := range change {
		f(in)
	}
	return w.AssumeRole(ctx, in)
}

// session is the context of a call with temporary credentials.
func (w *world) session(c *stsapi.Credentials) context.Context {
	w.t.Helper()
	cred, err := w.Resolve(w.t.Context(), *c.AccessKeyId, *c.SessionToken)
	if err != nil {
		w.t.Fatal(err)
	}
	if cred.SecretAccessKey != *c.SecretAccessKey || cred.Principal.AccessKeyID != *c.AccessKeyId {
		w.t.Error("credential does not come back")
	}
	return w.as(cred.Principal)
}

func (w *world) assumed(ctx context.Context, change ...func(*stsapi.AssumeRoleInput)) context.Context {
	w.t.Helper()
	out, err := w.assume(ctx, change...)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.session(out.Credentials)
}

func (w *world) may(ctx context.Context, action, resource string) bool {
	w.t.Helper()
	err := w.auth.Authorize(ctx, access.Request{Action: action, Resource: resource})
	if err != nil && !errors.As(err, new(*access.Denied)) {
		w.t.Fatal(err)
	}
	return err == nil
}

// want checks an error's code ("Denied" for a decision) and its message unless that is empty.
func (w *world) want(code, message string) func(any, error) {
	return func(_ any, err error) {
		w.t.Helper()
		gotCode, gotMessage := "", ""
		if d, ok := errors.AsType[*access.Denied](err); ok {
			gotCode, gotMessage = "Denied", d.Message
		} else if e, ok := errors.AsType[protocol.APIError](err); ok {
			gotCode, gotMessage = e.ErrorCode(), e.ErrorMessage()
		}
		if gotCode != code || message != "" && gotMessage != message {
			w.t.Errorf("got %v, want %s: %s", err, code, message)
		}
	}
}

func allow(action, resource string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}]}`
}
