// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const roleARN = "arn:aws:iam::000000000000:role/device"

// A world is a service whose caller may do what allow says, and whose roles trust every device unless untrusted.
type world struct {
	*Service
	t         *testing.T
	db        meta.DB
	now       time.Time
	allow     func(action, resource string) bool
	asked     []string // "action resource"
	untrusted bool
	issued    []Session
}

func newWorld(t *testing.T) *world { return openWorld(t, mem.New()) }

func openWorld(t *testing.T, db meta.DB) *world {
	t.Helper()
	w := &world{t: t, db: db, now: start, allow: func(string, string) bool { return true }}
	ca := newAuthority(t)
	s, err := New(t.Context(), Config{
		DB: db, Account: "000000000000", Region: "us-east-1", Authorizer: w, Sessions: w, CA: ca,
		DeviceEndpoint: "cam.example.org:8445", APIEndpoint: "https://cam.example.org:8443",
		ServerCA: []byte(encodePEM("CERTIFICATE", ca.Certificate.Raw)), Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Service = s
	return w
}

func newAuthority(t *testing.T) Authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: start.Add(-time.Hour),
		NotAfter: start.Add(30 * 365 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return Authority{cert, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newCSR(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return encodePEM("CERTIFICATE REQUEST", der)
}

// Authorize implements access.Authorizer.
func (w *world) Authorize(ctx context.Context, r access.Request) error {
	access.Exempt(ctx)
	w.asked = append(w.asked, r.Action+" "+r.Resource)
	if w.allow(r.Action, r.Resource) {
		return nil
	}
	return &access.Denied{Message: "denied " + r.Action}
}

// AssumeRoleForDevice implements Sessions.
func (w *world) AssumeRoleForDevice(_ context.Context, s Session) (*stsapi.Credentials, error) {
	if w.untrusted {
		return nil, &access.Denied{Message: "no trust"}
	}
	w.issued = append(w.issued, s)
	return &stsapi.Credentials{AccessKeyId: new("ASIAX"), SecretAccessKey: new("secret"), SessionToken: new("token"), Expiration: new(w.now.Add(s.Lifetime))}, nil
}

func (w *world) ctx() context.Context {
	return access.NewContext(w.t.Context(), &access.Call{Service: "iot", SecureTransport: true, SourceIP: "192.0.2.7"})
}

// want checks an error's code; "" is success, "Denied" a decision.
func (w *world) want(code string) func(any, error) {
	w.t.Helper()
	return func(_ any, err error) {
		w.t.Helper()
		if got := codeOf(err); got != code {
			w.t.Errorf("got %q (%v), want %q", got, err, code)
		}
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	if errors.As(err, new(*access.Denied)) {
		return "Denied"
	}
	if e, ok := errors.AsType[protocol.APIError](err); ok {
		return e.ErrorCode()
	}
	return "other"
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// certify makes an active certificate and returns its ID and DER.
func (w *world) certify() (id string, der []byte) {
	w.t.Helper()
	out := must(w.CreateCertificateFromCsr(w.ctx(), &api.CreateCertificateFromCsrInput{
		CertificateSigningRequest: new(newCSR(w.t, newKey(w.t))), SetAsActive: new(true),
	}))(w.t)
	c, err := parseCertificate(*out.CertificatePem)
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.CertificateId, c.Raw
}

// prepare makes thing, policy and role alias of the name.
func (w *world) prepare(name string) {
	w.t.Helper()
	must(w.CreateThing(w.ctx(), &api.CreateThingInput{ThingName: &name}))(w.t)
	must(w.CreateRoleAlias(w.ctx(), &api.CreateRoleAliasInput{RoleAlias: &name, RoleArn: new(roleARN)}))(w.t)
	must(w.CreatePolicy(w.ctx(), &api.CreatePolicyInput{PolicyName: &name, PolicyDocument: new(allowAlias("rolealias/" + name))}))(w.t)
}

func allowAlias(resource string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:AssumeRoleWithCertificate","Resource":"arn:aws:iot:us-east-1:000000000000:` + resource + `"}]}`
}

// device makes a thing with a certificate that may use the role alias of its name.
func (w *world) device(name string) (id string, h Holder) {
	w.t.Helper()
	w.prepare(name)
	id, der := w.certify()
	arn := w.arn("cert", id)
	must(w.AttachThingPrincipal(w.ctx(), &api.AttachThingPrincipalInput{ThingName: &name, Principal: &arn}))(w.t)
	must(w.AttachPolicy(w.ctx(), &api.AttachPolicyInput{PolicyName: &name, Target: &arn}))(w.t)
	return id, Holder{DER: der, ThingName: name}
}

func (w *world) setStatus(id, status string) error {
	_, err := w.UpdateCertificate(w.ctx(), &api.UpdateCertificateInput{CertificateId: &id, NewStatus: &status})
	return err
}
