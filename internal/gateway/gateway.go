// SPDX-License-Identifier: Apache-2.0

// Package gateway is the front door: every request of every AWS API comes through it and takes the same way,
//
//	route → read → authenticate → throttle → decode → dispatch → audit → answer
//
// It sees services only as generated dispatch tables (awsapi/protocol) and knows nothing of what they do.
//
// Two invariants. No answer of an operation leaves for which no access decision was recorded: the service
// forgot to ask, so the client gets an internal failure. And no answer leaves whose audit event was not
// taken: when the audit log fails, so does the call.
package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// Credentials knows access keys.
type Credentials interface {
	// Credential returns what an access key ID stands for at this moment. sessionToken is empty for
	// long-term credentials. Errors: ErrUnknownClient, ErrExpiredToken; any other fails the call.
	Credential(ctx context.Context, accessKeyID, sessionToken string) (access.Credential, error)
}

// Errors of Credentials.
var (
	// ErrUnknownClient says that there is no such key, that it is inactive, or that the token is not its own.
	ErrUnknownClient = errors.New("gateway: unknown access key or token")
	// ErrExpiredToken says that the session is over.
	ErrExpiredToken = errors.New("gateway: session expired")
)

// Recorder takes audit events. A nil error means that the event will not be lost: for an event that changes
// something it is durable.
type Recorder interface {
	Record(ctx context.Context, e audit.Event) error
}

// Observer is told of each call's end, for metrics. code is empty for success.
type Observer interface {
	ObserveCall(service, operation, code string, took time.Duration)
}

// Config is what a Gateway needs. All fields but Observer and Throttle are required.
type Config struct {
	Router   *protocol.Router
	Verifier *sigv4.Verifier
	// Further has, by name, the Regions beside Region in which some services are there too.
	Further     map[string]Region
	Credentials Credentials
	Authorizer  access.Authorizer
	Audit       Recorder
	// Explain seals what a denial was made of, to be read by those who may; nil: clients get AWS's text alone.
	Explain         func(*access.Denied) (string, error)
	Observer        Observer
	Throttle        *Throttle
	Region, Account string
	Log             *slog.Logger
	Now             func() time.Time
}

// Region is what a Region beside the server's own has.
type Region struct {
	// Router knows the services that are there.
	Router *protocol.Router
	// Verifier takes credentials that are scoped to the Region.
	Verifier *sigv4.Verifier
}

// Gateway is the http.Handler of the API and media listeners. It is safe for concurrent use.
type Gateway struct {
	Config
	strangers *Throttle // counts refusals of operations that nobody signs, by address
}

// New returns a Gateway.
func New(c Config) *Gateway { return &Gateway{c, NewThrottle(refusalsPerSecond)} }

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{gateway: g, w: w, r: r, id: newRequestID(), start: g.Now()}
	defer x.finish()
	x.err = x.serve()
}

// exchange is one request and its answer.
type exchange struct {
	gateway *Gateway
	w       http.ResponseWriter
	r       *http.Request
	id      string
	start   time.Time

	region   string // empty for the server's own
	verifier *sigv4.Verifier
	service  *protocol.Service
	op       *protocol.Operation
	call     *access.Call
	ctx      context.Context // with call in it, once there is one
	in       any
	audited  bool
	err      error
}

// serve takes the request all the way. An error of the operation has been audited when it returns.
func (x *exchange) serve() error {
	g := x.gateway
	auth, authErr := sigv4.ParseAuth(x.r)
	var scope string
	if auth != nil {
		scope = auth.Service
	}
	var err error
	if x.service, x.op, err = x.router(auth).Match(x.w, x.r, scope); err != nil {
		return err
	}
	req, err := x.op.Read(x.w, x.r, x.id)
	if err != nil {
		return err
	}
	principal, err := x.authenticate(auth, authErr, req.Body)
	if err != nil {
		return err
	}
	x.call = x.newCall(principal)
	x.ctx = access.NewContext(x.r.Context(), x.call)
	who := principal.AccessKeyID
	if x.op.Unsigned {
		who = neighbourhood(x.call.SourceIP)
		if g.strangers.spent(who, x.start) {
			return x.service.Error(protocol.Throttling, "") // on no record: it is there that often already
		}
	}
	if !g.Throttle.allow(who, x.start) {
		return x.record(nil, x.service.Error(protocol.Throttling, ""))
	}
	if x.op.StreamsIn {
		req.Writer = &guardedWriter{ResponseWriter: x.w, before: x.beforeStream}
	}
	if x.in, err = x.op.Decode(req); err != nil {
		return x.record(nil, err)
	}
	return x.dispatch()
}

// router goes by the Region in the credential scope. Only services that are in a Region of their own are looked for
// there; IAM and STS, say, are not, and whoever signs for another Region with them means those that there are.
func (x *exchange) router(auth *sigv4.Auth) *protocol.Router {
	x.verifier = x.gateway.Verifier
	if auth == nil {
		return x.gateway.Router
	}
	there, ok := x.gateway.Further[auth.Region]
	if !ok || !there.Router.Serves(auth.Service) {
		return x.gateway.Router
	}
	x.region, x.verifier = auth.Region, there.Verifier
	return there.Router
}

// dispatch runs the operation and answers.
func (x *exchange) dispatch() error {
	out, err := x.op.Call(x.ctx, x.in)
	err = x.decided(err)
	if err := x.record(out, err); err != nil {
		return err
	}
	if x.op.StreamsIn {
		return nil // answered while it ran
	}
	return x.op.Encode(x.w, x.id, out)
}

// decided sees to it that an operation's answer was decided upon. An operation that is not built asks
// nobody, so the question is put here: who may not use it does not learn whether it exists.
func (x *exchange) decided(err error) error {
	if x.call.Decided() || Left(x.r.Context(), err) { // whoever left before it was decided gets nothing anyway
		return err
	}
	if e, ok := errors.AsType[protocol.APIError](err); ok && e.HTTPStatus() == http.StatusNotImplemented {
		denied := x.gateway.Authorizer.Authorize(x.ctx, access.Request{
			Action: x.service.SigningName + ":" + x.op.Name, Resource: "*",
		})
		if denied != nil {
			return denied
		}
		return err
	}
	x.gateway.Log.Error("answer withheld: no access decision was recorded",
		"operation", x.operation(), "request", x.id)
	return fmt.Errorf("%s: no access decision: %w", x.operation(), errUndecided)
}

var (
	errUndecided = errors.New("answer withheld")
	errPanic     = errors.New("operation panicked")
)

// beforeStream runs before the first byte of an answer that is sent while the operation runs.
func (x *exchange) beforeStream() error {
	if !x.call.Decided() {
		return fmt.Errorf("%s: no access decision: %w", x.operation(), errUndecided)
	}
	return x.record(nil, nil)
}

// record audits the call, once, and passes err on. When the event cannot be taken the call fails.
func (x *exchange) record(out any, err error) error {
	if x.audited {
		return err
	}
	x.audited = true
	if err != nil && x.op.Unsigned { // whatever is wrong with it: each refusal is an event
		x.gateway.strangers.allow(neighbourhood(x.call.SourceIP), x.start)
	}
	outcome := audit.Outcome{Region: cmp.Or(x.region, x.gateway.Region), Account: x.gateway.Account, Err: err}
	if x.in != nil && !errors.As(err, new(*access.Denied)) {
		outcome.Params = x.service.AuditParams(x.in)
	}
	if err == nil && out != nil && audit.ShowsResponse(x.call.Service, x.call.Operation) {
		outcome.Response = x.service.AuditParams(out)
	}
	ctx := access.NewContext(context.WithoutCancel(x.r.Context()), x.call)
	if auditErr := x.gateway.Audit.Record(ctx, audit.NewEvent(x.call, outcome)); auditErr != nil {
		return fmt.Errorf("audit of %s: %w", x.operation(), auditErr)
	}
	return err
}

// finish writes the error, if any, and tells log and metrics. It also turns a panic of an operation into an
// internal failure of that one call.
func (x *exchange) finish() {
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			panic(p)
		}
		x.gateway.Log.Error("operation panicked", "operation", x.operation(), "request", x.id,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		x.err = errPanic
		if x.call != nil {
			// It may have changed something before.
			x.err = x.record(nil, errPanic)
		}
	}
	code := x.observe()
	if x.err == nil {
		return
	}
	x.gateway.Log.Debug("call refused", "operation", x.operation(), "request", x.id, "code", code)
	service := x.service
	if service == nil {
		http.Error(x.w, "internal failure", http.StatusInternalServerError)
		return
	}
	service.WriteError(x.w, x.id, x.wireError(service))
}

// wireError is the error as the client sees it.
func (x *exchange) wireError(s *protocol.Service) error {
	d, denied := errors.AsType[*access.Denied](x.err)
	switch {
	case !denied:
		return x.err
	case x.op != nil:
		return x.op.Denied(x.explained(d))
	}
	return s.Error(protocol.AccessDenied, x.explained(d))
}

// explained is AWS's message, and behind it, in AWS's form, what sts:DecodeAuthorizationMessage opens.
func (x *exchange) explained(d *access.Denied) string {
	if x.gateway.Explain == nil || d.Detail == nil {
		return d.Message
	}
	sealed, err := x.gateway.Explain(d)
	if err != nil {
		x.gateway.Log.Error("denial was not explained", "request", x.id, "error", err)
		return d.Message
	}
	return d.Message + ". Encoded authorization failure message: " + sealed
}

func (x *exchange) observe() (code string) {
	g := x.gateway
	switch e, api := errors.AsType[protocol.APIError](x.err); {
	case x.err == nil:
	case errors.As(x.err, new(*access.Denied)):
		code = "AccessDenied"
	case api:
		code = e.ErrorCode()
	case Left(x.r.Context(), x.err):
		code = CallerLeft
	default:
		code = "InternalFailure"
		var begun *protocol.BegunError
		if !errors.As(x.err, &begun) {
			g.Log.Error("call failed", "operation", x.operation(), "request", x.id, "error", x.err)
		}
	}
	if g.Observer != nil && x.op != nil {
		g.Observer.ObserveCall(x.service.SigningName, x.op.Name, code, g.Now().Sub(x.start))
	}
	return code
}

// CallerLeft is the code, for metrics, of a call whose caller went away before it was answered.
const CallerLeft = "CallerLeft"

// Left says whether err is that the caller of a request with ctx went away, which is no fault of the server's. The same
// error for a caller who is still there is one: somebody else's end has reached him.
func Left(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, context.Canceled)
}

func (x *exchange) operation() string {
	if x.op == nil {
		return "unrouted"
	}
	return x.service.SigningName + ":" + x.op.Name
}

// maxUserAgent is the record's own bound, so that a hostile header is not carried any further.
const maxUserAgent = 1024

func (x *exchange) newCall(p access.Principal) *access.Call {
	host, _, err := net.SplitHostPort(x.r.RemoteAddr)
	if err != nil {
		host = x.r.RemoteAddr
	}
	agent := strings.ToValidUTF8(x.r.UserAgent(), "?")
	c := &access.Call{
		Principal: p,
		Service:   x.service.SigningName,
		Operation: x.op.Name,
		Region:    x.region,
		RequestID: x.id,
		SourceIP:  host,
		UserAgent: agent[:min(len(agent), maxUserAgent)],
		Host:      x.r.Host,
		Time:      x.start,
	}
	if t := x.r.TLS; t != nil {
		c.SecureTransport = true
		c.TLSVersion = tls.VersionName(t.Version)
		c.CipherSuite = cipherSuite(t.CipherSuite)
	}
	return c
}

// cipherSuite is tls.CipherSuiteName, which makes lists of all suites, without that for those of TLS 1.3.
func cipherSuite(id uint16) string {
	switch id {
	case tls.TLS_AES_128_GCM_SHA256:
		return "TLS_AES_128_GCM_SHA256"
	case tls.TLS_AES_256_GCM_SHA384:
		return "TLS_AES_256_GCM_SHA384"
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		return "TLS_CHACHA20_POLY1305_SHA256"
	}
	return tls.CipherSuiteName(id)
}

// newRequestID returns a random UUID, the form that AWS's request IDs have.
func newRequestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
