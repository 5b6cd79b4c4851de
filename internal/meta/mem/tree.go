// SPDX-License-Identifier: Apache-2.0

package mem

import (
	"bytes"
	"hash/maphash"
)

// node is the root of a persistent treap: no node is ever changed, a write makes
// new ones along its path, so that a root is a snapshot. Priorities are hashes of
// the keys, which keeps the expected depth logarithmic.
type node struct {
	key, value  []byte
	priority    uint64
	left, right *node
}

func (n *node) with(left, right *node) *node {
	c := *n
	c.left, c.right = left, right
	return &c
}

// split parts n into keys < at and keys >= at.
func split(n *node, at []byte) (less, rest *node) {
	if n == nil {
		return nil, nil
	}
	if bytes.Compare(n.key, at) < 0 {
		less, rest = split(n.right, at)
		return n.with(n.left, less), rest
	}
	less, rest = split(n.left, at)
	return less, n.with(rest, n.right)
}

// merge joins two trees of which all keys of a are before those of b.
func merge(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority >= b.priority:
		return a.with(a.left, merge(a.right, b))
	default:
		return b.with(merge(a, b.left), b.right)
	}
}

// cut removes from <= key < to.
func cut(n *node, from, to []byte) *node {
	if bytes.Compare(from, to) >= 0 {
		return n
	}
	less, rest := split(n, from)
	_, rest = split(rest, to)
	return merge(less, rest)
}

func put(seed maphash.Seed, n *node, key, value []byte) *node {
	less, rest := split(n, key)
	_, rest = split(rest, after(key))
	added := &node{key: bytes.Clone(key), value: append([]byte{}, value...), priority: maphash.Bytes(seed, key)}
	return merge(merge(less, added), rest)
}

// after returns the next possible key.
func after(key []byte) []byte { return append(bytes.Clone(key), 0) }

func get(n *node, key []byte) *node {
	for n != nil {
		switch c := bytes.Compare(key, n.key); {
		case c == 0:
			return n
		case c < 0:
			n = n.left
		default:
			n = n.right
		}
	}
	return nil
}

// walk visits from <= key < to in order, or backwards, until visit says false.
func walk(n *node, from, to []byte, reverse bool, visit func(*node) bool) bool {
	if n == nil {
		return true
	}
	first, last := n.left, n.right
	if reverse {
		first, last = last, first
	}
	notBefore := bytes.Compare(n.key, from) >= 0
	before := to == nil || bytes.Compare(n.key, to) < 0
	wanted := func(child *node) bool { // whether any key of the child can be in range
		return child == n.left && notBefore || child == n.right && before
	}
	if wanted(first) && !walk(first, from, to, reverse, visit) {
		return false
	}
	if notBefore && before && !visit(n) {
		return false
	}
	return !wanted(last) || walk(last, from, to, reverse, visit)
}
