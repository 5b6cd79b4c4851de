// SPDX-License-Identifier: Apache-2.0

package policy

import "strings"

// Context looks up condition keys. Keys are asked for in lower case; no values means that the key is absent.
// The slice stays the context's own and is not changed. Get must be safe for concurrent use when evaluations are.
type Context interface {
	Get(key string) ([]string, bool)
}

// Map is a Context made of a map with lower-case keys: fill it with Set and Add, which see to that.
// It must not be written while it is in use.
type Map map[string][]string

// Get returns the values of key, in any case.
func (m Map) Get(key string) ([]string, bool) {
	v, ok := m[key]
	if !ok {
		v, ok = m[strings.ToLower(key)]
	}
	return v, ok
}

// Set gives key exactly these values.
func (m Map) Set(key string, values ...string) { m[strings.ToLower(key)] = values }

// Add appends to the values of key. Use it where keys that differ in case alone may meet, such as those of an
// encryption context, so that none hides another.
func (m Map) Add(key string, values ...string) {
	key = strings.ToLower(key)
	m[key] = append(m[key], values...)
}

// values returns the values of key, or nil when it is absent, also when there is no context at all.
func values(c Context, key string) []string {
	if c == nil {
		return nil
	}
	v, ok := c.Get(key)
	if !ok {
		return nil
	}
	return v
}
