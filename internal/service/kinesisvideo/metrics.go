// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import "time"

// Metrics takes measurements under CloudWatch's names ("PutMedia.IncomingBytes"), or under ones of
// our own that begin with "Obscura.", for one stream each. Implementations are safe for concurrent use and do not block.
//
// Source: Kinesis Video Streams developer guide, "Monitoring with CloudWatch".
type Metrics interface {
	// Add counts: requests, bytes, fragments, frames, errors, and Success, which is
	// added 1 or 0 for each fragment or call.
	Add(name, stream string, n float64)
	// Observe takes one value of a distribution: latencies, and MillisBehindNow.
	Observe(name, stream string, d time.Duration)
	// Level changes a level by delta: PutMedia.ActiveConnections.
	Level(name, stream string, delta float64)
}

// metrics is a Metrics that may be absent.
type metrics struct{ to Metrics }

func (m metrics) Add(name, stream string, n float64) {
	if m.to != nil {
		m.to.Add(name, stream, n)
	}
}

func (m metrics) Observe(name, stream string, d time.Duration) {
	if m.to != nil {
		m.to.Observe(name, stream, d)
	}
}

func (m metrics) Level(name, stream string, delta float64) {
	if m.to != nil {
		m.to.Level(name, stream, delta)
	}
}

// success counts the outcome of one call or fragment.
func (m metrics) success(operation, stream string, err error) {
	ok := 1.0
	if err != nil {
		ok = 0
	}
	m.Add(operation+".Success", stream, ok)
}
