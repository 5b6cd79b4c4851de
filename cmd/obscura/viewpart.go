// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"errors"
	"time"

	"github.com/obscura-video/obscura/consumer"
)

// parts is the state of a footage whose fragments come in parts, frame by frame.
type parts struct {
	early   []consumer.Frame // of the very first fragment, until it is known where the file begins
	written []frameName      // of the fragment that is arriving
	again   []frameName      // of one that was cut short: it comes once more
	skip    bool             // the fragment that is arriving is there already
}

// frameName tells a frame from the others of its stream, and from a forged one in its place.
type frameName struct {
	track uint64
	at    int64 // microseconds
	sum   [sha256.Size]byte
}

func nameOf(f *consumer.Frame) frameName {
	return frameName{f.Track, f.Time.UnixMicro(), sha256.Sum256(f.Data)}
}

// errContradicted says that frames were written as they came, and that what the camera has signed for their time is something else.
var errContradicted = errors.New("what was shown provisionally is not what the camera signed")

// settleFor is how much of the first fragment is awaited before the file begins: frames that precede the first one in time
// come within it.
const settleFor = 300 * time.Millisecond

// addPart writes a part of a fragment; whole says that it is the last part. Errors are those of add, and errContradicted.
func (o *footage) addPart(f *consumer.Fragment, whole bool) error {
	if o.muxer == nil && (!whole || len(o.parts.early) > 0) {
		o.parts.early = append(o.parts.early, f.Frames...)
		if !whole && spanOf(o.parts.early) < settleFor {
			return nil
		}
		all := *f
		all.Frames, o.parts.early = o.parts.early, nil
		f = &all
	}
	err := o.writePart(f)
	if whole && err == nil {
		if o.parts.skip {
			o.skipped++
		} else if len(o.parts.written) > 0 {
			o.fragments++
		}
		o.parts = parts{}
	}
	return err
}

func spanOf(frames []consumer.Frame) time.Duration {
	if len(frames) == 0 {
		return 0
	}
	return frames[len(frames)-1].Time.Sub(frames[0].Time)
}

func (o *footage) writePart(f *consumer.Fragment) error {
	if len(f.Frames) == 0 || o.parts.skip {
		return nil
	}
	part := *f
	if len(o.parts.written) == 0 {
		if part.Frames = o.unwritten(f.Frames); len(part.Frames) == len(f.Frames) && o.muxer != nil && o.overlaps(f) {
			if len(o.parts.again) > 0 {
				return errContradicted
			}
			o.parts.skip = true
			return nil
		}
	}
	for i := range f.Frames {
		o.parts.written = append(o.parts.written, nameOf(&f.Frames[i]))
	}
	return o.write(&part)
}

// unwritten leaves out what was written of the fragment when it was cut short.
func (o *footage) unwritten(frames []consumer.Frame) []consumer.Frame {
	n := 0
	for n < len(frames) && n < len(o.parts.again) && nameOf(&frames[n]) == o.parts.again[n] {
		n++
	}
	if n < len(o.parts.again) && n < len(frames) {
		return frames // another one
	}
	return frames[n:]
}

// cut says that the rest of the fragment does not come; it may come once more as a whole.
func (o *footage) cut() {
	again := o.parts.written
	if len(again) == 0 {
		again = o.parts.again
	}
	o.parts = parts{again: again}
}
