// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"

	"github.com/obscura-video/obscura/internal/meta"
)

// checkedBlock is a block that was checked by itself, without the one before it.
type checkedBlock struct {
	seq   uint64
	block *block // nil when it cannot be read
	hash  digest
	fault *Fault // the first event that does not fit, or why it cannot be read
	sum   sum    // of its index rows
}

const (
	// jobBlocks and jobBytes bound what is read from one snapshot and checked at a time.
	jobBlocks = 64
	jobBytes  = 1 << 20
)

// job is consecutive blocks on their way.
type job struct {
	raw  []rawBlock
	done chan []checkedBlock
	err  error // of reading what follows
}

// rawBlock is a block as it is stored.
type rawBlock struct {
	seq   uint64
	parts [][]byte
}

// checked yields the blocks from one to another that are there, in order. Some are ahead, being read and checked by
// goroutines, which end with the sequence. An error of the store ends it.
func (l *Reader) checked(ctx context.Context, from, to uint64, index *indexSums) iter.Seq2[checkedBlock, error] {
	return func(yield func(checkedBlock, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		workers := runtime.GOMAXPROCS(0)
		work, order := make(chan *job), make(chan *job, 2*workers)
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		all.Go(func() { l.readJobs(ctx, from, to, work, order) })
		for range workers {
			all.Go(func() {
				for j := range work {
					j.done <- l.check(j.raw, index)
				}
			})
		}
		for j := range order {
			for _, c := range <-j.done {
				if !yield(c, nil) {
					return
				}
			}
			if j.err != nil {
				yield(checkedBlock{}, j.err)
				return
			}
		}
	}
}

// readJobs reads blocks and hands them to the workers, and in their order to who waits for them.
func (l *Reader) readJobs(ctx context.Context, from, to uint64, work, order chan<- *job) {
	defer close(order)
	defer close(work)
	for from <= to {
		j := &job{done: make(chan []checkedBlock, 1)}
		j.raw, j.err = l.readRaw(ctx, from, to)
		if n := len(j.raw); n > 0 {
			from = j.raw[n-1].seq + 1
		} else if j.err == nil {
			return
		}
		select {
		case order <- j:
		case <-ctx.Done():
			return
		}
		select {
		case work <- j:
		case <-ctx.Done():
			close(j.done) // somebody may wait for it
			return
		}
		if j.err != nil {
			return
		}
	}
}

// readRaw reads a job's blocks. What was read before an error is returned with it.
func (l *Reader) readRaw(ctx context.Context, from, to uint64) (raw []rawBlock, err error) {
	bytes := 0
	err = l.db.View(ctx, func(r meta.Reader) error {
		for kv, err := range r.Scan(blockKey(from, 0), blockKey(to+1, 0)) {
			if err != nil {
				return err
			}
			seq, _, ok := cutBlockKey(kv.Key)
			if !ok {
				return &Fault{Reason: "malformed block key"}
			}
			n := len(raw)
			if n == 0 || raw[n-1].seq != seq {
				if n == jobBlocks || bytes > jobBytes {
					return nil
				}
				raw, n = append(raw, rawBlock{seq: seq}), n+1
			}
			raw[n-1].parts = append(raw[n-1].parts, kv.Value)
			bytes += len(kv.Value)
		}
		return nil
	})
	return raw, err
}

// check checks blocks by themselves.
func (l *Reader) check(raw []rawBlock, index *indexSums) []checkedBlock {
	out := make([]checkedBlock, 0, len(raw))
	for _, r := range raw {
		out = append(out, l.checkOne(r, index))
	}
	return out
}

func (l *Reader) checkOne(r rawBlock, index *indexSums) checkedBlock {
	c := checkedBlock{seq: r.seq}
	b, err := parseBlock(r.parts, l.decoder)
	if err == nil && b.seq != r.seq {
		err = errors.New("block lies under another's key")
	}
	if err != nil {
		c.fault = &Fault{Block: r.seq, Reason: err.Error(), Err: err}
		return c
	}
	c.block = b
	hashes := b.chain()
	if c.fault = b.fault(hashes); c.fault != nil {
		return c
	}
	c.hash = hashes[len(b.events)]
	c.sum, c.fault = index.expect(b)
	return c
}

// indexed returns the index of a block. Errors: *Fault for a record that is no JSON.
func (b *block) indexed() (index, *Fault) {
	x := index{}
	for i, record := range b.events {
		e, err := summarize(record)
		if err != nil {
			return nil, &Fault{Block: b.seq, Event: b.first + uint64(i), Reason: fmt.Sprintf("record is no JSON: %v", err)}
		}
		x.add(e.terms(), i)
	}
	return x, nil
}
