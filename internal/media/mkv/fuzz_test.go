// SPDX-License-Identifier: Apache-2.0

package mkv

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

// FuzzReader holds the promises of the Reader for any input: no panic, bounded memory, the same events however the
// bytes are split, and the input back from what was delivered.
func FuzzReader(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add(cat(live, cluster7, frame, endTag, cluster7), false)
	f.Add(cat(live, simpleTags("n", "v"), cluster7, frame, endTag, live, cluster7, el(IDVoid, 0)), true)
	f.Add(cat(ebml, sized(8, idSegment, cat(tracks, sized(8, IDCluster, cat(el(IDTimecode, 7), frame)...))...)), true)
	f.Add(cat(live, cluster7, el(IDBlockGroup, el(idBlock, 0x81, 0, 0, 0)...)), false)
	for lacing := byte(0x82); lacing < 0x88; lacing += 2 {
		f.Add(cat(live, cluster7, el(IDSimpleBlock, 0x81, 0, 0, lacing, 2, 0x82, 0xBE, 'a', 'a', 'b', 'c')), false)
	}
	f.Fuzz(func(t *testing.T, input []byte, concatenated bool) {
		opt := Options{Concatenated: concatenated, MaxFrameBytes: 4096, MaxHeaderBytes: 4096, MaxTagsBytes: 512}
		r := NewReader(bytes.NewReader(input), opt)
		var events []string
		var replay []byte
		for {
			ev, err := r.Next()
			if err != nil {
				if err == io.EOF && !bytes.Equal(replay, input) {
					t.Error("re-emitted bytes differ from the input")
				}
				break
			}
			events = append(events, describe(ev))
			replay = append(replay, raw(ev)...)
		}
		if !bytes.HasPrefix(input, replay) {
			t.Error("re-emitted bytes are no prefix of the input")
		}
		if len(r.win.buf) > 4*minBufferBytes {
			t.Errorf("%d bytes of buffer", len(r.win.buf))
		}
		again, _, _ := read(iotest.OneByteReader(bytes.NewReader(input)), opt)
		if !slices.Equal(again, events) {
			t.Errorf("byte by byte %q, at once %q", again, events)
		}
	})
}

// FuzzAppend holds that what the Append functions build is read back as it was meant.
func FuzzAppend(f *testing.F) {
	f.Add(uint64(1), uint64(0), int16(0), true, []byte("frame"), "name", "value")
	f.Add(uint64(127), uint64(1<<62), int16(-1), false, []byte{}, EndOfFragment, "")
	f.Fuzz(func(t *testing.T, track, timecode uint64, relative int16, keyframe bool, payload []byte, name, value string) {
		if track == 0 || track >= 1<<56-1 || timecode > MaxTimecode {
			t.Skip()
		}
		in := Track{Number: track, UID: track, Type: TrackVideo, Name: stringValue([]byte(name)), CodecPrivate: payload, Width: timecode}
		stream := AppendHeader(nil, Info{Title: value}, []Track{in})
		stream = AppendSimpleBlock(AppendClusterStart(stream, timecode), track, relative, keyframe, payload)
		stream = AppendTags(stream, Tag{name, value})
		stream = AppendCluster(stream, timecode, AppendSimpleBlock(nil, track, relative, keyframe, payload))

		r := NewReader(bytes.NewReader(stream), Options{MaxTagsBytes: 1 << 20})
		blocks := 0
		for {
			ev, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			switch ev := ev.(type) {
			case *Header:
				if got := ev.Tracks[0]; got.Number != track || got.Name != in.Name || got.Width != timecode || !bytes.Equal(got.CodecPrivate, payload) {
					t.Errorf("track %+v, want %+v", got, in)
				}
			case *Block:
				blocks++
				if ev.Track != track || ev.Timecode != int64(timecode)+int64(relative) || ev.Keyframe != keyframe || !bytes.Equal(ev.Payload, payload) {
					t.Errorf("block %+v", ev)
				}
			case *Tags:
				if want := (Tag{stringValue([]byte(name)), stringValue([]byte(value))}); ev.Tags[0] != want {
					t.Errorf("tag %q, want %q", ev.Tags[0], want)
				}
			}
		}
		if blocks != 2 {
			t.Errorf("%d blocks", blocks)
		}
	})
}

// BenchmarkReader reads frames of 20 KB, about what a camera sends.
func BenchmarkReader(b *testing.B) {
	stream := bytes.Clone(live)
	payload := make([]byte, 20_000)
	for i := range 500 {
		if i%25 == 0 {
			stream = AppendClusterStart(stream, uint64(i*40))
		}
		stream = AppendSimpleBlock(stream, 1, int16(i%25*40), i%25 == 0, payload)
	}
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(bytes.NewReader(stream), Options{})
		for {
			if _, err := r.Next(); err != nil {
				if err != io.EOF {
					b.Fatal(err)
				}
				break
			}
		}
	}
}
