// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"time"

	"github.com/obscura-video/obscura/internal/media/codec"
)

// movieTimescale is that of the movie's own durations: milliseconds.
const movieTimescale = 1000

// AppendInit appends the init segment of tracks: ftyp and moov. duration is that of the whole presentation, 0 when it is not
// known. The same tracks give the same bytes.
//
// Errors: those of codec.Parse, wrapped.
func AppendInit(dst []byte, tracks []Track, duration time.Duration) ([]byte, error) {
	parsed, err := newTracks(tracks)
	if err != nil {
		return dst, err
	}
	return appendInit(dst, parsed, duration), nil
}

func appendInit(dst []byte, tracks []*track, duration time.Duration) []byte {
	x := &boxes{b: dst}
	ftyp := x.begin("ftyp")
	x.str("iso6")
	x.u32(0)
	x.str("iso6mp41")
	x.end(ftyp)

	moov := x.begin("moov")
	x.mvhd(tracks)
	for _, t := range tracks {
		x.trak(t)
	}
	x.mvex(tracks, duration)
	x.end(moov)
	return x.b
}

// mvhd is the movie header (8.2.2). Times of creation stay zero, so that the output is reproducible.
func (x *boxes) mvhd(tracks []*track) {
	next := uint32(1)
	for _, t := range tracks {
		next = max(next, t.ID+1)
	}
	start := x.beginFull("mvhd", 0, 0)
	x.zero(8)
	x.u32(movieTimescale)
	x.u32(0)       // duration: see mehd
	x.u32(0x10000) // rate 1.0
	x.u16(0x0100)  // volume 1.0
	x.zero(10)
	x.matrix()
	x.zero(24)
	x.u32(next)
	x.end(start)
}

// mvex announces fragments (8.8.1).
func (x *boxes) mvex(tracks []*track, duration time.Duration) {
	mvex := x.begin("mvex")
	if duration > 0 {
		mehd := x.beginFull("mehd", 1, 0)
		x.u64(uint64(ticks(duration, movieTimescale)))
		x.end(mehd)
	}
	for _, t := range tracks {
		trex := x.beginFull("trex", 0, 0)
		x.u32(t.ID)
		x.u32(1) // sample description
		x.zero(12)
		x.end(trex)
	}
	x.end(mvex)
}

func (x *boxes) trak(t *track) {
	trak := x.begin("trak")
	x.tkhd(t)
	if t.edit > 0 {
		x.edts(t)
	}
	mdia := x.begin("mdia")
	x.mdhd(t)
	x.hdlr(t)
	minf := x.begin("minf")
	if t.video {
		vmhd := x.beginFull("vmhd", 0, 1)
		x.zero(8)
		x.end(vmhd)
	} else {
		smhd := x.beginFull("smhd", 0, 0)
		x.zero(4)
		x.end(smhd)
	}
	x.dinf()
	x.stbl(t)
	x.end(minf)
	x.end(mdia)
	x.end(trak)
}

// tkhd is the track header (8.3.2).
func (x *boxes) tkhd(t *track) {
	const enabledInMovieAndPreview = 7
	start := x.beginFull("tkhd", 0, enabledInMovieAndPreview)
	x.zero(8)
	x.u32(t.ID)
	x.zero(4 + 4 + 8 + 2) // reserved, duration, reserved, layer
	if t.video {
		x.u16(0)
		x.u16(0)
	} else {
		x.u16(1)      // alternate group
		x.u16(0x0100) // volume 1.0
	}
	x.zero(2)
	x.matrix()
	x.u32(uint32(t.Width) << 16)
	x.u32(uint32(t.Height) << 16)
	x.end(start)
}

// edts takes the track's delay back (8.6.6).
func (x *boxes) edts(t *track) {
	edts := x.begin("edts")
	elst := x.beginFull("elst", 1, 0)
	x.u32(1)
	x.u64(0) // duration: all that follows
	x.u64(uint64(t.edit))
	x.u32(0x10000) // rate 1.0
	x.end(elst)
	x.end(edts)
}

// mdhd is the media header (8.4.2).
func (x *boxes) mdhd(t *track) {
	const undetermined = ('u'-0x60)<<10 | ('n'-0x60)<<5 | ('d' - 0x60)
	start := x.beginFull("mdhd", 0, 0)
	x.zero(8)
	x.u32(t.timescale)
	x.u32(0)
	x.u16(undetermined)
	x.zero(2)
	x.end(start)
}

// hdlr says what kind of media it is (8.4.3).
func (x *boxes) hdlr(t *track) {
	kind, name := "soun", "audio\x00"
	if t.video {
		kind, name = "vide", "video\x00"
	}
	start := x.beginFull("hdlr", 0, 0)
	x.zero(4)
	x.str(kind)
	x.zero(12)
	x.str(name)
	x.end(start)
}

// dinf says that the media is in this file (8.7.1).
func (x *boxes) dinf() {
	dinf := x.begin("dinf")
	dref := x.beginFull("dref", 0, 0)
	x.u32(1)
	url := x.beginFull("url ", 0, 1)
	x.end(url)
	x.end(dref)
	x.end(dinf)
}

// stbl describes the samples; its tables are empty, for all samples are in fragments (8.5.1).
func (x *boxes) stbl(t *track) {
	stbl := x.begin("stbl")
	stsd := x.beginFull("stsd", 0, 0)
	x.u32(1)
	x.sampleEntry(t)
	x.end(stsd)
	x.box("stts", make([]byte, 8)...)
	x.box("stsc", make([]byte, 8)...)
	x.box("stsz", make([]byte, 12)...)
	x.box("stco", make([]byte, 8)...)
	x.end(stbl)
}

func (x *boxes) sampleEntry(t *track) {
	switch c := t.config.(type) {
	case *codec.AVC:
		x.visual("avc1", "avcC", t)
	case *codec.HEVC:
		x.visual("hvc1", "hvcC", t)
	case *codec.AAC:
		start := x.audio("mp4a", t)
		x.esds(t)
		x.end(start)
	case *codec.Opus:
		start := x.audio("Opus", t)
		x.dops(c)
		x.end(start)
	case *codec.G711:
		x.end(x.audio(c.MIME(), t))
	}
}

// visual writes a visual sample entry with its codec configuration (12.1.3).
func (x *boxes) visual(kind, configKind string, t *track) {
	start := x.begin(kind)
	x.zero(6)
	x.u16(1) // data reference
	x.zero(16)
	x.u16(uint16(t.Width))
	x.u16(uint16(t.Height))
	x.u32(0x480000) // 72 dpi
	x.u32(0x480000)
	x.zero(4)
	x.u16(1) // frame count
	x.zero(32)
	x.u16(0x18)   // depth
	x.u16(0xFFFF) // pre-defined
	x.box(configKind, t.CodecPrivate...)
	x.end(start)
}

// audio begins an audio sample entry (12.2.3).
func (x *boxes) audio(kind string, t *track) (start int) {
	start = x.begin(kind)
	x.zero(6)
	x.u16(1) // data reference
	x.zero(8)
	x.u16(uint16(t.Channels))
	x.u16(16) // bits of a sample
	x.zero(4)
	rate := t.timescale
	if rate > 0xFFFF {
		rate = 0 // does not fit into 16.16; the codec's configuration has it
	}
	x.u32(rate << 16)
	return start
}

// esds wraps the AudioSpecificConfig in descriptors (ISO/IEC 14496-1, 7.2.6; 14496-14, 5.6).
func (x *boxes) esds(t *track) {
	const (
		esDescriptor      = 3
		decoderConfig     = 4
		decoderSpecific   = 5
		slConfig          = 6
		audioISO14496     = 0x40
		audioStream       = 5<<2 | 1
		predefinedForMP4  = 2
		descriptorHeader  = 5
		decoderConfigSize = 13
	)
	asc := t.CodecPrivate
	decoder := decoderConfigSize + descriptorHeader + len(asc)
	start := x.beginFull("esds", 0, 0)
	x.descriptor(esDescriptor, 3+descriptorHeader+decoder+descriptorHeader+1)
	x.u16(0) // ES ID: none in a file
	x.u8(0)
	x.descriptor(decoderConfig, decoder)
	x.u8(audioISO14496)
	x.u8(audioStream)
	x.zero(3 + 4 + 4) // buffer size and bit rates: unknown
	x.descriptor(decoderSpecific, len(asc))
	x.bytes(asc)
	x.descriptor(slConfig, 1)
	x.u8(predefinedForMP4)
	x.end(start)
}

// descriptor writes tag and size, the size in four bytes of seven bits.
func (x *boxes) descriptor(tag byte, n int) {
	x.u8(tag)
	x.bytes([]byte{byte(n>>21) | 0x80, byte(n>>14) | 0x80, byte(n>>7) | 0x80, byte(n) & 0x7F})
}

// dops is the configuration of Opus (Encapsulation of Opus, 4.3.2).
func (x *boxes) dops(c *codec.Opus) {
	start := x.begin("dOps")
	x.u8(0)
	x.u8(byte(c.Channels))
	x.u16(uint16(c.PreSkip))
	x.u32(c.InputRate)
	x.u16(uint16(c.Gain))
	x.u8(c.MappingFamily)
	x.bytes(c.Mapping)
	x.end(start)
}
