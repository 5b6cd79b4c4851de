// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/envelope"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// contentType is that of media, as the service sends it.
const contentType = "video/webm"

// GetMedia sends the fragments of a stream from the selected one on, then live ones as they come,
// frame by frame, without a gap or a double, until the consumer has enough or 45 minutes have passed.
//
// A live fragment that its producer does not complete ends without the tags that follow a complete
// one, and is to be ignored. A consumer that is slower than the producer slows nobody down: it is
// served from the store.
//
// The caller is authorised for GetMedia, and for Decrypt with the stream's KMS key, at each fragment
// and at most 200 ms apart while one goes on, and every half second while none comes. When the key is
// refused the last chunk says so in tags.
//
// Errors: ResourceNotFoundException; InvalidArgumentException; ConnectionLimitExceededException for
// the fourth connection to a stream.
//
// Source: Kinesis Video Streams API Reference, GetMedia.
func (s *Service) GetMedia(ctx context.Context, in *mediaapi.GetMediaInput) (*mediaapi.GetMediaOutput, error) {
	st, err := s.find(ctx, request{action: "GetMedia", name: in.StreamName, arn: in.StreamARN})
	if err != nil {
		return nil, err
	}
	from, err := parseStart(in.StartSelector)
	if err != nil {
		return nil, err
	}
	call := ctx
	ctx, conn := newConnection(call)
	if !s.active.consume(st.ID, conn, s.MaxConsumers) {
		conn.cancel(nil)
		return nil, &mediaapi.ConnectionLimitExceededException{
			Message: "The stream has " + strconv.Itoa(s.MaxConsumers) + " GetMedia connections already.",
		}
	}
	leave := sync.OnceFunc(func() { s.active.leave(st.ID, conn) })
	context.AfterFunc(call, leave) // if the payload is never asked for
	s.metrics.Add("GetMedia.Requests", st.Name, 1)
	return &mediaapi.GetMediaOutput{ContentType: ptr(contentType), Payload: func(w protocol.StreamWriter) error {
		defer leave()
		if !s.start(conn) {
			return errClosing
		}
		defer s.work.Done()
		defer context.AfterFunc(s.ctx, func() { conn.cancel(errClosing) })()
		oldest := time.AfterFunc(maxConnection, func() { conn.cancel(errMaxAge) })
		defer oldest.Stop()
		defer cutLater(ctx, w)()
		c := s.newConsumer(ctx, "GetMedia", st, w)
		stop := c.watch(conn)
		err := c.follow(from)
		stop()
		err = c.finish(err)
		if err != nil {
			s.metrics.Add("GetMedia.ConnectionErrors", st.Name, 1)
		}
		return err
	}}, nil
}

// consumer sends fragments to one connection. It is for one goroutine.
type consumer struct {
	s         *Service
	ctx       context.Context
	operation string
	gate      gate
	store     Store
	keys      *envelope.Reader
	out       chunkWriter

	// The fragment that is being sent, if any.
	open   bool
	seq    journal.Seq
	frames int // how many of its frames were sent
	opener *envelope.Opener
	// reading is opener for the watch, and stays when the fragment has ended.
	reading atomic.Pointer[envelope.Opener]
	begun   number // of the fragment that an error would be about

	// The header that was loaded last, and the data key that it is sealed under.
	header    []byte
	headerAt  uint64
	headerKey string
}

func (s *Service) newConsumer(ctx context.Context, operation string, st *stream, w protocol.StreamWriter) *consumer {
	store := s.store(st)
	return &consumer{
		s: s, ctx: ctx, operation: operation,
		gate:  gate{s: s, action: operation, stream: st},
		store: store, keys: store.Keys.Reader(s.scope(st)), out: chunkWriter{w: w},
	}
}

// follow sends what is stored and then what comes, until something ends it.
func (c *consumer) follow(from start) error {
	if err := c.out.w.Flush(); err != nil { // the client sees that it is served, even if nothing comes
		return err
	}
	after, err := from.after(c.ctx, c.store, c.gate.stream)
	if err != nil {
		return fmt.Errorf("kinesisvideo: get media: %w", err)
	}
	for e, err := range c.store.Journal.Follow(c.ctx, c.gate.stream.key(), after) {
		if err != nil {
			return err
		}
		if err := c.handle(e); err != nil {
			return err
		}
	}
	return nil
}

// handle sends one event.
func (c *consumer) handle(e journal.Event) error {
	if c.open && e.Seq != c.seq {
		if err := c.abandon(); err != nil {
			return err
		}
	}
	switch e.Kind {
	case journal.EventBegin:
		return c.beginLive(e)
	case journal.EventFrame:
		return c.liveFrame(e)
	case journal.EventCommit:
		if c.open && c.frames == e.Descriptor.Frames {
			return c.complete()
		}
		return c.stored(e.Descriptor)
	case journal.EventAbort:
		return c.abandon()
	case journal.EventStored:
		return c.stored(e.Descriptor)
	}
	return nil
}

func (c *consumer) beginLive(e journal.Event) error {
	if e.Live == nil {
		return nil // it is not shown before it is complete, and then comes from the store
	}
	l, err := parseLiveStart(e.Live)
	if err != nil {
		return err
	}
	l.number = l.number.withCounter(e.Seq.Counter())
	return c.begin(e.Seq, l.fragmentMeta, l.keyID, func() ([]byte, error) { return l.header, nil })
}

func (c *consumer) liveFrame(e journal.Event) error {
	if !c.open || e.Frame.Index != c.frames {
		return nil // it will come from the store
	}
	if err := c.frame(e.Frame); err != nil {
		return err
	}
	return c.out.w.Flush()
}

// begin authorises for a fragment and starts to send it. header is asked for afterwards.
func (c *consumer) begin(seq journal.Seq, m fragmentMeta, keyID string, header func() ([]byte, error)) error {
	c.begun = m.number
	if err := c.gate.decide(c.ctx); err != nil {
		return err
	}
	opener, err := c.keys.Open(c.ctx, keyID)
	if err != nil {
		return err
	}
	c.opener = opener
	c.reading.Store(opener)
	raw, err := header()
	if err != nil {
		return err
	}
	c.open, c.seq, c.frames = true, seq, 0
	return c.out.begin(m, raw)
}

// frame authorises for one frame and sends it.
func (c *consumer) frame(f *journal.Frame) error {
	if err := c.gate.pass(c.ctx); err != nil {
		return err
	}
	if err := c.opener.Check(); err != nil {
		return err
	}
	a, err := parseFrameAttrs(f.Attrs)
	if err != nil {
		return err
	}
	c.frames++
	if a.kind == frameBlock {
		c.s.metrics.Add(c.operation+".OutgoingFrames", c.gate.stream.Name, 1)
	}
	return c.out.frame(a, f.Payload)
}

// stored sends a fragment from the store, or what is missing of it.
func (c *consumer) stored(d *journal.Descriptor) error {
	err := c.send(d)
	if errors.Is(err, journal.ErrNotFound) || errors.Is(err, envelope.ErrShredded) {
		// Its time has come while it was read, unless it is still listed.
		if _, gone := c.store.Journal.Stat(c.ctx, d.Stream, d.Seq); errors.Is(gone, journal.ErrNotFound) {
			return c.abandon()
		}
	}
	if err != nil {
		return err
	}
	return c.complete()
}

func (c *consumer) send(d *journal.Descriptor) error {
	if !c.open {
		m, _, err := parseFragmentMeta(d.Meta)
		if err != nil {
			return err
		}
		err = c.begin(d.Seq, m, d.KeyID, func() ([]byte, error) { return c.loadHeader(m.header, d.KeyID) })
		if err != nil {
			return err
		}
	}
	sent := c.frames
	for f, err := range c.store.Journal.Frames(c.ctx, d, c) {
		if err != nil {
			return err
		}
		if f.Index < sent {
			continue
		}
		if err := c.frame(&f); err != nil {
			return err
		}
	}
	return nil
}

// Opener implements journal.Keyring with the opener that was decided upon for this fragment.
func (c *consumer) Opener(context.Context, string) (journal.Opener, error) { return c.opener, nil }

// loadHeader returns the producer's header, which many fragments share.
func (c *consumer) loadHeader(position uint64, keyID string) ([]byte, error) {
	if c.header != nil && c.headerAt == position && c.headerKey == keyID {
		return c.header, nil
	}
	raw, err := loadHeader(c.ctx, c.store.DB, c.opener, c.gate.stream, position)
	if err != nil {
		return nil, err
	}
	c.header, c.headerAt, c.headerKey = raw, position, keyID
	return raw, nil
}

// complete ends the fragment with its tags.
func (c *consumer) complete() error {
	c.open = false
	n := c.out.meta.number
	var tags []mkv.Tag
	if c.operation == "GetMedia" {
		behind := max(c.s.Now().UnixMilli()-n.millis(), 0)
		c.s.metrics.Observe("GetMedia.MillisBehindNow", c.gate.stream.Name, time.Duration(behind)*time.Millisecond)
		tags = []mkv.Tag{
			{Name: tagMillisBehindNow, Value: strconv.FormatInt(behind, 10)},
			{Name: tagContinuationToken, Value: n.String()},
		}
	}
	c.count(nil)
	return c.out.end(tags...)
}

// abandon ends the fragment that is being sent, if any, so that it is ignored.
func (c *consumer) abandon() error {
	if !c.open {
		return nil
	}
	c.open = false
	c.count(errFragmentNotFound)
	return c.out.abandon()
}

// count tells the metrics of one fragment.
func (c *consumer) count(err error) {
	name := c.gate.stream.Name
	c.s.metrics.success(c.operation, name, err)
	if err == nil {
		c.s.metrics.Add(c.operation+".OutgoingFragments", name, 1)
	}
	c.s.metrics.Add(c.operation+".OutgoingBytes", name, float64(c.out.total))
	c.out.total = 0
}

// finish tells the consumer why there is no more, as far as it is to know. An error cuts the
// connection.
func (c *consumer) finish(err error) error {
	if cause := context.Cause(c.ctx); cause != nil {
		err = cause
	}
	if err == nil {
		return nil
	}
	known := consumerError(err)
	if known == nil && !ends(err) {
		return fmt.Errorf("kinesisvideo: %s: %w", c.operation, err)
	}
	if err := c.abandon(); err != nil {
		return err
	}
	if known == nil {
		return nil
	}
	c.s.Logger.InfoContext(c.ctx, "consumer refused", "stream", c.gate.stream.Name, "code", known.code, "error", err)
	return c.out.fail(c.failure(known)...)
}

// ends tells whether the connection ends well with err: the consumer may come again with its
// token.
func ends(err error) bool {
	for _, e := range []error{errMaxAge, errMoved, errDeleted, errClosing} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// consumerError returns what a consumer is told, nil for what it cannot be or need not be told.
func consumerError(err error) *mediaError {
	if as[*refusal](err) {
		return nil
	}
	var known *mediaError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, journal.ErrNotFound), errors.Is(err, journal.ErrCorrupt), errors.Is(err, envelope.ErrShredded), errors.Is(err, errRow):
		return errInternal // it is never passed over in silence
	}
	return keyError(err)
}

// failure returns the tags of the last chunk.
func (c *consumer) failure(e *mediaError) []mkv.Tag {
	n := mkv.Tag{Name: tagFragmentNumber, Value: c.begun.String()}
	if c.operation == "GetMedia" {
		return []mkv.Tag{n, {Name: tagErrorID, Value: strconv.Itoa(e.id)}, {Name: tagErrorCode, Value: e.code}}
	}
	return []mkv.Tag{n, {Name: tagExceptionCode, Value: strconv.Itoa(e.id)}, {Name: tagExceptionMessage, Value: e.code}}
}
