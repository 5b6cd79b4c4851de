// SPDX-License-Identifier: Apache-2.0

package e2ee

import "encoding/binary"

// reader takes fields from the front of hostile bytes. The first field that is not there makes it bad, and everything after
// is zero, so that a parser checks once, at its end. It never allocates: results alias the input.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	f := r.b[:n:n]
	r.b = r.b[n:]
	return f
}

func (r *reader) uint(n int) (v uint64) {
	for _, b := range r.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (r *reader) u8() uint8   { return uint8(r.uint(1)) }
func (r *reader) u16() uint16 { return uint16(r.uint(2)) }
func (r *reader) u32() uint32 { return uint32(r.uint(4)) }
func (r *reader) u64() uint64 { return r.uint(8) }

// fill copies the next len(dst) bytes.
func (r *reader) fill(dst []byte) { copy(dst, r.take(len(dst))) }

// bytes takes a field with a length of n bytes before it.
func (r *reader) bytes(n int) []byte { return r.take(int(r.uint(n))) }

// done reports whether all was there and nothing is left.
func (r *reader) done() bool { return !r.bad && len(r.b) == 0 }

func appendU16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func appendU32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func appendU64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func appendU24(b []byte, v int) []byte { return append(b, byte(v>>16), byte(v>>8), byte(v)) }

// appendString writes a string of at most 255 bytes after its length; callers have checked the length.
func appendString(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }
