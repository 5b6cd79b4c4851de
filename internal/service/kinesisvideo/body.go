// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"errors"
	"io"
	"time"
)

// body reads the body of a PutMedia so that the wait for it can be ended: by its context, and by
// silence. A goroutine of its own does the reading; it ends with the body, or after the context has
// ended as soon as the read that it is in returns, which the server sees to when PutMedia has returned.
type body struct {
	ctx    context.Context
	idle   func() error // called whenever nothing came for idleAfter
	pieces chan piece
	free   chan []byte
	rest   []byte // of the last piece
	buf    []byte // that rest lies in
	err    error  // of the source; it stays
}

type piece struct {
	data, buf []byte
	err       error
}

// bodyBytes is the size of each of the two buffers.
const bodyBytes = 32 << 10

// newBody starts to read src. done is called when the reading has ended.
func newBody(ctx context.Context, src io.Reader, idle func() error, done func()) *body {
	b := &body{ctx: ctx, idle: idle, pieces: make(chan piece), free: make(chan []byte, 2)}
	for range cap(b.free) {
		b.free <- make([]byte, bodyBytes)
	}
	go func() {
		defer done()
		b.pump(src)
	}()
	return b
}

func (b *body) pump(src io.Reader) {
	for {
		var buf []byte
		select {
		case buf = <-b.free:
		case <-b.ctx.Done():
			return
		}
		n, err := src.Read(buf)
		select {
		case b.pieces <- piece{data: buf[:n], buf: buf, err: err}:
		case <-b.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader. Errors: the source's; the cause of the context; errIdle; idle's.
func (b *body) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	if b.rest = b.rest[n:]; len(b.rest) == 0 {
		b.recycle()
	}
	return n, nil
}

func (b *body) recycle() {
	if b.buf != nil {
		b.free <- b.buf
		b.buf = nil
	}
}

// next waits for a piece.
func (b *body) next() error {
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	timer := time.NewTimer(idleAfter)
	defer timer.Stop()
	for silent := time.Duration(0); ; {
		select {
		case p := <-b.pieces:
			b.rest, b.buf, b.err = p.data, p.buf, p.err
			if len(b.rest) == 0 {
				b.recycle()
			}
			return nil
		case <-b.ctx.Done():
			return context.Cause(b.ctx)
		case <-timer.C:
			if silent += idleAfter; silent >= idleClose {
				return errIdle
			}
			if err := b.idle(); err != nil {
				return err
			}
			timer.Reset(idleAfter)
		}
	}
}

// clean tells whether the producer ended the body, rather than the connection.
func (b *body) clean() bool { return errors.Is(b.err, io.EOF) }
