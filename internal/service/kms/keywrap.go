// SPDX-License-Identifier: Apache-2.0

// AES key wrap with padding, RFC 5649, as RSA_AES_KEY_WRAP_… puts it behind an RSA-OAEP
// ciphertext of its AES key. Only unwrapping is here:
//
//	A ‖ R[1..n] = W⁻¹(KEK, C)   (RFC 3394, 2.2.2; n = 1: one AES block)
//	A = A65959A6 ‖ length of the plaintext, uint32; the rest of R is zero padding
//
// A and the padding are checked in constant time; all failures look the same.

package kms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// wrapIV is the first half of the alternative initial value (RFC 5649, 3).
const wrapIV = 0xA65959A6

// unwrapPadded returns what was wrapped under kek, in memory of its own, and false when it does not verify.
func unwrapPadded(kek, wrapped []byte) ([]byte, bool) {
	n := len(wrapped)/8 - 1
	if len(wrapped)%8 != 0 || n < 1 {
		return nil, false
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, false
	}
	head, r := unwrapBlocks(block, wrapped, n)
	size := int64(binary.BigEndian.Uint32(head[4:]))
	ok := subtle.ConstantTimeEq(int32(binary.BigEndian.Uint32(head[:4])>>1), wrapIV>>1) &
		subtle.ConstantTimeByteEq(head[3]&1, wrapIV&1)
	if size <= int64(8*(n-1)) || size > int64(8*n) {
		ok, size = 0, int64(8*n)
	}
	var padding byte
	for _, b := range r[size:] {
		padding |= b
	}
	if ok&subtle.ConstantTimeByteEq(padding, 0) != 1 {
		clear(r)
		return nil, false
	}
	return r[:size], true
}

// unwrapBlocks is W⁻¹.
func unwrapBlocks(block cipher.Block, wrapped []byte, n int) (head [8]byte, r []byte) {
	r = make([]byte, 8*n)
	var b [16]byte
	if n == 1 {
		block.Decrypt(b[:], wrapped)
		copy(r, b[8:])
		return [8]byte(b[:8]), r
	}
	copy(head[:], wrapped)
	copy(r, wrapped[8:])
	for t := 6 * n; t > 0; t-- {
		i := (t - 1) % n * 8
		binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(head[:])^uint64(t))
		copy(b[8:], r[i:])
		block.Decrypt(b[:], b[:])
		copy(head[:], b[:8])
		copy(r[i:i+8], b[8:])
	}
	clear(b[:])
	return head, r
}
