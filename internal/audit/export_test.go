// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"testing"

	"github.com/obscura-video/obscura/internal/meta"
)

// Forger changes a log as somebody would who can write to the store and has its keys. It is for the tests that
// see this package from outside.
type Forger struct{ forger }

// NewForger returns one for the log in db.
func NewForger(t *testing.T, db meta.DB) Forger {
	t.Helper()
	r, err := NewReader(db)
	if err != nil {
		t.Fatal(err)
	}
	return Forger{forger{t, db, &Log{Reader: r}}}
}

// Records returns the events of a block.
func (f Forger) Records(block uint64) [][]byte { return f.read(block).events }

// Replace puts other events into a block and leaves its links as they are.
func (f Forger) Replace(block uint64, records [][]byte) {
	b := f.read(block)
	b.events = records
	f.write(b, false)
}

// DropLink takes the link of an event away with the event.
func (f Forger) DropLink(block uint64, place int) {
	b := f.read(block)
	b.events = append(b.events[:place:place], b.events[place+1:]...)
	b.links = append(b.links[:place:place], b.links[place+1:]...)
	f.write(b, false)
}

// Drop removes blocks from one up to another.
func (f Forger) Drop(from, to uint64) {
	f.update(func(tx meta.Tx) { tx.DeleteRange(blockKey(from, 0), blockKey(to+1, 0)) })
}

// Rechain replaces the events of a block and computes everything behind it anew: numbers, links, hashes, index,
// head. To the chain alone the forgery is perfect.
func (f Forger) Rechain(block uint64, records [][]byte) {
	var last head
	f.update(func(tx meta.Tx) {
		var err error
		if last, err = loadHead(tx); err != nil {
			f.t.Fatal(err)
		}
	})
	b := f.read(block)
	b.events = records
	now := head{block: block - 1, event: b.first - 1, hash: b.prev}
	for seq := block; seq <= last.block; seq++ {
		if seq > block {
			b = f.read(seq)
		}
		b.first, b.prev = now.event+1, now.hash
		now = head{block: seq, event: now.event + uint64(len(b.events)), hash: f.write(b, true)}
		f.reindex(b)
	}
	f.setHead(now)
}

// Truncate makes a block the newest, with everything that says so.
func (f Forger) Truncate(newest uint64) {
	b := f.read(newest)
	f.update(func(tx meta.Tx) { tx.DeleteRange(blockKey(newest+1, 0), blockKey(1<<40, 0)) })
	f.setHead(head{block: newest, event: b.first + uint64(len(b.events)) - 1, hash: b.chain()[len(b.events)]})
}

func (f Forger) setHead(h head) {
	f.update(func(tx meta.Tx) { tx.Put(rowKey(kindHead), h.marshal()) })
}

func (f Forger) reindex(b *block) {
	x := index{}
	for i, record := range b.events {
		var e Event
		if err := json.Unmarshal(record, &e); err != nil {
			f.t.Fatal(err)
		}
		x.add(e.terms(), i)
	}
	f.update(func(tx meta.Tx) {
		for _, row := range x.rows(b) {
			tx.Put(row.Key, row.Value)
		}
	})
}
