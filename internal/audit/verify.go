// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

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
// the newest when it begins. It may run beside Log.Record, and uses every processor there is.
//
// Errors: *Fault names the first event altered, dropped or inserted. Where a whole block was rewritten with
// hashes that fit, only the block can be named, by its first event. A log that was rewritten from some event
// to its end, head included, is found only by anchors, which were kept elsewhere, and by package digest.
// Faults of the index are told after those of the chain.
func (l *Reader) VerifyRange(ctx context.Context, c Verification) (report Report, err error) {
	v := verifier{Verification: c, log: l}
	end, err := l.beginVerify(ctx, &v)
	if err != nil {
		return report, fmt.Errorf("audit: verify: %w", err)
	}
	v.index = newIndexSums(v.block+1, end.block)
	if err = v.walk(ctx, end.block); err == nil {
		err = v.finish(ctx, end)
	}
	report = Report{Blocks: v.blocks, Events: v.events, End: Anchor{Block: v.block, Hash: hex.EncodeToString(v.hash[:])}}
	if v.blocks == 0 && v.block == 0 {
		report.End = Anchor{}
	}
	if err != nil {
		return report, fmt.Errorf("audit: verify: %w", err)
	}
	return report, nil
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
	index          *indexSums
	blocks, events uint64 // checked
}

// walk checks every block up to one.
func (v *verifier) walk(ctx context.Context, end uint64) error {
	for c, err := range v.log.checked(ctx, v.block+1, end, v.index) {
		if err != nil {
			return v.damaged(ctx, err)
		}
		if err := v.next(c); err != nil {
			return err
		}
	}
	if v.block < end && ctx.Err() == nil {
		return v.missing()
	}
	return ctx.Err()
}

func (v *verifier) missing() *Fault {
	return &Fault{Block: v.block + 1, Event: v.event + 1, Reason: "block is missing"}
}

// next takes up one block more, which fits itself if it has no fault.
func (v *verifier) next(c checkedBlock) error {
	b := c.block
	switch {
	case c.seq != v.block+1:
		return v.missing()
	case c.fault != nil && b == nil:
		c.fault.Event = v.event + 1
		return c.fault
	case b.first != v.event+1:
		f := &Fault{Block: b.seq, Event: v.event + 1, Reason: fmt.Sprintf("events before were dropped or inserted: the block begins with event %d", b.first)}
		return f.At(b.events[0])
	case c.fault != nil:
		return c.fault
	case b.prev != v.hash: // b fits itself, so it is the block before that does not fit
		f := &Fault{Block: v.block, Event: v.start(), Last: v.event, Reason: "block is not the one that the next block was bound to"}
		return f.At(v.firstRecord())
	}
	v.last = b
	v.head = head{block: b.seq, event: b.first + uint64(len(b.events)) - 1, hash: c.hash}
	v.blocks, v.events = v.blocks+1, v.events+uint64(len(b.events))
	v.index.add(c.sum, b.seq)
	if err := v.checkAnchors(); err != nil || v.Visit == nil {
		return err
	}
	return v.Visit(b.run())
}

// damaged makes an error of the store a fault that names the place.
func (v *verifier) damaged(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*Fault](err); ok || ctx.Err() != nil {
		return err
	}
	return unreadable(v.block+1, v.event+1, err)
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

// finish checks that the head fits, that the log reaches every anchor, that nothing lies behind its end, and the
// index.
func (v *verifier) finish(ctx context.Context, end goal) error {
	if end.hash != nil {
		if v.hash != *end.hash || v.event != end.event {
			f := &Fault{Block: v.block, Event: v.start(), Last: v.event, Reason: "newest block is not the one the head names"}
			return f.At(v.firstRecord())
		}
		if err := v.log.db.View(ctx, v.tail); err != nil {
			return err
		}
	}
	return v.checkIndex(ctx)
}

func (v *verifier) tail(r meta.Reader) error {
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
