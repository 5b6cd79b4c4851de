// SPDX-License-Identifier: Apache-2.0

package mkv

import (
	"encoding/binary"
	"math"
	"time"
)

// The Append functions build elements in the shape of the Kinesis Video producer SDK: Segment and clusters of unknown
// size, timecodes of 8 bytes, blocks and tags with sizes of 8 bytes. Each returns the extended slice.

// AppendPreamble appends an EBML header and the start of a Segment of unknown size. What follows is the content of the
// Segment, as AppendInfo and AppendTracks make it or as Header.Raw holds it.
func AppendPreamble(dst []byte) []byte { return appendPreamble(dst, "matroska", 2) }

func appendPreamble(dst []byte, docType string, version uint64) []byte {
	var e []byte
	e = appendUint(e, idEBMLVersion, 1)
	e = appendUint(e, idEBMLReadVersion, 1)
	e = appendUint(e, idEBMLMaxIDLength, 4)
	e = appendUint(e, idEBMLMaxSizeLength, 8)
	e = appendString(e, idDocType, docType)
	e = appendUint(e, idDocTypeVersion, version)
	e = appendUint(e, idDocTypeReadVersion, 2)
	dst = appendElement(dst, idEBML, e)
	return append(appendID(dst, idSegment), 0xFF)
}

// AppendHeader appends all that precedes the first cluster: preamble, Info and Tracks.
func AppendHeader(dst []byte, info Info, tracks []Track) []byte {
	return AppendTracks(AppendInfo(AppendPreamble(dst), info), tracks)
}

// AppendInfo appends the Info element. A TimecodeScale of 0 is written as DefaultTimecodeScale.
func AppendInfo(dst []byte, info Info) []byte {
	if info.TimecodeScale == 0 {
		info.TimecodeScale = DefaultTimecodeScale
	}
	var e []byte
	if len(info.SegmentUID) > 0 {
		e = appendElement(e, idSegmentUID, info.SegmentUID)
	}
	e = appendUint64(e, idTimecodeScale, info.TimecodeScale)
	if info.Duration > 0 {
		e = appendFloat(e, idDuration, info.Duration)
	}
	if info.Title != "" {
		e = appendString(e, idTitle, info.Title)
	}
	e = appendString(e, idMuxingApp, info.MuxingApp)
	e = appendString(e, idWritingApp, info.WritingApp)
	return appendElement(dst, IDInfo, e)
}

// AppendTracks appends the Tracks element. A UID of 0 is written as the track's number, since Matroska forbids 0.
func AppendTracks(dst []byte, tracks []Track) []byte {
	var e []byte
	for i := range tracks {
		e = appendElement(e, idTrackEntry, appendTrack(nil, &tracks[i]))
	}
	return appendElement(dst, IDTracks, e)
}

func appendTrack(e []byte, t *Track) []byte {
	uid := t.UID
	if uid == 0 {
		uid = t.Number
	}
	e = appendUint(e, idTrackNumber, t.Number)
	e = appendUint64(e, idTrackUID, uid)
	e = appendUint(e, idTrackType, uint64(t.Type))
	if t.Name != "" {
		e = appendString(e, idTrackName, t.Name)
	}
	e = appendString(e, idCodecID, t.CodecID)
	e = appendDuration(e, idDefaultDuration, t.DefaultDuration)
	e = appendDuration(e, idCodecDelay, t.CodecDelay)
	e = appendDuration(e, idSeekPreRoll, t.SeekPreRoll)
	switch {
	case t.Type == TrackVideo:
		e = appendElement(e, idVideo, appendUint(appendUint(nil, idPixelWidth, t.Width), idPixelHeight, t.Height))
	case t.Type == TrackAudio:
		e = appendElement(e, idAudio, appendAudio(nil, t))
	}
	if len(t.CodecPrivate) > 0 {
		e = appendElement(e, idCodecPrivate, t.CodecPrivate)
	}
	return e
}

func appendAudio(e []byte, t *Track) []byte {
	e = appendFloat(e, idSamplingFreq, t.SamplingFrequency)
	e = appendUint(e, idChannels, t.Channels)
	if t.BitDepth != 0 {
		e = appendUint(e, idBitDepth, t.BitDepth)
	}
	return e
}

// AppendClusterStart appends the start of a cluster of unknown size: a new fragment.
func AppendClusterStart(dst []byte, timecode uint64) []byte {
	dst = append(appendID(dst, IDCluster), 0xFF)
	dst = appendUint64(dst, IDTimecode, timecode)
	return appendUint(dst, IDPosition, 0)
}

// AppendCluster appends a whole cluster of known size; blocks are its blocks, as AppendSimpleBlock makes them.
func AppendCluster(dst []byte, timecode uint64, blocks []byte) []byte {
	const timecodeBytes = 1 + 1 + 8
	dst = appendID(dst, IDCluster)
	dst = appendSize8(dst, timecodeBytes+len(blocks))
	dst = appendUint64(dst, IDTimecode, timecode)
	return append(dst, blocks...)
}

// AppendSimpleBlock appends a SimpleBlock of one frame; relative is its time from the cluster's in timecode units.
func AppendSimpleBlock(dst []byte, track uint64, relative int16, keyframe bool, payload []byte) []byte {
	return append(AppendSimpleBlockHeader(dst, track, relative, keyframe, len(payload)), payload...)
}

// AppendSimpleBlockHeader appends what precedes the n bytes of the frame in a SimpleBlock, for those who write the
// frame itself without copying it. The track must be at least 1 and below 1<<56 - 1.
func AppendSimpleBlockHeader(dst []byte, track uint64, relative int16, keyframe bool, n int) []byte {
	var header [11]byte
	h := appendSize(header[:0], track)
	h = binary.BigEndian.AppendUint16(h, uint16(relative))
	if keyframe {
		h = append(h, flagKeyframe)
	} else {
		h = append(h, 0)
	}
	dst = appendSize8(appendID(dst, IDSimpleBlock), len(h)+n)
	return append(dst, h...)
}

// AppendTags appends one Tags element with one Tag that holds all of tags.
func AppendTags(dst []byte, tags ...Tag) []byte {
	var simple []byte
	for _, t := range tags {
		e := appendString(nil, idTagName, t.Name)
		simple = appendElement(simple, idSimpleTag, appendString(e, idTagString, t.Value))
	}
	return appendElement(dst, IDTags, appendElement(nil, idTag, simple))
}

// AppendEndOfFragment appends the Tags element which says that the fragment before it is complete.
func AppendEndOfFragment(dst []byte) []byte { return AppendTags(dst, Tag{Name: EndOfFragment}) }

func appendID(dst []byte, id ID) []byte {
	for shift := 8 * (idLength(id) - 1); shift >= 0; shift -= 8 {
		dst = append(dst, byte(id>>shift))
	}
	return dst
}

// appendSize appends the shortest variable-size integer for v that does not read as "unknown".
func appendSize(dst []byte, v uint64) []byte {
	n := 1
	for n < 8 && v >= 1<<(7*n)-1 {
		n++
	}
	v |= 1 << (7 * n)
	for shift := 8 * (n - 1); shift >= 0; shift -= 8 {
		dst = append(dst, byte(v>>shift))
	}
	return dst
}

// appendSize8 appends a size in 8 bytes.
func appendSize8(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint64(dst, 1<<56|uint64(n))
}

// appendElement appends a known element: masters at the top level with sizes of 8 bytes, all others as short as can be.
func appendElement(dst []byte, id ID, data []byte) []byte {
	dst = appendID(dst, id)
	if idLength(id) == 4 && id != idEBML {
		dst = appendSize8(dst, len(data))
	} else {
		dst = appendSize(dst, uint64(len(data)))
	}
	return append(dst, data...)
}

// appendUint appends an integer element as short as can be.
func appendUint(dst []byte, id ID, v uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	i := 0
	for i < 7 && b[i] == 0 {
		i++
	}
	return appendElement(dst, id, b[i:])
}

// appendUint64 appends an integer element of 8 bytes.
func appendUint64(dst []byte, id ID, v uint64) []byte {
	dst = append(appendID(dst, id), 0x88)
	return binary.BigEndian.AppendUint64(dst, v)
}

func appendFloat(dst []byte, id ID, v float64) []byte {
	dst = append(appendID(dst, id), 0x88)
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
}

func appendString(dst []byte, id ID, s string) []byte { return appendElement(dst, id, []byte(s)) }

// appendDuration appends nanoseconds, or nothing for an unknown duration.
func appendDuration(dst []byte, id ID, d time.Duration) []byte {
	if d <= 0 {
		return dst
	}
	return appendUint(dst, id, uint64(d))
}
