// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"bytes"
	"crypto/sha3"
	"errors"
	"fmt"
	"io"

	"github.com/obscura-video/obscura/internal/media/mkv"
)

// Header is what precedes the first fragment: an H.264 track, number 1, and timecodes of a millisecond.
func Header() []byte {
	return mkv.AppendHeader(nil, mkv.Info{MuxingApp: "obscura test", WritingApp: "obscura test"}, []mkv.Track{{
		Number: 1, UID: 1, Type: mkv.TrackVideo, CodecID: "V_MPEG4/ISO/AVC", Width: 640, Height: 360,
		CodecPrivate: []byte{1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1e, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80},
	}})
}

// Frames are n frames of size bytes each, that follow from what they are of: a stream's name and a timecode.
func Frames(stream string, timecode uint64, n, size int) [][]byte {
	all := sha3.SumSHAKE128(fmt.Appendf(nil, "%s/%d", stream, timecode), n*size)
	frames := make([][]byte, n)
	for i := range frames {
		frames[i] = all[i*size : (i+1)*size : (i+1)*size]
	}
	return frames
}

// Fragment is a cluster of unknown size with frames 40 ms apart, as producers send it, and its end tag.
func Fragment(timecode uint64, frames [][]byte) []byte {
	b := mkv.AppendClusterStart(nil, timecode)
	for i, f := range frames {
		b = mkv.AppendSimpleBlock(b, 1, int16(40*i), i == 0, f)
	}
	return mkv.AppendEndOfFragment(b)
}

// Received is a fragment as GetMedia and GetMediaForFragmentList send it.
type Received struct {
	Number   string
	Timecode uint64
	Frames   [][]byte
	Tags     map[string]string
	// Ended says that its cluster was closed by what followed, or by the end of a response that ended well.
	Ended bool
}

// Equal says whether the fragment holds exactly these frames.
func (r *Received) Equal(frames [][]byte) bool {
	if len(r.Frames) != len(frames) {
		return false
	}
	for i := range frames {
		if !bytes.Equal(r.Frames[i], frames[i]) {
			return false
		}
	}
	return true
}

// ReadMedia reads fragments until the input ends, or there are limit of them (0: no limit), of which the last
// is complete. It returns what it has with each error.
func ReadMedia(src io.Reader, limit int) (all []*Received, err error) {
	r := mkv.NewReader(src, mkv.Options{Concatenated: true})
	var f *Received
	for {
		ev, err := r.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		switch ev := ev.(type) {
		case *mkv.Header:
			f = &Received{Tags: map[string]string{}}
			all = append(all, f)
		case *mkv.Tags:
			for _, tag := range ev.Tags {
				f.Tags[tag.Name] = tag.Value
			}
			f.Number = f.Tags[mkv.FragmentNumber]
		case *mkv.ClusterStart:
			f.Timecode = ev.Timecode
		case *mkv.Block:
			f.Frames = append(f.Frames, bytes.Clone(ev.Payload))
		case *mkv.ClusterEnd:
			f.Ended = true
		}
		if _, complete := f.Tags[mkv.ContinuationToken]; complete && limit > 0 && len(all) >= limit {
			return all, nil
		}
	}
}
