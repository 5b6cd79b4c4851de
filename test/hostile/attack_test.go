// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/test/rig"
)

// attack is something that a malicious server does to somebody who watches.
type attack struct {
	name string
	lies func(w *world) lies
	want want
	ways []way // by default live, strict and archive
	// insiders: somebody who has had a key helps the server.
	insiders bool
	// believer is what comes of it at one who believes; by default it is deceived.
	believer belief
	adjust   func(*e2ee.OpenerConfig)
}

type belief int

const (
	deceived  belief = iota
	untouched        // what is altered is the proof of something, and nobody who asks for none notices
	starved          // the answer has no end
)

func TestMaliciousServer(t *testing.T) {
	rig.Binary(t) // first: what is recorded is live only for so long
	w := newWorld(t)
	honest := w.believer(t).watch(t, w, w.lieTo(t, lies{}))
	honestArchive := w.believer(t).watchArchive(t, w, w.lieTo(t, lies{}))
	t.Run("honest", func(t *testing.T) { w.honest(t, honest) })
	for _, a := range attacksOnTheProgram() { // first, since some of it is live
		t.Run("obscura view/"+a.name, func(t *testing.T) {
			t.Parallel()
			w.attackProgram(t, &a)
		})
	}
	w.attackRosters(t)
	w.attackMailbox(t)
	w.attackMemory(t)
	t.Run("every bit", func(t *testing.T) { t.Parallel(); w.attackEveryBit(t) })
	t.Run("at random", func(t *testing.T) { t.Parallel(); w.attackAtRandom(t) })
	t.Run("secrecy", func(t *testing.T) { t.Parallel(); w.attackSecrecy(t) })
	for _, byCode := range []bool{true, false} {
		t.Run(fmt.Sprintf("pairing/honest/%v", byCode), func(t *testing.T) { t.Parallel(); w.honestPairing(t, byCode) })
	}
	t.Run("pairing/people who do not compare", func(t *testing.T) { t.Parallel(); w.carelessPairing(t) })
	for _, a := range attacksOnPairing() {
		t.Run("pairing/"+a.name, func(t *testing.T) { t.Parallel(); w.attackPairing(t, &a) })
	}
	for n, a := range attacksOnMedia() {
		for _, how := range a.all(n) {
			t.Run(a.name+"/"+how.name, func(t *testing.T) {
				t.Parallel()
				w.attack(t, &a, how)
			})
		}
		t.Run(a.name+"/somebody who believes", func(t *testing.T) {
			t.Parallel()
			w.attackBeliever(t, &a, honest, honestArchive)
		})
	}
}

// all are the ways in which an attack is tried: those where its outcome is known, and going on, where the invariants alone count. In
// a short run the nth attack is either not tried strictly or nobody goes on after it.
func (a *attack) all(n int) []way {
	all := a.ways
	if all == nil {
		all = []way{live, strictly, archived}
	}
	if len(all) == 1 {
		return all
	}
	if a.want.ends == "" {
		all = append(slices.Clone(all), resuming)
	}
	if rig.Full() {
		return all
	}
	without := []way{strictly, resuming}[n%2]
	return slices.DeleteFunc(slices.Clone(all), func(w way) bool { return w == without })
}

func (w *world) attack(t *testing.T, a *attack, how way) {
	p := w.lieTo(t, a.lies(w))
	s := w.watch(t, p, how, a.adjust)
	if p.altered.Load() == 0 {
		t.Error("the harness altered nothing")
	}
	w.judge(t, s, how, a.insiders)
	if !how.resume {
		a.want.check(t, s)
	}
}

func (w *world) attackBeliever(t *testing.T, a *attack, honest, honestArchive []string) {
	if a.believer == starved {
		t.Skip("it would read for ever")
	}
	p := w.lieTo(t, a.lies(w))
	var shown []string
	if len(a.ways) > 0 && a.ways[0].archive {
		shown, honest = w.believer(t).watchArchive(t, w, p), honestArchive
	} else {
		shown = w.believer(t).watch(t, w, p)
	}
	if same := slices.Equal(shown, honest); same != (a.believer == untouched) {
		t.Errorf("somebody who believes sees the truth: %v", same)
	}
}

// honest is the control: what the proxy does not alter is all confirmed, and he who believes sees what the camera saw.
func (w *world) honest(t *testing.T, believed []string) {
	for _, how := range []way{live, strictly, archived} {
		p := w.lieTo(t, lies{media: func(all []*fragment) []*fragment { return all }})
		s := w.watch(t, p, how, nil)
		w.judge(t, s, how, false)
		(&want{confirmed: 14}).check(t, s)
		if n := len(s.frames()); n != 14*2*pictures || p.altered.Load() != 0 {
			t.Errorf("%s: %d frames, %d altered", how.name, n, p.altered.Load())
		}
		for _, r := range s.confirmed() {
			if r.Unlinked || r.Producer != w.door.Fingerprint() {
				t.Errorf("%+v", r)
			}
		}
	}
	pictured := 0
	for _, x := range w.of("door") {
		for _, s := range x.samples {
			at := slices.IndexFunc(believed, func(line string) bool { return strings.HasSuffix(line, hexOf(s.Data)) })
			if at >= 0 {
				pictured++
			}
		}
	}
	if pictured != 14*2*pictures {
		t.Errorf("he who believes sees %d frames of an honest server", pictured)
	}
}

func (w *world) attackMailbox(t *testing.T) {
	h := w.newHouse()
	t.Run("mailbox/shows two owners different mailboxes", func(t *testing.T) { t.Parallel(); h.attackFork(t) })
	t.Run("mailbox/honest", func(t *testing.T) { t.Parallel(); h.honest(t) })
	believed := h.credulous(t, h.box)
	for _, a := range attacksOnMailbox() {
		t.Run("mailbox/"+a.name, func(t *testing.T) { t.Parallel(); h.attack(t, &a) })
		t.Run("mailbox/"+a.name+"/somebody who believes", func(t *testing.T) { t.Parallel(); h.attackCredulous(t, &a, believed) })
	}
}
