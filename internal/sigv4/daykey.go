// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
	"time"
)

// dayKey signs under the key of one day, region and service. It keeps what HMAC makes of a key, which costs more than
// a signature. It is safe for concurrent use.
type dayKey struct {
	mu  sync.Mutex // guards the fields below
	mac hash.Hash
	buf []byte // what is signed
	sum []byte
}

func newDayKey(key signingKey) *dayKey { return &dayKey{mac: hmac.New(sha256.New, key[:])} }

// sign signs the string made of the lines algorithm, time, scope and the hash of the canonical request.
func (k *dayKey) sign(t time.Time, date, region, service string, canonical []byte) (mac [sha256.Size]byte) {
	sum := sha256.Sum256(canonical)
	k.mu.Lock()
	defer k.mu.Unlock()
	b := append(append(k.buf[:0], algorithm...), '\n')
	b = append(t.UTC().AppendFormat(b, timeLayout), '\n')
	for _, part := range [...]string{date, region, service} {
		b = append(append(b, part...), '/')
	}
	b = append(append(b, terminator...), '\n')
	k.buf = hex.AppendEncode(b, sum[:])
	k.mac.Reset()
	k.mac.Write(k.buf)
	k.sum = k.mac.Sum(k.sum[:0])
	return [sha256.Size]byte(k.sum)
}
