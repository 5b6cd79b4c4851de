// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"encoding/base64"
	"slices"
	"strings"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// Page lengths when a request names no Limit (API Reference, List…).
const (
	defaultPage     = 100 // ListKeys, ListKeyRotations
	defaultPageFew  = 50  // ListAliases, ListGrants, ListResourceTags
	maxTagsPerPage  = 50
	markerSeparator = "\x00"
)

// page is one page of a list: the names on it and where the next one begins.
type page struct {
	names     []string
	next      *string
	truncated *bool
}

// turn cuts a page out of sorted names. list names the list (operation and what
// it is of): a marker of another list is InvalidMarkerException. Markers name
// the last entry given, so a list that changes meanwhile repeats and loses nothing
// that stays in it.
func turn(list string, names []string, marker *string, limit *int64, length int) (page, error) {
	if limit != nil {
		length = int(*limit)
	}
	start := 0
	if marker != nil {
		last, err := readMarker(list, *marker)
		if err != nil {
			return page{}, err
		}
		var found bool
		if start, found = slices.BinarySearch(names, last); found {
			start++
		}
	}
	rest := names[start:]
	if len(rest) <= length {
		return page{names: rest, truncated: new(bool)}, nil
	}
	more := true
	next := base64.RawURLEncoding.EncodeToString([]byte(list + markerSeparator + rest[length-1]))
	return page{names: rest[:length], next: &next, truncated: &more}, nil
}

func readMarker(list, marker string) (last string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(marker)
	if err != nil {
		return "", &kmsapi.InvalidMarkerException{}
	}
	of, last, ok := strings.Cut(string(b), markerSeparator)
	if !ok || of != list {
		return "", &kmsapi.InvalidMarkerException{}
	}
	return last, nil
}
