// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"fmt"
	"math"
	"time"

	"github.com/obscura-video/obscura/internal/media/codec"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// TrackOf takes over a track of Matroska under its own number.
//
// Errors: codec.ErrUnsupported, wrapped, if its frames are compressed or encrypted by the container.
func TrackOf(t *mkv.Track) (Track, error) {
	if t.ContentEncoded || t.Number > math.MaxUint32 || t.Width > math.MaxUint16 || t.Height > math.MaxUint16 || t.Channels > math.MaxUint16 {
		return Track{}, fmt.Errorf("fmp4: track %d: %w: content encoding, number or size", t.Number, codec.ErrUnsupported)
	}
	return Track{
		ID: uint32(t.Number), CodecID: t.CodecID, CodecPrivate: t.CodecPrivate,
		Width: int(t.Width), Height: int(t.Height), Channels: int(t.Channels),
	}, nil
}

// AppendSamples appends the frames of a block, which are several if it is laced. Their data is the block's own and
// valid as long as that is.
func AppendSamples(dst []Sample, h *mkv.Header, b *mkv.Block) []Sample {
	var step time.Duration
	if t := h.Track(b.Track); t != nil {
		step = t.DefaultDuration
	}
	pts := h.Timestamp(b.Timecode)
	frames := b.Frames(nil)
	duration := h.Timestamp(int64(min(b.Duration, math.MaxInt64))) / time.Duration(len(frames))
	if duration > 0 {
		step = duration
	}
	for i, data := range frames {
		dst = append(dst, Sample{
			Track: uint32(b.Track), PTS: pts + time.Duration(i)*step, Duration: duration,
			Keyframe: b.Keyframe, Data: data,
		})
	}
	return dst
}
