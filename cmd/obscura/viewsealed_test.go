// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
	"github.com/obscura-video/obscura/producer"
)

// sealedFragments are what the server has of a stream, as an ordinary client gets it.
func (h *sealedHome) sealedFragments(stream string) (out []*consumer.Fragment) {
	h.t.Helper()
	co := consumer.Options{StreamName: stream}
	h.conn.forConsumer(&co)
	c, err := consumer.Open(co)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	for f, err := range c.Archive(h.t.Context(), consumer.Range{Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour)}) {
		if err != nil {
			h.t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// served is what a view made of fragments that a server may have changed.
type served struct {
	file   []byte
	stderr string
	out    *viewed
	err    error
}

// serve shows fragments to the viewer as if a server had sent them. aborted are numbers that are cut short, and come once more.
func (h *sealedHome) serve(o *viewOptions, fragments []*consumer.Fragment, aborted ...int) served {
	h.t.Helper()
	var file bytes.Buffer
	out := h.serveInto(newFootage(&file, o.format), o, fragments, aborted...)
	out.file = file.Bytes()
	return out
}

func (h *sealedHome) serveInto(into sink, o *viewOptions, fragments []*consumer.Fragment, aborted ...int) served {
	h.t.Helper()
	o.stream = "door"
	said, err := os.Create(filepath.Join(h.t.TempDir(), "stderr"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer said.Close()
	t := newTerminal(os.Stdin, os.Stdout, said)
	co := consumer.Options{StreamName: o.stream}
	h.conn.forConsumer(&co)
	c, err := consumer.Open(co)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	r := &reading{conn: h.conn, c: c, out: &viewed{sink: into}, bar: viewProgress(t, o.stream)}
	r.events = func(yield func(consumer.Event, error) bool) {
		for i, f := range fragments {
			if slices.Contains(aborted, i) {
				yield(consumer.Event{Kind: consumer.Begin, Fragment: f}, nil)
				for _, x := range f.Frames[:len(f.Frames)/2] {
					yield(consumer.Event{Kind: consumer.Arrived, Fragment: f, Frame: x}, nil)
				}
				yield(consumer.Event{Kind: consumer.Aborted, Fragment: f}, nil)
			}
			one := func(yield func(*consumer.Fragment, error) bool) { yield(f, nil) }
			for ev := range consumer.Replay(one) {
				if !yield(ev, nil) {
					return
				}
			}
		}
		yield(consumer.Event{}, errIdleLongEnough)
	}
	err = o.readSealed(h.t.Context(), t, r, &member{h.viewer, h.conn, h.box})
	r.bar.stop()
	text, readErr := os.ReadFile(said.Name())
	if readErr != nil {
		h.t.Fatal(readErr)
	}
	return served{nil, string(text), r.out, err}
}

func earliestToFile() *viewOptions {
	return &viewOptions{from: "earliest", output: "a.mkv", format: formatMKV}
}

func earliestToPipe() *viewOptions {
	return &viewOptions{from: "earliest", output: "-", format: formatMKV}
}

func exitOf(err error) int {
	var p *problem
	if errors.As(err, &p) {
		return p.Exit
	}
	return exitDone
}

// TestSealedView has one server and one recording for all that a view is to make of it.
func TestSealedView(t *testing.T) {
	t.Parallel()
	h := newSealedHome(t)
	h.record("door", "--fragment", "4s")
	whole := h.sealedFragments("door")
	if len(whole) != 3 {
		t.Fatalf("%d fragments", len(whole))
	}
	t.Run("says what the server did to the media", func(t *testing.T) { h.saysWhatTheServerDid(t, whole) })
	t.Run("writes a fragment once that was cut short", func(t *testing.T) { h.writesOnce(t, whole) })
	t.Run("keeps what it confirmed", h.keepsWhatItConfirmed)
	t.Run("is no alarm when it is started again", func(t *testing.T) { h.startsAgain(t, whole) })
	t.Run("does not mind what it cannot open after its end", func(t *testing.T) { h.endsBeforeWhatItCannotOpen(t) })
	t.Run("tells who is not on the roster", h.tellsWhoIsNotOnTheRoster)
}

func copyFragments(whole []*consumer.Fragment) []*consumer.Fragment {
	out := make([]*consumer.Fragment, len(whole))
	for i, f := range whole {
		c := *f
		c.Frames = slices.Clone(f.Frames)
		for k := range c.Frames {
			c.Frames[k].Data = bytes.Clone(c.Frames[k].Data)
		}
		out[i] = &c
	}
	return out
}

func (h *sealedHome) saysWhatTheServerDid(t *testing.T, whole []*consumer.Fragment) {
	for _, tc := range []struct {
		name  string
		spoil func([]*consumer.Fragment) []*consumer.Fragment
		exit  int
		says  []string
		kept  int64 // fragments
	}{
		{
			"nothing", func(f []*consumer.Fragment) []*consumer.Fragment { return f }, exitDone,
			[]string{`confirmed: signed by "Front door"`, "stopped: at", "3 fragments confirmed, 0 missing, 0 refused"},
			3,
		},
		{
			"left one out", func(f []*consumer.Fragment) []*consumer.Fragment { return slices.Delete(f, 1, 2) }, exitDone,
			[]string{"gap: 1 fragment numbered by the camera not delivered, before", "2 fragments confirmed, 1 missing"},
			2,
		},
		{
			"changed a byte", func(f []*consumer.Fragment) []*consumer.Fragment { f[1].Frames[9].Data[30] ^= 1; return f }, exitDamaged,
			[]string{"the last that is good is of", "1 fragment confirmed, 0 missing, 1 refused"},
			1,
		},
		{"cut the signature off", func(f []*consumer.Fragment) []*consumer.Fragment {
			f[1].Frames = f[1].Frames[:len(f[1].Frames)-1]
			return f
		}, exitDamaged, []string{"1 fragment confirmed, 0 missing, 1 refused"}, 1},
		{
			"repeated one", func(f []*consumer.Fragment) []*consumer.Fragment { return []*consumer.Fragment{f[0], f[1], f[1]} }, exitDamaged,
			[]string{"2 fragments confirmed, 0 missing, 1 refused"},
			2,
		},
		{"sent something readable", func(f []*consumer.Fragment) []*consumer.Fragment {
			f[1].Frames = []consumer.Frame{{Track: 1, Key: true, Data: []byte("picture")}}
			return f
		}, exitDamaged, []string{"1 fragment confirmed, 0 missing, 1 refused"}, 1},
		{"changed the times", func(f []*consumer.Fragment) []*consumer.Fragment {
			for i := range f[1].Frames {
				f[1].Frames[i].Time = f[1].Frames[i].Time.Add(-time.Hour)
			}
			return f
		}, exitDone, []string{"times that are -1h0m0s off", "3 fragments confirmed"}, 3},
	} {
		for _, o := range []*viewOptions{earliestToFile(), earliestToPipe()} {
			got := h.serve(o, tc.spoil(copyFragments(whole)))
			if exitOf(got.err) != tc.exit || got.out.tally().fragments != tc.kept {
				t.Errorf("%s, to %s: exit %d, want %d; %d fragments, want %d\n%v\n%s", tc.name, o.output, exitOf(got.err), tc.exit, got.out.tally().fragments, tc.kept, got.err, got.stderr)
			}
			says(t, got.stderr, tc.says...)
			if got := h.confirmedOnly(o, got.file, tc.kept); got != "" {
				t.Errorf("%s: %s", tc.name, got)
			}
		}
	}
}

// confirmedOnly checks that a file has the clip's frames from its beginning on, and no more than fragments that were confirmed.
func (h *sealedHome) confirmedOnly(o *viewOptions, file []byte, fragments int64) string {
	if o.output == "-" || len(file) == 0 {
		return ""
	}
	h.t.Helper()
	n := len(framesOf(h.t, file, 1))
	if want := 60 * int(fragments); n != want {
		return "it holds other frames than those that were confirmed"
	}
	return ""
}

func (h *sealedHome) writesOnce(t *testing.T, whole []*consumer.Fragment) {
	for _, aborted := range [][]int{{0}, {1}, {0, 1, 2}} {
		got := h.serve(earliestToPipe(), whole, aborted...)
		if got.err != nil {
			t.Fatal(got.err)
		}
		sameFrames(t, got.file, demoClip)
	}
}

// startsAgain begins a live view with the fragment that the one before has confirmed last.
func (h *sealedHome) startsAgain(t *testing.T, whole []*consumer.Fragment) {
	got := h.serve(&viewOptions{from: "now", output: "-", format: formatMKV}, whole[2:])
	if got.err != nil || got.out.tally().fragments != 0 {
		t.Errorf("%d fragments, %v\n%s", got.out.tally().fragments, got.err, got.stderr)
	}
}

// endsBeforeWhatItCannotOpen: a minute that was shared may end where the roster changes, and what comes next is sealed for others.
func (h *sealedHome) endsBeforeWhatItCannotOpen(t *testing.T) {
	end := time.Now()
	for _, c := range []struct {
		what string
		code e2ee.Code
		said time.Time
		done bool
		exit int
	}{
		{"after the end", e2ee.ErrRevoked, end, true, exitDone},
		{"after the end", e2ee.ErrNoWrap, end.Add(time.Second), true, exitDone},
		{"before the end", e2ee.ErrRevoked, end.Add(-time.Second), false, exitNoKey},
		{"said to be after the end, but changed", e2ee.ErrFrame, end, false, exitDamaged},
	} {
		v := &sealedView{
			o: &viewOptions{stream: "door", deadline: end}, t: newTerminal(os.Stdin, os.Stdout, os.Stderr), m: &member{h.viewer, h.conn, h.box},
			out: &viewed{sink: newFootage(new(bytes.Buffer), formatMKV)}, state: newTrustState(), said: map[e2ee.Code]bool{},
		}
		done, err := v.step(&consumer.Sealed{Kind: consumer.Refused, Err: &e2ee.Error{Code: c.code}, Said: consumer.Said{Producer: c.said}})
		if done != c.done || exitOf(err) != c.exit {
			t.Errorf("%s (%s): done %v, exit %d: %v", c.what, c.code, done, exitOf(err), err)
		}
	}
}

func (h *sealedHome) keepsWhatItConfirmed(t *testing.T) {
	links, err := h.viewer.Links("door")
	if err != nil || len(links) == 0 {
		t.Fatalf("%d links were kept: %v", len(links), err)
	}
	if sealed, err := h.viewer.Sealed("door"); err != nil || !sealed {
		t.Errorf("that the stream is sealed was not kept: %v", err)
	}
}

func (h *sealedHome) tellsWhoIsNotOnTheRoster(t *testing.T) {
	ctx := t.Context()
	late := keyFolder{dir: filepath.Join(h.dir, "late-keys"), passphraseFD: -1}
	d, err := late.createBy(newTerminal(os.Stdin, os.Stdout, os.Stderr), byFile, household.Kind{Name: "Ben's phone", Household: "home", Consumer: true})
	if err != nil {
		t.Fatal(err)
	}
	view := func() (int, string) {
		code, _, stderr := command(t, "view", "--data", h.data, "--stream", "door", "--from", "earliest", "--until-idle", idle, "--keys", late.dir,
			"--output", filepath.Join(h.dir, "late.mkv"))
		return code, stderr
	}
	code, stderr := view()
	if code != exitNoKey {
		t.Errorf("exit %d", code)
	}
	says(t, stderr, "not paired")
	if err := d.Join(ctx, h.box, household.PinText(h.owner.Trust().Pin())); err != nil {
		t.Fatal(err)
	}
	code, stderr = view()
	if code != exitNoKey {
		t.Errorf("exit %d", code)
	}
	says(t, stderr, "this device is not in the roster", "lists 3 devices", "obscura pair admit", "ERR_NOT_AUTHORISED_YET")
	if err := h.admit(ctx, d, e2ee.RoleConsumer); err != nil {
		t.Fatal(err)
	}
	code, stderr = view()
	if code != exitNoKey {
		t.Errorf("exit %d", code)
	}
	says(t, stderr, "recorded before this device was admitted", "obscura grant", "ERR_HISTORY")
	err = h.owner.Change(ctx, h.box, func(r *e2ee.Roster) error { return household.RemoveFrom(r, d.Fingerprint(), time.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	h.record("door", "--fragment", "4s")
	code, stderr = view()
	if code != exitNoKey {
		t.Errorf("exit %d", code)
	}
	says(t, stderr, "this device was removed from the roster", "ERR_REVOKED")
}

func TestSilenceIsToldOnceAndOnlyWithoutAnEnd(t *testing.T) {
	now := time.Now()
	s := newTrustState()
	s.now = func() time.Time { return now }
	s.heard = now
	link := func(sequence uint64, last bool) *e2ee.Report {
		return &e2ee.Report{Link: e2ee.Link{Sequence: sequence, Capture: now}, Last: last}
	}
	s.confirm(link(1, false))
	now = now.Add(2 * time.Second)
	s.confirm(link(2, false))
	heard := now
	if now = now.Add(6 * time.Second); s.text() == "" {
		t.Error("nothing to say")
	}
	if _, ok := s.silence(); ok {
		t.Error("three times the usual interval is not over yet")
	}
	now = now.Add(time.Millisecond)
	if since, ok := s.silence(); !ok || !since.Equal(heard) || s.word != "silent" {
		t.Errorf("since %s, %t, %s", since, ok, s.word)
	}
	if _, ok := s.silence(); ok {
		t.Error("it was told twice")
	}
	s.confirm(link(3, true))
	if now = now.Add(time.Hour); s.word != "stopped" {
		t.Error(s.word)
	}
	if _, ok := s.silence(); ok {
		t.Error("a camera that has stopped is not silent")
	}
}

// TestViewerIsTakenOffWhileItWatches: it sees nothing from the next fragment on, and is told why; the camera goes on for the others.
func TestViewerIsTakenOffWhileItWatches(t *testing.T) {
	t.Parallel()
	h := newSealedHome(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	quiet := newTerminal(os.Stdin, os.Stdout, os.Stderr)
	c := &cameraOptions{
		stream: "door", input: "/dev/video", retention: time.Hour, fragment: 200 * time.Millisecond, buffer: h.dir, bufferBytes: 1 << 26,
		e2ee: true, folder: h.cameraKeys,
	}
	stays, err := (&keyFolder{dir: filepath.Join(h.dir, "stays-keys"), passphraseFD: -1}).createBy(quiet, byFile, household.Kind{Name: "Ben's phone", Household: "home", Consumer: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.admit(ctx, stays, e2ee.RoleConsumer); err != nil {
		t.Fatal(err)
	}
	home, err := c.household(ctx, quiet, h.conn)
	if err != nil {
		t.Fatal(err)
	}
	defer home.end()
	p, err := c.open(h.conn, []producer.Track{{Number: 1, Type: producer.Video, CodecID: "V_VP8", Width: 16, Height: 16}}, home, quiet.log())
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		for n := 0; ctx.Err() == nil; n++ {
			if err := p.Put(ctx, producer.Frame{Track: 1, Time: time.Now(), Key: n%5 == 0, Data: []byte("picture")}); err != nil && ctx.Err() == nil {
				sent <- err
				return
			}
			time.Sleep(40 * time.Millisecond)
		}
		sent <- p.Close(context.WithoutCancel(ctx))
	}()
	removed := make(chan error, 1)
	go func() {
		for p.Stats().Persisted < 5 && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		removed <- h.owner.Change(ctx, h.box, func(r *e2ee.Roster) error { return household.RemoveFrom(r, h.viewer.Fingerprint(), time.Now()) })
	}()
	for end := time.Now().Add(20 * time.Second); p.Stats().Persisted == 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // until there is a stream
	}
	code, seen, stderr := command(t, "view", "--data", h.data, "--stream", "door", "--from", "earliest", "--until-idle", "20s", "--keys", h.viewerKeys.dir, "--output", "-")
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	if code != exitNoKey || !strings.Contains(seen, "picture") {
		t.Errorf("exit %d, %d bytes\n%s", code, len(seen), stderr)
	}
	says(t, stderr, "this device was removed from the roster", "roster v5 (signed by Ana", "ERR_REVOKED")
	before := p.Stats().Persisted
	for end := time.Now().Add(10 * time.Second); p.Stats().Persisted < before+2 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	if err := <-sent; err != nil || p.Stats().Persisted < before+2 {
		t.Errorf("the camera did not go on: %v", err)
	}
}
