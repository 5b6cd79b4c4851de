// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/obscura-video/obscura/internal/meta"
)

// Counts is what Check has read.
type Counts struct {
	Boxes, Objects int
	Bytes          int64 // of bodies
}

// Check judges all mailboxes by their rows: every object has its body, as it was put; every box counts what it holds;
// nothing lies about that belongs to no object. fault is told of each thing that is damaged. It changes nothing.
func Check(ctx context.Context, db meta.DB, fault func(what string)) (Counts, error) {
	c := checker{fault: fault, held: map[string]*box{}}
	err := db.View(ctx, func(r meta.Reader) error {
		c.r = r
		if err := c.each(rowObject, c.object); err != nil {
			return err
		}
		if err := c.each(rowBody, func(rest, _ []byte) bool { return c.ofBody(rest) }); err != nil {
			return err
		}
		if err := c.each(rowDue, func(rest, _ []byte) bool { return c.ofDue(rest) }); err != nil {
			return err
		}
		return c.boxes()
	})
	return c.Counts, err
}

// checker is one run.
type checker struct {
	Counts
	r     meta.Reader
	fault func(what string)
	held  map[string]*box // what the boxes hold
}

// each runs check with the rest of the key and the value of every row of a kind; false is a row that should not be.
func (c *checker) each(row string, check func(rest, value []byte) bool) error {
	prefix := meta.Key(space, row)
	for kv, err := range c.r.Scan(prefix, meta.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		if !check(kv.Key[len(prefix):], kv.Value) {
			c.fault("a row that belongs to nothing, or cannot be read: " + space + "/" + row)
		}
	}
	return nil
}

func cutObject(rest []byte) (boxName, key string, left []byte, ok bool) {
	boxName, rest, okBox := meta.CutString(rest)
	key, left, okKey := meta.CutString(rest)
	return boxName, key, left, okBox && okKey
}

func (c *checker) object(rest, value []byte) bool {
	boxName, key, left, ok := cutObject(rest)
	o, err := parse[object](value)
	if !ok || len(left) > 0 || err != nil {
		return false
	}
	if c.held[boxName] == nil {
		c.held[boxName] = new(box)
	}
	c.held[boxName].Objects++
	c.held[boxName].Bytes += o.Size
	c.Objects++
	c.Bytes += o.Size
	body, err := readBody(c.r, boxName, key, o)
	if hash := sha256.Sum256(body); err == nil && !bytes.Equal(hash[:], o.Hash) {
		err = errors.New("its body is not the one that was put")
	}
	if !o.Expires.IsZero() && err == nil {
		_, err = c.r.Get(dueKey(o, boxName, key))
	}
	if err != nil {
		c.fault(fmt.Sprintf("object %s/%s: %v", boxName, key, err))
	}
	return true
}

// ofBody says whether a chunk belongs to an object that is there.
func (c *checker) ofBody(rest []byte) bool {
	boxName, key, left, ok := cutObject(rest)
	if !ok {
		return false
	}
	o, err := get[object](c.r, rowObject, boxName, key)
	n, left, ok := meta.CutUint64(left)
	return err == nil && ok && len(left) == 0 && n < o.chunks()
}

// ofDue says whether the row of a due time belongs to an object that expires then.
func (c *checker) ofDue(rest []byte) bool {
	e, ok := cutDue(rest)
	if !ok {
		return false
	}
	o, err := get[object](c.r, rowObject, e.box, e.key)
	return err == nil && !o.Expires.IsZero() && uint64(o.Expires.UnixMilli()) == e.ms
}

// boxes compares what boxes say with what they hold.
func (c *checker) boxes() error {
	for name := range c.held {
		c.Boxes++
		b, err := readBox(c.r, name)
		if err != nil {
			return err
		}
		if *b != *c.held[name] {
			c.fault(fmt.Sprintf("box %s counts %d objects of %d bytes and holds %d of %d", name, b.Objects, b.Bytes, c.held[name].Objects, c.held[name].Bytes))
		}
	}
	return c.each(rowBox, func(rest, _ []byte) bool {
		name, left, ok := meta.CutString(rest)
		return ok && len(left) == 0 && c.held[name] != nil
	})
}
