// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// refused acts on a fragment that is not shown. Tampering ends the view, and that this device is not on the roster, with an error.
// done says that nothing is missing: the fragment is of a time that was not asked for. That is the server's word, and no more than its
// silence would be.
func (v *sealedView) refused(s *consumer.Sealed) (done bool, err error) {
	e := s.Err
	v.out.cut()
	if e.Code == e2ee.ErrOrder && !v.connected && v.viewed(e) {
		// A live view may begin with the fragment that the one before has ended with. Nothing of it was shown.
		v.open.Resume()
		return false, nil
	}
	if !e.Code.Tampered() && !v.o.deadline.IsZero() && !s.Said.Producer.Before(v.o.deadline) {
		return true, nil
	}
	v.state.count(0, 1)
	v.out.gap()
	if e.Code.Tampered() {
		v.state.say("tampered")
		return false, v.tampered(s)
	}
	if e.Code == e2ee.ErrNoWrap {
		e = v.askAgain(e)
	}
	v.last = e
	switch e.Code {
	case e2ee.ErrNotAdmitted, e2ee.ErrRevoked:
		return false, v.noKey(e)
	}
	if !v.said[e.Code] {
		v.said[e.Code] = true
		v.t.note("%s", v.whyNot(e))
	}
	return false, nil
}

// doubt tells of readable media that a camera of the household could have sealed, though none was ever seen to: whoever runs the
// server can serve what it likes in its place. With --strict that is refused.
func (o *viewOptions) doubt(t *terminal, m *member) error {
	if m == nil {
		return nil
	}
	cameras := m.Senders(o.stream)
	if len(cameras) == 0 {
		return nil
	}
	why := fmt.Sprintf("%q is not end-to-end encrypted: whoever runs the server can see it and change it. If it is of %s, it is not what that sends",
		o.stream, joinNames(cameras, " or "))
	if !o.strict {
		t.note("%s %s", t.yellow("warning:"), why)
		return nil
	}
	return &problem{
		What: fmt.Sprintf("cannot view %q", o.stream), Why: "plaintext refused: " + why, Code: e2ee.ErrDowngrade.String(), Exit: exitDamaged, Err: e2ee.ErrDowngrade,
		Next: "view it without --strict, if it never was to be sealed",
	}
}

// viewed tells whether a fragment was confirmed in a run before, or lies before such a one.
func (v *sealedView) viewed(e *e2ee.Error) bool {
	return v.o.from == "now" && slices.ContainsFunc(v.known, func(l e2ee.Link) bool {
		return l.Producer == e.Producer && l.Session == e.Session && e.Sequence <= l.Sequence
	})
}

// askAgain asks the household whether this device is still on the roster, since a camera learns of its removal at the same time.
func (v *sealedView) askAgain(e *e2ee.Error) *e2ee.Error {
	if time.Since(v.asked) > syncPatience {
		v.asked = time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), syncPatience)
		defer cancel()
		_ = v.m.Sync(ctx, v.m.box) // if it cannot be asked, there is no key, and that is what is said
	}
	if _, in := v.m.Admitted(); in {
		return e
	}
	gone := *e
	gone.Code = e2ee.ErrRevoked
	return &gone
}

// tampered is why playback stops. What was written before stays.
func (v *sealedView) tampered(s *consumer.Sealed) error {
	e := s.Err
	p := &problem{What: fmt.Sprintf("cannot view %q", v.o.stream), Code: e.Code.String(), Exit: exitDamaged, Err: e}
	number := s.Said.Number[max(0, len(s.Said.Number)-4):]
	switch e.Code {
	case e2ee.ErrDowngrade:
		p.Why = "plaintext refused: this stream is end-to-end encrypted, but the server sent a readable fragment; not shown"
	case e2ee.ErrProducer:
		p.Why = fmt.Sprintf("tampered: fragment …%s is by none of the cameras that the roster has for this stream at its time; playback stopped. %s", number, e)
	case e2ee.ErrRosterFork:
		p.Why = fmt.Sprintf("tampered: the camera has been shown another roster than this device; a server that shows different rosters to different devices looks like this. %s", e)
	default:
		p.Why = fmt.Sprintf("tampered: fragment …%s is not what the camera signed; playback stopped. %s", number, e)
	}
	if after := v.out.tally().end; !after.IsZero() {
		v.t.note("the last that is good is of %s", sayMoment(after))
	}
	p.Next = "whoever runs the server can tell more; what is before and after can be viewed with --from and --until"
	return p
}

// noKey is why this device opens nothing of the stream any more, or yet.
func (v *sealedView) noKey(e *e2ee.Error) error {
	return &problem{
		What: fmt.Sprintf("cannot view %q: %s", v.o.stream, v.whyNot(e)), Why: v.standing(), Next: v.nextFor(e.Code),
		Code: e.Code.String(), Exit: exitNoKey, Err: e,
	}
}

// standing is what the roster in force says, for a person.
func (v *sealedView) standing() string {
	r, _ := v.m.Trust().Roster()
	return fmt.Sprintf("roster v%d (signed by %s, %s) lists %d devices; this one is %s",
		r.Version, household.Owners(r), r.Issued.Local().Format("2 Jan 2006"), len(r.Members), v.m.Fingerprint().Short())
}

// whyNot says why a fragment is not shown although nobody has changed anything.
func (v *sealedView) whyNot(e *e2ee.Error) string {
	switch e.Code {
	case e2ee.ErrNotAdmitted:
		return "this device is not in the roster"
	case e2ee.ErrRevoked:
		return "this device was removed from the roster"
	case e2ee.ErrHistory:
		return "recorded before this device was admitted" + v.admittedOn()
	case e2ee.ErrNoWrap:
		return "no key: the camera did not seal this for this device; it does so from the fragment after it has this device's certificate"
	case e2ee.ErrNoPackage:
		return "no key: the fragment that has it, of " + sayMoment(e.SeekTo) + ", is not there any more"
	case e2ee.ErrNotLive:
		return "not live: the camera recorded this too long ago, or ahead of the clock here; view it with --from. " + e.Detail
	}
	return e.Error()
}

func (v *sealedView) admittedOn() string {
	since := v.m.Since(v.m.Fingerprint())
	if since.IsZero() {
		return ""
	}
	return " (" + since.Local().Format("2 Jan 2006 15:04") + ")"
}

func (v *sealedView) nextFor(c e2ee.Code) string {
	switch c {
	case e2ee.ErrNotAdmitted, e2ee.ErrRevoked:
		return "on an owner's device:  obscura pair admit    (after obscura pair here)"
	case e2ee.ErrHistory:
		return "ask for a history grant; on a device that can view it:  obscura grant"
	}
	return ""
}

// finish tells what came of it all.
func (v *sealedView) finish(err error) error {
	confirmed, missing, refused := v.state.totals()
	v.t.note("%s confirmed, %d missing, %d refused", count(int(confirmed), "fragment", "fragments"), missing, refused)
	var known *problem
	if v.out.tally().fragments == 0 && v.last != nil && !errors.As(err, &known) {
		return v.noKey(v.last)
	}
	return err
}
