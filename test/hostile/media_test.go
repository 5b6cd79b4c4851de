// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// fragment is one as it goes over the wire, taken apart.
type fragment struct {
	info     mkv.Info
	tracks   []mkv.Track
	before   []mkv.Tag // of the service and of the producer
	timecode uint64
	blocks   []block
	after    []mkv.Tag
}

type block struct {
	track   uint64
	at      int16 // ms from the cluster
	key     bool
	payload []byte
}

// readFragments takes an answer apart, up to limit fragments (0: all); a continuation token, or what follows, ends one.
func readFragments(src io.Reader, limit int) (all []*fragment, err error) {
	in := mkv.NewReader(src, mkv.Options{Concatenated: true})
	var f *fragment
	cluster := false
	for {
		ev, err := in.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		switch ev := ev.(type) {
		case *mkv.Header:
			f, cluster = &fragment{info: ev.Info, tracks: slices.Clone(ev.Tracks)}, false
			all = append(all, f)
		case *mkv.Tags:
			if _, whole := ev.Get(mkv.ContinuationToken); whole && limit > 0 && len(all) == limit {
				f.after = append(f.after, ev.Tags...)
				return all, nil
			}
			if cluster {
				f.after = append(f.after, ev.Tags...)
			} else {
				f.before = append(f.before, ev.Tags...)
			}
		case *mkv.ClusterStart:
			f.timecode, cluster = ev.Timecode, true
		case *mkv.Block:
			f.blocks = append(f.blocks, block{ev.Track, ev.Relative, ev.Keyframe, bytes.Clone(ev.Payload)})
		}
	}
}

// bytes is the fragment on the wire.
func (f *fragment) bytes() []byte {
	if len(f.tracks) == 0 { // a file that says why no more follows
		return mkv.AppendTags(mkv.AppendPreamble(nil), f.before...)
	}
	b := mkv.AppendHeader(nil, f.info, f.tracks)
	b = mkv.AppendTags(b, f.before...)
	b = mkv.AppendClusterStart(b, f.timecode)
	for _, x := range f.blocks {
		b = mkv.AppendSimpleBlock(b, x.track, x.at, x.key, x.payload)
	}
	if len(f.after) > 0 {
		b = mkv.AppendTags(b, f.after...)
	}
	return b
}

// clone is a copy that shares nothing with f.
func (f *fragment) clone() *fragment {
	c := *f
	c.tracks, c.before, c.after = slices.Clone(f.tracks), slices.Clone(f.before), slices.Clone(f.after)
	c.blocks = slices.Clone(f.blocks)
	for i := range c.blocks {
		c.blocks[i].payload = bytes.Clone(c.blocks[i].payload)
	}
	return &c
}

func cloneAll(all []*fragment) (out []*fragment) {
	for _, f := range all {
		out = append(out, f.clone())
	}
	return out
}

// tag returns where the value of a tag of the service stands; nil when there is none.
func (f *fragment) tag(name string) *string {
	for _, tags := range [][]mkv.Tag{f.before, f.after} {
		for i := range tags {
			if tags[i].Name == name {
				return &tags[i].Value
			}
		}
	}
	return nil
}

// put replaces the blocks by others, 40 ms apart.
func (f *fragment) put(blocks []e2ee.Block) {
	f.blocks = nil
	for i, b := range blocks {
		f.blocks = append(f.blocks, block{uint64(b.Track), int16(40 * i), b.Key, b.Payload})
	}
}

// refusal is a file of the service that says why no more follows: with it an answer ends for good.
func refusal() []byte {
	b := mkv.AppendHeader(nil, mkv.Info{}, []mkv.Track{{Number: 1, Type: mkv.TrackVideo, CodecID: "V_E2EE/1", Width: 16, Height: 16}})
	return mkv.AppendTags(b, mkv.Tag{Name: mkv.ErrorID, Value: "4506"}, mkv.Tag{Name: mkv.ErrorCode, Value: "THE_ATTACK_IS_OVER"})
}

func join(all []*fragment) (b []byte) {
	for _, f := range all {
		b = append(b, f.bytes()...)
	}
	return b
}

func sorted(keys []string) []string {
	slices.Sort(keys)
	return slices.Compact(keys)
}
