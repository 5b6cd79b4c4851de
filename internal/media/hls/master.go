// SPDX-License-Identifier: Apache-2.0

package hls

import (
	"fmt"
	"strings"
	"time"
)

// Master is a master playlist (a multivariant playlist).
type Master struct {
	Independent bool // see Media
	Renditions  []Rendition
	Variants    []Variant
}

// Variant is one way to play the presentation.
type Variant struct {
	URI       string // of its media playlist, relative to the master
	Bandwidth int64  // the highest, in bits per second
	Codecs    string // RFC 6381, with commas between; empty leaves it out
	Width     int    // pixels; 0 leaves the resolution out
	Height    int
	FrameRate float64 // 0 leaves it out
	Audio     string  // group of its sound, where that is apart
}

// Rendition is sound that is apart from the pictures.
type Rendition struct {
	URI     string
	Group   string
	Name    string
	Default bool
}

// Append appends the playlist to dst. Errors: ErrPlaylist, wrapped.
func (m *Master) Append(dst []byte) ([]byte, error) {
	if err := m.check(); err != nil {
		return dst, err
	}
	dst = append(dst, "#EXTM3U\n#EXT-X-VERSION:7\n"...)
	if m.Independent {
		dst = append(dst, "#EXT-X-INDEPENDENT-SEGMENTS\n"...)
	}
	for _, r := range m.Renditions {
		dst = fmt.Appendf(dst, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"%s\",NAME=\"%s\",DEFAULT=%s,AUTOSELECT=YES,URI=\"%s\"\n",
			r.Group, r.Name, yes(r.Default), r.URI)
	}
	for _, v := range m.Variants {
		dst = v.append(dst)
	}
	return dst, nil
}

func (v *Variant) append(dst []byte) []byte {
	dst = fmt.Appendf(dst, "#EXT-X-STREAM-INF:BANDWIDTH=%d", v.Bandwidth)
	if v.Codecs != "" {
		dst = fmt.Appendf(dst, ",CODECS=\"%s\"", v.Codecs)
	}
	if v.Width > 0 && v.Height > 0 {
		dst = fmt.Appendf(dst, ",RESOLUTION=%dx%d", v.Width, v.Height)
	}
	if v.FrameRate > 0 {
		dst = fmt.Appendf(dst, ",FRAME-RATE=%.3f", v.FrameRate)
	}
	if v.Audio != "" {
		dst = fmt.Appendf(dst, ",AUDIO=\"%s\"", v.Audio)
	}
	return fmt.Appendf(dst, "\n%s\n", v.URI)
}

func (m *Master) check() error {
	for _, r := range m.Renditions {
		if !isURI(r.URI) || !isText(r.Group) || !isText(r.Name) {
			return fmt.Errorf("%w: rendition %q", ErrPlaylist, r.Name)
		}
	}
	for _, v := range m.Variants {
		if !isURI(v.URI) || v.Bandwidth <= 0 || v.Codecs != "" && !isText(v.Codecs) || v.Audio != "" && !isText(v.Audio) {
			return fmt.Errorf("%w: variant %q of %d bit/s", ErrPlaylist, v.URI, v.Bandwidth)
		}
	}
	if len(m.Variants) == 0 {
		return fmt.Errorf("%w: a master without a variant", ErrPlaylist)
	}
	return nil
}

func yes(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}

// isText tells whether s can stand between quotation marks.
func isText(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7F || r == '"' })
}

// BitRate is the rate of so many bytes in a duration, at least 1.
func BitRate(bytes int64, d time.Duration) int64 {
	return max(1, int64(float64(8*bytes)/max(d.Seconds(), 0.001)))
}
