// SPDX-License-Identifier: Apache-2.0

package hls

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ContentType is the media type of a playlist (RFC 8216, 4).
const ContentType = "application/vnd.apple.mpegurl"

// ErrPlaylist marks a playlist that the RFC forbids.
var ErrPlaylist = errors.New("hls: playlist")

// Kind says how a playlist may change (EXT-X-PLAYLIST-TYPE).
type Kind string

// The kinds of media playlists.
const (
	Live  Kind = ""      // segments come at the end and go at the beginning
	Event Kind = "EVENT" // segments come at the end
	VOD   Kind = "VOD"   // nothing changes
)

// Media is a media playlist.
type Media struct {
	Kind Kind
	// Target bounds the duration of every segment, in whole seconds after rounding; in a live playlist it should not change.
	Target time.Duration
	// Sequence is the media sequence number of the first segment.
	Sequence uint64
	// Discontinuities is how many discontinuities are no longer listed.
	Discontinuities uint64
	// Independent says that each segment can be decoded without another one.
	Independent bool
	// Blocking says that the server holds a reload back until there is news (CAN-BLOCK-RELOAD).
	Blocking bool
	// Ended says that no segment will follow.
	Ended    bool
	Segments []Segment
}

// Segment is an entry of a media playlist.
type Segment struct {
	URI      string // relative to the playlist
	Duration time.Duration
	// Map is the URI of the init segment, empty where segments need none.
	Map string
	// Time is when its first sample was taken; zero leaves it out (EXT-X-PROGRAM-DATE-TIME).
	Time time.Time
	// Discontinuity says that times or encoding do not follow from the segment before.
	Discontinuity bool
	// Gap says that the segment is not there, and why nobody should ask for it.
	Gap bool
}

// Append appends the playlist to dst. Errors: ErrPlaylist, wrapped.
func (m *Media) Append(dst []byte) ([]byte, error) {
	if err := m.check(); err != nil {
		return dst, err
	}
	dst = fmt.Appendf(dst, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%d\n", m.version(), seconds(m.Target))
	if m.Sequence > 0 {
		dst = fmt.Appendf(dst, "#EXT-X-MEDIA-SEQUENCE:%d\n", m.Sequence)
	}
	if m.Discontinuities > 0 {
		dst = fmt.Appendf(dst, "#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", m.Discontinuities)
	}
	if m.Kind != Live {
		dst = fmt.Appendf(dst, "#EXT-X-PLAYLIST-TYPE:%s\n", m.Kind)
	}
	if m.Independent {
		dst = append(dst, "#EXT-X-INDEPENDENT-SEGMENTS\n"...)
	}
	if m.Blocking {
		dst = append(dst, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n"...)
	}
	initSegment := ""
	for i := range m.Segments {
		s := &m.Segments[i]
		dst = s.append(dst, s.Map != initSegment)
		initSegment = s.Map
	}
	if m.Ended {
		dst = append(dst, "#EXT-X-ENDLIST\n"...)
	}
	return dst, nil
}

func (s *Segment) append(dst []byte, newMap bool) []byte {
	if s.Discontinuity {
		dst = append(dst, "#EXT-X-DISCONTINUITY\n"...)
	}
	if newMap {
		dst = fmt.Appendf(dst, "#EXT-X-MAP:URI=\"%s\"\n", s.Map)
	}
	if !s.Time.IsZero() {
		dst = fmt.Appendf(dst, "#EXT-X-PROGRAM-DATE-TIME:%s\n", s.Time.Format("2006-01-02T15:04:05.000Z07:00"))
	}
	if s.Gap {
		dst = append(dst, "#EXT-X-GAP\n"...)
	}
	ms := s.Duration.Round(time.Millisecond).Milliseconds()
	return fmt.Appendf(dst, "#EXTINF:%d.%03d,\n%s\n", ms/1000, ms%1000, s.URI)
}

func (m *Media) check() error {
	if m.Target < time.Second/2 {
		return fmt.Errorf("%w: target duration %v", ErrPlaylist, m.Target)
	}
	if m.Kind == VOD && !m.Ended {
		return fmt.Errorf("%w: a VOD playlist that has not ended", ErrPlaylist)
	}
	if m.Kind != Live && (m.Sequence > 0 || m.Discontinuities > 0) {
		return fmt.Errorf("%w: segments were taken out of %s", ErrPlaylist, m.Kind)
	}
	for i := range m.Segments {
		s := &m.Segments[i]
		switch {
		case s.Duration < 0 || seconds(s.Duration) > seconds(m.Target):
			return fmt.Errorf("%w: segment of %v, over the target of %v", ErrPlaylist, s.Duration, m.Target)
		case !isURI(s.URI) || s.Map != "" && !isURI(s.Map):
			return fmt.Errorf("%w: URI %q, %q", ErrPlaylist, s.URI, s.Map)
		case i > 0 && s.Map == "" && m.Segments[i-1].Map != "":
			return fmt.Errorf("%w: an init segment cannot be taken back", ErrPlaylist)
		}
	}
	return nil
}

// version is the lowest that has what the playlist uses (rfc8216bis, 8).
func (m *Media) version() int {
	v := 3 // durations with fractions
	for i := range m.Segments {
		if m.Segments[i].Gap {
			return 8
		}
		if m.Segments[i].Map != "" {
			v = 7 // fragmented MP4
		}
	}
	return v
}

// seconds rounds to whole seconds, as the RFC compares durations with the target.
func seconds(d time.Duration) int64 { return int64(d.Round(time.Second) / time.Second) }

// isURI tells whether s can stand in a playlist: no space, control character, quotation mark, and no comment.
func isURI(s string) bool {
	return s != "" && s[0] != '#' && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7F || r == '"' || r == '\\' })
}
