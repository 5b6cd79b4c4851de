// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const msgMismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

func signedFor(t testing.TB, region, service string, header ...string) *http.Request {
	r := newRequest(t, "POST", "https://h/p", "", header...)
	Sign(r, EmptyHash, Credentials{testKey, testSecret, ""}, region, service, testTime)
	return arrived(r)
}

func TestVerifyErrors(t *testing.T) {
	const minute = time.Minute
	presigned := func(service string, expires time.Duration) *http.Request {
		r := newRequest(t, "GET", "https://h/p", "")
		Presign(r, EmptyHash, Credentials{testKey, testSecret, ""}, testRegion, service, testTime, expires)
		return arrived(r)
	}
	with := func(r *http.Request, name, value string) *http.Request {
		r.Header.Add(name, value)
		return r
	}
	signedWith := func(service, name, value string) *http.Request {
		r := newRequest(t, "POST", "https://h/p", "", name, value)
		hash := EmptyHash
		if name == "X-Amz-Content-Sha256" {
			hash = value
		}
		Sign(r, hash, Credentials{testKey, testSecret, ""}, testRegion, service, testTime)
		return arrived(r)
	}
	for _, tt := range []struct {
		name    string
		r       *http.Request
		later   time.Duration
		payload Payload
		kind    Kind
		message string
	}{
		{"in time", signedFor(t, testRegion, "kms"), 5 * minute, Payload{}, 0, ""},
		{"old", signedFor(t, testRegion, "kms"), 6 * minute, Payload{}, Expired, "Signature expired: 20261123T030405Z is now earlier than 20261123T030505Z (20261123T031005Z - 5 min.)"},
		{"early in time", signedFor(t, testRegion, "kms"), -5 * minute, Payload{}, 0, ""},
		{"early", signedFor(t, testRegion, "kms"), -6 * minute, Payload{}, NotYetCurrent, "Signature not yet current: 20261123T030405Z is still later than 20261123T030305Z (20261123T025805Z + 5 min.)"},
		{"old, video", signedFor(t, testRegion, "kinesisvideo"), 15 * minute, Payload{}, 0, ""},
		{"older, video", signedFor(t, testRegion, "kinesisvideo"), 16 * minute, Payload{}, Expired, "Signature expired: 20261123T030405Z is now earlier than 20261123T030505Z (20261123T032005Z - 15 min.)"},
		{"early, S3", signedFor(t, testRegion, "s3"), -16 * minute, Payload{}, NotYetCurrent, "The difference between the request time and the current time is too large."},
		{"old, S3", signedFor(t, testRegion, "s3"), 16 * minute, Payload{}, Expired, "The difference between the request time and the current time is too large."},
		{"presigned, past, S3", presigned("s3", time.Hour), 2 * time.Hour, Payload{}, PresignExpired, "Request has expired"},
		{"region, S3", signedFor(t, "us-east-2", "s3"), 0, Payload{}, WrongRegion, "The authorization header is malformed; the region 'us-east-2' is wrong; expecting 'us-east-1'"},
		{"presigned", presigned("sts", time.Hour), time.Hour, Payload{}, 0, ""},
		{"presigned, past", presigned("sts", time.Hour), time.Hour + time.Second, Payload{}, PresignExpired, "Signature expired: 20261123T030405Z is now earlier than 20261123T030406Z (20261123T040406Z - 60 min.)"},
		{"presigned, early", presigned("sts", time.Hour), -6 * minute, Payload{}, NotYetCurrent, "Signature not yet current: 20261123T030405Z is still later than 20261123T030305Z (20261123T025805Z + 5 min.)"},
		{"region", signedFor(t, "us-east-2", "kms"), 0, Payload{}, WrongRegion, "Credential should be scoped to a valid region, not 'us-east-2'."},
		{"second region", signedFor(t, "eu-central-1", "kms"), 0, Payload{}, 0, ""},
		{"any region for IAM", signedFor(t, "aws-global", "iam"), 0, Payload{}, 0, ""},
		{"any region for STS", signedFor(t, "mars-1", "sts"), 0, Payload{}, 0, ""},
		{"any region for CloudFront", signedFor(t, "mars-1", "cloudfront"), 0, Payload{}, 0, ""},
		{"body", signedFor(t, testRegion, "kms"), 0, Body([]byte("x")), SignatureMismatch, msgMismatch},
		{"declared hash", signedWith("kms", "X-Amz-Content-Sha256", HashBody([]byte("x"))), 0, Body([]byte("x")), 0, ""},
		{"declared hash of another body", signedWith("kms", "X-Amz-Content-Sha256", HashBody([]byte("x"))), 0, Body([]byte("y")), PayloadMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed."},
		{"UNSIGNED-PAYLOAD outside S3", signedWith("kms", "X-Amz-Content-Sha256", UnsignedPayload), 0, Body([]byte("y")), PayloadMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed."},
		{"UNSIGNED-PAYLOAD for S3", signedWith("s3", "X-Amz-Content-Sha256", UnsignedPayload), 0, Body([]byte("y")), 0, ""},
		{"PutMedia with a body's hash", signedWith("kinesisvideo", "X-Amz-Content-Sha256", HashBody([]byte("x"))), 0, StreamedBody(), PayloadMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed."},
		{"streaming form outside S3", signedWith("kms", "X-Amz-Content-Sha256", StreamingPayload), 0, DeferredBody(), PayloadMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed."},
		{"deferred without a hash", signedFor(t, testRegion, "kms"), 0, DeferredBody(), PayloadMismatch, "Missing required header for this request: x-amz-content-sha256"},
		{"unsigned x-amzn-stream-name", with(signedFor(t, testRegion, "kinesisvideo"), "X-Amzn-Stream-Name", "cam"), 0, StreamedBody(), HeadersNotSigned, "There were headers present in the request which were not signed: x-amzn-stream-name"},
		{"unsigned x-amzn-stream-arn beside a signed name", with(signedFor(t, testRegion, "kinesisvideo", "X-Amzn-Stream-Name", "cam"), "X-Amzn-Stream-Arn", "arn"), 0, StreamedBody(), HeadersNotSigned, "There were headers present in the request which were not signed: x-amzn-stream-arn"},
		{"second x-amzn-stream-name", with(signedFor(t, testRegion, "kinesisvideo", "X-Amzn-Stream-Name", "cam"), "X-Amzn-Stream-Name", "other"), 0, StreamedBody(), SignatureMismatch, msgMismatch},
		{"unsigned x-amz-target", with(signedFor(t, testRegion, "kms"), "X-Amz-Target", "TrentService.Decrypt"), 0, Payload{}, HeadersNotSigned, "There were headers present in the request which were not signed: x-amz-target"},
		{"unsigned x-amz-meta", with(signedFor(t, testRegion, "s3"), "X-Amz-Meta-A", "b"), 0, Payload{}, HeadersNotSigned, "There were headers present in the request which were not signed: x-amz-meta-a"},
		{"unsigned token", with(signedFor(t, testRegion, "kinesisvideo"), "X-Amz-Security-Token", testToken), 0, Payload{}, 0, ""},
		{"unsigned token, S3", with(signedFor(t, testRegion, "s3"), "X-Amz-Security-Token", testToken), 0, Payload{}, HeadersNotSigned, "There were headers present in the request which were not signed: x-amz-security-token"},
		{"unsigned trace id", with(signedFor(t, testRegion, "s3"), "X-Amzn-Trace-Id", "Root=1"), 0, Payload{}, 0, ""},
		{"second x-amz-date", with(signedFor(t, testRegion, "kms"), "X-Amz-Date", "20261123T030405Z"), 0, Payload{}, Incomplete, "Only one 'X-Amz-Date' header is allowed."},
		{"second authorization", with(signedFor(t, testRegion, "kms"), "Authorization", "x"), 0, Payload{}, Incomplete, "Only one 'Authorization' header is allowed."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			auth, err := ParseAuth(tt.r)
			if err == nil {
				err = newTestVerifier().Verify(testTime.Add(tt.later), tt.r, auth, testSecret, tt.payload)
			}
			checkError(t, err, tt.kind, tt.message)
		})
	}
}

func checkError(t *testing.T, err error, kind Kind, message string) {
	t.Helper()
	e := (*Error)(nil)
	switch {
	case kind == 0 && err == nil:
	case !errors.As(err, &e) || e.Kind != kind || e.Message != message:
		t.Errorf("got  %v\nwant kind %d, %s", err, kind, message)
	}
}

func TestVerifyRefusesAnEmptySecret(t *testing.T) {
	r := newRequest(t, "GET", "https://h/", "")
	Sign(r, EmptyHash, Credentials{testKey, "", ""}, testRegion, "kms", testTime)
	auth, err := ParseAuth(arrived(r))
	if err != nil {
		t.Fatal(err)
	}
	checkError(t, newTestVerifier().Verify(testTime, arrived(r), auth, "", Payload{}), SignatureMismatch, msgMismatch)
}

func TestParseAuthErrors(t *testing.T) {
	sig := strings.Repeat("a", 64)
	const cred = "Credential=AKID/20261123/us-east-1/kms/aws4_request"
	const needs = "Authorization header requires "
	header := func(auth string, more ...string) *http.Request {
		return newRequest(t, "GET", "https://h/", "", append([]string{"Authorization", auth, "X-Amz-Date", "20261123T030405Z"}, more...)...)
	}
	query := func(q string) *http.Request { return newRequest(t, "GET", "https://h/?"+q, "") }
	const full = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID/20261123/us-east-1/kms/aws4_request&X-Amz-Date=20261123T030405Z&X-Amz-SignedHeaders=host&X-Amz-Signature="
	const fiveParts = "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
	undated := header("AWS4-HMAC-SHA256 " + cred + ", SignedHeaders=host, Signature=" + sig)
	undated.Header.Del("X-Amz-Date")
	for _, tt := range []struct {
		name    string
		r       *http.Request
		kind    Kind
		message string
	}{
		{"nothing", newRequest(t, "GET", "https://h/", ""), MissingToken, "Missing Authentication Token"},
		{"X-Amz-Expires alone", query("X-Amz-Expires=600"), MissingToken, "Missing Authentication Token"},
		{"good header", header("AWS4-HMAC-SHA256 " + cred + ",SignedHeaders=host,Signature=" + sig), 0, ""},
		{"good query", query(full + sig), 0, ""},
		{"SigV2", header("AWS AKID:x"), Unsupported, "Unsupported AWS 'algorithm'; only AWS4-HMAC-SHA256 is supported."},
		{"bearer", header("Bearer x"), Unsupported, "Unsupported AWS 'algorithm'; only AWS4-HMAC-SHA256 is supported."},
		{"SigV4A", header("AWS4-ECDSA-P256-SHA256 " + cred), Unsupported, "Unsupported AWS 'algorithm'; only AWS4-HMAC-SHA256 is supported."},
		{"SigV4A query", query(strings.Replace(full, "HMAC", "ECDSA", 1) + sig), Unsupported, "Unsupported AWS 'algorithm'; only AWS4-HMAC-SHA256 is supported."},
		{"no parameters", header("AWS4-HMAC-SHA256 x=y"), Incomplete, needs + "'Credential' parameter. " + needs + "'Signature' parameter. " + needs + "'SignedHeaders' parameter."},
		{"no signature", header("AWS4-HMAC-SHA256 " + cred + ", SignedHeaders=host"), Incomplete, needs + "'Signature' parameter."},
		{"no date", undated, Incomplete, needs + "existence of either a 'X-Amz-Date' or a 'Date' header."},
		{"parameter twice", header("AWS4-HMAC-SHA256 " + cred + ", SignedHeaders=host, Signature=" + sig + ", Signature=" + sig), Incomplete, "'Authorization' header has a malformed or repeated parameter."},
		{"too long", header("AWS4-HMAC-SHA256 " + strings.Repeat("x", maxAuthorizationBytes)), Incomplete, "The 'Authorization' header is too long."},
		{"short credential", header("AWS4-HMAC-SHA256 Credential=AKID/x, SignedHeaders=host, Signature=" + sig), Incomplete, fiveParts},
		{"terminator", header("AWS4-HMAC-SHA256 Credential=AKID/20261123/us-east-1/kms/aws3_request, SignedHeaders=host, Signature=" + sig), Incomplete, "Credential should be scoped with a valid terminator: 'aws4_request'."},
		{"key with a blank", header("AWS4-HMAC-SHA256 Credential=A KID/20261123/us-east-1/kms/aws4_request, SignedHeaders=host, Signature=" + sig), Incomplete, "Credential is malformed."},
		{"date of another day", header("AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/kms/aws4_request, SignedHeaders=host, Signature=" + sig), WrongDate, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261122' != '20261123', from '20261123T030405Z'."},
		{"host not signed", header("AWS4-HMAC-SHA256 " + cred + ", SignedHeaders=x-amz-date, Signature=" + sig), Incomplete, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"header in upper case", header("AWS4-HMAC-SHA256 " + cred + ", SignedHeaders=host;X-Amz-Date, Signature=" + sig), Incomplete, "'SignedHeaders' must be lower-case header names."},
		{"too many headers", header("AWS4-HMAC-SHA256 " + cred + ", SignedHeaders=host" + strings.Repeat(";a", 200) + ", Signature=" + sig), Incomplete, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"short signature", header("AWS4-HMAC-SHA256 " + cred + ", SignedHeaders=host, Signature=abc"), Incomplete, "Signature must be 64 hexadecimal digits."},
		{"query lacks", query("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=x&X-Amz-Date=y"), Incomplete, "AWS query-string parameters must include 'X-Amz-Signature'. AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the query-string parameters."},
		{"query twice", query(full + sig + "&X-Amz-Signature=" + sig), Incomplete, "AWS query-string parameters must include 'X-Amz-Signature'. Re-examine the query-string parameters."},
		{"fraction of a second", query(strings.Replace(full, "05Z", "05.5Z", 1) + sig), Incomplete, "Date must be in ISO-8601 'basic format'."},
		{"expires too late", query(full + sig + "&X-Amz-Expires=604801"), Incomplete, "X-Amz-Expires must be between 1 and 604800 seconds"},
		{"expires at once", query(full + sig + "&X-Amz-Expires=0"), Incomplete, "X-Amz-Expires must be between 1 and 604800 seconds"},
		{"expires twice", query(full + sig + "&X-Amz-Expires=1&X-Amz-Expires=9"), Incomplete, "X-Amz-Expires must be between 1 and 604800 seconds"},
		{"long query", query(strings.Repeat("x", maxQueryBytes+1)), Incomplete, "The query string is too long."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseAuth(tt.r)
			checkError(t, err, tt.kind, tt.message)
		})
	}
}

func TestParseAuthTellsTheScope(t *testing.T) {
	r := signedFor(t, testRegion, "kms", "X-Amz-Target", "T", "X-Amz-Security-Token", testToken)
	a, err := ParseAuth(r)
	if err != nil {
		t.Fatal(err)
	}
	if a.AccessKeyID != testKey || a.Date != "20261123" || a.Region != testRegion || a.Service != "kms" || !a.Time.Equal(testTime) || a.Presigned || a.SessionToken != testToken {
		t.Errorf("%+v", a)
	}
	if !a.Signed("X-Amz-Target") || a.Signed("content-length") {
		t.Error(a.SignedHeaders)
	}
	if err := a.CheckService("kms"); err != nil {
		t.Error(err)
	}
	checkError(t, a.CheckService("sts"), WrongService, "Credential should be scoped to correct service: 'sts'.")
}

// TestChunksPublishedExample is the example of the S3 API Reference.
func TestChunksPublishedExample(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	r := arrived(newRequest(t, "PUT", "https://s3.amazonaws.com/examplebucket/chunkObject.txt", "",
		"X-Amz-Date", "20130524T000000Z", "X-Amz-Storage-Class", "REDUCED_REDUNDANCY", "X-Amz-Content-Sha256", StreamingPayload,
		"Content-Encoding", "aws-chunked", "X-Amz-Decoded-Content-Length", "66560", "Content-Length", "66824",
		"Authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"))
	auth, err := ParseAuth(r)
	if err != nil {
		t.Fatal(err)
	}
	v := newTestVerifier()
	if err := v.Verify(auth.Time, r, auth, secret, DeferredBody()); err != nil {
		t.Fatal(err)
	}
	c := v.Chunks(auth, secret)
	for _, chunk := range []struct {
		size int
		sig  string
	}{
		{65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"},
		{1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"},
		{0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"},
	} {
		sum := sha256.Sum256(bytes.Repeat([]byte("a"), chunk.size))
		if err := c.Verify(sha256.Sum256([]byte("other")), chunk.sig); err == nil {
			t.Error("another chunk verified")
		}
		if err := c.Verify(sum, chunk.sig); err != nil {
			t.Errorf("chunk of %d bytes: %v", chunk.size, err)
		}
	}
	if err := c.VerifyTrailer(sha256.Sum256(nil), c.previous); err == nil {
		t.Error("the last chunk's signature passed for the trailer's")
	}
}

func TestKeyCacheIsBoundedAndForgetsAChangedSecret(t *testing.T) {
	v := newTestVerifier()
	r := signedFor(t, testRegion, "kms")
	auth, err := ParseAuth(r)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if err := v.Verify(testTime, r, auth, testSecret, Payload{}); err != nil {
					t.Error(err)
				}
				if err := v.Verify(testTime, r, auth, testSecret+"x", Payload{}); err == nil {
					t.Error("an old key verified with a new secret")
				}
			}
		})
	}
	wg.Wait()
	if n := len(v.cache.young); n != 1 {
		t.Errorf("%d keys for one secret", n)
	}
	for i := range 5 * cacheEntries {
		v.cache.put(cacheKey{accessKeyID: fmt.Sprint(i)}, &dayKey{})
	}
	if n := len(v.cache.young) + len(v.cache.old); n > 2*cacheEntries {
		t.Errorf("%d keys", n)
	}
}

func TestSignSurvivesTheWire(t *testing.T) {
	r := newRequest(t, "GET", "https://h/a%2Fb/%20?q=%2B&r", "", "Connection", "keep-alive", "User-Agent", "x")
	Sign(r, EmptyHash, Credentials{testKey, testSecret, testToken}, testRegion, "iot", testTime)
	for _, name := range []string{"connection", "user-agent", "authorization"} {
		if a, _ := ParseAuth(r); a.Signed(name) {
			t.Errorf("%s is signed", name)
		}
	}
	u, err := url.Parse(Presign(newRequest(t, "GET", "https://h/x?a=b", ""), EmptyHash, Credentials{testKey, testSecret, testToken}, testRegion, "sts", testTime, time.Hour))
	if err != nil || u.Query().Get("X-Amz-Expires") != "3600" || u.Query().Get("X-Amz-Security-Token") != testToken || u.Query().Get("a") != "b" {
		t.Errorf("%v, %v", u, err)
	}
}

func BenchmarkParseAndVerify(b *testing.B) {
	r := newRequest(b, "POST", "https://127.0.0.1:8443/", "{}", "Content-Type", "application/x-amz-json-1.1", "X-Amz-Target", "TrentService.Encrypt", "Amz-Sdk-Invocation-Id", "1-2")
	Sign(r, HashBody([]byte("{}")), Credentials{testKey, testSecret, testToken}, testRegion, "kms", testTime)
	r = arrived(r)
	v := newTestVerifier()
	b.ReportAllocs()
	for b.Loop() {
		auth, err := ParseAuth(r)
		if err != nil {
			b.Fatal(err)
		}
		if err := v.Verify(testTime, r, auth, testSecret, Body([]byte("{}"))); err != nil {
			b.Fatal(err)
		}
	}
}
