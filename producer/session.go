// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/media/mkv"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// session is one PutMedia: a goroutine that sends, one that receives acknowledgements, and one that watches both.
type session struct {
	p        *Producer
	tracks   []Track // that its header declares
	retained bool
	until    time.Time // it begins no fragment after that

	ctx      context.Context
	cancel   context.CancelCauseFunc
	body     *io.PipeWriter
	work     sync.WaitGroup
	accepted chan struct{} // closed when the service has answered with 200
	received chan struct{} // closed when the response has ended

	// Guarded by Producer.mu.
	flight    []*sent
	persisted int

	// For the goroutine that sends.
	header   []byte // not sent yet
	begun    bool   // a fragment was sent
	timecode int64
	last     map[uint64]int64 // the latest time of each track
	buf      []byte
}

// sent is a fragment on its way.
type sent struct {
	f        *fragment
	begun    time.Time
	ended    time.Time // zero while it is being sent
	buffered bool      // the service has begun to take it in
	received bool
}

// Why a session is over.
var (
	errDropped    = errors.New("producer: fragment was given up while it was sent")
	errEnded      = errors.New("producer: service ended the connection")
	errStale      = errors.New("producer: service does not acknowledge; the connection is taken for dead")
	errUnanswered = errors.New("producer: connection ended before everything was acknowledged")
)

// dial opens a connection for fragments of tracks. It returns when the service has accepted it or, since some
// accept with the first byte of media only, after a while.
func (p *Producer) dial(ctx context.Context, tracks []Track) (*session, error) {
	creds, err := p.control.credentials(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{
		p: p, tracks: tracks, retained: p.control.retained, header: matroskaHeader(tracks), last: map[uint64]int64{},
		until: time.Now().Add(p.timing.maxSession - jitter(p.timing.maxSession/20)), accepted: make(chan struct{}), received: make(chan struct{}),
	}
	if early := creds.Expires.Add(-time.Minute); !creds.Expires.IsZero() && early.Before(s.until) {
		s.until = early
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	req, err := s.request(creds)
	if err != nil {
		s.cancel(nil)
		return nil, err
	}
	s.work.Go(func() { s.receive(req) })
	s.work.Go(s.watch)
	timer := time.NewTimer(p.timing.accept)
	defer timer.Stop()
	select {
	case <-s.accepted:
	case <-timer.C:
	case <-s.ctx.Done():
		return nil, s.close(context.Cause(s.ctx))
	}
	p.mu.Lock()
	p.stats.Connected = true
	p.stats.Connections++
	p.mu.Unlock()
	return s, nil
}

func (s *session) request(creds Credentials) (*http.Request, error) {
	endpoint, err := s.p.control.endpoint(s.ctx, "PUT_MEDIA")
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, endpoint+mediaapi.PutMediaPath, r)
	if err != nil {
		return nil, err
	}
	s.body = w
	in := mediaapi.PutMediaInput{
		StreamName: &s.p.opt.StreamName, TimecodeType: mediaapi.FragmentTimecodeTypeAbsolute,
		ProducerStartTimestamp: new(time.Now()), AckRequired: true,
	}
	in.SetHeader(req.Header)
	sign(req, sigv4.EmptyHash, creds, s.p.opt.Region)
	return req, nil
}

// close ends the session, whatever its state, and waits for its goroutines. It returns err, or what else has ended
// the session before.
func (s *session) close(err error) error {
	s.cancel(err)
	s.body.CloseWithError(errors.New("producer: connection is over"))
	s.work.Wait()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.stats.Connected = false
	if err == nil && len(s.flight) > 0 {
		err = errUnanswered
	}
	return err
}

// run sends fragments until there is a reason to end the session. Nil means that it ended well.
func (s *session) run() error {
	var after uint64
	for {
		f, err := s.next(after)
		if err != nil || f == nil {
			return errors.Join(err, s.finish(err))
		}
		if err := s.send(f); err != nil {
			return s.cause(err)
		}
		after = f.n
	}
}

// cause prefers the reason for which the session was ended to its consequences.
func (s *session) cause(err error) error {
	if c := context.Cause(s.ctx); c != nil {
		return c
	}
	return err
}

// next waits for the fragment to send after number after. It returns nil when there is to be a new session for it, or
// none.
func (s *session) next(after uint64) (*fragment, error) {
	var f *fragment
	p := s.p
	err := p.await(s.ctx, p.timing.idleSession, func() bool {
		f = p.buffer.after(after)
		return f != nil && f.ready() || f == nil && p.closing
	})
	if errors.Is(err, errIdle) {
		return nil, nil
	}
	if err != nil || f == nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !s.fits(f) {
		return nil, nil
	}
	return f, nil
}

// fits tells whether the fragment may follow on this connection. It needs the lock.
func (s *session) fits(f *fragment) bool {
	if time.Now().After(s.until) || !sameTracks(s.tracks, f.present()) {
		return false
	}
	if s.begun && f.timecode <= s.timecode {
		return false
	}
	for i := range f.spans {
		if last, ok := s.last[f.spans[i].track]; ok && f.spans[i].first <= last {
			return false
		}
	}
	return true
}

// send sends one fragment, its frames as they come.
func (s *session) send(f *fragment) error {
	p := s.p
	r, err := p.buffer.store.open(f.n)
	if err != nil {
		return fmt.Errorf("producer: buffer: %w", err)
	}
	defer r.Close()
	on := &sent{f: f, begun: time.Now()}
	p.mu.Lock()
	s.flight = append(s.flight, on)
	p.mu.Unlock()
	s.begun, s.timecode = true, f.timecode
	var tags []mkv.Tag
	for offset, index := f.body, uint32(1); ; index++ {
		if err := s.awaitRecord(f, index); err != nil {
			return err
		}
		rec, next, err := p.buffer.seal.read(r, offset, f.n, index)
		if err != nil {
			return s.unreadable(f, err)
		}
		offset = next
		if index == 1 {
			err = s.start(f, &rec)
		}
		switch {
		case err != nil || index == 1 && isMark(&rec):
		case rec.kind == recordFrame:
			err = s.frame(f, &rec)
		case rec.kind == recordTag:
			tags = append(tags, mkv.Tag{Name: rec.name, Value: string(rec.data)})
		case rec.kind == recordEnd:
			return s.end(on, tags)
		}
		if err != nil {
			return err
		}
	}
}

// start begins the cluster of a fragment whose first record is first. That it is sealed stands before the cluster, or a
// service that takes nothing else could not show it to live viewers as it comes; in the connection's first fragment that
// is part of the header.
func (s *session) start(f *fragment, first *record) error {
	s.buf = append(s.buf[:0], s.header...)
	s.header = nil
	if isMark(first) {
		s.buf = mkv.AppendTags(s.buf, mkv.Tag{Name: first.name, Value: string(first.data)})
	}
	s.buf = mkv.AppendClusterStart(s.buf, uint64(f.timecode))
	return s.flush()
}

// isMark tells whether a record is the tag of a sealed fragment.
func isMark(r *record) bool { return r.kind == recordTag && e2ee.IsTag(r.name, string(r.data)) }

// awaitRecord waits until the buffer has the record.
func (s *session) awaitRecord(f *fragment, index uint32) error {
	p := s.p
	for {
		gone := false
		err := p.await(s.ctx, p.timing.idleFragment, func() bool {
			gone = f.gone
			return gone || f.records > index
		})
		if errors.Is(err, errIdle) {
			if err := p.completeIdle(); err != nil {
				return err
			}
			continue
		}
		switch {
		case err != nil:
			return err
		case gone:
			return errDropped
		default:
			return nil
		}
	}
}

// unreadable gives up a fragment that the disk does not give back.
func (s *session) unreadable(f *fragment, err error) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if f.gone {
		return errDropped
	}
	if errors.Is(err, errTorn) || err == io.EOF {
		s.p.lose(f, "the buffer's file is damaged")
	}
	return fmt.Errorf("producer: buffer: %w", err)
}

func (s *session) frame(f *fragment, r *record) error {
	relative := r.time - f.timecode
	if relative < math.MinInt16 || relative > math.MaxInt16 {
		return fmt.Errorf("producer: frame is %d ms from its fragment's start", relative) // the cutter sees to it that none is
	}
	s.buf = mkv.AppendSimpleBlock(s.buf[:0], r.track, int16(relative), r.key, r.data)
	s.last[r.track] = max(s.last[r.track], r.time)
	return s.flush()
}

// end tells the service that the fragment is complete.
func (s *session) end(on *sent, tags []mkv.Tag) error {
	s.p.mu.Lock()
	on.ended = time.Now()
	on.f.doubt = true // from now on it may be persisted
	s.p.mu.Unlock()
	s.buf = s.buf[:0]
	if len(tags) > 0 {
		s.buf = mkv.AppendTags(s.buf, tags...)
	}
	s.buf = mkv.AppendEndOfFragment(s.buf)
	return s.flush()
}

func (s *session) flush() error {
	if _, err := s.body.Write(s.buf); err != nil {
		return fmt.Errorf("producer: send: %w", err)
	}
	return nil
}

// finish ends the body well, and waits for what is still to be acknowledged.
func (s *session) finish(err error) error {
	if err != nil {
		return nil
	}
	s.body.Close()
	timer := time.NewTimer(s.p.timing.drain)
	defer timer.Stop()
	select {
	case <-s.received:
	case <-timer.C:
	case <-s.ctx.Done():
	}
	if s.idle() {
		return nil
	}
	return s.cause(errUnanswered)
}

// idle tells whether nothing is on its way.
func (s *session) idle() bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return len(s.flight) == 0
}

func sameTracks(a, b []Track) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if string(mkv.AppendTracks(nil, a[i:i+1])) != string(mkv.AppendTracks(nil, b[i:i+1])) {
			return false
		}
	}
	return true
}
