// SPDX-License-Identifier: Apache-2.0

package arn

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParseSplitsSixSegments(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want ARN
	}{
		{"arn:aws:kms:us-east-1:000000000000:key/1234", ARN{"aws", "kms", "us-east-1", "000000000000", "key/1234"}},
		{"arn:aws:iam::000000000000:root", ARN{"aws", "iam", "", "000000000000", "root"}},
		{"arn:aws:s3:::bucket/a:b/c", ARN{"aws", "s3", "", "", "bucket/a:b/c"}},
		{"arn:aws-cn:iam::aws:policy/X", ARN{"aws-cn", "iam", "", "aws", "policy/X"}},
		{"arn:aws:logs:r:1:log-group:g:*", ARN{"aws", "logs", "r", "1", "log-group:g:*"}},
	} {
		got, err := Parse(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
		if got.String() != tt.in {
			t.Errorf("String() = %q, want %q", got.String(), tt.in)
		}
	}
}

func TestParseRefusesWhatIsNoARN(t *testing.T) {
	for _, in := range []string{
		"", "arn", "arn:aws", "arn:aws:kms:r:1", "arn:aws:kms:r:1:", "arn::kms:r:1:x", "arn:aws::r:1:x",
		"ARN:aws:kms:r:1:x", " arn:aws:kms:r:1:x", "arn:aws:kms:r:1:x\n", "arn:aws:kms:r:1:\xff",
		"arn:aws:kms:r:1:" + strings.Repeat("x", MaxBytes),
	} {
		if a, err := Parse(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("Parse(%q) = %+v, %v; want ErrInvalid", in, a, err)
		}
	}
}

func TestSplitResource(t *testing.T) {
	for in, want := range map[string][2]string{
		"stream/name/123": {"stream", "name/123"}, "root": {"", "root"},
		"log-group:g/x": {"log-group", "g/x"}, "user/a/b": {"user", "a/b"},
	} {
		kind, id := ARN{Resource: in}.Split()
		if kind != want[0] || id != want[1] {
			t.Errorf("Split(%q) = %q, %q", in, kind, id)
		}
	}
}

func TestMatchComparesSegmentBySegment(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:000000000000:key/1234"
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{key, key, true},
		{"*", key, true},
		{"*", "no arn", false},
		{"arn:aws:kms:*:*:key/*", key, true},
		{"arn:aws:kms:*:key/1234", key, false}, // one star, two segments
		{"arn:aws:kms:us-east-?:000000000000:*", key, true},
		{"arn:aws:kms:us-east-1:*", key, false},
		{"arn:aws:s3:::b*", "arn:aws:s3:::bucket/a:b", true},
		{"arn:aws:KMS:*:*:*", key, false},
		{"arn:*:*:*:*:*", key, true},
		{"", "", false},
	} {
		if got := Match(tt.pattern, tt.name); got != tt.want {
			t.Errorf("Match(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything:/at all", true},
		{"**", "", true},
		{"?", "", false},
		{"?", "é", true},
		{"??", "é", false},
		{"a*", "a", true},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"*ab", "aab", true},
		{"*a?", "xxab", true},
		{"*a?", "xxa", false},
		{"*?", "", false},
		{"?*?", "ab", true},
		{"?*?", "a", false},
		{"*a?c*", "xxabcxx", true},
		{"*a?c*", "xxaccaxx", true},
		{"*a?c*", "xxabbxx", false},
		{"a?c", "a*c", true},
		{"a.c", "abc", false},
		{"A", "a", false},
		{"*b?d*f", "abcdef", true},
	} {
		if got := CompileGlob(tt.pattern).Match(tt.s); got != tt.want {
			t.Errorf("CompileGlob(%q).Match(%q) = %v", tt.pattern, tt.s, got)
		}
	}
}

func TestBuilderTextIsNeverAWildcard(t *testing.T) {
	var b GlobBuilder
	b.Pattern("a/")
	b.Text("*?")
	b.Pattern("/?/*")
	g := b.Glob()
	for s, want := range map[string]bool{"a/*?/x/": true, "a/xy/x/": false, "a/*?//": false, "a/*?/x/yz": true} {
		if got := g.Match(s); got != want {
			t.Errorf("Match(%q) = %v", s, got)
		}
	}
}

func TestGlobIsNotExponential(t *testing.T) {
	start := time.Now()
	for _, p := range []string{strings.Repeat("a*", 500) + "b", strings.Repeat("*?", 500) + "b", "*" + strings.Repeat("a?", 500) + "b*"} {
		CompileGlob(p).Match(strings.Repeat("a", 4000))
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"arn:aws:kms:us-east-1:000000000000:key/1234", "arn:aws:s3:::b", "arn::::::", ":::::", "arn:a:b:c:d:e:f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			return
		}
		if a.String() != s {
			t.Fatalf("Parse(%q).String() = %q", s, a.String())
		}
		if !Match(s, s) && !strings.ContainsAny(s, "?") {
			t.Fatalf("%q does not match itself", s)
		}
	})
}

// FuzzGlob compares with a regular expression made from the same pattern.
func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*a?b*", "éaéb")
	f.Add("??*", "ab")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 100 || len(s) > 200 || !utf8.ValidString(pattern) || !utf8.ValidString(s) {
			return
		}
		expr := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`(?s)\A` + expr + `\z`).MatchString(s)
		if got := CompileGlob(pattern).Match(s); got != want {
			t.Fatalf("CompileGlob(%q).Match(%q) = %v, want %v", pattern, s, got, want)
		}
	})
}
