// SPDX-License-Identifier: Apache-2.0

package server

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are the server's figures for Prometheus. Kinesis Video's have CloudWatch's names, in the spelling
// that CloudWatch exporters use: PutMedia.IncomingBytes is aws_kinesisvideo_put_media_incoming_bytes; those that
// CloudWatch does not have begin with obscura_. No
// label holds anything but names of streams, services, operations and error codes.
type metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	latency  *prometheus.HistogramVec

	mu     sync.Mutex // guards the maps; the metrics in them guard themselves
	counts map[string]*prometheus.CounterVec
	values map[string]*prometheus.HistogramVec
	levels map[string]*prometheus.GaugeVec
}

// seconds are the buckets of every latency: from a call that touches nothing to a slow disk.
func seconds() []float64 {
	return []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "obscura_api_calls_total", Help: "API calls by outcome; code is empty for success, CallerLeft when nobody waited for the answer any more.",
		}, []string{"service", "operation", "code"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "obscura_api_call_seconds", Help: "Time from the request's headers to the end of the answer.",
			Buckets: seconds(),
		}, []string{"service", "operation"}),
		counts: map[string]*prometheus.CounterVec{},
		values: map[string]*prometheus.HistogramVec{},
		levels: map[string]*prometheus.GaugeVec{},
	}
	m.registry.MustRegister(m.calls, m.latency,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// ObserveCall implements gateway.Observer.
func (m *metrics) ObserveCall(service, operation, code string, took time.Duration) {
	m.calls.WithLabelValues(service, operation, code).Inc()
	m.latency.WithLabelValues(service, operation).Observe(took.Seconds())
}

// Add implements kinesisvideo.Metrics.
func (m *metrics) Add(name, stream string, n float64) {
	metric(m, m.counts, name, func(prom string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prom + "_total", Help: help(name)}, []string{"stream_name"})
	}).WithLabelValues(stream).Add(n)
}

// Observe implements kinesisvideo.Metrics.
func (m *metrics) Observe(name, stream string, d time.Duration) {
	metric(m, m.values, name, func(prom string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prom + "_seconds", Help: help(name), Buckets: seconds(),
		}, []string{"stream_name"})
	}).WithLabelValues(stream).Observe(d.Seconds())
}

// Level implements kinesisvideo.Metrics.
func (m *metrics) Level(name, stream string, delta float64) {
	metric(m, m.levels, name, func(prom string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prom, Help: help(name)}, []string{"stream_name"})
	}).WithLabelValues(stream).Add(delta)
}

// watchMailbox shows how many calls wait for an object of a mailbox.
func (m *metrics) watchMailbox(waiting func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "obscura_mailbox_waiting_calls", Help: "Calls that wait for an object of a mailbox.",
	}, func() float64 { return float64(waiting()) }))
}

// metric finds the metric of a CloudWatch name, or makes and registers it.
func metric[V prometheus.Collector](m *metrics, of map[string]V, name string, create func(prom string) V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := of[name]
	if !ok {
		v = create(metricName(name))
		m.registry.MustRegister(v)
		of[name] = v
	}
	return v
}

// ownMetric begins the names of what CloudWatch does not count.
const ownMetric = "Obscura."

// metricName is Prometheus's name for a metric.
func metricName(name string) string {
	if own, ok := strings.CutPrefix(name, ownMetric); ok {
		return "obscura_video_" + snake(own)
	}
	return "aws_kinesisvideo_" + snake(name)
}

func help(name string) string {
	switch name {
	case "Obscura.SealedFragments":
		return "Fragments taken in that are end-to-end encrypted."
	case "Obscura.UnsealedFragmentsRefused":
		return "Fragments refused because their stream takes end-to-end encrypted ones alone."
	}
	return "CloudWatch's AWS/KinesisVideo " + name + "."
}

// snake spells PutMedia.IncomingBytes as put_media_incoming_bytes, and GetHLSMasterPlaylist.Latency as
// get_hls_master_playlist_latency.
func snake(name string) string {
	var b strings.Builder
	upper := func(i int) bool { return i >= 0 && i < len(name) && name[i] >= 'A' && name[i] <= 'Z' }
	lower := func(i int) bool { return i >= 0 && i < len(name) && name[i] >= 'a' && name[i] <= 'z' }
	for i := range len(name) {
		switch {
		case name[i] == '.':
			b.WriteByte('_')
			continue
		case upper(i) && (lower(i-1) || upper(i-1) && lower(i+1)):
			b.WriteByte('_')
		}
		b.WriteByte(name[i])
	}
	return strings.ToLower(b.String())
}
