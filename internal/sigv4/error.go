// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"fmt"
	"time"
)

// Kind says what is wrong with a request's authentication. Each protocol has its own error code for it.
type Kind int

// The kinds.
const (
	MissingToken      Kind = iota + 1 // no authentication at all
	Incomplete                        // Authorization header or presigned query is malformed
	Unsupported                       // signed, but not with AWS4-HMAC-SHA256
	UnknownKey                        // no such access key, or a session token that does not belong to it
	ExpiredToken                      // the session's credentials have expired
	Expired                           // signed too long ago; S3 calls it RequestTimeTooSkewed
	NotYetCurrent                     // signed in the future; likewise
	PresignExpired                    // past the X-Amz-Expires of a presigned URL
	WrongRegion                       // Error.Expected is the region to sign for
	WrongService                      // Error.Expected is the service to sign for
	WrongDate                         // the scope's date is not the request's
	HeadersNotSigned                  // a header that a service acts upon is not signed
	PayloadMismatch                   // x-amz-content-sha256 is missing where it must be, or not the body's
	SignatureMismatch                 // the signature does not verify
)

// An Error is a failed authentication. Message is AWS's text and holds no secret.
type Error struct {
	Kind     Kind
	Message  string
	Expected string // WrongRegion, WrongService
}

func (e *Error) Error() string { return "sigv4: " + e.Message }

// Is makes errors of one Kind equal for errors.Is.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind
}

func fail(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// ErrUnknownKey is for the caller that finds no secret for an access key, or a session token that is not the
// key's or is there without need.
func ErrUnknownKey() *Error {
	return fail(UnknownKey, "The security token included in the request is invalid.")
}

// ErrExpiredToken is for the caller that finds the credentials expired.
func ErrExpiredToken() *Error {
	return fail(ExpiredToken, "The security token included in the request is expired")
}

func mismatch() *Error {
	return fail(SignatureMismatch, "The request signature we calculated does not match the signature you provided. "+
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}

func wrongRegion(a *Auth, regions []string) *Error {
	expected := ""
	if len(regions) > 0 {
		expected = regions[0]
	}
	e := fail(WrongRegion, "Credential should be scoped to a valid region, not '%s'.", a.Region)
	if a.Service == "s3" {
		e = fail(WrongRegion, "The authorization header is malformed; the region '%s' is wrong; expecting '%s'", a.Region, expected)
	}
	e.Expected = expected
	return e
}

// s3Skewed is S3's text for clocks that differ, either way.
const s3Skewed = "The difference between the request time and the current time is too large."

func expired(a *Auth, now time.Time, window time.Duration) *Error {
	if a.Service == "s3" {
		return fail(Expired, s3Skewed)
	}
	return fail(Expired, "Signature expired: %s is now earlier than %s (%s - %d min.)",
		formatTime(a.Time), formatTime(now.Add(-window)), formatTime(now), int(window.Minutes()))
}

func presignExpired(a *Auth, now time.Time) *Error {
	if a.Service == "s3" {
		return fail(PresignExpired, "Request has expired")
	}
	e := expired(a, now, a.Expires)
	e.Kind = PresignExpired
	return e
}

func notYetCurrent(a *Auth, now time.Time, window time.Duration) *Error {
	if a.Service == "s3" {
		return fail(NotYetCurrent, s3Skewed)
	}
	return fail(NotYetCurrent, "Signature not yet current: %s is still later than %s (%s + %d min.)",
		formatTime(a.Time), formatTime(now.Add(window)), formatTime(now), int(window.Minutes()))
}
