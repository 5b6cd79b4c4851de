// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/e2ee/e2eetest"
	"github.com/obscura-video/obscura/household"
)

// attackMemory is about what a viewer's device remembers: it has watched all, and then the server shows it another past.
func (w *world) attackMemory(t *testing.T) {
	// Somebody has stolen the camera, and with it the key that signs: for who has seen nothing yet, what it makes is genuine.
	rewritten := func(sequence uint64) func(*world) lies {
		return on(1, sequence, func(w *world, f *fragment) {
			of := w.at(1, sequence)
			made := w.serversOwn(of, w.stolen("Front door"), w.door.Fingerprint())
			forged(f, made)
		})
	}
	for _, a := range []struct {
		name string
		lies func(*world) lies
		how  way
		want want
	}{
		{"plays all again as new", every(func(w *world, i int, f *fragment) { moved(f, w.now.Add(time.Duration(i)*time.Second)) }), live, want{code: e2ee.ErrStale}},
		{"plays the last session again", whole(func(w *world, all []*fragment) []*fragment { return all[session3:] }), live, want{code: e2ee.ErrOrder}},
		{"rewrites the end of a session with a stolen camera", rewritten(3), archived, want{code: e2ee.ErrFork, confirmed: 3}},
		{"rewrites the beginning of a session with a stolen camera", rewritten(0), archived, want{code: e2ee.ErrFork}},
	} {
		t.Run("memory/"+a.name, func(t *testing.T) {
			t.Parallel()
			d, _ := w.copyOf(t, "Vera")
			before := w.watchAs(t, d, w.lieTo(t, lies{}), strictly, nil)
			(&want{confirmed: total}).check(t, before)
			p := w.lieTo(t, a.lies(w))
			s := w.watchAs(t, d, p, a.how, nil)
			if p.altered.Load() == 0 {
				t.Error("the harness altered nothing")
			}
			w.judge(t, s, a.how, false)
			a.want.check(t, s)
		})
	}
}

// attackSecrecy has the server and Mallory try all their keys on all that was recorded: what was sealed after her removal stays
// closed, and, as the control, what was sealed before does not.
func (w *world) attackSecrecy(t *testing.T) {
	var known []*e2eetest.Secret
	for _, x := range w.of("door") {
		if s, ok := e2eetest.Unwrap(x.wire.blocks[0].payload, w.door.Fingerprint(), w.mallory.Fingerprint(), w.malloryKey); ok {
			known = append(known, s)
		}
	}
	for i, x := range w.of("door") {
		read := 0
		for _, b := range x.wire.blocks {
			for _, r := range e2eetest.Split(b.payload) {
				if r.Kind == e2eetest.Frame && opensWith(known, x, byte(b.track), r.Body) {
					read++
				}
			}
		}
		if want := map[bool]int{true: perFragment}[i < removal]; read != want {
			t.Errorf("of fragment %d they read %d frames, want %d", i, read, want)
		}
	}
}

// opensWith tells whether one of the secrets opens a frame to what the camera took, in any of its first epochs.
func opensWith(known []*e2eetest.Secret, x *taken, track byte, frame []byte) bool {
	for _, s := range known {
		for epoch := range uint32(8) {
			plain, _ := s.Epoch(epoch).Believe(track, frame)
			for _, sample := range x.samples {
				if bytes.HasSuffix(plain, sample.Data) {
					return true
				}
			}
		}
	}
	return false
}

// overlay is a box in which a server keeps what a device leaves there from all others.
type overlay struct {
	mu      sync.Mutex // guards what follows
	objects map[string][]byte
}

func (o *overlay) lies() lies {
	o.objects = map[string][]byte{}
	return lies{
		put: func(key string, body []byte) []byte {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.objects[key] = body
			return nil
		},
		get: func(key string, honest []byte) []byte {
			o.mu.Lock()
			defer o.mu.Unlock()
			if b, ok := o.objects[key]; ok {
				return b
			}
			return honest
		},
		objects: func(prefix string, keys []string) []string {
			o.mu.Lock()
			defer o.mu.Unlock()
			for key := range maps.Keys(o.objects) {
				if strings.HasPrefix(key, prefix) {
					keys = append(keys, key)
				}
			}
			return sorted(keys)
		},
	}
}

// attackFork is a server that shows two owners different mailboxes, so that each signs a roster of one version. That cannot be
// prevented; devices on one side never go over to the other, and who watches from the other side is told.
func (h *house) attackFork(t *testing.T) {
	var sides [2]*overlay
	var boxes [2]household.Mailbox
	var rosters [2][]byte
	for i := range sides {
		sides[i] = &overlay{}
		p := h.lieTo(t, sides[i].lies())
		boxes[i] = h.mailbox(h.name, p.ts.URL, p.roots())
		owner, _ := h.copyOf(t, h.name+"Ana")
		err := owner.Change(t.Context(), boxes[i], func(r *e2ee.Roster) error {
			r.GenerationLife += time.Duration(i) * time.Hour // something that differs
			return nil
		})
		if err != nil || p.altered.Load() == 0 {
			t.Fatalf("owner %d: %v", i, err)
		}
		rosters[i] = owner.Trust().Signed()
	}
	camera, _ := h.copyOf(t, h.name+"Camera")
	ben, _ := h.copyOf(t, h.name+"Ben")
	if err := errors.Join(camera.Sync(t.Context(), boxes[0]), ben.Sync(t.Context(), boxes[1])); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(rosters[0], rosters[1]) || !bytes.Equal(camera.Trust().Signed(), rosters[0]) || !bytes.Equal(ben.Trust().Signed(), rosters[1]) {
		t.Fatal("there is no fork")
	}
	var f *household.Failure
	if err := camera.Sync(t.Context(), boxes[1]); err != nil {
		t.Errorf("nothing follows yet: %v", err)
	}
	h.follows(t, boxes[1])
	if err := camera.Sync(t.Context(), boxes[1]); !errors.As(err, &f) || !errors.Is(err, e2ee.ErrRosterFork) {
		t.Errorf("the camera goes over: %v", err)
	}
	h.checkReceipt(t, camera, ben)
}

// follows has an owner of a side sign one roster more.
func (h *house) follows(t *testing.T, box household.Mailbox) {
	t.Helper()
	owner, _ := h.copyOf(t, h.name+"Ana")
	if err := owner.Change(t.Context(), box, func(*e2ee.Roster) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// checkReceipt has Ben open what the camera seals: its statement names a roster that is not his.
func (h *house) checkReceipt(t *testing.T, camera, ben *household.Device) {
	t.Helper()
	s, err := camera.Sealer("yard", []e2ee.Track{{Number: 1, Codec: "V_AV1"}}, nil)
	if err == nil {
		err = s.Begin(time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
	last, _, err := s.EndSession()
	if err != nil {
		t.Fatal(err)
	}
	o, err := ben.Opener("yard", nil)
	if err != nil {
		t.Fatal(err)
	}
	var why *e2ee.Error
	if _, err := o.Block(last); !errors.As(err, &why) || why.Code != e2ee.ErrRosterFork || !why.Code.Tampered() {
		t.Errorf("Ben is not told: %v", err)
	}
}
