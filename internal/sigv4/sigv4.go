// SPDX-License-Identifier: Apache-2.0

// Package sigv4 verifies and makes AWS Signature Version 4 signatures of HTTP requests, in the Authorization
// header and in presigned queries, as real clients send them.
//
// It does not know who owns an access key, nor what a request may do: [ParseAuth] says which key signed,
// the caller finds its secret, [Verifier.Verify] tells whether the signature holds. [Sign] and [Presign] are the
// client's side.
//
// The invariant: a request verifies only if method, path, query, host, every header that a service may act upon,
// body and time are the ones that the holder of the secret signed. The headers that must be signed are host and,
// when present, all x-amz-* and x-amzn-* ones, except:
//
//   - x-amz-date and x-amz-content-sha256, whose values the signature covers by themselves;
//   - x-amz-security-token, which C producers do not sign: whether it belongs to the access key is for the caller
//     to check. S3 asks for it too;
//   - x-amzn-trace-id, which proxies add and nothing acts upon.
//
// Content-Type and Content-Length are not among them, because C producers do not sign those: ask [Auth.Signed]
// before acting on any other header in a way that matters.
//
// Several spellings of a request have one signature: order and percent-encoding of the query, blanks around header
// values, and, except for S3, "//", "/./" and "/../" in the path. Whoever routes must use the path as it was sent.
//
// Source: IAM User Guide, "Signing AWS API requests"; S3 API Reference, "Authenticating Requests (AWS Signature
// Version 4)".
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
)

// Payload hashes that are not the hash of a body.
const (
	// EmptyHash is the SHA-256 of nothing; PutMedia is signed with it, whatever its body.
	EmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	// UnsignedPayload is for S3, and for PutMedia.
	UnsignedPayload = "UNSIGNED-PAYLOAD"
	// StreamingPayload and the next two are the chunked bodies of S3; see Chunks.
	StreamingPayload                = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingPayloadTrailer         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingUnsignedPayloadTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// Credentials are what a client signs with. SessionToken is empty for long-term keys.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
}

// HashBody returns the payload hash of a body.
func HashBody(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

type signingKey [sha256.Size]byte

// deriveKey makes the key of one day, region and service.
func deriveKey(secret, date, region, service string) signingKey {
	key := hmacSHA256([]byte("AWS4"+secret), date)
	for _, s := range [...]string{region, service, terminator} {
		key = hmacSHA256(key[:], s)
	}
	return key
}

func hmacSHA256[T string | []byte](key []byte, message T) (sum signingKey) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	h.Sum(sum[:0])
	return sum
}

func scopeOf(date, region, service string) string {
	return date + "/" + region + "/" + service + "/" + terminator
}
