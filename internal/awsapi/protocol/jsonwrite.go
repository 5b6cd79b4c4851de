// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendString adds a JSON string. Bytes that are not UTF-8 become U+FFFD. Besides
// what JSON demands it escapes < > & and U+2028, U+2029, so that the text is also
// safe inside HTML and JavaScript.
func AppendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	plain := 0
	for plain < len(s) && isPlain(s[plain]) {
		plain++
	}
	b = append(b, '"')
	b = append(b, s[:plain]...)
	for i := plain; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c == '\n':
				b = append(b, '\\', 'n')
			case c == '\r':
				b = append(b, '\\', 'r')
			case c == '\t':
				b = append(b, '\\', 't')
			case c < ' ' || c == 0x7f || c == '<' || c == '>' || c == '&':
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch r {
		case '\u2028':
			b = append(b, `\u2028`...)
		case '\u2029':
			b = append(b, `\u2029`...)
		default:
			b = utf8.AppendRune(b, r)
		}
		i += n
	}
	return append(b, '"')
}

// isPlain says that a byte is a character that AppendString leaves as it is.
func isPlain(c byte) bool {
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

// AppendInt adds a whole number.
func AppendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

// AppendBool adds true or false.
func AppendBool(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }

// AppendFloat adds a number; what JSON cannot write becomes 0.
func AppendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		f = 0
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

// AppendBlob adds base64 text.
func AppendBlob(b, data []byte) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, '"')
}

// AppendTime adds seconds since the epoch, with milliseconds when there are any.
func AppendTime(b []byte, t time.Time) []byte { return appendEpoch(b, t) }

// An object under way ends in its opening brace or in the comma after a member.

// OpenObject begins an object.
func OpenObject(b []byte) []byte { return append(b, '{') }

// CloseObject ends an object.
func CloseObject(b []byte) []byte { return closeWith(b, '}') }

func closeWith(b []byte, c byte) []byte {
	if last := len(b) - 1; b[last] == ',' {
		b[last] = c
		return b
	}
	return append(b, c)
}

// appendName adds a member name that needs no escapes, since it is the model's.
func appendName(b []byte, name string) []byte {
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

// WriteValue adds a scalar member, unless it is nil.
func WriteValue[T any](b []byte, name string, v *T, add func([]byte, T) []byte) []byte {
	if v == nil {
		return b
	}
	return append(add(appendName(b, name), *v), ',')
}

// WriteBlob adds a blob member, unless it is nil.
func WriteBlob(b []byte, name string, v []byte) []byte {
	if v == nil {
		return b
	}
	return append(AppendBlob(appendName(b, name), v), ',')
}

// WriteObject adds a structure member, unless it is nil.
func WriteObject[T any](b []byte, name string, v *T, add func(*T, []byte) []byte) []byte {
	if v == nil {
		return b
	}
	return append(add(v, appendName(b, name)), ',')
}

// WriteList adds a list member, unless it is nil.
func WriteList[T any](b []byte, name string, v []T, add func([]byte, T) []byte) []byte {
	if v == nil {
		return b
	}
	return append(AppendList(appendName(b, name), v, add), ',')
}

// AppendList adds a list.
func AppendList[T any](b []byte, v []T, add func([]byte, T) []byte) []byte {
	b = append(b, '[')
	for _, e := range v {
		b = append(add(b, e), ',')
	}
	return closeWith(b, ']')
}

// WriteMap adds a map member, unless it is nil.
func WriteMap[T any](b []byte, name string, v map[string]T, add func([]byte, T) []byte) []byte {
	if v == nil {
		return b
	}
	return append(AppendMap(appendName(b, name), v, add), ',')
}

// AppendMap adds a map, ordered by key so that equal maps are equal bytes.
func AppendMap[T any](b []byte, v map[string]T, add func([]byte, T) []byte) []byte {
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for _, k := range keys {
		b = append(AppendString(b, k), ':')
		b = append(add(b, v[k]), ',')
	}
	return CloseObject(b)
}

// AppendStruct makes the writer of an element out of that of a structure. A nil
// element becomes an empty object.
func AppendStruct[T any](add func(*T, []byte) []byte) func([]byte, *T) []byte {
	return func(b []byte, v *T) []byte {
		if v == nil {
			v = new(T)
		}
		return add(v, b)
	}
}
