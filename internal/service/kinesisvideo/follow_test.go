// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowSink waits a little now and then.
type slowSink struct {
	sink
	wait time.Duration
	n    int
}

func (s *slowSink) Write(p []byte) (int, error) {
	if s.n++; s.n%16 == 0 {
		time.Sleep(s.wait)
	}
	return s.sink.Write(p)
}

// Several consumers, fast and slow, join while one producer after the other writes, some of which
// break off, and a small ring makes them lose track.
func TestConsumersSeeEveryFragmentOnceWhileProducersWrite(t *testing.T) {
	w := newWorld(t)
	w.close()
	w.options.RingEvents = 32
	w.open()
	w.MaxConsumers = 10
	w.create("s", 1)

	var wg sync.WaitGroup
	consumers := make([]*slowSink, 6)
	stop := make([]func() error, len(consumers))
	var mu sync.Mutex
	for i := range consumers {
		consumers[i] = &slowSink{wait: time.Duration(i) * 300 * time.Microsecond}
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 5 * time.Millisecond)
			out, err := w.GetMedia(w.as(viewer), getInput())
			if err != nil {
				t.Error(err)
				return
			}
			done := make(chan error, 1)
			go func() { done <- out.Payload(consumers[i]) }()
			mu.Lock()
			stop[i] = func() error { return <-done }
			mu.Unlock()
		})
	}
	var want []string
	timecode := uint64(1000)
	for session := range 12 {
		p := w.put("s").send(header())
		for range 8 {
			blocks := strings.Split(strings.Repeat(fmt.Sprint("block of ", timecode, ";"), 12), ";")
			p.send(cluster(timecode, blocks[:12]...))
			timecode += 1000
		}
		if session%3 == 0 {
			_ = p.drop()
		} else if err := p.end(); err != nil {
			t.Fatal(err)
		}
		want = append(want, p.acks.numbers("PERSISTED")...)
	}
	wg.Wait()
	whole := func(i int) bool {
		return strings.Count(string(consumers[i].bytes()), tagContinuationToken) >= len(want)
	}
	for i := range consumers {
		for deadline := time.Now().Add(10 * time.Second); !whole(i) && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
	}
	_ = w.Service.Close()
	for i := range consumers {
		if err := stop[i](); err != nil {
			t.Errorf("consumer %d: %v", i, err)
		}
		media := parseMedia(t, consumers[i].bytes())
		if got := numbersOf(media); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("consumer %d saw %d fragments, %d were persisted", i, len(got), len(want))
		}
		for _, f := range media {
			if f.complete && (len(f.blocks) != 12 || f.blocks[0] != f.blocks[11]) {
				t.Errorf("consumer %d: fragment %s has blocks %q", i, f.number, f.blocks)
			}
		}
	}
}
