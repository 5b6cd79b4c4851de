// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"strings"
	"testing"
)

// allowsWith reports whether an identity policy with this Condition element allows in this context.
func allowsWith(t testing.TB, condition string, c Context) bool {
	t.Helper()
	d := must(t, Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+condition+`}}`)
	return Evaluate(Request{Action: "s3:GetObject", Resource: "*", Principal: alice, Context: c}, PolicySet{Identity: []*Document{d}}).Allowed
}

// context makes a Map of pairs; "" as the value leaves the key out.
func context(pairs ...string) Map {
	m := Map{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			m.Add(pairs[i], pairs[i+1])
		}
	}
	return m
}

// TestOperators holds each operator against a value that fits, one that does not, one of the wrong type, and no
// value, each with and without IfExists.
func TestOperators(t *testing.T) {
	for _, tt := range []struct {
		op, policy      string // policy is JSON
		fits, misses    []string
		negated, noType bool
	}{
		{op: "StringEquals", policy: `"Ab*"`, fits: []string{"Ab*"}, misses: []string{"ab*", "Abc", " Ab*"}},
		{op: "StringEquals", policy: `["a","b"]`, fits: []string{"a", "b"}, misses: []string{"c", "ab"}},
		{op: "StringNotEquals", policy: `["a","b"]`, negated: true, fits: []string{"c", "A"}, misses: []string{"a", "b"}},
		{op: "StringEqualsIgnoreCase", policy: `"Ab"`, fits: []string{"aB", "Ab"}, misses: []string{"a"}},
		{op: "StringNotEqualsIgnoreCase", policy: `["Ab","c"]`, negated: true, fits: []string{"d"}, misses: []string{"aB", "C"}},
		{op: "StringLike", policy: `"a*c?"`, fits: []string{"acd", "a/b:cd"}, misses: []string{"ac", "Acd"}},
		{op: "StringNotLike", policy: `["a*","*b"]`, negated: true, fits: []string{"c"}, misses: []string{"ax", "xb", "ab"}},
		{op: "NumericEquals", policy: `10`, fits: []string{"10", "10.0", "1e1"}, misses: []string{"9", "x", "10x", "0x0a", "NaN"}},
		{op: "NumericEquals", policy: `"9007199254740993"`, fits: []string{"9007199254740993"}, misses: []string{"9007199254740992"}},
		{op: "NumericLessThan", policy: `20`, fits: []string{"19"}, misses: []string{"NaN", "-Inf", "0x1", "1_0"}},
		{op: "NumericNotEquals", policy: `[10,"11"]`, negated: true, fits: []string{"9", "x"}, misses: []string{"10", "11"}},
		{op: "NumericLessThan", policy: `"10"`, fits: []string{"9.5", "-1"}, misses: []string{"10", "11", "x"}},
		{op: "NumericLessThanEquals", policy: `10`, fits: []string{"10", "9"}, misses: []string{"10.1"}},
		{op: "NumericGreaterThan", policy: `10`, fits: []string{"11"}, misses: []string{"10", "9"}},
		{op: "NumericGreaterThanEquals", policy: `10`, fits: []string{"10", "11"}, misses: []string{"9"}},
		{op: "DateEquals", policy: `"2026-11-23T00:00:00Z"`, fits: []string{"2026-11-23", "1795392000", "2026-11-23T01:00:00+01:00"}, misses: []string{"2026-11-24", "x"}},
		{op: "DateEquals", policy: `"2026-11-23T01:02:03"`, fits: []string{"2026-11-23T01:02:03Z"}, misses: []string{"2026-11-23T01:02Z"}},
		{op: "DateNotEquals", policy: `"2026-11-23"`, negated: true, fits: []string{"2026-11-24"}, misses: []string{"2026-11-23T00:00:00.000Z"}},
		{op: "DateLessThan", policy: `"2026-11-23T12:00Z"`, fits: []string{"2026-11-23T11:59:59Z"}, misses: []string{"2026-11-23T12:00:00Z"}},
		{op: "DateLessThanEquals", policy: `1795392000`, fits: []string{"2026-11-23", "2025"}, misses: []string{"2026-12"}},
		{op: "DateGreaterThan", policy: `"2026-11"`, fits: []string{"2026-11-02"}, misses: []string{"2026-11-01"}},
		{op: "DateGreaterThanEquals", policy: `"2026"`, fits: []string{"2026-01-01"}, misses: []string{"2025-12-31"}},
		{op: "Bool", policy: `true`, fits: []string{"true", "TRUE"}, misses: []string{"false", "1"}},
		{op: "Bool", policy: `"False"`, fits: []string{"false"}, misses: []string{"true"}},
		{op: "BinaryEquals", policy: `"QmluYXJ5"`, fits: []string{"QmluYXJ5"}, misses: []string{"qmluYXJ5", "!", "QmluYXJ5!", "QmluYXJ5QQ=="}},
		{op: "IpAddress", policy: `["10.0.0.0/8","2001:db8::/32","192.0.2.1"]`, fits: []string{"10.1.2.3", "2001:db8::1", "::ffff:10.0.0.1", "192.0.2.1"}, misses: []string{"11.0.0.1", "192.0.2.2", "x"}},
		{op: "NotIpAddress", policy: `["10.0.0.0/8","192.0.2.0/24"]`, negated: true, fits: []string{"11.0.0.1"}, misses: []string{"10.9.9.9", "192.0.2.3"}},
		{op: "ArnEquals", policy: `"arn:aws:s3:::b*"`, fits: []string{"arn:aws:s3:::bucket/x:y"}, misses: []string{"arn:aws:s3:::a", "b", "arn:aws:s3:r::b"}},
		{op: "ArnLike", policy: `"arn:aws:*:*:111111111111:key/?"`, fits: []string{"arn:aws:kms:r:111111111111:key/k"}, misses: []string{"arn:aws:kms:111111111111:key/k", "arn:aws:kms:r:x:111111111111:key/k"}},
		{op: "ArnLike", policy: `"*"`, fits: []string{"arn:aws:s3:::b"}, misses: []string{"b"}},
		{op: "ArnNotEquals", policy: `["arn:aws:s3:::a","arn:aws:s3:::b*"]`, negated: true, fits: []string{"arn:aws:s3:::c"}, misses: []string{"arn:aws:s3:::a", "arn:aws:s3:::bc"}},
		{op: "ArnNotLike", policy: `"arn:aws:s3:::a"`, negated: true, fits: []string{"arn:aws:s3:::b", "junk"}, misses: []string{"arn:aws:s3:::a"}},
	} {
		for _, suffix := range []string{"", "IfExists"} {
			cond := `{"` + tt.op + suffix + `":{"t:K":` + tt.policy + `}}`
			for _, v := range tt.fits {
				if !allowsWith(t, cond, context("t:k", v)) {
					t.Errorf("%s does not hold for %q", cond, v)
				}
			}
			for _, v := range tt.misses {
				if allowsWith(t, cond, context("T:k", v)) {
					t.Errorf("%s holds for %q", cond, v)
				}
			}
			if got, want := allowsWith(t, cond, nil), tt.negated || suffix != ""; got != want {
				t.Errorf("%s without the key: %v", cond, got)
			}
			if got, want := allowsWith(t, cond, Map{"t:k": {}}), tt.negated || suffix != ""; got != want {
				t.Errorf("%s with an empty key: %v", cond, got)
			}
		}
	}
}

func TestConditionsAcrossKeysAndOperators(t *testing.T) {
	for _, tt := range []struct {
		name, cond string
		c          Map
		want       bool
	}{
		{"no operators", `{}`, nil, true},
		{"no values never match", `{"StringEquals":{"t:k":[]}}`, context("t:k", "a"), false},
		{"keys are ANDed", `{"StringEquals":{"t:a":"1","t:b":"2"}}`, context("t:a", "1", "t:b", "2"), true},
		{"keys are ANDed, one misses", `{"StringEquals":{"t:a":"1","t:b":"2"}}`, context("t:a", "1", "t:b", "3"), false},
		{"operators are ANDed", `{"StringEquals":{"t:a":"1"},"Bool":{"t:b":"true"}}`, context("t:a", "1", "t:b", "false"), false},
		{"key names have no case", `{"StringEquals":{"AWS:UserName":"x"}}`, context("aws:username", "x"), true},
		{"operator names have no case", `{"stringequals":{"t:a":"x"}}`, context("t:a", "x"), true},
		{"null true, absent", `{"Null":{"t:k":"true"}}`, nil, true},
		{"null true, present", `{"Null":{"t:k":true}}`, context("t:k", "v"), false},
		{"null false, absent", `{"Null":{"t:k":"false"}}`, nil, false},
		{"null false, present", `{"Null":{"t:k":"false"}}`, context("t:k", "v"), true},
		{"null either", `{"Null":{"t:k":["true","false"]}}`, nil, true},
		{"several values, one fits", `{"StringEquals":{"t:k":"a"}}`, context("t:k", "b", "t:k", "a"), true},
		{"several values, negated needs none to fit", `{"StringNotEquals":{"t:k":"a"}}`, context("t:k", "b", "t:k", "a"), false},

		{"all, subset", `{"ForAllValues:StringEquals":{"t:k":["a","b"]}}`, context("t:k", "a", "t:k", "b"), true},
		{"all, one outside", `{"ForAllValues:StringEquals":{"t:k":["a","b"]}}`, context("t:k", "a", "t:k", "c"), false},
		{"all, absent", `{"ForAllValues:StringEquals":{"t:k":["a"]}}`, nil, true},
		{"all, negated, none fits", `{"ForAllValues:StringNotEquals":{"t:k":["a","b"]}}`, context("t:k", "c", "t:k", "d"), true},
		{"all, negated, one fits", `{"ForAllValues:StringNotEquals":{"t:k":["a","b"]}}`, context("t:k", "c", "t:k", "b"), false},
		{"all, negated, absent", `{"ForAllValues:StringNotLike":{"t:k":["a"]}}`, nil, true},
		{"any, one fits", `{"ForAnyValue:StringLike":{"t:k":["a*","b"]}}`, context("t:k", "x", "t:k", "ab"), true},
		{"any, none fits", `{"ForAnyValue:StringLike":{"t:k":["a*","b"]}}`, context("t:k", "x"), false},
		{"any, absent", `{"ForAnyValue:StringEquals":{"t:k":["a"]}}`, nil, false},
		{"any, absent, if exists", `{"ForAnyValue:StringEqualsIfExists":{"t:k":["a"]}}`, nil, true},
		{"any, negated, one outside", `{"ForAnyValue:StringNotEquals":{"t:k":["a"]}}`, context("t:k", "a", "t:k", "b"), true},
		{"any, negated, all inside", `{"ForAnyValue:StringNotEquals":{"t:k":["a","b"]}}`, context("t:k", "a", "t:k", "b"), false},
		{"any, negated, absent", `{"ForAnyValue:StringNotEquals":{"t:k":["a"]}}`, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := allowsWith(t, tt.cond, tt.c); got != tt.want {
				t.Errorf("%s in %v: %v", tt.cond, tt.c, got)
			}
		})
	}
}

func TestVariables(t *testing.T) {
	c := context("aws:username", "alice", "aws:PrincipalTag/team", "red", "t:star", "*", "t:colon", "a:b", "t:two", "x", "t:two", "y", "t:k", "alice")
	allows := func(version, element, resource string) bool {
		pattern, _ := json.Marshal(element)
		d := must(t, Identity, `{"Version":"`+version+`","Statement":{"Effect":"Allow","Action":"*","Resource":`+string(pattern)+`}}`)
		return Evaluate(Request{Action: "s3:x", Resource: resource, Principal: alice, Context: c}, PolicySet{Identity: []*Document{d}}).Allowed
	}
	for _, tt := range []struct {
		pattern, resource string
		want              bool
	}{
		{"arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/alice/x", true},
		{"arn:aws:s3:::b/${AWS:UserName}/*", "arn:aws:s3:::b/alice/x", true},
		{"arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/bob/x", false},
		{"arn:aws:s3:::b/${ aws:principaltag/team }", "arn:aws:s3:::b/red", true},
		{"arn:aws:s3:::b/${t:absent}", "arn:aws:s3:::b/", false},
		{"arn:aws:s3:::b/${t:absent}*", "arn:aws:s3:::b/x", false},
		{"arn:aws:s3:::b/${t:absent, 'def ault'}", "arn:aws:s3:::b/def ault", true},
		{"arn:aws:s3:::b/${t:absent, '}'}", "arn:aws:s3:::b/}", true},
		{"arn:aws:s3:::b/${aws:username, 'x'}", "arn:aws:s3:::b/x", false},
		{"arn:aws:s3:::b/${t:absent, '*'}", "arn:aws:s3:::b/x", false},
		{"arn:aws:s3:::b/${t:star}", "arn:aws:s3:::b/x", false},
		{"arn:aws:s3:::b/${t:star}", "arn:aws:s3:::b/*", true},
		{"arn:aws:s3:::b/${t:two}", "arn:aws:s3:::b/x", false},
		{"arn:aws:s3:::b/${*}${?}${$}", "arn:aws:s3:::b/*?$", true},
		{"arn:aws:s3:::b/${*}", "arn:aws:s3:::b/x", false},
		{"arn:aws:s3:::b/$x", "arn:aws:s3:::b/$x", true},
	} {
		if got := allows(Version2012, tt.pattern, tt.resource); got != tt.want {
			t.Errorf("%s against %s: %v", tt.pattern, tt.resource, got)
		}
	}
	if !allows(Version2008, "arn:aws:s3:::b/${aws:username}", "arn:aws:s3:::b/${aws:username}") || allows(Version2008, "arn:aws:s3:::b/${aws:username}", "arn:aws:s3:::b/alice") {
		t.Error("a variable is not plain text in version 2008-10-17")
	}
	for _, tt := range []struct {
		cond string
		want bool
	}{
		{`{"StringEquals":{"t:k":"${aws:username}"}}`, true},
		{`{"StringEquals":{"t:star":"${*}"}}`, true},
		{`{"StringEquals":{"t:k":"${t:absent}"}}`, false},
		{`{"StringEquals":{"t:k":["${t:absent}","alice"]}}`, true},
		{`{"StringNotEquals":{"t:k":"${t:absent}"}}`, false},
		{`{"StringNotEquals":{"t:absent":"${t:absent}"}}`, false},
		{`{"StringNotEqualsIfExists":{"t:k":["bob","${t:absent}"]}}`, false},
		{`{"StringNotLike":{"t:k":"${t:star}"}}`, true},
		{`{"StringLike":{"t:k":"${t:star}"}}`, false},
		{`{"StringEqualsIgnoreCase":{"t:k":"ALI${t:absent, 'CE'}"}}`, true},
		{`{"ArnLike":{"t:k":"arn:aws:iam::1:user/${aws:username}"}}`, false},
	} {
		if got := allowsWith(t, tt.cond, c); got != tt.want {
			t.Errorf("%s: %v", tt.cond, got)
		}
	}
	// A colon in a variable does not move the segments of an ARN.
	arns := context("t:colon", "a:b", "t:arn", "arn:aws:a:b:r:1:x", "t:arn2", "arn:aws:sns:r:1:a:b")
	if allowsWith(t, `{"ArnLike":{"t:arn":"arn:aws:${t:colon}:r:1:*"}}`, arns) || !allowsWith(t, `{"ArnLike":{"t:arn2":"arn:aws:sns:*:*:${t:colon}"}}`, arns) {
		t.Error("a colon in a variable moved the segments")
	}
	if !allowsWith(t, `{"ArnNotLike":{"t:arn":"arn:aws:sns:*:*:${t:absent, 'x'}"}}`, arns) {
		t.Error("ArnNotLike does not hold with a default")
	}
	if allowsWith(t, `{"ArnNotLike":{"t:arn":"arn:aws:sns:*:*:${t:absent}"}}`, arns) {
		t.Error("ArnNotLike holds though its variable has no value")
	}
}

// A variable without a value is not the empty text either. It makes a negated operator deny, but not allow.
func TestVariableWithoutValueIsEqualToNothing(t *testing.T) {
	c := Map{"t:k": {""}, "t:arn": {"arn:aws:s3:::"}}
	for _, cond := range []string{
		`{"StringEquals":{"t:k":"${t:absent}"}}`, `{"StringEqualsIgnoreCase":{"t:k":"${t:absent}"}}`,
		`{"StringLike":{"t:k":"${t:absent}"}}`, `{"ArnLike":{"t:arn":"arn:aws:s3:::${t:absent}"}}`,
		`{"StringNotEquals":{"t:k":"${t:absent}"}}`, `{"ArnNotLike":{"t:arn":"arn:aws:s3:::${t:absent}"}}`,
	} {
		if allowsWith(t, cond, c) {
			t.Errorf("%s allows", cond)
		}
		d := must(t, Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":`+cond+`}}`)
		got := Evaluate(Request{Action: "s3:x", Resource: "*", Principal: alice, Context: c}, PolicySet{Identity: []*Document{d}})
		if denies := got.Reason == ExplicitDeny; denies != strings.Contains(cond, "Not") {
			t.Errorf("%s denies: %v", cond, denies)
		}
	}
	d := must(t, Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","NotResource":"arn:aws:s3:::${t:absent}"}}`)
	if got := Evaluate(Request{Action: "s3:x", Resource: "arn:aws:s3:::b", Principal: alice}, PolicySet{Identity: []*Document{d}}); got.Reason != ExplicitDeny {
		t.Error("a Deny excepts a resource by a variable without value")
	}
}

func TestMapHasKeysInAnyCase(t *testing.T) {
	m := Map{}
	m.Set("kms:EncryptionContext:A", "1")
	m.Add("kms:encryptioncontext:a", "2")
	if v, ok := m.Get("KMS:EncryptionContext:a"); !ok || len(v) != 2 {
		t.Errorf("%v, %v", v, ok)
	}
	if v, ok := m.Get("kms:b"); ok {
		t.Errorf("%v", v)
	}
}
