// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
)

// forger changes a log as somebody would who can write to the store.
type forger struct {
	t  *testing.T
	db meta.DB
	l  *Log
}

func (f forger) read(seq uint64) *block {
	var b *block
	err := f.db.View(f.t.Context(), func(r meta.Reader) (err error) {
		b, err = f.l.readBlock(r, seq)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// write replaces a block. With relink its own links are made to fit; otherwise they stay as they are.
func (f forger) write(b *block, relink bool) digest {
	z, err := newPacker()
	if err != nil {
		f.t.Fatal(err)
	}
	links := b.links
	parts, hash := b.marshal(z)
	if !relink {
		for i := range b.events {
			copy(parts[0][headerBytes+i*linkBytes:], links[min(i, len(links)-1)][:])
		}
	}
	f.update(func(tx meta.Tx) {
		tx.DeleteRange(blockKey(b.seq, 0), blockKey(b.seq+1, 0))
		for i, p := range parts {
			tx.Put(blockKey(b.seq, i), p)
		}
	})
	return hash
}

func (f forger) update(fn func(meta.Tx)) {
	if err := f.db.Update(f.t.Context(), func(tx meta.Tx) error { fn(tx); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

// TestVerifyNamesTheFirstEventThatIsNotAsWritten forges a log of five blocks of ten events in every way.
func TestVerifyNamesTheFirstEventThatIsNotAsWritten(t *testing.T) {
	alter := func(record []byte) []byte {
		return bytes.Replace(record, []byte(`"userName":"alice"`), []byte(`"userName":"malle"`), 1)
	}
	tests := []struct {
		name  string
		forge func(f forger)
		event uint64 // 0: nothing is wrong
		block uint64
	}{
		{name: "control: untouched", forge: func(forger) {}},
		{name: "control: rewritten with the same content", forge: func(f forger) { f.write(f.read(3), true) }},
		{name: "event altered", event: 24, block: 3, forge: func(f forger) {
			b := f.read(3)
			b.events[3] = alter(b.events[3])
			f.write(b, false)
		}},
		{name: "event dropped with its link", event: 24, block: 3, forge: func(f forger) {
			b := f.read(3)
			b.events = slices.Delete(b.events, 3, 4)
			b.links = slices.Delete(b.links, 3, 4)
			f.write(b, false)
		}},
		{name: "last event of a block dropped", event: 30, block: 4, forge: func(f forger) {
			b := f.read(3)
			b.events, b.links = b.events[:9], b.links[:9]
			f.write(b, false)
		}},
		{name: "event inserted", event: 24, block: 3, forge: func(f forger) {
			b := f.read(3)
			b.events = slices.Insert(b.events, 3, alter(b.events[2]))
			b.links = slices.Insert(b.links, 3, b.links[2])
			f.write(b, false)
		}},
		{name: "events swapped", event: 22, block: 3, forge: func(f forger) {
			b := f.read(3)
			b.events[1], b.events[5] = b.events[5], b.events[1]
			f.write(b, false)
		}},
		{name: "first event of the log altered", event: 1, block: 1, forge: func(f forger) {
			b := f.read(1)
			b.events[0] = alter(b.events[0])
			f.write(b, false)
		}},
		{name: "block rewritten with fitting links", event: 21, block: 3, forge: func(f forger) {
			b := f.read(3)
			b.events[3] = alter(b.events[3])
			f.write(b, true)
		}},
		{name: "newest block rewritten with fitting links", event: 41, block: 5, forge: func(f forger) {
			b := f.read(5)
			b.events[9] = alter(b.events[9])
			f.write(b, true)
		}},
		{name: "time altered", event: 21, block: 3, forge: func(f forger) {
			b := f.read(3)
			b.firstT--
			f.write(b, false)
		}},
		{name: "block dropped", event: 21, block: 3, forge: func(f forger) {
			f.update(func(tx meta.Tx) { tx.DeleteRange(blockKey(3, 0), blockKey(4, 0)) })
		}},
		{name: "newest block dropped", event: 41, block: 5, forge: func(f forger) {
			f.update(func(tx meta.Tx) { tx.DeleteRange(blockKey(5, 0), blockKey(6, 0)) })
		}},
		{name: "block dropped and the rest moved up", event: 21, block: 3, forge: func(f forger) {
			b := f.read(4)
			b.seq = 3
			f.write(b, false)
		}},
		{name: "block copied in at the end", event: 51, block: 6, forge: func(f forger) {
			b := f.read(5)
			b.seq, b.first = 6, 51
			f.write(b, true)
		}},
		{name: "block unreadable", event: 31, block: 4, forge: func(f forger) {
			f.update(func(tx meta.Tx) { tx.Put(blockKey(4, 0), []byte("noise")) })
		}},
		{name: "index row dropped", event: 31, block: 4, forge: func(f forger) {
			b := f.read(4)
			f.update(func(tx meta.Tx) { tx.Delete(indexKey(indexPrefix(Username, "alice"), b.lastT, 4)) })
		}},
		{name: "index row thinned out", event: 34, block: 4, forge: func(f forger) {
			b := f.read(4)
			f.update(func(tx meta.Tx) { tx.Put(indexKey(indexPrefix(Any, ""), b.lastT, 4), []byte{0, 0x07}) })
		}},
		{name: "head set back and the newest block dropped", event: 41, block: 5, forge: func(f forger) {
			b4, b5 := f.read(4), f.read(5)
			f.update(func(tx meta.Tx) {
				tx.DeleteRange(blockKey(5, 0), blockKey(6, 0))
				tx.Put(rowKey(kindHead), head{block: 4, event: b4.first + 9, hash: b5.prev}.marshal())
			})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := mem.New()
			l := open(t, db)
			for i := range 50 {
				e := event("alice", "kms", fmt.Sprintf("Describe%d", i))
				record(t, l, e)
				if i%10 == 9 {
					if err := l.Flush(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			before, err := l.Verify(t.Context())
			if err != nil || before.Blocks != 5 {
				t.Fatalf("before: %+v, %v", before, err)
			}
			tt.forge(forger{t, db, l})
			_, err = l.Verify(t.Context(), before.End)
			if tt.event == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			f, ok := errors.AsType[*Fault](err)
			if !ok || f.Event != tt.event || f.Block != tt.block {
				t.Fatalf("got %v, want event %d in block %d", err, tt.event, tt.block)
			}
		})
	}
}

// TestVerifyNamesWhatTheWholeIndexLacks is of a log whose index is read in its own order, since it is long.
func TestVerifyNamesWhatTheWholeIndexLacks(t *testing.T) {
	const blocks, each = 150, 3
	base := mem.New()
	l := open(t, base)
	for i := range blocks * each {
		record(t, l, event(fmt.Sprint("user", i%7), "kms", fmt.Sprintf("Describe%d", i)))
		if i%each == each-1 {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r, err := l.Verify(t.Context()); err != nil || r.Blocks != blocks || r.Events != blocks*each {
		t.Fatalf("control: %+v, %v", r, err)
	}
	// The row of an event's name, and all the row's block.
	row := func(f forger, event uint64) ([]byte, *block) {
		b := f.read((event-1)/each + 1)
		return indexKey(indexPrefix(EventName, fmt.Sprintf("Describe%d", event-1)), b.lastT, b.seq), b
	}
	for name, tt := range map[string]struct {
		forge func(f forger)
		event uint64
		block uint64
	}{
		"control: untouched": {forge: func(forger) {}},
		"row dropped": {event: 200, block: 67, forge: func(f forger) {
			key, _ := row(f, 200)
			f.update(func(tx meta.Tx) { tx.Delete(key) })
		}},
		"last row dropped": {event: 450, block: 150, forge: func(f forger) {
			key, _ := row(f, 450)
			f.update(func(tx meta.Tx) { tx.Delete(key) })
		}},
		"two rows dropped": {event: 4, block: 2, forge: func(f forger) {
			one, _ := row(f, 4)
			two, _ := row(f, 440)
			f.update(func(tx meta.Tx) { tx.Delete(one); tx.Delete(two) })
		}},
		"row points elsewhere": {event: 200, block: 67, forge: func(f forger) {
			key, _ := row(f, 200)
			f.update(func(tx meta.Tx) { tx.Put(key, []byte{0, 1}) })
		}},
		"rows exchanged": {event: 200, block: 67, forge: func(f forger) {
			one, _ := row(f, 200)
			two, _ := row(f, 201)
			f.update(func(tx meta.Tx) {
				a, _ := tx.Get(one)
				b, _ := tx.Get(two)
				tx.Put(one, b)
				tx.Put(two, a)
			})
		}},
		"row inserted": {block: 70, forge: func(f forger) {
			_, b := row(f, 210)
			f.update(func(tx meta.Tx) { tx.Put(indexKey(indexPrefix(Username, "mallory"), b.lastT, b.seq), []byte{0, 1}) })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			db := mem.New()
			copyRows(t, base, db)
			f := NewForger(t, db).forger
			tt.forge(f)
			_, err := f.l.Verify(t.Context())
			if tt.block == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if fault, ok := errors.AsType[*Fault](err); !ok || fault.Event != tt.event || fault.Block != tt.block {
				t.Fatalf("got %v, want event %d in block %d", err, tt.event, tt.block)
			}
		})
	}
}

func copyRows(t *testing.T, from, to meta.DB) {
	t.Helper()
	var rows []meta.KV
	err := from.View(t.Context(), func(r meta.Reader) error {
		for kv, err := range r.Scan(nil, nil) {
			if err != nil {
				return err
			}
			rows = append(rows, kv)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(rows, 5000) {
		err := to.Update(t.Context(), func(tx meta.Tx) error {
			for _, kv := range part {
				tx.Put(kv.Key, kv.Value)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyEndsWithItsContext wherever it is.
func TestVerifyEndsWithItsContext(t *testing.T) {
	l := open(t, mem.New())
	for i := range 600 {
		record(t, l, event("alice", "kms", fmt.Sprintf("Describe%d", i)))
		if i%2 == 1 {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for stop := range 40 {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		_, err := l.VerifyRange(ctx, Verification{Visit: func(*Run) error {
			if n++; n == stop*7 {
				cancel()
			}
			return nil
		}})
		if cancel(); stop > 0 && !errors.Is(err, context.Canceled) {
			t.Errorf("after %d blocks: %v", stop*7, err)
		}
	}
}

// TestEveryBlockHasItsSum: the blocks of the sums are all blocks, each once.
func TestEveryBlockHasItsSum(t *testing.T) {
	for _, n := range []uint64{1, 7, sumBuckets - 1, sumBuckets, sumBuckets + 1, 3*sumBuckets + 11} {
		x := newIndexSums(5, 4+n)
		next := uint64(5)
		for i := range x.sums {
			from, to := x.blocksOf(i)
			if from != next || to < from || x.bucket(from) != i || x.bucket(to) != i {
				t.Fatalf("%d blocks: sum %d is of %d to %d, want from %d", n, i, from, to, next)
			}
			next = to + 1
		}
		if next != 5+n {
			t.Errorf("%d blocks: the sums end at %d", n, next)
		}
	}
}

func TestVerifyFindsTheRewrittenTailByAnAnchorAlone(t *testing.T) {
	db := mem.New()
	l := open(t, db)
	record(t, l, event("alice", "kms", "CreateKey"), event("alice", "kms", "DisableKey"))
	before, err := l.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := forger{t, db, l}
	b := f.read(2)
	b.events[0] = bytes.Replace(b.events[0], []byte("192.0.2.1"), []byte("192.0.2.2"), 1)
	hash := f.write(b, true)
	f.update(func(tx meta.Tx) { tx.Put(rowKey(kindHead), head{block: 2, event: 2, hash: hash}.marshal()) })
	if _, err := l.Verify(t.Context()); err != nil {
		t.Fatalf("without an anchor the forgery is perfect, but: %v", err)
	}
	_, err = l.Verify(t.Context(), before.End)
	if f, ok := errors.AsType[*Fault](err); !ok || f.Block != 2 {
		t.Fatalf("got %v", err)
	}
}

func TestOpenRefusesALogWhoseEndWasTampered(t *testing.T) {
	for name, forge := range map[string]func(f forger){
		"newest block altered": func(f forger) {
			b := f.read(2)
			b.events[0] = bytes.Replace(b.events[0], []byte("alice"), []byte("malle"), 1)
			f.write(b, true)
		},
		"newest block dropped": func(f forger) {
			f.update(func(tx meta.Tx) { tx.DeleteRange(blockKey(2, 0), blockKey(3, 0)) })
		},
		"head dropped": func(f forger) { f.update(func(tx meta.Tx) { tx.Delete(rowKey(kindHead)) }) },
		"head malformed": func(f forger) {
			f.update(func(tx meta.Tx) { tx.Put(rowKey(kindHead), []byte{1}) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := mem.New()
			l := open(t, db)
			record(t, l, event("alice", "kms", "CreateKey"), event("alice", "kms", "DisableKey"))
			l.Close()
			forge(forger{t, db, l})
			if _, err := Open(t.Context(), Config{DB: db}); err == nil {
				t.Fatal("opened")
			}
		})
	}
}

// TestChainVector holds the example of docs/formats/audit.md.
func TestChainVector(t *testing.T) {
	b := block{seq: 1, first: 1, firstT: 1_795_000_000_000, lastT: 1_795_000_000_050, events: [][]byte{[]byte(`{"a":1}`), []byte(`{"b":2}`)}}
	want := []string{
		"311b5e21d8e6d0095b21aca1326f1b19275e4df5d597e605e8bc509048a01428",
		"47821e83d7b6f2567b3345f98ed9f8fa2a7d9afa5beb216588d1123a8c80b46a",
		"b2704eb7eab6d1e57de26323ccae64c07c48006f2f41308dd766693dc688eee8",
	}
	for i, h := range b.chain() {
		if got := fmt.Sprintf("%x", h); got != want[i] {
			t.Errorf("h[%d] = %s, want %s", i, got, want[i])
		}
	}
}

func FuzzParseBlock(f *testing.F) {
	z, err := newPacker()
	if err != nil {
		f.Fatal(err)
	}
	d, err := newDecoder()
	if err != nil {
		f.Fatal(err)
	}
	b := block{seq: 7, first: 9, firstT: 1, lastT: 2, events: [][]byte{[]byte("{}"), []byte(strings.Repeat("x", 300))}}
	parts, _ := b.marshal(z)
	f.Add(parts[0], []byte(nil))
	f.Add(parts[0][:headerBytes], parts[0][headerBytes:])
	f.Fuzz(func(t *testing.T, one, two []byte) {
		in := [][]byte{one}
		if len(two) > 0 {
			in = append(in, two)
		}
		b, err := parseBlock(in, d)
		if err != nil {
			return
		}
		again, _ := b.marshal(z)
		c, err := parseBlock(again, d)
		if err != nil || c.seq != b.seq || len(c.events) != len(b.events) || c.chain()[len(c.events)] != b.chain()[len(b.events)] {
			t.Fatalf("not stable: %v", err)
		}
	})
}

func FuzzParseIndexRow(f *testing.F) {
	f.Add([]byte{0, 1}, indexKey(indexPrefix(Any, ""), 5, 6))
	f.Fuzz(func(t *testing.T, value, key []byte) {
		parseIndexValue(value)
		parseHead(value)
		cutBlockKey(key)
		cutIndexKey(key, len(indexPrefix(Any, "")))
		timeOfID(string(value))
	})
}
