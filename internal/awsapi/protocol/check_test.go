// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"regexp"
	"strings"
	"testing"
)

func TestCheckWordsConstraintsAsAWSDoes(t *testing.T) {
	short := &Text{Min: 2, Max: 3}
	word := &Text{Pattern: regexp.MustCompile(`\A(?:[a-z]+)\z`), Shown: "[a-z]+"}
	enum := &Text{Enum: []string{"A", "B"}}
	for _, c := range []struct {
		check func(*Check)
		want  string
	}{
		{func(c *Check) {}, ""},
		{func(c *Check) { c.Required("keyId", false) }, "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
		{func(c *Check) { c.Text("keyId", new("abcd"), short) }, "1 validation error detected: Value 'abcd' at 'keyId' failed to satisfy constraint: Member must have length less than or equal to 3"},
		{func(c *Check) { c.Text("keyId", new("é"), short) }, "1 validation error detected: Value 'é' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 2"},
		{func(c *Check) { c.Text("keyId", new("éèà"), short) }, ""},
		{func(c *Check) { c.Text("name", new("A1"), word) }, "1 validation error detected: Value 'A1' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+"},
		{func(c *Check) { c.Text("name", new("a\n"), word) }, "1 validation error detected: Value 'a\n' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+"},
		{func(c *Check) { c.Text("spec", new("C"), enum) }, "1 validation error detected: Value 'C' at 'spec' failed to satisfy constraint: Member must satisfy enum value set: [A, B]"},
		{func(c *Check) { c.Text("spec", nil, enum) }, ""},
		{func(c *Check) { c.Secret("password", new("hunter2"), short) }, "1 validation error detected: Value at 'password' failed to satisfy constraint: Member must have length less than or equal to 3"},
		{func(c *Check) { c.MaxSize("plaintext", 4097, 4096) }, "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{func(c *Check) { c.MinSize("plaintext", 0, true, 1) }, "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{func(c *Check) { c.MinSize("plaintext", 0, false, 1) }, ""},
		{func(c *Check) { c.Min("limit", new(int64(0)), 1) }, "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{func(c *Check) { c.Max("limit", new(int64(1001)), 1000) }, "1 validation error detected: Value '1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000"},
		{func(c *Check) { c.Texts("names", []string{"ab", "abcd"}, short, false) }, "1 validation error detected: Value '[ab, abcd]' at 'names' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 3, Member must have length greater than or equal to 2]"},
		{func(c *Check) { c.Pairs("tags", map[string]string{"k": "v"}, short, word) }, "1 validation error detected: Value at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 3, Member must have length greater than or equal to 2]"},
		{func(c *Check) { c.Pairs("tags", map[string]string{"kk": "V"}, short, word) }, "1 validation error detected: Value at 'tags' failed to satisfy constraint: Map value must satisfy constraint: [Member must satisfy regular expression pattern: [a-z]+]"},
		{func(c *Check) {
			Each(c, "tags", []*sample{{}, {Text: new("x")}}, func(v *sample, c *Check) { c.Text("tagKey", v.Text, short) })
			At(c, "inner", &sample{}, func(v *sample, c *Check) { c.Required("text", v.Text != nil) })
		}, "2 validation errors detected: Value 'x' at 'tags.2.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 2; " +
			"Value null at 'inner.text' failed to satisfy constraint: Member must not be null"},
	} {
		var check Check
		c.check(&check)
		if got := check.Err(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestCheckBoundsItsText(t *testing.T) {
	var c Check
	for range 1000 {
		c.Text("name", new(strings.Repeat("é", 10_000)), &Text{Max: 1})
	}
	if got := c.Err(); len(got) > 64<<10 || !strings.HasPrefix(got, "1000 validation errors detected") {
		t.Errorf("%d bytes: %.100s", len(got), got)
	}
}
