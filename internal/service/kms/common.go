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
	policies   map[string]parsedPolicy
	conditions map[plainKey]map[string][]string
}

type parsedPolicy struct {
	text     string
	document *policy.Document
}

// plainKey is what the condition keys of a key without aliases and tags follow from.
type plainKey struct {
	spec, usage, origin string
	multiRegion         bool
	kind                string
}

// maxCommon bounds each of the tables of common.
const maxCommon = 1000

// policyOf parses a key's policy. The text comes back as one that is shared.
func (c *common) policyOf(text string) (string, *policy.Document) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.policies[text]; ok {
		return p.text, p.document
	}
	document, err := policy.Parse([]byte(text), policy.KeyPolicy)
	if err != nil {
		// It was parsed before it was written, so this is an older or newer parser's.
		// The key is of no use until one reads it again, and the others go on.
		document = denyAll
	}
	if c.policies == nil || len(c.policies) >= maxCommon {
		c.policies = map[string]parsedPolicy{}
	}
	c.policies[text] = parsedPolicy{text, document}
	return text, document
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
