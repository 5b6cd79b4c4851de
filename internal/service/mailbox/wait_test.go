// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/mailbox"
)

// bubble runs a test in a world whose time passes at once.
func bubble(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
}

// waiting is a call that waits, and how it ended.
type waiting struct {
	began time.Time
	done  chan struct{}
	text  string
	err   error
	took  time.Duration
}

func (w *world) begin(call func() (string, error)) *waiting {
	c := &waiting{began: time.Now(), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.text, c.err = call()
		c.took = time.Since(c.began)
	}()
	synctest.Wait()
	return c
}

func (w *world) beginGet(key string, seconds int64) *waiting {
	return w.begin(func() (string, error) { return w.wait(w.ctx(), "home", key, seconds) })
}

func (w *world) beginList(prefix, after string, seconds int64) *waiting {
	return w.begin(func() (string, error) {
		return w.keys(api.ListObjectsInput{Box: new("home"), Prefix: &prefix, StartAfter: &after, WaitSeconds: &seconds}), nil
	})
}

func TestWaitingCallIsAnsweredWhenTheObjectAppears(t *testing.T) {
	bubble(t, func(w *world) {
		var calls []*waiting
		for range 3 {
			calls = append(calls, w.beginGet("roster/2", 20))
		}
		w.equal(w.Waiting(), 3)
		time.Sleep(5 * time.Second)
		w.want(w.put("home", "roster/1", "old"), "")
		w.want(w.put("yard", "roster/2", "another box's"), "")
		synctest.Wait()
		w.equal(w.Waiting(), 3)
		w.want(w.put("home", "roster/2", "new"), "")
		for _, c := range calls {
			<-c.done
			w.want(c.err, "")
			w.equal(c.text, "new")
			w.equal(c.took, 5*time.Second)
		}
		w.equal(w.Waiting(), 0)
		w.equal(len(w.waiters.at), 0)
	})
}

func TestObjectThatIsThereIsNotWaitedFor(t *testing.T) {
	bubble(t, func(w *world) {
		w.want(w.put("home", "a", "x"), "")
		c := w.beginGet("a", 20)
		<-c.done
		w.equal(c.text, "x")
		w.equal(c.took, time.Duration(0))
	})
}

func TestWaitEndsWithItsTime(t *testing.T) {
	bubble(t, func(w *world) {
		c, l := w.beginGet("a", 20), w.beginList("", "", 3)
		<-l.done
		w.equal(l.text, "")
		w.equal(l.took, 3*time.Second)
		<-c.done
		w.want(c.err, notFound)
		w.equal(c.took, 20*time.Second)
		w.equal(w.Waiting(), 0)
	})
}

func TestEmptyListWaitsForWhatWouldBeInIt(t *testing.T) {
	bubble(t, func(w *world) {
		w.want(w.put("home", "p/1", "x"), "")
		c := w.beginList("p/", "p/1", 20)
		all := w.beginList("q/", "", 20)
		w.want(w.put("home", "o", "x"), "")
		w.want(w.put("home", "p/0", "x"), "")
		synctest.Wait()
		w.equal(w.Waiting(), 2)
		time.Sleep(time.Second)
		w.want(w.put("home", "p/2", "x"), "")
		<-c.done
		w.equal(c.text, "p/2")
		w.equal(c.took, time.Second)
		w.want(w.put("home", "q/1", "x"), "")
		<-all.done
		w.equal(all.text, "q/1")
	})
}

// TestWaitGoesOnAfterAnObjectThatIsGoneAgain: woken and too late, a call waits on.
func TestWaitGoesOnAfterAnObjectThatIsGoneAgain(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.beginGet("a", 20)
		w.waiters.wake("home", "a")
		synctest.Wait()
		w.equal(w.Waiting(), 1)
		w.want(w.put("home", "a", "x"), "")
		<-c.done
		w.equal(c.text, "x")
	})
}

func TestWaitEndsWhenTheCallerLeaves(t *testing.T) {
	bubble(t, func(w *world) {
		ctx, cancel := context.WithCancel(w.ctx())
		c := w.begin(func() (string, error) { return w.wait(ctx, "home", "a", 20) })
		cancel()
		<-c.done
		if !errors.Is(c.err, context.Canceled) || c.took != 0 {
			w.t.Errorf("%v after %v", c.err, c.took)
		}
		w.equal(w.Waiting(), 0)
	})
}

func TestWaitEndsWhenTheServerStops(t *testing.T) {
	bubble(t, func(w *world) {
		c, l := w.beginGet("a", 20), w.beginList("", "", 20)
		w.Close()
		w.Close()
		<-c.done
		<-l.done
		w.want(c.err, notFound)
		w.equal(c.took+l.took, time.Duration(0))
		late := w.beginGet("a", 20)
		<-late.done
		w.equal(late.took, time.Duration(0))
	})
}

// TestWithdrawnPermissionEndsTheWait: who may no longer read learns nothing, neither that the object came nor that it
// did not.
func TestWithdrawnPermissionEndsTheWait(t *testing.T) {
	bubble(t, func(w *world) {
		c, l := w.beginGet("a", 20), w.beginList("", "", 20)
		never := w.beginGet("b", 10)
		w.withdraw()
		synctest.Wait()
		w.equal(w.Waiting(), 3)
		w.waiters.wake("home", "a") // as a put by another would
		<-c.done
		<-l.done
		w.want(c.err, "Denied")
		w.equal(l.text, "Denied")
		<-never.done
		w.want(never.err, "Denied")
		w.equal(never.took, 10*time.Second)
	})
}

// TestNoPutIsMissed: an object that is put while calls come is found by each, whatever the order.
func TestNoPutIsMissed(t *testing.T) {
	w := newWorld(t)
	const calls = 50
	for i := range 20 {
		key := fmt.Sprintf("k/%d", i)
		var missed atomic.Int64
		done := make(chan struct{})
		for range calls {
			go func() {
				if _, err := w.wait(w.ctx(), "home", key, 20); err != nil {
					missed.Add(1)
				}
				done <- struct{}{}
			}()
		}
		w.want(w.put("home", key, "x"), "")
		for range calls {
			<-done
		}
		w.equal(missed.Load(), int64(0))
	}
	w.equal(w.Waiting(), 0)
}

// BenchmarkPutPastWaitingCalls: ten thousand calls that wait for something else cost a put next to nothing.
func BenchmarkPutPastWaitingCalls(b *testing.B) {
	var v waiters
	for i := range 10_000 {
		v.add(&waiter{box: "home", key: fmt.Sprintf("roster/%d", i+1_000_000), who: fmt.Sprint(i)})
	}
	for i := 0; b.Loop(); i++ {
		v.wake("home", "roster/1")
	}
}

// TestNobodyWaitsWithoutEnd: who begins more and more calls that wait is told to slow down, and holds up no other; a
// call that has ended makes room.
func TestNobodyWaitsWithoutEnd(t *testing.T) {
	bubble(t, func(w *world) {
		ctx, hangUp := context.WithCancel(w.ctx())
		for range maxWaitingOfOne {
			w.begin(func() (string, error) { return w.wait(ctx, "home", "a", 20) })
		}
		const throttled = "ThrottlingException"
		_, err := w.wait(w.ctx(), "home", "a", 20)
		w.want(err, throttled)
		_, err = w.wait(w.ctx(), "home", "a", 0)
		w.want(err, notFound)
		other := &access.Call{Service: "mailbox"}
		other.Principal.ARN = "arn:aws:iam::000000000000:user/bob"
		call := w.begin(func() (string, error) { return w.wait(access.NewContext(w.ctx(), other), "home", "a", 1) })
		<-call.done
		w.want(call.err, notFound)
		hangUp()
		synctest.Wait()
		w.equal(w.Waiting(), 0)
		w.equal(len(w.waiters.of), 0)
		_, err = w.wait(w.ctx(), "home", "a", 1)
		w.want(err, notFound)
		for i := range maxWaiting {
			w.waiters.add(&waiter{box: "home", key: "a", who: fmt.Sprint(i)})
		}
		_, err = w.wait(w.ctx(), "home", "a", 1)
		w.want(err, throttled)
	})
}
