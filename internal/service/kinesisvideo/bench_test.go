// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"strings"
	"testing"
	"time"
)

// A fragment of two seconds at 25 frames of 10 kB, with one live viewer.
func BenchmarkFragment(b *testing.B) {
	for _, viewers := range []int{0, 1} {
		b.Run(map[int]string{0: "alone", 1: "watched"}[viewers], func(b *testing.B) {
			w := newWorld(b)
			w.create("s", 1)
			blocks := strings.Split(strings.Repeat(strings.Repeat("x", 10_000)+" ", 50), " ")[:50]
			b.SetBytes(int64(len(cluster(0, blocks...))))
			b.ReportAllocs()
			p := w.put("s").send(header())
			for range viewers {
				out, err := w.GetMedia(w.as(viewer), getInput())
				if err != nil {
					b.Fatal(err)
				}
				go func() { _ = out.Payload(discard{}) }()
			}
			for i := 0; b.Loop(); i++ {
				p.send(cluster(uint64(1000+2000*i), blocks...))
			}
			if err := p.end(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// discard is a StreamWriter that keeps nothing.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Flush() error                { return nil }

func (discard) SetWriteDeadline(time.Time) error { return nil }
