// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// random is a seeded stream of bytes: SHA-256 in counter mode.
type random struct {
	seed, n uint64
	buf     []byte
}

func (r *random) intn(n int) int {
	if len(r.buf) < 4 {
		r.n++
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %d", r.seed, r.n))
		r.buf = sum[:]
	}
	v := binary.BigEndian.Uint32(r.buf)
	r.buf = r.buf[4:]
	return int(v % uint32(n))
}

// wire writes the request as HTTP/1.1 carries it.
func wire(s sample) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", s.r.Method, s.r.RequestURI, s.r.Host)
	for _, name := range slices.Sorted(maps.Keys(s.r.Header)) {
		for _, v := range s.r.Header[name] {
			if name != "Content-Length" {
				fmt.Fprintf(&b, "%s: %s\r\n", name, v)
			}
		}
	}
	if len(s.r.TransferEncoding) > 0 {
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n3\r\nmkv\r\n0\r\n\r\n")
		return b.Bytes()
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(s.body), s.body)
	return b.Bytes()
}

// A check is Verifier.Verify, or something weaker that the search must find out.
type check func(now time.Time, r *http.Request, auth *Auth, secret string, payload Payload) error

// serve does what a server does with the bytes of a request: parse, find the secret, check the token, verify.
func serve(verify check, raw []byte, token string, payload func(string) Payload) (*http.Request, string, *Auth, error) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, "", nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, "", nil, err
	}
	auth, err := ParseAuth(r)
	if err != nil {
		return nil, "", nil, err
	}
	if auth.AccessKeyID != testKey || auth.SessionToken != token {
		return nil, "", nil, ErrUnknownKey()
	}
	return r, string(body), auth, verify(testTime.Add(time.Minute), r, auth, testSecret, payload(string(body)))
}

// sameMeaning is an independent judgement whether two requests that verified say the same: it compares
// everything that a signature covers, after net/http and net/url have read it.
func sameMeaning(a, b *http.Request, auth, auth2 *Auth, bodyA, bodyB string, bodyCovered bool) string {
	pathOf := func(r *http.Request) string {
		if auth.Service == "s3" {
			return r.URL.Path
		}
		p := path.Clean(r.URL.EscapedPath())
		if strings.HasSuffix(r.URL.Path, "/") && p != "/" {
			p += "/"
		}
		return p
	}
	queryOf := func(r *http.Request) url.Values {
		q, _ := url.ParseQuery(r.URL.RawQuery)
		for _, v := range q {
			slices.Sort(v)
		}
		return q
	}
	headersOf := func(r *http.Request) map[string]string {
		h := map[string]string{"host": r.Host, "te": strings.Join(r.TransferEncoding, ",")}
		for name, v := range r.Header {
			if auth.Presigned && slices.Equal(r.URL.Query()[name], v) {
				continue // the query says it, and is signed
			}
			if lower := strings.ToLower(name); auth.Signed(lower) ||
				(strings.HasPrefix(lower, "x-amz-") || strings.HasPrefix(lower, "x-amzn-")) && lower != "x-amzn-trace-id" {
				h[lower] = strings.Join(strings.Fields(strings.Join(v, ",")), " ")
			}
		}
		return h
	}
	switch {
	case a.Method != b.Method:
		return "method"
	case pathOf(a) != pathOf(b):
		return "path"
	case !reflect.DeepEqual(queryOf(a), queryOf(b)):
		return "query"
	case !reflect.DeepEqual(headersOf(a), headersOf(b)):
		return "headers"
	case bodyCovered && bodyA != bodyB:
		return "body"
	case !reflect.DeepEqual(auth, auth2):
		return "auth"
	}
	return ""
}

// mutate changes one to three places of raw.
func mutate(rnd *random, raw []byte) []byte {
	b := bytes.Clone(raw)
	for range 1 + rnd.intn(8)/6 + rnd.intn(8)/7 {
		i := rnd.intn(len(b))
		switch rnd.intn(9) {
		case 0, 1:
			b[i] ^= 1 << rnd.intn(8)
		case 2:
			b[i] = byte(rnd.intn(256))
		case 3:
			b = slices.Insert(b, i, byte(rnd.intn(256)))
		case 4:
			b = slices.Insert(b, i, "/.+% &=;?:,0aA-~\t\r\n"[rnd.intn(19)])
		case 5:
			b = slices.Delete(b, i, i+1)
		case 6:
			j := rnd.intn(len(b))
			b[i], b[j] = b[j], b[i]
		case 7:
			j := min(i+1, len(b)-1)
			b[i], b[j] = b[j], b[i]
		case 8:
			lines := bytes.SplitAfter(b, []byte("\r\n"))
			k := rnd.intn(len(lines))
			if rnd.intn(2) == 0 {
				lines = slices.Delete(lines, k, k+1)
			} else {
				lines = slices.Insert(lines, k, lines[rnd.intn(len(lines))])
			}
			b = bytes.Join(lines, nil)
		}
		if len(b) == 0 {
			return []byte{'x'}
		}
	}
	return b
}

// An original is a signed request and what the server made of it.
type original struct {
	sample
	raw         []byte
	r           *http.Request
	received    string // the body
	auth        *Auth
	bodyCovered bool
}

func originals(t *testing.T, verify check) []original {
	var out []original
	for _, s := range append(officialSamples(t), handmadeSamples(t)...) {
		if s.r.ProtoMajor == 2 {
			continue // has no bytes in HTTP/1.1
		}
		o := original{sample: s, raw: wire(s)}
		auth, err := ParseAuth(s.r)
		if err != nil {
			t.Fatal(err)
		}
		if o.r, o.received, o.auth, err = serve(verify, o.raw, auth.SessionToken, s.payload); err != nil {
			t.Fatalf("%s: %v\n%s", s.name, err, o.raw)
		}
		o.bodyCovered = s.payload("").form == hashedBody && !(auth.Service == "s3" && auth.Presigned)
		out = append(out, o)
	}
	return out
}

// search changes the originals at random until this package has refused as many as wanted, or a change to what a
// signature covers was accepted, which it describes.
func search(all []original, verify check, seed uint64, wanted int) (refused, same int, found string) {
	rnd := &random{seed: seed}
	for refused < wanted {
		o := all[rnd.intn(len(all))]
		changed := mutate(rnd, o.raw)
		r, body, auth, err := serve(verify, changed, o.auth.SessionToken, o.payload)
		if e := (*Error)(nil); errors.As(err, &e) {
			refused++
			continue
		}
		if err != nil {
			continue // by net/http, which does not count
		}
		same++
		if what := sameMeaning(o.r, r, o.auth, auth, o.received, body, o.bodyCovered); what != "" {
			return refused, same, fmt.Sprintf("%s: %s (seed %d)\n%q\n%q", o.name, what, seed, o.raw, changed)
		}
	}
	return refused, same, ""
}

// TestNoChangeToWhatASignatureCoversIsAccepted makes random changes to the bytes of signed requests until 100,000
// are refused; one that verifies must mean the same as the original.
func TestNoChangeToWhatASignatureCoversIsAccepted(t *testing.T) {
	verify := newTestVerifier().Verify
	refused, same, found := search(originals(t, verify), verify, 20261123, 100_000)
	if found != "" {
		t.Fatalf("accepted: %s", found)
	}
	t.Logf("%d changes refused, %d accepted that change nothing the signature covers", refused, same)
}

// TestSearchFindsWeakVerifiers is the control: verifiers with a hole each must be found out.
func TestSearchFindsWeakVerifiers(t *testing.T) {
	v := newTestVerifier()
	all := originals(t, v.Verify)
	good := map[string]Payload{}
	for _, o := range all {
		good[o.auth.Signature] = o.payload(o.received)
	}
	for name, weak := range map[string]check{
		"all pass": func(time.Time, *http.Request, *Auth, string, Payload) error { return nil },
		"body not compared": func(now time.Time, r *http.Request, a *Auth, secret string, _ Payload) error {
			return v.Verify(now, r, a, secret, good[a.Signature])
		},
		"unsigned headers pass": func(now time.Time, r *http.Request, a *Auth, secret string, p Payload) error {
			for name := range r.Header {
				if actedUpon(strings.ToLower(name), a.Service) && !a.Signed(name) {
					r = r.Clone(r.Context())
					r.Header.Del(name)
				}
			}
			return v.Verify(now, r, a, secret, p)
		},
		"method not covered": func(now time.Time, r *http.Request, a *Auth, secret string, p Payload) error {
			for _, method := range []string{"GET", "POST", "PUT"} {
				r := r.Clone(r.Context())
				if r.Method = method; v.Verify(now, r, a, secret, p) == nil {
					return nil
				}
			}
			return mismatch()
		},
	} {
		if _, _, found := search(all, weak, 1, 50_000); found == "" {
			t.Errorf("%s: not found", name)
		}
	}
}

// TestEveryByteOfASignatureMatters changes each digit of a signature to each other one.
func TestEveryByteOfASignatureMatters(t *testing.T) {
	s := officialSamples(t)[0]
	auth, err := ParseAuth(s.r)
	if err != nil {
		t.Fatal(err)
	}
	v := newTestVerifier()
	for i := range auth.Signature {
		for _, c := range "0123456789abcdefABCDEF" {
			changed := *auth
			changed.Signature = auth.Signature[:i] + string(c) + auth.Signature[i+1:]
			if err := v.Verify(testTime, s.r, &changed, testSecret, s.payload(s.body)); (err == nil) != (changed.Signature == auth.Signature) {
				t.Fatalf("digit %d as %c: %v", i, c, err)
			}
		}
	}
}

// TestEquivalentFormsVerify has the changes that leave a signature valid.
func TestEquivalentFormsVerify(t *testing.T) {
	base := func() *http.Request {
		r := newRequest(t, "GET", "https://h/a/b?x=1&y=a~b%20c&z=&x=0", "", "X-Amz-Meta-A", "one two", "Content-Type", "text/plain")
		Sign(r, EmptyHash, Credentials{testKey, testSecret, ""}, testRegion, "kms", testTime)
		return arrived(r)
	}
	for name, change := range map[string]func(r *http.Request){
		"none":                  func(*http.Request) {},
		"blanks around values":  func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", " \t one    two  ") },
		"order of the query":    func(r *http.Request) { r.URL.RawQuery = "z=&y=a~b%20c&x=0&x=1" },
		"encoding of the query": func(r *http.Request) { r.URL.RawQuery = "%78=1&y=a%7Eb+c&z&x=0" },
		"case of percent-codes": func(r *http.Request) { r.URL.RawQuery = "x=1&y=%61%7eb%20c&z=&x=0" },
		"empty items":           func(r *http.Request) { r.URL.RawQuery = "&x=1&&y=a~b%20c&z=&x=0&" },
		"slashes and dots":      func(r *http.Request) { r.RequestURI = "//a/./c/../b" },
		"headers of transports": func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip"); r.Header.Set("User-Agent", "x") },
		"headers of proxies":    func(r *http.Request) { r.Header.Set("X-Amzn-Trace-Id", "Root=1"); r.Header.Set("X-Forwarded-For", "1") },
		"blanks in Authorization": func(r *http.Request) {
			r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), ", ", " ,   "))
		},
	} {
		r := base()
		change(r)
		if err := verifyAs(r, Payload{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseAuthAndVerify(f *testing.F) {
	for _, s := range append(officialSamples(f), handmadeSamples(f)...) {
		f.Add(wire(s))
	}
	v := newTestVerifier()
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		auth, err := ParseAuth(r)
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || e.Message == "" {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if len(auth.Signature) != 64 || auth.AccessKeyID == "" || !auth.Signed("host") {
			t.Fatalf("%+v", auth)
		}
		for _, p := range []Payload{{}, StreamedBody(), DeferredBody(), Body([]byte("x"))} {
			if err := v.Verify(auth.Time, r, auth, "another secret", p); err == nil {
				t.Fatal("verified with another secret")
			}
		}
	})
}
