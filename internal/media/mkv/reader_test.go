// SPDX-License-Identifier: Apache-2.0

package mkv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// el builds an element with the shortest size; sized chooses the length of the size.
func el(id ID, data ...byte) []byte {
	return append(appendSize(appendID(nil, id), uint64(len(data))), data...)
}

func sized(sizeBytes int, id ID, data ...byte) []byte {
	v := uint64(len(data)) | 1<<(7*sizeBytes)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	return append(append(appendID(nil, id), b[8-sizeBytes:]...), data...)
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func unknown(id ID, sizeBytes int) []byte {
	size := []byte{0xFF}
	if sizeBytes == 8 {
		size = []byte{1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
	}
	return append(appendID(nil, id), size...)
}

var (
	ebml      = el(idEBML, el(idDocType, []byte("matroska")...)...)
	liveStart = cat(ebml, unknown(idSegment, 1))
	tracks    = AppendTracks(nil, []Track{{Number: 1, Type: TrackVideo, CodecID: "V_MPEG4/ISO/AVC", Width: 640, Height: 360}})
	live      = cat(liveStart, tracks)
	cluster7  = cat(unknown(IDCluster, 1), el(IDTimecode, 7))
	frame     = el(IDSimpleBlock, 0x81, 0, 2, 0x80, 'a', 'b')
	endTag    = AppendEndOfFragment(nil)
)

func simpleTags(name, value string) []byte { return AppendTags(nil, Tag{name, value}) }

// describe renders an event in one line; whether Raw is right is checked by replay.
func describe(ev Event) string {
	switch ev := ev.(type) {
	case *Header:
		var codecs []string
		for _, t := range ev.Tracks {
			codecs = append(codecs, fmt.Sprintf("%d:%s", t.Number, t.CodecID))
		}
		return fmt.Sprintf("header %d %s", ev.Info.TimecodeScale, strings.Join(codecs, ","))
	case *Tags:
		return fmt.Sprintf("tags %q end=%v header=%v", ev.Tags, ev.EndOfFragment, ev.InHeader)
	case *ClusterStart:
		return fmt.Sprintf("cluster %d size=%d", ev.Timecode, ev.Size)
	case *Block:
		return fmt.Sprintf("block %d@%d(%d) key=%v lacing=%d %q", ev.Track, ev.Timecode, ev.Relative, ev.Keyframe, ev.Lacing, ev.Frames(nil))
	case *Element:
		return fmt.Sprintf("element %X %d+%d/%d", uint32(ev.ID), ev.Offset, len(ev.Raw), ev.Size)
	case *ClusterEnd:
		return "end"
	}
	return "?"
}

// raw returns the bytes an event stands for.
func raw(ev Event) []byte {
	switch ev := ev.(type) {
	case *Header:
		return cat(ev.Preamble, ev.Raw)
	case *Tags:
		if ev.InHeader {
			return nil
		}
		return ev.Raw
	case *ClusterStart:
		return ev.Raw
	case *Block:
		return ev.Raw
	case *Element:
		return ev.Raw
	}
	return nil
}

// read collects all events, their bytes, and the final error.
func read(src io.Reader, opt Options) (events []string, replay []byte, err error) {
	r := NewReader(src, opt)
	for {
		ev, err := r.Next()
		if err != nil {
			return events, replay, err
		}
		events = append(events, describe(ev))
		replay = append(replay, raw(ev)...)
	}
}

func TestReaderAcceptsEveryQuirk(t *testing.T) {
	void := el(IDVoid, 0, 0, 0)
	crc := el(IDCRC32, 1, 2, 3, 4)
	block := func(payload ...byte) []byte { return el(idBlock, append([]byte{0x81, 0xFF, 0xFF, 0}, payload...)...) }
	tagWithTargets := el(IDTags, el(idTag, cat(el(0x63C0, el(0x68CA, 50)...),
		el(idSimpleTag, cat(el(idTagName, 'n'), el(idTagString, 'v', 0, 0))...))...)...)
	const header = "header 1000000 1:V_MPEG4/ISO/AVC"
	const frameEvent = `block 1@9(2) key=true lacing=0 ["ab"]`

	tests := []struct {
		name  string
		input []byte
		opt   Options
		want  []string
	}{
		{"empty", nil, Options{}, nil},
		{"header only", live, Options{}, []string{header}},
		{
			"unknown sizes of one byte", cat(live, cluster7, frame, cluster7),
			Options{},
			[]string{header, "cluster 7 size=-1", frameEvent, "end", "cluster 7 size=-1", "end"},
		},
		{
			"unknown sizes of eight bytes", cat(ebml, unknown(idSegment, 8), tracks, unknown(IDCluster, 8), el(IDTimecode, 7), frame),
			Options{},
			[]string{header, "cluster 7 size=-1", frameEvent, "end"},
		},
		{
			"known sizes", cat(ebml, sized(8, idSegment, cat(tracks, sized(8, IDCluster, cat(el(IDTimecode, 7), frame)...))...)),
			Options{},
			[]string{header, "cluster 7 size=11", frameEvent, "end"},
		},
		{
			"unknown cluster in a known segment", cat(ebml, sized(8, idSegment, cat(tracks, cluster7, frame)...)),
			Options{},
			[]string{header, "cluster 7 size=-1", frameEvent, "end"},
		},
		{
			"sizes of eight bytes", cat(live, cluster7, sized(8, IDSimpleBlock, 0x81, 0, 2, 0x80, 'a', 'b')),
			Options{},
			[]string{header, "cluster 7 size=-1", frameEvent, "end"},
		},
		{
			"sizes longer than needed", cat(live, unknown(IDCluster, 1), sized(3, IDTimecode, 0, 0, 7), sized(5, IDSimpleBlock, 0x40, 1, 0, 2, 0x80, 'a', 'b')),
			Options{},
			[]string{header, "cluster 7 size=-1", frameEvent, "end"},
		},
		{
			"timecode of zero bytes", cat(live, unknown(IDCluster, 1), el(IDTimecode)),
			Options{},
			[]string{header, "cluster 0 size=-1", "end"},
		},
		{
			"void, crc and seek head in the header", cat(liveStart, el(IDSeekHead, 1), void, el(IDInfo, cat(crc, el(idTimecodeScale, 1, 0), el(idDuration, 0, 0, 0, 0))...), tracks, void),
			Options{},
			[]string{"header 256 1:V_MPEG4/ISO/AVC"},
		},
		{
			"tags in the header", cat(live, tagWithTargets, cluster7),
			Options{},
			[]string{header, `tags [{"n" "v"}] end=false header=true`, "cluster 7 size=-1", "end"},
		},
		{
			"elements before the timecode", cat(live, unknown(IDCluster, 1), crc, el(IDPosition, 9), el(IDTimecode, 7), frame),
			Options{},
			[]string{header, "cluster 7 size=-1", frameEvent, "end"},
		},
		{
			"elements in a cluster", cat(live, cluster7, el(IDPosition, 0), void, frame, el(IDPrevSize, 4), el(0x6FFE, 1)),
			Options{},
			[]string{header, "cluster 7 size=-1", "element A7 0+3/3", "element EC 0+5/5", frameEvent, "element AB 0+3/3", "element 6FFE 0+4/4", "end"},
		},
		{
			"block groups", cat(live, cluster7, el(IDBlockGroup, block('x')...), el(IDBlockGroup, cat(block('y'), el(idReferenceBlock, 0xFF), el(idBlockDuration, 40))...)),
			Options{},
			[]string{header, "cluster 7 size=-1", `block 1@6(-1) key=true lacing=0 ["x"]`, `block 1@6(-1) key=false lacing=0 ["y"]`, "end"},
		},
		{
			"xiph lacing", cat(live, cluster7, el(IDSimpleBlock, 0x81, 0, 0, 0x82, 2, 1, 2, 'a', 'b', 'b', 'c')),
			Options{},
			[]string{header, "cluster 7 size=-1", `block 1@7(0) key=true lacing=1 ["a" "bb" "c"]`, "end"},
		},
		{
			"fixed lacing", cat(live, cluster7, el(IDSimpleBlock, 0x81, 0, 0, 0x84, 1, 'a', 'b', 'c', 'd')),
			Options{},
			[]string{header, "cluster 7 size=-1", `block 1@7(0) key=true lacing=2 ["ab" "cd"]`, "end"},
		},
		{
			"ebml lacing", cat(live, cluster7, el(IDSimpleBlock, 0x81, 0, 0, 0x86, 2, 0x82, 0xBE, 'a', 'a', 'b', 'c')),
			Options{},
			[]string{header, "cluster 7 size=-1", `block 1@7(0) key=true lacing=3 ["aa" "b" "c"]`, "end"},
		},
		{
			"tags between clusters", cat(live, cluster7, frame, tagWithTargets, cluster7, frame),
			Options{},
			[]string{header, "cluster 7 size=-1", frameEvent, "end", `tags [{"n" "v"}] end=false header=false`, "cluster 7 size=-1", frameEvent, "end"},
		},
		{
			"end of fragment", cat(live, cluster7, frame, endTag),
			Options{},
			[]string{header, "cluster 7 size=-1", frameEvent, "end", `tags [{"AWS_KINESISVIDEO_END_OF_FRAGMENT" ""}] end=true header=false`},
		},
		{
			"cues at the end", cat(live, cluster7, frame, el(IDCues, 1, 2, 3)),
			Options{},
			[]string{header, "cluster 7 size=-1", frameEvent, "end", "element 1C53BB6B 0+8/8"},
		},
		{
			"void beyond every limit", cat(live, cluster7, sized(4, IDVoid, make([]byte, 70<<10)...)),
			Options{MaxHeaderBytes: 1 << 10},
			[]string{header, "cluster 7 size=-1", "element EC 0+32768/71685", "element EC 32768+32768/71685", "element EC 65536+6149/71685", "end"},
		},
		{
			"files one after another", cat(live, cluster7, frame, endTag, live, simpleTags("n", "v"), cluster7, frame),
			Options{Concatenated: true},
			[]string{
				header, "cluster 7 size=-1", frameEvent, "end", `tags [{"AWS_KINESISVIDEO_END_OF_FRAGMENT" ""}] end=true header=false`,
				header, `tags [{"n" "v"}] end=false header=true`, "cluster 7 size=-1", frameEvent, "end",
			},
		},
		{
			"files of known size one after another", bytes.Repeat(cat(ebml, sized(8, idSegment, cat(tracks, cluster7, frame)...)), 2),
			Options{Concatenated: true},
			[]string{header, "cluster 7 size=-1", frameEvent, "end", header, "cluster 7 size=-1", frameEvent, "end"},
		},
		{
			"error chunk of tags only", cat(liveStart, simpleTags("AWS_KINESISVIDEO_ERROR_ID", "4000")),
			Options{Concatenated: true},
			[]string{"header 1000000 ", `tags [{"AWS_KINESISVIDEO_ERROR_ID" "4000"}] end=false header=true`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for how, src := range chunkings(tt.input) {
				events, replay, err := read(src, tt.opt)
				if err != io.EOF {
					t.Fatalf("%s: %v", how, err)
				}
				if got, want := strings.Join(events, "\n"), strings.Join(tt.want, "\n"); got != want {
					t.Errorf("%s:\n%s\nwant\n%s", how, got, want)
				}
				if !bytes.Equal(replay, tt.input) {
					t.Errorf("%s: re-emitted bytes differ from the input", how)
				}
			}
		})
	}
}

// chunkings offers the same bytes split in different ways.
func chunkings(b []byte) map[string]io.Reader {
	return map[string]io.Reader{
		"at once":      bytes.NewReader(b),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(b)),
		"by halves":    iotest.HalfReader(bytes.NewReader(b)),
		"with EOF":     iotest.DataErrReader(bytes.NewReader(b)),
	}
}

func TestReaderRefusesWhatIsNoStream(t *testing.T) {
	nested := []byte{}
	for range 20 {
		nested = el(idSimpleTag, nested...)
	}
	tests := []struct {
		name  string
		input []byte
		want  string
	}{
		{"garbage", []byte{0, 0, 0, 1, 0x65}, "no EBML header"},
		{"one byte of garbage", []byte{'x'}, "no EBML header"},
		{"garbage that begins well", []byte{0x1A, 0x45, 0xDF, 0xA4}, "no EBML header"},
		{"other document", el(idEBML, el(idDocType, []byte("avi")...)...), "neither matroska nor webm"},
		{"EBML header of unknown size", unknown(idEBML, 1), "unknown size"},
		{"no segment", cat(ebml, tracks), "no segment"},
		{"second segment", cat(live, cluster7, unknown(idSegment, 1)), "second EBML header or segment"},
		{"second file", cat(live, cluster7, live), "second EBML header or segment"},
		{"tracks again", cat(live, tracks), "second list of tracks"},
		{"tracks mid-stream", cat(live, cluster7, tracks), "after the first cluster"},
		{"cluster without tracks", cat(liveStart, cluster7), "cluster before any track"},
		{"two tracks of one number", cat(liveStart, el(IDTracks, bytes.Repeat(el(idTrackEntry, el(idTrackNumber, 1)...), 2)...)), "same number"},
		{"timecode scale of zero", cat(liveStart, el(IDInfo, el(idTimecodeScale, 0)...)), "timecode scale of zero"},
		{"block before timecode", cat(live, unknown(IDCluster, 1), frame), "without a timecode"},
		{"empty cluster", cat(live, el(IDCluster)), "without a timecode"},
		{"two timecodes", cat(live, cluster7, el(IDTimecode, 8)), "second timecode"},
		{"timecode near overflow", cat(live, unknown(IDCluster, 1), el(IDTimecode, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)), "out of range"},
		{"block after tags", cat(live, cluster7, endTag, frame), "block outside of a cluster"},
		{"block in the header", cat(live, frame), "block outside of a cluster"},
		{"element over its cluster", cat(live, sized(1, IDCluster, cat(el(IDTimecode, 7), []byte{0xA3, 0x90, 0x81})...)), "larger than its parent"},
		{"cluster over its segment", cat(ebml, sized(1, idSegment, cat(tracks, []byte{0x1F, 0x43, 0xB6, 0x75, 0xA0})...)), "larger than its parent"},
		{"tags inside a known cluster", cat(live, el(IDCluster, cat(el(IDTimecode, 7), endTag)...)), "top-level element inside a cluster"},
		{"data after a known segment", cat(ebml, sized(8, idSegment, tracks...), el(IDVoid, 0)), "data after the segment"},
		{"block of unknown size", cat(live, cluster7, []byte{0xA3, 0xFF}), "unknown size"},
		{"block without a header", cat(live, cluster7, el(IDSimpleBlock, 0x81, 0, 0)), "too short"},
		{"block group without a block", cat(live, cluster7, el(IDBlockGroup)), "without a block"},
		{"lace over its block", cat(live, cluster7, el(IDSimpleBlock, 0x81, 0, 0, 0x82, 1, 9, 'a')), "lace"},
		{"uneven fixed lace", cat(live, cluster7, el(IDSimpleBlock, 0x81, 0, 0, 0x84, 1, 'a')), "lace"},
		{"ID of zero", cat(live, cluster7, []byte{0}), "invalid element ID"},
		{"ID of five bytes", cat(live, cluster7, []byte{0x08}), "invalid element ID"},
		{"size of nine bytes", cat(live, cluster7, []byte{0xA3, 0}), "invalid element size"},
		{"large frame", cat(live, cluster7, sized(8, IDSimpleBlock, make([]byte, 2000)...)), "frame of 2009"},
		{"claimed frame", cat(live, cluster7, []byte{0xA3, 0x01, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}), "frame of"},
		{"large header", cat(live, el(IDVoid, make([]byte, 3000)...)), "header of"},
		{"large unknown element", cat(live, cluster7, el(0x6FFE, make([]byte, 3000)...)), "element of"},
		{"large tags", cat(live, cluster7, simpleTags("n", strings.Repeat("v", 1000))), "tags of"},
		{"deep tags", cat(live, cluster7, el(IDTags, el(idTag, nested...)...)), "depth of"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for how, src := range chunkings(tt.input) {
				_, _, err := read(src, Options{MaxFrameBytes: 1000, MaxHeaderBytes: 2000, MaxTagsBytes: 500})
				var format *FormatError
				var limit *LimitError
				if !errors.As(err, &format) && !errors.As(err, &limit) {
					t.Fatalf("%s: %v is neither a FormatError nor a LimitError", how, err)
				}
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: %v, want %q", how, err, tt.want)
				}
			}
		})
	}
}

func TestReaderTellsTruncationFromEnd(t *testing.T) {
	known := sized(8, IDCluster, cat(el(IDTimecode, 7), frame)...)
	whole := cat(live, cluster7, frame, endTag, known)
	ends := map[int]bool{0: true, len(live): true, len(live) + len(cluster7): true}
	for _, n := range []int{len(frame), len(endTag), len(known)} {
		last := len(live) + len(cluster7)
		for e := range ends {
			last = max(last, e)
		}
		ends[last+n] = true
	}
	ends[len(liveStart)] = true
	for n := range len(whole) + 1 {
		_, _, err := read(bytes.NewReader(whole[:n]), Options{})
		if clean := err == io.EOF; clean != ends[n] {
			t.Errorf("cut at %d of %d: %v", n, len(whole), err)
		} else if !clean && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d of %d: %v is not io.ErrUnexpectedEOF", n, len(whole), err)
		}
	}
}

func TestClusterStartTellsWhatFollows(t *testing.T) {
	for name, tt := range map[string]struct {
		cluster []byte
		want    int64
	}{
		"unknown size": {cat(cluster7, frame), -1},
		"known size":   {sized(8, IDCluster, cat(el(IDCRC32, 1, 2, 3, 4), el(IDTimecode, 7), frame)...), int64(len(frame))},
	} {
		r := NewReader(bytes.NewReader(cat(live, tt.cluster)), Options{})
		for {
			ev, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if start, ok := ev.(*ClusterStart); ok {
				if start.Rest != tt.want {
					t.Errorf("%s: %d, want %d", name, start.Rest, tt.want)
				}
				break
			}
		}
	}
}

func TestReaderPassesOnErrorsOfItsSource(t *testing.T) {
	broken := errors.New("connection reset")
	src := io.MultiReader(bytes.NewReader(cat(live, cluster7, frame)), iotest.ErrReader(broken))
	events, _, err := read(src, Options{})
	if !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	if len(events) != 3 {
		t.Errorf("%d events before the error, want header, cluster and block", len(events))
	}
}

// An event must come when its last byte is there, and must not wait for one more.
func TestReaderDeliversWithoutReadingAhead(t *testing.T) {
	known := sized(8, IDCluster, cat(el(IDTimecode, 7), frame)...)
	steps := []struct {
		send []byte
		want []string
	}{
		{cat(live, cluster7), []string{"header", "cluster"}},
		{frame, []string{"block"}},
		{endTag, []string{"end", "tags"}},
		{known, []string{"cluster", "block", "end"}},
		{simpleTags("n", "v"), []string{"tags"}},
	}
	pr, pw := io.Pipe()
	defer pr.Close()
	r := NewReader(pr, Options{})
	for _, step := range steps {
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			pw.Write(step.send)
		}()
		for _, want := range step.want {
			ev, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(ev); !strings.HasPrefix(got, want) {
				t.Fatalf("%s, want %s", got, want)
			}
		}
		<-sent
	}
}

func TestReaderMemoryFollowsWhatArrives(t *testing.T) {
	r := NewReader(bytes.NewReader(cat(live, cluster7, []byte{0xA3, 0x10, 0xF0, 0, 0, 'x'})), Options{})
	for {
		if _, err := r.Next(); err != nil {
			break
		}
	}
	if len(r.win.buf) > minBufferBytes {
		t.Errorf("a claim of 15 MiB took %d bytes", len(r.win.buf))
	}
}

func TestTagQueueFollowsTheEndOfFragmentTag(t *testing.T) {
	tests := []struct {
		name string
		sent [][]byte
		want string
	}{
		{"present", [][]byte{simpleTags("a", ""), endTag, simpleTags("b", "")}, "0:a 0:AWS_KINESISVIDEO_END_OF_FRAGMENT 1:b"},
		{"absent", [][]byte{simpleTags("a", ""), simpleTags("b", "")}, "1:a 1:b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			input := cat(live, cluster7, frame, cat(tt.sent...), cluster7, frame)
			if got := attribute(t, input); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// attribute lists the tags of input, each with the index of its fragment.
func attribute(t *testing.T, input []byte) string {
	t.Helper()
	r := NewReader(bytes.NewReader(input), Options{})
	var q TagQueue[string]
	var got []string
	fragment := -1
	add := func(names []string) {
		for _, n := range names {
			got = append(got, fmt.Sprintf("%d:%s", fragment, n))
		}
	}
	for {
		ev, err := r.Next()
		if err == io.EOF {
			return strings.Join(got, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		switch ev := ev.(type) {
		case *ClusterStart:
			fragment++
			add(q.Take())
		case *Tags:
			add(q.Add(ev.Tags[0].Name, ev.EndOfFragment))
		}
	}
}
