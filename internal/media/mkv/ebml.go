// SPDX-License-Identifier: Apache-2.0

package mkv

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
)

// unknownSize is the size of an element whose end is found by what follows it (RFC 8794, section 6.2).
const unknownSize = -1

// vintLength is the length in bytes of the variable-size integer that begins with b; over 8 it is invalid.
func vintLength(b byte) int { return bits.LeadingZeros8(b) + 1 }

// idLength is the length in bytes of an element ID.
func idLength(id ID) int { return (bits.Len32(uint32(id)) + 7) / 8 }

// vint decodes the variable-size integer at the start of b without its marker.
// It reports its length, 0 when b is too short or it is invalid, and whether all its value bits are one.
func vint(b []byte) (v uint64, n int, ones bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	n = vintLength(b[0])
	if n > 8 || n > len(b) {
		return 0, 0, false
	}
	v = uint64(b[0]) & (0xFF >> n)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, n, v == 1<<(7*n)-1
}

// element is one EBML element inside a byte slice.
type element struct {
	id   ID
	raw  []byte // ID, size and data
	data []byte
}

// nextElement splits the first element off b, which must hold all of it. The reason is empty on success.
func nextElement(b []byte) (e element, rest []byte, reason string) {
	idLen, sizeLen := 0, 0
	if len(b) > 0 {
		idLen = vintLength(b[0])
	}
	if idLen == 0 || idLen > 4 || idLen > len(b) {
		return e, nil, "invalid element ID"
	}
	for _, c := range b[:idLen] {
		e.id = e.id<<8 | ID(c)
	}
	size, sizeLen, ones := vint(b[idLen:])
	if sizeLen == 0 {
		return e, nil, "invalid element size"
	}
	if ones {
		return e, nil, "element of unknown size where a size is needed"
	}
	start := idLen + sizeLen
	if size > uint64(len(b)-start) {
		return e, nil, "element larger than its parent"
	}
	end := start + int(size)
	e.raw, e.data = b[:end], b[start:end]
	return e, b[end:], ""
}

// children calls visit for each element in data, until it gives a reason to stop.
func children(data []byte, visit func(element) string) string {
	for len(data) > 0 {
		e, rest, reason := nextElement(data)
		if reason == "" {
			reason = visit(e)
		}
		if reason != "" {
			return reason
		}
		data = rest
	}
	return ""
}

// uintValue decodes an unsigned integer element; longer ones than 8 bytes do not exist (RFC 8794, section 7.2).
func uintValue(data []byte) (uint64, string) {
	if len(data) > 8 {
		return 0, "integer element of more than 8 bytes"
	}
	var v uint64
	for _, c := range data {
		v = v<<8 | uint64(c)
	}
	return v, ""
}

// floatValue decodes a float element: 0, 4 or 8 bytes (RFC 8794, section 7.3).
func floatValue(data []byte) (float64, string) {
	switch len(data) {
	case 0:
		return 0, ""
	case 4:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(data))), ""
	case 8:
		return math.Float64frombits(binary.BigEndian.Uint64(data)), ""
	}
	return 0, "float element of neither 4 nor 8 bytes"
}

// stringValue decodes a string element, which may end early with NULs (RFC 8794, section 13).
func stringValue(data []byte) string {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		data = data[:i]
	}
	return string(data)
}

// setUint returns a visitor's result after it stored the integer in data.
func setUint(dst *uint64, data []byte) string {
	v, reason := uintValue(data)
	*dst = v
	return reason
}

// setFloat is setUint for floats.
func setFloat(dst *float64, data []byte) string {
	v, reason := floatValue(data)
	*dst = v
	return reason
}
