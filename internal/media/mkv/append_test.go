// SPDX-License-Identifier: Apache-2.0

package mkv

import (
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The bytes that producers of the Kinesis Video SDK send, element for element.
func TestAppendWritesTheShapeOfProducers(t *testing.T) {
	tests := []struct {
		name      string
		got, want []byte
	}{
		{"preamble", AppendPreamble(nil), unhex(`1A45DFA3 A3 4286 81 01 42F7 81 01 42F2 81 04 42F3 81 08
			4282 88 6D6174726F736B61 4287 81 02 4285 81 02 18538067 FF`)},
		{"cluster start", AppendClusterStart(nil, 1_596_002_177_863), unhex("1F43B675 FF E7 88 0000017399249347 A7 81 00")},
		{"block", AppendSimpleBlock(nil, 1, 40, true, []byte{0xAA, 0xBB}), unhex("A3 0100000000000006 81 0028 80 AABB")},
		{"block before its cluster", AppendSimpleBlock(nil, 200, -2, false, []byte{0xAA}), unhex("A3 0100000000000006 40C8 FFFE 00 AA")},
		{"cluster of known size", AppendCluster(nil, 7, nil), unhex("1F43B675 010000000000000A E7 88 0000000000000007")},
		{"tags", AppendTags(nil, Tag{"a", "b"}), unhex("1254C367 010000000000000E 7373 8B 67C8 88 45A3 81 61 4487 81 62")},
		{"end of fragment", AppendEndOfFragment(nil), unhex(`1254C367 010000000000002C 7373 A9 67C8 A6
			45A3 A0 4157535F4B494E45534953564944454F5F454E445F4F465F465241474D454E54 4487 80`)},
	}
	for _, tt := range tests {
		if !bytes.Equal(tt.got, tt.want) {
			t.Errorf("%s:\n%X, want\n%X", tt.name, tt.got, tt.want)
		}
	}
}

func TestAppendHeaderIsReadBack(t *testing.T) {
	info := Info{SegmentUID: make([]byte, 16), TimecodeScale: 1_000_000, Title: "t", MuxingApp: "m", WritingApp: "w"}
	in := []Track{
		{Number: 1, UID: 1 << 63, Type: TrackVideo, Name: "v", CodecID: "V_MPEG4/ISO/AVC", CodecPrivate: []byte{1, 2}, DefaultDuration: 40 * time.Millisecond, Width: 1920, Height: 1080},
		{Number: 2, Type: TrackAudio, CodecID: "A_AAC", SamplingFrequency: 44100, Channels: 2, BitDepth: 16},
	}
	ev, err := NewReader(bytes.NewReader(AppendHeader(nil, info, in)), Options{}).Next()
	if err != nil {
		t.Fatal(err)
	}
	h := ev.(*Header)
	if h.Info.Title != "t" || h.Info.MuxingApp != "m" || h.Info.WritingApp != "w" || len(h.Info.SegmentUID) != 16 {
		t.Errorf("info %+v", h.Info)
	}
	if v := h.Track(1); v.UID != 1<<63 || v.Name != "v" || v.Width != 1920 || v.Height != 1080 || v.DefaultDuration != 40*time.Millisecond {
		t.Errorf("video %+v", v)
	}
	if a := h.Track(2); a.UID != 2 || a.SamplingFrequency != 44100 || a.Channels != 2 || a.BitDepth != 16 {
		t.Errorf("audio %+v", a)
	}
	if h.Track(3) != nil {
		t.Error("a track that is not there")
	}
}

// What a server does: it takes a producer's stream apart, and sends each fragment as a file of its own.
func TestFragmentsAreReplayedByteForByte(t *testing.T) {
	producer := cat(liveStart, el(IDVoid, 0, 0), tracks, simpleTags("encoder", "x"),
		cluster7, frame, simpleTags("a", "1"), endTag, sized(8, IDCluster, cat(el(IDTimecode, 9), frame)...))
	var media bytes.Buffer
	r := NewReader(bytes.NewReader(producer), Options{})
	var header *Header
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
			header = ev
			continue
		case *ClusterStart:
			media.Write(AppendPreamble(nil))
			media.Write(header.Raw)
			media.Write(AppendTags(nil, Tag{FragmentNumber, "1"}))
		}
		media.Write(raw(ev))
	}
	got, _, err := read(&media, Options{Concatenated: true})
	if err != io.EOF {
		t.Fatal(err)
	}
	want := []string{
		"header 1000000 1:V_MPEG4/ISO/AVC", `tags [{"encoder" "x"}] end=false header=true`,
		`tags [{"AWS_KINESISVIDEO_FRAGMENT_NUMBER" "1"}] end=false header=true`,
		"cluster 7 size=-1", `block 1@9(2) key=true lacing=0 ["ab"]`, "end",
		`tags [{"a" "1"}] end=false header=false`, `tags [{"AWS_KINESISVIDEO_END_OF_FRAGMENT" ""}] end=true header=false`,
		"header 1000000 1:V_MPEG4/ISO/AVC", `tags [{"encoder" "x"}] end=false header=true`,
		`tags [{"AWS_KINESISVIDEO_FRAGMENT_NUMBER" "1"}] end=false header=true`,
		"cluster 9 size=11", `block 1@11(2) key=true lacing=0 ["ab"]`, "end",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Files as ffmpeg writes them, alone and one after another.
func TestReaderReplaysRealFiles(t *testing.T) {
	files, err := filepath.Glob("../fmp4/testdata/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	var joined []byte
	for _, file := range append(files, "../../../cmd/obscura/demo/clip.mkv") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		joined = append(joined, b...)
		if _, replay, err := read(bytes.NewReader(b), Options{}); err != io.EOF || !bytes.Equal(replay, b) {
			t.Errorf("%s: %v, %d of %d bytes replayed", file, err, len(replay), len(b))
		}
	}
	events, replay, err := read(iotest.HalfReader(bytes.NewReader(joined)), Options{Concatenated: true})
	if err != io.EOF || !bytes.Equal(replay, joined) {
		t.Errorf("joined: %v, %d of %d bytes replayed", err, len(replay), len(joined))
	}
	headers := 0
	for _, ev := range events {
		if strings.HasPrefix(ev, "header") {
			headers++
		}
	}
	if headers != len(files)+1 {
		t.Errorf("%d headers in %d files", headers, len(files)+1)
	}
}

func TestWriterCutsClusters(t *testing.T) {
	video := []Track{{Number: 1, Type: TrackVideo}, {Number: 2, Type: TrackAudio}}
	type block struct {
		track    uint64
		timecode int64
		keyframe bool
	}
	tests := []struct {
		name   string
		tracks []Track
		blocks []block
		want   string // cluster timecodes, with the number of their blocks
	}{
		{"at keyframes", video, []block{{1, 0, true}, {2, 5, true}, {1, 40, false}, {1, 80, true}}, "0:3 80:1"},
		{"reordered pictures", video, []block{{1, 100, true}, {1, 60, false}, {1, 140, false}}, "100:3"},
		{"where a time does not fit", video, []block{{1, 0, true}, {1, 40_000, false}, {1, 5_000, false}}, "0:1 40000:1 5000:1"},
		{"audio alone", video[1:], []block{{2, 0, true}, {2, 4_999, true}, {2, 5_000, true}}, "0:2 5000:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			w, err := NewWriter(&out, "", Info{}, tt.tracks)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range tt.blocks {
				if err := w.WriteBlock(b.track, b.timecode, b.keyframe, []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			events, _, err := read(&out, Options{})
			if err != io.EOF {
				t.Fatal(err)
			}
			var got []string
			for _, ev := range events {
				if timecode, ok := strings.CutPrefix(ev, "cluster "); ok {
					got = append(got, strings.Fields(timecode)[0]+":")
				} else if strings.HasPrefix(ev, "block ") {
					got[len(got)-1] += "x"
				}
			}
			for i := range got {
				timecode, blocks, _ := strings.Cut(got[i], ":")
				got[i] = timecode + ":" + string(rune('0'+len(blocks)))
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%s, want %s", s, tt.want)
			}
		})
	}
}

func TestWriterRefuses(t *testing.T) {
	w, err := NewWriter(io.Discard, WebM, Info{}, []Track{{Number: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if w.WriteBlock(2, 0, true, nil) == nil {
		t.Error("took a block of an unknown track")
	}
	if w.WriteBlock(1, -1, true, nil) == nil {
		t.Error("took a negative timecode")
	}
}

func TestTimestampSaturates(t *testing.T) {
	tests := []struct {
		scale    uint64
		timecode int64
		want     time.Duration
	}{
		{1_000_000, 1500, 1500 * time.Millisecond},
		{1_000_000, -2, -2 * time.Millisecond},
		{0, 1, time.Millisecond},
		{1, 1 << 62, 1 << 62},
		{1 << 62, 3, 1<<63 - 1},
		{1 << 63, -1, -(1<<63 - 1)},
	}
	for _, tt := range tests {
		h := Header{Info: Info{TimecodeScale: tt.scale}}
		if got := h.Timestamp(tt.timecode); got != tt.want {
			t.Errorf("%d of %d: %d, want %d", tt.timecode, tt.scale, got, tt.want)
		}
	}
}
