// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Verifier verifies signatures. Use NewVerifier; it is safe for concurrent use.
type Verifier struct {
	regions []string
	cache   keyCache
}

// NewVerifier returns a Verifier for credentials scoped to one of the regions. At least one is needed; the first is
// the one that errors name. Requests to iam, sts and cloudfront may be scoped to any region.
func NewVerifier(regions ...string) *Verifier {
	return &Verifier{regions: slices.Clone(regions)}
}

// Skew is how far a service lets the client's clock be off.
func Skew(service string) time.Duration {
	if service == "s3" || service == "kinesisvideo" {
		return 15 * time.Minute
	}
	return 5 * time.Minute
}

func global(service string) bool {
	return service == "iam" || service == "sts" || service == "cloudfront"
}

// Verify checks the signature that ParseAuth found in r, as of now. secret is the secret access key of
// auth.AccessKeyID; it must not be empty. payload is what r's body is.
//
// The error is an *Error of the Kind WrongRegion, Expired, NotYetCurrent, PresignExpired, HeadersNotSigned,
// PayloadMismatch or SignatureMismatch. That the session token belongs to the key is for the caller to check.
func (v *Verifier) Verify(now time.Time, r *http.Request, auth *Auth, secret string, payload Payload) error {
	if err := v.checkScope(auth, now); err != nil {
		return err
	}
	if name := unsignedHeader(r, auth); name != "" {
		return fail(HeadersNotSigned, "There were headers present in the request which were not signed: %s", name)
	}
	hash, err := payload.resolve(auth)
	if err != nil {
		return err
	}
	if secret == "" {
		return mismatch()
	}
	k := cacheKey{auth.AccessKeyID, auth.Date, auth.Region, auth.Service, sha256.Sum256([]byte(secret))}
	key, cached := v.cache.get(k)
	if !cached {
		key = newDayKey(deriveKey(secret, auth.Date, auth.Region, auth.Service))
	}
	if !verifies(r, auth, key, hash) {
		return mismatch()
	}
	if !cached {
		v.cache.put(k, key)
	}
	return nil
}

func (v *Verifier) checkScope(a *Auth, now time.Time) error {
	if !global(a.Service) && !slices.Contains(v.regions, a.Region) {
		return wrongRegion(a, v.regions)
	}
	skew := Skew(a.Service)
	switch {
	case a.Time.After(now.Add(skew)):
		return notYetCurrent(a, now, skew)
	case a.Presigned && a.Expires > 0:
		if now.After(a.Time.Add(a.Expires)) {
			return presignExpired(a, now)
		}
	case a.Time.Before(now.Add(-skew)):
		return expired(a, now, skew)
	}
	return nil
}

// unsignedHeader returns the name of a header that must be signed and is not, or "".
func unsignedHeader(r *http.Request, a *Auth) string {
	for name := range r.Header {
		if len(name) < len("X-Amz-") || !sameName(name[:len("x-amz")], "x-amz") {
			continue
		}
		if actedUpon(name, a.Service) && !a.Signed(name) && !hoisted(r, a, name) {
			return strings.ToLower(name)
		}
	}
	return ""
}

// hoisted reports whether a presigned query has the header of this name with the same value: the SDKs for Go
// move headers there, and whoever sends the request may leave them in place.
func hoisted(r *http.Request, a *Auth, name string) bool {
	return a.Presigned && slices.Equal(presignedQuery(r.URL.RawQuery)[name], r.Header[name])
}

// actedUpon reports whether services act upon a header, given by its name in any case, in a way that only being
// signed can cover; see the package comment.
func actedUpon(name, service string) bool {
	switch {
	case sameName(name, "x-amz-date"), sameName(name, "x-amz-content-sha256"), sameName(name, "x-amzn-trace-id"):
		return false
	case sameName(name, "x-amz-security-token"):
		return service == "s3"
	}
	return sameName(name[:min(len(name), len("x-amz-"))], "x-amz-") || sameName(name[:min(len(name), len("x-amzn-"))], "x-amzn-")
}

// sameName reports whether a header's name is the one that lower is, which has no capitals.
func sameName(name, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// verifies tries the few canonical forms that clients sign, the most usual first.
func verifies(r *http.Request, a *Auth, key *dayKey, hash string) bool {
	var given, want [2 * sha256.Size]byte
	if len(a.Signature) != len(given) {
		return false
	}
	copy(given[:], a.Signature)
	var room [1024]byte
	var paths, queries [2]string
	for _, path := range canonicalPaths(paths[:0], r, a.Service) {
		for _, query := range canonicalQueries(queries[:0], r.URL.RawQuery, a) {
			canonical, ok := appendCanonical(room[:0], r, path, query, a.SignedHeaders, hash)
			if !ok {
				return false
			}
			mac := key.sign(a.Time, a.Date, a.Region, a.Service, canonical)
			hex.Encode(want[:], mac[:])
			if subtle.ConstantTimeCompare(want[:], given[:]) == 1 {
				return true
			}
		}
	}
	return false
}

// canonicalQueries appends the canonical query; of a presigned one also that without the session token, which
// some clients append after signing.
func canonicalQueries(to []string, raw string, a *Auth) []string {
	if !a.Presigned {
		q, ok := canonicalQuery(raw)
		return keep(to, q, ok)
	}
	q, ok := canonicalQuery(raw, "X-Amz-Signature")
	to = keep(to, q, ok)
	if a.SessionToken != "" && a.Service != "s3" && strings.Contains(q, "X-Amz-Security-Token=") {
		q, ok = canonicalQuery(raw, "X-Amz-Signature", "X-Amz-Security-Token")
		to = keep(to, q, ok)
	}
	return to
}

func keep(list []string, s string, ok bool) []string {
	if !ok {
		return list
	}
	return append(list, s)
}

// A Payload says how the body of a request is known to its verifier. The zero Payload is an empty body.
type Payload struct {
	form payloadForm
	hash [2 * sha256.Size]byte // in hexadecimal
}

type payloadForm int

const (
	emptyBody payloadForm = iota
	hashedBody
	streamedBody
	deferredBody
)

// Body is a body that has been read.
func Body(b []byte) Payload { return BodySum(sha256.Sum256(b)) }

// BodySum is a body whose SHA-256 is known.
func BodySum(sum [sha256.Size]byte) Payload {
	p := Payload{form: hashedBody}
	hex.Encode(p.hash[:], sum[:])
	return p
}

// StreamedBody is the body of PutMedia, which no signature covers: clients sign the hash of nothing, or
// UNSIGNED-PAYLOAD. Use it for PutMedia alone.
func StreamedBody() Payload { return Payload{form: streamedBody} }

// DeferredBody is a body that is read later, as those of S3 are. The caller must then hold it against
// auth.ContentSHA256: a hash, or one of the streaming forms (see Chunks), or UNSIGNED-PAYLOAD.
func DeferredBody() Payload { return Payload{form: deferredBody} }

// resolve returns the payload hash to put into the canonical request.
func (p Payload) resolve(a *Auth) (string, error) {
	declared, s3 := a.ContentSHA256, a.Service == "s3"
	switch p.form {
	case streamedBody:
		if declared == "" {
			return EmptyHash, nil
		}
		if declared == EmptyHash || declared == UnsignedPayload {
			return declared, nil
		}
		return "", payloadMismatch()
	case deferredBody:
		return resolveDeferred(declared, s3, a.Presigned)
	case emptyBody:
		copy(p.hash[:], EmptyHash)
	}
	switch {
	case declared == string(p.hash[:]), s3 && declared == UnsignedPayload:
		return declared, nil
	case declared != "":
		return "", payloadMismatch()
	case s3 && a.Presigned:
		return UnsignedPayload, nil
	case s3:
		return "", missingHash()
	}
	return string(p.hash[:]), nil
}

func resolveDeferred(declared string, s3, presigned bool) (string, error) {
	switch {
	case len(declared) == 2*sha256.Size && isLowerHex(declared):
		return declared, nil
	case s3 && declared == "" && presigned:
		return UnsignedPayload, nil
	case declared == "":
		return "", missingHash()
	case s3 && (declared == UnsignedPayload || declared == StreamingPayload ||
		declared == StreamingPayloadTrailer || declared == StreamingUnsignedPayloadTrailer):
		return declared, nil
	}
	return "", payloadMismatch()
}

func missingHash() error {
	return fail(PayloadMismatch, "Missing required header for this request: x-amz-content-sha256")
}

func payloadMismatch() error {
	return fail(PayloadMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.")
}
