// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
)

// HEVC is an HEVCDecoderConfigurationRecord, hvcC for short (ISO/IEC 14496-15, 8.3.3.1).
type HEVC struct {
	ProfileSpace  byte // 0 to 3
	HighTier      bool
	Profile       byte
	Compatibility uint32
	Constraints   [6]byte
	Level         byte
	LengthSize    int // bytes before each NAL unit: 1, 2 or 4
	VPS, SPS, PPS [][]byte
	Width, Height int // pixels after cropping, of the first SPS
	Reorder       int // as in AVC
}

// MIME implements Config (ISO/IEC 14496-15, E.3).
func (c *HEVC) MIME() string {
	var s strings.Builder
	s.WriteString("hvc1.")
	if c.ProfileSpace > 0 {
		s.WriteByte('A' + c.ProfileSpace - 1)
	}
	tier := 'L'
	if c.HighTier {
		tier = 'H'
	}
	fmt.Fprintf(&s, "%d.%X.%c%d", c.Profile, bits.Reverse32(c.Compatibility), tier, c.Level)
	last := len(c.Constraints)
	for last > 0 && c.Constraints[last-1] == 0 {
		last--
	}
	for _, b := range c.Constraints[:last] {
		fmt.Fprintf(&s, ".%X", b)
	}
	return s.String()
}

// NAL unit types of the parameter sets (ISO/IEC 23008-2, table 7-1).
const (
	hevcVPS = 32
	hevcSPS = 33
	hevcPPS = 34
)

// ParseHEVC reads an hvcC. The slices of the result point into b.
func ParseHEVC(b []byte) (*HEVC, error) {
	if len(b) < 23 || b[0] > 1 { // version 0 was written before the standard was final
		return nil, invalid("hvcC is not of version 1")
	}
	c := &HEVC{
		ProfileSpace:  b[1] >> 6,
		HighTier:      b[1]&0x20 != 0,
		Profile:       b[1] & 0x1F,
		Compatibility: binary.BigEndian.Uint32(b[2:]),
		Constraints:   [6]byte(b[6:12]),
		Level:         b[12],
		LengthSize:    int(b[21]&3) + 1,
	}
	r := byteReader{b: b[23:]}
	for range b[22] {
		kind := r.u8() & 0x3F
		units := r.units(r.u16())
		switch kind {
		case hevcVPS:
			c.VPS = append(c.VPS, units...)
		case hevcSPS:
			c.SPS = append(c.SPS, units...)
		case hevcPPS:
			c.PPS = append(c.PPS, units...)
		}
	}
	if r.short || len(c.SPS) == 0 || c.LengthSize == 3 {
		return nil, invalid("hvcC")
	}
	if !c.readSPS(c.SPS[0]) {
		return nil, invalid("sequence parameter set of hvcC")
	}
	return c, nil
}

// readSPS reads the picture size and the depth of reordering (ISO/IEC 23008-2, 7.3.2.2.1).
func (c *HEVC) readSPS(sps []byte) (ok bool) {
	r := bitReader{b: unescape(sps)}
	if r.u(16)>>9&0x3F != hevcSPS {
		return false
	}
	r.skip(4)
	subLayers := int(r.u(3))
	r.skip(1)
	r.profileTierLevel(subLayers)
	r.ue() // sps_seq_parameter_set_id
	chroma := r.ue()
	if chroma == 3 && r.flag() { // separate_colour_plane_flag
		chroma = 0
	}
	w, h := uint64(r.ue()), uint64(r.ue())
	if r.flag() { // conformance_window_flag
		unitX, unitY := cropUnits(chroma)
		w = r.crop(w, unitX)
		h = r.crop(h, unitY)
	}
	c.Width, c.Height = int(w), int(h)
	ok = !r.short && plausible(w, h)
	c.Reorder = r.hevcReorder(subLayers)
	return ok
}

// profileTierLevel passes over the structure of ISO/IEC 23008-2, 7.3.3.
func (r *bitReader) profileTierLevel(subLayers int) {
	r.skip(88 + 8)
	if subLayers == 0 {
		return
	}
	var n int
	for range subLayers {
		if r.flag() {
			n += 88
		}
		if r.flag() {
			n += 8
		}
	}
	r.skip(2*(8-subLayers) + n)
}
