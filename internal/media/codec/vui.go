// SPDX-License-Identifier: Apache-2.0

package codec

// avcReorder reads the depth of reordering from the end of an SPS of H.264, beginning at vui_parameters_present_flag;
// -1 when it does not say (ISO/IEC 14496-10, E.1.1). Damage here is no reason to refuse the stream.
func (r *bitReader) avcReorder(profile, order uint32) int {
	const baseline, inOutputOrder = 66, 2
	if profile == baseline || order == inOutputOrder {
		return 0
	}
	if !r.flag() {
		return -1
	}
	r.avcVideoSignal()
	if r.flag() { // timing_info_present_flag
		r.skip(32 + 32 + 1)
	}
	nal := r.flag()
	if nal {
		r.avcHRD()
	}
	vcl := r.flag()
	if vcl {
		r.avcHRD()
	}
	if nal || vcl {
		r.skip(1) // low_delay_hrd_flag
	}
	r.skip(1)      // pic_struct_present_flag
	if !r.flag() { // bitstream_restriction_flag
		return -1
	}
	r.skip(1)
	for range 4 {
		r.ue()
	}
	n := r.ue() // max_num_reorder_frames
	if r.short || n > maxReorder {
		return -1
	}
	return int(n)
}

// maxReorder is the largest decoded picture buffer of either codec.
const maxReorder = 16

// avcVideoSignal passes over the first part of the VUI: shape, range, colour and chroma position.
func (r *bitReader) avcVideoSignal() {
	const extendedSAR = 255
	if r.flag() && r.u(8) == extendedSAR {
		r.skip(32)
	}
	if r.flag() { // overscan_info_present_flag
		r.skip(1)
	}
	if r.flag() { // video_signal_type_present_flag
		r.skip(4)
		if r.flag() {
			r.skip(24)
		}
	}
	if r.flag() { // chroma_loc_info_present_flag
		r.ue()
		r.ue()
	}
}

// avcHRD passes over hrd_parameters (ISO/IEC 14496-10, E.1.2).
func (r *bitReader) avcHRD() {
	n := r.ue()
	if n > 31 {
		r.short = true
		return
	}
	r.skip(8)
	for range n + 1 {
		r.ue()
		r.ue()
		r.skip(1)
	}
	r.skip(20)
}

// hevcReorder reads the depth of reordering of an SPS of H.265, beginning after the conformance window; -1 when it is
// damaged (ISO/IEC 23008-2, 7.3.2.2.1).
func (r *bitReader) hevcReorder(subLayers int) int {
	r.ue() // bit_depth_luma_minus8
	r.ue() // bit_depth_chroma_minus8
	r.ue() // log2_max_pic_order_cnt_lsb_minus4
	layers := 1
	if r.flag() { // sps_sub_layer_ordering_info_present_flag
		layers = subLayers + 1
	}
	n := uint32(0)
	for range layers {
		r.ue()
		n = max(n, r.ue())
		r.ue()
	}
	if r.short || n > maxReorder {
		return -1
	}
	return int(n)
}
