// SPDX-License-Identifier: Apache-2.0

package codec

import "fmt"

// AVC is an AVCDecoderConfigurationRecord, avcC for short (ISO/IEC 14496-15, 5.3.3.1).
type AVC struct {
	Profile, Compatibility, Level byte
	LengthSize                    int // bytes before each NAL unit: 1, 2 or 4
	SPS, PPS                      [][]byte
	Width, Height                 int // pixels after cropping, of the first SPS

	// Reorder is how many pictures at most precede another in decoding order and follow it in output; -1 when the
	// first SPS does not say.
	Reorder int
}

// MIME implements Config.
func (c *AVC) MIME() string {
	return fmt.Sprintf("avc1.%02x%02x%02x", c.Profile, c.Compatibility, c.Level)
}

// ParseAVC reads an avcC. The slices of the result point into b.
func ParseAVC(b []byte) (*AVC, error) {
	r := byteReader{b: b}
	if r.u8() != 1 {
		return nil, invalid("avcC is not of version 1")
	}
	c := &AVC{Profile: byte(r.u8()), Compatibility: byte(r.u8()), Level: byte(r.u8())}
	c.LengthSize = r.u8()&3 + 1
	c.SPS = r.units(r.u8() & 31)
	c.PPS = r.units(r.u8())
	if r.short || len(c.SPS) == 0 || c.LengthSize == 3 {
		return nil, invalid("avcC")
	}
	if !c.readSPS(c.SPS[0]) {
		return nil, invalid("sequence parameter set of avcC")
	}
	return c, nil
}

// units reads n NAL units, each after its length in two bytes.
func (r *byteReader) units(n int) [][]byte {
	var units [][]byte
	for range n {
		if r.short {
			return nil
		}
		units = append(units, r.take(r.u16()))
	}
	return units
}

// readSPS reads the picture size and the depth of reordering (ISO/IEC 14496-10, 7.3.2.1.1).
func (c *AVC) readSPS(sps []byte) (ok bool) {
	r := bitReader{b: unescape(sps)}
	if r.u(8)&0x1F != 7 {
		return false
	}
	profile := r.u(8)
	r.skip(16)
	r.ue() // seq_parameter_set_id
	chroma := uint32(1)
	if avcHasChroma(profile) {
		chroma = r.avcChroma()
	}
	r.ue() // log2_max_frame_num_minus4
	order := r.avcOrder()
	r.ue() // max_num_ref_frames
	r.skip(1)
	w := (uint64(r.ue()) + 1) * 16
	h := (uint64(r.ue()) + 1) * 16
	frames := r.u(1) // frame_mbs_only_flag
	h *= uint64(2 - frames)
	if frames == 0 {
		r.skip(1)
	}
	r.skip(1)
	if r.flag() {
		unitX, unitY := cropUnits(chroma)
		w = r.crop(w, unitX)
		h = r.crop(h, unitY*uint64(2-frames))
	}
	c.Width, c.Height = int(w), int(h)
	ok = !r.short && plausible(w, h)
	c.Reorder = r.avcReorder(profile, order)
	return ok
}

// plausible refuses sizes that no box of MP4 can hold.
func plausible(w, h uint64) bool { return w > 0 && h > 0 && w < 1<<16 && h < 1<<16 }

// crop reads the offsets of two opposite edges and takes them off size; too much gives 0, which is not plausible.
func (r *bitReader) crop(size, unit uint64) uint64 {
	cut := (uint64(r.ue()) + uint64(r.ue())) * unit
	if cut >= size {
		return 0
	}
	return size - cut
}

// cropUnits is the size of a crop offset in luma samples for a chroma_format_idc (14496-10, table 6-1).
func cropUnits(chroma uint32) (x, y uint64) {
	switch chroma {
	case 1:
		return 2, 2
	case 2:
		return 2, 1
	}
	return 1, 1
}

// avcHasChroma tells whether the SPS of a profile carries the chroma format.
func avcHasChroma(profile uint32) bool {
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		return true
	}
	return false
}

// avcChroma reads what the SPS of the high profiles has in addition.
func (r *bitReader) avcChroma() uint32 {
	chroma := r.ue()
	lists := 8
	if chroma == 3 {
		lists = 12
		if r.flag() { // separate_colour_plane_flag
			chroma = 0
		}
	}
	r.ue() // bit_depth_luma_minus8
	r.ue() // bit_depth_chroma_minus8
	r.skip(1)
	if r.flag() {
		for i := range lists {
			r.scalingList(i)
		}
	}
	return chroma
}

// scalingList passes over one list (ISO/IEC 14496-10, 7.3.2.1.1.1).
func (r *bitReader) scalingList(i int) {
	if !r.flag() {
		return
	}
	n := 16
	if i >= 6 {
		n = 64
	}
	last, next := int32(8), int32(8)
	for range n {
		if next != 0 {
			next = (last + r.se() + 256) & 255
		}
		if next != 0 {
			last = next
		}
	}
}

// avcOrder reads the picture order count fields and returns pic_order_cnt_type.
func (r *bitReader) avcOrder() uint32 {
	order := r.ue()
	switch order {
	case 0:
		r.ue()
	case 1:
		r.skip(1)
		r.se()
		r.se()
		n := r.ue()
		if n > 255 {
			r.short = true
			return order
		}
		for range n {
			r.se()
		}
	}
	return order
}
