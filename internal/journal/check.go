// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
)

// Report is what Check found.
type Report struct {
	Streams, Entries, Frames int
	Bytes, Stored            int64
	// Opened is how many entries were opened and authenticated.
	Opened int
	// Problems are violations of what the journal promises; there should be none. At
	// most maxProblems are kept.
	Problems []string
	Dropped  int // problems beyond those
	// Orphans are blobs, of any session, that no row refers to: normal after a crash or a
	// Trim, until they are reaped.
	Orphans []string
}

// maxProblems bounds a report.
const maxProblems = 1000

// OK reports whether nothing is wrong.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) == maxProblems {
		r.Dropped++
		return
	}
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Check judges the stores by their bytes alone, without a Journal: every row parses; refs
// lie inside of blobs that exist; no two entries share a byte; numbers ascend and none is
// given twice; index rows and entries agree, each way; epochs do not exceed their
// stream's owner row. With keys it opens every frame as well; an entry whose key cannot be
// had is counted by not being in Opened. The error is of reading the stores, not of what
// was read. Run it while nothing is written.
func Check(ctx context.Context, db meta.DB, bs blob.Store, keys Keyring) (Report, error) {
	c := checker{db: db, bs: bs, keys: keys, blobs: make(map[string]int64), index: make(map[string]bool)}
	for info, err := range bs.List(ctx, "") {
		if err != nil {
			return c.report, fmt.Errorf("journal: check: %w", err)
		}
		c.blobs[info.Name] = info.Size
	}
	for _, step := range []func(context.Context) error{c.entries, c.indexRows, c.overlaps, c.other} {
		if err := step(ctx); err != nil {
			return c.report, fmt.Errorf("journal: check: %w", err)
		}
	}
	return c.report, nil
}

type checker struct {
	db     meta.DB
	bs     blob.Store
	keys   Keyring
	report Report
	blobs  map[string]int64 // size by name
	spans  []span
	index  map[string]bool // keys of index rows that entries speak of
	prev   *Descriptor
}

type span struct {
	ref blob.Ref
	of  string
}

// entries checks every entry by itself and against the one before.
func (c *checker) entries(ctx context.Context) error {
	lo := meta.Key(spaceEntry)
	hi := meta.PrefixEnd(lo)
	for kv, err := range c.rows(ctx, lo, hi) {
		if err != nil {
			return err
		}
		d, err := parseEntry(kv)
		if err != nil {
			c.report.problem("%v", err)
			continue
		}
		c.order(d)
		c.refs(d)
		for _, k := range d.Index {
			c.index[string(indexKey(d.Stream, k, d.Seq))] = true
		}
		if err := c.open(ctx, d); err != nil {
			return err
		}
		c.report.Entries++
		c.report.Frames += d.Frames
		c.report.Bytes += d.Bytes
		c.report.Stored += d.Stored
	}
	return nil
}

func (c *checker) rows(ctx context.Context, lo, hi []byte) iter.Seq2[meta.KV, error] {
	return rows(ctx, c.db, lo, hi)
}

// rows yields rows in steps.
func rows(ctx context.Context, db meta.DB, lo, hi []byte) iter.Seq2[meta.KV, error] {
	return pages(func() (page []meta.KV, err error) {
		err = db.View(ctx, func(r meta.Reader) error {
			for kv, err := range r.Scan(lo, hi) {
				if err != nil {
					return err
				}
				if page = append(page, kv); len(page) == pageRows {
					break
				}
			}
			return nil
		})
		if n := len(page); n > 0 {
			lo = append(slices.Clone(page[n-1].Key), 0)
		}
		return page, err
	})
}

func (c *checker) order(d *Descriptor) {
	switch prev := c.prev; {
	case prev == nil || prev.Stream != d.Stream:
		c.report.Streams++
	case d.Seq <= prev.Last():
		c.report.problem("%s: entry %d begins within entry %d", d.Stream, d.Seq, prev.Seq)
	case d.Seq.Epoch() == prev.Seq.Epoch() && d.Session != prev.Session:
		c.report.problem("%s: entries %d and %d are of one epoch and two sessions", d.Stream, prev.Seq, d.Seq)
	}
	if d.Seq.Counter() == 0 || d.Seq.Epoch() == 0 {
		c.report.problem("%s: entry %d has no number of a writer", d.Stream, d.Seq)
	}
	c.prev = d
}

func (c *checker) refs(d *Descriptor) {
	for _, r := range d.refs {
		if r.Inline != nil {
			continue
		}
		size, ok := c.blobs[r.Name]
		session, _ := blob.SessionOf(r.Name)
		switch {
		case !ok:
			c.report.problem("%s: entry %d refers to blob %q, which does not exist", d.Stream, d.Seq, r.Name)
		case r.Off > size || r.Len > size-r.Off:
			c.report.problem("%s: entry %d refers to bytes %d+%d of blob %s of %d bytes", d.Stream, d.Seq, r.Off, r.Len, r.Name, size)
		case session != d.Session:
			c.report.problem("%s: entry %d of session %s refers to blob %s", d.Stream, d.Seq, d.Session, r.Name)
		}
		c.spans = append(c.spans, span{r, fmt.Sprintf("%s entry %d", d.Stream, d.Seq)})
	}
}

// open authenticates the frames of an entry.
func (c *checker) open(ctx context.Context, d *Descriptor) error {
	if c.keys == nil {
		return nil
	}
	if _, err := c.keys.Opener(ctx, d.KeyID); err != nil {
		return ctx.Err() // not ours to open
	}
	var bytes int64
	err := readFrames(ctx, c.bs, d, c.keys, func(f Frame) bool {
		bytes += int64(len(f.Payload))
		return true
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		c.report.problem("%v", err)
	case bytes != d.Bytes:
		c.report.problem("%s: entry %d has %d bytes, its row says %d", d.Stream, d.Seq, bytes, d.Bytes)
	default:
		c.report.Opened++
	}
	return nil
}

// indexRows checks that index rows and entries speak of each other.
func (c *checker) indexRows(ctx context.Context) error {
	lo := meta.Key(spaceIndex)
	for kv, err := range c.rows(ctx, lo, meta.PrefixEnd(lo)) {
		if err != nil {
			return err
		}
		stream, _, seq, ok := cutIndexKey(kv.Key)
		if !ok || len(kv.Value) == 0 || kv.Value[0] != rowVersion {
			c.report.problem("index row %q does not parse", kv.Key)
		} else if !c.index[string(kv.Key)] {
			c.report.problem("%s: index row %q speaks of entry %d, which does not know it", stream, kv.Key, seq)
		}
		delete(c.index, string(kv.Key))
	}
	for key := range c.index {
		c.report.problem("index row %q is missing", key)
	}
	return nil
}

// overlaps finds bytes that two entries refer to, and blobs that none does.
func (c *checker) overlaps(context.Context) error {
	slices.SortFunc(c.spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.ref.Name, b.ref.Name), cmp.Compare(a.ref.Off, b.ref.Off))
	})
	for i, s := range c.spans {
		delete(c.blobs, s.ref.Name)
		if i == 0 {
			continue
		}
		if p := c.spans[i-1]; p.ref.Name == s.ref.Name && p.ref.Off+p.ref.Len > s.ref.Off {
			c.report.problem("%s and %s share bytes of blob %s at %d", p.of, s.of, s.ref.Name, s.ref.Off)
		}
	}
	for name := range c.blobs {
		c.report.Orphans = append(c.report.Orphans, name)
	}
	slices.Sort(c.report.Orphans)
	return nil
}

// other checks the owner, session and garbage rows.
func (c *checker) other(ctx context.Context) error {
	for _, read := range []func() error{
		func() error { _, err := readSessions(ctx, c.db); return err },
		func() error { _, err := readGarbage(ctx, c.db); return err },
		func() error { return c.owners(ctx) },
	} {
		err := read()
		if errors.Is(err, ErrCorrupt) {
			c.report.problem("%v", err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// owners checks that no entry has an epoch that its stream has not reached.
func (c *checker) owners(ctx context.Context) error {
	lo := meta.Key(spaceOwner)
	for kv, err := range c.rows(ctx, lo, meta.PrefixEnd(lo)) {
		if err != nil {
			return err
		}
		rest, _ := meta.CutSpace(kv.Key, spaceOwner)
		stream, _, ok := meta.CutString(rest)
		o, err := decodeOwner(kv.Value)
		if err != nil || !ok {
			c.report.problem("owner row %q does not parse", kv.Key)
			continue
		}
		err = c.db.View(ctx, func(r meta.Reader) error {
			lo, hi := entryRange(stream, NewSeq(o.Epoch, 0), 0)
			for kv, err := range r.ScanReverse(lo, hi) {
				if err != nil {
					return err
				}
				if _, seq, ok := cutEntryKey(kv.Key); ok && seq.Epoch() > o.Epoch {
					c.report.problem("%s: entry %d is of epoch %d, the owner's is %d", stream, seq, seq.Epoch(), o.Epoch)
				}
				break
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
