// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"errors"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/media/mkv"
)

func TestAbandonedClusterIsFilledUp(t *testing.T) {
	for _, rest := range []int64{0, 2, 3, 8, 9, 10, 136, 137, 5000} {
		for _, element := range []int64{0, 1, 7} {
			var s sink
			c := chunkWriter{w: &s}
			size := rest + element
			block := mkv.AppendSimpleBlock(nil, 1, 0, true, []byte("a"))
			void := []byte{0xEC, 0x80 | byte(element+3), 1, 2, 3}[:5]
			body := append(append([]byte{}, block...), void...)
			whole := mkv.AppendCluster(nil, 5, append(body, make([]byte, size)...))
			start := whole[:len(whole)-len(body)-int(size)]
			steps := []error{
				c.begin(fragmentMeta{}, header()[len(mkv.AppendPreamble(nil)):]),
				c.frame(frameAttrs{kind: frameCluster, rest: int64(len(body)) + size}, start),
				c.frame(frameAttrs{kind: frameBlock}, block),
				c.frame(frameAttrs{kind: frameElement, rest: element}, void),
				c.abandon(),
				c.begin(fragmentMeta{}, header()[len(mkv.AppendPreamble(nil)):]),
				c.end(mkv.Tag{Name: tagContinuationToken, Value: "1"}),
			}
			if err := errors.Join(steps...); err != nil {
				t.Fatal(err)
			}
			if media := parseMedia(t, s.bytes()); len(media) != 2 || len(media[0].blocks) != 1 || media[0].complete {
				t.Errorf("rest %d, element %d: %+v", rest, element, media)
			}
		}
	}
	c := chunkWriter{w: &sink{}, cluster: 1}
	if err := c.abandon(); !errors.Is(err, errChunk) {
		t.Errorf("one byte cannot be filled: %v", err)
	}
}

func TestSecondsHaveThreeDecimals(t *testing.T) {
	for millis, want := range map[int64]string{0: "0.000", 1: "0.001", 1_511_852_109_126: "1511852109.126", 1000: "1.000", 1099: "1.099"} {
		if got := seconds(millis); got != want {
			t.Errorf("%d: %s, want %s", millis, got, want)
		}
	}
}

// counters is a Metrics that adds up.
type counters map[string]float64

func (c counters) Add(name, _ string, n float64)            { c[name] += n }
func (c counters) Observe(name, _ string, _ time.Duration)  { c[name]++ }
func (c counters) Level(name, stream string, delta float64) { c[name] += delta }
func (c counters) want(t *testing.T, want map[string]float64) {
	t.Helper()
	for name, n := range want {
		if c[name] != n {
			t.Errorf("%s is %v, want %v", name, c[name], n)
		}
	}
}

func TestMetricsHaveCloudWatchsNames(t *testing.T) {
	w := newWorld(t)
	c := counters{}
	w.metrics = metrics{c}
	w.create("s", 1)
	first := cluster(1000, "a", "b")
	w.putAll("s", header(), first, cluster(2000, "c"), cluster(1, "d"))
	c.want(t, map[string]float64{
		"PutMedia.Requests": 1, "PutMedia.ActiveConnections": 0, "PutMedia.IncomingFragments": 2, "PutMedia.IncomingFrames": 3,
		"PutMedia.IncomingBytes": float64(len(first) + len(cluster(2000, "c"))), "PutMedia.Success": 2, "PutMedia.ErrorAckCount": 1, "PutMedia.ConnectionErrors": 1,
		"PutMedia.BufferingAckLatency": 2, "PutMedia.ReceivedAckLatency": 2, "PutMedia.PersistedAckLatency": 2,
		"PutMedia.FragmentIngestionLatency": 2, "PutMedia.FragmentPersistLatency": 2, "PutMedia.Latency": 1,
	})
	w.readAll("s")
	c.want(t, map[string]float64{
		"ListFragments.Latency": 1, "GetMediaForFragmentList.Requests": 1, "GetMediaForFragmentList.OutgoingFragments": 2,
		"GetMediaForFragmentList.OutgoingFrames": 3, "GetMediaForFragmentList.Success": 2,
	})
	if c["GetMediaForFragmentList.OutgoingBytes"] == 0 {
		t.Error("no bytes were counted")
	}
}
