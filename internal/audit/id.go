// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
)

// An event's ID is a UUID of version 7 (RFC 9562, 5.7): it begins with the event's time.

const (
	idBytes = len("00000000-0000-7000-8000-000000000000")
	// idTimeBytes is how much of an ID the time takes.
	idTimeBytes = len("00000000-0000")
)

// newID returns an ID for a time in Unix milliseconds.
func newID(t int64) string {
	var u [10]byte
	rand.Read(u[:]) // never fails
	u[0] = 0x70 | u[0]&0x0f
	u[2] = 0x80 | u[2]&0x3f
	var s [idBytes]byte
	idTime((*[idTimeBytes]byte)(s[:idTimeBytes]), t)
	hex.Encode(s[14:], u[0:2])
	hex.Encode(s[19:], u[2:4])
	hex.Encode(s[24:], u[4:])
	s[13], s[18], s[23] = '-', '-', '-'
	return string(s[:])
}

// idTime writes the beginning of the ID of an event of a time in Unix milliseconds.
func idTime(to *[idTimeBytes]byte, t int64) []byte {
	var u [6]byte
	binary.BigEndian.PutUint16(u[:], uint16(t>>32))
	binary.BigEndian.PutUint32(u[2:], uint32(t))
	hex.Encode(to[0:], u[0:4])
	to[8] = '-'
	hex.Encode(to[9:], u[4:6])
	return to[:]
}
