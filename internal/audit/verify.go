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

// Anchor is a place in the chain: a block and its hash in hexadecimal.
type Anchor struct {
	Block uint64 `json:"block"`
	Hash  string `json:"hash"`
}

// Report is what Verify has checked.
type Report struct {
	Blocks, Events uint64
	// End is the newest block that was checked.
	End Anchor
}

// Verification says what Reader.Verify checks. The zero value is the whole log.
type Verification struct {
	// Anchors were kept elsewhere: the chain must run through each that lies in the range.
	Anchors []Anchor
	// From and To are the first and the last block; 0 is the first and the newest. What comes before From is
	// taken on trust.
	From, To uint64
	// Visit gets each block that fits the chain, in order. Its error ends the verification; it may be nil.
	Visit func(*Run) error
}

// Verify is Reader.Verify of the whole log.
func (l *Reader) Verify(ctx context.Context, anchors ...Anchor) (Report, error) {
	return l.VerifyRange(ctx, Verification{Anchors: anchors})
}

// VerifyRange reads the log and checks every hash, every number and every index row, up to the block that is
// the newest when it begins. It may run beside Log.Record.
//
// Errors: *Fault names the first event altered, dropped or inserted. Where a whole block was rewritten with
// hashes that fit, only the block can be named, by its first event. A log that was rewritten from some event
// to its end, head included, is found only by anchors, which were kept elsewhere, and by package digest.
func (l *Reader) VerifyRange(ctx context.Context, c Verification) (report Report, err error) {
	v := verifier{Verification: c, log: l}
	end, err := l.beginVerify(ctx, &v)
	if err != nil {
		return report, fmt.Errorf("audit: verify: %w", err)
	}
	for v.block < end.block {
		if err := ctx.Err(); err != nil {
			return report, fmt.Errorf("audit: verify: %w", err)
		}
		// A snapshot for a few blocks at a time, so that none is held for long.
		err := l.db.View(ctx, func(r meta.Reader) error { return v.some(ctx, r, end.block) })
		report.End = Anchor{Block: v.block, Hash: hex.EncodeToString(v.hash[:])}
		report.Blocks, report.Events = v.blocks, v.events
		if err != nil {
			return report, fmt.Errorf("audit: verify: %w", err)
		}
	}
	if end.hash == nil {
		return report, l.db.View(ctx, func(r meta.Reader) error { return v.checkIndex(r) })
	}
	if v.hash != *end.hash || v.event != end.event {
		return report, &Fault{Block: v.block, Event: v.start(), Reason: "newest block is not the one the head names"}
	}
	return report, l.db.View(ctx, func(r meta.Reader) error { return v.tail(r) })
}

// goal is where a verification ends; hash is nil when that is not the end of the log.
type goal struct {
	block, event uint64
	hash         *digest
}

// beginVerify finds the end, and puts v before the first block.
func (l *Reader) beginVerify(ctx context.Context, v *verifier) (g goal, err error) {
	err = l.db.View(ctx, func(r meta.Reader) error {
		end, err := loadHead(r)
		if err != nil {
			return err
		}
		g = goal{block: end.block, event: end.event, hash: &end.hash}
		if v.To > 0 && v.To < end.block {
			g = goal{block: v.To}
		}
		if v.From > g.block { // nothing
			v.head, g = end, goal{block: end.block}
			return nil
		}
		if v.From <= 1 {
			return nil
		}
		b, err := l.readBlock(r, v.From)
		if err != nil {
			return unreadable(v.From, 0, err)
		}
		v.head = head{block: b.seq - 1, event: b.first - 1, hash: b.prev}
		return nil
	})
	return g, err
}

// verifier walks the chain; the head in it is the place it has reached.
type verifier struct {
	Verification
	head
	log            *Reader
	last           *block
	blocks, events uint64 // checked
}

const blocksPerView = 64

func (v *verifier) some(ctx context.Context, r meta.Reader, end uint64) error {
	for range blocksPerView {
		if v.block == end {
			return nil
		}
		if err := v.next(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// next checks one block more.
func (v *verifier) next(ctx context.Context, r meta.Reader) error {
	b, err := v.log.readBlock(r, v.block+1)
	if f, ok := errors.AsType[*Fault](err); ok {
		f.Event = v.event + 1
		return f
	}
	if err != nil {
		return v.damaged(ctx, v.block+1, v.event+1, err)
	}
	if b.first != v.event+1 {
		f := &Fault{Block: b.seq, Event: v.event + 1, Reason: fmt.Sprintf("events before were dropped or inserted: the block begins with event %d", b.first)}
		return f.At(b.events[0])
	}
	if f := b.fault(); f != nil {
		return f
	}
	if b.prev != v.hash { // b fits itself, so it is the block before that does not fit
		f := &Fault{Block: v.block, Event: v.start(), Last: v.event, Reason: "block is not the one that the next block was bound to"}
		return f.At(v.firstRecord())
	}
	if err := v.checkIndex(r); err != nil {
		return v.damaged(ctx, v.block, v.start(), err)
	}
	v.last = b
	v.head = head{block: b.seq, event: b.first + uint64(len(b.events)) - 1, hash: b.chain()[len(b.events)]}
	v.blocks, v.events = v.blocks+1, v.events+uint64(len(b.events))
	if err := v.checkAnchors(); err != nil || v.Visit == nil {
		return err
	}
	return v.Visit(b.run())
}

// damaged makes an error of the store a fault that names the place.
func (v *verifier) damaged(ctx context.Context, block, event uint64, err error) error {
	if _, ok := errors.AsType[*Fault](err); ok || ctx.Err() != nil {
		return err
	}
	return unreadable(block, event, err)
}

// start is the number of the first event of the last block.
func (v *verifier) start() uint64 {
	if v.last == nil {
		return 1
	}
	return v.last.first
}

func (v *verifier) firstRecord() []byte {
	if v.last == nil {
		return nil
	}
	return v.last.events[0]
}

func (v *verifier) checkAnchors() error {
	for _, a := range v.Anchors {
		if a.Block == v.block && a.Hash != hex.EncodeToString(v.hash[:]) {
			f := &Fault{Block: v.block, Event: v.start(), Last: v.event, Reason: "chain does not run through the anchor: this block or one before was rewritten"}
			return f.At(v.firstRecord())
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
	for _, a := range v.Anchors {
		if a.Block > v.block {
			return &Fault{Block: v.block + 1, Event: v.event + 1, Reason: "events were dropped: the log ends before the anchor"}
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
		f := &Fault{Block: b.seq, Event: b.first + uint64(place), Reason: "event cannot be found: its index row is missing or altered"}
		return f.At(b.events[min(place, len(b.events)-1)])
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
