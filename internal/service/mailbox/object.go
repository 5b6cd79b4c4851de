// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	api "github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/meta"
)

// PutObject writes an object under a key that has none; it is durable when it is answered. Repeated with the same bytes
// it answers what it answered first: writer, time and expiry stay those of the first call.
//
// Errors: ObjectExistsException when the key has other bytes; QuotaExceededException, also where the disk has no room.
func (s *Service) PutObject(ctx context.Context, in *api.PutObjectInput) (*api.PutObjectOutput, error) {
	if err := s.allow(ctx, "PutObject", *in.Box, *in.Key); err != nil {
		return nil, err
	}
	s.note(ctx, *in.Box, *in.Key)
	hash := sha256.Sum256(in.Body)
	o := &object{
		Created: s.now().UTC().Truncate(time.Millisecond), Writer: writer(ctx), Size: int64(len(in.Body)), Hash: hash[:],
	}
	if in.ExpiresInSeconds != nil {
		o.Expires = o.Created.Add(time.Duration(*in.ExpiresInSeconds) * time.Second)
	}
	stored := o
	err := s.db.Update(ctx, func(tx meta.Tx) (err error) {
		stored, err = s.create(tx, *in.Box, *in.Key, o, in.Body)
		return err
	})
	// After an error as well: that it was not written may not be certain.
	s.waiters.wake(*in.Box, *in.Key)
	if err != nil {
		return nil, err
	}
	return &api.PutObjectOutput{Created: &stored.Created, Expires: optional(stored.Expires)}, nil
}

// create writes o unless the key has an object already, which it returns when it has the same bytes.
func (s *Service) create(tx meta.Tx, boxName, key string, o *object, body []byte) (*object, error) {
	b, err := readBox(tx, boxName)
	if err != nil {
		return nil, err
	}
	switch old, err := get[object](tx, rowObject, boxName, key); {
	case errors.Is(err, meta.ErrNotFound):
	case err != nil:
		return nil, err
	case old.expired(s.now()):
		remove(tx, b, boxName, key, old)
	case bytes.Equal(old.Hash, o.Hash):
		return old, nil
	default:
		return nil, &api.ObjectExistsException{Message: fmt.Sprintf("Box %s has another object under %s.", boxName, key)}
	}
	if s.room != nil && s.room(o.Size) != nil {
		return nil, &api.QuotaExceededException{Message: "The server's disk has no room for more objects."}
	}
	if err := add(tx, b, boxName, key, o, body); err != nil {
		return nil, err
	}
	switch {
	case b.Objects > s.maxObjects:
		return nil, &api.QuotaExceededException{Message: fmt.Sprintf("Box %s holds its maximum of %d objects.", boxName, s.maxObjects)}
	case b.Bytes > s.maxBytes:
		return nil, &api.QuotaExceededException{Message: fmt.Sprintf("Box %s would hold more than its maximum of %d bytes.", boxName, s.maxBytes)}
	}
	return o, writeBox(tx, boxName, b)
}

// GetObject reads an object, and with WaitSeconds waits for it to be put. The body belongs to the caller.
//
// Errors: ObjectNotFoundException, after a wait too.
func (s *Service) GetObject(ctx context.Context, in *api.GetObjectInput) (*api.GetObjectOutput, error) {
	allow := func() error { return s.allow(ctx, "GetObject", *in.Box, *in.Key) }
	if err := allow(); err != nil {
		return nil, err
	}
	s.note(ctx, *in.Box, *in.Key)
	var out *api.GetObjectOutput
	look := func() (found bool, err error) {
		out, err = s.read(ctx, *in.Box, *in.Key)
		if errors.Is(err, meta.ErrNotFound) {
			return false, nil
		}
		return true, err
	}
	if err := s.await(ctx, &waiter{box: *in.Box, key: *in.Key}, value(in.WaitSeconds), look, allow); err != nil {
		return nil, err
	}
	if out == nil {
		return nil, &api.ObjectNotFoundException{Message: fmt.Sprintf("Box %s has no object under %s.", *in.Box, *in.Key)}
	}
	return out, nil
}

// read returns an object that is not expired. Errors: meta.ErrNotFound.
func (s *Service) read(ctx context.Context, boxName, key string) (out *api.GetObjectOutput, err error) {
	err = s.db.View(ctx, func(r meta.Reader) error {
		o, err := get[object](r, rowObject, boxName, key)
		if err != nil {
			return err
		}
		if o.expired(s.now()) {
			return meta.ErrNotFound
		}
		body, err := readBody(r, boxName, key, o)
		if err != nil {
			// Not ErrNotFound: an object without its body is damage.
			return errors.New(err.Error())
		}
		out = &api.GetObjectOutput{
			Key: &key, Body: body, Created: &o.Created, Expires: optional(o.Expires), Writer: &o.Writer,
		}
		return nil
	})
	return out, err
}

// DeleteObject deletes an object; one that is not there is no error. The key is free from then on.
func (s *Service) DeleteObject(ctx context.Context, in *api.DeleteObjectInput) (*api.DeleteObjectOutput, error) {
	if err := s.allow(ctx, "DeleteObject", *in.Box, *in.Key); err != nil {
		return nil, err
	}
	s.note(ctx, *in.Box, *in.Key)
	err := s.db.Update(ctx, func(tx meta.Tx) error {
		o, err := get[object](tx, rowObject, *in.Box, *in.Key)
		if errors.Is(err, meta.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		b, err := readBox(tx, *in.Box)
		if err != nil {
			return err
		}
		remove(tx, b, *in.Box, *in.Key, o)
		return writeBox(tx, *in.Box, b)
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteObjectOutput{}, nil
}
