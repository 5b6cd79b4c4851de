// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Names and kinds of the entries, in their order in the file.
const (
	nameReadme    = "README.txt"
	fragmentName  = "fragments/%08d.mkv"
	rosterName    = "rosters/%08d.roster"
	nameSeed      = "keys/guest.seed"
	grantName     = "keys/%08d.grant"
	nameFacts     = "facts.txt"
	nameSums      = "SHA256SUMS"
	nameSignature = "SHA256SUMS.sig"
	maxEntries    = 1 << 20
	maxEntryBytes = 80 << 20
	maxSmallBytes = 2 << 20 // of an entry that is no fragment and no list of sums
	blockBytes    = 512     // of tar
	trailerBytes  = 2 * blockBytes
)

// ErrContainer says that a file is not an archive of exactly the form that package evidence writes.
var ErrContainer = errors.New("evidence: the archive is not of the form that it must have")

// entry is a file in the archive.
type entry struct {
	name   string
	offset int64 // of its content
	size   int64
	sum    [sha256.Size]byte
}

// header is the one way to write an entry's header: no owner, no time, no extension.
func header(name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// padding is how many zero bytes follow content.
func padding(size int64) int64 { return -size & (blockBytes - 1) }

// container writes entries.
type container struct {
	w       io.Writer
	entries []entry
	at      int64
}

func (c *container) put(name string, content []byte) error {
	h, err := header(name, int64(len(content)))
	if err != nil {
		return err
	}
	e := entry{name: name, offset: c.at + blockBytes, size: int64(len(content)), sum: sha256.Sum256(content)}
	for _, part := range [][]byte{h, content, make([]byte, padding(e.size))} {
		if _, err := c.w.Write(part); err != nil {
			return err
		}
		c.at += int64(len(part))
	}
	c.entries = append(c.entries, e)
	return nil
}

// end writes what ends an archive.
func (c *container) end() error {
	_, err := c.w.Write(make([]byte, trailerBytes))
	return err
}

// sums lists the entries as sha256sum does.
func sums(entries []entry) []byte {
	var b bytes.Buffer
	for i := range entries {
		b.WriteString(sumLine(&entries[i]))
	}
	return b.Bytes()
}

func sumLine(e *entry) string { return fmt.Sprintf("%x  %s\n", e.sum, e.name) }

// scan reads an archive that container wrote, and nothing else: every byte that is no content is as container writes it.
// Errors: ErrContainer, wrapped, with the place; r's.
func scan(r io.ReaderAt, size int64) (entries []entry, err error) {
	s := scanner{r: r, size: size}
	for {
		e, ok, err := s.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return entries, nil
		}
		if len(entries) == maxEntries {
			return nil, fmt.Errorf("%w: too many entries", ErrContainer)
		}
		entries = append(entries, e)
	}
}

type scanner struct {
	r        io.ReaderAt
	at, size int64
}

// next reads an entry; not ok is the end of the archive.
func (s *scanner) next() (e entry, ok bool, err error) {
	var block [blockBytes]byte
	if err := s.read(block[:], "a header"); err != nil {
		return e, false, err
	}
	if block == [blockBytes]byte{} {
		return e, false, s.finish()
	}
	e.name = strings.TrimRight(string(block[:100]), "\x00")
	e.size, err = strconv.ParseInt(string(block[124:135]), 8, 64)
	if err != nil || e.size > maxEntryBytes {
		return e, false, s.broken("a header", "size")
	}
	want, err := header(e.name, e.size)
	if err != nil || !bytes.Equal(want, block[:]) {
		return e, false, s.broken("the header of "+printable(e.name), "form")
	}
	e.offset = s.at
	if e.size > s.size-s.at {
		return e, false, s.broken(e.name, "cut short")
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(s.r, s.at, e.size)); err != nil {
		return e, false, err
	}
	e.sum = [sha256.Size]byte(h.Sum(nil))
	s.at += e.size
	pad := block[:padding(e.size)]
	if err := s.read(pad, "the padding after "+e.name); err != nil {
		return e, false, err
	}
	if bytes.ContainsFunc(pad, func(r rune) bool { return r != 0 }) {
		return e, false, s.broken("the padding after "+e.name, "not zero")
	}
	return e, true, nil
}

// finish checks that the archive ends as it must.
func (s *scanner) finish() error {
	var block [blockBytes]byte
	if err := s.read(block[:], "the end"); err != nil {
		return err
	}
	if block != [blockBytes]byte{} || s.at != s.size {
		return s.broken("the end", "bytes after it")
	}
	return nil
}

func (s *scanner) read(b []byte, what string) error {
	if int64(len(b)) > s.size-s.at {
		return s.broken(what, "cut short")
	}
	if _, err := s.r.ReadAt(b, s.at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	s.at += int64(len(b))
	return nil
}

func (s *scanner) broken(what, how string) error {
	return fmt.Errorf("%w: %s: %s, before byte %d", ErrContainer, what, how, s.at)
}

// printable is a hostile name as it can be shown.
func printable(name string) string { return strconv.QuoteToASCII(name) }

// layout is what is where in an archive.
type layout struct {
	fragments, rosters, grants []entry
	seed, facts, sums          entry
	signature                  *entry
	summed                     []entry // those that SHA256SUMS lists
}

// arrange checks that all entries are there, in their order and within their bounds, and no other.
func arrange(entries []entry) (*layout, error) {
	l, in := &layout{}, entries
	one := func(name string) entry {
		if len(in) == 0 || in[0].name != name || in[0].size > maxSmallBytes && name != nameSums {
			return entry{}
		}
		e := in[0]
		in = in[1:]
		return e
	}
	many := func(pattern string, most int64) (out []entry) {
		for len(in) > 0 && in[0].name == fmt.Sprintf(pattern, len(out)+1) && in[0].size <= most {
			out, in = append(out, in[0]), in[1:]
		}
		return out
	}
	readme := one(nameReadme)
	l.fragments = many(fragmentName, maxEntryBytes)
	l.rosters = many(rosterName, maxSmallBytes)
	l.seed = one(nameSeed)
	l.grants = many(grantName, maxSmallBytes)
	l.facts = one(nameFacts)
	l.summed = entries[:len(entries)-len(in)]
	l.sums = one(nameSums)
	if e := one(nameSignature); e.name != "" {
		l.signature = &e
	}
	for _, e := range []entry{readme, l.seed, l.facts, l.sums} {
		if e.name == "" {
			return nil, fmt.Errorf("%w: %s", ErrContainer, missing(in))
		}
	}
	if len(in) > 0 || len(l.fragments) == 0 || len(l.rosters) == 0 || len(l.grants) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrContainer, missing(in))
	}
	return l, nil
}

func missing(in []entry) string {
	if len(in) == 0 {
		return "an entry is missing at the end"
	}
	return "entry " + printable(in[0].name) + " is not the one that must be here"
}
