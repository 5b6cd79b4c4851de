// SPDX-License-Identifier: Apache-2.0

package power_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/blob/disk"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/meta/pebble"
	"github.com/obscura-video/obscura/internal/meta/sealed"
)

// Benchmarks on the real disk, over the stores as the server puts them together, beside the
// bare loop of write and fdatasync that they are to be compared with.

func benchJournal(b *testing.B) *journal.Journal {
	b.Helper()
	ctx := context.Background()
	dir := b.TempDir()
	db, err := pebble.Open(dir+"/meta", pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	sdb, err := sealed.Create(ctx, db, nil, key(1))
	if err != nil {
		b.Fatal(err)
	}
	bs, err := disk.Open(dir+"/blob", disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	j, err := journal.Open(ctx, sdb, bs, journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		j.Close(ctx)
		bs.Close()
		sdb.Close()
	})
	return j
}

// spread runs do b.N times on n goroutines and reports operations per second and the
// median and 99th percentile of their duration.
func spread(b *testing.B, n int, do func(worker int)) {
	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, n)
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				start := time.Now()
				do(w)
				took[w] = append(took[w], time.Since(start))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkBareWriteAndSync(b *testing.B) {
	for _, size := range []int{1 << 10, 500_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f, err := vfs.Default.OpenReadWrite(b.TempDir()+"/f", vfs.WriteCategoryUnspecified)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			p := make([]byte, size)
			off := int64(0)
			b.SetBytes(int64(size))
			spread(b, 1, func(int) {
				if off%(8<<20) < int64(size) {
					_ = f.Preallocate(off, 16<<20)
				}
				if _, err := f.WriteAt(p, off); err != nil {
					b.Fatal(err)
				}
				off += int64(size)
				if err := f.SyncData(); err != nil {
					b.Fatal(err)
				}
				off %= 1 << 30
			})
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 10} {
		for _, writers := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("%d/writers=%d", size, writers), func(b *testing.B) {
				j := benchJournal(b)
				ws := owners(b, j, writers)
				record := journal.Record{Payload: make([]byte, size)}
				o := journal.AppendOptions{Class: blob.Day, Sealer: dataKey()}
				b.SetBytes(int64(size))
				spread(b, writers, func(w int) {
					if _, err := ws[w].Append(context.Background(), o, record); err != nil {
						b.Error(err)
					}
				})
			})
		}
	}
}

// BenchmarkFragment writes fragments of 25 frames of 20 kB.
func BenchmarkFragment(b *testing.B) {
	for _, writers := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			j := benchJournal(b)
			ws := owners(b, j, writers)
			frame := make([]byte, 20_000)
			o := journal.BeginOptions{Class: blob.Day, Sealer: dataKey()}
			b.SetBytes(25 * int64(len(frame)))
			b.ReportAllocs()
			spread(b, writers, func(w int) {
				f, err := ws[w].Begin(context.Background(), o)
				if err != nil {
					b.Error(err)
					return
				}
				for range 25 {
					if err := f.Write(context.Background(), frame, nil); err != nil {
						b.Error(err)
					}
				}
				if err := f.Commit(context.Background(), journal.CommitOptions{}); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

func BenchmarkReadFragment(b *testing.B) {
	j := benchJournal(b)
	w := owners(b, j, 1)[0]
	f, err := w.Begin(context.Background(), journal.BeginOptions{Class: blob.Day, Sealer: dataKey()})
	if err != nil {
		b.Fatal(err)
	}
	for range 25 {
		if err := f.Write(context.Background(), make([]byte, 20_000), nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Commit(context.Background(), journal.CommitOptions{}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(500_000)
	b.ReportAllocs()
	for b.Loop() {
		d, err := j.Stat(context.Background(), w.Stream(), f.Seq())
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range j.Frames(context.Background(), d, dataKey()) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func owners(b *testing.B, j *journal.Journal, n int) (ws []*journal.Writer) {
	b.Helper()
	for i := range n {
		w, err := j.Own(context.Background(), fmt.Sprintf("stream-%d", i))
		if err != nil {
			b.Fatal(err)
		}
		ws = append(ws, w)
	}
	return ws
}
