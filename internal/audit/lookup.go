// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/meta"
)

// Query says which events to look for. Only management events are ever found.
type Query struct {
	// Attribute and Value select by one attribute, letter for letter; Any with "" selects all.
	Attribute Attribute
	Value     string
	// Start and End bound the event's time in whole seconds, both inclusive; the zero time leaves open.
	Start, End time.Time
	// Limit bounds the events of a page; at least 1.
	Limit int
	// After is Page.Next of the page before; the zero Cursor begins with the newest event.
	After Cursor
}

// Cursor is the place of the last event of a page. It holds nothing secret and grants nothing.
type Cursor struct {
	LastT int64  // Unix milliseconds of the block's last event
	Block uint64 // 0 in the zero Cursor
	Place uint16 // in the block; what comes below it is next
}

// Found is one event with the record it was read from, which is the caller's to keep. The event has identity, time,
// source, name, error code, ID, resources, and whether it was read-only and a management event; the rest is in the
// record.
type Found struct {
	Event
	Record []byte
}

// Page is part of an answer, newest first. Events that happen later do not move what a cursor points at.
type Page struct {
	Events []Found
	Next   Cursor // zero after the last page
}

// Lookup answers q from the index. Events show up once they are written, see Record.
func (l *Reader) Lookup(ctx context.Context, q Query) (Page, error) {
	s := search{query: q, log: l, high: maxMS}
	if !q.Start.IsZero() {
		s.low = unixMS(q.Start)
	}
	if !q.End.IsZero() {
		s.high = unixMS(q.End) + 999
	}
	s.prefix = indexPrefix(q.Attribute, q.Value)
	if q.Attribute == EventID {
		t, ok := timeOfID(q.Value)
		if !ok {
			return Page{}, nil
		}
		s.low, s.high = max(s.low, t-t%1000), min(s.high, t-t%1000+999)
		s.byID, s.idTime = true, t
		s.prefix = indexPrefix(Any, "")
	}
	if s.low > s.high {
		return Page{}, nil
	}
	err := l.db.View(ctx, func(r meta.Reader) error {
		return s.run(ctx, r)
	})
	if err != nil {
		return Page{}, fmt.Errorf("audit: lookup: %w", err)
	}
	return s.page, nil
}

// maxMS is later than every event.
const maxMS = 1 << 55

// unixMS returns the whole second of t in Unix milliseconds, kept within what sums cannot overflow.
func unixMS(t time.Time) int64 {
	return min(max(t.Unix(), 0), maxMS/1000) * 1000
}

// search runs one query. low and high bound the time of an event in Unix milliseconds.
type search struct {
	query     Query
	log       *Reader
	prefix    []byte
	low, high int64
	// byID: only blocks that were open at the ID's time are read.
	byID   bool
	idTime int64
	page   Page
}

var errPageFull = errors.New("page full")

func (s *search) run(ctx context.Context, r meta.Reader) error {
	for {
		rows, err := s.rows(r)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			s.page.Next = Cursor{} // the last event was on this page
			return nil
		}
		for _, row := range rows {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := s.visit(r, row)
			if errors.Is(err, errPageFull) {
				return nil
			}
			if err != nil {
				return err
			}
			s.query.After = Cursor{LastT: row.lastT, Block: row.block}
		}
	}
}

// hit is an index row.
type hit struct {
	lastT, firstT int64
	block         uint64
	places        bitmap
}

const rowsPerScan = 64

// rows returns the next index rows, newest first, beginning with the block that the cursor is in.
func (s *search) rows(r meta.Reader) ([]hit, error) {
	// An event lies in a block that ended at most maxBlockSpan later.
	to := indexKey(s.prefix, s.high+maxBlockSpan.Milliseconds()+1, 0)
	if c := s.query.After; c.Block != 0 {
		end := indexKey(s.prefix, c.LastT, c.Block)
		if c.Place > 0 {
			end = append(end, 0) // this block still has events to give
		}
		if bytes.Compare(end, to) < 0 {
			to = end
		}
	}
	var rows []hit
	for kv, err := range r.ScanReverse(indexKey(s.prefix, s.low, 0), to) {
		if err != nil {
			return nil, err
		}
		h, err := s.parse(kv)
		if err != nil {
			return nil, err
		}
		if rows = append(rows, h); len(rows) == rowsPerScan {
			break
		}
	}
	return rows, nil
}

func (s *search) parse(kv meta.KV) (h hit, err error) {
	lastT, seq, ok := cutIndexKey(kv.Key, len(s.prefix))
	span, places, ok2 := parseIndexValue(kv.Value)
	if !ok || !ok2 {
		return h, &Fault{Block: seq, Reason: "malformed index row"}
	}
	return hit{lastT: lastT, firstT: lastT - span, block: seq, places: places}, nil
}

// visit adds what h's block holds of the answer.
func (s *search) visit(r meta.Reader, h hit) error {
	if h.firstT > s.high || s.byID && (h.firstT > s.idTime || h.lastT < s.idTime) {
		return nil
	}
	limit := maxBlockEvents
	if c := s.query.After; c.Block == h.block && c.LastT == h.lastT {
		limit = int(c.Place)
	}
	place := h.places.last(limit)
	if place < 0 {
		return nil
	}
	b, err := s.log.readBlock(r, h.block)
	if err != nil {
		return err
	}
	for ; place >= 0; place = h.places.last(place) {
		if place >= len(b.events) {
			return &Fault{Block: b.seq, Reason: "index row names an event that is not there"}
		}
		if err := s.take(b, h.lastT, place); err != nil {
			return err
		}
	}
	return nil
}

// take adds one event if it is of the answer. One more than the limit shows that there is a next page.
func (s *search) take(b *block, lastT int64, place int) error {
	e, err := summarize(b.events[place])
	if err != nil {
		return &Fault{Block: b.seq, Event: b.first + uint64(place), Reason: "record is no JSON"}
	}
	f := Found{Event: *e, Record: bytes.Clone(b.events[place])} // or it would hold the whole block
	t := f.EventTime.Unix() * 1000
	if t < s.low || t > s.high || !f.matches(term{s.query.Attribute, s.query.Value}) {
		return nil
	}
	if len(s.page.Events) == s.query.Limit {
		return errPageFull
	}
	s.page.Events = append(s.page.Events, f)
	if len(s.page.Events) == s.query.Limit {
		s.page.Next = Cursor{LastT: lastT, Block: b.seq, Place: uint16(place)}
	}
	return nil
}

// timeOfID returns the Unix milliseconds in an event ID.
func timeOfID(id string) (int64, bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[14] != '7' || id[18] != '-' || id[23] != '-' {
		return 0, false
	}
	u, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(u) != 16 {
		return 0, false
	}
	var t int64
	for _, b := range u[:6] {
		t = t<<8 | int64(b)
	}
	return t, true
}
