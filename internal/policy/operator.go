// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/arn"
)

var errValue = errors.New("policy: condition value of the wrong type")

// An operator is how one value of the policy is compiled, and whether the comparison is turned round.
type operator struct {
	negated bool
	compile func(value string, withVariables bool) (matcher, error)
}

// operators has every condition operator, by its name in lower case without prefix and suffix.
var operators = map[string]operator{
	"stringequals":              {compile: newStringEquals},
	"stringnotequals":           {compile: newStringEquals, negated: true},
	"stringequalsignorecase":    {compile: newStringFold},
	"stringnotequalsignorecase": {compile: newStringFold, negated: true},
	"stringlike":                {compile: newStringLike},
	"stringnotlike":             {compile: newStringLike, negated: true},
	"numericequals":             {compile: newNumeric(equal)},
	"numericnotequals":          {compile: newNumeric(equal), negated: true},
	"numericlessthan":           {compile: newNumeric(less)},
	"numericlessthanequals":     {compile: newNumeric(lessEqual)},
	"numericgreaterthan":        {compile: newNumeric(greater)},
	"numericgreaterthanequals":  {compile: newNumeric(greaterEqual)},
	"dateequals":                {compile: newDate(equal)},
	"datenotequals":             {compile: newDate(equal), negated: true},
	"datelessthan":              {compile: newDate(less)},
	"datelessthanequals":        {compile: newDate(lessEqual)},
	"dategreaterthan":           {compile: newDate(greater)},
	"dategreaterthanequals":     {compile: newDate(greaterEqual)},
	"bool":                      {compile: newBool},
	"null":                      {compile: newBool},
	"binaryequals":              {compile: newBinary},
	"ipaddress":                 {compile: newAddress},
	"notipaddress":              {compile: newAddress, negated: true},
	"arnequals":                 {compile: newARN},
	"arnlike":                   {compile: newARN},
	"arnnotequals":              {compile: newARN, negated: true},
	"arnnotlike":                {compile: newARN, negated: true},
}

// stringMatcher is one value of a string operator.
type stringMatcher struct {
	template
	fold bool // without case
	like bool // with wildcards
}

func newString(v string, withVariables, fold, like bool) (matcher, error) {
	t, err := newTemplate(v, withVariables)
	return &stringMatcher{template: t, fold: fold, like: like}, err
}

func newStringEquals(v string, vars bool) (matcher, error) { return newString(v, vars, false, false) }

func newStringFold(v string, vars bool) (matcher, error) { return newString(v, vars, true, false) }

func newStringLike(v string, vars bool) (matcher, error) { return newString(v, vars, false, true) }

func (m *stringMatcher) dynamic() bool { return m.variables }

func (m *stringMatcher) match(v string, c Context) bool {
	if m.like {
		ok, _ := m.template.match(v, c)
		return ok
	}
	want, ok := m.plain, true
	if m.variables {
		want, ok = m.expand(c)
	}
	if m.fold {
		return ok && strings.EqualFold(want, v)
	}
	return ok && want == v
}

// An ordering is what a comparison of request with policy must give.
type ordering func(int) bool

func equal(c int) bool        { return c == 0 }
func less(c int) bool         { return c < 0 }
func lessEqual(c int) bool    { return c <= 0 }
func greater(c int) bool      { return c > 0 }
func greaterEqual(c int) bool { return c >= 0 }

// number is an integer when it can be, so that large ones compare exactly.
type number struct {
	integer bool
	i       int64
	f       float64
}

func parseNumber(s string) (number, bool) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return number{integer: true, i: i, f: float64(i)}, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != f || strings.ContainsAny(s, "xX_iI") {
		return number{}, false
	}
	return number{f: f}, true
}

func (n number) compare(o number) int {
	if n.integer && o.integer {
		return cmp.Compare(n.i, o.i)
	}
	return cmp.Compare(n.f, o.f)
}

type numericMatcher struct {
	want number
	is   ordering
}

func newNumeric(is ordering) func(string, bool) (matcher, error) {
	return func(v string, _ bool) (matcher, error) {
		n, ok := parseNumber(v)
		if !ok {
			return nil, errValue
		}
		return &numericMatcher{want: n, is: is}, nil
	}
}

func (m *numericMatcher) match(v string, _ Context) bool {
	n, ok := parseNumber(v)
	return ok && m.is(n.compare(m.want))
}

type dateMatcher struct {
	want time.Time
	is   ordering
}

func newDate(is ordering) func(string, bool) (matcher, error) {
	return func(v string, _ bool) (matcher, error) {
		t, ok := parseDate(v)
		if !ok {
			return nil, errValue
		}
		return &dateMatcher{want: t, is: is}, nil
	}
}

func (m *dateMatcher) match(v string, _ Context) bool {
	t, ok := parseDate(v)
	return ok && m.is(t.Compare(m.want))
}

// dateLayouts are the W3C profile of ISO 8601 that IAM names; the fraction of a second is read by any layout
// with seconds.
var dateLayouts = [...]string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02", "2006-01", "2006",
}

// parseDate reads an ISO 8601 date, or a number of more than four digits as seconds since 1970.
func parseDate(s string) (time.Time, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && len(s) > 4 {
		return time.Unix(n, 0), true
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

type boolMatcher struct {
	want string
}

func newBool(v string, _ bool) (matcher, error) {
	if v = strings.ToLower(v); v != "true" && v != "false" {
		return nil, errValue
	}
	return &boolMatcher{want: v}, nil
}

func (m *boolMatcher) match(v string, _ Context) bool { return strings.EqualFold(v, m.want) }

type binaryMatcher struct {
	want []byte
}

func newBinary(v string, _ bool) (matcher, error) {
	b, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		return nil, errValue
	}
	return &binaryMatcher{want: b}, nil
}

func (m *binaryMatcher) match(v string, _ Context) bool {
	b, err := base64.StdEncoding.DecodeString(v)
	return err == nil && bytes.Equal(b, m.want)
}

type addressMatcher struct {
	want netip.Prefix
}

func newAddress(v string, _ bool) (matcher, error) {
	p, err := netip.ParsePrefix(v)
	if err != nil {
		a, err := netip.ParseAddr(v)
		if err != nil || a.Zone() != "" {
			return nil, errValue
		}
		p = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
	}
	return &addressMatcher{want: p.Masked()}, nil
}

func (m *addressMatcher) match(v string, _ Context) bool {
	a, err := netip.ParseAddr(v)
	return err == nil && m.want.Contains(a.Unmap().WithZone(""))
}

// arnMatcher is one value of an ARN operator. ArnEquals and ArnLike are the same.
type arnMatcher struct {
	pattern  arn.Pattern
	segments []template // instead of pattern, when there are variables
}

func newARN(v string, withVariables bool) (matcher, error) {
	if !withVariables || !strings.Contains(v, "${") {
		p, err := arn.ParsePattern(v)
		return &arnMatcher{pattern: p}, err
	}
	seg, ok := splitARN(v, withVariables)
	if !ok {
		return nil, errValue
	}
	m := &arnMatcher{}
	for _, s := range seg {
		t, err := newTemplate(s, withVariables)
		if err != nil {
			return nil, err
		}
		m.segments = append(m.segments, t)
	}
	return m, nil
}

func (m *arnMatcher) dynamic() bool { return m.segments != nil }

func (m *arnMatcher) match(v string, c Context) bool {
	if m.segments == nil {
		return m.pattern.Match(v)
	}
	var globs [6]arn.Glob
	for i := range m.segments {
		g, ok := m.segments[i].pattern(c)
		if !ok {
			return false
		}
		globs[i] = g
	}
	return arn.NewPattern(globs).Match(v)
}

func (m *arnMatcher) resolves(c Context) bool {
	for i := range m.segments {
		if !m.segments[i].resolves(c) {
			return false
		}
	}
	return true
}
