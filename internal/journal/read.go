// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/seal"
)

// maxSealed bounds a sealed frame.
const maxSealed = MaxFrameBytes + MaxAttrsBytes + binary.MaxVarintLen32 + seal.Overhead

// pageRows is how many rows a scan reads per snapshot, so that a slow reader holds none.
const pageRows = 256

// Stat returns the entry that has the number, be it of a record within a batch.
// Errors: ErrNotFound.
func (j *Journal) Stat(ctx context.Context, stream string, seq Seq) (d *Descriptor, err error) {
	err = j.db.View(ctx, func(r meta.Reader) error {
		d, err = covering(r, stream, seq)
		return err
	})
	if err == nil && d == nil {
		err = fmt.Errorf("%w: %s entry %d", ErrNotFound, stream, seq)
	}
	return d, err
}

// covering returns the entry that the number lies in, or nil.
func covering(r meta.Reader, stream string, seq Seq) (*Descriptor, error) {
	lo, _ := entryRange(stream, 0, 0)
	hi := append(entryKey(stream, seq), 0) // the row of seq included
	for kv, err := range r.ScanReverse(lo, hi) {
		if err != nil {
			return nil, err
		}
		d, err := parseEntry(kv)
		if err != nil || d.Last() < seq {
			return nil, err
		}
		return d, nil
	}
	return nil, nil
}

func parseEntry(kv meta.KV) (*Descriptor, error) {
	stream, seq, ok := cutEntryKey(kv.Key)
	if !ok {
		return nil, fmt.Errorf("%w: key %q", ErrCorrupt, kv.Key)
	}
	return decodeEntry(stream, seq, kv.Value)
}

// Scan yields the entries that have any number n with from <= n < to (to 0: no end), in
// ascending order. It reads in steps, each from a snapshot of its own; what is committed
// meanwhile is yielded if it comes after the present place.
func (j *Journal) Scan(ctx context.Context, stream string, from, to Seq) iter.Seq2[*Descriptor, error] {
	first := true
	return pages(func() (page []*Descriptor, err error) {
		err = j.db.View(ctx, func(r meta.Reader) error {
			if first {
				first = false
				if d, err := covering(r, stream, from); err != nil {
					return err
				} else if d != nil && d.Seq < from {
					page = append(page, d)
				}
			}
			lo, hi := entryRange(stream, from, to)
			return collect(r.Scan(lo, hi), &page)
		})
		if n := len(page); n > 0 {
			from = page[n-1].Seq + 1
		}
		return page, err
	})
}

// ScanReverse yields the entries of Scan in descending order.
func (j *Journal) ScanReverse(ctx context.Context, stream string, from, to Seq) iter.Seq2[*Descriptor, error] {
	ended := false
	return pages(func() (page []*Descriptor, err error) {
		if ended {
			return nil, nil
		}
		err = j.db.View(ctx, func(r meta.Reader) error {
			lo, hi := entryRange(stream, from, to)
			if err := collect(r.ScanReverse(lo, hi), &page); err != nil || len(page) == pageRows {
				return err
			}
			ended = true
			d, err := covering(r, stream, from)
			if err == nil && d != nil && d.Seq < from {
				page = append(page, d)
			}
			return err
		})
		if n := len(page); n > 0 {
			if to = page[n-1].Seq; to <= from {
				ended = true
			}
		}
		return page, err
	})
}

func collect(rows iter.Seq2[meta.KV, error], page *[]*Descriptor) error {
	for kv, err := range rows {
		if err != nil {
			return err
		}
		d, err := parseEntry(kv)
		if err != nil {
			return err
		}
		if *page = append(*page, d); len(*page) == pageRows {
			break
		}
	}
	return nil
}

// pages yields the elements of every page until one is empty.
func pages[T any](next func() ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			page, err := next()
			for _, v := range page {
				if !yield(v, nil) {
					return
				}
			}
			if err != nil {
				yield(*new(T), err)
			}
			if err != nil || len(page) == 0 {
				return
			}
		}
	}
}

// IndexEntry is one row of an index.
type IndexEntry struct {
	Key, Value []byte
	Seq        Seq
}

// ScanIndex yields the rows of an index with from <= key < to (nil: no end) in ascending
// order, those of equal keys by number.
func (j *Journal) ScanIndex(ctx context.Context, stream, name string, from, to []byte) iter.Seq2[IndexEntry, error] {
	lo, hi := indexRange(stream, name, from, to)
	return pages(func() ([]IndexEntry, error) {
		page, last, err := j.indexPage(ctx, lo, hi, false)
		if last != nil {
			lo = append(last, 0)
		}
		return page, err
	})
}

// ScanIndexReverse yields the rows of ScanIndex in descending order.
func (j *Journal) ScanIndexReverse(ctx context.Context, stream, name string, from, to []byte) iter.Seq2[IndexEntry, error] {
	lo, hi := indexRange(stream, name, from, to)
	return pages(func() ([]IndexEntry, error) {
		page, last, err := j.indexPage(ctx, lo, hi, true)
		if last != nil {
			hi = last
		}
		return page, err
	})
}

func indexRange(stream, name string, from, to []byte) (lo, hi []byte) {
	prefix := meta.Key(spaceIndex, stream, name)
	lo = meta.AppendBytes(append([]byte{}, prefix...), from)
	if to == nil {
		return lo, meta.PrefixEnd(prefix)
	}
	return lo, meta.AppendBytes(append([]byte{}, prefix...), to)
}

func (j *Journal) indexPage(ctx context.Context, lo, hi []byte, reverse bool) (page []IndexEntry, last []byte, err error) {
	err = j.db.View(ctx, func(r meta.Reader) error {
		scan := r.Scan
		if reverse {
			scan = r.ScanReverse
		}
		for kv, err := range scan(lo, hi) {
			if err != nil {
				return err
			}
			_, k, seq, ok := cutIndexKey(kv.Key)
			if !ok || len(kv.Value) == 0 || kv.Value[0] != rowVersion {
				return fmt.Errorf("%w: index row %q", ErrCorrupt, kv.Key)
			}
			page = append(page, IndexEntry{Key: k.Key, Value: kv.Value[1:], Seq: seq})
			if last = kv.Key; len(page) == pageRows {
				break
			}
		}
		return nil
	})
	return page, last, err
}

// Frames opens the frames of an entry in order; the slices of a Frame are valid until the
// next one is asked for. What was written is yielded to its end, or the sequence ends
// with an error: a frame that was altered, dropped, repeated or moved is found out.
//
// Errors: ErrCorrupt; ErrNotFound when the entry was trimmed meanwhile; the Keyring's and
// the Opener's.
func (j *Journal) Frames(ctx context.Context, d *Descriptor, keys Keyring) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		err := readFrames(ctx, j.bs, d, keys, func(f Frame) bool { return yield(f, nil) })
		if err != nil && !errors.Is(err, errStop) {
			yield(Frame{}, err)
		}
	}
}

func readFrames(ctx context.Context, bs blob.Store, d *Descriptor, keys Keyring, visit func(Frame) bool) error {
	opener, err := keys.Opener(ctx, d.KeyID)
	if err != nil {
		return err
	}
	b := d.binding()
	if err := d.verify(&b, opener); err != nil {
		return err
	}
	stored := &refReader{ctx: ctx, bs: bs, refs: d.refs}
	defer stored.close()
	r := frameReader{d: d, b: b, aad: b.aad(), opener: opener, r: bufio.NewReaderSize(stored, 32<<10), rest: d.Stored}
	for i := range d.Frames {
		at := d.Stored - r.rest
		f, err := r.next(uint32(i))
		if err != nil {
			return d.damage(i, at, err)
		}
		if !visit(f) {
			return errStop
		}
	}
	if r.rest != 0 {
		return fmt.Errorf("%w: %d bytes after the last frame of %s entry %d", ErrCorrupt, r.rest, d.Stream, d.Seq)
	}
	return nil
}

// frameReader opens one frame after the other.
type frameReader struct {
	d      *Descriptor
	b      binding
	aad    []byte
	opener Opener
	r      io.Reader
	rest   int64 // stored bytes not yet read
	buf    []byte
}

func (r *frameReader) next(index uint32) (f Frame, err error) {
	var length [lengthBytes]byte
	if err := r.read(length[:]); err != nil {
		return f, err
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n < seal.Overhead || n > r.rest || n > maxSealed {
		return f, fmt.Errorf("%w: frame %d of %s entry %d has %d bytes", ErrCorrupt, index, r.d.Stream, r.d.Seq, n)
	}
	if int64(cap(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	r.buf = r.buf[:n]
	if err := r.read(r.buf); err != nil {
		return f, err
	}
	nonce := r.b.nonce(index)
	setIndex(r.aad, index)
	plain, err := r.opener.Open(r.buf[:0], &nonce, r.buf, r.aad)
	if err != nil {
		return f, r.d.openError(fmt.Sprintf("frame %d", index), err)
	}
	attrs, k := binary.Uvarint(plain)
	if k <= 0 || attrs > uint64(len(plain)-k) {
		return f, fmt.Errorf("%w: frame %d of %s entry %d", ErrCorrupt, index, r.d.Stream, r.d.Seq)
	}
	plain = plain[k:]
	f = Frame{Seq: r.d.Seq, Index: int(index), Attrs: plain[:attrs:attrs], Payload: plain[attrs:]}
	if r.d.Kind == KindRecords {
		f.Seq += Seq(index)
	}
	return f, nil
}

func (r *frameReader) read(p []byte) error {
	if int64(len(p)) > r.rest {
		return fmt.Errorf("%w: %s entry %d is cut short", ErrCorrupt, r.d.Stream, r.d.Seq)
	}
	r.rest -= int64(len(p))
	_, err := io.ReadFull(r.r, p)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return fmt.Errorf("%w: bytes of %s entry %d: %w", ErrNotFound, r.d.Stream, r.d.Seq, err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, blob.ErrRange):
		return fmt.Errorf("%w: %s entry %d is cut short", ErrCorrupt, r.d.Stream, r.d.Seq)
	}
	return err
}

// refReader reads refs one after the other.
type refReader struct {
	ctx  context.Context
	bs   blob.Store
	refs []blob.Ref
	open io.ReadCloser
}

func (r *refReader) Read(p []byte) (int, error) {
	for {
		if r.open == nil {
			if len(r.refs) == 0 {
				return 0, io.EOF
			}
			var err error
			if r.open, err = r.bs.Read(r.ctx, r.refs[0]); err != nil {
				return 0, err
			}
			r.refs = r.refs[1:]
		}
		n, err := r.open.Read(p)
		if err == io.EOF {
			r.close()
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (r *refReader) close() {
	if r.open != nil {
		_ = r.open.Close()
		r.open = nil
	}
}
