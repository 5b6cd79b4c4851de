// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/envelope"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/media/mkv"
	"github.com/obscura-video/obscura/internal/meta"
)

// fragment is one that is being taken in.
type fragment struct {
	fragmentMeta
	entry  *journal.Fragment
	sealer *envelope.Sealer
	stream *stream // as it was at the beginning
	begun  time.Time

	ended  bool // the cluster is whole
	hidden bool // from live viewers, until it is complete
	marked bool // a tag says that it is sealed
	bytes  int64
	tags   int
	tracks map[uint64]*span
	attrs  []byte
}

// span is what is known of the blocks of one track, in timecode units.
type span struct {
	blocks   int64
	min, max int64
	last     int64 // as sent: with frames that are shown out of order not always max
}

// retentionClass says with which other bytes the fragment's lie together.
func retentionClass(st *stream) blob.Class { return blob.ClassForHours(int(st.RetentionHours)) }

// write adds one frame.
func (f *fragment) write(p *producer, raw []byte, a *frameAttrs) error {
	if err := p.gate.pass(p.ctx); err != nil {
		return err
	}
	if f.bytes += int64(len(raw)); f.bytes > maxFragmentBytes {
		return errFragmentSize
	}
	p.s.metrics.Add("PutMedia.IncomingBytes", f.stream.Name, float64(len(raw)))
	f.attrs = a.append(f.attrs[:0])
	if err := f.entry.Write(p.ctx, raw, f.attrs); err != nil {
		if refused := f.sealer.Err(); refused != nil {
			return refused
		}
		return fmt.Errorf("kinesisvideo: write frame: %w", err)
	}
	return nil
}

// addTags adds a Tags element before or after the cluster.
func (f *fragment) addTags(p *producer, kind frameKind, t fragmentTags) error {
	if err := p.checkTags(t); err != nil {
		return err
	}
	for _, tag := range t.tags {
		f.marked = f.marked || tag.Name == markE2EE
		if !reserved[tag.Name] {
			f.tags++
		}
	}
	if f.tags > maxFragmentTags {
		return errFragmentMetadata
	}
	return f.write(p, t.raw, &frameAttrs{kind: kind})
}

// block adds a block, if it keeps the rules.
func (f *fragment) block(p *producer, b *mkv.Block) error {
	if p.header.Track(b.Track) == nil {
		return errTrackNumber
	}
	t := f.tracks[b.Track]
	if t == nil {
		if last, ok := p.lastBlock[b.Track]; ok && b.Timecode <= last {
			return errTimecode
		}
		t = &span{min: b.Timecode, max: b.Timecode}
		f.tracks[b.Track] = t
	}
	t.blocks++
	t.last = b.Timecode
	t.min, t.max = min(t.min, b.Timecode), max(t.max, b.Timecode)
	if p.header.Timestamp(t.max-int64(f.timecode)) > maxFragmentDuration {
		return errFragmentDuration
	}
	p.s.metrics.Add("PutMedia.IncomingFrames", f.stream.Name, 1)
	return f.write(p, b.Raw, &frameAttrs{kind: frameBlock, keyframe: b.Keyframe, track: b.Track, timecode: b.Timecode})
}

// commit makes the fragment durable.
func (f *fragment) commit(p *producer) error {
	for i := range p.header.Tracks {
		if f.tracks[p.header.Tracks[i].Number] == nil {
			return errFramesMissing
		}
	}
	if err := f.requireMark(p); err != nil {
		return err
	}
	if err := p.gate.pass(p.ctx); err != nil {
		return err
	}
	f.length = f.duration(p.header).Milliseconds()
	puts, err := f.attachHeader(p)
	if err != nil {
		return err
	}
	// Once begun the commit is not given up, so that its outcome is known.
	err = f.entry.Commit(context.WithoutCancel(p.ctx), journal.CommitOptions{
		Meta: f.fragmentMeta.append(nil), Index: f.index(), Puts: puts,
	})
	if refused := f.sealer.Err(); err != nil && refused != nil {
		return refused
	}
	if err != nil {
		return fmt.Errorf("kinesisvideo: commit fragment: %w", err)
	}
	p.headerAt, p.headerKey = f.header, f.sealer.KeyID()
	if p.lastBlock == nil {
		p.lastBlock = map[uint64]int64{}
	}
	for n, t := range f.tracks {
		p.lastBlock[n] = t.last
	}
	return nil
}

// attachHeader says which header belongs to the fragment, and returns its rows if it is not stored
// under the fragment's data key yet.
func (f *fragment) attachHeader(p *producer) ([]meta.KV, error) {
	if p.headerKey == f.sealer.KeyID() {
		f.header = p.headerAt
		return nil, nil
	}
	f.header = f.number.position()
	return sealHeader(f.sealer, f.stream, f.header, p.header.Raw)
}

// duration is from the first frame to the end of the last one, of the track for which that is
// longest. The last frame's own duration is what the track says, or the average of the others.
func (f *fragment) duration(h *mkv.Header) time.Duration {
	longest := time.Duration(0)
	for n, t := range f.tracks {
		d := h.Timestamp(t.max - t.min)
		if frame := h.Track(n).DefaultDuration; frame > 0 && frame < maxFragmentDuration {
			d += frame
		} else if t.blocks > 1 {
			d += d / time.Duration(t.blocks-1)
		}
		longest = max(longest, d)
	}
	return longest
}
