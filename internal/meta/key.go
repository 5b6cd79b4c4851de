// SPDX-License-Identifier: Apache-2.0

package meta

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Key builds an order-preserving key: the space, a slash, then every part in
// the encoding of AppendString (string), AppendBytes ([]byte) or AppendUint64
// (uint64). Keys of one shape sort as the tuples of their parts do, and no key
// is a prefix of another of the same shape. It panics on any other type: keys
// are built from shapes fixed in code. Space must hold no slash.
func Key(space string, parts ...any) []byte {
	k := append([]byte(space), '/')
	for _, p := range parts {
		switch v := p.(type) {
		case string:
			k = AppendString(k, v)
		case []byte:
			k = AppendBytes(k, v)
		case uint64:
			k = AppendUint64(k, v)
		default:
			panic(fmt.Sprintf("meta: key part of type %T", p))
		}
	}
	return k
}

// Escapes of AppendBytes: 0x00 within the bytes becomes 0x00 0xff, and 0x00 0x01
// ends them. So a shorter string sorts before every one that it begins, and
// whatever follows cannot be mistaken for an escape.
const (
	escape     = 0x00
	escaped    = 0xff
	terminator = 0x01
)

// AppendString appends s so that it keeps its order and its end can be found.
func AppendString(k []byte, s string) []byte { return AppendBytes(k, []byte(s)) }

// AppendBytes appends b as AppendString does.
func AppendBytes(k, b []byte) []byte {
	for _, c := range b {
		k = append(k, c)
		if c == escape {
			k = append(k, escaped)
		}
	}
	return append(k, escape, terminator)
}

// AppendUint64 appends v as eight bytes, big-endian.
func AppendUint64(k []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(k, v) }

// CutSpace takes the space and its slash off the front of k; ok is false when k
// is not of that space.
func CutSpace(k []byte, space string) (rest []byte, ok bool) {
	if len(k) <= len(space) || string(k[:len(space)]) != space || k[len(space)] != '/' {
		return nil, false
	}
	return k[len(space)+1:], true
}

// CutString takes a part made by AppendString off the front of k.
func CutString(k []byte) (s string, rest []byte, ok bool) {
	b, rest, ok := CutBytes(k)
	return string(b), rest, ok
}

// CutBytes takes a part made by AppendBytes off the front of k.
func CutBytes(k []byte) (b, rest []byte, ok bool) {
	for {
		i := bytes.IndexByte(k, escape)
		if i < 0 || i+1 >= len(k) {
			return nil, nil, false
		}
		b = append(b, k[:i]...)
		switch k[i+1] {
		case terminator:
			return b, k[i+2:], true
		case escaped:
			b = append(b, escape)
		default:
			return nil, nil, false
		}
		k = k[i+2:]
	}
}

// CutUint64 takes a part made by AppendUint64 off the front of k.
func CutUint64(k []byte) (v uint64, rest []byte, ok bool) {
	if len(k) < 8 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(k), k[8:], true
}

// PrefixEnd returns the smallest key after every key that begins with prefix: the
// end of a Scan or DeleteRange over that prefix. nil means that there is none.
func PrefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
