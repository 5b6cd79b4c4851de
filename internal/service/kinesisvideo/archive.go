// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/journal"
)

// defaultFragments is how many fragments a page holds if the request does not say.
const defaultFragments = 1000

// ListFragments lists the stored fragments whose start lies in a range, both ends included: in the
// order of the time that the selector names, or of their numbers without a selector. By producer
// time, of fragments with the same time only the newest is listed: the others are copies of it that
// the producer sent again.
//
// Errors: ResourceNotFoundException; InvalidArgumentException, also for a token that was not given
// for this stream.
//
// Source: Kinesis Video Streams API Reference, ListFragments.
func (s *Service) ListFragments(ctx context.Context, in *archiveapi.ListFragmentsInput) (*archiveapi.ListFragmentsOutput, error) {
	began := s.Now()
	st, err := s.find(ctx, request{action: "ListFragments", name: in.StreamName, arn: in.StreamARN})
	if err != nil {
		return nil, err
	}
	l, err := newListing(st, in)
	if err != nil {
		return nil, err
	}
	limit := defaultFragments
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	out, err := l.page(ctx, s.store(st), st, limit)
	if err != nil {
		return nil, fmt.Errorf("kinesisvideo: list fragments: %w", err)
	}
	s.metrics.Observe("ListFragments.Latency", st.Name, s.Now().Sub(began))
	return out, nil
}

// listing is a selection of fragments and a place in it. In base64 it is the token.
type listing struct {
	Version int    `json:"v"`
	Stream  string `json:"s"` // ID
	Index   string `json:"i"` // empty: by number
	Start   int64  `json:"a"` // milliseconds, included
	End     int64  `json:"b"` // milliseconds, included

	// The last one that was listed: its time and place. Begun says that there is one.
	Begun bool   `json:"n,omitempty"`
	Time  int64  `json:"t,omitempty"`
	Seq   uint64 `json:"q,omitempty"`
}

const listingVersion = 1

func newListing(st *stream, in *archiveapi.ListFragmentsInput) (*listing, error) {
	if in.NextToken != nil {
		return parseListing(st, *in.NextToken)
	}
	l := &listing{Version: listingVersion, Stream: st.ID}
	f := in.FragmentSelector
	if f == nil {
		return l, nil
	}
	l.Index = indexServer
	if *f.FragmentSelectorType == archiveapi.FragmentSelectorTypeProducerTimestamp {
		l.Index = indexProducer
	}
	l.Start, l.End = f.TimestampRange.StartTimestamp.UnixMilli(), f.TimestampRange.EndTimestamp.UnixMilli()
	if l.Start > l.End {
		return nil, invalid("StartTimestamp must not be greater than EndTimestamp.")
	}
	return l, nil
}

func parseListing(st *stream, token string) (*listing, error) {
	l := new(listing)
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(b, l) != nil {
		return nil, invalid("The specified NextToken is not valid.")
	}
	known := l.Index == "" || l.Index == indexServer || l.Index == indexProducer
	if l.Version != listingVersion || l.Stream != st.ID || !known || l.Start > l.End {
		return nil, invalid("The specified NextToken is not valid.")
	}
	return l, nil
}

func (l *listing) token() (string, error) {
	b, err := json.Marshal(l)
	return base64.RawURLEncoding.EncodeToString(b), err
}

// page lists up to limit fragments.
func (l *listing) page(ctx context.Context, store Store, st *stream, limit int) (*archiveapi.ListFragmentsOutput, error) {
	out := &archiveapi.ListFragmentsOutput{Fragments: []*archiveapi.Fragment{}}
	more := false
	err := l.entries(ctx, store, st, func(d *journal.Descriptor, at int64) (bool, error) {
		if more = len(out.Fragments) == limit; more {
			return false, nil
		}
		f, err := listed(d)
		if err != nil {
			return false, err
		}
		out.Fragments = append(out.Fragments, f)
		l.Begun, l.Time, l.Seq = true, at, uint64(d.Seq)
		return true, nil
	})
	if err != nil || !more {
		return out, err
	}
	token, err := l.token()
	out.NextToken = &token
	return out, err
}

// entries visits the fragments after the place, with their times, until visit wants no more.
func (l *listing) entries(ctx context.Context, store Store, st *stream, visit func(*journal.Descriptor, int64) (bool, error)) error {
	if l.Index == "" {
		for d, err := range store.Journal.Scan(ctx, st.key(), journal.Seq(l.Seq)+1, 0) {
			if err != nil {
				return err
			}
			if on, err := visit(d, 0); !on || err != nil {
				return err
			}
		}
		return nil
	}
	var last *journal.IndexEntry // of the copies with the same time, the newest so far
	for e, err := range l.rows(ctx, store, st) {
		if err != nil {
			return err
		}
		if last != nil && !(l.Index == indexProducer && string(last.Key) == string(e.Key)) {
			if on, err := l.visit(ctx, store, st, last, visit); !on || err != nil {
				return err
			}
		}
		last = &e
	}
	if last != nil {
		_, err := l.visit(ctx, store, st, last, visit)
		return err
	}
	return nil
}

// rows yields the index rows after the place.
func (l *listing) rows(ctx context.Context, store Store, st *stream) func(func(journal.IndexEntry, error) bool) {
	from := l.Start
	if l.Begun {
		from = l.Time
	}
	return func(yield func(journal.IndexEntry, error) bool) {
		for e, err := range store.Journal.ScanIndex(ctx, st.key(), l.Index, timeKey(from), timeKey(next(l.End))) {
			at, ok := parseTimeKey(e.Key)
			listed := l.Begun && ok && at == l.Time && (l.Index == indexProducer || uint64(e.Seq) <= l.Seq)
			if err == nil && listed {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (l *listing) visit(ctx context.Context, store Store, st *stream, e *journal.IndexEntry, visit func(*journal.Descriptor, int64) (bool, error)) (bool, error) {
	d, err := store.Journal.Stat(ctx, st.key(), e.Seq)
	if errors.Is(err, journal.ErrNotFound) {
		return true, nil // trimmed meanwhile
	}
	if err != nil {
		return false, err
	}
	at, _ := parseTimeKey(e.Key)
	return visit(d, at)
}

// listed is how a fragment is listed.
func listed(d *journal.Descriptor) (*archiveapi.Fragment, error) {
	m, _, err := parseFragmentMeta(d.Meta)
	if err != nil {
		return nil, err
	}
	return &archiveapi.Fragment{
		FragmentLengthInMilliseconds: ptr(m.length),
		FragmentNumber:               ptr(m.number.String()),
		FragmentSizeInBytes:          ptr(d.Bytes),
		ProducerTimestamp:            timestamp(m.producer),
		ServerTimestamp:              timestamp(m.number.millis()),
	}, nil
}

// GetMediaForFragmentList sends the fragments of the list in its order, in the form of GetMedia but
// without tokens. At the first one that cannot be sent the last chunk says why in tags.
//
// The caller is authorised as for GetMedia.
//
// Errors: ResourceNotFoundException, InvalidArgumentException for what is no fragment number.
//
// Source: Kinesis Video Streams API Reference, GetMediaForFragmentList.
func (s *Service) GetMediaForFragmentList(ctx context.Context, in *archiveapi.GetMediaForFragmentListInput) (*archiveapi.GetMediaForFragmentListOutput, error) {
	const operation = "GetMediaForFragmentList"
	st, err := s.find(ctx, request{action: operation, name: in.StreamName, arn: in.StreamARN})
	if err != nil {
		return nil, err
	}
	numbers := make([]number, len(in.Fragments))
	for i, text := range in.Fragments {
		if numbers[i], err = parseNumber(text); err != nil {
			return nil, invalid("The specified fragment number is not valid.")
		}
	}
	s.metrics.Add(operation+".Requests", st.Name, 1)
	ctx, conn := newConnection(ctx)
	return &archiveapi.GetMediaForFragmentListOutput{ContentType: ptr(contentType), Payload: func(w protocol.StreamWriter) error {
		defer conn.cancel(nil)
		if !s.start(conn) {
			return errClosing
		}
		defer s.work.Done()
		defer context.AfterFunc(s.ctx, func() { conn.cancel(errClosing) })()
		defer cutLater(ctx, w)()
		c := s.newConsumer(ctx, operation, st, w)
		return c.finish(c.list(numbers))
	}}, nil
}

// list sends fragments by their numbers.
func (c *consumer) list(numbers []number) error {
	for _, n := range numbers {
		c.begun = n
		d, err := findNumber(c.ctx, c.store, c.gate.stream, n)
		if err != nil && !errors.Is(err, journal.ErrNotFound) {
			return err
		}
		if d == nil {
			return errFragmentNotFound
		}
		if err := c.send(d); err != nil {
			return err
		}
		if err := c.complete(); err != nil {
			return err
		}
	}
	return nil
}
