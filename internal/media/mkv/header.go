// SPDX-License-Identifier: Apache-2.0

package mkv

import (
	"bytes"
	"time"
)

// TrackType is the kind of media of a track (RFC 9559, section 5.1.4.1.3).
type TrackType uint64

// The track types that occur in live video.
const (
	TrackVideo    TrackType = 1
	TrackAudio    TrackType = 2
	TrackSubtitle TrackType = 17
	TrackMetadata TrackType = 33
)

// DefaultTimecodeScale is the length of a timecode unit in nanoseconds when Info names none: one millisecond.
const DefaultTimecodeScale = 1_000_000

// Info is what a Segment says of itself.
type Info struct {
	SegmentUID    []byte  // 16 bytes, or none
	TimecodeScale uint64  // nanoseconds per timecode unit; never 0 in what a Reader delivers
	Duration      float64 // timecode units; 0 when unknown, as it is in a live stream
	Title         string
	MuxingApp     string
	WritingApp    string
}

// Track describes one track.
type Track struct {
	Number          uint64 // what blocks call it
	UID             uint64
	Type            TrackType
	Name            string
	CodecID         string
	CodecPrivate    []byte        // avcC, hvcC, AudioSpecificConfig, …; may be absent
	DefaultDuration time.Duration // of one frame; 0 when unknown
	CodecDelay      time.Duration // to be cut from the start, as in Opus
	SeekPreRoll     time.Duration
	ContentEncoded  bool // frames are compressed or encrypted inside the container

	Width, Height     uint64  // pixels; video
	SamplingFrequency float64 // Hz; audio
	Channels          uint64
	BitDepth          uint64
}

// Header is the first event of a file: all that precedes its first cluster.
// It and everything in it belongs to the caller.
type Header struct {
	DocType  string // "matroska" or "webm"
	Info     Info
	Tracks   []Track
	Preamble []byte // the EBML header and the start of the Segment as they were sent
	Raw      []byte // the elements between the start of the Segment and the first cluster, as they were sent
}

// Track finds a track by its number, nil when there is none.
func (h *Header) Track(number uint64) *Track {
	for i := range h.Tracks {
		if h.Tracks[i].Number == number {
			return &h.Tracks[i]
		}
	}
	return nil
}

// Timestamp converts a timecode of the file to time since its zero. It saturates instead of overflowing.
func (h *Header) Timestamp(timecode int64) time.Duration {
	const limit = int64(1<<63 - 1)
	scale := h.Info.TimecodeScale
	if scale == 0 {
		scale = DefaultTimecodeScale
	}
	magnitude := timecode
	if magnitude < 0 {
		magnitude = -magnitude
	}
	if scale > uint64(limit) || magnitude < 0 || magnitude > limit/int64(scale) {
		if timecode < 0 {
			return -time.Duration(limit)
		}
		return time.Duration(limit)
	}
	return time.Duration(timecode * int64(scale))
}

// parseEBML checks that the EBML header names a document that this package can read.
func parseEBML(data []byte) (docType string, reason string) {
	reason = children(data, func(e element) string {
		var v uint64
		switch e.id {
		case idDocType:
			docType = stringValue(e.data)
		case idEBMLReadVersion:
			if r := setUint(&v, e.data); r != "" || v != 1 {
				return "unknown EBML version"
			}
		case idEBMLMaxIDLength:
			if r := setUint(&v, e.data); r != "" || v > 4 {
				return "element IDs of more than 4 bytes"
			}
		case idEBMLMaxSizeLength:
			if r := setUint(&v, e.data); r != "" || v > 8 {
				return "element sizes of more than 8 bytes"
			}
		}
		return ""
	})
	if reason == "" && docType != "matroska" && docType != "webm" {
		reason = "document is neither matroska nor webm"
	}
	return docType, reason
}

func parseInfo(data []byte) (Info, string) {
	info := Info{TimecodeScale: DefaultTimecodeScale}
	reason := children(data, func(e element) string {
		switch e.id {
		case idSegmentUID:
			info.SegmentUID = bytes.Clone(e.data)
		case idTimecodeScale:
			return setUint(&info.TimecodeScale, e.data)
		case idDuration:
			return setFloat(&info.Duration, e.data)
		case idTitle:
			info.Title = stringValue(e.data)
		case idMuxingApp:
			info.MuxingApp = stringValue(e.data)
		case idWritingApp:
			info.WritingApp = stringValue(e.data)
		}
		return ""
	})
	if reason == "" && info.TimecodeScale == 0 {
		reason = "timecode scale of zero"
	}
	return info, reason
}

func parseTracks(data []byte) (tracks []Track, reason string) {
	reason = children(data, func(e element) string {
		if e.id != idTrackEntry {
			return ""
		}
		t, reason := parseTrack(e.data)
		if reason != "" {
			return reason
		}
		for i := range tracks {
			if tracks[i].Number == t.Number {
				return "two tracks of the same number"
			}
		}
		tracks = append(tracks, t)
		return ""
	})
	if reason == "" && len(tracks) == 0 {
		reason = "no track"
	}
	return tracks, reason
}

func parseTrack(data []byte) (t Track, reason string) {
	reason = children(data, t.set)
	if reason == "" && t.Number == 0 {
		reason = "track without a number"
	}
	return t, reason
}

// set takes over one child of a TrackEntry.
func (t *Track) set(e element) string {
	switch e.id {
	case idTrackNumber:
		return setUint(&t.Number, e.data)
	case idTrackUID:
		return setUint(&t.UID, e.data)
	case idTrackType:
		return setUint((*uint64)(&t.Type), e.data)
	case idTrackName:
		t.Name = stringValue(e.data)
	case idCodecID:
		t.CodecID = stringValue(e.data)
	case idCodecPrivate:
		t.CodecPrivate = bytes.Clone(e.data)
	case idDefaultDuration:
		return setDuration(&t.DefaultDuration, e.data)
	case idCodecDelay:
		return setDuration(&t.CodecDelay, e.data)
	case idSeekPreRoll:
		return setDuration(&t.SeekPreRoll, e.data)
	case idContentEncodings:
		t.ContentEncoded = true
	case idVideo, idAudio:
		return children(e.data, t.setMedia)
	}
	return ""
}

// setMedia takes over one child of Video or Audio.
func (t *Track) setMedia(e element) string {
	switch e.id {
	case idPixelWidth:
		return setUint(&t.Width, e.data)
	case idPixelHeight:
		return setUint(&t.Height, e.data)
	case idSamplingFreq:
		return setFloat(&t.SamplingFrequency, e.data)
	case idChannels:
		return setUint(&t.Channels, e.data)
	case idBitDepth:
		return setUint(&t.BitDepth, e.data)
	}
	return ""
}

// setDuration stores nanoseconds; what no Duration can hold is taken as unknown.
func setDuration(dst *time.Duration, data []byte) string {
	v, reason := uintValue(data)
	if v > 1<<63-1 {
		v = 0
	}
	*dst = time.Duration(v)
	return reason
}
