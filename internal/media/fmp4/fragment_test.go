// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/media/codec"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// Tracks as x264 and ffmpeg describe them: High profile with two reordered pictures, Baseline without, AAC of 44.1 kHz.
var (
	high     = Track{ID: 1, CodecID: codec.IDAVC, CodecPrivate: unhex("0164000dffe1001a6764000dacd941519e226c0440000003004000000c83c50a658001000668ebe3cb22c0fdf8f800")}
	baseline = Track{ID: 1, CodecID: codec.IDAVC, CodecPrivate: unhex("01428016ffe100176742801696540601bd350606064000000300400000066101000468ce3520")}
	aac      = Track{ID: 2, CodecID: codec.IDAAC, CodecPrivate: unhex("1208")}
	muLaw    = Track{ID: 3, CodecID: codec.IDACM, CodecPrivate: unhex("07000100401f0000401f0000010008000000")}
)

// pictures makes samples of one byte at these milliseconds, the first a keyframe.
func pictures(track uint32, ms ...int64) (samples []Sample) {
	for i, m := range ms {
		samples = append(samples, Sample{Track: track, PTS: time.Duration(m) * time.Millisecond, Keyframe: i == 0, Data: []byte{byte(i)}})
	}
	return samples
}

// times renders what the fragment says of each track: decode time of the first sample, then duration and offset of each.
func times(t *testing.T, fragment []byte) string {
	t.Helper()
	var out []string
	walk(t, fragment, func(kind string, body []byte) {
		u32 := func(at int) uint32 { return binary.BigEndian.Uint32(body[at:]) }
		switch kind {
		case "tfdt":
			out = append(out, fmt.Sprint(binary.BigEndian.Uint64(body[4:])))
		case "trun":
			size := 12
			if u32(0)&trunOffset != 0 {
				size = 16
			}
			for i := range int(u32(4)) {
				entry := fmt.Sprint(" ", u32(12+i*size))
				if size == 16 {
					entry += fmt.Sprintf("%+d", int32(u32(12+i*size+12)))
				}
				out[len(out)-1] += entry
			}
		}
	})
	return strings.Join(out, "; ")
}

// walk visits all boxes of fragments, and checks that their sizes fit.
func walk(t *testing.T, b []byte, visit func(kind string, body []byte)) {
	t.Helper()
	for len(b) > 0 {
		n := 0
		if len(b) >= 8 {
			n = int(binary.BigEndian.Uint32(b))
		}
		if n < 8 || n > len(b) {
			t.Fatalf("box of %d bytes in %d", n, len(b))
		}
		kind, body := string(b[4:8]), b[8:n]
		switch kind {
		case "moof", "traf", "moov", "trak", "mdia", "minf", "dinf", "stbl", "mvex", "edts":
			walk(t, body, visit)
		default:
			visit(kind, body)
		}
		b = b[n:]
	}
}

func TestFragmentTimes(t *testing.T) {
	tests := []struct {
		name    string
		tracks  []Track
		samples []Sample
		end     time.Duration
		want    string // in ticks of 1/90000 s for video
	}{
		{"in order", []Track{baseline}, pictures(1, 0, 40, 80), 0, "0 3600 3600 3600"},
		{"last picture until the end", []Track{baseline}, pictures(1, 0, 40), 140 * time.Millisecond, "0 3600 9000"},
		{"one picture", []Track{baseline}, pictures(1, 1000), 0, "90000 3600"},
		{"reordered, with the bound of two pictures", []Track{high}, pictures(1, 0, 120, 40, 80), 0, "0 3600+18000 3600+25200 3600+14400 3600+14400"},
		{"open group: pictures before the keyframe", []Track{high}, pictures(1, 80, 40), 0, "3600 3600+21600 3600+14400"},
		{"equal times", []Track{baseline}, pictures(1, 40, 40), 0, "3600 1+0 1-1"},
		{"far from zero", []Track{baseline}, pictures(1, 1_700_000_000_000), 0, "153000000000000 3600"},
		{"audio without the rounding of milliseconds", []Track{aac}, pictures(2, 0, 23, 46, 70), 0, "0 1024 1024 1024 1024"},
		{"audio with a gap", []Track{aac}, pictures(2, 0, 23, 146), 0, "0 1024 5415 1024"},
		{"two tracks", []Track{baseline, aac}, append(pictures(2, 10, 33), pictures(1, 0, 40)...), 0, "0 3600 3600; 441 1024 1024"},
		{"telephone audio", []Track{muLaw}, pictures(3, 0, 20), 0, "0 160 160"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := AppendFragment(nil, tt.tracks, 1, tt.samples, tt.end)
			if err != nil {
				t.Fatal(err)
			}
			if got := times(t, b); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestReorderDelayCanBeGiven(t *testing.T) {
	for delay, want := range map[time.Duration]string{
		-1:                     "0 3600 3600",
		100 * time.Millisecond: "0 3600+9000 3600+9000",
	} {
		track := high
		track.ReorderDelay = delay
		b, err := AppendFragment(nil, []Track{track}, 1, pictures(1, 0, 40), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := times(t, b); got != want {
			t.Errorf("%v: %s, want %s", delay, got, want)
		}
		init, err := AppendInit(nil, []Track{track}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if edited := bytes.Contains(init, []byte("elst")); edited != (delay > 0) {
			t.Errorf("%v: edit list %v", delay, edited)
		}
	}
}

func TestFragmentKeepsSamplesByteForByte(t *testing.T) {
	samples := append(pictures(1, 0, 40), pictures(2, 0, 23)...)
	for i := range samples {
		samples[i].Data = []byte(fmt.Sprintf("<%d>", i))
	}
	b, err := AppendFragment([]byte("before"), []Track{baseline, aac}, 7, samples, 0)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.TrimPrefix(b, []byte("before"))
	var at []uint32
	walk(t, b, func(kind string, body []byte) {
		if kind == "trun" {
			at = append(at, binary.BigEndian.Uint32(body[8:]))
		}
	})
	for i, want := range []string{"<0><1>", "<2><3>"} {
		if got := string(b[at[i]:][:6]); got != want {
			t.Errorf("track %d: %s, want %s", i+1, got, want)
		}
	}
}

func TestWriterJoinsFragmentsOfSamples(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, []Track{baseline}, Options{StartAtZero: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(pictures(1, 5000, 5040), pictures(1, 5100, 5140)...) {
		if err := w.WriteSample(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// The last picture of the first fragment lasts until the second begins.
	if got, want := times(t, out.Bytes()), "0 3600 5400; 9000 3600 3600"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestDecodeTimesRiseAcrossOverlappingFragments(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, []Track{baseline}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range [][]Sample{pictures(1, 0, 40, 80), pictures(1, 40, 120)} {
		if err := w.WriteFragment(f, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := times(t, out.Bytes()), "0 3600 3600 3600; 7201 3599-3601 3599+0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestWriterRefuses(t *testing.T) {
	if _, err := AppendInit(nil, []Track{{ID: 1, CodecID: "V_VP9"}}, 0); !errors.Is(err, codec.ErrUnsupported) {
		t.Errorf("VP9: %v", err)
	}
	if _, err := AppendInit(nil, []Track{{ID: 1, CodecID: codec.IDAVC}}, 0); !errors.Is(err, codec.ErrMissingPrivate) {
		t.Errorf("no avcC: %v", err)
	}
	tests := []struct {
		name    string
		tracks  []Track
		samples []Sample
	}{
		{"no track", nil, nil},
		{"two tracks of one ID", []Track{baseline, baseline}, nil},
		{"track 0", []Track{{CodecID: codec.IDAAC, CodecPrivate: aac.CodecPrivate}}, nil},
		{"sample of an unknown track", []Track{baseline}, pictures(9, 0)},
		{"time before zero", []Track{baseline}, pictures(1, -40)},
		{"gap of a day", []Track{baseline}, pictures(1, 0, 24*60*60*1000)},
	}
	for _, tt := range tests {
		if _, err := AppendFragment(nil, tt.tracks, 1, tt.samples, 0); err == nil {
			t.Errorf("%s was taken", tt.name)
		}
	}
}

func TestMIMENamesAllCodecs(t *testing.T) {
	for want, tracks := range map[string][]Track{
		`video/mp4; codecs="avc1.64000d,mp4a.40.2"`: {high, aac},
		`audio/mp4; codecs="mp4a.40.2"`:             {aac},
	} {
		if got, err := MIME(tracks); err != nil || got != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
}

func TestSamplesOfLacedBlocksAreSpread(t *testing.T) {
	stream := mkv.AppendHeader(nil, mkv.Info{}, []mkv.Track{{Number: 2, Type: mkv.TrackAudio, CodecID: codec.IDAAC, DefaultDuration: 20 * time.Millisecond}})
	stream = mkv.AppendClusterStart(stream, 100)
	stream = append(stream, 0xA3, 0x89, 0x82, 0, 5, 0x84, 1, 'a', 'b', 'c', 'd') // fixed lacing of two frames
	r := mkv.NewReader(bytes.NewReader(stream), mkv.Options{})
	var header *mkv.Header
	for {
		ev, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch ev := ev.(type) {
		case *mkv.Header:
			header = ev
		case *mkv.Block:
			got := AppendSamples(nil, header, ev)
			if len(got) != 2 || got[0].PTS != 105*time.Millisecond || got[1].PTS != 125*time.Millisecond || string(got[1].Data) != "cd" {
				t.Errorf("%+v", got)
			}
			return
		}
	}
}

func TestTrackOfRefusesEncodedContent(t *testing.T) {
	if _, err := TrackOf(&mkv.Track{Number: 1, CodecID: codec.IDAVC, ContentEncoded: true}); !errors.Is(err, codec.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

// FuzzFragment holds that for any times, what is written is well formed and presents each sample when it should be.
func FuzzFragment(f *testing.F) {
	f.Add([]byte{0, 120, 40, 80}, int64(0), int64(0))
	f.Add([]byte{40, 40, 0}, int64(1_700_000_000_000), int64(-1))
	f.Fuzz(func(t *testing.T, ms []byte, start, delay int64) {
		if len(ms) == 0 || start < 0 || start > 1<<42 {
			t.Skip()
		}
		at := make([]int64, len(ms))
		for i, m := range ms {
			at[i] = start + int64(m)
		}
		track := high
		track.ReorderDelay = time.Duration(delay % int64(time.Second))
		b, err := AppendFragment(nil, []Track{track}, 1, pictures(1, at...), 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := newTrack(track)
		if err != nil {
			t.Fatal(err)
		}
		var dts int64
		walk(t, b, func(kind string, body []byte) {
			switch kind {
			case "tfdt":
				dts = int64(binary.BigEndian.Uint64(body[4:]))
			case "trun":
				entries := body[12:]
				for i := range at {
					size, offset := 12, int64(0)
					if binary.BigEndian.Uint32(body)&trunOffset != 0 {
						size, offset = 16, int64(int32(binary.BigEndian.Uint32(entries[12:])))
					}
					if pts := dts + offset - parsed.edit; pts != at[i]*90 {
						t.Errorf("sample %d: presented at %d, want %d", i, pts, at[i]*90)
					}
					duration := int64(binary.BigEndian.Uint32(entries))
					if duration == 0 {
						t.Errorf("sample %d: decode time does not rise", i)
					}
					dts += duration
					entries = entries[size:]
				}
			}
		})
	})
}
