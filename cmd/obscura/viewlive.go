// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/internal/media/fmp4"
	"github.com/obscura-video/obscura/internal/media/hls"
)

// liveWindow is a sink that makes a live presentation: a segment of each fragment, the newest ones in memory.
type liveWindow struct {
	*hls.Window
	pack  hls.Packager
	parts []consumer.Frame // of the fragment that is arriving
	after bool             // something is missing before the next fragment
	taken tally
}

func newLiveWindow(l hls.Limits) *liveWindow { return &liveWindow{Window: hls.NewWindow(l)} }

func (w *liveWindow) addPart(f *consumer.Fragment, whole bool) error {
	w.parts = append(w.parts, f.Frames...)
	if !whole {
		return nil
	}
	all := *f
	all.Frames, w.parts = w.parts, nil
	return w.add(&all)
}

func (w *liveWindow) add(f *consumer.Fragment) error {
	if len(f.Frames) == 0 {
		return nil
	}
	in, err := hlsFragment(f)
	if err != nil {
		return err
	}
	in.Cut = w.after
	p, err := w.pack.Add(in)
	if err != nil {
		return err
	}
	w.after = false
	w.Add(p)
	w.taken.fragments++
	for i := range f.Frames {
		w.taken.frames++
		w.taken.bytes += int64(len(f.Frames[i].Data))
		if f.Frames[i].Time.After(w.taken.end) {
			w.taken.end = f.Frames[i].Time
		}
	}
	return nil
}

func (w *liveWindow) cut()         { w.parts = nil }
func (w *liveWindow) gap()         { w.after = true }
func (w *liveWindow) close() error { w.End(); return nil }
func (w *liveWindow) tally() tally { return w.taken }

func (w *liveWindow) master(ctx context.Context, mediaURI string) ([]byte, error) {
	return w.Master(ctx, mediaURI)
}

func (w *liveWindow) playlist(ctx context.Context, upTo uint64) ([]byte, error) {
	return w.Playlist(ctx, upTo)
}

func (w *liveWindow) find(_ context.Context, uri string) ([]byte, error) {
	if b, ok := w.Find(uri); ok {
		return b, nil
	}
	return nil, errNotThere
}

// hlsFragment is a fragment as package hls takes it. The frames' bytes are not copied.
func hlsFragment(f *consumer.Fragment) (*hls.Fragment, error) {
	out := &hls.Fragment{}
	for i := range f.Tracks {
		t, err := fmp4.TrackOf(&f.Tracks[i])
		if err != nil {
			return nil, err
		}
		out.Tracks = append(out.Tracks, t)
	}
	for _, x := range f.Frames {
		if x.Track == 0 || x.Track > 1<<32-1 {
			return nil, fmt.Errorf("frame of track %d", x.Track)
		}
		out.Samples = append(out.Samples, hls.Sample{Track: uint32(x.Track), Time: x.Time, Duration: x.Duration, Key: x.Key, Data: x.Data})
	}
	return out, nil
}
