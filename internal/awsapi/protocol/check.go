// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxFaults bounds how many broken constraints one error lists.
const maxFaults = 20

// Check collects the constraints that an input breaks and words them as AWS does.
// Blobs and secrets are never quoted.
type Check struct {
	path   []string
	faults []string
	more   int
}

// Err is the text for all broken constraints, empty when there are none.
func (c *Check) Err() string {
	n := len(c.faults) + c.more
	switch n {
	case 0:
		return ""
	case 1:
		return "1 validation error detected: " + c.faults[0]
	}
	return strconv.Itoa(n) + " validation errors detected: " + strings.Join(c.faults, "; ")
}

// At runs check one level down, for a structure member or a list element. A nil
// value passes: whether it may be absent is for Required to say.
func At[T any](c *Check, name string, v *T, check func(*T, *Check)) {
	if v == nil {
		return
	}
	c.path = append(c.path, name)
	check(v, c)
	c.path = c.path[:len(c.path)-1]
}

// Each runs check on every structure of a list.
func Each[T any](c *Check, name string, list []*T, check func(*T, *Check)) {
	for i, v := range list {
		c.path = append(c.path, name, strconv.Itoa(i+1), "member")
		if v == nil {
			v = new(T)
		}
		check(v, c)
		c.path = c.path[:len(c.path)-3]
	}
}

// fault notes a broken constraint. The value is what is quoted, with its blank;
// empty for what must not be.
func (c *Check) fault(name, value, constraint string) {
	if len(c.faults) == maxFaults {
		c.more++
		return
	}
	where := strings.Join(append(slices.Clip(c.path), name), ".")
	c.faults = append(c.faults, "Value "+value+"at '"+where+"' failed to satisfy constraint: "+constraint)
}

func quote(s string) string { return "'" + clip(s) + "' " }

// Required notes a member that is absent.
func (c *Check) Required(name string, present bool) {
	if !present {
		c.fault(name, "null ", "Member must not be null")
	}
}

// Text is what a model says of a string. The zero value allows everything.
type Text struct {
	Min, Max int            // length in characters; Max 0 is no bound
	Pattern  *regexp.Regexp // of the whole string
	Shown    string         // Pattern as the model spells it
	Enum     []string
}

// ok says whether s keeps every constraint.
func (t *Text) ok(s string) bool {
	return t.minOK(s) && t.maxOK(s) && t.patternOK(s) && t.enumOK(s)
}

func (t *Text) minOK(s string) bool     { return t.Min == 0 || utf8.RuneCountInString(s) >= t.Min }
func (t *Text) maxOK(s string) bool     { return t.Max == 0 || utf8.RuneCountInString(s) <= t.Max }
func (t *Text) patternOK(s string) bool { return t.Pattern == nil || t.Pattern.MatchString(s) }
func (t *Text) enumOK(s string) bool    { return len(t.Enum) == 0 || slices.Contains(t.Enum, s) }

func (t *Text) minText() string {
	return "Member must have length greater than or equal to " + strconv.Itoa(t.Min)
}

func (t *Text) maxText() string {
	return "Member must have length less than or equal to " + strconv.Itoa(t.Max)
}

func (t *Text) patternText() string {
	return "Member must satisfy regular expression pattern: " + t.Shown
}

func (t *Text) enumText() string {
	return "Member must satisfy enum value set: [" + strings.Join(t.Enum, ", ") + "]"
}

// all is every constraint, as AWS lists them for the elements of lists and maps.
func (t *Text) all() string {
	var parts []string
	if t.Max != 0 {
		parts = append(parts, t.maxText())
	}
	if t.Min != 0 {
		parts = append(parts, t.minText())
	}
	if t.Pattern != nil {
		parts = append(parts, t.patternText())
	}
	if len(t.Enum) != 0 {
		parts = append(parts, t.enumText())
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// Text checks a string member; nil passes.
func (c *Check) Text(name string, v *string, t *Text) { c.text(name, v, t, false) }

// Secret is Text for a member that is never quoted.
func (c *Check) Secret(name string, v *string, t *Text) { c.text(name, v, t, true) }

func (c *Check) text(name string, v *string, t *Text, secret bool) {
	if v == nil || t.ok(*v) {
		return
	}
	shown := quote(*v)
	if secret {
		shown = ""
	}
	if !t.minOK(*v) {
		c.fault(name, shown, t.minText())
	}
	if !t.maxOK(*v) {
		c.fault(name, shown, t.maxText())
	}
	if !t.patternOK(*v) {
		c.fault(name, shown, t.patternText())
	}
	if !t.enumOK(*v) {
		c.fault(name, shown, t.enumText())
	}
}

// Texts checks the elements of a list of strings.
func (c *Check) Texts(name string, list []string, t *Text, secret bool) {
	for _, s := range list {
		if !t.ok(s) {
			shown := quote("[" + strings.Join(list, ", ") + "]")
			if secret {
				shown = ""
			}
			c.fault(name, shown, "Member must satisfy constraint: "+t.all())
			return
		}
	}
}

// Pairs checks the keys and values of a map of strings. They are not quoted.
func (c *Check) Pairs(name string, m map[string]string, key, value *Text) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if !key.ok(k) {
			c.fault(name, "", "Map keys must satisfy constraint: "+key.all())
			return
		}
		if !value.ok(m[k]) {
			c.fault(name, "", "Map value must satisfy constraint: "+value.all())
			return
		}
	}
}

// MinSize bounds a list, map or blob from below; n is its length, and absent ones pass.
func (c *Check) MinSize(name string, n int, present bool, least int) {
	if present && n < least {
		c.fault(name, "", "Member must have length greater than or equal to "+strconv.Itoa(least))
	}
}

// MaxSize bounds a list, map or blob from above.
func (c *Check) MaxSize(name string, n, most int) {
	if n > most {
		c.fault(name, "", "Member must have length less than or equal to "+strconv.Itoa(most))
	}
}

// Min bounds a number from below; nil passes.
func (c *Check) Min(name string, v *int64, least int64) {
	if v != nil && *v < least {
		n := strconv.FormatInt(*v, 10)
		c.fault(name, quote(n), "Member must have value greater than or equal to "+strconv.FormatInt(least, 10))
	}
}

// Max bounds a number from above; nil passes.
func (c *Check) Max(name string, v *int64, most int64) {
	if v != nil && *v > most {
		n := strconv.FormatInt(*v, 10)
		c.fault(name, quote(n), "Member must have value less than or equal to "+strconv.FormatInt(most, 10))
	}
}
