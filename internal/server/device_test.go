// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/audit"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	iotapi "github.com/obscura-video/obscura/internal/awsapi/iot"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/service/iot"
	"github.com/obscura-video/obscura/internal/sigv4"
)

const (
	deviceTrust       = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"credentials.iot.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	devicePermissions = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kinesisvideo:*","Resource":"arn:aws:kinesisvideo:*:*:stream/${credentials-iot:ThingName}/*"}]}`
	deviceMay         = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:AssumeRoleWithCertificate","Resource":"*"}]}`
)

// fleet is a running server, with what devices need, and its administrator's context.
type fleet struct {
	*Server
	t    *testing.T
	root context.Context
	pool *x509.CertPool
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	any := Listener{Listen: "127.0.0.1:0"}
	s, err := Open(t.Context(), Config{Data: filepath.Join(t.TempDir(), "data"), FreeSpace: -1, API: any, Media: any, Device: any, Admin: Listener{Listen: Off}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		if cancel(); <-done != nil {
			t.Error("the server did not end well")
		}
	})
	principal, _ := s.services.iam.Principal(ctx, s.config.Account)
	f := &fleet{Server: s, t: t, root: access.NewContext(t.Context(), &access.Call{Principal: principal, Time: time.Now()}), pool: x509.NewCertPool()}
	f.pool.AppendCertsFromPEM(s.authority.pem)
	f.prepare()
	return f
}

func (f *fleet) must(_ any, err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) prepare() {
	name := "camera"
	f.must(f.services.iam.CreateRole(f.root, &iamapi.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: ptr(deviceTrust)}))
	f.must(f.services.iam.PutRolePolicy(f.root, &iamapi.PutRolePolicyInput{RoleName: &name, PolicyName: &name, PolicyDocument: ptr(devicePermissions)}))
	f.must(f.services.iot.CreateRoleAlias(f.root, &iotapi.CreateRoleAliasInput{RoleAlias: &name, RoleArn: ptr("arn:aws:iam::000000000000:role/camera")}))
	f.must(f.services.iot.CreatePolicy(f.root, &iotapi.CreatePolicyInput{PolicyName: &name, PolicyDocument: ptr(deviceMay)}))
}

// camera is an enrolled device: a client that shows its certificate over one connection that lasts.
type camera struct {
	*fleet
	name, id string
	client   *http.Client
}

func (f *fleet) enrol(name string) *camera {
	f.t.Helper()
	out, err := f.services.iot.CreateEnrolmentToken(f.root, &iotapi.CreateEnrolmentTokenInput{ThingName: &name, PolicyName: ptr("camera"), RoleAlias: ptr("camera")})
	f.must(out, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.must(key, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	f.must(csr, err)
	c := &camera{fleet: f, name: name, client: f.client()}
	var e iot.Enrolment
	body := map[string]string{
		"enrolmentToken": *out.EnrolmentToken, "certificateSigningRequest": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})),
	}
	if status := c.call("POST", "/enrolment", body, &e); status != http.StatusOK {
		f.t.Fatalf("enrolment: %d", status)
	}
	block, _ := pem.Decode([]byte(e.CertificatePEM))
	c.id, c.client = e.CertificateID, f.client(tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key})
	return c
}

func (f *fleet) client(certificates ...tls.Certificate) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.pool, Certificates: certificates}}}
}

// call calls the device listener; out gets the answer, whatever its status.
func (c *camera) call(method, path string, in, out any) (status int) {
	c.t.Helper()
	body, err := json.Marshal(in)
	c.must(body, err)
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.endpoints.Device+path, bytes.NewReader(body))
	c.must(r, err)
	r.Header.Set("x-amzn-iot-thingname", c.name)
	resp, err := c.client.Do(r)
	c.must(resp, err)
	defer resp.Body.Close()
	c.must(nil, json.NewDecoder(resp.Body).Decode(out))
	return resp.StatusCode
}

type provided struct {
	Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken, Expiration string }
	Message     string
}

func (c *camera) credentials() (p provided, status int) {
	c.t.Helper()
	status = c.call("GET", "/role-aliases/camera/credentials", nil, &p)
	return p, status
}

// describe asks for a stream with temporary credentials and returns the error's code.
func (c *camera) describe(p provided, stream string) string {
	video := kvapi.NewClient(protocol.Client{Endpoint: c.endpoints.API, HTTP: c.fleet.client(), Sign: func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), sigv4.Credentials{
			AccessKeyID: p.Credentials.AccessKeyID, SecretAccessKey: p.Credentials.SecretAccessKey, SessionToken: p.Credentials.SessionToken,
		}, c.config.Region, "kinesisvideo", time.Now())
		return nil
	}})
	_, err := video.DescribeStream(c.t.Context(), &kvapi.DescribeStreamInput{StreamName: &stream})
	if e, ok := err.(interface{ Unwrap() error }); ok {
		err = e.Unwrap()
	}
	if e, ok := err.(*protocol.ResponseError); ok {
		return e.Code
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return ""
}

func TestEnrolledDeviceReachesItsOwnStreamAlone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for _, name := range []string{"door", "yard"} {
		f.must(f.services.video.CreateStream(f.root, &kvapi.CreateStreamInput{StreamName: &name}))
	}
	door := f.enrol("door")
	p, status := door.credentials()
	if status != http.StatusOK || len(p.Credentials.Expiration) != 20 || !strings.HasPrefix(p.Credentials.AccessKeyID, "ASIA") {
		t.Fatalf("%d, expiration %q", status, p.Credentials.Expiration)
	}
	if code := door.describe(p, "door"); code != "" {
		t.Errorf("its own stream: %s", code)
	}
	if code := door.describe(p, "yard"); code != "NotAuthorizedException" {
		t.Errorf("another's stream: %q", code)
	}
}

func TestRevocationEndsConnectionsAndSessionsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.must(f.services.video.CreateStream(f.root, &kvapi.CreateStreamInput{StreamName: ptr("door")}))
	door := f.enrol("door")
	p, _ := door.credentials()
	cred, err := credentials{f.services.iam, f.services.sts}.Credential(t.Context(), p.Credentials.AccessKeyID, p.Credentials.SessionToken)
	f.must(cred, err)
	running := access.NewContext(t.Context(), &access.Call{Principal: cred.Principal, Time: time.Now()})
	authorize := func() error {
		return f.services.authorizer.Authorize(running, access.Request{
			Action: "kinesisvideo:PutMedia", Resource: "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1",
		})
	}
	if err := authorize(); err != nil {
		t.Fatal(err)
	}
	f.must(f.services.iot.UpdateCertificate(f.root, &iotapi.UpdateCertificateInput{CertificateId: &door.id, NewStatus: ptr("REVOKED")}))
	if err := authorize(); err == nil {
		t.Error("a call that runs may go on")
	}
	if code := door.describe(p, "door"); code != "UnrecognizedClientException" {
		t.Errorf("the session goes on: %q", code)
	}
	if p, status := door.credentials(); status != http.StatusForbidden || p.Message != "Access Denied" {
		t.Errorf("the open connection goes on: %d %s", status, p.Message)
	}
}

func TestCredentialProviderRefusesAsAWSDoes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	door := f.enrol("door")
	stranger := &camera{fleet: f, name: "door", client: f.client()}
	wrong := &camera{fleet: f, name: "yard", client: door.client}
	for _, tc := range []struct {
		c       *camera
		path    string
		status  int
		message string
	}{
		{stranger, "/role-aliases/camera/credentials", http.StatusForbidden, "Access Denied"},
		{wrong, "/role-aliases/camera/credentials", http.StatusForbidden, "Invalid thing name passed"},
		{door, "/role-aliases/nope/credentials", http.StatusNotFound, "Role alias does not exist"},
		{door, "/role-aliases/camera", http.StatusNotFound, "Not Found"},
	} {
		var p provided
		if status := tc.c.call("GET", tc.path, nil, &p); status != tc.status || p.Message != tc.message {
			t.Errorf("%s: %d %q, want %d %q", tc.path, status, p.Message, tc.status, tc.message)
		}
	}
}

func TestEveryCallOfADeviceIsAudited(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	door := f.enrol("door")
	door.credentials()
	(&camera{fleet: f, name: "door", client: f.client()}).credentials()
	got := map[string]int{}
	for _, name := range []string{"RedeemEnrolmentToken", "AssumeRoleWithCertificate"} {
		page, err := f.services.audit.Lookup(t.Context(), audit.Query{Attribute: audit.EventName, Value: name, Limit: 10})
		f.must(page, err)
		for _, e := range page.Events {
			text, err := json.Marshal(e)
			f.must(text, err)
			got[name+" "+e.ErrorCode]++
			if strings.Contains(string(text), "obs1_") || strings.Contains(string(text), "sessionToken") {
				t.Errorf("a secret is in %s", text)
			}
		}
	}
	want := map[string]int{"RedeemEnrolmentToken ": 1, "AssumeRoleWithCertificate ": 1, "AssumeRoleWithCertificate AccessDenied": 1}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%q: %d events, want %d (%v)", k, got[k], n, got)
		}
	}
}

func TestStrangersAreBoundedAndDevicesAreNot(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	door := f.enrol("door")
	stranger := &camera{fleet: f, name: "door", client: f.client()}
	refused := 0
	for range strangersBurst + 20 {
		if _, status := stranger.credentials(); status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused == 0 {
		t.Error("strangers may ask without end")
	}
	if _, status := door.credentials(); status != http.StatusOK {
		t.Errorf("a device is answered %d", status)
	}
}

func TestDeviceCAIsKeptWrapped(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	text, err := os.ReadFile(filepath.Join(f.config.Data, "tls", "device-ca.key"))
	f.must(text, err)
	if bytes.Contains(text, []byte("PRIVATE KEY")) {
		t.Error("the key lies in the clear")
	}
	if _, err := x509.ParsePKCS8PrivateKey(text); err == nil {
		t.Error("the key lies in the clear")
	}
}
