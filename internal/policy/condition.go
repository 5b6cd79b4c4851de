// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"strings"
)

var errOperator = errors.New("policy: unknown condition operator")

// A condition is one key of one operator: the key's values in the request against those of the policy.
type condition struct {
	key      string // lower case
	set      quantifier
	negated  bool
	ifExists bool
	null     bool // the Null operator: is the key absent?
	values   []matcher
	dynamic  []resolver // those of the values that have variables
}

// A quantifier says which of a key's several values must match.
type quantifier int

const (
	unquantified quantifier = iota
	forAllValues
	forAnyValue
)

// A matcher is one value of a condition, compiled for its operator.
type matcher interface {
	// match compares a value of the request. A value that is not of the operator's type does not match.
	match(value string, c Context) bool
}

// A resolver is a matcher that may have variables.
type resolver interface {
	dynamic() bool
	// resolves reports whether every variable has a value.
	resolves(c Context) bool
}

// newCondition compiles one key of the operator called name. Names are compared without case.
func newCondition(name, key string, vals []string, withVariables bool) (condition, error) {
	c := condition{key: strings.ToLower(key)}
	name = strings.ToLower(name)
	if rest, ok := strings.CutPrefix(name, "forallvalues:"); ok {
		name, c.set = rest, forAllValues
	} else if rest, ok := strings.CutPrefix(name, "foranyvalue:"); ok {
		name, c.set = rest, forAnyValue
	}
	name, c.ifExists = strings.CutSuffix(name, "ifexists")
	op, ok := operators[name]
	if !ok {
		return condition{}, errOperator
	}
	c.negated = op.negated
	if c.null = name == "null"; c.null && (c.ifExists || c.set != unquantified) {
		return condition{}, errOperator
	}
	for _, v := range vals {
		m, err := op.compile(v, withVariables)
		if err != nil {
			return condition{}, err
		}
		c.values = append(c.values, m)
		if r, ok := m.(resolver); ok && r.dynamic() {
			c.dynamic = append(c.dynamic, r)
		}
	}
	return c, nil
}

// holds reports whether the condition is true of the request.
//
// A positive operator asks that some value of the policy match; a negated one that none does. An absent key
// makes a positive operator false and a negated one true; ForAllValues is then true, ForAnyValue false, and
// …IfExists true. A variable without a value matches nothing; so a negated operator denies, but it does not allow:
// there it is false.
//
// Source: IAM User Guide, "Policy variables with no value", but that it lets a negated operator allow.
func (c *condition) holds(ctx Context, deny bool) bool {
	got := values(ctx, c.key)
	if c.null {
		return c.matchesAny(presence(len(got) > 0), ctx)
	}
	if c.negated && !deny && !c.resolves(ctx) {
		return false
	}
	if len(got) == 0 {
		return c.holdsWithout()
	}
	switch c.set {
	case forAllValues:
		for _, v := range got {
			if c.matchesAny(v, ctx) == c.negated {
				return false
			}
		}
		return true
	case forAnyValue:
		for _, v := range got {
			if c.matchesAny(v, ctx) != c.negated {
				return true
			}
		}
		return false
	}
	for _, v := range got {
		if c.matchesAny(v, ctx) {
			return !c.negated
		}
	}
	return c.negated
}

func (c *condition) holdsWithout() bool {
	switch {
	case c.ifExists || c.set == forAllValues:
		return true
	case c.set == forAnyValue:
		return false
	}
	return c.negated
}

func (c *condition) matchesAny(v string, ctx Context) bool {
	for _, m := range c.values {
		if m.match(v, ctx) {
			return true
		}
	}
	return false
}

func (c *condition) resolves(ctx Context) bool {
	for _, r := range c.dynamic {
		if !r.resolves(ctx) {
			return false
		}
	}
	return true
}

// presence is what the values of Null are compared with: "true" asks that the key be absent.
func presence(present bool) string {
	if present {
		return "false"
	}
	return "true"
}
