// SPDX-License-Identifier: Apache-2.0

package hls

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestPlaylistsAreWrittenAsTheRFCHasThem(t *testing.T) {
	tests := []struct {
		name string
		of   interface {
			Append([]byte) ([]byte, error)
		}
		want string
	}{
		{
			"live", &Media{
				Target: 2 * time.Second, Sequence: 41, Discontinuities: 1, Independent: true, Blocking: true,
				Segments: []Segment{
					{URI: "41.m4s", Map: "init-0.mp4", Duration: 1999600 * time.Microsecond, Time: noon},
					{URI: "42.m4s", Map: "init-0.mp4", Duration: 2 * time.Second, Time: noon.Add(5 * time.Second).In(time.FixedZone("", 3600)), Discontinuity: true},
					{URI: "43.m4s", Map: "init-43.mp4", Duration: 4 * time.Millisecond},
				},
			}, `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:41
#EXT-X-DISCONTINUITY-SEQUENCE:1
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES
#EXT-X-MAP:URI="init-0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:00.000Z
#EXTINF:2.000,
41.m4s
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T13:00:05.000+01:00
#EXTINF:2.000,
42.m4s
#EXT-X-MAP:URI="init-43.mp4"
#EXTINF:0.004,
43.m4s
`,
		},
		{
			"on demand, of transport streams, with a gap", &Media{
				Kind: VOD, Target: 10 * time.Second, Ended: true, Segments: []Segment{{URI: "a.ts", Duration: 9500 * time.Millisecond}, {URI: "b.ts?x=1&y", Duration: 3 * time.Second, Gap: true}},
			}, `#EXTM3U
#EXT-X-VERSION:8
#EXT-X-TARGETDURATION:10
#EXT-X-PLAYLIST-TYPE:VOD
#EXTINF:9.500,
a.ts
#EXT-X-GAP
#EXTINF:3.000,
b.ts?x=1&y
#EXT-X-ENDLIST
`,
		},
		{"empty", &Media{Target: time.Second}, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n"},
		{
			"master", &Master{
				Independent: true,
				Renditions:  []Rendition{{URI: "sound.m3u8", Group: "a", Name: "Sound", Default: true}},
				Variants: []Variant{
					{URI: "v.m3u8", Bandwidth: 2_000_000, Codecs: "avc1.42c01f,mp4a.40.2", Width: 1280, Height: 720, FrameRate: 29.97, Audio: "a"},
					{URI: "w.m3u8", Bandwidth: 1},
				},
			}, `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Sound",DEFAULT=YES,AUTOSELECT=YES,URI="sound.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS="avc1.42c01f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="a"
v.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=1
w.m3u8
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.of.Append([]byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("before"+tt.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlaylistsThatBreakARuleAreNotWritten(t *testing.T) {
	one := func(s Segment) *Media { return &Media{Target: 2 * time.Second, Segments: []Segment{s}} }
	for name, m := range map[string]interface {
		Append([]byte) ([]byte, error)
	}{
		"no target":              &Media{},
		"segment over target":    one(Segment{URI: "a", Duration: 2500 * time.Millisecond}),
		"negative duration":      one(Segment{URI: "a", Duration: -time.Second}),
		"no URI":                 one(Segment{Duration: time.Second}),
		"URI of two lines":       one(Segment{URI: "a\n#EXT-X-ENDLIST", Duration: time.Second}),
		"URI that is a comment":  one(Segment{URI: "#a", Duration: time.Second}),
		"map that ends its name": one(Segment{URI: "a", Map: `b",X="`, Duration: time.Second}),
		"map taken back":         &Media{Target: time.Second, Segments: []Segment{{URI: "a", Map: "m"}, {URI: "b"}}},
		"VOD that goes on":       &Media{Kind: VOD, Target: time.Second},
		"event that slides":      &Media{Kind: Event, Target: time.Second, Sequence: 1},
		"master of nothing":      &Master{},
		"variant without a rate": &Master{Variants: []Variant{{URI: "a"}}},
		"codecs with a quote":    &Master{Variants: []Variant{{URI: "a", Bandwidth: 1, Codecs: `a"`}}},
		"rendition of two lines": &Master{Variants: []Variant{{URI: "a", Bandwidth: 1}}, Renditions: []Rendition{{URI: "a", Group: "g", Name: "a\nb"}}},
	} {
		if got, err := m.Append(nil); !errors.Is(err, ErrPlaylist) || len(got) > 0 {
			t.Errorf("%s: %v, %q", name, err, got)
		}
	}
	if _, err := one(Segment{URI: "a", Duration: 2499 * time.Millisecond}).Append(nil); err != nil {
		t.Errorf("control: rounds to the target: %v", err)
	}
}
