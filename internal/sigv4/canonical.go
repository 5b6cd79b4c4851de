// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// appendCanonical appends the canonical request. ok is false when a signed header is not there.
func appendCanonical(b []byte, r *http.Request, path, query string, signed []string, payload string) (_ []byte, ok bool) {
	b = append(append(b, r.Method...), '\n')
	b = append(append(b, path...), '\n')
	b = append(append(b, query...), '\n')
	for _, name := range signed {
		b = append(append(b, name...), ':')
		if b, ok = appendHeader(b, r, name); !ok {
			return b, false
		}
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range signed {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	return append(append(b, '\n'), payload...), true
}

// appendHeader appends the value of a header as the client sent it. What net/http takes out of the header map
// comes from the request's fields; what HTTP/2 has no place for, but C producers sign, is put back.
func appendHeader(b []byte, r *http.Request, name string) (_ []byte, ok bool) {
	if name == "host" {
		return appendSqueezed(b, host(r)), true
	}
	if values, ok := r.Header[headerKey(name)]; ok {
		for i, v := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendSqueezed(b, v)
		}
		return b, true
	}
	switch {
	case name == "content-length" && r.ContentLength >= 0:
		return strconv.AppendInt(b, r.ContentLength, 10), true
	case name == "transfer-encoding" && len(r.TransferEncoding) > 0:
		return append(b, strings.Join(r.TransferEncoding, ",")...), true
	case name == "transfer-encoding" && r.ProtoMajor >= 2:
		return append(b, "chunked"...), true
	case name == "connection" && r.ProtoMajor >= 2:
		return append(b, "keep-alive"...), true
	}
	return b, false
}

// headerKey is http.CanonicalHeaderKey, which makes a new string of most names, without that for the usual ones.
func headerKey(name string) string {
	switch name {
	case "content-type":
		return "Content-Type"
	case "x-amz-date":
		return "X-Amz-Date"
	case "x-amz-target":
		return "X-Amz-Target"
	case "x-amz-content-sha256":
		return "X-Amz-Content-Sha256"
	case "x-amz-security-token":
		return "X-Amz-Security-Token"
	case "amz-sdk-invocation-id":
		return "Amz-Sdk-Invocation-Id"
	case "amz-sdk-request":
		return "Amz-Sdk-Request"
	}
	return http.CanonicalHeaderKey(name)
}

func host(r *http.Request) string {
	if r.Host == "" {
		return r.URL.Host
	}
	return r.Host
}

// appendSqueezed appends v without blanks around it, and with one space for each run of them inside.
func appendSqueezed(b []byte, v string) []byte {
	v = strings.Trim(v, " \t")
	for {
		before, after, found := strings.Cut(v, "  ")
		b = append(b, before...)
		if !found {
			return b
		}
		b = append(b, ' ')
		v = strings.TrimLeft(after, " ")
	}
}

// rawPath returns the path as it was sent, still encoded.
func rawPath(r *http.Request) string {
	var p string
	if strings.HasPrefix(r.RequestURI, "/") {
		p, _, _ = strings.Cut(r.RequestURI, "?")
	} else {
		p = r.URL.EscapedPath()
	}
	if p == "" {
		return "/"
	}
	return p
}

// canonicalPaths appends the canonical forms of the path that clients sign. For S3 it is encoded once, by the
// rules of SigV4 or as the client happened to encode it, and not normalized. The others encode what is
// encoded already a second time; AWS's own rule first removes "//", "." and "..", which the SDKs for Go do not.
func canonicalPaths(to []string, r *http.Request, service string) []string {
	raw := rawPath(r)
	if service == "s3" {
		decoded, ok := unescape(raw, false)
		if !ok {
			return to
		}
		if path := escape(decoded, true); path != raw {
			to = append(to, path)
		}
		return append(to, raw)
	}
	to = append(to, escape(raw, true))
	if normal := normalize(raw); normal != raw {
		to = append(to, escape(normal, true))
	}
	return to
}

// normalize removes empty and dot segments (RFC 3986, 5.2.4, and "//").
func normalize(path string) string {
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		return path
	}
	var out []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			out = out[:max(0, len(out)-1)]
		default:
			out = append(out, segment)
		}
	}
	normal := "/" + strings.Join(out, "/")
	if len(out) > 0 && strings.HasSuffix(path, "/") {
		normal += "/"
	}
	return normal
}

// A parameter of a query, both halves in canonical encoding.
type parameter struct{ name, value string }

func compareParameters(a, b parameter) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return strings.Compare(a.value, b.value)
}

// canonicalQuery decodes the query, encodes it again in the one canonical way and sorts it, leaving out the
// parameters named. A '+' is a space, and a name without '=' has an empty value.
func canonicalQuery(raw string, without ...string) (string, bool) {
	if raw == "" {
		return "", true
	}
	params := make([]parameter, 0, 16)
	for item := range strings.SplitSeq(raw, "&") {
		if item == "" {
			continue
		}
		name, value, _ := strings.Cut(item, "=")
		name, ok1 := recode(name)
		value, ok2 := recode(value)
		if !ok1 || !ok2 {
			return "", false
		}
		if !slices.Contains(without, name) {
			params = append(params, parameter{name, value})
		}
	}
	slices.SortFunc(params, compareParameters)
	return joinQuery(params), true
}

func joinQuery(params []parameter) string {
	var b strings.Builder
	for i, p := range params {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String()
}

func recode(s string) (string, bool) {
	s, ok := unescape(s, true)
	return escape(s, false), ok
}

const upperHex = "0123456789ABCDEF"

// escape percent-encodes all but the unreserved characters of RFC 3986, 2.3, and slashes in a path.
func escape(s string, path bool) string {
	n := 0
	for i := range len(s) {
		if !unreserved(s[i], path) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; unreserved(c, path) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(b)
}

func unreserved(c byte, path bool) bool {
	return isAlphanumeric(rune(c)) || c == '-' || c == '_' || c == '.' || c == '~' || path && c == '/'
}

// unescape undoes percent-encoding, and in a query '+' for a space. It refuses a '%' that begins no byte.
func unescape(s string, query bool) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+' && query:
			b = append(b, ' ')
		case s[i] != '%':
			b = append(b, s[i])
		case i+2 < len(s) && fromHex(s[i+1]) >= 0 && fromHex(s[i+2]) >= 0:
			b = append(b, byte(fromHex(s[i+1])<<4|fromHex(s[i+2])))
			i += 2
		default:
			return "", false
		}
	}
	return string(b), true
}

func fromHex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
