// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/producer"
)

// sealed measures what end-to-end encryption costs: a frame's time, bytes, and how fast a viewer joins, comes and goes.
func sealed(o options, r *report) error {
	t, err := startTarget(o)
	if err != nil {
		return err
	}
	defer t.stop()
	h, err := newHome(t, 4)
	if err != nil {
		return err
	}
	defer func() { h.stop() }()
	if err := sealCost(o, r, h); err != nil {
		return err
	}
	if err := sealOverhead(r, h); err != nil {
		return err
	}
	return sealedLive(r, h)
}

const sealedFrame = 20_000

// sealCost measures a frame's way through the Sealer beside the least that the same cipher suite could cost: AES-256-GCM over
// the frame, by the context of an HPKE sender, and SHA-256 over the outcome.
func sealCost(o options, r *report, h *home) error {
	s, err := h.camera.Sealer("cost", []e2ee.Track{{Number: 1, Codec: "V_MPEG4/ISO/AVC"}}, nil)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := s.Begin(now); err != nil {
		return err
	}
	frame := e2ee.Sample{Track: 1, Time: now, Data: footage(sealedFrame)[1][:sealedFrame*2/3]}
	frame.Data = append(frame.Data, frame.Data...)[:sealedFrame]
	bare, err := bareSender()
	if err != nil {
		return err
	}
	micros := func(once func() error) func() (float64, error) {
		return func() (float64, error) {
			perSecond, err := rate(1, o.round/3, once)
			return 1e6 / perSecond, err
		}
	}
	whole, least, err := alternate(o.rounds,
		micros(func() error { _, err := s.Seal(frame); return err }),
		micros(func() error {
			sealed, err := bare.Seal(nil, frame.Data)
			sha256.Sum256(sealed)
			return err
		}))
	if err != nil {
		return err
	}
	r.add(result{Suite: "e2ee", Case: "seal and hash a frame of 20 KB", Unit: "µs", Server: whole, Ceiling: least})
	return nil
}

func bareSender() (*hpke.Sender, error) {
	k, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, err
	}
	_, s, err := hpke.NewSender(k.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), nil)
	return s, err
}

// sealOverhead sends the same 40 s of 2 Mbit/s sealed for four viewers and readable, and compares what the service counts.
func sealOverhead(r *report, h *home) error {
	const fragments = 20
	var bytes [2]int64
	for i, stream := range []string{"plain", "sealed"} {
		p, err := h.produce(stream, i == 1, fragmentMillis*time.Millisecond)
		if err != nil {
			return err
		}
		start := time.Now().Add(-fragments * fragmentMillis * time.Millisecond)
		frames := footage(latencyFrame)
		for n := range fragments * framesPerFragment {
			err := p.Put(context.Background(), producer.Frame{
				Track: 1, Time: start.Add(time.Duration(n) * frameMillis * time.Millisecond), Key: n%framesPerFragment == 0,
				Data: frames[n%framesPerFragment],
			})
			if err != nil {
				return err
			}
		}
		if err := p.Close(context.Background()); err != nil {
			return err
		}
		c, err := h.consume(stream)
		if err != nil {
			return err
		}
		list, err := c.List(context.Background(), consumer.Range{Start: start.Add(-time.Hour), End: time.Now().Add(time.Hour)})
		c.Close()
		if err != nil {
			return err
		}
		if len(list) != fragments {
			return fmt.Errorf("%s has %d fragments", stream, len(list))
		}
		for _, f := range list {
			bytes[i] += f.Bytes
		}
	}
	r.add(result{
		Suite: "e2ee", Case: "more bytes, 2 Mbit/s, 4 recipients", Unit: "%",
		Server: []float64{100 * float64(bytes[1]-bytes[0]) / float64(bytes[0])},
	})
	return nil
}

const (
	liveStream   = "live"
	liveFragment = time.Second
	joins        = 12
	changes      = 6 // removals, and as many admissions
)

// sealedLive streams in real time with fragments of a second, and lets viewers join, be removed and come back.
func sealedLive(r *report, h *home) error {
	p, err := h.produce(liveStream, true, liveFragment)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var camera sync.WaitGroup
	var sent error
	camera.Go(func() { sent = stream(ctx, p) })
	err = errors.Join(joinLate(ctx, r, h), comeAndGo(ctx, r, h))
	cancel()
	camera.Wait()
	closing, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	return errors.Join(err, sent, p.Close(closing))
}

// stream puts 25 frames each second until ctx ends.
func stream(ctx context.Context, p *producer.Producer) error {
	const perFragment = int(liveFragment / (frameMillis * time.Millisecond))
	frames := footage(latencyFrame)
	tick := time.NewTicker(frameMillis * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		if err := p.Put(ctx, producer.Frame{Track: 1, Time: time.Now(), Key: n%perFragment == 0, Data: frames[n%perFragment]}); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// joinLate measures how long a viewer who has never seen the stream waits for its first frame, in lengths of a fragment.
func joinLate(ctx context.Context, r *report, h *home) error {
	time.Sleep(2 * liveFragment)
	var waits []float64
	for n := range joins {
		time.Sleep(time.Duration(n) * 130 * time.Millisecond) // at different places of a fragment
		began := time.Now()
		err := h.openAs(ctx, h.viewers[0], liveStream, func(s *consumer.Sealed) bool {
			return len(s.Frames) == 0 && s.Kind != consumer.Refused
		})
		if err != nil {
			return err
		}
		waits = append(waits, time.Since(began).Seconds()/liveFragment.Seconds())
	}
	r.add(result{Suite: "e2ee", Case: "late join until the first frame, median", Unit: "fragments", Server: waits})
	r.add(result{Suite: "e2ee", Case: "late join until the first frame, longest", Unit: "fragments", Server: []float64{slices.Max(waits)}})
	return nil
}

// judged is what became of a fragment with a viewer.
type judged struct {
	capture time.Time
	opened  bool
	seen    time.Time
}

// record collects what a viewer makes of each fragment, by its place in the session.
type record struct {
	mu  sync.Mutex
	all map[uint64]judged
}

func (x *record) add(sequence uint64, j judged) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all[sequence] = j
}

// comeAndGo removes a viewer and lets it back in, while another one watches: how many fragments begin after the owner's new
// roster is in the mailbox until the first one that keeps to it. One is the next fragment.
func comeAndGo(ctx context.Context, r *report, h *home) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	stays, goes := &record{all: map[uint64]judged{}}, &record{all: map[uint64]judged{}}
	for viewer, into := range map[int]*record{0: stays, 1: goes} {
		watching.Go(func() {
			_ = h.openAs(ctx, h.viewers[viewer], liveStream, func(s *consumer.Sealed) bool { // ends with ctx
				switch s.Kind {
				case consumer.Confirmed:
					into.add(s.Report.Sequence, judged{s.Report.Capture, true, time.Now()})
				case consumer.Refused:
					into.add(s.Err.Sequence, judged{seen: time.Now()})
				}
				return true
			})
		})
	}
	time.Sleep(3 * liveFragment)
	var removed, admitted []float64
	for range changes {
		if err := h.remove(ctx, h.viewers[1]); err != nil {
			return err
		}
		n, err := fragmentsUntil(stays, goes, false)
		if err != nil {
			return err
		}
		removed = append(removed, n)
		if err := h.admit(ctx, h.viewers[1], e2ee.RoleConsumer); err != nil {
			return err
		}
		if n, err = fragmentsUntil(stays, goes, true); err != nil {
			return err
		}
		admitted = append(admitted, n)
	}
	r.add(result{Suite: "e2ee", Case: "removal of a viewer takes effect, most", Unit: "fragments", Server: []float64{slices.Max(removed)}})
	r.add(result{Suite: "e2ee", Case: "admission of a viewer takes effect, most", Unit: "fragments", Server: []float64{slices.Max(admitted)}})
	return nil
}

// fragmentsUntil counts the fragments that begin from now on, up to the first that the other viewer opens or, if not opened,
// cannot open.
func fragmentsUntil(stays, goes *record, opened bool) (float64, error) {
	changed := time.Now()
	for deadline := changed.Add(20 * liveFragment); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		stays.mu.Lock()
		begun := map[uint64]time.Time{}
		for sequence, j := range stays.all {
			if j.capture.After(changed) {
				begun[sequence] = j.capture
			}
		}
		stays.mu.Unlock()
		n := 0
		order := make([]uint64, 0, len(begun))
		for sequence := range begun {
			order = append(order, sequence)
		}
		slices.Sort(order)
		for _, sequence := range order {
			goes.mu.Lock()
			j, known := goes.all[sequence]
			goes.mu.Unlock()
			if n++; known && j.opened == opened {
				return float64(n), nil
			}
		}
	}
	return 0, fmt.Errorf("no fragment that the viewer opens: %t", opened)
}
