// SPDX-License-Identifier: Apache-2.0

package household

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Memory is a Mailbox in memory, for tests and for a household within one process. The zero value is empty and ready.
type Memory struct {
	mu      sync.Mutex // guards what follows
	objects map[string]memoryObject
	more    chan struct{} // closed and replaced with every Put
}

type memoryObject struct {
	body    []byte
	created time.Time
}

var _ Mailbox = (*Memory)(nil)

// Put leaves an object. keep is not heeded.
func (m *Memory) Put(ctx context.Context, key string, body []byte, _ time.Duration) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if len(body) > MaxObjectBytes {
		return fmt.Errorf("household: object %s of %d bytes is too large", key, len(body))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.objects[key]; ok {
		if !bytes.Equal(old.body, body) {
			return fmt.Errorf("%w: %s", ErrObjectExists, key)
		}
		return nil
	}
	if m.objects == nil {
		m.objects = map[string]memoryObject{}
	}
	m.objects[key] = memoryObject{bytes.Clone(body), time.Now()}
	if m.more != nil {
		close(m.more)
		m.more = nil
	}
	return nil
}

// Get returns an object, waiting for it.
func (m *Memory) Get(ctx context.Context, key string, wait time.Duration) ([]byte, error) {
	var body []byte
	err := m.await(ctx, wait, func() bool {
		o, ok := m.objects[key]
		body = bytes.Clone(o.body)
		return ok
	})
	if err == nil && body == nil {
		err = fmt.Errorf("%w: %s", ErrNoObject, key)
	}
	return body, err
}

// List returns the objects under prefix after after, waiting for one.
func (m *Memory) List(ctx context.Context, prefix, after string, wait time.Duration) (list []Object, err error) {
	err = m.await(ctx, wait, func() bool {
		for key, o := range m.objects {
			if strings.HasPrefix(key, prefix) && key > after {
				list = append(list, Object{Key: key, Size: int64(len(o.body)), Created: o.created})
			}
		}
		return len(list) > 0
	})
	slices.SortFunc(list, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	return list, err
}

// await calls found under the lock now and after every Put, until it says so or wait is over.
func (m *Memory) await(ctx context.Context, wait time.Duration, found func() bool) error {
	late := time.NewTimer(min(wait, MaxWait))
	defer late.Stop()
	for {
		m.mu.Lock()
		done := found()
		if m.more == nil {
			m.more = make(chan struct{})
		}
		more := m.more
		m.mu.Unlock()
		if done || wait <= 0 {
			return nil
		}
		select {
		case <-more:
		case <-late.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
