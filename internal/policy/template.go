// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"strings"

	"github.com/obscura-video/obscura/internal/arn"
)

var errVariable = errors.New("policy: malformed variable")

// A template is a resource or a condition value: text, wildcards, and variables such as ${aws:username}. What a
// variable stands for is always taken as plain text, so nobody gains a wildcard by putting one into a tag.
type template struct {
	parts     []part
	variables bool
	glob      arn.Glob // the whole template as a pattern, when it has no variables
	plain     string   // the whole template as text without wildcards, likewise
}

type part struct {
	kind partKind
	text string // patternPart: with wildcards; textPart: without; variablePart: the default
	key  string // variablePart: the condition key, lower case
}

type partKind int

const (
	patternPart partKind = iota
	textPart
	variablePart        // without a default
	variableDefaultPart // with one
)

// newTemplate parses s. With withVariables false (policies of version 2008-10-17), ${…} is plain text.
func newTemplate(s string, withVariables bool) (template, error) {
	parts, err := parseParts(s, withVariables)
	if err != nil {
		return template{}, err
	}
	t := template{parts: parts}
	for _, p := range parts {
		t.variables = t.variables || p.kind == variablePart || p.kind == variableDefaultPart
	}
	if !t.variables {
		t.glob, _ = t.pattern(nil)
		t.plain, _ = t.expand(nil)
	}
	return t, nil
}

func parseParts(s string, withVariables bool) ([]part, error) {
	if !withVariables {
		return []part{{text: s}}, nil
	}
	var parts []part
	for {
		before, rest, found := strings.Cut(s, "${")
		if before != "" {
			parts = append(parts, part{text: before})
		}
		if !found {
			return parts, nil
		}
		inside, after, found := cutVariable(rest)
		if !found {
			return nil, errVariable
		}
		p, err := parseVariable(inside)
		if err != nil {
			return nil, err
		}
		parts, s = append(parts, p), after
	}
}

// cutVariable cuts at the first '}' that is not inside a quoted default.
func cutVariable(s string) (inside, after string, found bool) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '\'':
			quoted = !quoted
		case s[i] == '}' && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

// parseVariable reads what stands between "${" and "}": one of the characters * ? $, or a key, or a key and
// a default in single quotes.
func parseVariable(s string) (part, error) {
	if s == "*" || s == "?" || s == "$" {
		return part{kind: textPart, text: s}, nil
	}
	key, def, hasDefault := strings.Cut(s, ",")
	key = strings.ToLower(strings.TrimSpace(key))
	if key == "" || strings.ContainsAny(key, "${}*?'") {
		return part{}, errVariable
	}
	if !hasDefault {
		return part{kind: variablePart, key: key}, nil
	}
	def = strings.TrimSpace(def)
	if len(def) < 2 || def[0] != '\'' || def[len(def)-1] != '\'' || strings.Contains(def[1:len(def)-1], "'") {
		return part{}, errVariable
	}
	return part{kind: variableDefaultPart, key: key, text: def[1 : len(def)-1]}, nil
}

// value returns what a variable stands for. A key with several values has none that could be put in.
func (p part) value(c Context) (string, bool) {
	if v := values(c, p.key); len(v) == 1 {
		return v[0], true
	}
	return p.text, p.kind == variableDefaultPart
}

// match compares s with the template as a pattern. missing says that a variable has no value, which
// matches nothing.
func (t *template) match(s string, c Context) (ok, missing bool) {
	if !t.variables {
		return t.glob.Match(s), false
	}
	g, ok := t.pattern(c)
	if !ok {
		return false, true
	}
	return g.Match(s), false
}

// resolves reports whether all variables of the template have a value.
func (t *template) resolves(c Context) bool {
	for _, p := range t.parts {
		if p.kind == variablePart {
			if _, ok := p.value(c); !ok {
				return false
			}
		}
	}
	return true
}

// pattern returns the template as a pattern; ok is false when a variable has no value.
func (t *template) pattern(c Context) (g arn.Glob, ok bool) {
	var b arn.GlobBuilder
	for _, p := range t.parts {
		switch p.kind {
		case patternPart:
			b.Pattern(p.text)
		case textPart:
			b.Text(p.text)
		default:
			v, ok := p.value(c)
			if !ok {
				return arn.Glob{}, false
			}
			b.Text(v)
		}
	}
	return b.Glob(), true
}

// expand returns the template as text in which '*' and '?' are nothing special.
func (t *template) expand(c Context) (string, bool) {
	var b strings.Builder
	for _, p := range t.parts {
		text, ok := p.text, true
		if p.kind == variablePart || p.kind == variableDefaultPart {
			text, ok = p.value(c)
		}
		if !ok {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), true
}

// splitARN cuts s into the six segments of an ARN, at the colons that are not inside a variable.
func splitARN(s string, withVariables bool) ([]string, bool) {
	var out []string
	for start, i := 0, 0; i < len(s); i++ {
		switch {
		case withVariables && strings.HasPrefix(s[i:], "${"):
			inside, _, found := cutVariable(s[i+2:])
			if !found {
				return nil, false
			}
			i += len("${") + len(inside)
		case s[i] == ':':
			out = append(out, s[start:i])
			start = i + 1
		}
		if len(out) == 5 {
			return append(out, s[start:]), true
		}
	}
	return nil, false
}
