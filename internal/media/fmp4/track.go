// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"fmt"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/media/codec"
)

// Track describes one track of the output.
type Track struct {
	ID           uint32 // from 1 on, different for each track
	CodecID      string // the Matroska codec ID, see package codec
	CodecPrivate []byte
	Width        int // pixels; 0 takes them from CodecPrivate
	Height       int
	Channels     int // 0 takes them from CodecPrivate

	// ReorderDelay is how much earlier than its presentation a picture may have to be decoded. It becomes an edit list, so
	// every fragment that follows an init segment needs the same. 0 derives a bound from CodecPrivate, which is none
	// where pictures come in their order of output; negative means none.
	ReorderDelay time.Duration
}

// The bound derived for ReorderDelay: at 10 pictures a second or more, and for streams that do not say how many pictures
// are reordered.
const (
	slowPicture    = 100 * time.Millisecond
	guessedReorder = 4
)

// reorderDelay is the delay of a track of which n pictures are reordered, -1 if unknown.
func (t *Track) reorderDelay(n int) time.Duration {
	switch {
	case t.ReorderDelay < 0:
		return 0
	case t.ReorderDelay > 0:
		return t.ReorderDelay
	case n < 0:
		n = guessedReorder
	}
	return time.Duration(n) * slowPicture
}

// Sample is one coded picture, or one frame of audio.
type Sample struct {
	Track    uint32
	PTS      time.Duration // presentation time, from 0 on
	Duration time.Duration // 0 when unknown; counts only for the last sample of a track in a fragment
	Keyframe bool          // a sync sample; audio always is
	Data     []byte
}

// videoTimescale is the number of ticks per second of video tracks, as in MPEG systems.
const videoTimescale = 90_000

// opusTimescale is that of Opus, whatever the rate of its input.
const opusTimescale = 48_000

// track is a Track with what its boxes need.
type track struct {
	Track
	config       codec.Config
	video        bool
	timescale    uint32
	frameSamples int64 // ticks of an audio frame whose length is fixed, else 0
	delay        int64 // ticks from decode to presentation
	edit         int64 // ticks that the edit list takes off the times of presentation: the delay, or what Opus skips
}

// newTrack parses the codec's configuration.
func newTrack(t Track) (*track, error) {
	config, err := codec.Parse(t.CodecID, t.CodecPrivate)
	if err != nil {
		return nil, fmt.Errorf("fmp4: track %d: %w", t.ID, err)
	}
	out := &track{Track: t, config: config}
	switch c := config.(type) {
	case *codec.AVC:
		out.asVideo(c.Width, c.Height, c.Reorder)
	case *codec.HEVC:
		out.asVideo(c.Width, c.Height, c.Reorder)
	case *codec.AAC:
		out.asAudio(c.SampleRate, c.Channels)
		out.frameSamples = int64(c.FrameSamples)
	case *codec.Opus:
		out.asAudio(opusTimescale, c.Channels)
		out.edit = int64(c.PreSkip) // as CodecDelay in Matroska
	case *codec.G711:
		out.asAudio(c.SampleRate, c.Channels)
	}
	if t.ID == 0 || out.timescale == 0 || out.Width >= 1<<16 || out.Height >= 1<<16 {
		return nil, fmt.Errorf("fmp4: track %d: number, size or rate out of range", t.ID)
	}
	return out, nil
}

func (t *track) asVideo(width, height, reorder int) {
	t.video, t.timescale = true, videoTimescale
	t.delay = ticks(t.reorderDelay(reorder), videoTimescale)
	t.edit = t.delay
	if t.Width <= 0 || t.Height <= 0 {
		t.Width, t.Height = width, height
	}
}

func (t *track) asAudio(rate, channels int) {
	if t.Channels <= 0 {
		t.Channels = channels
	}
	t.timescale = uint32(rate)
}

// newTracks parses all tracks and refuses two of the same ID.
func newTracks(in []Track) ([]*track, error) {
	if len(in) == 0 {
		return nil, fmt.Errorf("fmp4: no track")
	}
	var out []*track
	for _, t := range in {
		parsed, err := newTrack(t)
		if err != nil {
			return nil, err
		}
		for _, other := range out {
			if other.ID == t.ID {
				return nil, fmt.Errorf("fmp4: two tracks of ID %d", t.ID)
			}
		}
		out = append(out, parsed)
	}
	return out, nil
}

// MIME is the type of the output with its codecs, as Media Source Extensions and DASH name it.
//
// Errors: those of codec.Parse, wrapped.
func MIME(tracks []Track) (string, error) {
	parsed, err := newTracks(tracks)
	if err != nil {
		return "", err
	}
	kind := "audio/mp4"
	for _, t := range parsed {
		if t.video {
			kind = "video/mp4"
		}
	}
	return fmt.Sprintf("%s; codecs=%q", kind, codecsOf(parsed)), nil
}

// Codecs are the codecs of the tracks with commas between, as the CODECS attribute of HLS has them.
//
// Errors: those of codec.Parse, wrapped.
func Codecs(tracks []Track) (string, error) {
	parsed, err := newTracks(tracks)
	return codecsOf(parsed), err
}

func codecsOf(tracks []*track) string {
	var codecs []string
	for _, t := range tracks {
		codecs = append(codecs, t.config.MIME())
	}
	return strings.Join(codecs, ",")
}

// ticks converts a time to units of 1/timescale seconds, rounded to the nearest.
func ticks(d time.Duration, timescale uint32) int64 {
	seconds, rest := int64(d/time.Second), int64(d%time.Second)
	half := int64(time.Second / 2)
	if rest < 0 {
		half = -half
	}
	return seconds*int64(timescale) + (rest*int64(timescale)+half)/int64(time.Second)
}
