// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// PutMedia takes in fragments until the body ends, and acknowledges them as they come.
//
// A stream has one producer: a new connection ends the one before it, whose unfinished fragment is
// given up. RECEIVED and PERSISTED mean that the fragment is durable; a stream without retention
// gets no PERSISTED. After an ERROR acknowledgement, 30 seconds of silence, or 45 minutes, the
// connection ends. It is cut without an acknowledgement when the server is at fault or the caller
// may not put any more.
//
// The caller is authorised for PutMedia, and for GenerateDataKey with the stream's KMS key, at each
// fragment and at most 200 ms apart while one goes on.
//
// Errors before the first acknowledgement: ResourceNotFoundException, InvalidArgumentException.
//
// Source: Kinesis Video Streams developer guide, PutMedia.
func (s *Service) PutMedia(ctx context.Context, in *mediaapi.PutMediaInput) error {
	begun := s.Now()
	st, err := s.find(ctx, request{action: "PutMedia", name: in.StreamName, arn: in.StreamARN})
	if err != nil {
		return err
	}
	if in.TimecodeType == mediaapi.FragmentTimecodeTypeRelative && in.ProducerStartTimestamp == nil {
		return invalid("The producer start timestamp is required with relative fragment timecodes.")
	}
	// That the client is gone shows when its body is read. What came before is taken in to its end,
	// also from a client that sends all and does not wait for the answer.
	ctx, conn := newConnection(context.WithoutCancel(ctx))
	if !s.start(conn) {
		return errClosing
	}
	defer s.work.Done()
	defer context.AfterFunc(s.ctx, func() { conn.cancel(errClosing) })()
	old := s.active.produce(st.ID, conn)
	defer s.active.leave(st.ID, conn)
	defer cutLater(ctx, in.Acks)()
	if old != nil {
		awaitEnd(old)
	}
	oldest := time.AfterFunc(maxConnection, func() { conn.cancel(errMaxAge) })
	defer oldest.Stop()
	s.metrics.Add("PutMedia.Requests", st.Name, 1)
	s.metrics.Observe("PutMedia.Latency", st.Name, s.Now().Sub(begun))
	s.metrics.Level("PutMedia.ActiveConnections", st.Name, 1)
	defer s.metrics.Level("PutMedia.ActiveConnections", st.Name, -1)
	if err := in.Acks.Start(); err != nil {
		return fmt.Errorf("kinesisvideo: put media: %w", err)
	}
	p := &producer{s: s, ctx: ctx, in: in, gate: gate{s: s, action: "PutMedia", stream: st}}
	return p.run()
}

// start enters a connection's goroutine among those that Close waits for, unless it waits already.
func (s *Service) start(conn *connection) bool {
	s.starting.Lock()
	defer s.starting.Unlock()
	if s.ctx.Err() != nil {
		conn.cancel(errClosing)
		return false
	}
	s.work.Add(1)
	return true
}

// awaitEnd gives connections that were ended a moment to let go of their stream. No promise depends
// on it: it spares the viewers events in an unusual order, and the sweeper work.
func awaitEnd(ended ...*connection) {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	for _, c := range ended {
		select {
		case <-c.done:
		case <-timer.C:
			return
		}
	}
}

// run takes in the body and answers for how it ended.
func (p *producer) run() error {
	p.s.work.Add(1) // PutMedia is among those that Close waits for, so this cannot come too late
	b := newBody(p.ctx, p.in.Body, p.idle, p.s.work.Done)
	err := p.ingest(mkv.NewReader(b, mkv.Options{}))
	if cause := context.Cause(p.ctx); cause != nil {
		err = cause // whatever it led to
	}
	return p.finish(err, b.clean())
}

// idle tells the producer that nothing came for a while. A cluster of known size that is whole need
// not wait any longer for what follows it.
func (p *producer) idle() error {
	if p.fragment != nil && p.fragment.ended {
		if err := p.complete(); err != nil {
			return err
		}
	}
	return p.ack(mediaapi.Ack{EventType: mediaapi.AckIdle})
}

// finish gives up or completes the last fragment, and ends the response.
func (p *producer) finish(err error, clean bool) error {
	defer p.release()
	if p.fragment != nil && p.fragment.ended && !errors.Is(err, errSuperseded) && !errors.Is(err, errDeleted) {
		// Its cluster is whole, whatever came after.
		p.ctx = context.WithoutCancel(p.ctx)
		if failed := p.complete(); failed != nil && errors.Is(err, io.EOF) {
			err = failed
		}
	}
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errIdle) {
		return nil
	}
	p.s.metrics.Add("PutMedia.ConnectionErrors", p.gate.stream.Name, 1)
	if known := producerError(err, clean); known != nil {
		return p.refuse(known)
	}
	p.s.Logger.DebugContext(p.ctx, "producer connection cut", "stream", p.gate.stream.Name, "error", err)
	return fmt.Errorf("kinesisvideo: put media: %w", err)
}

// refuse sends the ERROR acknowledgement. It names the fragment, if it is the fragment's fault.
func (p *producer) refuse(e *mediaError) error {
	ack := mediaapi.Ack{EventType: mediaapi.AckError, FragmentTimecode: new(uint64), ErrorCode: e.code, ErrorId: e.id}
	if p.pending != nil && e != errConnectionTooLong && e != errNotActive && e != errStreamRead {
		ack.FragmentTimecode = p.pending
		if p.fragment != nil {
			ack.FragmentNumber = p.fragment.number.String()
		}
	}
	p.s.metrics.Add("PutMedia.ErrorAckCount", p.gate.stream.Name, 1)
	return p.ack(ack)
}

func (p *producer) ack(a mediaapi.Ack) error {
	if err := p.in.Acks.WriteAck(a); err != nil {
		return fmt.Errorf("kinesisvideo: acknowledge: %w", err)
	}
	return nil
}
