// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/klauspost/compress/zstd"

	"github.com/obscura-video/obscura/internal/meta"
)

// Reader reads a log: one that is being written, one of a stopped server, a damaged one. Its methods may be
// called concurrently.
type Reader struct {
	db      meta.DB
	decoder *zstd.Decoder
}

// NewReader returns a reader of the log in db, which need not hold one. It reads nothing yet.
func NewReader(db meta.DB) (*Reader, error) {
	decoder, err := newDecoder()
	if err != nil {
		return nil, fmt.Errorf("audit: reader: %w", err)
	}
	return &Reader{db: db, decoder: decoder}, nil
}

// Extent returns the number of the newest block and of the newest event; 0 when there is none.
func (l *Reader) Extent(ctx context.Context) (block, event uint64, err error) {
	err = l.db.View(ctx, func(r meta.Reader) error {
		h, err := loadHead(r)
		block, event = h.block, h.event
		return err
	})
	return block, event, err
}

// Run is consecutive events as they lie in the log: one block. Times are Unix milliseconds.
type Run struct {
	// Block is the block's number and First that of its first event; both count from 1.
	Block, First  uint64
	FirstT, LastT int64
	// Records are the events. They are the receiver's, and not to be changed while it is shared.
	Records [][]byte
}

func (b *block) run() *Run {
	return &Run{Block: b.seq, First: b.first, FirstT: b.firstT, LastT: b.lastT, Records: b.events}
}

// runsPerView is how many blocks are read from one snapshot: at most 1.3 MB each.
const runsPerView = 16

// Runs reads the log from a block on, up to the newest one when the last is reached. The form of blocks is
// checked, the chain is not: see Verify. Errors: *Fault for a block that cannot be read; ctx's.
func (l *Reader) Runs(ctx context.Context, from uint64) iter.Seq2[*Run, error] {
	return func(yield func(*Run, error) bool) {
		for next := max(from, 1); ; {
			runs, err := l.someRuns(ctx, next)
			for _, r := range runs {
				if !yield(r, nil) {
					return
				}
			}
			if err != nil {
				yield(nil, fmt.Errorf("audit: read: %w", err))
			}
			if err != nil || len(runs) == 0 {
				return
			}
			next += uint64(len(runs))
		}
	}
}

// someRuns reads the next blocks, none behind the end of the log.
func (l *Reader) someRuns(ctx context.Context, from uint64) (runs []*Run, err error) {
	err = l.db.View(ctx, func(r meta.Reader) error {
		end, err := loadHead(r)
		if err != nil {
			return err
		}
		for seq := from; seq <= end.block && len(runs) < runsPerView; seq++ {
			b, err := l.readBlock(r, seq)
			if err != nil {
				return err
			}
			runs = append(runs, b.run())
		}
		return nil
	})
	return runs, err
}

func loadHead(r meta.Reader) (head, error) {
	v, err := r.Get(rowKey(kindHead))
	if errors.Is(err, meta.ErrNotFound) {
		return head{}, nil
	}
	if err != nil {
		return head{}, fmt.Errorf("head: %w", err)
	}
	h, ok := parseHead(v)
	if !ok {
		return head{}, &Fault{Reason: "malformed head"}
	}
	return h, nil
}

func newestBlock(r meta.Reader) (uint64, error) {
	prefix := rowKey(kindBlock)
	for kv, err := range r.ScanReverse(prefix, meta.PrefixEnd(prefix)) {
		if err != nil {
			return 0, fmt.Errorf("newest block: %w", err)
		}
		seq, _, ok := cutBlockKey(kv.Key)
		if !ok {
			return 0, &Fault{Reason: "malformed block key"}
		}
		return seq, nil
	}
	return 0, nil
}

// readBlock returns a block; its form is checked, its hashes are not.
func (l *Reader) readBlock(r meta.Reader, seq uint64) (*block, error) {
	var parts [][]byte
	for kv, err := range r.Scan(blockKey(seq, 0), blockKey(seq+1, 0)) {
		if err != nil {
			return nil, fmt.Errorf("block %d: %w", seq, err)
		}
		if parts = append(parts, kv.Value); len(parts) > maxParts {
			break
		}
	}
	if len(parts) == 0 {
		return nil, &Fault{Block: seq, Reason: "block is missing"}
	}
	b, err := parseBlock(parts, l.decoder)
	if err != nil {
		return nil, &Fault{Block: seq, Reason: err.Error()}
	}
	if b.seq != seq {
		return nil, &Fault{Block: seq, Event: b.first, Reason: "block lies under another's key"}
	}
	return b, nil
}
