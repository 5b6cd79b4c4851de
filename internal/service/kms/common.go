// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"sync"

	"github.com/obscura-video/obscura/internal/policy"
)

// common holds what many keys have in common, most of all the default key policy, so that a hundred thousand keys
// neither parse nor keep it a hundred thousand times. What it hands out is never changed.
type common struct {
	mu         sync.Mutex
	policies   map[string]*policy.Document
	traits     map[traits]*traits
	conditions map[plainKey]map[string][]string
}

// plainKey is what the condition keys of a key without aliases and tags follow from.
type plainKey struct {
	spec, usage, origin string
	multiRegion         bool
	kind                string
}

// maxCommon bounds each of the tables of common.
const maxCommon = 1000

// traitsOf returns what r shares with others, and has r share its texts.
func (c *common) traitsOf(r *record) *traits {
	own := r.traits()
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.traits[own]
	if !ok {
		if c.traits == nil || len(c.traits) >= maxCommon {
			c.traits = map[traits]*traits{}
		}
		t = &own
		c.traits[own] = t
	}
	r.Spec, r.Usage, r.State, r.ManagedFor, r.Policy = t.spec, t.usage, t.state, t.managedFor, t.policy
	return t
}

// policyOf parses a key's policy.
func (c *common) policyOf(text string) *policy.Document {
	c.mu.Lock()
	defer c.mu.Unlock()
	if document, ok := c.policies[text]; ok {
		return document
	}
	document, err := policy.Parse([]byte(text), policy.KeyPolicy)
	if err != nil {
		// It was parsed before it was written, so this is an older or newer parser's.
		// The key is of no use until one reads it again, and the others go on.
		document = denyAll
	}
	if c.policies == nil || len(c.policies) >= maxCommon {
		c.policies = map[string]*policy.Document{}
	}
	c.policies[text] = document
	return document
}

// conditionsOf returns the condition keys that follow from k alone.
func (c *common) conditionsOf(k *key) map[string][]string {
	if len(k.aliases)+len(k.Tags) > 0 {
		return keyConditions(k)
	}
	at := plainKey{spec: k.Spec, usage: k.Usage, origin: k.origin(), multiRegion: k.MultiRegion, kind: k.multiRegionType()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if conditions, ok := c.conditions[at]; ok {
		return conditions
	}
	if c.conditions == nil || len(c.conditions) >= maxCommon {
		c.conditions = map[plainKey]map[string][]string{}
	}
	c.conditions[at] = keyConditions(k)
	return c.conditions[at]
}
