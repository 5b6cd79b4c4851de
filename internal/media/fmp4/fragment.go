// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// AppendFragment appends one media segment, moof and mdat, with the samples in decode order; those of different tracks may
// be mixed in any way. Sequence counts the fragments of a presentation from 1. end, if known, is when the
// first picture after the fragment is presented; it gives the last picture its duration. The output depends on
// the arguments alone, so that any fragment can be made on its own.
//
// Errors: those of codec.Parse, wrapped; a sample of an unknown track, before time zero, or too large.
func AppendFragment(dst []byte, tracks []Track, sequence uint32, samples []Sample, end time.Duration) ([]byte, error) {
	parsed, err := newTracks(tracks)
	if err != nil {
		return dst, err
	}
	clocks := make([]clock, len(parsed))
	runs, err := newRuns(parsed, clocks, samples, 0, end)
	if err != nil {
		return dst, err
	}
	return appendFragment(dst, sequence, runs)
}

// clock is what one fragment of a track leaves to the next one. The zero value is right for the first.
type clock struct {
	running bool
	last    int64 // decode time of the last sample
	next    int64 // where a frame of audio should follow
}

// run is the samples of one track in a fragment, times in ticks.
type run struct {
	track    *track
	samples  []Sample
	pts      []int64
	dts      []int64
	duration []int64
	bytes    int64
}

// newRuns sorts samples by track and gives them their times; base is subtracted from all of them.
func newRuns(tracks []*track, clocks []clock, samples []Sample, base, end time.Duration) ([]*run, error) {
	var runs []*run
	count := 0
	for i, t := range tracks {
		r := &run{track: t}
		for _, s := range samples {
			if s.Track == t.ID {
				r.samples = append(r.samples, s)
				r.bytes += int64(len(s.Data))
			}
		}
		count += len(r.samples)
		if len(r.samples) == 0 {
			continue
		}
		if err := r.setTimes(&clocks[i], base, end); err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	if count != len(samples) {
		return nil, fmt.Errorf("fmp4: sample of an unknown track")
	}
	return runs, nil
}

func (r *run) setTimes(c *clock, base, end time.Duration) error {
	scale := r.track.timescale
	for _, s := range r.samples {
		if s.PTS < base {
			return fmt.Errorf("fmp4: track %d: presentation time %v before the start", r.track.ID, s.PTS-base)
		}
		r.pts = append(r.pts, ticks(s.PTS-base, scale))
	}
	r.smooth(c)
	r.dts = slices.Clone(r.pts)
	slices.Sort(r.dts)
	for i := range r.dts {
		if c.running {
			r.dts[i] = max(r.dts[i], c.last+1)
		}
		c.running, c.last = true, r.dts[i]
		if i > 0 {
			r.duration = append(r.duration, r.dts[i]-r.dts[i-1])
		}
	}
	r.duration = append(r.duration, r.lastDuration(ticks(end-base, scale)))
	c.next = c.last + r.duration[len(r.duration)-1]
	return r.check()
}

// smooth takes out the rounding of the source's times, where frames have a fixed length: a frame that begins within a
// millisecond of where the one before it ends, begins there.
func (r *run) smooth(c *clock) {
	if r.track.frameSamples == 0 {
		return
	}
	tolerance := int64(r.track.timescale) / 1000
	next, known := c.next, c.running
	for i := range r.pts {
		if off := r.pts[i] - next; known && -tolerance <= off && off <= tolerance {
			r.pts[i] = next
		}
		next, known = r.pts[i]+r.track.frameSamples, true
	}
}

// lastDuration finds the duration of the last sample by the best that is known.
func (r *run) lastDuration(end int64) int64 {
	last := len(r.samples) - 1
	switch {
	case r.track.frameSamples > 0:
		return r.track.frameSamples
	case r.track.video && end > r.dts[last]:
		return end - r.dts[last]
	case r.samples[last].Duration > 0:
		return max(1, ticks(r.samples[last].Duration, r.track.timescale))
	case last > 0:
		return r.duration[last-1]
	}
	const guess = 40 * time.Millisecond // one picture at 25 per second
	return ticks(guess, r.track.timescale)
}

// check refuses what the fields of trun cannot hold.
func (r *run) check() error {
	for i, d := range r.duration {
		offset := r.offset(i)
		if d > math.MaxUint32 || offset > math.MaxInt32 || offset < math.MinInt32 {
			return fmt.Errorf("fmp4: track %d: gap too long for one fragment", r.track.ID)
		}
	}
	return nil
}

// offset is the composition offset of a sample. It is negative only if the reorder delay is too short.
func (r *run) offset(i int) int64 { return r.pts[i] + r.track.delay - r.dts[i] }

// composed tells whether any sample has a composition offset.
func (r *run) composed() bool { return r.track.delay > 0 || !slices.Equal(r.pts, r.dts) }

// maxFragmentBytes keeps the data offsets, which are signed 32-bit, and the size of mdat in range.
const maxFragmentBytes = 1 << 30

func appendFragment(dst []byte, sequence uint32, runs []*run) ([]byte, error) {
	x := &boxes{b: dst}
	var offsets []int // where the data offset of each run stands
	var total int64
	moof := x.begin("moof")
	mfhd := x.beginFull("mfhd", 0, 0)
	x.u32(sequence)
	x.end(mfhd)
	for _, r := range runs {
		offsets = append(offsets, x.traf(r))
		total += r.bytes
	}
	x.end(moof)
	if total > maxFragmentBytes {
		return dst, fmt.Errorf("fmp4: fragment of %d bytes is too large", total)
	}
	x.b = slices.Grow(x.b, int(total)+8)
	mdat := x.begin("mdat")
	for i, r := range runs {
		binary.BigEndian.PutUint32(x.b[offsets[i]:], uint32(len(x.b)-moof))
		for _, s := range r.samples {
			x.bytes(s.Data)
		}
	}
	x.end(mdat)
	return x.b, nil
}

// Flags of boxes and samples (ISO/IEC 14496-12, 8.8.7, 8.8.8 and 8.8.3.1).
const (
	tfhdBaseIsMoof = 0x020000

	trunDataOffset = 0x000001
	trunDuration   = 0x000100
	trunSize       = 0x000200
	trunFlags      = 0x000400
	trunOffset     = 0x000800

	sampleSync    = 0x02000000 // depends on no other
	sampleNotSync = 0x01010000 // depends on others
)

// traf writes one track's part of a fragment, and returns where its data offset is to be filled in.
func (x *boxes) traf(r *run) (dataOffset int) {
	traf := x.begin("traf")
	tfhd := x.beginFull("tfhd", 0, tfhdBaseIsMoof)
	x.u32(r.track.ID)
	x.end(tfhd)
	tfdt := x.beginFull("tfdt", 1, 0)
	x.u64(uint64(r.dts[0]))
	x.end(tfdt)

	flags := uint32(trunDataOffset | trunDuration | trunSize | trunFlags)
	composed := r.composed()
	if composed {
		flags |= trunOffset
	}
	trun := x.beginFull("trun", 1, flags)
	x.u32(uint32(len(r.samples)))
	dataOffset = len(x.b)
	x.u32(0)
	for i, s := range r.samples {
		x.u32(uint32(r.duration[i]))
		x.u32(uint32(len(s.Data)))
		if s.Keyframe || !r.track.video {
			x.u32(sampleSync)
		} else {
			x.u32(sampleNotSync)
		}
		if composed {
			x.u32(uint32(int32(r.offset(i))))
		}
	}
	x.end(trun)
	x.end(traf)
	return dataOffset
}
