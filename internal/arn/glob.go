// SPDX-License-Identifier: Apache-2.0

package arn

import (
	"strings"
	"unicode/utf8"
)

// A Glob is a compiled wildcard pattern: '*' stands for any run of characters, also none and also over
// ':' and '/', and '?' for exactly one character. The zero Glob matches the empty string alone.
//
// Matching takes the leftmost place for every run of text between two stars, so it never backtracks over
// a star: its time is bounded by the product of the two lengths, and is linear for patterns without '?'.
type Glob struct {
	chunks []chunk // what stands between the stars; n stars make n+1 chunks, some empty
}

// A chunk is text without stars. holes is nil when it has no '?' either.
type chunk struct {
	text  string
	holes []rune // the text's characters, with anyRune for each '?'
}

// anyRune marks a '?' in chunk.holes; no decoded character has this value.
const anyRune rune = -1

// CompileGlob compiles a pattern in which every '*' and '?' is a wildcard.
func CompileGlob(pattern string) Glob {
	var b GlobBuilder
	b.Pattern(pattern)
	return b.Glob()
}

// Literal reports the only string that g matches, if there is just one.
func (g Glob) Literal() (string, bool) {
	switch {
	case len(g.chunks) == 0:
		return "", true
	case len(g.chunks) == 1 && g.chunks[0].holes == nil:
		return g.chunks[0].text, true
	}
	return "", false
}

// Match reports whether the whole of s fits the pattern.
func (g Glob) Match(s string) bool {
	if len(g.chunks) == 0 {
		return s == ""
	}
	first, last := g.chunks[0], len(g.chunks)-1
	n := first.prefix(s)
	if n < 0 {
		return false
	}
	s = s[n:]
	if last == 0 {
		return s == ""
	}
	for _, c := range g.chunks[1:last] {
		end := c.find(s)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return g.chunks[last].suffix(s)
}

// prefix returns how many bytes of s the chunk covers when it lies at the start of s, or -1.
func (c chunk) prefix(s string) int {
	if c.holes == nil {
		if !strings.HasPrefix(s, c.text) {
			return -1
		}
		return len(c.text)
	}
	n := 0
	for _, want := range c.holes {
		if n == len(s) {
			return -1
		}
		got, size := utf8.DecodeRuneInString(s[n:])
		if want != anyRune && want != got {
			return -1
		}
		n += size
	}
	return n
}

// find returns the end of the chunk's leftmost place in s, or -1.
func (c chunk) find(s string) int {
	if c.holes == nil {
		i := strings.Index(s, c.text)
		if i < 0 {
			return -1
		}
		return i + len(c.text)
	}
	for i := 0; len(s)-i >= len(c.holes); {
		if n := c.prefix(s[i:]); n >= 0 {
			return i + n
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return -1
}

// suffix reports whether the chunk covers the end of s.
func (c chunk) suffix(s string) bool {
	if c.holes == nil {
		return strings.HasSuffix(s, c.text)
	}
	start := len(s)
	for range c.holes {
		if start == 0 {
			return false
		}
		_, size := utf8.DecodeLastRuneInString(s[:start])
		start -= size
	}
	return c.prefix(s[start:]) == len(s)-start
}

// A GlobBuilder puts a Glob together from wildcards and text that must be taken as it is, such as the value
// of a policy variable. The zero value is ready; it must not be used again after Glob.
type GlobBuilder struct {
	chunks []chunk
	text   strings.Builder
	holes  []rune
}

// Pattern appends p, in which '*' and '?' are wildcards.
func (b *GlobBuilder) Pattern(p string) {
	for {
		i := strings.IndexAny(p, "*?")
		if i < 0 {
			b.Text(p)
			return
		}
		b.Text(p[:i])
		if p[i] == '*' {
			b.Star()
		} else {
			b.Any()
		}
		p = p[i+1:]
	}
}

// Text appends s, in which no character is a wildcard.
func (b *GlobBuilder) Text(s string) {
	b.text.WriteString(s)
	if b.holes != nil {
		b.holes = append(b.holes, []rune(s)...)
	}
}

// Any appends the wildcard for one character.
func (b *GlobBuilder) Any() {
	if b.holes == nil {
		b.holes = []rune(b.text.String())
	}
	b.holes = append(b.holes, anyRune)
}

// Star appends the wildcard for any run of characters. Repeated stars count as one.
func (b *GlobBuilder) Star() {
	if len(b.chunks) > 0 && b.text.Len() == 0 && b.holes == nil {
		return
	}
	b.flush()
}

// Glob returns the pattern.
func (b *GlobBuilder) Glob() Glob {
	b.flush()
	return Glob{chunks: b.chunks}
}

func (b *GlobBuilder) flush() {
	b.chunks = append(b.chunks, chunk{text: b.text.String(), holes: b.holes})
	b.text, b.holes = strings.Builder{}, nil
}
