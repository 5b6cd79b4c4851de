// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzFieldsAndTimes holds what is parsed by hand against what the standard library makes of it.
func FuzzFieldsAndTimes(f *testing.F) {
	f.Add("Credential=AKIA/20150830/us-east-1/iam/aws4_request, SignedHeaders=host;x-amz-date, Signature=5d67", "20150830T123600Z", "X-Amz-Date")
	f.Add("a=1,b=2,c=3,d=4,e=5,f=6,e=7", "20240229T235959Z", "x-amzn-trace-id")
	f.Add("Credential=,Credential=", "20230229T000000Z", "X-AMZ-SECURITY-TOKEN")
	f.Add("Signature", "20150830T126000Z", "x-amz-")
	f.Add("=,x==y", "20150830T1236005Z", "X-Amzn-A")
	f.Fuzz(func(t *testing.T, rest, stamp, header string) {
		got, ok := parseFields(rest)
		want, wantOK := fieldsByMap(rest)
		if ok != wantOK || ok && got != want {
			t.Fatalf("%q: %v, %v; by a map %v, %v", rest, got, ok, want, wantOK)
		}
		at, ok := parseTime(stamp)
		wantAt, err := time.Parse(timeLayout, stamp)
		if wantOK := err == nil && len(stamp) == len(timeLayout); ok != wantOK || ok && !at.Equal(wantAt) {
			t.Fatalf("%q: %v, %v; by time.Parse %v, %v", stamp, at, ok, wantAt, wantOK)
		}
		if strings.ToValidUTF8(header, "") == header && strings.IndexFunc(header, func(r rune) bool { return r > 0x7e }) < 0 {
			compareNames(t, header)
		}
	})
}

// fieldsByMap is the parser of an Authorization header's parameters in its plainest form.
func fieldsByMap(rest string) (authFields, bool) {
	fields := map[string]string{}
	for item := range strings.SplitSeq(rest, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(item), "=")
		if _, twice := fields[name]; twice || !found {
			return authFields{}, false
		}
		fields[name] = value
	}
	return authFields{fields["Credential"], fields["SignedHeaders"], fields["Signature"]}, true
}

func compareNames(t *testing.T, header string) {
	t.Helper()
	lower := strings.ToLower(header)
	if !sameName(header, lower) || sameName(header+"x", lower) {
		t.Fatalf("%q is not the same as %q", header, lower)
	}
	if got, want := headerKey(lower), http.CanonicalHeaderKey(lower); got != want {
		t.Fatalf("%q: key %q, by net/http %q", lower, got, want)
	}
	for _, service := range []string{"kms", "s3"} {
		if got, want := actedUpon(header, service), actedUponByText(lower, service); got != want {
			t.Fatalf("%q of %s: acted upon %v, by the text %v", header, service, got, want)
		}
	}
}

func actedUponByText(lower, service string) bool {
	if slices.Contains([]string{"x-amz-date", "x-amz-content-sha256", "x-amzn-trace-id"}, lower) || lower == "x-amz-security-token" && service != "s3" {
		return false
	}
	return strings.HasPrefix(lower, "x-amz-") || strings.HasPrefix(lower, "x-amzn-")
}

// TestUsualHeadersHaveTheirKeys: the shortcut names each header as net/http does.
func TestUsualHeadersHaveTheirKeys(t *testing.T) {
	for _, name := range []string{
		"content-type", "x-amz-date", "x-amz-target", "x-amz-content-sha256", "x-amz-security-token", "amz-sdk-invocation-id", "amz-sdk-request", "x-other",
	} {
		if got, want := headerKey(name), http.CanonicalHeaderKey(name); got != want {
			t.Errorf("%s: %s, by net/http %s", name, got, want)
		}
	}
}
