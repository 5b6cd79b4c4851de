// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"fmt"
	"io"
	"net/http"
	"time"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// receive makes the request and handles the acknowledgements.
func (s *session) receive(req *http.Request) {
	defer close(s.received)
	resp, err := s.p.opt.HTTPClient.Do(req)
	if err != nil {
		s.cancel(fmt.Errorf("producer: put media: %w", err))
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.cancel(fmt.Errorf("producer: put media: %w", explain(protocol.ReadError(resp))))
		return
	}
	close(s.accepted)
	for acks := mediaapi.NewAckReader(resp.Body); ; {
		ack, err := acks.Next()
		if err == nil {
			err = s.handle(&ack)
		} else if err == io.EOF {
			err = errEnded
		} else {
			err = fmt.Errorf("producer: acknowledgements: %w", err)
		}
		if err != nil {
			s.cancel(err)
			return
		}
	}
}

// handle acts on one acknowledgement.
func (s *session) handle(a *mediaapi.Ack) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	on := s.find(a.FragmentTimecode)
	switch a.EventType {
	case mediaapi.AckBuffering:
		if on != nil {
			on.buffered = true
		}
	case mediaapi.AckReceived:
		if on == nil {
			return nil
		}
		if on.buffered, on.received = true, true; !s.retained {
			s.done(on, a.FragmentNumber)
		}
	case mediaapi.AckPersisted:
		if on != nil {
			s.done(on, a.FragmentNumber)
		}
	case mediaapi.AckError:
		return s.refused(on, &AckError{ID: a.ErrorId, Code: a.ErrorCode, FragmentNumber: a.FragmentNumber})
	}
	return nil
}

// find returns the fragment on its way that an acknowledgement is about.
func (s *session) find(timecode *uint64) *sent {
	if timecode == nil {
		return nil
	}
	for _, on := range s.flight {
		if on.f.timecode >= 0 && uint64(on.f.timecode) == *timecode {
			return on
		}
	}
	return nil
}

func (s *session) done(on *sent, number string) {
	s.land(on)
	s.persisted++
	s.p.persisted(on.f, number)
}

// land takes a fragment from those that are on their way.
func (s *session) land(on *sent) {
	for i, x := range s.flight {
		if x == on {
			s.flight = append(s.flight[:i], s.flight[i+1:]...)
			return
		}
	}
}

// refused acts on an ERROR. The service closes the connection after it.
func (s *session) refused(on *sent, e *AckError) error {
	p := s.p
	if remedyFor(e.ID) == stop {
		p.fail(e)
		return e
	}
	if on == nil {
		return e
	}
	on.f.doubt = false
	on.f.refused++
	switch {
	case remedyFor(e.ID) == giveUp, !passes(e.ID) && on.f.refused > maxRefused:
		s.land(on)
		p.lose(on.f, e.Error())
	}
	return e
}

// watch cuts a connection on which the service has fallen silent.
func (s *session) watch() {
	t := s.p.timing
	tick := time.NewTicker(min(t.staleBuffering, t.stalePersisted) / 8)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.silent(time.Now()) {
				s.cancel(errStale)
			}
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *session) silent(now time.Time) bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	t := s.p.timing
	for _, on := range s.flight {
		if !on.buffered && now.Sub(on.begun) > t.staleBuffering ||
			!on.ended.IsZero() && now.Sub(on.ended) > t.stalePersisted {
			return true
		}
	}
	return false
}
