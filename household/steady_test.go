// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestMailboxThatDoesNotWaitMakesNobodySpin: a server can answer each wait at once; nobody then asks as fast as it can.
func TestMailboxThatDoesNotWaitMakesNobodySpin(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(h *home, box Mailbox, ctx context.Context){
		"a camera that follows": func(h *home, box Mailbox, ctx context.Context) { _ = h.owner.Follow(ctx, box, nil) },
		"a device that is paired": func(h *home, box Mailbox, ctx context.Context) {
			j := h.joining(h.create("Ben's phone", Kind{Consumer: true}), box)
			_, err := j.Code()
			h.ok(err)
			_, _ = j.AwaitOffer(ctx)
		},
	} {
		for what, list := range map[string][]Object{"nothing": nil, "something else": {{Key: "pairing/x/zzz"}}} {
			t.Run(name+", "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHome(t)
					var asked atomic.Int64
					box := &liar{
						Mailbox: h.box,
						get:     func(_ string, b []byte, err error) ([]byte, error) { asked.Add(1); return b, err },
						list: func(prefix string, all []Object) []Object {
							asked.Add(1)
							if prefix == prefixCertificate || prefix == prefixRoster {
								return all
							}
							return list
						},
					}
					ctx, cancel := context.WithTimeout(h.ctx, 30*time.Second)
					defer cancel()
					wait(h, box, ctx)
					if n := asked.Load(); n > 100 {
						t.Errorf("asked %d times in 30 s", n)
					}
				})
			})
		}
	}
}

// flaky is a mailbox that cannot be reached now and then.
type flaky struct {
	Mailbox
	away atomic.Int64 // calls that do not get through
}

var errAway = &url.Error{Op: "Post", URL: "https://nvr.lan:8443", Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}

func (f *flaky) call() error {
	if f.away.Add(-1) >= 0 {
		return errAway
	}
	f.away.Store(2)
	return nil
}

func (f *flaky) Put(ctx context.Context, key string, body []byte, keep time.Duration) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.Mailbox.Put(ctx, key, body, keep)
}

func (f *flaky) Get(ctx context.Context, key string, wait time.Duration) ([]byte, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Mailbox.Get(ctx, key, wait)
}

func (f *flaky) List(ctx context.Context, prefix, after string, wait time.Duration) ([]Object, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Mailbox.List(ctx, prefix, after, wait)
}

// TestPairingOutlivesALostNetwork: each call of either side is lost twice before it gets through.
func TestPairingOutlivesALostNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.owner.now = time.Now
		d := h.create("Front door", Kind{Producer: true})
		d.now = time.Now
		j := h.joining(d, &flaky{Mailbox: h.box})
		code, err := j.Code()
		h.ok(err)
		a := h.admitting(h.box)
		a.box = steady{&flaky{Mailbox: h.box}, answerPatience}
		jErr, aErr := h.both(func() error {
			if _, err := j.AwaitOffer(h.ctx); err != nil {
				return err
			}
			return j.AwaitWelcome(h.ctx)
		}, func() error {
			if err := a.Scan(h.ctx, code.Text(), server); err != nil {
				return err
			}
			m, err := a.Candidate()
			if err != nil {
				return err
			}
			return a.Sign(h.ctx, m)
		})
		if jErr != nil || aErr != nil {
			t.Fatalf("device: %v; owner: %v", jErr, aErr)
		}
		if _, in := d.Admitted(); !in {
			t.Error("not on the roster")
		}
	})
}

// TestWhatIsRefusedIsNotAskedAgain: no patience for who may not.
func TestWhatIsRefusedIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	n := 0
	box := &liar{Mailbox: h.box, get: func(string, []byte, error) ([]byte, error) {
		n++
		return nil, &ResponseError{Code: "AccessDeniedException", Status: 400}
	}}
	if _, err := (steady{box, time.Minute}).Get(h.ctx, "x", 0); err == nil || n != 1 {
		t.Errorf("asked %d times: %v", n, err)
	}
}
