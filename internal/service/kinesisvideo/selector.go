// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"bytes"
	"context"
	"math"
	"time"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/journal"
)

// start is where a GetMedia begins, checked but not looked up.
type start struct {
	kind   string
	number number
	millis int64
}

// parseStart checks a start selector.
func parseStart(in *mediaapi.StartSelector) (start, error) {
	s := start{kind: *in.StartSelectorType}
	var err error
	switch s.kind {
	case mediaapi.StartSelectorTypeFragmentNumber:
		if in.AfterFragmentNumber == nil {
			return s, invalid("AfterFragmentNumber is required with the start selector type FRAGMENT_NUMBER.")
		}
		if s.number, err = parseNumber(*in.AfterFragmentNumber); err != nil {
			return s, invalid("The specified AfterFragmentNumber is not valid.")
		}
	case mediaapi.StartSelectorTypeContinuationToken:
		if in.ContinuationToken == nil {
			return s, invalid("ContinuationToken is required with the start selector type CONTINUATION_TOKEN.")
		}
		if s.number, err = parseNumber(*in.ContinuationToken); err != nil {
			return s, invalid("The specified ContinuationToken is not valid.")
		}
	case mediaapi.StartSelectorTypeServerTimestamp, mediaapi.StartSelectorTypeProducerTimestamp:
		if in.StartTimestamp == nil {
			return s, invalid("StartTimestamp is required with the start selector type " + s.kind + ".")
		}
		s.millis = in.StartTimestamp.UnixMilli()
	}
	return s, nil
}

// after returns the place in the journal after which the media begins.
func (s start) after(ctx context.Context, store Store, st *stream) (journal.Seq, error) {
	switch s.kind {
	case mediaapi.StartSelectorTypeEarliest:
		return 0, nil
	case mediaapi.StartSelectorTypeFragmentNumber, mediaapi.StartSelectorTypeContinuationToken:
		return afterNumber(ctx, store, st, s.number)
	case mediaapi.StartSelectorTypeServerTimestamp:
		return beforeTime(ctx, store, st, indexServer, s.millis)
	case mediaapi.StartSelectorTypeProducerTimestamp:
		return beforeTime(ctx, store, st, indexProducer, s.millis)
	}
	newest, err := newest(ctx, store, st)
	return before(newest), err
}

// before is the place in front of an entry.
func before(seq journal.Seq) journal.Seq { return max(seq, 1) - 1 }

// newest returns the place of the newest fragment, 0 without any.
func newest(ctx context.Context, store Store, st *stream) (journal.Seq, error) {
	for d, err := range store.Journal.ScanReverse(ctx, st.key(), 0, 0) {
		if err != nil {
			return 0, err
		}
		return d.Seq, nil
	}
	return 0, nil
}

// afterNumber returns the place of a fragment. If it is not there (any more, or because the stream
// changed its store), it is the place before the first one that came after it.
func afterNumber(ctx context.Context, store Store, st *stream, n number) (journal.Seq, error) {
	for e, err := range store.Journal.ScanIndex(ctx, st.key(), indexServer, timeKey(n.millis()), nil) {
		switch {
		case err != nil:
			return 0, err
		case bytes.Equal(e.Value, n[:]):
			return e.Seq, nil
		case bytes.Compare(e.Value, n[:]) > 0:
			return before(e.Seq), nil
		}
	}
	return newest(ctx, store, st)
}

// findNumber returns the fragment of a number, nil if there is none.
func findNumber(ctx context.Context, store Store, st *stream, n number) (*journal.Descriptor, error) {
	at := n.millis()
	if at == math.MaxInt64 || at < 0 {
		return nil, nil
	}
	for e, err := range store.Journal.ScanIndex(ctx, st.key(), indexServer, timeKey(at), timeKey(at+1)) {
		if err != nil {
			return nil, err
		}
		if bytes.Equal(e.Value, n[:]) {
			return store.Journal.Stat(ctx, st.key(), e.Seq)
		}
	}
	return nil, nil
}

// longest is how far before a time the fragment that contains it can begin.
const longest = 2 * maxFragmentDuration

// beforeTime returns the place before the fragment that contains the time, or else the first one
// that begins later. Of several that contain it, the one that begins last, and of copies of one that
// were sent twice the newer, is taken.
func beforeTime(ctx context.Context, store Store, st *stream, index string, millis int64) (journal.Seq, error) {
	from := millis - longest.Milliseconds()
	if from > millis { // an overflow
		from = math.MinInt64
	}
	for e, err := range store.Journal.ScanIndexReverse(ctx, st.key(), index, timeKey(from), timeKey(next(millis))) {
		if err != nil {
			return 0, err
		}
		d, err := store.Journal.Stat(ctx, st.key(), e.Seq)
		if err != nil {
			break // trimmed meanwhile, and so are those before it
		}
		m, _, err := parseFragmentMeta(d.Meta)
		if err != nil {
			return 0, err
		}
		begin, ok := parseTimeKey(e.Key)
		if ok && (begin == millis || begin+m.length > millis) {
			return before(e.Seq), nil
		}
		break
	}
	for e, err := range store.Journal.ScanIndex(ctx, st.key(), index, timeKey(next(millis)), nil) {
		if err != nil {
			return 0, err
		}
		return before(e.Seq), nil
	}
	return newest(ctx, store, st)
}

func next(millis int64) int64 {
	if millis == math.MaxInt64 {
		return millis
	}
	return millis + 1
}

// timestamp is the form in which archived fragments are listed.
func timestamp(millis int64) *time.Time { return ptr(time.UnixMilli(millis).UTC()) }
