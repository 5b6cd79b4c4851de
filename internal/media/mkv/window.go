// SPDX-License-Identifier: Apache-2.0

package mkv

import (
	"fmt"
	"io"
)

// window is the part of the input that is in memory. It exists beside bufio.Reader because an element of any size up to
// a limit has to be contiguous, and the buffer may grow only as bytes really arrive.
type window struct {
	src    io.Reader
	buf    []byte
	pos    int   // the first byte not yet released
	end    int   // after the last byte read
	used   int   // of the bytes after pos: delivered, and released by the next call
	base   int64 // offset in the input of buf[0]
	srcErr error // of a Read that also gave bytes
}

const minBufferBytes = 64 << 10

// offset is where the bytes not yet released begin in the input.
func (w *window) offset() int64 { return w.base + int64(w.pos) }

// release gives up what take handed out.
func (w *window) release() {
	w.pos += w.used
	w.used = 0
}

// bytes returns the next n bytes, which fill must have got.
func (w *window) bytes(n int) []byte { return w.buf[w.pos : w.pos+n : w.pos+n] }

// take returns the next n bytes, which fill must have got, and marks them used.
func (w *window) take(n int) []byte {
	w.used = n
	return w.bytes(n)
}

// fill reads until n bytes are there, and no longer. It returns io.EOF if there are none at all, and
// io.ErrUnexpectedEOF if there are too few.
func (w *window) fill(n int) error {
	for idle := 0; w.end-w.pos < n; {
		if w.srcErr != nil {
			return w.fail()
		}
		w.makeRoom(n)
		m, err := w.src.Read(w.buf[w.end:])
		w.end += m
		w.srcErr = err
		if m > 0 {
			idle = 0
		} else if idle++; idle == 100 && err == nil {
			w.srcErr = io.ErrNoProgress
		}
	}
	return nil
}

func (w *window) fail() error {
	switch {
	case w.srcErr != io.EOF:
		return fmt.Errorf("mkv: read at offset %d: %w", w.base+int64(w.end), w.srcErr)
	case w.end > w.pos:
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}

// makeRoom sees that at least one byte can be read, on the way to having n.
func (w *window) makeRoom(n int) {
	if w.pos+n > len(w.buf) && w.pos > 0 {
		w.base += int64(w.pos)
		w.end = copy(w.buf, w.buf[w.pos:w.end])
		w.pos = 0
	}
	if w.end == len(w.buf) {
		grown := make([]byte, max(minBufferBytes, 2*len(w.buf)))
		copy(grown, w.buf[:w.end])
		w.buf = grown
	}
}

// need is fill for bytes in the middle of an element, where the input may not end.
func (r *Reader) need(n int) error {
	err := r.win.fill(n)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("mkv: element at offset %d: %w", r.win.offset(), io.ErrUnexpectedEOF)
	}
	return err
}

// expect compares the next bytes with id, one by one, so that garbage is refused at its first byte.
func (r *Reader) expect(id ID, reason string) error {
	for i := range 4 {
		if err := r.need(i + 1); err != nil {
			return err
		}
		if r.win.bytes(i + 1)[i] != byte(id>>(24-8*i)) {
			return r.malformed(reason)
		}
	}
	return nil
}

// peekID returns the ID of the next element. It returns io.EOF where the input may end.
func (r *Reader) peekID() (ID, error) {
	end := r.parentEnd()
	if end >= 0 && r.win.offset() == end {
		return 0, io.EOF // the parent is complete: do not wait for what follows it
	}
	err := r.win.fill(1)
	if err == io.EOF && end >= 0 {
		err = r.need(1)
	}
	if err != nil {
		return 0, err
	}
	return r.peekIDAt(0)
}

func (r *Reader) peekIDAt(at int) (ID, error) {
	if err := r.need(at + 1); err != nil {
		return 0, err
	}
	n := vintLength(r.win.bytes(at + 1)[at])
	if n > 4 {
		return 0, r.malformed("invalid element ID")
	}
	if err := r.need(at + n); err != nil {
		return 0, err
	}
	var id ID
	for _, c := range r.win.bytes(at + n)[at:] {
		id = id<<8 | ID(c)
	}
	return id, nil
}

// peek returns ID and data size of the element that begins at, and the length of its ID and size.
func (r *Reader) peek(at int) (id ID, size int64, n int, err error) {
	id, err = r.peekIDAt(at)
	if err != nil {
		return 0, 0, 0, err
	}
	n = idLength(id)
	if err := r.need(at + n + 1); err != nil {
		return 0, 0, 0, err
	}
	sizeLen := vintLength(r.win.bytes(at + n + 1)[at+n])
	if sizeLen > 8 {
		return 0, 0, 0, r.malformed("invalid element size")
	}
	if err := r.need(at + n + sizeLen); err != nil {
		return 0, 0, 0, err
	}
	v, _, ones := vint(r.win.bytes(at + n + sizeLen)[at+n:])
	if ones {
		return id, unknownSize, n + sizeLen, nil
	}
	return id, int64(v), n + sizeLen, nil
}

// whole reads the next element into memory. Its bytes are valid until they are released. before counts against the limit
// too.
func (r *Reader) whole(what string, before, limit int) (element, error) {
	id, size, n, err := r.peek(0)
	if err != nil {
		return element{}, err
	}
	if size == unknownSize {
		return element{}, r.malformed("element of unknown size where a size is needed")
	}
	total := int64(n) + size
	if sum := int64(before) + total; sum > int64(limit) {
		return element{}, r.tooLarge(what, sum, int64(limit))
	}
	if err := r.fits(total, r.parentEnd()); err != nil {
		return element{}, err
	}
	if err := r.need(int(total)); err != nil {
		return element{}, err
	}
	raw := r.win.take(int(total))
	return element{id: id, raw: raw, data: raw[n:]}, nil
}

// parentEnd is the offset at which the element around the next one ends, -1 when that is unknown.
func (r *Reader) parentEnd() int64 {
	if r.clusterEnd >= 0 {
		return r.clusterEnd
	}
	return r.segmentEnd
}

// fits refuses n further bytes beyond the end of the parent.
func (r *Reader) fits(n, end int64) error {
	if end >= 0 && r.win.offset()+n > end {
		return r.malformed("element larger than its parent")
	}
	return nil
}

func (r *Reader) malformed(reason string) error {
	return &FormatError{Offset: r.win.offset(), Reason: reason}
}

func (r *Reader) tooLarge(what string, size, limit int64) error {
	return &LimitError{Offset: r.win.offset(), What: what, Size: size, Max: limit}
}
