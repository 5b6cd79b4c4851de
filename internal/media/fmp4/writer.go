// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"bytes"
	"io"
	"time"
)

// Options set how a Writer numbers and times its output. The zero value keeps the source's times.
type Options struct {
	StartAtZero bool          // subtract the first presentation time from all
	Duration    time.Duration // of the whole presentation, 0 when unknown; only told, never enforced
}

// Writer writes one continuous presentation: the init segment, then fragments. Either whole fragments are given to
// WriteFragment, or samples to WriteSample; the two must not be mixed. It is for one goroutine.
type Writer struct {
	w        io.Writer
	opt      Options
	tracks   []*track
	clocks   []clock
	sequence uint32
	base     time.Duration
	buf      []byte
	err      error // of the first failed write; it stays

	held    []Sample // a complete fragment of which the end is not known yet
	pending []Sample // the fragment being collected
	bytes   int      // of pending
}

// Bounds of a fragment that WriteSample collects.
const (
	maxPendingBytes = 32 << 20    // it is cut there even without a keyframe
	audioFragment   = time.Second // in the absence of video
)

// NewWriter writes the init segment to w and returns the Writer of what follows.
//
// Errors: those of codec.Parse, wrapped; those of w.
func NewWriter(w io.Writer, tracks []Track, opt Options) (*Writer, error) {
	parsed, err := newTracks(tracks)
	if err != nil {
		return nil, err
	}
	fw := &Writer{w: w, opt: opt, tracks: parsed, clocks: make([]clock, len(parsed)), base: -1}
	fw.buf = appendInit(nil, parsed, opt.Duration)
	return fw, fw.flush()
}

// WriteFragment writes one fragment at once; see AppendFragment for samples and end. Fragments must follow each other in
// presentation time. The samples are not kept.
func (w *Writer) WriteFragment(samples []Sample, end time.Duration) error {
	if w.err != nil || len(samples) == 0 {
		return w.err
	}
	if w.base < 0 {
		w.base = 0
		if w.opt.StartAtZero {
			w.base = earliest(samples)
		}
	}
	runs, err := newRuns(w.tracks, w.clocks, samples, w.base, end)
	if err != nil {
		return err
	}
	w.sequence++
	w.buf, err = appendFragment(w.buf, w.sequence, runs)
	if err != nil {
		return err
	}
	return w.flush()
}

// WriteSample collects samples, in decode order, into fragments that begin with a keyframe of the video. A fragment
// is written when the one after it is complete, since only then the duration of its last picture is known. The
// sample is copied.
func (w *Writer) WriteSample(s Sample) error {
	if w.err != nil {
		return w.err
	}
	if w.mustCut(s) {
		if err := w.cut(); err != nil {
			return err
		}
	}
	s.Data = bytes.Clone(s.Data)
	w.pending = append(w.pending, s)
	w.bytes += len(s.Data)
	return nil
}

// Close writes what has been collected. It does not close the underlying writer.
func (w *Writer) Close() error {
	if err := w.cut(); err != nil {
		return err
	}
	return w.cut()
}

func (w *Writer) mustCut(s Sample) bool {
	switch {
	case len(w.pending) == 0:
		return false
	case w.bytes+len(s.Data) > maxPendingBytes:
		return true
	case w.hasVideo():
		return s.Keyframe && w.isVideo(s.Track) && w.pictures(w.pending)
	}
	return s.PTS-w.pending[0].PTS >= audioFragment
}

// cut writes the held fragment, and holds the pending one.
func (w *Writer) cut() error {
	if len(w.held) > 0 {
		if err := w.WriteFragment(w.held, w.firstPicture(w.pending)); err != nil {
			return err
		}
	}
	w.held, w.pending, w.bytes = w.pending, w.held[:0], 0
	return w.err
}

func (w *Writer) isVideo(id uint32) bool {
	for _, t := range w.tracks {
		if t.ID == id {
			return t.video
		}
	}
	return false
}

func (w *Writer) hasVideo() bool {
	for _, t := range w.tracks {
		if t.video {
			return true
		}
	}
	return false
}

// pictures tells whether there is any sample of video.
func (w *Writer) pictures(samples []Sample) bool {
	for _, s := range samples {
		if w.isVideo(s.Track) {
			return true
		}
	}
	return false
}

// firstPicture is the earliest presentation time of video, 0 without any.
func (w *Writer) firstPicture(samples []Sample) time.Duration {
	var video []Sample
	for _, s := range samples {
		if w.isVideo(s.Track) {
			video = append(video, s)
		}
	}
	if len(video) == 0 {
		return 0
	}
	return earliest(video)
}

func earliest(samples []Sample) time.Duration {
	first := samples[0].PTS
	for _, s := range samples {
		first = min(first, s.PTS)
	}
	return first
}

func (w *Writer) flush() error {
	if w.err != nil {
		return w.err
	}
	_, w.err = w.w.Write(w.buf)
	w.buf = w.buf[:0]
	return w.err
}
