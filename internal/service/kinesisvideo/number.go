// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math/big"
	"regexp"
	"time"
)

// number is a fragment number, big-endian: 47 decimal digits, ascending in the order in which the
// fragments of a stream were begun.
//
//	1<<156 | epoch<<124 | counter<<92 | server time in ms<<28 | 28 random bits
//
// Source: the layout that is seen in recordings of the service; to clients it is opaque.
type number [20]byte

// number's layout in bits.
const (
	numberTop    = 156
	positionBits = 92
	timeBits     = 28
)

var errNumber = errors.New("kinesisvideo: malformed fragment number")

var numberPattern = regexp.MustCompile(`^[0-9]{1,128}$`)

// newNumber joins a position in the stream (epoch and counter), and a time.
func newNumber(position uint64, at time.Time) (n number) {
	var random [4]byte
	rand.Read(random[:]) // never fails
	v := new(big.Int).SetUint64(1)
	v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(position))
	v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(uint64(at.UnixMilli())))
	v.Lsh(v, timeBits).Or(v, new(big.Int).SetUint64(uint64(binary.BigEndian.Uint32(random[:])>>4)))
	v.FillBytes(n[:])
	return n
}

// parseNumber reads the decimal form.
func parseNumber(s string) (n number, err error) {
	if !numberPattern.MatchString(s) {
		return n, errNumber
	}
	v, ok := new(big.Int).SetString(s, 10)
	if !ok || v.BitLen() != numberTop+1 {
		return n, errNumber
	}
	v.FillBytes(n[:])
	return n, nil
}

func (n number) field(shift uint) uint64 {
	v := new(big.Int).SetBytes(n[:])
	v.Rsh(v, shift).And(v, new(big.Int).SetUint64(1<<64-1))
	return v.Uint64()
}

// String returns the decimal form.
func (n number) String() string { return new(big.Int).SetBytes(n[:]).String() }

// position returns epoch and counter.
func (n number) position() uint64 { return n.field(positionBits) }

// millis returns the server time.
func (n number) millis() int64 { return int64(n.field(timeBits)) }

// withCounter fills in the counter, which is zero so far.
func (n number) withCounter(counter uint32) (filled number) {
	v := new(big.Int).SetUint64(uint64(counter))
	v.Lsh(v, positionBits).Or(v, new(big.Int).SetBytes(n[:]))
	v.FillBytes(filled[:])
	return filled
}
