// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// progress shows how a command goes on: on a terminal as one line that is redrawn, else as a line of key=value
// pairs every ten seconds.
type progress struct {
	t    *terminal
	text func() string // for a person
	pair func() string // for a log
	quit chan struct{}
	work sync.WaitGroup
}

func (t *terminal) startProgress(text, pair func() string) *progress {
	p := &progress{t: t, text: text, pair: pair, quit: make(chan struct{})}
	every := 10 * time.Second
	if t.live() {
		every = time.Second / 4
	}
	p.work.Go(func() { p.run(every) })
	return p
}

func (p *progress) run(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.show()
		case <-p.quit:
			return
		}
	}
}

func (p *progress) show() {
	if !p.t.live() {
		fmt.Fprintln(p.t.err, p.pair())
		return
	}
	line := []rune(p.text())
	if w := p.t.width() - 1; len(line) > w {
		line = line[:w]
	}
	fmt.Fprintf(p.t.err, "\r%s\x1b[K", string(line))
}

// stop shows the last state and ends the line.
func (p *progress) stop() {
	close(p.quit)
	p.work.Wait()
	p.show()
	if p.t.live() {
		fmt.Fprintln(p.t.err)
	}
}

// note prints a message above the progress line.
func (t *terminal) note(format string, args ...any) {
	if t.live() {
		fmt.Fprint(t.err, "\r\x1b[K")
	}
	fmt.Fprintf(t.err, format+"\n", args...)
}

// bitRate is a rate of bytes over a time, as people say it.
func bitRate(bytes int64, d time.Duration) string {
	bits := 8 * float64(bytes) / max(d.Seconds(), 1e-3)
	if bits < 1e6 {
		return fmt.Sprintf("%.0f kbit/s", bits/1e3)
	}
	return fmt.Sprintf("%.1f Mbit/s", bits/1e6)
}

// byteSize is a number of bytes, as people say it.
func byteSize(n int64) string {
	for i, unit := range strings.Fields("B KiB MiB GiB TiB") {
		if v := float64(n) / float64(int64(1)<<(10*i)); v < 1024 || unit == "TiB" {
			if i == 0 {
				return fmt.Sprintf("%d B", n)
			}
			return fmt.Sprintf("%.1f %s", v, unit)
		}
	}
	return ""
}

// window measures rates over the last seconds.
type window struct {
	at   [2]time.Time
	seen [2][2]int64 // bytes, frames
}

func newWindow(now time.Time) window { return window{at: [2]time.Time{now, now}} }

const windowLength = 2 * time.Second

// rates returns what came per second since about windowLength ago.
func (w *window) rates(now time.Time, bytes, frames int64) (rate string, fps float64) {
	if now.Sub(w.at[1]) >= windowLength {
		w.at[0], w.seen[0] = w.at[1], w.seen[1]
		w.at[1], w.seen[1] = now, [2]int64{bytes, frames}
	}
	d := now.Sub(w.at[0])
	return bitRate(bytes-w.seen[0][0], d), float64(frames-w.seen[0][1]) / max(d.Seconds(), 1e-3)
}
