// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/gateway"
	"github.com/obscura-video/obscura/internal/policy"
	"github.com/obscura-video/obscura/internal/sigv4"
)

const secret = "wJalrXUtnFEMIexampleSECRETkeyexample0000"

// keys is a KMS whose few operations misbehave as their tests want.
type keys struct {
	kms.Unimplemented
	authorizer access.Authorizer
	forget     bool // to ask the Authorizer
	panics     bool
	during     func() error // if not nil, called when it was decided
}

func (k *keys) DescribeKey(ctx context.Context, in *kms.DescribeKeyInput) (*kms.DescribeKeyOutput, error) {
	if k.panics {
		panic("a bug")
	}
	if !k.forget {
		if err := k.authorizer.Authorize(ctx, access.Request{Action: "kms:DescribeKey", Resource: *in.KeyId}); err != nil {
			return nil, err
		}
	}
	if k.during != nil {
		if err := k.during(); err != nil {
			return nil, err
		}
	}
	return &kms.DescribeKeyOutput{KeyMetadata: &kms.KeyMetadata{KeyId: in.KeyId}}, nil
}

// decider allows or denies everything, and notes the decision as the real one does.
type decider struct{ allow bool }

func (d decider) PoliciesFor(context.Context, *access.Principal) ([]*policy.Document, *policy.Document, error) {
	effect := "Deny"
	if d.allow {
		effect = "Allow"
	}
	doc, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"`+effect+`","Action":"*","Resource":"*"}}`), policy.Identity)
	return []*policy.Document{doc}, nil, err
}

type credentials struct{}

func (credentials) Credential(_ context.Context, id, token string) (access.Credential, error) {
	switch {
	case id == "AKIAEXPIRED":
		return access.Credential{}, gateway.ErrExpiredToken
	case id != "AKIATEST" || token != "":
		return access.Credential{}, gateway.ErrUnknownClient
	}
	p := access.Principal{AccessKeyID: id, UserName: "ana"}
	p.Kind, p.ARN, p.Account = policy.User, "arn:aws:iam::000000000000:user/ana", "000000000000"
	return access.Credential{SecretAccessKey: secret, Principal: p}, nil
}

type recorder struct {
	events []audit.Event
	err    error
}

func (r *recorder) Record(_ context.Context, e audit.Event) error {
	r.events = append(r.events, e)
	return r.err
}

type fixture struct {
	*gateway.Gateway
	server *keys
	audit  *recorder
	config gateway.Config
}

func newFixture(allow bool) *fixture {
	authorizer := access.New(decider{allow}, "000000000000", "us-east-1", nil)
	f := &fixture{server: &keys{authorizer: authorizer}, audit: &recorder{}}
	f.config = gateway.Config{
		Router:      protocol.NewRouter(kms.New(f.server)),
		Verifier:    sigv4.NewVerifier("us-east-1"),
		Credentials: credentials{},
		Authorizer:  authorizer,
		Audit:       f.audit,
		Region:      "us-east-1", Account: "000000000000",
		Log: slog.New(slog.DiscardHandler),
		Now: time.Now,
	}
	f.Gateway = gateway.New(f.config)
	return f
}

// answer is a response, taken apart.
type answer struct {
	status        int
	code, message string
	requestID     string
}

func (f *fixture) do(t *testing.T, operation, body string, sign func(*http.Request, string)) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://obscura.example/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "TrentService."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	sign(r, sigv4.HashBody([]byte(body)))
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	res := w.Result()
	raw, _ := io.ReadAll(res.Body)
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(raw, &e)
	a := answer{status: res.StatusCode, code: e.Type, message: e.Message}
	//lint:ignore SA1008 producers look for just this spelling
	if ids := res.Header["x-amzn-RequestId"]; len(ids) == 1 {
		a.requestID = ids[0]
	}
	return a
}

func signedBy(id, secret string) func(*http.Request, string) {
	return func(r *http.Request, hash string) {
		sigv4.Sign(r, hash, sigv4.Credentials{AccessKeyID: id, SecretAccessKey: secret}, "us-east-1", "kms", time.Now())
	}
}

var ana = signedBy("AKIATEST", secret)

const describe = `{"KeyId":"arn:aws:kms:us-east-1:000000000000:key/1"}`

func TestAllowedCallIsAnsweredAndAudited(t *testing.T) {
	f := newFixture(true)
	a := f.do(t, "DescribeKey", describe, ana)
	if a.status != 200 || a.requestID == "" {
		t.Fatalf("%+v", a)
	}
	if len(f.audit.events) != 1 {
		t.Fatalf("%d events", len(f.audit.events))
	}
	e := f.audit.events[0]
	if e.RequestID != a.requestID || e.EventName != "DescribeKey" || e.UserIdentity.UserName != "ana" || e.ErrorCode != "" {
		t.Errorf("event %+v", e)
	}
}

func TestDeniedCallIsAuditedToo(t *testing.T) {
	f := newFixture(false)
	a := f.do(t, "DescribeKey", describe, ana)
	if a.code != "AccessDeniedException" || !strings.Contains(a.message, "is not authorized to perform: kms:DescribeKey") {
		t.Fatalf("%+v", a)
	}
	if len(f.audit.events) != 1 || f.audit.events[0].ErrorCode != "AccessDenied" {
		t.Errorf("events %+v", f.audit.events)
	}
}

func TestWhoIsNotAuthenticatedLearnsNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		sign func(*http.Request, string)
		code string
	}{
		"unsigned":        {func(*http.Request, string) {}, "MissingAuthenticationTokenException"},
		"unknown key":     {signedBy("AKIAOTHER", secret), "UnrecognizedClientException"},
		"expired session": {signedBy("AKIAEXPIRED", secret), "ExpiredTokenException"},
		"wrong secret":    {signedBy("AKIATEST", "another"), "InvalidSignatureException"},
		"malformed":       {func(r *http.Request, _ string) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 nonsense") }, "IncompleteSignatureException"},
		"other service": {func(r *http.Request, hash string) {
			sigv4.Sign(r, hash, sigv4.Credentials{AccessKeyID: "AKIATEST", SecretAccessKey: secret}, "us-east-1", "s3", time.Now())
		}, "InvalidSignatureException"},
		"an hour old": {func(r *http.Request, hash string) {
			sigv4.Sign(r, hash, sigv4.Credentials{AccessKeyID: "AKIATEST", SecretAccessKey: secret}, "us-east-1", "kms", time.Now().Add(-time.Hour))
		}, "InvalidSignatureException"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(true)
			a := f.do(t, "DescribeKey", describe, tc.sign)
			if a.status < 400 || a.code != tc.code && name != "other service" {
				t.Errorf("%+v, want %s", a, tc.code)
			}
			if len(f.audit.events) != 0 {
				t.Error("an event for nobody")
			}
		})
	}
}

func TestUndecidedAnswerIsWithheld(t *testing.T) {
	f := newFixture(true)
	f.server.forget = true
	if a := f.do(t, "DescribeKey", describe, ana); a.status != 500 || a.code != "InternalFailureException" {
		t.Errorf("%+v", a)
	}
}

func TestUnbuiltOperationIsDecidedByTheGateway(t *testing.T) {
	body := `{"CustomKeyStoreName":"x"}`
	if a := newFixture(false).do(t, "CreateCustomKeyStore", body, ana); a.code != "AccessDeniedException" {
		t.Errorf("denied caller: %+v", a)
	}
	if a := newFixture(true).do(t, "CreateCustomKeyStore", body, ana); a.status != 501 {
		t.Errorf("allowed caller: %+v", a)
	}
}

func TestCallFailsWhenItsEventIsNotTaken(t *testing.T) {
	f := newFixture(true)
	f.audit.err = errors.New("disk gone")
	if a := f.do(t, "DescribeKey", describe, ana); a.status != 500 || strings.Contains(a.message, "disk") {
		t.Errorf("%+v", a)
	}
}

func TestPanicFailsOneCallAndIsAudited(t *testing.T) {
	f := newFixture(true)
	f.server.panics = true
	if a := f.do(t, "DescribeKey", describe, ana); a.status != 500 {
		t.Errorf("%+v", a)
	}
	if len(f.audit.events) != 1 || f.audit.events[0].ErrorCode != "InternalFailure" {
		t.Errorf("events %+v", f.audit.events)
	}
}

func TestThrottledCallIsRefusedAndAudited(t *testing.T) {
	f := newFixture(true)
	f.config.Throttle = gateway.NewThrottle(0.001)
	f.Gateway = gateway.New(f.config)
	if a := f.do(t, "DescribeKey", describe, ana); a.status != 200 {
		t.Fatalf("first: %+v", a)
	}
	if a := f.do(t, "DescribeKey", describe, ana); a.code != "ThrottlingException" {
		t.Errorf("second: %+v", a)
	}
	if len(f.audit.events) != 2 {
		t.Errorf("%d events", len(f.audit.events))
	}
}

func TestUnknownOperationIsNamed(t *testing.T) {
	if a := newFixture(true).do(t, "MakeCoffee", "{}", ana); a.code != "UnknownOperationException" {
		t.Errorf("%+v", a)
	}
}

// TestRefusalsOfStrangersAreOnRecordOnlySoOften: also those that are refused before anybody has looked at their proof,
// or nobody could fill the audit log faster than who sends nothing but nonsense.
func TestRefusalsOfStrangersAreOnRecordOnlySoOften(t *testing.T) {
	for name, throttle := range map[string]*gateway.Throttle{"malformed": nil, "above the rate": gateway.NewThrottle(0.001)} {
		f := newFixture(true)
		f.config.Router = protocol.NewRouter(sts.New(sts.Unimplemented{}))
		f.config.Throttle = throttle
		f.config.Now = func() time.Time { return time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC) }
		f.Gateway = gateway.New(f.config)
		for range 100 {
			r := httptest.NewRequest(http.MethodPost, "https://obscura.example/", strings.NewReader("Action=AssumeRoleWithWebIdentity&Version=2011-06-15"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			f.ServeHTTP(w, r)
			if w.Code == http.StatusOK || w.Code >= http.StatusInternalServerError {
				t.Fatalf("%s: %d %s", name, w.Code, w.Body)
			}
		}
		if n := len(f.audit.events); n == 0 || n > 20 {
			t.Errorf("%s: %d events of 100 calls", name, n)
		}
	}
}

// TestCallerWhoLeavesIsNoFault, and one who is still there and gets the end of another's call is: nobody would look
// for the mistake if it were not in the operator's log.
func TestCallerWhoLeavesIsNoFault(t *testing.T) {
	for i := range 4 {
		left, decided := i%2 == 0, i < 2
		f, log := newFixture(true), new(strings.Builder)
		f.server.forget = !decided // as an operation does that first looks at what it is to decide about
		f.config.Log = slog.New(slog.NewTextHandler(log, nil))
		observed := new(codes)
		f.config.Observer = observed
		f.Gateway = gateway.New(f.config)
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		f.server.during = func() error {
			if left {
				leave()
			}
			return fmt.Errorf("read: %w", context.Canceled)
		}
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "https://obscura.example/", strings.NewReader(describe))
		r.Header.Set("X-Amz-Target", "TrentService.DescribeKey")
		ana(r, sigv4.HashBody([]byte(describe)))
		f.ServeHTTP(httptest.NewRecorder(), r)
		if logged := strings.Contains(log.String(), "level=ERROR"); logged == left {
			t.Errorf("caller has left: %v, it was decided: %v; log:\n%s", left, decided, log)
		}
		want := codes{"InternalFailure"}
		if left {
			want = codes{gateway.CallerLeft}
		}
		if !slices.Equal(*observed, want) || len(f.audit.events) != 1 {
			t.Errorf("caller has left: %v; metrics have %v, the record %d events", left, *observed, len(f.audit.events))
		}
	}
}

// codes are those of the calls observed.
type codes []string

// ObserveCall implements gateway.Observer.
func (c *codes) ObserveCall(_, _, code string, _ time.Duration) { *c = append(*c, code) }
