// SPDX-License-Identifier: Apache-2.0

// Package arn reads, writes and matches Amazon Resource Names, such as
// arn:aws:kms:us-east-1:000000000000:key/1234.
//
// It knows the six segments of a name and the wildcards of a pattern, and nothing of what any service
// puts into its segments: that a name is well formed does not say that the resource exists.
//
// The invariant: String gives back exactly what Parse read. Everything here is bounded by [MaxBytes], pure,
// and safe for concurrent use.
//
// Source: AWS General Reference, "Amazon Resource Names (ARNs)"; IAM User Guide, "IAM JSON policy elements:
// Condition operators" (ARN operators).
package arn

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// MaxBytes is the length of the longest name that Parse accepts (the IAM API's arnType).
const MaxBytes = 2048

// ErrInvalid is what Parse and ParsePattern return, always without the offending text.
var ErrInvalid = errors.New("arn: not a valid ARN")

// An ARN is a parsed name. Region and Account are empty for services that have none.
type ARN struct {
	Partition string // "aws"
	Service   string // "kms"
	Region    string // "us-east-1", or empty for IAM, STS, S3
	Account   string // 12 digits, "aws" for managed policies, or empty for S3
	Resource  string // everything after the fifth colon; may contain ':' and '/'
}

// Parse splits s into its six segments. Partition, service and resource must not be empty.
// It returns ErrInvalid when s is no ARN, is longer than MaxBytes, is not UTF-8 or has control characters.
func Parse(s string) (ARN, error) {
	if len(s) > MaxBytes || !printable(s) {
		return ARN{}, ErrInvalid
	}
	seg, ok := split(s)
	if !ok || seg[0] != "arn" || seg[1] == "" || seg[2] == "" || seg[5] == "" {
		return ARN{}, ErrInvalid
	}
	return ARN{Partition: seg[1], Service: seg[2], Region: seg[3], Account: seg[4], Resource: seg[5]}, nil
}

// String formats a as arn:partition:service:region:account:resource.
func (a ARN) String() string {
	var b strings.Builder
	b.Grow(len("arn:::::") + len(a.Partition) + len(a.Service) + len(a.Region) + len(a.Account) + len(a.Resource))
	b.WriteString("arn")
	for _, s := range [...]string{a.Partition, a.Service, a.Region, a.Account, a.Resource} {
		b.WriteByte(':')
		b.WriteString(s)
	}
	return b.String()
}

// Split cuts the resource segment at its first '/' or ':': "stream/name/123" is "stream" and "name/123".
// A resource without a separator, such as an S3 bucket or "root", is all id.
func (a ARN) Split() (kind, id string) {
	if i := strings.IndexAny(a.Resource, "/:"); i >= 0 {
		return a.Resource[:i], a.Resource[i+1:]
	}
	return "", a.Resource
}

// split cuts s at its first five colons without allocating.
func split(s string) (seg [6]string, ok bool) {
	for i := range 5 {
		seg[i], s, ok = strings.Cut(s, ":")
		if !ok {
			return seg, false
		}
	}
	seg[5] = s
	return seg, true
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}
