// SPDX-License-Identifier: Apache-2.0

package oracle

import "strings"

// A char is one character of a pattern. A wild * or ? is a wildcard; any other stands for itself.
type char struct {
	r    rune
	wild bool
}

func plainPattern(text string) []char {
	var pattern []char
	for _, r := range text {
		pattern = append(pattern, char{r, r == '*' || r == '?'})
	}
	return pattern
}

func literal(text string) []char {
	var pattern []char
	for _, r := range text {
		pattern = append(pattern, char{r, false})
	}
	return pattern
}

// like says whether a pattern matches the whole of a text.
func like(pattern []char, text string) bool { return likeRunes(pattern, []rune(text)) }

func likeRunes(pattern []char, text []rune) bool {
	if len(pattern) == 0 {
		return len(text) == 0
	}
	p := pattern[0]
	if p.wild && p.r == '*' {
		for i := range len(text) + 1 {
			if likeRunes(pattern[1:], text[i:]) {
				return true
			}
		}
		return false
	}
	if len(text) == 0 {
		return false
	}
	return ((p.wild && p.r == '?') || p.r == text[0]) && likeRunes(pattern[1:], text[1:])
}

// expand turns a text of a policy into a pattern, putting in the values of its variables, which
// are never wildcards. It is false when a variable has no value and no default.
func expand(text string, variables bool, w World) ([]char, bool) {
	if !variables {
		return plainPattern(text), true
	}
	before, rest, found := strings.Cut(text, "${")
	pattern := plainPattern(before)
	if !found {
		return pattern, true
	}
	inner, after, closed := strings.Cut(rest, "}")
	if !closed {
		return nil, false
	}
	value, ok := variable(inner, w)
	if !ok {
		return nil, false
	}
	tail, ok := expand(after, variables, w)
	return append(append(pattern, literal(value)...), tail...), ok
}

// variable returns the value of what stands between the braces. A key of several values is none to
// take a value from.
func variable(inner string, w World) (string, bool) {
	if inner == "*" || inner == "?" || inner == "$" {
		return inner, true
	}
	key, fallback, hasFallback := strings.Cut(inner, ",")
	if values := contextValues(w, strings.TrimSpace(key)); len(values) == 1 {
		return values[0], true
	}
	fallback = strings.TrimSpace(fallback)
	if !hasFallback || len(fallback) < 2 {
		return "", false
	}
	return fallback[1 : len(fallback)-1], true
}

// contextValues returns the values of a condition key: none when it is absent.
func contextValues(w World, key string) []string {
	if w.Request.Context == nil {
		return nil
	}
	values, _ := w.Request.Context.Get(strings.ToLower(key))
	return values
}
