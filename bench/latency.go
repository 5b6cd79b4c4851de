// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// latencyFrame is the mean size of a frame, in bytes: a camera of 2 Mbit/s at 25 fps.
const latencyFrame = 10_000

// latency measures from before a frame is written to the camera's connection until its last byte is with the viewer.
func latency(o options, r *report) error {
	t, c, stop, err := startBoth(o)
	if err != nil {
		return err
	}
	defer stop()
	streams, err := t.createStreams(100)
	if err != nil {
		return err
	}
	h := newHTTP(t.roots, 100, false)
	defer h.CloseIdleConnections()
	for _, n := range []int{50, 10, 25, 100} {
		if err := latencyOf(o, r, streams[:n], throughServer{t, h}, throughRelay{c}); err != nil {
			return err
		}
	}
	return nil
}

// quantiles are those that are reported.
func quantiles() []float64 { return []float64{.5, .99, .999} }

func latencyOf(o options, r *report, names []string, server, relay side) error {
	q := quantiles()
	s, c := make([][]float64, len(q)), make([][]float64, len(q))
	for range o.rounds {
		for _, x := range []struct {
			side side
			into [][]float64
		}{{server, s}, {relay, c}} {
			d, err := watch(x.side, names, 2*o.round)
			if err != nil {
				return err
			}
			for i := range q {
				x.into[i] = append(x.into[i], quantile(d, q[i]))
			}
		}
	}
	for i := range q {
		r.add(result{
			Suite: "latency", Case: fmt.Sprintf("%d cameras and viewers, p%g", len(names), 100*q[i]), Unit: "ms",
			Server: s[i], Ceiling: c[i],
		})
	}
	return nil
}

// warmUp is left out: connections, first fragments, caches.
const warmUp = 2 * time.Second

// watch runs a camera and a viewer for each name and returns the latency of every frame after the warm-up.
func watch(s side, names []string, d time.Duration) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	frames := footage(latencyFrame)
	start := time.Now()
	all := make([][]time.Duration, len(names))
	errs, ended := make(chan error, len(names)), make(chan error, len(names))
	var cameras, viewers sync.WaitGroup
	for i, name := range names {
		viewers.Go(func() {
			err := s.viewer(ctx, name, func(payload []byte) {
				sent := time.Duration(binary.BigEndian.Uint64(payload))
				if now := time.Since(start); sent > warmUp {
					all[i] = append(all[i], now-sent)
				}
			})
			if ctx.Err() == nil { // a relay's viewer ends with its camera
				ended <- fmt.Errorf("viewer of %s: %w", name, err)
			}
		})
		cameras.Go(func() {
			phase := time.Duration(i) * frameMillis * time.Millisecond / time.Duration(len(names))
			if err := film(ctx, s, name, frames, start, phase, warmUp+d); err != nil {
				errs <- fmt.Errorf("camera %s: %w", name, err)
			}
		})
	}
	cameras.Wait()
	cancel()
	viewers.Wait()
	select {
	case err := <-errs:
		return nil, err
	default:
	}
	var samples []time.Duration
	for _, one := range all {
		samples = append(samples, one...)
	}
	if least := len(names) * int(d/time.Second) * framesPerSecond * 9 / 10; len(samples) < least {
		close(ended)
		return nil, fmt.Errorf("only %d frames arrived, want %d: %w", len(samples), least, <-ended)
	}
	return samples, nil
}

// film sends a frame every 40 ms, with the time since start in its first bytes. Cameras begin one after the other, so
// that their sync samples do not all come at once.
func film(ctx context.Context, s side, name string, frames [][]byte, start time.Time, phase, d time.Duration) error {
	send, end, err := s.camera(ctx, name)
	if err != nil {
		return err
	}
	defer end()
	buf := make([]byte, 0, len(frames[0]))
	offset := int(phase*framesPerFragment/(frameMillis*time.Millisecond)) % framesPerFragment
	for n := 0; ; n++ {
		due := start.Add(phase + time.Duration(n)*frameMillis*time.Millisecond)
		if due.Sub(start) > d {
			return nil
		}
		time.Sleep(time.Until(due))
		i := (n + offset) % framesPerFragment
		if offset > 0 && n < framesPerFragment-offset {
			continue // until its first fragment begins
		}
		buf = append(buf[:0], frames[i]...)
		binary.BigEndian.PutUint64(buf, uint64(time.Since(start)))
		if err := send(i, buf); err != nil {
			return err
		}
	}
}
