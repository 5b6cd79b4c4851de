// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// memoryRounds are fewer than of speed: a round is a server of its own.
	memoryRounds = 3
	// settle is how long a server is left alone before it is weighed.
	settle = 5 * time.Second
)

// memory weighs a server that does nothing, one with cameras that are connected and send nothing, and one with cameras
// that send; each is a new process.
func memory(o options, r *report) error {
	for _, n := range []int{0, 50, 100} {
		var start, idle, streaming []float64
		for range min(memoryRounds, o.rounds) {
			a, b, c, err := weigh(o, n)
			if err != nil {
				return err
			}
			start, idle, streaming = append(start, a), append(idle, b), append(streaming, c)
		}
		if n == 0 {
			r.add(result{Suite: "memory", Case: "after the start", Unit: "MiB resident", Server: start})
			continue
		}
		each := func(what string, with []float64) {
			more := make([]float64, len(with))
			for i := range with {
				more[i] = (with[i] - start[i]) / float64(n)
			}
			r.add(result{Suite: "memory", Case: fmt.Sprintf("%d cameras %s", n, what), Unit: "MiB resident", Server: with})
			r.add(result{Suite: "memory", Case: fmt.Sprintf("%d cameras %s, each", n, what), Unit: "MiB more", Server: more})
		}
		each("connected", idle)
		each("streaming", streaming)
	}
	return nil
}

// weigh returns the resident memory in MiB of one server: after its start, with cameras that send nothing, and at the
// most while they send.
func weigh(o options, n int) (start, idle, streaming float64, err error) {
	t, err := startTarget(o)
	if err != nil {
		return 0, 0, 0, err
	}
	defer t.stop() //nolint:errcheck // the next one has a directory of its own
	time.Sleep(settle)
	if start, _, err = t.memory(); err != nil || n == 0 {
		return start, 0, 0, err
	}
	streams, err := t.createStreams(n)
	if err != nil {
		return 0, 0, 0, err
	}
	cameras := make([]*camera, n)
	for i, name := range streams {
		if cameras[i], err = t.openCamera(name); err != nil {
			return 0, 0, 0, err
		}
		defer cameras[i].close()
	}
	time.Sleep(settle)
	if idle, _, err = t.memory(); err != nil {
		return 0, 0, 0, err
	}
	for _, c := range cameras {
		c.close()
	}
	streaming, err = t.weighStreaming(streams, 3*settle)
	return start, idle, streaming, err
}

// weighStreaming weighs once a second while cameras send, and returns the most.
func (t *target) weighStreaming(streams []string, d time.Duration) (most float64, err error) {
	frames, begun := footage(latencyFrame), time.Now()
	errs := make(chan error, len(streams))
	var cameras sync.WaitGroup
	for i, name := range streams {
		phase := time.Duration(i) * frameMillis * time.Millisecond / time.Duration(len(streams))
		cameras.Go(func() {
			if err := film(context.Background(), throughServer{t: t}, name, frames, begun, phase, d); err != nil {
				errs <- err
			}
		})
	}
	done := make(chan struct{})
	go func() {
		cameras.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			close(errs)
			return most, <-errs
		case <-time.After(time.Second):
		}
		now, _, err := t.memory()
		if err != nil {
			return 0, err
		}
		most = max(most, now)
	}
}
