// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"

	"github.com/obscura-video/obscura/internal/meta"
)

// Fault is the first place at which the log is not what was written.
type Fault struct {
	// Block and Event count from 1 and name the place; 0 when it is not known.
	Block, Event uint64
	// EventID is that of the event now in this place, if it can be read.
	EventID string
	Reason  string
}

// Error names the place and the reason.
func (f *Fault) Error() string {
	return fmt.Sprintf("audit: event %d in block %d: %s", f.Event, f.Block, f.Reason)
}

// Anchor is a place in the chain: a block and its hash in hexadecimal.
type Anchor struct {
	Block uint64
	Hash  string
}

// Report is what Verify has checked.
type Report struct {
	Blocks, Events uint64
	// End is the newest block that was checked.
	End Anchor
}

// Verify reads the whole log and checks every hash, every number and every index row, up to the block that is
// the newest when it begins. It may run beside Record.
//
// Errors: *Fault names the first event altered, dropped or inserted. Where a whole block was rewritten with
// hashes that fit, only the block can be named, by its first event. A log that was rewritten from some event
// to its end, head included, is found only by anchors, which were kept elsewhere.
func (l *Log) Verify(ctx context.Context, anchors ...Anchor) (Report, error) {
	var (
		end    head
		report Report
	)
	err := l.db.View(ctx, func(r meta.Reader) (err error) {
		end, err = loadHead(r)
		return err
	})
	if err != nil {
		return report, fmt.Errorf("audit: verify: %w", err)
	}
	v := verifier{log: l, anchors: anchors}
	for v.block < end.block {
		if err := ctx.Err(); err != nil {
			return report, fmt.Errorf("audit: verify: %w", err)
		}
		// A snapshot for a few blocks at a time, so that none is held for long.
		err := l.db.View(ctx, func(r meta.Reader) error { return v.some(r, end.block) })
		if err != nil {
			return report, fmt.Errorf("audit: verify: %w", err)
		}
		report = Report{Blocks: v.block, Events: v.event, End: Anchor{Block: v.block, Hash: hex.EncodeToString(v.hash[:])}}
	}
	if v.hash != end.hash || v.event != end.event {
		return report, &Fault{Block: v.block, Event: v.start(), Reason: "newest block is not the one the head names"}
	}
	return report, l.db.View(ctx, func(r meta.Reader) error { return v.tail(r) })
}

// verifier walks the chain; the head in it is the place it has reached.
type verifier struct {
	head
	last    *block
	log     *Log
	anchors []Anchor
}

const blocksPerView = 64

func (v *verifier) some(r meta.Reader, end uint64) error {
	for range blocksPerView {
		if v.block == end {
			return nil
		}
		if err := v.next(r); err != nil {
			return err
		}
	}
	return nil
}

// next checks one block more.
func (v *verifier) next(r meta.Reader) error {
	b, err := v.log.readBlock(r, v.block+1)
	if f, ok := errors.AsType[*Fault](err); ok {
		f.Event = v.event + 1
		return f
	}
	if err != nil {
		return err
	}
	if b.first != v.event+1 {
		return &Fault{Block: b.seq, Event: v.event + 1, Reason: fmt.Sprintf("block begins with event %d", b.first)}
	}
	if f := b.fault(); f != nil {
		return f
	}
	if b.prev != v.hash { // b fits itself, so it is the block before that does not fit
		return &Fault{Block: v.block, Event: v.start(), Reason: "block is not the one the next block was bound to"}
	}
	if err := v.checkIndex(r); err != nil {
		return err
	}
	v.last = b
	v.head = head{block: b.seq, event: b.first + uint64(len(b.events)) - 1, hash: b.chain()[len(b.events)]}
	return v.checkAnchors()
}

// start is the number of the first event of the last block.
func (v *verifier) start() uint64 {
	if v.last == nil {
		return 1
	}
	return v.last.first
}

func (v *verifier) checkAnchors() error {
	for _, a := range v.anchors {
		if a.Block == v.block && a.Hash != hex.EncodeToString(v.hash[:]) {
			return &Fault{Block: v.block, Event: v.start(), Reason: "chain does not run through the anchor"}
		}
	}
	return nil
}

// tail checks the index of the newest block, that the log reaches every anchor, and that nothing lies
// behind its end.
func (v *verifier) tail(r meta.Reader) error {
	if err := v.checkIndex(r); err != nil {
		return err
	}
	for _, a := range v.anchors {
		if a.Block > v.block {
			return &Fault{Block: v.block + 1, Event: v.event + 1, Reason: "chain ends before the anchor"}
		}
	}
	now, err := loadHead(r)
	if err != nil {
		return err
	}
	newest, err := newestBlock(r)
	if err == nil && newest != now.block {
		return &Fault{Block: min(newest, now.block) + 1, Event: v.event + 1, Reason: "head and newest block differ"}
	}
	return err
}

// fault checks b's links and returns the first event that they do not fit, nil when all do.
func (b *block) fault() *Fault {
	hashes := b.chain()
	for i, h := range hashes[1:] {
		if !bytes.Equal(h[:linkBytes], b.links[i][:]) {
			f := &Fault{Block: b.seq, Event: b.first + uint64(i), Reason: "record or what comes before it was altered"}
			var e Event
			if json.Unmarshal(b.events[i], &e) == nil {
				f.EventID = e.EventID
			}
			return f
		}
	}
	return nil
}

// checkIndex compares the index rows of the last block, which is proved by now, with its events: an event
// that cannot be found is as good as gone.
func (v *verifier) checkIndex(r meta.Reader) error {
	b := v.last
	if b == nil {
		return nil
	}
	x := index{}
	for i, record := range b.events {
		var e Event
		if err := json.Unmarshal(record, &e); err != nil {
			return &Fault{Block: b.seq, Event: b.first + uint64(i), Reason: "record is no JSON"}
		}
		x.add(&e, i)
	}
	place := maxBlockEvents
	for _, row := range x.rows(b) {
		got, err := r.Get(row.Key)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		if err != nil || !bytes.Equal(got, row.Value) {
			place = min(place, firstDifference(row.Value, got))
		}
	}
	if place < maxBlockEvents {
		return &Fault{Block: b.seq, Event: b.first + uint64(place), Reason: "index row is missing or altered"}
	}
	return nil
}

// firstDifference returns the place of the first event that two index values disagree on, 0 when they
// disagree on something else.
func firstDifference(want, got []byte) int {
	_, a, _ := parseIndexValue(want)
	_, b, _ := parseIndexValue(got)
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return i*8 + bits.TrailingZeros8(x)
		}
	}
	return 0
}
