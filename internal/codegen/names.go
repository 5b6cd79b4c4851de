// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"unicode"
)

// upper makes a model name an exported Go name.
func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// lower makes the name that AWS uses in messages and audit events: only the
// first letter changes, so SAMLAssertion becomes sAMLAssertion.
func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// enumConst names the constant of an enum value: KeySpec, RSA_2048 → KeySpecRsa2048.
func enumConst(enum, value string) string {
	var b strings.Builder
	b.WriteString(upper(enum))
	for word := range strings.FieldsFuncSeq(value, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if strings.ToUpper(word) == word {
			word = strings.ToLower(word)
		}
		b.WriteString(upper(word))
	}
	return b.String()
}

// goType is the Go type of a member with the given shape.
func (m *model) goType(name string) (string, error) {
	s := m.Shapes[name]
	switch s.Type {
	case "structure":
		return "*" + upper(name), nil
	case "blob":
		if s.Streaming {
			return "protocol.Stream", nil
		}
		return "[]byte", nil
	case "list":
		elem, err := m.elemType(s.Member.Shape)
		return "[]" + elem, err
	case "map":
		elem, err := m.elemType(s.Value.Shape)
		return "map[string]" + elem, err
	}
	scalar, err := scalarType(s.Type)
	return "*" + scalar, err
}

// elemType is the Go type inside a list or a map: scalars without the pointer.
func (m *model) elemType(name string) (string, error) {
	switch t := m.Shapes[name].Type; t {
	case "structure", "list", "map", "blob":
		return m.goType(name)
	default:
		return scalarType(t)
	}
}

func scalarType(t string) (string, error) {
	switch t {
	case "string":
		return "string", nil
	case "integer", "long":
		return "int64", nil
	case "double", "float":
		return "float64", nil
	case "boolean":
		return "bool", nil
	case "timestamp":
		return "time.Time", nil
	}
	return "", fmt.Errorf("unknown type %q", t)
}
