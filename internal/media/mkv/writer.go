// SPDX-License-Identifier: Apache-2.0

package mkv

import (
	"fmt"
	"io"
	"math"
)

// Writer makes one continuous file: one EBML header, one Segment, clusters of unknown size. A cluster begins with each
// keyframe of the first video track, or where a block's time would not fit into it. It buffers nothing and is for
// one goroutine.
type Writer struct {
	w       io.Writer
	buf     []byte
	video   uint64 // number of the first video track, 0 without one
	tracks  []uint64
	open    bool // a cluster is
	cluster int64
	err     error // of the first failed write; it stays
}

// maxAudioCluster is the span in timecode units after which a file without video begins a new cluster: 5 s in ms.
const maxAudioCluster = 5000

// WebM is the document type of files that hold nothing but VP8, VP9, AV1, Vorbis and Opus.
const WebM = "webm"

// NewWriter writes the header of a file and returns the Writer of its blocks. docType is "" for Matroska, or WebM.
func NewWriter(w io.Writer, docType string, info Info, tracks []Track) (*Writer, error) {
	if docType == "" {
		docType = "matroska"
	}
	mw := &Writer{w: w}
	for _, t := range tracks {
		mw.tracks = append(mw.tracks, t.Number)
		if t.Type == TrackVideo && mw.video == 0 {
			mw.video = t.Number
		}
	}
	mw.buf = AppendTracks(AppendInfo(appendPreamble(nil, docType, 4), info), tracks)
	return mw, mw.flush(nil)
}

// WriteBlock writes one frame in decoding order; timecode is its presentation time in timecode units, from 0 on.
func (w *Writer) WriteBlock(track uint64, timecode int64, keyframe bool, payload []byte) error {
	if timecode < 0 || timecode > MaxTimecode {
		return fmt.Errorf("mkv: write block: timecode %d out of range", timecode)
	}
	if !w.has(track) {
		return fmt.Errorf("mkv: write block: no track %d", track)
	}
	if !w.open || w.mustCut(track, timecode, keyframe) {
		w.open, w.cluster = true, timecode
		w.buf = AppendClusterStart(w.buf, uint64(timecode))
	}
	w.buf = AppendSimpleBlockHeader(w.buf, track, int16(timecode-w.cluster), keyframe, len(payload))
	return w.flush(payload)
}

// WriteTags writes a Tags element and ends the cluster.
func (w *Writer) WriteTags(tags ...Tag) error {
	w.open = false
	w.buf = AppendTags(w.buf, tags...)
	return w.flush(nil)
}

func (w *Writer) has(track uint64) bool {
	for _, n := range w.tracks {
		if n == track {
			return true
		}
	}
	return false
}

func (w *Writer) mustCut(track uint64, timecode int64, keyframe bool) bool {
	relative := timecode - w.cluster
	switch {
	case relative < math.MinInt16 || relative > math.MaxInt16:
		return true
	case w.video != 0:
		return track == w.video && keyframe
	}
	return relative >= maxAudioCluster
}

func (w *Writer) flush(payload []byte) error {
	if w.err != nil {
		return w.err
	}
	_, w.err = w.w.Write(w.buf)
	w.buf = w.buf[:0]
	if w.err == nil && len(payload) > 0 {
		_, w.err = w.w.Write(payload)
	}
	return w.err
}
