// SPDX-License-Identifier: Apache-2.0

package audit

// The index is verified in the order in which it lies on the disk, not block by block: for each row that the events
// call for, and for each row that there is, a keyed hash is added to, or taken from, the sum of the row's blocks.
// All sums are zero in the end if and only if the two sets of rows are the same, save with a chance of 2^-128. The
// key is random and of this run alone, so nobody can have prepared rows whose hashes cancel out.
//
// Source: Clarke et al., "Incremental Multiset Hash Functions and Their Application to Memory Integrity Checking"
// (2003), MSet-Add-Hash.

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math/bits"
	"sync"

	"github.com/obscura-video/obscura/internal/meta"
)

// sum is a number of 128 bits that wraps around.
type sum struct{ high, low uint64 }

func (s *sum) add(t sum) {
	var carry uint64
	s.low, carry = bits.Add64(s.low, t.low, 0)
	s.high, _ = bits.Add64(s.high, t.high, carry)
}

func (s *sum) sub(t sum) {
	var borrow uint64
	s.low, borrow = bits.Sub64(s.low, t.low, 0)
	s.high, _ = bits.Sub64(s.high, t.high, borrow)
}

// sumBuckets is how many sums there are at most: each is of as many consecutive blocks.
const sumBuckets = 4096

// indexSums are the sums of the blocks of a verification. Its hashing is for any goroutine, its sums are for one.
type indexSums struct {
	from, to uint64
	sums     []sum
	hashers  sync.Pool // of *rowHasher
}

// rowHasher hashes rows; it is for one goroutine at a time.
type rowHasher struct {
	mac hash.Hash
	out [sha256.Size]byte
}

func newIndexSums(from, to uint64) *indexSums {
	x := &indexSums{from: from, to: to}
	if to >= from {
		x.sums = make([]sum, min(sumBuckets, to-from+1))
	}
	key := make([]byte, 32)
	rand.Read(key)
	x.hashers.New = func() any { return &rowHasher{mac: hmac.New(sha256.New, key)} }
	return x
}

func (h *rowHasher) hash(row meta.KV) sum {
	h.mac.Reset()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(row.Key)))
	h.mac.Write(n[:])
	h.mac.Write(row.Key)
	h.mac.Write(row.Value)
	out := h.mac.Sum(h.out[:0])
	return sum{binary.BigEndian.Uint64(out), binary.BigEndian.Uint64(out[8:])}
}

// expect returns the sum of the rows that a block calls for.
func (x *indexSums) expect(b *block) (s sum, f *Fault) {
	terms, f := b.indexed()
	if f != nil {
		return s, f
	}
	h := x.hashers.Get().(*rowHasher)
	defer x.hashers.Put(h)
	for _, row := range terms.rows(b) {
		s.add(h.hash(row))
	}
	return s, nil
}

// bucket is the place of a block's sum.
func (x *indexSums) bucket(block uint64) int {
	high, low := bits.Mul64(block-x.from, uint64(len(x.sums)))
	place, _ := bits.Div64(high, low, x.to-x.from+1)
	return int(place)
}

func (x *indexSums) add(s sum, block uint64) { x.sums[x.bucket(block)].add(s) }

const (
	indexRowsPerView = 4096
	// fewBlocks is up to how many blocks are looked up one by one, rather than by the whole index.
	fewBlocks = 64
)

// checkIndex compares the index with what the events call for: an event that cannot be found is as good as gone.
func (v *verifier) checkIndex(ctx context.Context) error {
	x := v.index
	if len(x.sums) == 0 {
		return nil
	}
	if x.to-x.from < fewBlocks {
		return v.nameIndexFault(ctx, x.from, x.to)
	}
	h := x.hashers.Get().(*rowHasher)
	defer x.hashers.Put(h)
	err := v.log.indexRows(ctx, func(row meta.KV, block uint64) {
		if block >= x.from && block <= x.to {
			x.sums[x.bucket(block)].sub(h.hash(row))
		}
	})
	if err != nil {
		return err
	}
	for i, s := range x.sums {
		if s == (sum{}) {
			continue
		}
		from, to := x.blocksOf(i)
		if err := v.nameIndexFault(ctx, from, to); err != nil {
			return err
		}
		return v.nameExtraRow(ctx, from, to)
	}
	return nil
}

// blocksOf returns the first and the last block of a sum.
func (x *indexSums) blocksOf(bucket int) (from, to uint64) {
	n := x.to - x.from + 1
	first := func(i uint64) uint64 { // the first block whose bucket is i
		high, low := bits.Mul64(i, n)
		place, rest := bits.Div64(high, low, uint64(len(x.sums)))
		if rest > 0 {
			place++
		}
		return x.from + place
	}
	return first(uint64(bucket)), first(uint64(bucket)+1) - 1
}

// indexRows calls fn with every row of the index, a snapshot for a few at a time.
func (l *Reader) indexRows(ctx context.Context, fn func(row meta.KV, block uint64)) error {
	from, end := rowKey(kindIndex), meta.PrefixEnd(rowKey(kindIndex))
	prefix := len(indexPrefix(Any, ""))
	for from != nil {
		err := l.db.View(ctx, func(r meta.Reader) error {
			next, n := []byte(nil), 0
			for kv, err := range r.Scan(from, end) {
				if err != nil {
					return err
				}
				if n++; n > indexRowsPerView {
					next = bytes.Clone(kv.Key)
					break
				}
				_, block, ok := cutIndexKey(kv.Key, prefix)
				if !ok {
					return &Fault{Block: block, Reason: "malformed index row"}
				}
				fn(kv, block)
			}
			from = next
			return nil
		})
		if _, fault := errors.AsType[*Fault](err); fault || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if err != nil {
			return &Fault{Reason: "index cannot be read: " + err.Error(), Err: err}
		}
	}
	return nil
}

// nameIndexFault looks for the first event of some blocks of which an index row is missing or altered.
func (v *verifier) nameIndexFault(ctx context.Context, from, to uint64) error {
	for seq := from; seq <= to; seq++ {
		if err := v.log.db.View(ctx, func(r meta.Reader) error { return v.log.checkIndexOf(r, seq) }); err != nil {
			return err
		}
	}
	return nil
}

// checkIndexOf compares the index rows of one block with its events.
func (l *Reader) checkIndexOf(r meta.Reader, seq uint64) error {
	b, err := l.readBlock(r, seq)
	if err != nil {
		return err
	}
	x, fault := b.indexed()
	if fault != nil {
		return fault
	}
	place := maxBlockEvents
	for _, row := range x.rows(b) {
		got, err := r.Get(row.Key)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return unreadable(b.seq, b.first, fmt.Errorf("index: %w", err))
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

// nameExtraRow names the block of a row that no event calls for, among some blocks whose own rows are all there.
func (v *verifier) nameExtraRow(ctx context.Context, from, to uint64) error {
	called := map[string]bool{}
	for seq := from; seq <= to; seq++ {
		err := v.log.db.View(ctx, func(r meta.Reader) error {
			b, err := v.log.readBlock(r, seq)
			if err != nil {
				return err
			}
			x, fault := b.indexed()
			if fault != nil {
				return fault
			}
			for _, row := range x.rows(b) {
				called[string(row.Key)] = true
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	first := to + 1
	err := v.log.indexRows(ctx, func(row meta.KV, block uint64) {
		if block >= from && block < first && !called[string(row.Key)] {
			first = block
		}
	})
	if err != nil {
		return err
	}
	return &Fault{Block: first, Reason: "index row was inserted that no event of the block calls for"}
}

// firstDifference returns the place of the first event that an index value should have and has not, or else of the
// first that it should not have; 0 when the difference is something else.
func firstDifference(want, got []byte) int {
	_, a, _ := parseIndexValue(want)
	_, b, _ := parseIndexValue(got)
	for _, differ := range []func(a, b byte) byte{func(a, b byte) byte { return a &^ b }, func(a, b byte) byte { return a ^ b }} {
		for i := range a {
			if x := differ(a[i], b[i]); x != 0 {
				return i*8 + bits.TrailingZeros8(x)
			}
		}
	}
	return 0
}
