// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"
)

// run sends what is in the buffer, over one connection after the other, until ctx ends or nothing is left after
// Close.
func (p *Producer) run(ctx context.Context) {
	acknowledged := false // anything, ever
	for delay := p.timing.minBackoff; ; {
		progress, err := p.stream(ctx)
		acknowledged = acknowledged || progress
		switch {
		case ctx.Err() != nil, p.drained():
			return
		case err == nil:
			delay = p.timing.minBackoff
			p.note(nil)
			continue
		case p.note(err), !acknowledged && permanent(err):
			p.mu.Lock()
			p.fail(err)
			p.mu.Unlock()
			return
		}
		p.control.forget()
		if progress {
			delay = p.timing.minBackoff
		}
		p.opt.Log.Warn("connection is over; trying again", "stream", p.opt.StreamName, "in", delay, "error", err)
		if sleep(ctx, delay-jitter(delay/2)) != nil {
			return
		}
		delay = min(2*delay, p.timing.maxBackoff)
	}
}

// drained tells whether Close waits for nothing any more.
func (p *Producer) drained() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closing && len(p.buffer.fragments) == 0
}

// note keeps what ended a connection, and tells whether the Producer has been stopped.
func (p *Producer) note(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.LastError = err
	return p.fatal != nil
}

// fail stops the Producer for good. It needs the lock.
func (p *Producer) fail(err error) {
	if p.fatal == nil {
		p.fatal = err
	}
	p.signal()
}

// stream makes one connection as soon as there is something to send, and uses it. progress says that fragments
// became durable.
func (p *Producer) stream(ctx context.Context) (progress bool, err error) {
	tracks, err := p.awaitMedia(ctx)
	if err != nil || tracks == nil {
		return false, err
	}
	if err := p.control.prepare(ctx); err != nil {
		return false, err
	}
	s, err := p.dial(ctx, tracks)
	if err != nil {
		return false, err
	}
	// The new connection has ended the old one, so what is not persisted now will not become so.
	if err = p.resolve(s.ctx); err == nil {
		err = s.run()
	}
	if errors.Is(err, errEnded) && s.idle() {
		err = nil
	}
	err = s.close(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.persisted > 0, err
}

// awaitMedia waits for something to send and returns its tracks; none when there will be nothing more.
func (p *Producer) awaitMedia(ctx context.Context) (tracks []Track, err error) {
	for {
		err := p.await(ctx, p.timing.idleFragment, func() bool {
			f := p.buffer.after(0)
			if f == nil || !f.ready() {
				return f == nil && p.closing
			}
			tracks = f.present()
			return true
		})
		if errors.Is(err, errIdle) {
			err = p.completeIdle()
		} else if err == nil {
			return tracks, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// resolve finds out which fragments of earlier connections are durable although their acknowledgement was lost.
func (p *Producer) resolve(ctx context.Context) error {
	first, last, any := p.doubtful()
	if !any {
		return nil
	}
	found, ok, err := p.control.lookUp(ctx, first, last)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range append([]*fragment(nil), p.buffer.fragments...) {
		if !f.doubt || f.timecode < first || f.timecode > last {
			continue
		}
		f.doubt = false
		if ok && found[f.timecode] {
			p.persisted(f, "")
		}
	}
	return nil
}

// doubtful returns the range of timecodes of the fragments that may be durable.
func (p *Producer) doubtful() (first, last int64, any bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.buffer.fragments {
		if !f.doubt {
			continue
		}
		if !any || f.timecode < first {
			first = f.timecode
		}
		last, any = max(last, f.timecode), true
	}
	return first, last, any
}

// jitter returns a random duration from 0 to d, so that many producers do not come back at once.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	var b [8]byte
	rand.Read(b[:]) // never fails
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(d))
}
