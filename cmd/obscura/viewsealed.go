// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// viewer is this device on a household's roster, or a guest; nil where it has no keys, which is wrong only when media comes sealed.
// done lets go of it.
func (o *viewOptions) viewer(ctx context.Context, t *terminal, conn *connection) (m *member, done func(), err error) {
	done = func() {}
	if o.link != nil {
		return o.guest(ctx, conn)
	}
	if o.folder.dir == "" && !o.folder.exists() {
		return nil, done, nil
	}
	d, err := o.folder.open(t)
	if err != nil {
		return nil, done, err
	}
	if d.Identity(e2ee.RoleConsumer) == nil {
		if o.folder.dir == "" {
			return nil, done, nil
		}
		return nil, done, &problem{
			What: fmt.Sprintf("cannot view %q", o.stream), Why: "these are a camera's keys, which open nothing", Exit: exitNoKey, Err: household.ErrRole,
			Next: "obscura pair --keys DIR    (a viewer has a folder of its own)",
		}
	}
	m = &member{d, conn, conn.mailbox(d.Household())}
	if d.Trust() != nil {
		m.catchUp(ctx, t)
	}
	return m, done, nil
}

// recognise tells whether the media is to be opened: when this device knows that the stream is sealed, whatever comes; or when
// what comes says so. The events are to be read from what it returns, until stop is called.
func (o *viewOptions) recognise(events iter.Seq2[consumer.Event, error], m *member) (sealed bool, all iter.Seq2[consumer.Event, error], stop func(), err error) {
	if m != nil {
		if sealed, err = m.Sealed(o.stream); err != nil || sealed {
			return sealed, events, func() {}, err
		}
	}
	next, stop := iter.Pull2(events)
	first, failed, ok := next()
	all = func(yield func(consumer.Event, error) bool) {
		for ; ok; first, failed, ok = next() {
			if !yield(first, failed) {
				return
			}
		}
	}
	return ok && failed == nil && consumer.IsSealed(first.Fragment.Tracks), all, stop, nil
}

// needsKeys is why a sealed stream cannot be viewed without keys.
func (o *viewOptions) needsKeys() error {
	return &problem{
		What: fmt.Sprintf("cannot view %q", o.stream), Why: "it is end-to-end encrypted, and this device has no keys",
		Next: "obscura pair    (or name the folder of this device's keys with --keys)", Exit: exitNoKey, Err: household.ErrNoDevice,
	}
}

// sealedView opens a sealed stream. It is for one goroutine.
type sealedView struct {
	o     *viewOptions
	t     *terminal
	m     *member
	out   *viewed
	bar   *viewBar
	state *trustState
	open  *household.Opener

	known     []e2ee.Link        // confirmed in runs before
	said      map[e2ee.Code]bool // refusals that are no tampering, once each
	last      *e2ee.Error        // of those
	shifted   bool               // it was said that the container's times are others
	asked     time.Time          // when the household was last asked for news
	connected bool               // a fragment was confirmed in this run
}

// strict tells whether frames are written when their fragment is confirmed, and not as they come.
func (o *viewOptions) confirmedOnly() bool {
	return o.strict || o.output != "-" || o.format != formatMKV
}

func (o *viewOptions) openerConfig(c *e2ee.OpenerConfig) {
	c.Strict = o.confirmedOnly()
	if o.from == "now" {
		c.LiveWindow = e2ee.DefaultLiveWindow
	} else {
		c.Archive = true
	}
}

// readSealed reads a sealed stream until there is a reason to end.
func (o *viewOptions) readSealed(ctx context.Context, t *terminal, r *reading, m *member) error {
	if m == nil {
		return o.needsKeys()
	}
	if m.Trust() != nil {
		m.takeGrants(ctx, t, o.stream)
	}
	opener, err := m.Opener(o.stream, o.openerConfig)
	if err != nil {
		return m.explain(fmt.Sprintf("cannot view %q", o.stream), err)
	}
	known, err := m.Links(o.stream)
	if err != nil {
		return m.explain(fmt.Sprintf("cannot view %q", o.stream), err)
	}
	v := &sealedView{o: o, t: t, m: m, out: r.out, bar: r.bar, state: newTrustState(), open: opener, known: known, said: map[e2ee.Code]bool{}}
	r.bar.trust(v.state)
	defer m.follow(ctx, t)()
	defer v.watchSilence()()
	err = v.run(ctx, r)
	if kept := opener.Close(); kept != nil {
		t.note("%s what was confirmed could not be remembered: %s", t.yellow("warning:"), kept)
	}
	return v.finish(err)
}

// run reads to the end.
func (v *sealedView) run(ctx context.Context, r *reading) error {
	for s, err := range r.c.Opened(ctx, r.events, v.open) {
		if err != nil {
			return v.o.ended(ctx, r.conn, v.out, err)
		}
		done, err := v.step(&s)
		if err != nil {
			return errors.Join(err, v.out.close())
		}
		if done {
			break
		}
	}
	return v.out.close()
}

// step acts on what came. done says that all that was asked for has come.
func (v *sealedView) step(s *consumer.Sealed) (done bool, err error) {
	switch s.Kind {
	case consumer.Provisional:
		v.state.say("provisional")
		return false, v.write(s, false)
	case consumer.Confirmed:
		return v.confirmed(s)
	case consumer.Refused:
		return v.refused(s)
	}
	v.out.cut()
	return false, nil
}

// confirmed writes the frames that are not written yet, and tells what the report says.
func (v *sealedView) confirmed(s *consumer.Sealed) (done bool, err error) {
	r := &s.Report
	if !v.o.deadline.IsZero() && !r.Capture.Before(v.o.deadline) {
		v.tellGap(r) // it may be of before
		return true, nil
	}
	if r.Missing > 0 || r.Unlinked {
		v.out.gap()
	}
	if err := v.write(s, true); err != nil {
		return false, err
	}
	v.state.confirm(r)
	v.tellGap(r)
	if !v.connected {
		v.connected = true
		v.t.note("confirmed: signed by %s, under roster v%d", v.nameOf(r.Producer), r.RosterVersion)
		v.tellAge(r)
	}
	if s.Shift.Abs() > time.Second && !v.shifted {
		v.shifted = true
		v.t.note("%s the server shows times that are %s off; the camera's own, which are sealed, count", v.t.yellow("warning:"), s.Shift.Round(time.Second))
	}
	if r.Last {
		v.t.note("stopped: at %s, signed by the camera", sayMoment(v.end(r)))
	}
	v.bar.see(v.out.tally(), s.Said.Behind)
	return false, nil
}

// tellAge tells when nothing proves that what is watched live is not a recording.
func (v *sealedView) tellAge(r *e2ee.Report) {
	if v.o.from == "now" && r.Freshness == e2ee.Unproven {
		v.t.note("%s the camera's clock is not synchronised, so nothing proves that this is live; by that clock it is of %s", v.t.yellow("warning:"), sayMoment(r.Capture))
	}
}

// end is the time of the last frame, or of the report's fragment if nothing is written yet.
func (v *sealedView) end(r *e2ee.Report) time.Time {
	if v.out.tally().end.After(r.Capture) {
		return v.out.tally().end
	}
	return r.Capture
}

// tellGap tells what the camera has numbered and the server has not delivered. What came before a live view began is no gap.
func (v *sealedView) tellGap(r *e2ee.Report) {
	if !v.connected && v.o.from == "now" {
		return
	}
	if !v.connected && r.Sequence > 0 && r.Capture.After(v.o.fromTime) {
		v.t.note("gap: this begins with fragment %d of its session, of %s; what the camera recorded before is not delivered: expired, or withheld", r.Sequence, sayMoment(r.Capture))
	}
	if r.Missing > 0 {
		v.state.count(r.Missing, 0)
		v.t.note("gap: %s numbered by the camera not delivered, before %s", count(int(r.Missing), "fragment", "fragments"), sayMoment(r.Capture))
	}
	if r.Unlinked && v.connected {
		v.t.note("gap: the camera began anew at %s and does not say where it had stopped; what is missing before is not known", sayMoment(r.Capture))
	}
}

func (v *sealedView) nameOf(fp e2ee.Fingerprint) string {
	r, _ := v.m.Trust().Roster()
	if m, ok := household.MemberOf(r, fp); ok {
		return fmt.Sprintf("%q (%s)", m.Name, fp.Short())
	}
	return fp.Short()
}

// write writes the frames of a step.
func (v *sealedView) write(s *consumer.Sealed, whole bool) error {
	f := &consumer.Fragment{Number: s.Said.Number, Tracks: s.Tracks, Frames: s.Frames}
	if len(f.Frames) > 0 {
		f.Producer = f.Frames[0].Time
		if v.before(f.Frames) {
			f.Frames = nil
		}
	}
	if err := v.out.addPart(f, whole); err != nil {
		if errors.Is(err, errContradicted) {
			v.state.count(0, 1)
			v.state.say("tampered")
		}
		return v.o.explainWrite(v.m.conn, v.out, f, err)
	}
	return nil
}

// before tells whether all frames are of a time before the one that was asked for: the server chooses where it begins, by
// times that it could have changed.
func (v *sealedView) before(frames []consumer.Frame) bool {
	return !v.o.fromTime.IsZero() && !slices.ContainsFunc(frames, func(f consumer.Frame) bool { return !f.Time.Before(v.o.fromTime.Add(-reachBack)) })
}

// reachBack is how far before --from frames may lie: the fragment that contains the moment begins before it.
const reachBack = 20 * time.Second

// watchSilence tells when the camera is not heard any more.
func (v *sealedView) watchSilence() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second / 2)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case now := <-tick.C:
				if since, ok := v.state.silence(); ok {
					v.t.note("silent: nothing confirmed since %s (%s); the camera did not say that it was stopping: offline, or withheld",
						sayMoment(since), now.Sub(since).Round(time.Second))
				}
			}
		}
	}()
	return func() { close(quit); <-done }
}
