// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/internal/meta"
)

// Rows of the space; all but the bodies are JSON.
//
//	mb/box     box              box
//	mb/object  box, key         object
//	mb/body    box, key, n      chunk n of the body, from 0
//	mb/due     ms, box, key     due: the object expires then
const (
	space     = "mb"
	rowBox    = "box"
	rowObject = "object"
	rowBody   = "body"
	rowDue    = "due"
)

// chunkBytes is how much of a body a row holds: below meta.MaxValueBytes.
const chunkBytes = 96 << 10

// box counts what a box holds, expired objects that have not been swept included. It has no row when it is empty.
type box struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"` // of bodies
}

// object is everything about an object but its body.
type object struct {
	Created time.Time `json:"created"` // whole milliseconds
	Expires time.Time `json:"expires,omitzero"`
	Writer  string    `json:"writer"`
	Size    int64     `json:"size"`
	Hash    []byte    `json:"sha256"`
}

// due is the value of a row whose key says all.
type due struct{}

// expired says whether the object must not be seen any more.
func (o *object) expired(now time.Time) bool { return !o.Expires.IsZero() && !now.Before(o.Expires) }

func (o *object) chunks() uint64 { return uint64((o.Size + chunkBytes - 1) / chunkBytes) }

func dueKey(o *object, boxName, key string) []byte {
	return meta.Key(space, rowDue, uint64(o.Expires.UnixMilli()), boxName, key)
}

// get reads a JSON row. Errors: meta.ErrNotFound.
func get[T any](r meta.Reader, key ...any) (*T, error) {
	b, err := r.Get(meta.Key(space, key...))
	if err != nil {
		return nil, err
	}
	return parse[T](b)
}

func parse[T any](b []byte) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, errors.New("mailbox: malformed row")
	}
	return v, nil
}

func put(tx meta.Tx, v any, key []byte) error {
	b, err := json.Marshal(v)
	if err == nil {
		tx.Put(key, b)
	}
	return err
}

// readBox reads a box's counts; those of one that is not there are 0.
func readBox(r meta.Reader, name string) (*box, error) {
	b, err := get[box](r, rowBox, name)
	if errors.Is(err, meta.ErrNotFound) {
		return new(box), nil
	}
	return b, err
}

func writeBox(tx meta.Tx, name string, b *box) error {
	if b.Objects == 0 {
		tx.Delete(meta.Key(space, rowBox, name))
		return nil
	}
	return put(tx, b, meta.Key(space, rowBox, name))
}

// add writes an object and counts it in b.
func add(tx meta.Tx, b *box, boxName, key string, o *object, body []byte) error {
	for n := range o.chunks() {
		tx.Put(meta.Key(space, rowBody, boxName, key, n), body[n*chunkBytes:min(int64(n+1)*chunkBytes, o.Size)])
	}
	b.Objects++
	b.Bytes += o.Size
	err := put(tx, o, meta.Key(space, rowObject, boxName, key))
	if !o.Expires.IsZero() {
		err = errors.Join(err, put(tx, due{}, dueKey(o, boxName, key)))
	}
	return err
}

// remove deletes an object and counts it out of b.
func remove(tx meta.Tx, b *box, boxName, key string, o *object) {
	for n := range o.chunks() {
		tx.Delete(meta.Key(space, rowBody, boxName, key, n))
	}
	tx.Delete(meta.Key(space, rowObject, boxName, key))
	if !o.Expires.IsZero() {
		tx.Delete(dueKey(o, boxName, key))
	}
	b.Objects--
	b.Bytes -= o.Size
}

// readBody reads the body of an object.
func readBody(r meta.Reader, boxName, key string, o *object) ([]byte, error) {
	body := make([]byte, 0, o.Size)
	for n := range o.chunks() {
		chunk, err := r.Get(meta.Key(space, rowBody, boxName, key, n))
		if err != nil {
			return nil, fmt.Errorf("mailbox: chunk %d of %s/%s: %w", n, boxName, key, err)
		}
		body = append(body, chunk...)
	}
	if int64(len(body)) != o.Size {
		return nil, fmt.Errorf("mailbox: %s/%s has %d bytes, not %d", boxName, key, len(body), o.Size)
	}
	return body, nil
}
