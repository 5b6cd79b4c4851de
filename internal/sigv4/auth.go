// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of what ParseAuth reads.
const (
	maxAuthorizationBytes = 8 << 10
	maxQueryBytes         = 64 << 10
	maxSignedHeaders      = 128
	maxExpires            = 7 * 24 * time.Hour
)

// Auth is what a request says about its signature. None of it is to be believed before Verify; it serves to
// route the request and to find the secret.
type Auth struct {
	AccessKeyID   string
	Date          string // of the credential scope, yyyymmdd
	Region        string // of the credential scope
	Service       string // of the credential scope
	SignedHeaders []string
	Signature     string // 64 lower-case hexadecimal digits
	Time          time.Time
	Presigned     bool          // in the query
	Expires       time.Duration // Presigned: how long the URL is good; 0 when it does not say
	SessionToken  string        // empty if none was sent
	ContentSHA256 string        // x-amz-content-sha256 as sent, or empty
}

// Signed reports whether the signature covers the header of this name, in any case.
func (a *Auth) Signed(header string) bool {
	for _, name := range a.SignedHeaders {
		if sameName(header, name) {
			return true
		}
	}
	return false
}

// CheckService returns a WrongService error unless the scope names one of the services.
func (a *Auth) CheckService(services ...string) error {
	if slices.Contains(services, a.Service) {
		return nil
	}
	e := fail(WrongService, "Credential should be scoped to correct service: '%s'.", strings.Join(services, "', '"))
	e.Expected = strings.Join(services, ",")
	return e
}

// ParseAuth reads the Authorization header or, without one, the presigned query. It needs no secret and does not
// touch the body.
//
// The error is an *Error of the Kind MissingToken, Incomplete, Unsupported or WrongDate.
func ParseAuth(r *http.Request) (*Auth, error) {
	if len(r.URL.RawQuery) > maxQueryBytes {
		return nil, fail(Incomplete, "The query string is too long.")
	}
	for _, name := range [...]string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"} {
		if len(r.Header[name]) > 1 {
			return nil, fail(Incomplete, "Only one '%s' header is allowed.", name)
		}
	}
	if line := r.Header["Authorization"]; len(line) > 0 {
		return parseHeader(r, line[0])
	}
	if strings.Contains(r.URL.RawQuery, "X-Amz-") {
		if q := presignedQuery(r.URL.RawQuery); q != nil {
			return parsePresigned(r, q)
		}
	}
	return nil, fail(MissingToken, "Missing Authentication Token")
}

func parseHeader(r *http.Request, line string) (*Auth, error) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch {
	case len(line) > maxAuthorizationBytes:
		return nil, fail(Incomplete, "The 'Authorization' header is too long.")
	case scheme != algorithm:
		return nil, fail(Unsupported, "Unsupported AWS 'algorithm'; only %s is supported.", algorithm)
	}
	f, ok := parseFields(rest)
	if !ok {
		return nil, fail(Incomplete, "'Authorization' header has a malformed or repeated parameter.")
	}
	amzDate, t, dated := headerTime(r.Header)
	if e := headerLacks(&f, dated); e != "" {
		return nil, fail(Incomplete, "%s", e)
	}
	a := &Auth{
		Time: t, Signature: f.signature,
		SessionToken: first(r.Header["X-Amz-Security-Token"]), ContentSHA256: first(r.Header["X-Amz-Content-Sha256"]),
	}
	return a, a.parse(f.credential, f.signedHeaders, amzDate)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// authFields are the parameters of an Authorization header.
type authFields struct{ credential, signedHeaders, signature string }

// parseFields reads them. Others are passed over; false for one that comes twice or has no "=".
func parseFields(rest string) (f authFields, ok bool) {
	var names seen
	for item := range strings.SplitSeq(rest, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(item), "=")
		if !found || !names.add(name) {
			return f, false
		}
		switch name {
		case "Credential":
			f.credential = value
		case "SignedHeaders":
			f.signedHeaders = value
		case "Signature":
			f.signature = value
		}
	}
	return f, true
}

// seen is a set of names that costs nothing while there are few.
type seen struct {
	few  [4]string
	n    int
	many map[string]struct{}
}

// add puts name into the set; false when it is there.
func (s *seen) add(name string) bool {
	if slices.Contains(s.few[:s.n], name) {
		return false
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	if s.many == nil {
		s.many = map[string]struct{}{}
	}
	_, twice := s.many[name]
	s.many[name] = struct{}{}
	return !twice
}

func headerLacks(f *authFields, dated bool) string {
	var lacks []string
	for _, field := range [...]struct{ name, value string }{
		{"Credential", f.credential}, {"Signature", f.signature}, {"SignedHeaders", f.signedHeaders},
	} {
		if field.value == "" {
			lacks = append(lacks, "Authorization header requires '"+field.name+"' parameter.")
		}
	}
	if !dated {
		lacks = append(lacks, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	return strings.Join(lacks, " ")
}

// headerTime reads X-Amz-Date or, without one, Date, which some old clients send in HTTP's own form.
func headerTime(h http.Header) (amzDate string, t time.Time, ok bool) {
	if v := h["X-Amz-Date"]; len(v) > 0 {
		t, ok := parseTime(v[0])
		return v[0], t, ok
	}
	v := h.Get("Date")
	if t, ok := parseTime(v); ok {
		return v, t, true
	}
	t, err := http.ParseTime(v)
	return formatTime(t), t, err == nil
}

// presignedQuery collects the X-Amz-* parameters, or returns nil when none of them speaks of a signature.
// A header-signed request may carry X-Amz-Expires in its URL; that alone is no signature.
func presignedQuery(raw string) map[string][]string {
	q := map[string][]string{}
	for item := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(item, "=")
		name, ok1 := unescape(name, true)
		value, ok2 := unescape(value, true)
		if ok1 && ok2 && strings.HasPrefix(name, "X-Amz-") {
			q[name] = append(q[name], value)
		}
	}
	if q["X-Amz-Algorithm"] == nil && q["X-Amz-Signature"] == nil && q["X-Amz-Credential"] == nil {
		return nil
	}
	return q
}

func parsePresigned(r *http.Request, q map[string][]string) (*Auth, error) {
	get := func(name string) string {
		if len(q[name]) != 1 {
			return ""
		}
		return q[name][0]
	}
	if e := queryLacks(get); e != "" {
		return nil, fail(Incomplete, "%s", e)
	}
	if get("X-Amz-Algorithm") != algorithm {
		return nil, fail(Unsupported, "Unsupported AWS 'algorithm'; only %s is supported.", algorithm)
	}
	t, ok := parseTime(get("X-Amz-Date"))
	if !ok {
		return nil, fail(Incomplete, "Date must be in ISO-8601 'basic format'.")
	}
	a := &Auth{
		Time: t, Signature: get("X-Amz-Signature"), Presigned: true,
		SessionToken: get("X-Amz-Security-Token"), ContentSHA256: get("X-Amz-Content-Sha256"),
	}
	if a.SessionToken == "" {
		a.SessionToken = r.Header.Get("X-Amz-Security-Token")
	}
	if h := r.Header.Get("X-Amz-Content-Sha256"); h != "" {
		a.ContentSHA256 = h
	}
	if q["X-Amz-Expires"] != nil {
		seconds, err := strconv.ParseUint(get("X-Amz-Expires"), 10, 32)
		if a.Expires = time.Duration(seconds) * time.Second; err != nil || seconds == 0 || a.Expires > maxExpires {
			return nil, fail(Incomplete, "X-Amz-Expires must be between 1 and 604800 seconds")
		}
	}
	return a, a.parse(get("X-Amz-Credential"), get("X-Amz-SignedHeaders"), get("X-Amz-Date"))
}

func queryLacks(get func(string) string) string {
	var lacks []string
	for _, name := range [...]string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"} {
		if get(name) == "" {
			lacks = append(lacks, "AWS query-string parameters must include '"+name+"'.")
		}
	}
	if lacks == nil {
		return ""
	}
	return strings.Join(append(lacks, "Re-examine the query-string parameters."), " ")
}

// parse reads what header and query form share. amzDate is the request's time as the signature has it.
func (a *Auth) parse(credential, signedHeaders, amzDate string) error {
	if strings.Count(credential, "/") != 4 {
		return fail(Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	a.AccessKeyID, credential, _ = strings.Cut(credential, "/")
	a.Date, credential, _ = strings.Cut(credential, "/")
	a.Region, credential, _ = strings.Cut(credential, "/")
	var end string
	a.Service, end, _ = strings.Cut(credential, "/")
	a.SignedHeaders = strings.Split(signedHeaders, ";")
	switch {
	case end != terminator:
		return fail(Incomplete, "Credential should be scoped with a valid terminator: '%s'.", terminator)
	case !isWord(a.AccessKeyID, 128) || !isWord(a.Region, 64) || !isWord(a.Service, 64):
		return fail(Incomplete, "Credential is malformed.")
	case len(a.Signature) != 64 || !isLowerHex(a.Signature):
		return fail(Incomplete, "Signature must be 64 hexadecimal digits.")
	case len(a.SignedHeaders) > maxSignedHeaders || !slices.Contains(a.SignedHeaders, "host"):
		return fail(Incomplete, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	case slices.ContainsFunc(a.SignedHeaders, func(s string) bool { return !isHeaderName(s) }):
		return fail(Incomplete, "'SignedHeaders' must be lower-case header names.")
	}
	var room [len(dateLayout)]byte
	if day := a.Time.AppendFormat(room[:0], dateLayout); string(day) != a.Date {
		e := fail(WrongDate, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%.16s' != '%s', from '%s'.", a.Date, string(day), amzDate)
		e.Expected = string(day)
		return e
	}
	return nil
}

func isWord(s string, limit int) bool {
	return s != "" && len(s) <= limit && !strings.ContainsFunc(s, func(r rune) bool { return !isAlphanumeric(r) && r != '-' && r != '_' })
}

func isHeaderName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !isAlphanumeric(r) && r != '-' && r != '_' && r != '.' || 'A' <= r && r <= 'Z'
	})
}

func isAlphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
}

func isLowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
