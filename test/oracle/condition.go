// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"encoding/base64"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// conditionsHold: operators and keys are all to hold.
func (j Judge) conditionsHold(s statement, w World) bool {
	operators, _ := s["Condition"].(map[string]any)
	for operator, block := range operators {
		keys, _ := block.(map[string]any)
		for key, values := range keys {
			// A variable without a value is equal to nothing, so a negated operator holds. That is good
			// for a Deny; of an Allow, in force is the stricter reading that the statement does not match.
			held := j.conditionHolds(operator, contextValues(w, key), texts(values), s.variables(), w)
			if s.effect() == "Allow" && strings.Contains(operator, "Not") && !resolve(operator, texts(values), s.variables(), w) {
				held = false
			}
			if !j.note(operator, held) {
				return false
			}
		}
	}
	return true
}

// conditionHolds decides one key of one operator. Without a set prefix, a key with several values
// holds if any of them does; what a negated operator says is the opposite of its positive.
func (j Judge) conditionHolds(operator string, values, wanted []string, variables bool, w World) bool {
	name, ifExists := strings.CutSuffix(operator, "IfExists")
	set, name := cutSet(name)
	if name == "Null" {
		return slices.Contains(wanted, strconv.FormatBool(len(values) == 0))
	}
	if len(values) == 0 && ifExists {
		return true
	}
	positive, negated := cutNot(name)
	matches := func(value string) bool {
		return slices.ContainsFunc(wanted, func(want string) bool { return test(positive, value, want, variables, w) })
	}
	holds := func(value string) bool { return matches(value) != negated }
	switch {
	case set == "ForAllValues":
		return all(values, holds)
	case set == "ForAnyValue":
		return slices.ContainsFunc(values, holds)
	case negated:
		return all(values, holds)
	}
	return slices.ContainsFunc(values, holds)
}

func all(values []string, holds func(string) bool) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !holds(v) })
}

func cutSet(operator string) (set, name string) {
	if set, name, ok := strings.Cut(operator, ":"); ok {
		return set, name
	}
	return "", operator
}

// cutNot returns the operator that a negated one is the opposite of.
func cutNot(name string) (positive string, negated bool) {
	return strings.Replace(name, "Not", "", 1), strings.Contains(name, "Not")
}

// test says whether one value of the request and one of the policy go together.
func test(operator, value, want string, variables bool, w World) bool {
	switch operator {
	case "StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike":
		return testText(operator, value, want, variables, w)
	case "Bool":
		value, want = strings.ToLower(value), strings.ToLower(want)
		return (value == "true" || value == "false") && value == want
	case "BinaryEquals":
		a, errA := base64.StdEncoding.DecodeString(value)
		b, errB := base64.StdEncoding.DecodeString(want)
		return errA == nil && errB == nil && string(a) == string(b)
	case "IpAddress":
		return inRange(value, want)
	}
	if relation, ok := strings.CutPrefix(operator, "Numeric"); ok {
		a, okA := number(value)
		b, okB := number(want)
		return okA && okB && related(relation, a.Cmp(b))
	}
	if relation, ok := strings.CutPrefix(operator, "Date"); ok {
		a, okA := date(value)
		b, okB := date(want)
		return okA && okB && related(relation, a.Compare(b))
	}
	return false
}

// resolve says whether all variables in a policy's values have values.
func resolve(operator string, wanted []string, variables bool, w World) bool {
	if !strings.Contains(operator, "String") && !strings.Contains(operator, "Arn") {
		return true
	}
	return all(wanted, func(want string) bool {
		_, ok := expand(want, variables, w)
		return ok
	})
}

func testText(operator, value, want string, variables bool, w World) bool {
	pattern, ok := expand(want, variables, w)
	if !ok {
		return false
	}
	var plain strings.Builder
	for _, c := range pattern {
		plain.WriteRune(c.r)
	}
	switch operator {
	case "StringEquals":
		return value == plain.String()
	case "StringEqualsIgnoreCase":
		return strings.EqualFold(value, plain.String())
	case "StringLike":
		return like(pattern, value)
	}
	return arnLike(pattern, value)
}

// arnLike compares the six segments of an ARN each by itself; the last may contain colons.
func arnLike(pattern []char, value string) bool {
	segments := strings.SplitN(value, ":", 6)
	if len(segments) != 6 {
		return false
	}
	for _, segment := range segments[:5] {
		end := slices.Index(pattern, char{r: ':'})
		if end < 0 || !like(pattern[:end], segment) {
			return false
		}
		pattern = pattern[end+1:]
	}
	return like(pattern, segments[5])
}

func related(relation string, order int) bool {
	switch relation {
	case "Equals":
		return order == 0
	case "LessThan":
		return order < 0
	case "LessThanEquals":
		return order <= 0
	case "GreaterThan":
		return order > 0
	case "GreaterThanEquals":
		return order >= 0
	}
	return false
}

// number reads decimal numbers, with or without exponent.
func number(text string) (*big.Rat, bool) {
	if strings.Trim(text, "+-.eE0123456789") != "" {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

// date reads the forms of W3C's note on date and time, or seconds since 1970. Four digits are a year.
func date(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil
}

// inRange takes an IPv4 address that is written as an IPv6 one for what it is.
func inRange(value, want string) bool {
	address, err := netip.ParseAddr(value)
	if err != nil {
		return false
	}
	address = address.Unmap()
	if prefix, err := netip.ParsePrefix(want); err == nil {
		return prefix.Contains(address)
	}
	one, err := netip.ParseAddr(want)
	return err == nil && one == address
}
