// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// deriveKey is the key derivation function of NIST SP 800-108r1, section 4.1
// (counter mode, 32-bit counter before the fixed data, 32-bit length after it),
// with HMAC-SHA-256. One block gives the 256 bits that are wanted:
//
//	HMAC(secret, uint32be(1) ‖ label ‖ 0x00 ‖ context ‖ uint32be(256))
func deriveKey(secret []byte, label string, context []byte) [32]byte {
	var key [32]byte
	deriveInto(key[:], secret, label, context)
	return key
}

// deriveInto fills out with as many blocks as it needs; label must not hold a
// zero byte. It is deriveKey's general form and exists so that published
// vectors of any length can be checked against it.
func deriveInto(out, secret []byte, label string, context []byte) {
	fixed := make([]byte, 0, len(label)+1+len(context)+4)
	fixed = append(fixed, label...)
	fixed = append(fixed, 0)
	fixed = append(fixed, context...)
	fixed = binary.BigEndian.AppendUint32(fixed, uint32(len(out)*8))
	fillCounterMode(out, secret, fixed)
}

// fillCounterMode is counter mode over fixed input data, SP 800-108's general form.
func fillCounterMode(out, secret, fixed []byte) {
	mac := hmac.New(sha256.New, secret)
	var room [4 + sha256.Size]byte
	counter, block := room[:4], room[4:]
	for i := uint32(1); len(out) > 0; i++ {
		if i > 1 {
			mac.Reset()
		}
		binary.BigEndian.PutUint32(counter, i)
		mac.Write(counter)
		mac.Write(fixed)
		out = out[copy(out, mac.Sum(block[:0])):]
	}
	clear(block)
}
