// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

// appendContext appends the canonical form of an encryption context to b:
// the number of pairs, then every pair in the byte order of its key, key and
// value each after its length. Lengths and the number are uint32, big endian.
//
// Two contexts have the same form exactly when they hold the same pairs, case
// included; the order of a map never shows, and no context equals the absent
// one but the empty one.
func appendContext(b []byte, context map[string]string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(context)))
	if len(context) == 0 {
		return b
	}
	var room [8]string // the usual context has one or two pairs
	keys := room[:0]
	for key := range context {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		b = appendCounted(b, key)
		b = appendCounted(b, context[key])
	}
	return b
}

// contextBytes is the length of what appendContext appends.
func contextBytes(context map[string]string) int {
	n := 4
	for key, value := range context {
		n += 8 + len(key) + len(value)
	}
	return n
}

func appendCounted(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// ambiguous reports whether two keys of an encryption context differ only in
// case. Condition keys ignore case, so a policy could be met by one of the two
// while the other was meant: such a context is refused.
func ambiguous(context map[string]string) bool {
	if len(context) < 2 {
		return false
	}
	seen := make(map[string]bool, len(context))
	for key := range context {
		lower := strings.ToLower(key)
		if seen[lower] {
			return true
		}
		seen[lower] = true
	}
	return false
}

// contextKeys returns the keys of an encryption context, sorted.
func contextKeys(context map[string]string) []string {
	return slices.Sorted(maps.Keys(context))
}
