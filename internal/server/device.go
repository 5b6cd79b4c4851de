// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/gateway"
	"github.com/obscura-video/obscura/internal/policy"
	"github.com/obscura-video/obscura/internal/service/iot"
)

// deviceAuthorityLife outlasts the devices: their certificates count by being registered, and cannot outlive it.
const deviceAuthorityLife = 30 * 365 * 24 * time.Hour

func deviceAuthority(dir string) authorityFiles {
	return authorityFiles{dir: dir, name: "device-ca", subject: "Obscura device CA", life: deviceAuthorityLife}
}

// bindDevice binds the device listener, nil when it is off. Any client certificate is asked for and its key proven;
// whether it counts is for each request to decide (package iot), since it can be revoked while a connection lasts.
func (s *Server) bindDevice(ctx context.Context, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (net.Listener, error) {
	if s.config.Device.Listen == Off {
		return nil, nil
	}
	var lc net.ListenConfig
	on, err := lc.Listen(ctx, "tcp", s.config.Device.Listen)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(on, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: certificate,
		ClientAuth: tls.RequestClientCert,
	}), nil
}

// deviceConfig is what only the server knows of what service iot needs.
func (s *Server) deviceConfig(ctx context.Context) (iot.Config, error) {
	c := s.config
	out := iot.Config{
		Account: c.Account, Region: c.Region, APIEndpoint: s.endpoints.API, Now: c.Now,
		DeviceEndpoint: strings.TrimPrefix(s.endpoints.Device, "https://"),
	}
	if s.authority != nil {
		out.ServerCA = s.authority.pem
	}
	if c.DeviceCACert != "" {
		ca, err := operatorAuthority(c.DeviceCACert, c.DeviceCAKey)
		out.CA = ca
		return out, err
	}
	a, err := openAuthority(ctx, deviceAuthority(filepath.Join(s.endpoints.Data, "tls")), s.stores.root, c.Now())
	if err != nil {
		return out, fmt.Errorf("device CA: %w", err)
	}
	out.CA = iot.Authority{Certificate: a.cert, Key: a.key}
	return out, nil
}

// operatorAuthority reads an operator's own intermediate.
func operatorAuthority(certFile, keyFile string) (iot.Authority, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return iot.Authority{}, fmt.Errorf("%w: device CA: %w", ErrConfig, err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return iot.Authority{}, fmt.Errorf("%w: device CA: %s is no CA's certificate", ErrConfig, certFile)
	}
	return iot.Authority{Certificate: pair.Leaf, Key: signer}, nil
}

const (
	// maxDeviceBody bounds what a device sends: a certificate request and a few names, in bytes.
	maxDeviceBody = 16 << 10
	// strangersPerSecond bounds the calls of those who show no certificate in force, so that they can neither
	// keep the server busy nor fill the audit log.
	strangersPerSecond, strangersBurst = 5, 50
)

// deviceHandler serves devices: the credential provider of AWS IoT, and Obscura's own enrolment
// (docs/formats/device-folder.md).
func (s *Server) deviceHandler() http.Handler {
	d := &devices{Server: s, strangers: rate.NewLimiter(strangersPerSecond, strangersBurst)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /role-aliases/{alias}/credentials", d.call("AssumeRoleWithCertificate", d.credentials))
	mux.HandleFunc("POST /enrolment", d.call("RedeemEnrolmentToken", d.redeem))
	mux.HandleFunc("POST /enrolment/renewal", d.call("RenewCertificate", d.renew))
	mux.HandleFunc("POST /provisioning-templates/{template}/provision", d.call("ProvisionThing", d.provision))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeDeviceError(w, protocol.NewError("ResourceNotFoundException", http.StatusNotFound, "Not Found"), requestID())
	})
	return mux
}

type devices struct {
	*Server
	strangers *rate.Limiter
}

// answer is what a device gets, and what the audit event shows of request and response.
type answer struct {
	body             any
	params, response map[string]any
}

// call wraps an operation of a device: who it is, how often strangers may, audit, answer.
func (d *devices) call(operation string, do func(context.Context, *http.Request, iot.Holder) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, began := requestID(), d.config.Now()
		h := iot.Holder{ThingName: r.Header.Get("X-Amzn-Iot-Thingname")}
		if t := r.TLS; t != nil && len(t.PeerCertificates) > 0 {
			h.DER = t.PeerCertificates[0].Raw
		}
		if !d.services.iot.InForce(iot.CertificateID(h.DER)) && !d.strangers.AllowN(began, 1) {
			writeDeviceError(w, protocol.NewError("ThrottlingException", http.StatusTooManyRequests, "Rate exceeded"), id)
			return
		}
		call := deviceCall(r, h, operation, id, began)
		ctx := access.NewContext(r.Context(), call)
		r.Body = http.MaxBytesReader(w, r.Body, maxDeviceBody)
		out, err := do(ctx, r, h)
		event := audit.NewEvent(call, audit.Outcome{
			Region: d.config.Region, Account: d.config.Account, Params: out.params, Response: out.response, Err: err,
		})
		if auditErr := recordCall(context.WithoutCancel(ctx), d.services.audit, event); auditErr != nil {
			err = fmt.Errorf("audit of iot:%s: %w", operation, auditErr)
		}
		d.observe(r.Context(), operation, err, began)
		if err != nil {
			writeDeviceError(w, err, id)
			return
		}
		w.Header().Set("X-Amzn-Requestid", id)
		writeDeviceJSON(w, http.StatusOK, out.body)
	}
}

func deviceCall(r *http.Request, h iot.Holder, operation, id string, now time.Time) *access.Call {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	agent := strings.ToValidUTF8(r.UserAgent(), "?")
	c := &access.Call{
		Service: "iot", Operation: operation, RequestID: id, SourceIP: host, Host: r.Host, Time: now,
		UserAgent: agent[:min(len(agent), 1024)],
	}
	c.Principal = access.Principal{Principal: policy.Principal{Kind: policy.Anonymous}}
	if h.DER != nil {
		c.Principal.UserName = iot.CertificateID(h.DER)
	}
	if t := r.TLS; t != nil {
		c.SecureTransport, c.TLSVersion, c.CipherSuite = true, tls.VersionName(t.Version), tls.CipherSuiteName(t.CipherSuite)
	}
	return c
}

func (d *devices) observe(ctx context.Context, operation string, err error, began time.Time) {
	code := ""
	switch e, api := errors.AsType[protocol.APIError](err); {
	case err == nil:
	case api:
		code = e.ErrorCode()
	case gateway.Left(ctx, err):
		code = gateway.CallerLeft
	default:
		code = "InternalFailure"
		d.config.Log.Error("device call failed", "operation", operation, "error", err)
	}
	d.metrics.ObserveCall("iot", operation, code, d.config.Now().Sub(began))
}

// credentials answers as AWS's credential provider does. Producer SDKs in C take no expiration but one of exactly
// twenty characters.
func (d *devices) credentials(ctx context.Context, r *http.Request, h iot.Holder) (answer, error) {
	alias := r.PathValue("alias")
	out := answer{params: map[string]any{"roleAlias": alias, "thingName": h.ThingName}}
	c, err := d.services.iot.AssumeRoleWithCertificate(ctx, h, alias)
	if err != nil {
		return out, err
	}
	expiration := c.Expiration.UTC().Format("2006-01-02T15:04:05Z")
	out.response = map[string]any{"credentials": map[string]any{"accessKeyId": *c.AccessKeyId, "expiration": expiration}}
	out.body = map[string]any{"credentials": map[string]string{
		"accessKeyId": *c.AccessKeyId, "secretAccessKey": *c.SecretAccessKey, "sessionToken": *c.SessionToken, "expiration": expiration,
	}}
	return out, nil
}

// enrolRequest is what a device sends to enrol or to renew.
type enrolRequest struct {
	Token string `json:"enrolmentToken"`
	CSR   string `json:"certificateSigningRequest"`
	// Parameters are those of a provisioning template.
	Parameters map[string]string `json:"parameters"`
}

func readEnrolRequest(r *http.Request) (enrolRequest, error) {
	var in enrolRequest
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return in, protocol.NewError("InvalidRequestException", http.StatusBadRequest, "The request body is malformed.")
	}
	return in, nil
}

func (d *devices) redeem(ctx context.Context, r *http.Request, _ iot.Holder) (answer, error) {
	in, err := readEnrolRequest(r)
	if err != nil {
		return answer{}, err
	}
	token, err := iot.ParseToken(in.Token)
	if err != nil {
		return answer{}, protocol.NewError("InvalidRequestException", http.StatusBadRequest, "The enrolment token is malformed.")
	}
	return enrolled(d.services.iot.Redeem(ctx, token.Secret, in.CSR))
}

func (d *devices) renew(ctx context.Context, r *http.Request, h iot.Holder) (answer, error) {
	in, err := readEnrolRequest(r)
	if err != nil {
		return answer{}, err
	}
	return enrolled(d.services.iot.Renew(ctx, h, in.CSR))
}

func (d *devices) provision(ctx context.Context, r *http.Request, h iot.Holder) (answer, error) {
	in, err := readEnrolRequest(r)
	if err != nil {
		return answer{}, err
	}
	return enrolled(d.services.iot.Provision(ctx, h, r.PathValue("template"), in.CSR, in.Parameters))
}

func enrolled(e *iot.Enrolment, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return answer{body: e, response: map[string]any{"thingName": e.ThingName, "certificateId": e.CertificateID}}, nil
}

// writeDeviceError answers as the credential provider does: {"message":…,"traceId":…}.
func writeDeviceError(w http.ResponseWriter, err error, id string) {
	status, message := http.StatusInternalServerError, "Internal Server Error"
	if e, ok := errors.AsType[protocol.APIError](err); ok {
		status, message = e.HTTPStatus(), e.ErrorMessage()
		w.Header().Set("X-Amzn-Errortype", e.ErrorCode())
	}
	w.Header().Set("X-Amzn-Requestid", id)
	writeDeviceJSON(w, status, map[string]string{"message": message, "traceId": id})
}

func writeDeviceJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

// requestID is random text; the gateway's are UUIDs, devices only print them.
func requestID() string { return strings.ToLower(rand.Text()) }
