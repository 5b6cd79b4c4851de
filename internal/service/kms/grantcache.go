// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"slices"
	"sync"
)

// granteeKey finds the grants of one principal on one key.
type granteeKey struct{ keyID, principal string }

// maxCachedGrants bounds a grantCache: entries, an empty one too, and the grants in them. A grant takes about 600 bytes
// there, and a few microseconds to be read again.
const maxCachedGrants = 1 << 15

// grantCache holds what was read of grants, by key and grantee; that there are none, too.
type grantCache struct {
	mu sync.RWMutex
	// epoch counts changes: what was read before one must not be cached after it.
	epoch  uint64
	lists  map[granteeKey][]*grantRecord
	held   int            // entries and grants in lists
	counts map[string]int // by key id, as far as it is known
}

func (c *grantCache) get(at granteeKey) (list []*grantRecord, epoch uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	list, ok = c.lists[at]
	return list, c.epoch, ok
}

// put caches what was read since get returned epoch, if nothing has changed meanwhile.
func (c *grantCache) put(at granteeKey, list []*grantRecord, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch {
		c.set(at, list)
	}
}

// set replaces an entry, and drops others, whichever they are, where there is no room. c.mu is held.
func (c *grantCache) set(at granteeKey, list []*grantRecord) {
	if c.lists == nil {
		c.lists = map[granteeKey][]*grantRecord{}
	}
	c.forget(at)
	for other := range c.lists {
		if c.held+1+len(list) <= maxCachedGrants {
			break
		}
		c.forget(other)
	}
	c.lists[at] = list
	c.held += 1 + len(list)
}

func (c *grantCache) forget(at granteeKey) {
	if list, ok := c.lists[at]; ok {
		c.held -= 1 + len(list)
		delete(c.lists, at)
	}
}

// change follows an edit that is durable.
func (c *grantCache) change(e edit) {
	if len(e.grants)+len(e.dropGrants)+len(e.dropKeys) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for _, g := range e.dropGrants {
		c.replace(g, nil)
		c.adjust(g.KeyID, -1)
	}
	for i := range e.grants {
		g := &e.grants[i]
		c.replace(g, g)
		c.adjust(g.KeyID, 1)
	}
	for _, id := range e.dropKeys {
		delete(c.counts, id)
		for at := range c.lists {
			if at.keyID == id {
				c.forget(at)
			}
		}
	}
}

// replace puts a grant in the place of the one by old's id, nil for none, where the grantee's are cached. c.mu is held.
func (c *grantCache) replace(old, by *grantRecord) {
	at := granteeKey{old.KeyID, old.Grantee}
	list, ok := c.lists[at]
	if !ok {
		return
	}
	list = slices.DeleteFunc(slices.Clone(list), func(o *grantRecord) bool { return o.ID == old.ID })
	if by != nil {
		list = append(list, by)
	}
	c.set(at, list)
}

func (c *grantCache) adjust(keyID string, by int) {
	if n, ok := c.counts[keyID]; ok {
		c.counts[keyID] = n + by
	}
}

func (c *grantCache) counted(keyID string) (int, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.counts[keyID]
	return n, ok
}

func (c *grantCache) count(keyID string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil || len(c.counts) >= maxCachedGrants {
		c.counts = map[string]int{}
	}
	c.counts[keyID] = n
}

// clear forgets everything: the rows may be others than was thought.
func (c *grantCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.lists, c.counts, c.held = nil, nil, 0
}
