// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sign signs r in its Authorization header. It sets X-Amz-Date and, when there is one, X-Amz-Security-Token; for S3
// also X-Amz-Content-Sha256. payloadHash is HashBody of the body, EmptyHash or UnsignedPayload; region and
// service are those of the credential scope. Every header that r has is signed, but for those that transports and
// proxies change; headers must not be changed afterwards. It does not touch the body.
func Sign(r *http.Request, payloadHash string, creds Credentials, region, service string, t time.Time) {
	amzDate := formatTime(t)
	r.Header.Set("X-Amz-Date", amzDate)
	r.Header.Del("Authorization")
	if creds.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", creds.SessionToken)
	}
	if service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", payloadHash)
	}
	signed := headersToSign(r.Header)
	query, _ := canonicalQuery(r.URL.RawQuery)
	signature, scope := signature(r, query, signed, payloadHash, creds, region, service, t)
	r.Header.Set("Authorization", algorithm+" Credential="+creds.AccessKeyID+"/"+scope+
		", SignedHeaders="+strings.Join(signed, ";")+", Signature="+signature)
}

// Presign signs r in its query, good for expires from t on (at most seven days), and returns the URL. Headers that r
// has are signed as by Sign and must be sent along.
func Presign(r *http.Request, payloadHash string, creds Credentials, region, service string, t time.Time, expires time.Duration) string {
	signed := headersToSign(r.Header)
	query, _ := canonicalQuery(r.URL.RawQuery)
	add := func(name, value string) {
		if query != "" {
			query += "&"
		}
		query += name + "=" + escape(value, false)
	}
	add("X-Amz-Algorithm", algorithm)
	add("X-Amz-Credential", creds.AccessKeyID+"/"+scopeOf(t.UTC().Format(dateLayout), region, service))
	add("X-Amz-Date", formatTime(t))
	add("X-Amz-Expires", strconv.FormatInt(int64(expires/time.Second), 10))
	add("X-Amz-SignedHeaders", strings.Join(signed, ";"))
	if creds.SessionToken != "" {
		add("X-Amz-Security-Token", creds.SessionToken)
	}
	query, _ = canonicalQuery(query)
	sig, _ := signature(r, query, signed, payloadHash, creds, region, service, t)
	r.URL.RawQuery = query + "&X-Amz-Signature=" + sig
	return r.URL.String()
}

func signature(r *http.Request, query string, signed []string, hash string, creds Credentials, region, service string, t time.Time) (sig, scope string) {
	date := t.UTC().Format(dateLayout)
	scope = scopeOf(date, region, service)
	path := escape(normalize(rawPath(r)), true)
	if service == "s3" {
		path = canonicalPaths(nil, r, service)[0]
	}
	canonical, _ := appendCanonical(nil, r, path, query, signed, hash)
	mac := newDayKey(deriveKey(creds.SecretAccessKey, date, region, service)).sign(t, date, region, service, canonical)
	return hex.EncodeToString(mac[:]), scope
}

// headersToSign lists host and the headers of h in order, without those that transports and proxies add,
// drop or rewrite.
func headersToSign(h http.Header) []string {
	names := []string{"host"}
	for name := range h {
		switch name = strings.ToLower(name); name {
		case "host", "authorization", "user-agent", "accept-encoding", "connection", "content-length", "expect",
			"te", "trailer", "transfer-encoding", "upgrade", "x-amzn-trace-id":
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
