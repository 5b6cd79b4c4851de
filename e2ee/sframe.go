// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
)

// SFrame (RFC 9605) with its suite 0x0005, AES_256_GCM_SHA512_128, and nothing else of it: one key per object, the key ID
// fixed, the counter given by the caller who must never repeat one.
const (
	sframeSuite = 0x0005
	tagBytes    = 16
	maxCounter  = 1<<31 - 1 // far under what the counter or GCM allow; a new generation starts before
)

type frameKey struct {
	id   uint64
	aead cipher.AEAD
	salt [12]byte
}

// newFrameKey derives key and salt. RFC 9605 §4.4.2.
func newFrameKey(base []byte, id uint64) (*frameKey, error) {
	secret, err := hkdf.Extract(sha512.New, base, nil)
	if err != nil {
		return nil, fmt.Errorf("e2ee: sframe: %w", err)
	}
	suffix := string(appendU16(appendU64(nil, id), sframeSuite))
	key, err := hkdf.Expand(sha512.New, secret, "SFrame 1.0 Secret key "+suffix, 32)
	if err != nil {
		return nil, fmt.Errorf("e2ee: sframe: %w", err)
	}
	salt, err := hkdf.Expand(sha512.New, secret, "SFrame 1.0 Secret salt "+suffix, 12)
	if err != nil {
		return nil, fmt.Errorf("e2ee: sframe: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("e2ee: sframe: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("e2ee: sframe: %w", err)
	}
	return &frameKey{id: id, aead: aead, salt: [12]byte(salt)}, nil
}

// nonce is the salt with the counter XORed into its end. RFC 9605 §4.4.3.
func (k *frameKey) nonce(counter uint64) []byte {
	n := k.salt
	v := binary.BigEndian.Uint64(n[4:]) ^ counter
	binary.BigEndian.PutUint64(n[4:], v)
	return n[:]
}

// seal appends header ‖ ciphertext ‖ tag of plain to dst. The plaintext comes in two parts so that it is copied only once.
func (k *frameKey) seal(dst []byte, counter uint64, metadata, plain1, plain2 []byte) []byte {
	start := len(dst)
	dst = appendSFrameHeader(dst, k.id, counter)
	aad := append(append(make([]byte, 0, 64), dst[start:]...), metadata...)
	at := len(dst)
	dst = append(append(dst, plain1...), plain2...)
	return k.aead.Seal(dst[:at], k.nonce(counter), dst[at:], aad)
}

// open returns the counter and the plaintext, which is a new slice.
func (k *frameKey) open(frame, metadata []byte) (counter uint64, plain []byte, ok bool) {
	id, counter, n := parseSFrameHeader(frame)
	if n == 0 || id != k.id {
		return 0, nil, false
	}
	aad := append(append(make([]byte, 0, 64), frame[:n]...), metadata...)
	plain, err := k.aead.Open(nil, k.nonce(counter), frame[n:], aad)
	return counter, plain, err == nil
}

// appendSFrameHeader writes the config byte X KKK Y CCC and what does not fit into it. RFC 9605 §4.3.
func appendSFrameHeader(dst []byte, id, counter uint64) []byte {
	at := len(dst)
	dst = append(dst, 0)
	field := func(v uint64, shift int) {
		if v < 8 {
			dst[at] |= byte(v) << shift
			return
		}
		n := bytesOf(v)
		dst[at] |= byte(8|(n-1)) << shift
		for i := n - 1; i >= 0; i-- {
			dst = append(dst, byte(v>>(8*i)))
		}
	}
	field(id, 4)
	field(counter, 0)
	return dst
}

// parseSFrameHeader returns the header's length, or 0 when it is cut short or longer than it needs to be.
func parseSFrameHeader(b []byte) (id, counter uint64, n int) {
	r := reader{b: b}
	config := r.u8()
	field := func(bits byte) uint64 {
		if bits&8 == 0 {
			return uint64(bits)
		}
		size := int(bits&7) + 1
		v := r.uint(size)
		r.bad = r.bad || v < 8 || bytesOf(v) != size
		return v
	}
	id, counter = field(config>>4), field(config&15)
	if r.bad {
		return 0, 0, 0
	}
	return id, counter, len(b) - len(r.b)
}

// bytesOf is the least number of bytes that v fits in.
func bytesOf(v uint64) int {
	n := 1
	for v > 255 {
		v >>= 8
		n++
	}
	return n
}
