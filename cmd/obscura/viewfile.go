// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/internal/media/fmp4"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// The formats that view writes.
const (
	formatMKV = "mkv"
	formatMP4 = "mp4"
)

// footage writes fragments as one continuous file: one header, times from zero, frames in their order. It is for
// one goroutine.
type footage struct {
	w      *bufio.Writer
	format string
	muxer  muxer
	tracks []consumer.Track
	zero   time.Time            // of the file
	last   map[uint64]time.Time // the latest frame of each track
	parts  parts

	fragments, frames, bytes int64
	skipped                  int64 // fragments that are there already
	end                      time.Time
}

func (o *footage) tally() tally { return tally{o.fragments, o.frames, o.bytes, o.end} }

func (o *footage) length() time.Duration {
	if o.fragments == 0 {
		return 0
	}
	return o.end.Sub(o.zero)
}

// gap needs nothing in a file: times tell.
func (o *footage) gap() {}

// muxer puts the fragments into a container.
type muxer interface {
	add(f *consumer.Fragment, zero time.Time) error
	close() error
}

func newFootage(w io.Writer, format string) *footage {
	return &footage{w: bufio.NewWriterSize(w, 1<<16), format: format, last: map[uint64]time.Time{}}
}

// errTracksChanged says that a fragment cannot follow in the same file.
var errTracksChanged = errors.New("the encoding changes")

// add writes a fragment, unless it is there already. Errors: errTracksChanged; codec.ErrUnsupported; the writer's.
func (o *footage) add(f *consumer.Fragment) error {
	if len(f.Frames) == 0 {
		return nil
	}
	if o.muxer != nil && o.sameTracks(f.Tracks) && o.overlaps(f) {
		o.skipped++
		return nil
	}
	if err := o.write(f); err != nil {
		return err
	}
	o.fragments++
	return nil
}

// write writes frames.
func (o *footage) write(f *consumer.Fragment) error {
	if len(f.Frames) == 0 {
		return nil
	}
	if o.muxer == nil {
		if err := o.begin(f); err != nil {
			return err
		}
	}
	if !o.sameTracks(f.Tracks) {
		return errTracksChanged
	}
	if err := o.muxer.add(f, o.zero); err != nil {
		return err
	}
	for _, x := range f.Frames {
		if x.Time.After(o.last[x.Track]) {
			o.last[x.Track] = x.Time
		}
		if x.Time.After(o.end) {
			o.end = x.Time
		}
		o.frames++
		o.bytes += int64(len(x.Data))
	}
	return o.w.Flush()
}

func (o *footage) begin(f *consumer.Fragment) error {
	o.tracks, o.zero = f.Tracks, f.Frames[0].Time
	for _, x := range f.Frames {
		if x.Time.Before(o.zero) {
			o.zero = x.Time // pictures before a key frame in time may follow it in the stream
		}
	}
	var err error
	if o.format == formatMP4 {
		o.muxer, err = newMP4(o.w, f.Tracks)
	} else {
		o.muxer, err = newMKV(o.w, f.Tracks)
	}
	return err
}

// sameTracks allows tracks to be missing, since a producer leaves out those without frames.
func (o *footage) sameTracks(tracks []consumer.Track) bool {
	for i := range tracks {
		found := false
		for j := range o.tracks {
			a, b := &tracks[i], &o.tracks[j]
			found = found || a.Number == b.Number && a.CodecID == b.CodecID && bytes.Equal(a.CodecPrivate, b.CodecPrivate)
		}
		if !found {
			return false
		}
	}
	return true
}

// overlaps tells whether the fragment goes back in time: it was sent twice, or late.
func (o *footage) overlaps(f *consumer.Fragment) bool {
	seen := map[uint64]bool{}
	for _, x := range f.Frames {
		if seen[x.Track] {
			continue
		}
		seen[x.Track] = true
		if last, ok := o.last[x.Track]; ok && !x.Time.After(last) {
			return true
		}
	}
	return f.Frames[0].Time.Before(o.zero)
}

func (o *footage) close() error {
	if o.muxer == nil {
		return nil
	}
	return errors.Join(o.muxer.close(), o.w.Flush())
}

// mkvMuxer writes Matroska.
type mkvMuxer struct{ w *mkv.Writer }

func newMKV(w io.Writer, tracks []consumer.Track) (*mkvMuxer, error) {
	m, err := mkv.NewWriter(w, "", mkv.Info{MuxingApp: "obscura", WritingApp: "obscura"}, tracks)
	return &mkvMuxer{m}, err
}

func (m *mkvMuxer) add(f *consumer.Fragment, zero time.Time) error {
	for _, x := range f.Frames {
		if x.Time.Before(zero) {
			continue // it came later than all that the file's beginning was chosen by
		}
		if err := m.w.WriteBlock(x.Track, x.Time.Sub(zero).Milliseconds(), x.Key, x.Data); err != nil {
			return err
		}
	}
	return nil
}

func (m *mkvMuxer) close() error { return nil }

// mp4Muxer writes fragmented MP4. It keeps one fragment back, since only the next one tells how long its last
// picture is shown.
type mp4Muxer struct {
	w    *fmp4.Writer
	held []fmp4.Sample
}

func newMP4(w io.Writer, tracks []consumer.Track) (*mp4Muxer, error) {
	var ts []fmp4.Track
	for i := range tracks {
		t, err := fmp4.TrackOf(&tracks[i])
		if err != nil {
			return nil, err
		}
		ts = append(ts, t)
	}
	m, err := fmp4.NewWriter(w, ts, fmp4.Options{})
	return &mp4Muxer{w: m}, err
}

func (m *mp4Muxer) add(f *consumer.Fragment, zero time.Time) error {
	samples := make([]fmp4.Sample, len(f.Frames))
	first := time.Duration(-1)
	for i, x := range f.Frames {
		samples[i] = fmp4.Sample{
			Track: uint32(x.Track), PTS: x.Time.Sub(zero), Duration: x.Duration, Keyframe: x.Key, Data: x.Data,
		}
		if pts := samples[i].PTS; isVideo(f.Tracks, x.Track) && (first < 0 || pts < first) {
			first = pts
		}
	}
	held := m.held
	m.held = samples
	if held == nil {
		return nil
	}
	return m.w.WriteFragment(held, max(first, 0))
}

func isVideo(tracks []consumer.Track, number uint64) bool {
	for i := range tracks {
		if tracks[i].Number == number {
			return tracks[i].Type == consumer.Video
		}
	}
	return false
}

func (m *mp4Muxer) close() error {
	if m.held == nil {
		return m.w.Close()
	}
	return errors.Join(m.w.WriteFragment(m.held, 0), m.w.Close())
}

// outputFile is a file that has its name only when it is whole.
type outputFile struct {
	*os.File
	path string // in the end
}

// createOutput opens the file beside its final place.
func createOutput(path string) (*outputFile, error) {
	f, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, &problem{What: "cannot write " + path, Why: err.Error(), Exit: exitFailed, Err: err}
	}
	return &outputFile{f, path}, nil
}

// keep makes the file durable under its name.
func (f *outputFile) keep() error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return os.Rename(f.Name(), f.path)
}

// discard removes the file.
func (f *outputFile) discard() error { return errors.Join(f.Close(), os.Remove(f.Name())) }

// formatOf takes the format from a file's name.
func formatOf(path string) (string, error) {
	switch filepath.Ext(path) {
	case ".mp4", ".m4v":
		return formatMP4, nil
	case ".mkv", ".webm":
		return formatMKV, nil
	}
	return "", usageError{fmt.Errorf("--output %q: want a name that ends in .mp4 or .mkv, or --format", path)}
}
