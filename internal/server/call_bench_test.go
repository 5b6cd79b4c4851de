// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// BenchmarkCall is a KMS call from the gateway's door and back, without HTTP, TLS and a client: signature, decision,
// cryptography, audit event and answer. Beside the time of a call it reports the processor time of all threads, in
// which the audit log's writer and the collector are.
func BenchmarkCall(b *testing.B) {
	s, err := Open(b.Context(), Config{
		Data: b.TempDir(), API: Listener{Listen: "127.0.0.1:0"}, Media: Listener{Listen: Off}, Device: Listener{Listen: Off}, Admin: Listener{Listen: Off},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	id, secret, _, err := s.services.iam.EnsureRoot(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	c := caller{b, s, sigv4.Credentials{AccessKeyID: id, SecretAccessKey: secret}}
	var key kmsapi.CreateKeyOutput
	c.answer("CreateKey", &kmsapi.CreateKeyInput{}, &key)
	purpose := map[string]string{"purpose": "bench"}
	encrypt := &kmsapi.EncryptInput{KeyId: key.KeyMetadata.KeyId, Plaintext: make([]byte, 1024), EncryptionContext: purpose}
	var sealed kmsapi.EncryptOutput
	c.answer("Encrypt", encrypt, &sealed)
	generate := &kmsapi.GenerateDataKeyInput{KeyId: key.KeyMetadata.KeyId, KeySpec: new(kmsapi.DataKeySpecAes256), EncryptionContext: purpose}
	decrypt := &kmsapi.DecryptInput{KeyId: key.KeyMetadata.KeyId, CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: purpose}
	c.run("GenerateDataKey", generate)
	c.run("Encrypt", encrypt)
	c.run("Decrypt", decrypt)
	var pair kmsapi.CreateKeyOutput
	c.answer("CreateKey", &kmsapi.CreateKeyInput{KeySpec: new(kmsapi.KeySpecEccNistP256), KeyUsage: new(kmsapi.KeyUsageTypeSignVerify)}, &pair)
	c.run("Sign", &kmsapi.SignInput{
		KeyId: pair.KeyMetadata.KeyId, Message: make([]byte, 32), MessageType: new(kmsapi.MessageTypeDigest),
		SigningAlgorithm: new(kmsapi.SigningAlgorithmSpecEcdsaSha256),
	})
}

// BenchmarkECDSA is the cryptography of a signature alone.
func BenchmarkECDSA(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := make([]byte, 32)
	for b.Loop() {
		if _, err := ecdsa.SignASN1(rand.Reader, key, digest); err != nil {
			b.Fatal(err)
		}
	}
}

// caller makes requests as net/http's server would hand them over.
type caller struct {
	b     *testing.B
	s     *Server
	creds sigv4.Credentials
}

type jsonBody interface{ AppendJSON([]byte) []byte }

// request is a signed call, and its body.
func (c *caller) request(operation string, in jsonBody) (*http.Request, []byte) {
	body := in.AppendJSON(nil)
	r := httptest.NewRequest(http.MethodPost, "https://127.0.0.1:8443/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "TrentService."+operation)
	r.Header.Set("User-Agent", "Go-http-client/1.1")
	r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}
	sigv4.Sign(r, sigv4.HashBody(body), c.creds, DefaultRegion, "kms", time.Now())
	return r, body
}

func (c *caller) answer(operation string, in jsonBody, into interface{ DecodeJSON(*protocol.JSONReader) }) {
	c.b.Helper()
	r, body := c.request(operation, in)
	w := httptest.NewRecorder()
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.s.gateway.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		c.b.Fatalf("%d %s", w.Code, w.Body)
	}
	into.DecodeJSON(protocol.NewJSONReader(w.Body.Bytes()))
}

func (c *caller) run(operation string, in jsonBody) {
	c.b.Run(operation, func(b *testing.B) {
		r, body := c.request(operation, in)
		b.ReportAllocs()
		before := processorTime(b)
		for b.Loop() {
			w := discard{header: http.Header{}}
			r.Body = io.NopCloser(bytes.NewReader(body))
			c.s.gateway.ServeHTTP(&w, r)
			if w.code != http.StatusOK {
				b.Fatal(w.code)
			}
		}
		b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	})
}

// discard is a ResponseWriter that keeps the status alone.
type discard struct {
	header http.Header
	code   int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(code int)        { d.code = code }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(fmt.Errorf("processor time: %w", err))
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
