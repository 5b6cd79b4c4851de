// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// validate emits a Validate method for every input, and for what it holds where
// that has constraints, and the rules for strings that they share.
func (f *file) validate() error {
	rules := map[string]bool{}
	below := f.m.below(structure.input)
	for _, s := range f.m.structs() {
		if !s.input() && !(below[s.name] && f.m.constrained(s.shape, map[*shape]bool{})) {
			continue
		}
		f.p("// Validate checks the constraints of the model.")
		f.p("func (v *%s) Validate(c *protocol.Check) {", s.name)
		for _, name := range sorted(s.shape.Members) {
			if slices.Contains(s.shape.Required, name) {
				f.p("c.Required(%q, v.%s != nil)", lower(name), upper(name))
			}
			if err := f.checkMember(s.shape, name, rules); err != nil {
				return fmt.Errorf("%s.%s: %w", s.name, name, err)
			}
		}
		f.p("}\n")
	}
	return f.rules(rules)
}

// constrained says whether a structure or anything below it has constraints.
func (m *model) constrained(s *shape, seen map[*shape]bool) bool {
	if seen[s] {
		return false
	}
	seen[s] = true
	if s.Min != nil || s.Max != nil || s.Pattern != "" || len(s.Enum) > 0 || len(s.Required) > 0 {
		return true
	}
	refs := []*ref{s.Member, s.Key, s.Value}
	for _, r := range s.Members {
		refs = append(refs, r)
	}
	for _, r := range refs {
		if r != nil && m.constrained(m.Shapes[r.Shape], seen) {
			return true
		}
	}
	return false
}

func (f *file) checkMember(parent *shape, name string, rules map[string]bool) error {
	r := parent.Members[name]
	s := f.m.Shapes[r.Shape]
	label, field := lower(name), "v."+upper(name)
	switch s.Type {
	case "string":
		if s.ruled() {
			method := "Text"
			if r.Secret {
				method = "Secret"
			}
			f.p("c.%s(%q, %s, &%s)", method, label, field, useRule(rules, r.Shape))
		}
	case "integer", "long":
		f.number(label, field, s)
	case "structure":
		if f.m.constrained(s, map[*shape]bool{}) {
			f.p("protocol.At(c, %q, %s, (*%s).Validate)", label, field, upper(r.Shape))
		}
	case "blob":
		f.size(label, field, s)
	case "list":
		f.size(label, field, s)
		return f.checkElements(label, field, r, s, rules)
	case "map":
		f.size(label, field, s)
		return f.checkPairs(label, field, s, rules)
	default:
		if s.Min != nil || s.Max != nil {
			return fmt.Errorf("a range on a %s", s.Type)
		}
	}
	return nil
}

func (f *file) number(label, field string, s *shape) {
	if s.Min != nil {
		f.p("c.Min(%q, %s, %.0f)", label, field, *s.Min)
	}
	if s.Max != nil {
		f.p("c.Max(%q, %s, %.0f)", label, field, *s.Max)
	}
}

func (f *file) size(label, field string, s *shape) {
	if s.Min != nil && *s.Min > 0 {
		f.p("c.MinSize(%q, len(%s), %s != nil, %.0f)", label, field, field, *s.Min)
	}
	if s.Max != nil {
		f.p("c.MaxSize(%q, len(%s), %.0f)", label, field, *s.Max)
	}
}

func (f *file) checkElements(label, field string, use *ref, s *shape, rules map[string]bool) error {
	elem := f.m.Shapes[s.Member.Shape]
	switch {
	case !f.m.constrained(elem, map[*shape]bool{}):
	case elem.Type == "string":
		f.p("c.Texts(%q, %s, &%s, %t)", label, field, useRule(rules, s.Member.Shape), use.Secret)
	case elem.Type == "structure":
		f.p("protocol.Each(c, %q, %s, (*%s).Validate)", label, field, upper(s.Member.Shape))
	default:
		return fmt.Errorf("constraints on the elements of a list of %s", elem.Type)
	}
	return nil
}

func (f *file) checkPairs(label, field string, s *shape, rules map[string]bool) error {
	key, value := f.m.Shapes[s.Key.Shape], f.m.Shapes[s.Value.Shape]
	if !f.m.constrained(key, map[*shape]bool{}) && !f.m.constrained(value, map[*shape]bool{}) {
		return nil
	}
	if value.Type != "string" {
		return fmt.Errorf("constraints on a map of %s", value.Type)
	}
	f.p("c.Pairs(%q, %s, &%s, &%s)", label, field, useRule(rules, s.Key.Shape), useRule(rules, s.Value.Shape))
	return nil
}

// ruled says whether a string has constraints.
func (s *shape) ruled() bool {
	return s.Min != nil && *s.Min > 0 || s.Max != nil || s.Pattern != "" || len(s.Enum) > 0
}

func useRule(rules map[string]bool, shape string) string {
	rules[shape] = true
	return "rule" + upper(shape)
}

func (f *file) rules(used map[string]bool) error {
	if len(used) == 0 {
		return nil
	}
	f.p("// The constraints of strings, by the model's name for them.")
	f.p("var (")
	for _, name := range sorted(used) {
		text, err := f.rule(f.m.Shapes[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f.p("rule%s = protocol.Text{%s}", upper(name), text)
	}
	f.p(")")
	return nil
}

func (f *file) rule(s *shape) (string, error) {
	var parts []string
	if len(s.Enum) > 0 {
		var values []string
		for _, v := range s.Enum {
			values = append(values, fmt.Sprintf("%q", v))
		}
		return "Enum: []string{" + strings.Join(values, ", ") + "}", nil
	}
	if s.Min != nil && *s.Min > 0 {
		parts = append(parts, fmt.Sprintf("Min: %.0f", *s.Min))
	}
	if s.Max != nil {
		parts = append(parts, fmt.Sprintf("Max: %.0f", *s.Max))
	}
	if s.Pattern != "" {
		re, err := translate(s)
		if err != nil {
			return "", err
		}
		parts = append(parts, fmt.Sprintf("Pattern: regexp.MustCompile(%s), Shown: %s", literal(re), literal(s.Pattern)))
	}
	return strings.Join(parts, ", "), nil
}

func literal(s string) string {
	if strings.Contains(s, "`") {
		return fmt.Sprintf("%q", s)
	}
	return "`" + s + "`"
}

var unicodeEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

// translate makes a pattern of the model an anchored one of Go's regexp. Code
// points above U+FFFF cannot be told from two escapes, and lookaheads do not exist:
// those need a translation in the patch.
func translate(s *shape) (string, error) {
	text := s.RE2
	if text == "" {
		for _, m := range unicodeEscape.FindAllStringSubmatch(s.Pattern, -1) {
			if strings.ToUpper(m[1]) >= "D800" && strings.ToUpper(m[1]) <= "DFFF" {
				return "", fmt.Errorf("pattern %s has a surrogate: give its re2 in patch.json", s.Pattern)
			}
		}
		if strings.Contains(s.Pattern, `\u10000`) {
			return "", fmt.Errorf("pattern %s has a long escape: give its re2 in patch.json", s.Pattern)
		}
		text = unicodeEscape.ReplaceAllString(s.Pattern, `\x{$1}`)
	}
	anchored := `\A(?:` + text + `)\z`
	if _, err := regexp.Compile(anchored); err != nil {
		return "", fmt.Errorf("pattern %s: %w: give its re2 in patch.json", s.Pattern, err)
	}
	return anchored, nil
}
