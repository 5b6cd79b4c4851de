// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"sync"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// keyring holds all keys of a Region, packed, so that a hundred thousand of them are neither a burden of memory nor of
// the collector. The keys that are in use it also has ready.
//
// What changes it is guarded by its view's lock; keys are made ready under that of ready.
type keyring struct {
	packed map[keyName]packedKey
	names  []keyName // sorted, for lists
	// dying are the keys pending deletion, with their deadlines; rotating those that rotate by themselves, with the
	// time of the next rotation; imported those that have imported material which expires.
	dying    map[string]time.Time
	rotating map[string]time.Time
	imported map[string]*key
	ready    *readyKeys
}

func newKeyring() keyring {
	return keyring{
		packed: map[keyName]packedKey{}, dying: map[string]time.Time{}, rotating: map[string]time.Time{}, imported: map[string]*key{},
		ready: &readyKeys{keys: map[keyName]readyKey{}},
	}
}

// put adds a key, or replaces it.
func (h *keyring) put(k *key) {
	if _, known := h.packed[k.name]; !known {
		i, _ := slices.BinarySearchFunc(h.names, k.name, keyName.compare)
		h.names = slices.Insert(h.names, i, k.name)
	}
	h.packed[k.name] = k.pack()
	delete(h.dying, k.ID)
	delete(h.rotating, k.ID)
	delete(h.imported, k.ID)
	if k.expires() {
		h.imported[k.ID] = k
	}
	if k.State == kmsapi.KeyStatePendingDeletion {
		h.dying[k.ID] = k.Deletion
	}
	if k.rotates() {
		h.rotating[k.ID] = k.NextRotation
	}
}

func (h *keyring) drop(id string) {
	name, ok := parseKeyName(id)
	if !ok {
		return
	}
	if i, found := slices.BinarySearchFunc(h.names, name, keyName.compare); found {
		h.names = slices.Delete(h.names, i, i+1)
	}
	delete(h.packed, name)
	delete(h.dying, id)
	delete(h.rotating, id)
	delete(h.imported, id)
	h.ready.drop(name)
}

func (h *keyring) has(id string) bool {
	name, ok := parseKeyName(id)
	if ok {
		_, ok = h.packed[name]
	}
	return ok
}

// gone says of a key that is there whether its deletion is due.
func (h *keyring) gone(id string, now time.Time) bool {
	deadline, dying := h.dying[id]
	return dying && !now.Before(deadline)
}

// after yields the ids of the keys that come after one, or all of them, in the order of their texts.
func (h *keyring) after(last string) iter.Seq[string] {
	start := 0
	if last != "" {
		start, _ = slices.BinarySearchFunc(h.names, last, func(n keyName, s string) int { return cmp.Compare(n.String(), s) })
	}
	return func(yield func(string) bool) {
		for _, n := range h.names[start:] {
			if id := n.String(); id != last && !yield(id) {
				return
			}
		}
	}
}

// compare orders names as their texts: the digits of a UUID come before the prefix of a multi-Region id.
func (n keyName) compare(o keyName) int {
	return cmp.Or(cmp.Compare(n.kind, o.kind), bytes.Compare(n.raw[:], o.raw[:]))
}

// readyKeys are keys that were asked for, as they were when they were packed like that: what changes a key packs it
// anew, so nothing here can be out of date.
type readyKeys struct {
	mu   sync.RWMutex
	keys map[keyName]readyKey
}

type readyKey struct {
	from packedKey
	key  *key
}

// maxReady bounds readyKeys. Another key costs a few microseconds when it is used.
const maxReady = 4096

func (c *readyKeys) get(name keyName, from packedKey) *key {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r, ok := c.keys[name]; ok && r.from == from {
		return r.key
	}
	return nil
}

func (c *readyKeys) put(name keyName, from packedKey, k *key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for other := range c.keys {
		if len(c.keys) < maxReady {
			break
		}
		delete(c.keys, other) // whichever it is
	}
	c.keys[name] = readyKey{from, k}
}

func (c *readyKeys) drop(name keyName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.keys, name)
}
