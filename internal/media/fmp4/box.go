// SPDX-License-Identifier: Apache-2.0

package fmp4

import "encoding/binary"

// boxes builds nested boxes: begin and end stand around the content, and end fills in the size.
type boxes struct {
	b []byte
}

func (x *boxes) begin(kind string) (start int) {
	start = len(x.b)
	x.u32(0)
	x.str(kind)
	return start
}

// beginFull begins a box with a version and flags (ISO/IEC 14496-12, 4.2.2).
func (x *boxes) beginFull(kind string, version byte, flags uint32) (start int) {
	start = x.begin(kind)
	x.u32(uint32(version)<<24 | flags)
	return start
}

func (x *boxes) end(start int) {
	binary.BigEndian.PutUint32(x.b[start:], uint32(len(x.b)-start))
}

// box writes a box of given content.
func (x *boxes) box(kind string, content ...byte) {
	start := x.begin(kind)
	x.bytes(content)
	x.end(start)
}

func (x *boxes) u8(v byte)      { x.b = append(x.b, v) }
func (x *boxes) u16(v uint16)   { x.b = binary.BigEndian.AppendUint16(x.b, v) }
func (x *boxes) u32(v uint32)   { x.b = binary.BigEndian.AppendUint32(x.b, v) }
func (x *boxes) u64(v uint64)   { x.b = binary.BigEndian.AppendUint64(x.b, v) }
func (x *boxes) str(s string)   { x.b = append(x.b, s...) }
func (x *boxes) bytes(b []byte) { x.b = append(x.b, b...) }

// zero writes n zero bytes.
func (x *boxes) zero(n int) { x.b = append(x.b, make([]byte, n)...) }

// matrix writes the unity transformation (ISO/IEC 14496-12, 6.2.2).
func (x *boxes) matrix() {
	for _, v := range [9]uint32{0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000} {
		x.u32(v)
	}
}
