// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// Producer sends media to one stream. Its methods may be called concurrently, though frames are sent in the order
// in which Put took them.
type Producer struct {
	opt     Options
	timing  timing
	header  []byte // of all tracks
	cutter  cutter
	control *control

	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex // guards what follows
	changed chan struct{}
	buffer  *buffer
	sealing *sealing // nil when nothing is sealed
	lastPut time.Time
	latest  time.Time // the frame that was put last
	tags    []record  // for the next fragment
	closing bool
	fatal   error
	stats   Stats
}

// timing are the times that tests shorten.
type timing struct {
	minBackoff, maxBackoff time.Duration
	accept                 time.Duration // how long a new connection may take to answer before it is used nevertheless
	idleFragment           time.Duration // after which a fragment that gets no frames is completed
	idleSession            time.Duration // after which a connection without frames is ended
	staleBuffering         time.Duration // without BUFFERING for what was sent
	stalePersisted         time.Duration // without PERSISTED for a fragment that was sent
	maxSession             time.Duration // the service closes at 45 minutes
	drain                  time.Duration // how long the last acknowledgements of a connection may take
	call                   time.Duration // of one request that is no media
}

func defaultTiming() timing {
	return timing{
		minBackoff: 200 * time.Millisecond, maxBackoff: 30 * time.Second, accept: 3 * time.Second,
		idleFragment: 10 * time.Second, idleSession: 20 * time.Second,
		staleBuffering: 15 * time.Second, stalePersisted: 60 * time.Second,
		maxSession: 40 * time.Minute, drain: 30 * time.Second, call: 20 * time.Second,
	}
}

// Stats tell what became of the frames.
type Stats struct {
	Frames, Bytes int64 // put so far; bytes of their data

	BufferedFragments int
	BufferedBytes     int64 // as they lie in the buffer

	Persisted int64     // fragments
	Lost      int64     // fragments refused for good, or given up because the buffer was full
	Found     int64     // of Persisted, those whose acknowledgement was lost and that were looked up
	Acked     time.Time // presentation time of the last frame that is durable; zero before the first

	Connected   bool
	Connections int64 // made so far
	LastError   error // of the last connection that broke; nil when the one before ended well
}

// Open opens the stream's buffer and begins to send what is in it. It does not wait for the service.
//
// Errors: ErrOptions; ErrBufferInUse; ErrBufferKey; ErrBufferPlain; those of Seal; the operating system's.
func Open(o Options) (*Producer, error) { return open(o, defaultTiming()) }

func open(o Options, t timing) (*Producer, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	o.Tracks = append([]Track(nil), o.Tracks...)
	var s *sealing
	if o.Seal != nil {
		if s, o.Tracks, err = newSealing(&o); err != nil {
			return nil, err
		}
	}
	for i := range o.Tracks {
		if o.Tracks[i].UID == 0 {
			o.Tracks[i].UID = o.Tracks[i].Number
		}
	}
	p := &Producer{
		opt: o, timing: t, header: matroskaHeader(o.Tracks), cutter: newCutter(o.Tracks, o.FragmentDuration),
		changed: make(chan struct{}), sealing: s,
	}
	p.buffer, err = openBuffer(&o, s, func(n uint64, err error) {
		o.Log.Warn("buffered fragment cannot be read and is lost", "fragment", n, "error", err)
		p.stats.Lost++
	})
	if err != nil {
		return nil, err
	}
	p.control = newControl(&p.opt, t.call)
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.work.Go(func() { p.run(ctx) })
	return p, nil
}

// Put takes a frame. Frames come in decode order, tracks interleaved roughly by time. It returns when the frame is
// in the buffer; with Options.BlockWhenFull it may wait for room until ctx ends.
//
// Errors: ErrClosed; ErrTooLarge; ErrOptions for a track that was not declared; the buffer's; and the error for
// which the Producer has stopped sending. From a Producer that seals, where a frame begins a fragment, also
// e2ee.ErrNoRecipients and e2ee.ErrProducer: nobody may open it, or this producer is not in the roster any more. Then
// the frame was not taken, what was put before is not affected, and the next Put tries again. After an error of the
// buffer such a Producer may still send the frame.
func (p *Producer) Put(ctx context.Context, f Frame) error {
	if len(f.Data) > maxFrameBytes {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(f.Data))
	}
	if !p.declared(f.Track) {
		return fmt.Errorf("%w: frame of track %d, which was not declared", ErrOptions, f.Track)
	}
	if p.opt.BlockWhenFull {
		room := func() bool { return p.usable() != nil || !p.buffer.full(len(f.Data)) }
		if err := p.await(ctx, 0, room); err != nil {
			return fmt.Errorf("producer: put: %w", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.signal()
	if err := p.usable(); err != nil {
		return err
	}
	return p.put(&f)
}

func (p *Producer) declared(track uint64) bool {
	for i := range p.opt.Tracks {
		if p.opt.Tracks[i].Number == track {
			return true
		}
	}
	return false
}

// put adds a frame to the open fragment, or to a new one.
func (p *Producer) put(f *Frame) error {
	b := p.buffer
	for b.full(len(f.Data)) {
		p.lose(b.fragments[0], "the buffer is full")
	}
	t := f.Time.Add(time.Millisecond / 2).UnixMilli()
	if b.open != nil && (p.cutter.cut(b.open, f, t) || p.sealing.ending()) {
		if err := p.complete(false); err != nil {
			return err
		}
	}
	if b.open == nil {
		if err := p.begin(f.Time, t); err != nil {
			return err
		}
	}
	if err := p.write(f, t); err != nil {
		return err
	}
	p.lastPut, p.latest = time.Now(), f.Time
	p.stats.Frames++
	p.stats.Bytes += int64(len(f.Data))
	return nil
}

// write adds a frame to the open fragment.
func (p *Producer) write(f *Frame, timecode int64) error {
	b := p.buffer
	if p.sealing != nil {
		return p.sealing.frame(b, f, timecode)
	}
	r := record{kind: recordFrame, track: f.Track, time: timecode, key: f.Key, data: f.Data}
	if err := b.write(b.open, &r); err != nil {
		return err
	}
	b.open.note(f.Track, timecode)
	return nil
}

// begin opens a fragment whose first frame is of that time.
func (p *Producer) begin(capture time.Time, timecode int64) error {
	if timecode < 1 {
		return fmt.Errorf("%w: frame before 1970", ErrOptions)
	}
	if p.sealing != nil {
		if err := p.sealing.begin(capture); err != nil {
			return err
		}
	}
	err := p.buffer.begin(p.opt.Tracks, p.header, timecode)
	if err == nil && p.sealing != nil {
		err = p.sealing.begun(p.buffer, p.buffer.open)
	}
	for i := 0; err == nil && i < len(p.tags); i++ {
		err = p.writeTag(&p.tags[i])
	}
	if err != nil {
		p.giveUpBegun()
		return err
	}
	p.tags = nil
	return nil
}

// giveUpBegun undoes the beginning of a fragment that the buffer has not taken.
func (p *Producer) giveUpBegun() {
	if p.buffer.open != nil {
		p.buffer.drop(p.buffer.open)
	}
	if p.sealing != nil {
		p.sealing.abandon()
	}
}

// complete ends the open fragment; in a Producer that seals perhaps with the session.
func (p *Producer) complete(session bool) error {
	if p.sealing != nil {
		if err := p.sealing.end(p.buffer, session); err != nil {
			return err
		}
		defer p.sealing.settle(p.buffer)
	}
	return p.buffer.finish(p.buffer.open)
}

// completeLast ends the open fragment for good. The last one of a sealed session says that none follows; when none is
// open it is one without frames. When that may not begin any more, who watches is told nothing.
func (p *Producer) completeLast() error {
	if s := p.sealing; s != nil && p.buffer.open == nil && s.last != (e2ee.Link{}) {
		at := p.latest.Add(max(time.Millisecond, time.Since(p.lastPut).Truncate(time.Millisecond)))
		if p.begin(at, at.UnixMilli()) != nil {
			return nil
		}
	}
	if p.buffer.open == nil {
		return nil
	}
	return p.complete(true)
}

// Stats returns the figures as of now.
func (p *Producer) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.BufferedFragments, s.BufferedBytes = len(p.buffer.fragments), p.buffer.bytes
	return s
}

// Close completes the last fragment, waits until the service has acknowledged all that is buffered, and ends the
// Producer with all its goroutines. It returns nil if everything that was put is PERSISTED (for a stream without
// retention: RECEIVED). When ctx ends before that, what is left stays in the buffer's folder.
//
// Errors: ErrClosed for the second call; *UnsentError, which wraps the context's or the service's.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	if p.closing {
		p.mu.Unlock()
		return ErrClosed
	}
	p.closing = true
	err := p.completeLast()
	p.signal()
	p.mu.Unlock()

	done := func() bool { return p.fatal != nil || len(p.buffer.fragments) == 0 }
	waited := p.await(ctx, 0, done)
	p.stop()
	p.work.Wait()
	p.control.close()

	p.mu.Lock()
	defer p.mu.Unlock()
	unsent := &UnsentError{Fragments: len(p.buffer.fragments), Bytes: p.buffer.bytes, Lost: p.stats.Lost}
	if closed := p.buffer.close(); err == nil {
		err = closed
	}
	if unsent.Fragments == 0 && unsent.Lost == 0 {
		return err
	}
	for _, cause := range []error{p.fatal, p.stats.LastError, waited, err} {
		if unsent.Err == nil {
			unsent.Err = cause
		}
	}
	return unsent
}

// usable returns why nothing more can be put. It needs the lock.
func (p *Producer) usable() error {
	if p.closing {
		return ErrClosed
	}
	return p.fatal
}

// signal wakes those who await. It needs the lock.
func (p *Producer) signal() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// completeIdle completes a fragment that has not got a frame for long, so that what is in it becomes durable.
func (p *Producer) completeIdle() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.buffer.open == nil || time.Since(p.lastPut) < p.timing.idleFragment {
		return nil
	}
	defer p.signal()
	return p.complete(false)
}

// errIdle says that nothing happened for the time that await was given.
var errIdle = fmt.Errorf("producer: idle")

// await returns when ready, which is called with the lock held, says so. Errors: the context's cause; errIdle after
// most, unless that is 0.
func (p *Producer) await(ctx context.Context, most time.Duration, ready func() bool) error {
	var expired <-chan time.Time
	for {
		p.mu.Lock()
		ok, changed := ready(), p.changed
		p.mu.Unlock()
		if ok {
			return nil
		}
		if expired == nil && most > 0 {
			timer := time.NewTimer(most)
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-changed:
		case <-expired:
			return errIdle
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// persisted removes a fragment that is durable. It needs the lock.
func (p *Producer) persisted(f *fragment, number string) {
	if f.gone {
		return
	}
	first, last := f.bounds()
	p.stats.Persisted++
	if number == "" {
		p.stats.Found++
	}
	p.stats.Acked = time.UnixMilli(last)
	p.buffer.drop(f)
	if p.opt.OnPersisted != nil {
		p.opt.OnPersisted(Persisted{
			FragmentNumber: number, Start: time.UnixMilli(first), End: time.UnixMilli(last), Bytes: f.size,
		})
	}
	p.signal()
}

// lose gives a fragment up. It needs the lock.
func (p *Producer) lose(f *fragment, why string) {
	p.stats.Lost++
	p.opt.Log.Warn("fragment is lost", "stream", p.opt.StreamName, "start", time.UnixMilli(f.timecode).UTC(), "why", why)
	p.buffer.drop(f)
	p.signal()
}
