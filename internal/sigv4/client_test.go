// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	signerv2 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	//lint:ignore SA1019 deployed clients still sign with it
	credentialsv1 "github.com/aws/aws-sdk-go/aws/credentials"
	//lint:ignore SA1019 deployed clients still sign with it
	signerv1 "github.com/aws/aws-sdk-go/aws/signer/v4"
)

const (
	testKey    = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testToken  = "FwoGZXIvYXdzEXAMPLE//////////wEaDN+/=="
	testRegion = "us-east-1"
)

var testTime = time.Date(2026, 11, 23, 3, 4, 5, 0, time.UTC)

// A sample is a request as one kind of client sends it, body beside it.
type sample struct {
	name    string
	r       *http.Request
	body    string
	payload func(body string) Payload
}

func whole(body string) Payload  { return Body([]byte(body)) }
func streamed(string) Payload    { return StreamedBody() }
func deferred(_ string) Payload  { return DeferredBody() }
func (s sample) verify() error   { return verifyAs(s.r, s.payload(s.body)) }
func newTestVerifier() *Verifier { return NewVerifier(testRegion, "eu-central-1") }

func verifyAs(r *http.Request, p Payload) error {
	auth, err := ParseAuth(r)
	if err != nil {
		return err
	}
	return newTestVerifier().Verify(testTime.Add(time.Minute), r, auth, testSecret, p)
}

func newRequest(t testing.TB, method, target, body string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// arrived turns a client's request into what net/http gives a server.
func arrived(r *http.Request) *http.Request {
	s := r.Clone(context.Background())
	if s.Host == "" {
		s.Host = s.URL.Host
	}
	s.RequestURI = r.URL.RequestURI()
	s.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	s.Body = http.NoBody
	if te := s.Header.Get("Transfer-Encoding"); te != "" {
		s.Header.Del("Transfer-Encoding")
		s.TransferEncoding, s.ContentLength = []string{te}, -1
	}
	s.Header.Set("Accept-Encoding", "gzip") // added by transports
	return s
}

// signer signs r with one of the official signers, in the header or the query.
type signer struct {
	name string
	sign func(t testing.TB, r *http.Request, body, service string, token string)
}

func hashFor(service, body string, presign bool) string {
	if service == "s3" && presign {
		return UnsignedPayload
	}
	return HashBody([]byte(body))
}

var signers = []signer{
	{"sdk v1", func(t testing.TB, r *http.Request, body, service, token string) {
		s := signerv1.NewSigner(credentialsv1.NewStaticCredentials(testKey, testSecret, token))
		s.DisableURIPathEscaping = service == "s3"
		if _, err := s.Sign(r, readSeeker(body), service, testRegion, testTime); err != nil {
			t.Fatal(err)
		}
	}},
	{"sdk v1 presign", func(t testing.TB, r *http.Request, body, service, token string) {
		s := signerv1.NewSigner(credentialsv1.NewStaticCredentials(testKey, testSecret, token))
		s.DisableURIPathEscaping = service == "s3"
		if _, err := s.Presign(r, readSeeker(body), service, testRegion, 10*time.Minute, testTime); err != nil {
			t.Fatal(err)
		}
	}},
	{"sdk v2", func(t testing.TB, r *http.Request, body, service, token string) {
		s := signerv2.NewSigner(func(o *signerv2.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
		creds := awsv2.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret, SessionToken: token}
		hash := hashFor(service, body, false)
		if service == "s3" {
			r.Header.Set("X-Amz-Content-Sha256", hash)
		}
		if err := s.SignHTTP(context.Background(), creds, r, hash, service, testRegion, testTime); err != nil {
			t.Fatal(err)
		}
	}},
	{"sdk v2 presign", func(t testing.TB, r *http.Request, body, service, token string) {
		s := signerv2.NewSigner(func(o *signerv2.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
		creds := awsv2.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret, SessionToken: token}
		u, _, err := s.PresignHTTP(context.Background(), creds, r, hashFor(service, body, true), service, testRegion, testTime)
		if err != nil {
			t.Fatal(err)
		}
		if r.URL, err = url.Parse(u); err != nil {
			t.Fatal(err)
		}
	}},
	{"own", func(_ testing.TB, r *http.Request, body, service, token string) {
		Sign(r, HashBody([]byte(body)), Credentials{testKey, testSecret, token}, testRegion, service, testTime)
	}},
	{"own presign", func(_ testing.TB, r *http.Request, body, service, token string) {
		Presign(r, hashFor(service, body, true), Credentials{testKey, testSecret, token}, testRegion, service, testTime, time.Hour)
	}},
}

func readSeeker(body string) io.ReadSeeker {
	if body == "" {
		return nil
	}
	return bytes.NewReader([]byte(body))
}

// officialSamples are requests of every shape, each signed by every signer.
func officialSamples(t testing.TB) []sample {
	shapes := []struct {
		name, service string
		make          func() (*http.Request, string)
	}{
		{"kms", "kms", func() (*http.Request, string) {
			const body = `{"KeyId":"alias/x"}`
			return newRequest(t, "POST", "https://127.0.0.1:8443/", body, "Content-Type", "application/x-amz-json-1.1", "X-Amz-Target", "TrentService.Encrypt"), body
		}},
		{"sts", "sts", func() (*http.Request, string) {
			return newRequest(t, "GET", "https://sts.example.org/?Action=GetCallerIdentity&Version=2011-06-15", ""), ""
		}},
		{"kinesisvideo", "kinesisvideo", func() (*http.Request, string) {
			const body = `{"StreamName":"s"}`
			return newRequest(t, "POST", "https://localhost:8443/getMedia", body, "Content-Type", "application/json"), body
		}},
		{"escaped path", "iot", func() (*http.Request, string) {
			return newRequest(t, "GET", "https://h/things/a%20b%2Fc/~x+y:z/%E2%82%AC/", ""), ""
		}},
		{"query", "kinesisvideo", func() (*http.Request, string) {
			return newRequest(t, "GET", "https://h/p?b=2&a=1&c&a=0&d=x%20y%2Bz%2F~-_.&z=%E2%82%AC&e=", ""), ""
		}},
		{"headers", "kms", func() (*http.Request, string) {
			return newRequest(t, "POST", "https://h/", "x", "X-Amz-Meta-A", "  a   b  c ", "X-Amz-Meta-B", "1", "X-Amz-Meta-B", "2  3", "Content-Type", "a/b;  c=d"), "x"
		}},
		{"s3 object", "s3", func() (*http.Request, string) {
			return newRequest(t, "PUT", "https://h:9000/bucket/a%20b//c/../d/%E2%82%AC+%2B?x-id=PutObject&partNumber=1&acl", "data", "X-Amz-Meta-K", "v"), "data"
		}},
		{"s3 list", "s3", func() (*http.Request, string) {
			return newRequest(t, "GET", "https://h:9000/bucket?list-type=2&prefix=a%2Fb%20c&delimiter=%2F", ""), ""
		}},
	}
	var out []sample
	for _, shape := range shapes {
		for _, s := range signers {
			for _, token := range []string{"", testToken} {
				r, body := shape.make()
				s.sign(t, r, body, shape.service, token)
				name := shape.name + ", " + s.name
				if token != "" {
					name += ", token"
				}
				out = append(out, sample{name, arrived(r), body, whole})
			}
		}
	}
	return out
}

// handSigned signs exactly the headers named, as clients with signers of their own do.
func handSigned(r *http.Request, signedHeaders, payloadHash, service, path, query string) *http.Request {
	r.Header.Set("X-Amz-Date", formatTime(testTime))
	names := strings.Split(signedHeaders, ";")
	var b strings.Builder
	b.WriteString(r.Method + "\n" + path + "\n" + query + "\n")
	for _, n := range names {
		v := strings.Join(r.Header.Values(n), ",")
		if n == "host" {
			v = r.Host
		}
		b.WriteString(n + ":" + v + "\n")
	}
	b.WriteString("\n" + signedHeaders + "\n" + payloadHash)
	scope := "20261123/" + testRegion + "/" + service + "/aws4_request"
	toSign := "AWS4-HMAC-SHA256\n" + formatTime(testTime) + "\n" + scope + "\n" + HashBody([]byte(b.String()))
	key := hmacSHA256([]byte("AWS4"+testSecret), "20261123")
	for _, s := range []string{testRegion, service, "aws4_request", toSign} {
		key = hmacSHA256(key[:], s)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+testKey+"/"+scope+", SignedHeaders="+signedHeaders+", Signature="+hex.EncodeToString(key[:]))
	return r
}

const putMediaHeaders = "connection;host;transfer-encoding;user-agent;x-amz-date;x-amzn-fragment-acknowledgment-required;" +
	"x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;x-amzn-stream-name"

// putMedia is the request of the C producer: no port in Host, token unsigned, hash of nothing.
func putMedia(t testing.TB) *http.Request {
	r := newRequest(t, "POST", "https://127.0.0.1:8444/putMedia", "", "Connection", "keep-alive", "Transfer-Encoding", "chunked",
		"User-Agent", "AWS-SDK-KVS/1.6.4 GCC/12.2.0 Linux/6.1 x86_64", "X-Amzn-Fragment-Acknowledgment-Required", "1", "X-Amzn-Fragment-Timecode-Type", "ABSOLUTE",
		"X-Amzn-Producer-Start-Timestamp", "1700000000.5", "X-Amzn-Stream-Name", "cam", "Content-Type", "application/json",
		"X-Amz-Security-Token", testToken, "Expect", "100-continue")
	r.Host = "127.0.0.1"
	return arrived(handSigned(r, putMediaHeaders, EmptyHash, "kinesisvideo", "/putMedia", ""))
}

func overHTTP2(r *http.Request) *http.Request {
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	r.Header.Del("Connection")
	r.TransferEncoding = nil
	return r
}

// handmadeSamples are the shapes of the clients whose signers are not written in Go.
func handmadeSamples(t testing.TB) []sample {
	const describe = `{"StreamName":"cam"}`
	c := newRequest(t, "POST", "https://127.0.0.1:8443/describeStream", describe, "User-Agent", "AWS-SDK-KVS/1.6.4", "Content-Type", "application/json", "X-Amz-Security-Token", testToken)
	c.Host = "127.0.0.1"
	boto := newRequest(t, "POST", "https://localhost:8443/", "{}", "X-Amz-Target", "TrentService.ListKeys", "Content-Type", "application/x-amz-json-1.1", "User-Agent", "Boto3/1.43", "X-Amz-Security-Token", testToken)
	dots := newRequest(t, "GET", "https://localhost:8443/a/./b//../c/", "")
	js := newRequest(t, "POST", "https://localhost:8443/getDataEndpoint", describe, "Content-Type", "application/json", "X-Amz-Content-Sha256", HashBody([]byte(describe)),
		"Amz-Sdk-Invocation-Id", "1-2", "Amz-Sdk-Request", "attempt=1; max=3", "X-Amz-User-Agent", "aws-sdk-js/3", "Content-Length", "20")
	js2 := newRequest(t, "POST", "https://localhost:8443/getDataEndpoint", describe, "Content-Length", "20")
	expires := newRequest(t, "POST", "https://localhost:8444/putMedia?X-Amz-Expires=600", "", "X-Amzn-Stream-Name", "cam")
	unsigned := newRequest(t, "POST", "https://localhost:8444/putMedia", "", "X-Amz-Content-Sha256", UnsignedPayload, "X-Amzn-Stream-Name", "cam")
	chunked := newRequest(t, "PUT", "https://localhost:8443/b/k", "", "X-Amz-Content-Sha256", StreamingUnsignedPayloadTrailer, "X-Amz-Trailer", "x-amz-checksum-crc32", "X-Amz-Decoded-Content-Length", "3", "Content-Encoding", "aws-chunked")
	presigned := newRequest(t, "POST", "https://127.0.0.1:8444/putMedia", "", "X-Amzn-Stream-Name", "cam", "X-Amzn-Fragment-Timecode-Type", "RELATIVE")
	Presign(presigned, EmptyHash, Credentials{testKey, testSecret, testToken}, testRegion, "kinesisvideo", testTime, 10*time.Minute)
	spaced := handSigned(newRequest(t, "GET", "https://h/", ""), "host;x-amz-date", EmptyHash, "kms", "/", "")
	spaced.Header.Set("Authorization", strings.ReplaceAll(spaced.Header.Get("Authorization"), ", ", ","))
	plus := handSigned(newRequest(t, "GET", "https://h/?q=a+b", ""), "host;x-amz-date", EmptyHash, "kms", "/", "q=a%20b")

	late := newRequest(t, "GET", "https://h/?Action=GetCallerIdentity", "")
	Presign(late, EmptyHash, Credentials{testKey, testSecret, ""}, testRegion, "sts", testTime, time.Minute)
	late.URL.RawQuery += "&X-Amz-Security-Token=" + url.QueryEscape(testToken)

	dated := newRequest(t, "GET", "https://h/", "", "Date", testTime.Format(http.TimeFormat))
	handSigned(dated, "date;host", EmptyHash, "kms", "/", "")
	dated.Header.Del("X-Amz-Date")

	js2 = arrived(handSigned(js2, "content-length;host;x-amz-date", HashBody([]byte(describe)), "kinesisvideo", "/getDataEndpoint", ""))
	js2.Header.Del("Content-Length")

	return []sample{
		{"C producer, control", arrived(handSigned(c, "host;user-agent;x-amz-date", HashBody([]byte(describe)), "kinesisvideo", "/describeStream", "")), describe, whole},
		{"C producer, PutMedia", putMedia(t), "", streamed},
		{"C producer, PutMedia over HTTP/2", overHTTP2(putMedia(t)), "", streamed},
		{"botocore", arrived(handSigned(boto, "content-type;host;x-amz-date;x-amz-security-token;x-amz-target", HashBody([]byte("{}")), "kms", "/", "")), "{}", whole},
		{"botocore, dots in path", arrived(handSigned(dots, "host;x-amz-date", EmptyHash, "iot", "/a/c/", "")), "", whole},
		{"JS v3", arrived(handSigned(js, "amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;x-amz-content-sha256;x-amz-date;x-amz-user-agent", HashBody([]byte(describe)), "kinesisvideo", "/getDataEndpoint", "")), describe, whole},
		{"content-length signed, not in the header map", js2, describe, whole},
		{"Go producer v2, X-Amz-Expires in the URL", arrived(handSigned(expires, "host;x-amz-date;x-amzn-stream-name", EmptyHash, "kinesisvideo", "/putMedia", "X-Amz-Expires=600")), "", streamed},
		{"Go producer v1, presigned PutMedia", arrived(presigned), "", streamed},
		{"PutMedia, UNSIGNED-PAYLOAD", arrived(handSigned(unsigned, "host;x-amz-content-sha256;x-amz-date;x-amzn-stream-name", UnsignedPayload, "kinesisvideo", "/putMedia", "")), "", streamed},
		{"S3 trailer", arrived(handSigned(chunked, "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-trailer", StreamingUnsignedPayloadTrailer, "s3", "/b/k", "")), "", deferred},
		{"no blanks in Authorization", arrived(spaced), "", whole},
		{"plus is a space", arrived(plus), "", whole},
		{"token appended after signing", arrived(late), "", whole},
		{"Date in HTTP's form", arrived(dated), "", whole},
	}
}

func TestVerifyAcceptsWhatClientsSend(t *testing.T) {
	for _, s := range append(officialSamples(t), handmadeSamples(t)...) {
		t.Run(s.name, func(t *testing.T) {
			if err := s.verify(); err != nil {
				t.Errorf("%v\n%s %s\n%v", err, s.r.Method, s.r.RequestURI, s.r.Header)
			}
		})
	}
}

// TestVerifyPublishedExamples has the examples of the IAM User Guide and the S3 API Reference.
func TestVerifyPublishedExamples(t *testing.T) {
	iam := newRequest(t, "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", "",
		"Content-Type", "application/x-www-form-urlencoded; charset=utf-8", "X-Amz-Date", "20150830T123600Z",
		"Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
	const s3Scope = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
	get := newRequest(t, "GET", "https://examplebucket.s3.amazonaws.com/test.txt", "", "Range", "bytes=0-9", "X-Amz-Content-Sha256", EmptyHash, "X-Amz-Date", "20130524T000000Z",
		"Authorization", "AWS4-HMAC-SHA256 Credential="+s3Scope+",SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
	put := newRequest(t, "PUT", "https://examplebucket.s3.amazonaws.com/test%24file.text", "", "Date", "Fri, 24 May 2013 00:00:00 GMT", "X-Amz-Date", "20130524T000000Z", "X-Amz-Storage-Class", "REDUCED_REDUNDANCY",
		"X-Amz-Content-Sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
		"Authorization", "AWS4-HMAC-SHA256 Credential="+s3Scope+",SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")
	list := newRequest(t, "GET", "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", "", "X-Amz-Content-Sha256", EmptyHash, "X-Amz-Date", "20130524T000000Z",
		"Authorization", "AWS4-HMAC-SHA256 Credential="+s3Scope+",SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
	presigned := newRequest(t, "GET", "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", "")
	for _, tt := range []struct {
		name, secret string
		r            *http.Request
		body         string
		now          string
	}{
		{"IAM ListUsers", testSecret, iam, "", "20150830T123600Z"},
		{"S3 GetObject", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", get, "", "20130524T000000Z"},
		{"S3 PutObject", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", put, "Welcome to Amazon S3.", "20130524T000000Z"},
		{"S3 ListObjects", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", list, "", "20130524T000000Z"},
		{"S3 presigned", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", presigned, "", "20130524T230000Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := arrived(tt.r)
			auth, err := ParseAuth(r)
			if err != nil {
				t.Fatal(err)
			}
			now, _ := parseTime(tt.now)
			if err := newTestVerifier().Verify(now, r, auth, tt.secret, Body([]byte(tt.body))); err != nil {
				t.Error(err)
			}
			if err := newTestVerifier().Verify(now, r, auth, tt.secret+"x", Body([]byte(tt.body))); !errors.Is(err, &Error{Kind: SignatureMismatch}) {
				t.Errorf("another secret: %v", err)
			}
		})
	}
}
