// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"crypto/sha256"
	"sync"
)

// cacheEntries bounds each of the two generations of a keyCache.
const cacheEntries = 1024

// keyCache remembers keys, whose derivation costs four HMACs. It has two generations: when the young one is
// full it becomes the old one, so what is in use stays. Only keys that verified a request get in, so nobody
// without a secret can push others' out.
type keyCache struct {
	mu         sync.Mutex
	young, old map[cacheKey]*dayKey
}

// cacheKey has the secret's hash, so that a key made anew under the same id does not find the old one.
type cacheKey struct {
	accessKeyID, date, region, service string
	secret                             [sha256.Size]byte
}

func (c *keyCache) get(k cacheKey) (*dayKey, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key, ok := c.young[k]; ok {
		return key, true
	}
	key, ok := c.old[k]
	return key, ok
}

func (c *keyCache) put(k cacheKey, key *dayKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.young[k]; ok {
		return
	}
	if c.young == nil || len(c.young) >= cacheEntries {
		c.young, c.old = make(map[cacheKey]*dayKey), c.young
	}
	c.young[k] = key
}
