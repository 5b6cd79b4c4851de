// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendText adds text between tags. What XML 1.0 cannot carry becomes U+FFFD, and
// a carriage return a reference, since a parser would make it a line feed.
func AppendText(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '"':
			b = append(b, "&quot;"...)
		case r == '\r':
			b = append(b, "&#xD;"...)
		case r < ' ' && r != '\t' && r != '\n', r == 0xFFFE, r == 0xFFFF:
			b = utf8.AppendRune(b, utf8.RuneError)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// XMLInt adds a whole number as text.
func XMLInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

// XMLFloat adds a number as text.
func XMLFloat(b []byte, f float64) []byte { return strconv.AppendFloat(b, f, 'g', -1, 64) }

// XMLBool adds true or false as text.
func XMLBool(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }

// XMLTime adds an ISO 8601 timestamp as text.
func XMLTime(b []byte, t time.Time) []byte { return formatISO(b, t) }

// XMLBytes adds base64 as text.
func XMLBytes(b, data []byte) []byte { return base64.StdEncoding.AppendEncode(b, data) }

func openTag(b []byte, name string) []byte {
	b = append(b, '<')
	b = append(b, name...)
	return append(b, '>')
}

func closeTag(b []byte, name string) []byte {
	b = append(b, "</"...)
	b = append(b, name...)
	return append(b, '>')
}

// XMLValue adds an element for a scalar member, unless it is nil.
func XMLValue[T any](b []byte, name string, v *T, add func([]byte, T) []byte) []byte {
	if v == nil {
		return b
	}
	return closeTag(add(openTag(b, name), *v), name)
}

// XMLString adds an element of text, unless it is nil.
func XMLString(b []byte, name string, v *string) []byte { return XMLValue(b, name, v, AppendText) }

// XMLBlob adds an element of base64, unless it is nil.
func XMLBlob(b []byte, name string, v []byte) []byte {
	if v == nil {
		return b
	}
	return closeTag(XMLBytes(openTag(b, name), v), name)
}

// XMLObject adds an element for a structure, unless it is nil.
func XMLObject[T any](b []byte, name string, v *T, add func(*T, []byte) []byte) []byte {
	if v == nil {
		return b
	}
	return closeTag(add(v, openTag(b, name)), name)
}

// XMLList adds a list with an element called member for each of its own, unless it is nil.
func XMLList[T any](b []byte, name, member string, v []T, add func([]byte, T) []byte) []byte {
	if v == nil {
		return b
	}
	b = openTag(b, name)
	for _, e := range v {
		b = closeTag(add(openTag(b, member), e), member)
	}
	return closeTag(b, name)
}

// XMLMap adds a map as entry elements, ordered by key, unless it is nil.
func XMLMap[T any](b []byte, name, key, value string, v map[string]T, add func([]byte, T) []byte) []byte {
	if v == nil {
		return b
	}
	b = openTag(b, name)
	for _, k := range slices.Sorted(maps.Keys(v)) {
		b = openTag(b, "entry")
		b = closeTag(AppendText(openTag(b, key), k), key)
		b = closeTag(add(openTag(b, value), v[k]), value)
		b = closeTag(b, "entry")
	}
	return closeTag(b, name)
}

// XMLStruct makes the writer of an element out of that of a structure.
func XMLStruct[T any](add func(*T, []byte) []byte) func([]byte, *T) []byte {
	return AppendStruct(add)
}
