// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"time"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/media/mkv"
	"github.com/obscura-video/obscura/internal/sigv4"
)

const (
	framesPerSecond   = 25
	framesPerFragment = 2 * framesPerSecond
	frameMillis       = 1000 / framesPerSecond
	fragmentMillis    = framesPerFragment * frameMillis
)

// footage is one fragment's frames of random bytes, mean bytes each: a sync sample that is eight times as large as the
// others, and those between two thirds and four thirds of their mean, as an encoder at a fixed rate makes them.
func footage(mean int) [][]byte {
	const sync = 8
	rest := mean * framesPerFragment / (framesPerFragment - 1 + sync)
	frames := make([][]byte, framesPerFragment)
	for i := range frames {
		n := rest * (2 + i*7%3) / 3
		if i == 0 {
			n = rest * sync
		}
		frames[i] = make([]byte, n)
		rand.Read(frames[i]) // never fails
	}
	return frames
}

// camera is one PutMedia on a connection of its own.
type camera struct {
	conn *tls.Conn
	acks *mediaapi.AckReader
	end  func()
	buf  []byte
	at   uint64 // timecode of the next fragment
}

// openCamera connects and sends all that comes before the first fragment. It returns when the server has accepted.
func (t *target) openCamera(stream string) (*camera, error) {
	host, err := hostOf(t.at.Media)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, t.at.Media+mediaapi.PutMediaPath, nil)
	if err != nil {
		return nil, err
	}
	in := mediaapi.PutMediaInput{StreamName: &stream, TimecodeType: mediaapi.FragmentTimecodeTypeAbsolute, AckRequired: true}
	in.SetHeader(req.Header)
	sigv4.Sign(req, sigv4.EmptyHash, t.creds, t.at.Region, "kinesisvideo", time.Now())
	conn, err := tls.Dial("tcp", host, &tls.Config{RootCAs: t.roots, NextProtos: []string{"http/1.1"}})
	if err != nil {
		return nil, err
	}
	c := &camera{conn: conn, at: uint64(time.Now().UnixMilli())}
	c.buf = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n", mediaapi.PutMediaPath, host)
	for name, values := range req.Header {
		c.buf = fmt.Appendf(c.buf, "%s: %s\r\n", name, values[0])
	}
	c.buf = append(c.buf, "\r\n"...)
	header := mkv.AppendHeader(nil, mkv.Info{MuxingApp: "bench", WritingApp: "bench"}, []mkv.Track{{
		Number: 1, Type: mkv.TrackVideo, CodecID: "V_MPEG4/ISO/AVC", Width: 1920, Height: 1080,
		CodecPrivate: []byte{1, 0x64, 0, 0x28, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x28, 1, 0, 2, 0x68, 0xee},
	}})
	c.buf = appendChunk(c.buf, header)
	if _, err := conn.Write(c.buf); err != nil {
		conn.Close()
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		conn.Close()
		return nil, fmt.Errorf("put media: %s", resp.Status)
	}
	c.acks, c.end = mediaapi.NewAckReader(resp.Body), func() { resp.Body.Close() }
	return c, nil
}

func appendChunk(dst, data []byte) []byte {
	dst = append(strconv.AppendInt(dst, int64(len(data)), 16), "\r\n"...)
	return append(append(dst, data...), "\r\n"...)
}

// block is frame i of a fragment as it is sent, in a chunk of its own.
func block(dst []byte, i int, payload []byte) []byte {
	head := mkv.AppendSimpleBlockHeader(nil, 1, int16(i*frameMillis), i == 0, len(payload))
	dst = append(strconv.AppendInt(dst, int64(len(head)+len(payload)), 16), "\r\n"...)
	return append(append(append(dst, head...), payload...), "\r\n"...)
}

// startFragment sends the start of a cluster.
func (c *camera) startFragment() error {
	c.buf = appendChunk(c.buf[:0], mkv.AppendClusterStart(nil, c.at))
	c.at += fragmentMillis
	_, err := c.conn.Write(c.buf)
	return err
}

// finish ends the body.
func (c *camera) finish() error {
	_, err := c.conn.Write([]byte("0\r\n\r\n"))
	return err
}

func (c *camera) close() {
	c.conn.Close()
	c.end()
}

// awaitPersisted reads acknowledgements until n fragments are durable.
func (c *camera) awaitPersisted(n func() int) error {
	for done := 0; ; {
		a, err := c.acks.Next()
		if err != nil {
			if done > 0 && done == n() {
				return nil
			}
			return fmt.Errorf("acknowledgement after %d fragments: %w", done, err)
		}
		switch a.EventType {
		case mediaapi.AckPersisted:
			done++
		case mediaapi.AckError:
			return fmt.Errorf("fragment refused: %s", a.ErrorCode)
		}
	}
}

// drain throws acknowledgements away until the connection ends.
func (c *camera) drain() {
	for {
		if _, err := c.acks.Next(); err != nil {
			return
		}
	}
}

// side is how a camera's frames get to its viewer: through the server, or through the bare relay.
type side interface {
	// camera returns what sends frame i of a fragment, and what ends the camera.
	camera(ctx context.Context, name string) (send func(i int, payload []byte) error, end func(), err error)
	// viewer calls got for each frame until the context or the connection ends.
	viewer(ctx context.Context, name string, got func(payload []byte)) error
}

// throughServer is the measured side.
type throughServer struct {
	t *target
	h *http.Client
}

func (s throughServer) camera(_ context.Context, name string) (func(int, []byte) error, func(), error) {
	c, err := s.t.openCamera(name)
	if err != nil {
		return nil, nil, err
	}
	go c.drain()
	return func(i int, payload []byte) error {
		c.buf = c.buf[:0]
		if i == 0 {
			c.buf = appendChunk(c.buf, mkv.AppendClusterStart(nil, c.at))
			c.at += fragmentMillis
		}
		c.buf = block(c.buf, i, payload)
		_, err := c.conn.Write(c.buf)
		return err
	}, c.close, nil
}

func (s throughServer) viewer(ctx context.Context, name string, got func([]byte)) error {
	_, body, err := mediaapi.NewClient(s.t.client("kinesisvideo", s.t.at.Media, s.h)).GetMedia(ctx, &mediaapi.GetMediaInput{
		StreamName: &name, StartSelector: &mediaapi.StartSelector{StartSelectorType: new(mediaapi.StartSelectorTypeNow)},
	})
	if err != nil {
		return err
	}
	defer body.Close()
	for r := mkv.NewReader(body, mkv.Options{Concatenated: true}); ; {
		ev, err := r.Next()
		if err != nil {
			return err
		}
		if b, ok := ev.(*mkv.Block); ok {
			got(b.Payload)
		}
	}
}

// throughRelay is the ceiling's side.
type throughRelay struct{ c *control }

func (s throughRelay) dial(role byte, name string) (*tls.Conn, error) {
	conn, err := tls.Dial("tcp", s.c.Relay, &tls.Config{RootCAs: s.c.roots})
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(appendFrame(nil, append([]byte{role}, name...))); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (s throughRelay) camera(_ context.Context, name string) (func(int, []byte) error, func(), error) {
	conn, err := s.dial('P', name)
	if err != nil {
		return nil, nil, err
	}
	var buf []byte
	return func(_ int, payload []byte) error {
		buf = appendFrame(buf[:0], payload)
		_, err := conn.Write(buf)
		return err
	}, func() { conn.Close() }, nil
}

func (s throughRelay) viewer(ctx context.Context, name string, got func([]byte)) error {
	conn, err := s.dial('V', name)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := bufio.NewReaderSize(conn, 64<<10)
	for frame := []byte(nil); ; {
		if frame, err = readFrame(in, frame); err != nil {
			return err
		}
		got(frame)
	}
}

func appendFrame(dst, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(payload))), payload...)
}
