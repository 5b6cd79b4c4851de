// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"encoding/base64"
	"strconv"
	"time"
)

// number takes a number as it is written, and nothing if none is next.
func (r *JSONReader) number() string {
	r.blanks()
	rest := r.data[r.pos:]
	n := numberLength(rest)
	r.pos += n
	return string(rest[:n])
}

// numberLength is the length of the number at the start of b, 0 if there is none.
func numberLength(b []byte) int {
	digits := func(i int) int {
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i
	}
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	whole := i
	if i = digits(i); i == whole || b[whole] == '0' && i > whole+1 {
		return 0
	}
	if i < len(b) && b[i] == '.' {
		end := digits(i + 1)
		if end == i+1 {
			return 0
		}
		i = end
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		sign := i + 1
		if sign < len(b) && (b[sign] == '+' || b[sign] == '-') {
			sign++
		}
		end := digits(sign)
		if end == sign {
			return 0
		}
		i = end
	}
	return i
}

// String takes a string.
func (r *JSONReader) String() string {
	if r.next() != '"' {
		r.wrong("a String")
		return ""
	}
	return r.text()
}

// Int takes a whole number of 32 bits.
func (r *JSONReader) Int() int64 { return r.integer(32, "an Integer") }

// Long takes a whole number of 64 bits.
func (r *JSONReader) Long() int64 { return r.integer(64, "a Long") }

func (r *JSONReader) integer(bits int, want string) int64 {
	text := r.number()
	if text == "" {
		r.wrong(want)
		return 0
	}
	n, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		r.fail("NUMBER_VALUE can not be converted to %s", want)
	}
	return n
}

// Unsigned takes a whole number of 64 bits without a sign.
func (r *JSONReader) Unsigned() uint64 {
	n, err := strconv.ParseUint(r.number(), 10, 64)
	if err != nil {
		r.wrong("an unsigned Long")
	}
	return n
}

// Float takes a number.
func (r *JSONReader) Float() float64 {
	text := r.number()
	if text == "" {
		r.wrong("a Double")
		return 0
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		r.fail("NUMBER_VALUE can not be converted to a Double")
	}
	return f
}

// Bool takes true or false.
func (r *JSONReader) Bool() bool {
	r.blanks()
	if r.word("true") {
		return true
	}
	if !r.word("false") {
		r.wrong("a Boolean")
	}
	return false
}

// Blob takes base64 text.
func (r *JSONReader) Blob() []byte {
	if r.next() != '"' {
		r.wrong("a String")
		return nil
	}
	text := r.raw()
	if r.err != nil {
		return nil
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(b, text)
	if err != nil {
		r.fail("STRING_VALUE is not base64")
	}
	return b[:n]
}

// Time takes seconds since the epoch, with a fraction.
func (r *JSONReader) Time() time.Time {
	text := r.number()
	if text == "" {
		r.wrong("a Timestamp")
		return time.Time{}
	}
	t, err := parseEpoch(text)
	if err != nil {
		r.fail("NUMBER_VALUE can not be converted to a Timestamp")
	}
	return t
}

// ReadValue takes a scalar member, or a null, for which it returns nil.
func ReadValue[T any](r *JSONReader, read func(*JSONReader) T) *T {
	if r.Null() {
		return nil
	}
	v := read(r)
	return &v
}

// ReadObject takes a structure, or a null, for which it returns nil.
func ReadObject[T any](r *JSONReader, read func(*T, *JSONReader)) *T {
	if r.Null() {
		return nil
	}
	v := new(T)
	read(v, r)
	return v
}

// ReadBlob takes a blob, or a null, for which it returns nil.
func ReadBlob(r *JSONReader) []byte {
	if r.Null() {
		return nil
	}
	return r.Blob()
}

// ReadList takes a list, or a null, for which it returns nil. Elements are never null.
func ReadList[T any](r *JSONReader, read func(*JSONReader) T) []T {
	if r.Null() {
		return nil
	}
	out := []T{}
	r.elements(func() bool {
		out = append(out, read(r))
		return true
	})
	return out
}

// ReadMap takes a map, or a null, for which it returns nil. Values are never null.
func ReadMap[T any](r *JSONReader, read func(*JSONReader) T) map[string]T {
	if r.Null() {
		return nil
	}
	out := map[string]T{}
	for name := range r.Members() {
		if r.next() == 'n' {
			r.wrong("a map value")
			return nil
		}
		out[name] = read(r)
	}
	return out
}

// ReadStruct makes the reader of an element out of that of a structure.
func ReadStruct[T any](read func(*T, *JSONReader)) func(*JSONReader) *T {
	return func(r *JSONReader) *T { return ReadObject(r, read) }
}
