// SPDX-License-Identifier: Apache-2.0

package mkv

import "encoding/binary"

// Lacing is how several frames share one block (RFC 9559, section 10.3).
type Lacing byte

// The kinds of lacing, as they stand in a block's flags.
const (
	LacingNone  Lacing = 0
	LacingXiph  Lacing = 1
	LacingFixed Lacing = 2
	LacingEBML  Lacing = 3
)

// Block flags (RFC 9559, section 10.2).
const (
	flagKeyframe    = 0x80
	flagInvisible   = 0x08
	flagLacing      = 0x06
	flagDiscardable = 0x01
)

// Block is one SimpleBlock or BlockGroup. It is valid until the next call of Next, its slices included.
type Block struct {
	Track       uint64
	Timecode    int64 // presentation time in timecode units: cluster plus Relative
	Relative    int16 // to the cluster
	Keyframe    bool  // SimpleBlock: its flag; BlockGroup: it references no other block
	Invisible   bool
	Discardable bool
	Duration    uint64 // in timecode units, of a BlockGroup; 0 when not given
	Lacing      Lacing

	// Payload is the frame. In a laced block, which Kinesis Video producers do not send, it is the lace with its
	// sizes, and Frames takes it apart.
	Payload []byte

	// Raw is the whole element as it was sent.
	Raw []byte
}

// Frames appends the frames of the block to dst, sub-slices of Payload: one if the block is not laced.
func (b *Block) Frames(dst [][]byte) [][]byte {
	frames, _ := unlace(dst, b.Lacing, b.Payload)
	return frames
}

// parseSimple takes a SimpleBlock's data apart.
func (b *Block) parseSimple(data []byte, cluster int64) string {
	track, n, _ := vint(data)
	if n == 0 || len(data) < n+3 {
		return "block too short for its header"
	}
	if track == 0 {
		return "block of track 0"
	}
	flags := data[n+2]
	b.Track = track
	b.Relative = int16(binary.BigEndian.Uint16(data[n:]))
	b.Timecode = cluster + int64(b.Relative)
	b.Keyframe = flags&flagKeyframe != 0
	b.Invisible = flags&flagInvisible != 0
	b.Discardable = flags&flagDiscardable != 0
	b.Lacing = Lacing(flags & flagLacing >> 1)
	b.Payload = data[n+3:]
	if b.Lacing != LacingNone {
		_, reason := unlace(nil, b.Lacing, b.Payload)
		return reason
	}
	return ""
}

// parseGroup takes a BlockGroup's data apart.
func (b *Block) parseGroup(data []byte, cluster int64) string {
	found, references := false, false
	reason := children(data, func(e element) string {
		switch e.id {
		case idBlock:
			if found {
				return "block group of two blocks"
			}
			found = true
			return b.parseSimple(e.data, cluster)
		case idReferenceBlock:
			references = true
		case idBlockDuration:
			return setUint(&b.Duration, e.data)
		}
		return ""
	})
	if reason == "" && !found {
		reason = "block group without a block"
	}
	b.Keyframe, b.Discardable = !references, false
	return reason
}

// unlace appends the frames of a block's payload to dst.
func unlace(dst [][]byte, lacing Lacing, p []byte) ([][]byte, string) {
	if lacing == LacingNone {
		return append(dst, p), ""
	}
	if len(p) == 0 {
		return dst, "lace without a frame count"
	}
	count := int(p[0]) + 1
	var sizes [256]int
	var rest []byte
	switch lacing {
	case LacingXiph:
		rest = xiphSizes(sizes[:count-1], p[1:])
	case LacingEBML:
		rest = ebmlSizes(sizes[:count-1], p[1:])
	case LacingFixed:
		rest = fixedSizes(sizes[:count-1], count, p[1:])
	}
	if rest == nil {
		return dst, "invalid lace"
	}
	for _, n := range sizes[:count-1] {
		if n < 0 || n > len(rest) {
			return dst, "lace larger than its block"
		}
		dst, rest = append(dst, rest[:n]), rest[n:]
	}
	return append(dst, rest), ""
}

// xiphSizes reads sizes as sums of bytes, each ending with one below 255. It returns what follows, nil if invalid.
func xiphSizes(sizes []int, p []byte) []byte {
	for i := range sizes {
		for {
			if len(p) == 0 {
				return nil
			}
			c := p[0]
			p = p[1:]
			sizes[i] += int(c)
			if c != 255 {
				break
			}
		}
	}
	return p
}

// ebmlSizes reads the first size and then differences, offset so that they can be negative.
func ebmlSizes(sizes []int, p []byte) []byte {
	size := int64(0)
	for i := range sizes {
		v, n, _ := vint(p)
		if n == 0 {
			return nil
		}
		p = p[n:]
		if i == 0 {
			size = int64(v)
		} else {
			size += int64(v) - (1<<(7*n-1) - 1)
		}
		if size < 0 || size > 1<<31-1 {
			return nil
		}
		sizes[i] = int(size)
	}
	return p
}

// fixedSizes shares p equally.
func fixedSizes(sizes []int, count int, p []byte) []byte {
	if len(p)%count != 0 {
		return nil
	}
	for i := range sizes {
		sizes[i] = len(p) / count
	}
	return p
}
