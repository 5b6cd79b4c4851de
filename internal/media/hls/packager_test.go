// SPDX-License-Identifier: Apache-2.0

package hls

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/media/codec"
	"github.com/obscura-video/obscura/internal/media/fmp4"
)

// Tracks as x264 and ffmpeg describe them.
func pictureTrack() fmp4.Track {
	return fmp4.Track{ID: 1, CodecID: codec.IDAVC, CodecPrivate: unhex("01428016ffe100176742801696540601bd350606064000000300400000066101000468ce3520"), Width: 320, Height: 180}
}

func soundTrack() fmp4.Track {
	return fmp4.Track{ID: 2, CodecID: codec.IDAAC, CodecPrivate: unhex("1208")}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// at makes a fragment of pictures 40 ms apart, from a second on.
func at(second float64, pictures int) *Fragment {
	f := &Fragment{Tracks: []fmp4.Track{pictureTrack()}}
	for i := range pictures {
		f.Samples = append(f.Samples, Sample{
			Track: 1, Key: i == 0, Data: []byte{byte(i)},
			Time: noon.Add(time.Duration(second*float64(time.Second)) + time.Duration(i)*40*time.Millisecond),
		})
	}
	return f
}

// decodeTime reads tfdt, in ticks of 1/90000 s.
func decodeTime(t *testing.T, segment []byte) time.Duration {
	t.Helper()
	i := bytes.Index(segment, []byte("tfdt"))
	if i < 0 {
		t.Fatal("no tfdt")
	}
	var v uint64
	for _, b := range segment[i+8 : i+16] {
		v = v<<8 | uint64(b)
	}
	return time.Duration(v) * time.Second / 90000
}

func TestOneTimelineOverGapsAndClocksThatGoBack(t *testing.T) {
	var p Packager
	cut := at(10, 50)
	cut.Cut = true
	both := at(12, 50)
	both.Tracks = append(both.Tracks, soundTrack())
	for i, step := range []struct {
		f    *Fragment
		cut  bool // a discontinuity comes of it
		init bool
		at   time.Duration // on the timeline
	}{
		{at(0, 50), false, true, 0},
		{at(2, 50), false, false, 2 * time.Second},
		{at(4.3, 50), false, false, 4300 * time.Millisecond}, // as cameras are
		{at(8, 50), true, false, 8 * time.Second},            // a hole
		{cut, true, false, 10 * time.Second},                 // something is known to be missing
		{both, true, true, 12 * time.Second},                 // another encoding
		{at(14, 50), false, false, 14 * time.Second},         // a track without frames is no other encoding
		{at(-3600, 50), true, false, 16 * time.Second},       // the clock was set back
		{at(-3598, 50), false, false, 18 * time.Second},
	} {
		got, err := p.Add(step.f)
		if err != nil {
			t.Fatal(i, err)
		}
		if got.Discontinuity != step.cut || (got.Init != nil) != step.init || got.Duration != 2*time.Second || !got.Time.Equal(step.f.Samples[0].Time) {
			t.Errorf("%d: cut %t, init %t, %v at %v", i, got.Discontinuity, got.Init != nil, got.Duration, got.Time)
		}
		if d := decodeTime(t, got.Data); d != step.at {
			t.Errorf("%d: at %v, want %v", i, d, step.at)
		}
		if step.init && (got.Codecs == "" || got.Width != 320) {
			t.Errorf("%d: %q %d", i, got.Codecs, got.Width)
		}
	}
}

func TestDurationIsTheBestThatIsKnown(t *testing.T) {
	known := at(0, 1)
	known.Samples[0].Duration = 700 * time.Millisecond
	ended := at(0, 25)
	ended.End = noon.Add(1100 * time.Millisecond)
	sound := &Fragment{Tracks: []fmp4.Track{soundTrack()}, Samples: []Sample{{Track: 2, Time: noon}, {Track: 2, Time: noon.Add(23 * time.Millisecond)}}}
	for name, tt := range map[string]struct {
		f    *Fragment
		want time.Duration
	}{
		"from its pictures":     {at(0, 25), time.Second},
		"from the next picture": {ended, 1100 * time.Millisecond},
		"from the only one":     {known, 700 * time.Millisecond},
		"guessed":               {at(0, 1), 40 * time.Millisecond},
		"of sound":              {sound, 46 * time.Millisecond},
	} {
		got, err := new(Packager).Add(tt.f)
		if err != nil || got.Duration != tt.want {
			t.Errorf("%s: %v %+v", name, err, got)
		}
	}
}

func TestFragmentThatCannotBePackedIsLeftOut(t *testing.T) {
	var p Packager
	if _, err := p.Add(&Fragment{}); !errors.Is(err, ErrPlaylist) {
		t.Errorf("nothing: %v", err)
	}
	other := at(0, 2)
	other.Tracks[0].CodecID = "V_THEORA"
	if _, err := p.Add(other); !errors.Is(err, codec.ErrUnsupported) {
		t.Errorf("codec: %v", err)
	}
	stray := at(0, 2)
	stray.Samples[1].Track = 9
	if _, err := p.Add(stray); err == nil {
		t.Error("a sample of no track was packed")
	}
	if got, err := p.Add(at(2, 2)); err != nil || got.Init == nil {
		t.Errorf("the next one has no init segment: %v", err)
	}
}

func TestSegmentsMadeAloneAreTheSameAsInARow(t *testing.T) {
	var p Packager
	for i, f := range []*Fragment{at(0, 50), at(2, 50), at(4, 50)} {
		want, err := p.Add(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Segment(uint32(i), noon)
		if err != nil || !bytes.Equal(got, want.Data) {
			t.Errorf("%d: %v, %x, want %x", i, err, got, want.Data)
		}
		if head, err := f.Init(); err != nil || want.Init != nil && !bytes.Equal(head.Init, want.Init) {
			t.Errorf("%d: init: %v", i, err)
		}
	}
}
