// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/e2ee/e2eetest"
)

// tape is the archive of a stream in memory.
type tape struct {
	at     []time.Time
	of     []fragment
	opened int
}

func (a *tape) Newest(_ context.Context, from, until time.Time) ([]e2ee.Block, time.Time, error) {
	for i := len(a.at) - 1; i >= 0; i-- {
		if !a.at[i].Before(from) && a.at[i].Before(until) {
			a.opened++
			return a.of[i], a.at[i], nil
		}
	}
	return nil, time.Time{}, ErrNoFootage
}

// record seals n fragments, with a pause between them.
func (h *home) record(a *tape, s *Sealer, n int, pause time.Duration) {
	h.t.Helper()
	for range n {
		a.at = append(a.at, h.now.Truncate(time.Millisecond))
		a.of = append(a.of, h.seal(s, "something"))
		h.now = h.now.Add(pause)
	}
}

// opens counts how many fragments of a tape an opener opens.
func opens(o *e2ee.Opener, a *tape) (n int) {
	for _, f := range a.of {
		if _, err := openBlocks(o, f); err == nil {
			n++
		}
	}
	return n
}

func TestHourOfFootageIsSharedWithOnePerson(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	h.ok(camera.Sync(h.ctx, h.box))
	a := &tape{}
	h.record(a, h.sealer(camera, "door"), 30, 8*time.Second) // five minutes, before Ben came
	ben, kit := h.viewer("Ben's phone"), h.viewer("Kit's phone")
	to, err := h.owner.Grantee(ben.Fingerprint())
	h.ok(err)
	clip := Share{Stream: "door", From: a.at[0].Add(time.Minute), Until: a.at[0].Add(2 * time.Minute), To: to}
	shared, err := h.owner.Share(h.ctx, h.box, a, clip)
	h.ok(err)
	if shared.Generations != 1 || shared.Refused != nil || len(shared.Objects) != 1 {
		t.Fatalf("%+v", shared)
	}
	if n := opens(h.opener(ben, "door").Opener, a); n != 0 {
		t.Fatalf("Ben opens %d before taking the grant", n)
	}
	for want := range 2 { // a second look finds nothing new
		taken, err := ben.TakeGrants(h.ctx, h.box, "door")
		h.ok(err)
		if taken != 1-want {
			t.Fatalf("taken %d", taken)
		}
	}
	// An epoch is a minute of the generation: the clip touches those of the minute asked for, and no other.
	if n := opens(h.opener(h.open(ben), "door").Opener, a); n != 6 {
		t.Errorf("Ben opens %d fragments of one minute, want 6", n)
	}
	if taken, err := kit.TakeGrants(h.ctx, h.box, "door"); err != nil || taken != 0 {
		t.Errorf("Kit takes %d, %v", taken, err)
	}
	if _, err := camera.TakeGrants(h.ctx, h.box, "door"); !errors.Is(err, ErrRole) {
		t.Errorf("a camera takes grants: %v", err)
	}
}

func TestGuestOpensWhatTheLinkIsFor(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	h.ok(camera.Sync(h.ctx, h.box))
	a := &tape{}
	h.record(a, h.sealer(camera, "door"), 30, 8*time.Second)
	seed, to, err := NewGuest()
	h.ok(err)
	s := Share{Stream: "door", From: a.at[0].Add(time.Minute), Until: a.at[0].Add(2 * time.Minute), To: to}
	_, err = h.owner.Share(h.ctx, h.box, a, s)
	h.ok(err)
	link := &GuestLink{Seed: seed, Stream: "door", Household: "home", Server: server, Pin: h.owner.Trust().Pin(), From: s.From, Until: s.Until}
	text := link.Text()
	got, err := ParseGuestLink("  " + text[:40] + "\n" + text[40:] + "\n")
	h.ok(err)
	guest := func(l *GuestLink, box Mailbox) (taken int, opened int, err error) {
		d, done, err := l.Device(h.ctx, box)
		if err != nil {
			return 0, 0, err
		}
		defer done()
		h.ok(d.Sync(h.ctx, box))
		if sealed, err := d.Sealed(l.Stream); err != nil || !sealed {
			t.Errorf("what was granted may come readable: %v", err)
		}
		if taken, err = d.TakeGrants(h.ctx, box, l.Stream); err != nil {
			return taken, 0, err
		}
		return taken, opens(h.opener(d, l.Stream).Opener, a), nil
	}
	if taken, n, err := guest(got, h.box); err != nil || taken != 1 || n != 6 {
		t.Errorf("the guest takes %d grants and opens %d, want 1 and 6: %v", taken, n, err)
	}
	other := *got
	other.Seed = e2ee.NewSeed()
	if taken, n, err := guest(&other, h.box); err != nil || taken != 0 || n != 0 {
		t.Errorf("another guest takes %d and opens %d: %v", taken, n, err)
	}
	fork := h.signAs(h.create("mallory", Kind{Owner: true, Consumer: true}), h.owner.Trust())
	lie := &liar{Mailbox: h.box, get: func(key string, b []byte, err error) ([]byte, error) {
		if isRoster(key, got.Pin.Version) {
			return fork, nil
		}
		return b, err
	}}
	if _, _, err := guest(got, lie); codeOf(err) != e2ee.ErrPairing {
		t.Errorf("another roster: %v", err)
	}
	for i := range text {
		bad := text[:i] + string(rune('A'+(text[i]+1)%26)) + text[i+1:]
		if _, err := ParseGuestLink(bad); bad != text && err == nil {
			t.Fatalf("letter %d changed, yet accepted", i)
		}
	}
	if strings.ContainsAny(text, " \n") {
		t.Error("the link is not one word")
	}
}

func TestRecoveryDrill(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	h.ok(camera.Sync(h.ctx, h.box))
	a := &tape{}
	h.record(a, h.sealer(camera, "door"), 3, time.Second)
	kit, err := e2ee.ParseRecoveryText(strings.ToLower(h.kit.RecoveryText()))
	h.ok(err)
	r, err := h.owner.Drill(h.ctx, a, kit, "door", h.now)
	h.ok(err)
	if r.Sequence != 2 || h.open(h.owner).LastKitTried(kit.Fingerprint()).IsZero() {
		t.Errorf("fragment %d; not remembered", r.Sequence)
	}
	wrong, err := e2ee.NewKEMKey(e2ee.NewSeed())
	h.ok(err)
	if _, err := h.owner.Drill(h.ctx, a, wrong, "door", h.now); !errors.Is(err, ErrNotTheKit) {
		t.Errorf("another kit: %v", err)
	}
	if _, err := h.owner.Drill(h.ctx, &tape{}, kit, "door", h.now); !errors.Is(err, ErrNoFootage) {
		t.Errorf("no footage: %v", err)
	}
	later, err := e2ee.NewKEMKey(e2ee.NewSeed())
	h.ok(err)
	h.ok(h.owner.AddKit(h.ctx, h.box, "second kit", later, nil))
	if _, err := h.owner.Drill(h.ctx, a, later, "door", h.now); codeOf(err) != e2ee.ErrNoWrap {
		t.Errorf("a kit of later: %v", err)
	}
}

// TestEverythingIsLostButThePaper: kit and pin from the paper, a new machine, a server that is not trusted.
func TestEverythingIsLostButThePaper(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	pin := PinText(h.owner.Trust().Pin()) // the roster that the paper names
	camera := h.camera()
	h.ok(camera.Sync(h.ctx, h.box))
	a := &tape{}
	s := h.sealer(camera, "door")
	for range 3 {
		h.record(a, s, 2, time.Hour)
		h.viewer(randomName())          // another generation
		h.ok(camera.Sync(h.ctx, h.box)) // … begins with the next fragment
	}
	text := h.kit.RecoveryText()
	d := h.create("new-laptop", Kind{Consumer: true})
	h.ok(d.Join(h.ctx, h.box, pin))
	kit, err := e2ee.ParseRecoveryText(text)
	h.ok(err)
	shared, err := d.Recover(h.ctx, a, kit, "door", time.UnixMilli(0), h.now)
	h.ok(err)
	if shared.Generations != 3 || shared.Refused != nil {
		t.Fatalf("%+v", shared)
	}
	if n := opens(h.opener(h.open(d), "door").Opener, a); n != len(a.of) {
		t.Errorf("opens %d of %d", n, len(a.of))
	}
	if a.opened > 6 {
		t.Errorf("%d fragments fetched for three generations", a.opened)
	}
}

func TestShareSaysWhatItCouldNotOpen(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	h.ok(camera.Sync(h.ctx, h.box))
	a := &tape{}
	s := h.sealer(camera, "door")
	h.record(a, s, 3, 8*time.Second)
	ben := h.viewer("Ben's phone")
	h.ok(camera.Sync(h.ctx, h.box))
	h.record(a, s, 3, 8*time.Second)
	seed, to, err := NewGuest()
	h.ok(err)
	_ = seed
	all := Share{Stream: "door", From: a.at[0], Until: h.now, To: to, History: true}
	shared, err := ben.Share(h.ctx, h.box, a, all)
	h.ok(err)
	if shared.Generations != 1 || codeOf(shared.Refused) != e2ee.ErrHistory {
		t.Errorf("%+v", shared)
	}
	all.Until = a.at[2].Add(time.Second)
	if _, err := ben.Share(h.ctx, h.box, a, all); codeOf(err) != e2ee.ErrHistory {
		t.Errorf("nothing of it is Ben's: %v", err)
	}
	all.Until, all.From = a.at[0], a.at[0].Add(-time.Hour)
	if _, err := h.owner.Share(h.ctx, h.box, a, all); !errors.Is(err, ErrNoFootage) {
		t.Errorf("of before: %v", err)
	}
}

// TestLargeClipsBecomeSeveralGrants: an object holds eleven days of minutes.
func TestLargeClipsBecomeSeveralGrants(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	h.ok(camera.Sync(h.ctx, h.box))
	a := &tape{}
	s := h.sealer(camera, "door")
	h.record(a, s, 6, 25*time.Hour)
	_, to, err := NewGuest()
	h.ok(err)
	shared, err := h.owner.Share(h.ctx, h.box, a, Share{Stream: "door", From: a.at[0], Until: h.now, To: to})
	h.ok(err)
	if len(shared.Objects) < 2 || shared.Generations != 6 {
		t.Fatalf("%d objects for %d generations", len(shared.Objects), shared.Generations)
	}
	all, _, err := listAll(h.ctx, h.box, prefixGrant)
	h.ok(err)
	for _, o := range all {
		if o.Size > MaxObjectBytes {
			t.Errorf("an object of %d bytes", o.Size)
		}
	}
}

func FuzzParseGuestLink(f *testing.F) {
	l := GuestLink{Seed: make([]byte, 32), Stream: "door", Household: "home", Server: server, From: time.UnixMilli(1), Until: time.UnixMilli(2)}
	f.Add(l.Text())
	f.Add(guestPrefix)
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseGuestLink(s)
		if err == nil && l.Text() != strings.Join(strings.Fields(s), "") {
			t.Fatal("not each other's inverse")
		}
	})
}

// sameAgain is an archive that gives its newest fragment whatever it is asked for.
type sameAgain struct {
	*tape
	asked int
}

func (a *sameAgain) Newest(_ context.Context, from, until time.Time) ([]e2ee.Block, time.Time, error) {
	if a.asked++; a.asked > 10_000 {
		return nil, time.Time{}, errors.New("asked for ever")
	}
	if !from.Before(until) {
		return nil, time.Time{}, ErrNoFootage
	}
	return a.of[len(a.of)-1], until.Add(-time.Millisecond), nil
}

// TestArchiveThatGivesTheSameAgain: it does not keep anybody busy for ever, nor fill the mailbox.
func TestArchiveThatGivesTheSameAgain(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	h.ok(camera.Sync(h.ctx, h.box))
	a := &sameAgain{tape: &tape{}}
	h.record(a.tape, h.sealer(camera, "door"), 1, time.Second)
	_, to, err := NewGuest()
	h.ok(err)
	shared, err := h.owner.Share(h.ctx, h.box, a, Share{Stream: "door", From: h.now.Add(-7 * 24 * time.Hour), Until: h.now, To: to, History: true})
	h.ok(err)
	if shared.Generations != 1 || len(shared.Objects) != 1 {
		t.Errorf("%d generations in %d grants", shared.Generations, len(shared.Objects))
	}
}

// TestGrantsAreBounded: a server, which can make grants to anybody whose key it knows, fills neither disk nor memory with them, and that
// there is no room is said.
func TestGrantsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.ok(h.camera().Sync(h.ctx, h.box))
	ben := h.viewer("Ben's phone")
	h.ok(h.owner.Sync(h.ctx, h.box))
	to, err := h.owner.Grantee(ben.Fingerprint())
	h.ok(err)
	stream := e2ee.StreamIDOf("door")
	junk := e2eetest.Grant(to, stream, make([]byte, 500<<10/e2eetest.GrantSecretBytes*e2eetest.GrantSecretBytes))
	for n := range 40 {
		h.ok(h.box.Put(h.ctx, fmt.Sprintf("%s%016x", grantPrefix(ben.Fingerprint(), stream), n), junk, 0))
	}
	taken, err := ben.TakeGrants(h.ctx, h.box, "door")
	if !errors.Is(err, ErrGrantsFull) || taken*len(junk) > maxGrantBytes+len(junk) {
		t.Errorf("%d grants of %d bytes taken: %v", taken, len(junk), err)
	}
	if _, err := ben.Opener("door", nil); err != nil {
		t.Error(err)
	}
}
