// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// ingestFrame is the mean size of a frame, in bytes: 20 KB at 25 fps is a camera of 4 Mbit/s.
const ingestFrame = 20_000

// ingest measures how much media becomes durable each second, as a share of the sink's.
func ingest(o options, r *report) error {
	t, c, stop, err := startBoth(o)
	if err != nil {
		return err
	}
	defer stop()
	streams, err := t.createStreams(16)
	if err != nil {
		return err
	}
	frames := footage(ingestFrame)
	chunks, bare := make([][]byte, len(frames)), make([][]byte, len(frames))
	var size int64
	for i, f := range frames {
		chunks[i], bare[i] = block(nil, i, f), appendFrame(nil, f)
		size += int64(len(f))
	}
	for _, conns := range []int{1, 4, 16} {
		s, b, err := alternate(o.rounds,
			func() (float64, error) {
				return push(conns, o.round, size, func(i int) (sender, error) { return newServerSender(t, streams[i], chunks) })
			},
			func() (float64, error) {
				return push(conns, o.round, size, func(int) (sender, error) { return newSinkSender(c, bare) })
			})
		if err != nil {
			return err
		}
		r.add(result{Suite: "ingest", Case: fmt.Sprintf("PutMedia, %d connections", conns), Unit: "MB/s durable", Server: s, Ceiling: b})
	}
	return nil
}

// sender sends whole fragments as fast as they are taken.
type sender interface {
	fragment() error
	finish() error
	// acknowledged returns when as many fragments are durable as sent says once the sending has ended.
	acknowledged(sent func() int) error
	close()
}

// push sends on conns connections for a while, waits until all is durable, and returns MB/s. Connecting is not counted.
func push(conns int, d time.Duration, fragmentBytes int64, open func(i int) (sender, error)) (float64, error) {
	senders := make([]sender, conns)
	for i := range senders {
		s, err := open(i)
		if err != nil {
			return 0, err
		}
		defer s.close()
		senders[i] = s
	}
	var total atomic.Int64
	errs := make(chan error, 2*conns)
	var work sync.WaitGroup
	start := time.Now()
	for _, s := range senders {
		var sent atomic.Int64
		work.Go(func() {
			for time.Since(start) < d {
				if err := s.fragment(); err != nil {
					errs <- err
					return
				}
				sent.Add(1)
			}
			errs <- s.finish()
		})
		work.Go(func() {
			err := s.acknowledged(func() int { return int(sent.Load()) })
			total.Add(sent.Load())
			errs <- err
		})
	}
	work.Wait()
	took := time.Since(start)
	close(errs)
	for err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(total.Load()*fragmentBytes) / 1e6 / took.Seconds(), nil
}

// serverSender sends by PutMedia.
type serverSender struct {
	*camera
	chunks [][]byte
}

func newServerSender(t *target, stream string, chunks [][]byte) (sender, error) {
	c, err := t.openCamera(stream)
	return serverSender{c, chunks}, err
}

func (s serverSender) fragment() error {
	if err := s.startFragment(); err != nil {
		return err
	}
	for _, c := range s.chunks {
		if _, err := s.conn.Write(c); err != nil {
			return err
		}
	}
	return nil
}

func (s serverSender) acknowledged(sent func() int) error { return s.awaitPersisted(sent) }

// sinkSender sends to the ceiling.
type sinkSender struct {
	conn   *tls.Conn
	frames [][]byte
}

func newSinkSender(c *control, frames [][]byte) (sender, error) {
	conn, err := tls.Dial("tcp", c.Sink, &tls.Config{RootCAs: c.roots})
	return sinkSender{conn, frames}, err
}

func (s sinkSender) fragment() error {
	for _, f := range s.frames {
		if _, err := s.conn.Write(f); err != nil {
			return err
		}
	}
	_, err := s.conn.Write(binary.BigEndian.AppendUint32(nil, 0))
	return err
}

func (s sinkSender) finish() error { return s.conn.CloseWrite() }

func (s sinkSender) acknowledged(sent func() int) error {
	n, err := io.Copy(io.Discard, s.conn)
	if err == nil && int(n) != sent() {
		err = errors.New("sink: fewer acknowledgements than fragments")
	}
	return err
}

func (s sinkSender) close() { s.conn.Close() }
