// SPDX-License-Identifier: Apache-2.0

package arn

// A Pattern matches names segment by segment, as ArnLike and ArnEquals do: a wildcard in one of the first
// five segments does not reach over a colon; in the resource segment it does.
type Pattern struct {
	segments [6]Glob
}

// ParsePattern compiles a pattern of six segments. "*" alone matches every ARN.
// It returns ErrInvalid when there are fewer than six segments.
func ParsePattern(s string) (Pattern, error) {
	if s == "*" {
		s = "*:*:*:*:*:*"
	}
	seg, ok := split(s)
	if !ok || len(s) > MaxBytes {
		return Pattern{}, ErrInvalid
	}
	var p Pattern
	for i := range seg {
		p.segments[i] = CompileGlob(seg[i])
	}
	return p, nil
}

// NewPattern makes a pattern of segments that are already compiled.
func NewPattern(segments [6]Glob) Pattern { return Pattern{segments: segments} }

// Match reports whether name, which must have six segments, fits the pattern.
func (p Pattern) Match(name string) bool {
	seg, ok := split(name)
	if !ok {
		return false
	}
	for i := range seg {
		if !p.segments[i].Match(seg[i]) {
			return false
		}
	}
	return true
}

// Match reports whether name fits pattern, segment by segment. A malformed pattern matches nothing.
func Match(pattern, name string) bool {
	p, err := ParsePattern(pattern)
	return err == nil && p.Match(name)
}
