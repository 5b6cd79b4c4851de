// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// Bounds of the calls that wait, of all and of one caller: each holds a connection, a goroutine and a timer.
const (
	maxWaiting      = 20_000
	maxWaitingOfOne = 1000
)

// A waiter is one call that waits: for the object under key, or when that is empty for any whose key begins with
// prefix and comes after after.
type waiter struct {
	box, key, prefix, after string
	who                     string
	woken                   chan struct{} // holds one
}

// place is where a waiter stands; no key ends in a slash, so those of a whole box have one of their own.
func place(box, key string) string { return box + "/" + key }

func (w *waiter) wants(key string) bool {
	return w.key == key || w.key == "" && strings.HasPrefix(key, w.prefix) && key > w.after
}

// waiters are the calls that wait. A call costs its entry here, a timer, and the goroutine that it has anyway; a put
// looks only at those that wait for its key and at those that wait for a list of its box. The zero value is empty.
type waiters struct {
	mu sync.Mutex // guards the fields below
	at map[string]map[*waiter]struct{}
	of map[string]int // how many, by caller
	n  int
}

// add makes w one of them; false when there are too many.
func (v *waiters) add(w *waiter) bool {
	w.woken = make(chan struct{}, 1)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.n >= maxWaiting || v.of[w.who] >= maxWaitingOfOne {
		return false
	}
	if v.at == nil {
		v.at, v.of = map[string]map[*waiter]struct{}{}, map[string]int{}
	}
	p := place(w.box, w.key)
	if v.at[p] == nil {
		v.at[p] = map[*waiter]struct{}{}
	}
	v.at[p][w] = struct{}{}
	v.of[w.who]++
	v.n++
	return true
}

func (v *waiters) remove(w *waiter) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := place(w.box, w.key)
	delete(v.at[p], w)
	if len(v.at[p]) == 0 {
		delete(v.at, p)
	}
	if v.of[w.who]--; v.of[w.who] == 0 {
		delete(v.of, w.who)
	}
	v.n--
}

// wake makes those look again that wait for an object that was put.
func (v *waiters) wake(box, key string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range []string{place(box, key), place(box, "")} {
		for w := range v.at[p] {
			if !w.wants(key) {
				continue
			}
			select {
			case w.woken <- struct{}{}:
			default: // it has yet to look anyway
			}
		}
	}
}

func (v *waiters) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.n
}

// await looks, and until it has found something looks again whenever w is woken, for at most seconds. The caller was
// allowed when it came; allow is asked again before each further look, since policies change while it waits. That
// nothing was found is no error. Errors: those of look and allow; ThrottlingException when too many wait; ctx's.
func (s *Service) await(ctx context.Context, w *waiter, seconds int64, look func() (bool, error), allow func() error) error {
	if seconds == 0 {
		_, err := look()
		return err
	}
	// Before the first look: what is put after that look wakes it.
	w.who = writer(ctx)
	if !s.waiters.add(w) {
		return protocol.NewError("ThrottlingException", 400, "Too many calls wait.")
	}
	defer s.waiters.remove(w)
	if found, err := look(); found || err != nil {
		return err
	}
	end := time.NewTimer(time.Duration(seconds) * time.Second)
	defer end.Stop()
	for over := false; !over; {
		select {
		case <-w.woken:
		case <-end.C:
			over = true
		case <-s.closed:
			over = true
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := allow(); err != nil {
			return err
		}
		if found, err := look(); found || err != nil {
			return err
		}
	}
	return nil
}
