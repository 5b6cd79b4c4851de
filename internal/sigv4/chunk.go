// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
)

// Chunks verifies the signatures inside a body sent as StreamingPayload or StreamingPayloadTrailer, in which each
// chunk is signed together with the signature before it. It is for one goroutine.
//
// Source: S3 API Reference, "Signature Calculations for the Authorization Header: Transferring Payload in
// Multiple Chunks".
type Chunks struct {
	key            signingKey
	amzDate, scope string
	previous       string
}

// Chunks returns the verifier of the chunks that follow a request which Verify has accepted with this secret.
func (v *Verifier) Chunks(auth *Auth, secret string) *Chunks {
	return &Chunks{
		key:      deriveKey(secret, auth.Date, auth.Region, auth.Service),
		amzDate:  formatTime(auth.Time),
		scope:    scopeOf(auth.Date, auth.Region, auth.Service),
		previous: auth.Signature,
	}
}

// Verify checks the signature of the next chunk, given the hash of its data. The last chunk, which has no data,
// is signed too; a body that ends without it has been cut short. The error is an *Error of the Kind
// SignatureMismatch, after which the body must not be used.
func (c *Chunks) Verify(sum [sha256.Size]byte, signature string) error {
	return c.next("AWS4-HMAC-SHA256-PAYLOAD", EmptyHash+"\n", sum, signature)
}

// VerifyTrailer checks the signature of the trailer, after the last chunk. sum is the hash of its lines, each as
// "name:value\n" with the name in lower case.
func (c *Chunks) VerifyTrailer(sum [sha256.Size]byte, signature string) error {
	return c.next("AWS4-HMAC-SHA256-TRAILER", "", sum, signature)
}

func (c *Chunks) next(kind, middle string, sum [sha256.Size]byte, signature string) error {
	mac := hmacSHA256(c.key[:], kind+"\n"+c.amzDate+"\n"+c.scope+"\n"+c.previous+"\n"+middle+hex.EncodeToString(sum[:]))
	want := hex.EncodeToString(mac[:])
	if subtle.ConstantTimeCompare([]byte(want), []byte(signature)) != 1 {
		return mismatch()
	}
	c.previous = want
	return nil
}
