// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bytes"
	"fmt"
	"iter"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep objects and lists nest.
const maxDepth = 64

// JSONReader pulls values out of one JSON document (RFC 8259), strictly: UTF-8
// only, no lone surrogates, no duplicate member names, bounded depth. Names are
// case-sensitive, null is the same as absent, and unknown members are skipped.
//
// The first error sticks, and every later call does nothing; Finish returns it.
// Values are copied out of the document.
type JSONReader struct {
	data  []byte
	pos   int
	depth int
	err   error
}

// NewJSONReader reads data, which must not change meanwhile.
func NewJSONReader(data []byte) *JSONReader { return &JSONReader{data: data} }

// Finish returns the first error. Anything but blanks after the value is one.
func (r *JSONReader) Finish() error {
	if r.blanks(); r.err == nil && r.pos < len(r.data) {
		r.fail("unexpected data after the value")
	}
	return r.err
}

func (r *JSONReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format+" at offset %d", append(args, r.pos)...)
	}
	r.pos = len(r.data)
}

func (r *JSONReader) blanks() {
	for r.pos < len(r.data) {
		switch r.data[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// next is the first byte of the next token, 0 at the end.
func (r *JSONReader) next() byte {
	r.blanks()
	if r.pos < len(r.data) {
		return r.data[r.pos]
	}
	return 0
}

// eat takes c if it is next.
func (r *JSONReader) eat(c byte) bool {
	if r.next() != c || c == 0 {
		return false
	}
	r.pos++
	return true
}

func (r *JSONReader) word(s string) bool {
	if end := r.pos + len(s); end <= len(r.data) && string(r.data[r.pos:end]) == s {
		r.pos = end
		return true
	}
	return false
}

// Null takes a null if it is next. It is also true once an error has occurred.
func (r *JSONReader) Null() bool {
	if r.err != nil {
		return true
	}
	return r.next() == 'n' && r.word("null")
}

// wrong is the error for a value of another type than the model says.
func (r *JSONReader) wrong(want string) {
	kind := "an unexpected token"
	switch c := r.next(); {
	case c == 0:
		kind = "end of input"
	case c == '"':
		kind = "STRING_VALUE"
	case c == '{':
		kind = "START_OBJECT"
	case c == '[':
		kind = "START_ARRAY"
	case c == 't':
		kind = "TRUE_VALUE"
	case c == 'f':
		kind = "FALSE_VALUE"
	case c == 'n':
		kind = "NULL_VALUE"
	case c == '-' || '0' <= c && c <= '9':
		kind = "NUMBER_VALUE"
	}
	r.fail("%s can not be converted to %s", kind, want)
}

func (r *JSONReader) enter() bool {
	if r.depth++; r.depth > maxDepth {
		r.fail("nested too deeply")
	}
	return r.err == nil
}

// Members iterates over the names of an object; the body of the loop must take
// each member's value. A null has none.
func (r *JSONReader) Members() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range r.Names() {
			if !yield(string(name)) {
				return
			}
		}
	}
}

// Names is Members without a copy of each name: they are good until the document changes, and not to be changed.
func (r *JSONReader) Names() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if r.Null() {
			return
		}
		if !r.eat('{') {
			r.wrong("an object")
			return
		}
		if !r.enter() {
			return
		}
		defer func() { r.depth-- }()
		if r.eat('}') {
			return
		}
		var seen names
		for {
			if r.next() != '"' {
				r.fail("expected a member name")
				return
			}
			name := r.raw()
			if r.err == nil && !r.eat(':') {
				r.fail("expected a colon")
			}
			if r.err == nil && !seen.add(name) {
				r.fail("duplicate member name")
			}
			if r.err != nil || !yield(name) || r.end('}') {
				return
			}
		}
	}
}

// names is a set that costs nothing for the objects of usual size.
type names struct {
	few  [16][]byte
	n    int
	many map[string]struct{}
}

func (s *names) add(name []byte) bool {
	for _, other := range s.few[:s.n] {
		if bytes.Equal(other, name) {
			return false
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	if s.many == nil {
		s.many = map[string]struct{}{}
	}
	_, dup := s.many[string(name)]
	s.many[string(name)] = struct{}{}
	return !dup
}

// end takes what follows a value: true after the closing byte or an error.
func (r *JSONReader) end(closing byte) bool {
	switch {
	case r.err != nil:
		return true
	case r.eat(closing):
		return true
	case r.eat(','):
		return false
	}
	r.fail("expected a comma or %q", closing)
	return true
}

// elements iterates over a list; the body must take each element.
func (r *JSONReader) elements(yield func() bool) {
	if !r.eat('[') {
		r.wrong("a list")
		return
	}
	if !r.enter() {
		return
	}
	defer func() { r.depth-- }()
	if r.eat(']') {
		return
	}
	for {
		if r.next() == 'n' {
			r.wrong("a list element")
		}
		if r.err != nil || !yield() || r.end(']') {
			return
		}
	}
}

// Skip takes any value and drops it.
func (r *JSONReader) Skip() {
	switch c := r.next(); c {
	case '{':
		for range r.Names() {
			r.Skip()
		}
	case '[':
		r.skipList()
	case '"':
		r.raw()
	case 't', 'f', 'n':
		if !r.word("true") && !r.word("false") && !r.word("null") {
			r.fail("unexpected token")
		}
	default:
		if r.number() == "" {
			r.fail("unexpected token")
		}
	}
}

// skipList is elements without its objection to null.
func (r *JSONReader) skipList() {
	if !r.eat('[') || !r.enter() {
		return
	}
	defer func() { r.depth-- }()
	if r.eat(']') {
		return
	}
	for {
		if r.Skip(); r.end(']') {
			return
		}
	}
}

// text takes a string.
func (r *JSONReader) text() string { return string(r.raw()) }

// raw takes a string and returns its bytes, which are the document's own unless there are escapes in it.
func (r *JSONReader) raw() []byte {
	r.pos++ // the quote, which the caller has seen
	start := r.pos
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; {
		case c == '"':
			s := r.data[start:r.pos]
			r.pos++
			if !utf8.Valid(s) {
				r.fail("string is not UTF-8")
			}
			return s
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			r.fail("control character in a string")
			return nil
		}
		r.pos++
	}
	r.fail("string is not closed")
	return nil
}

// escaped takes the rest of a string that has escapes; pos is at the first one.
func (r *JSONReader) escaped(start int) []byte {
	out := append([]byte(nil), r.data[start:r.pos]...)
	for r.err == nil && r.pos < len(r.data) {
		c := r.data[r.pos]
		r.pos++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				r.fail("string is not UTF-8")
			}
			return out
		case c == '\\':
			out = r.escape(out)
		case c < ' ':
			r.fail("control character in a string")
		default:
			out = append(out, c)
		}
	}
	r.fail("string is not closed")
	return nil
}

// escape takes what follows a backslash.
func (r *JSONReader) escape(out []byte) []byte {
	if r.pos >= len(r.data) {
		return out
	}
	c := r.data[r.pos]
	r.pos++
	switch c {
	case '"', '\\', '/':
		return append(out, c)
	case 'b':
		return append(out, '\b')
	case 'f':
		return append(out, '\f')
	case 'n':
		return append(out, '\n')
	case 'r':
		return append(out, '\r')
	case 't':
		return append(out, '\t')
	case 'u':
		return utf8.AppendRune(out, r.unicode())
	}
	r.fail("unknown escape")
	return out
}

// unicode takes the digits of a \u escape, and the second one of a surrogate pair.
func (r *JSONReader) unicode() rune {
	c := r.hex4()
	if !utf16.IsSurrogate(c) {
		return c
	}
	if !r.word(`\u`) {
		r.fail("lone surrogate")
		return 0
	}
	pair := utf16.DecodeRune(c, r.hex4())
	if pair == utf8.RuneError {
		r.fail("lone surrogate")
	}
	return pair
}

func (r *JSONReader) hex4() rune {
	if r.pos+4 > len(r.data) {
		r.fail("short escape")
		return 0
	}
	n, err := strconv.ParseUint(string(r.data[r.pos:r.pos+4]), 16, 16)
	if err != nil {
		r.fail("escape is not hexadecimal")
	}
	r.pos += 4
	return rune(n)
}
