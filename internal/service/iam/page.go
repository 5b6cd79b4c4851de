// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"encoding/base64"
	"slices"
	"strings"
)

const defaultPageItems = 100

// page cuts the part of sorted items that follows marker. order is the text by which items are sorted,
// without repeats. A marker holds the last item's order and so stays right while items come and go.
func page[T any](items []T, order func(T) string, marker *string, maxItems *int64) (part []T, truncated *bool, next *string, err error) {
	if marker != nil {
		after, err := base64.RawURLEncoding.Strict().DecodeString(*marker)
		if err != nil {
			return nil, nil, nil, validation("Invalid Marker.")
		}
		i, found := slices.BinarySearchFunc(items, string(after), func(item T, after string) int {
			return strings.Compare(order(item), after)
		})
		if found {
			i++
		}
		items = items[i:]
	}
	limit := int64(defaultPageItems)
	if maxItems != nil {
		limit = *maxItems
	}
	if int64(len(items)) <= limit {
		return items, new(false), nil, nil
	}
	items = items[:limit]
	m := base64.RawURLEncoding.EncodeToString([]byte(order(items[limit-1])))
	return items, new(true), &m, nil
}

func itself(s string) string { return s }

// orEmpty gives what the wire shows as an empty list, not as none.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// each maps a list.
func each[T, U any](in []T, f func(T) U) []U {
	out := make([]U, 0, len(in))
	for _, x := range in {
		out = append(out, f(x))
	}
	return out
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
