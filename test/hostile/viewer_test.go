// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// way is how Vera watches.
type way struct {
	name    string
	strict  bool
	archive bool
	// resume: she goes on after tampering, each time.
	resume bool
}

var (
	live     = way{name: "live"}
	strictly = way{name: "live, strict", strict: true}
	resuming = way{name: "live, going on after tampering", resume: true}
	archived = way{name: "archive", strict: true, archive: true}
)

// seen is what Vera has seen.
type seen struct {
	steps  []consumer.Sealed
	opener *household.Opener
	clock  *time.Time // Vera's
	err    error      // why it ended
}

// watch has Vera watch the door through a server, with a folder that remembers nothing yet.
func (w *world) watch(t testing.TB, p *proxy, how way, adjust func(*e2ee.OpenerConfig)) *seen {
	t.Helper()
	d, _ := w.copyOf(t, "Vera")
	return w.watchAs(t, d, p, how, adjust)
}

func (w *world) watchAs(t testing.TB, d *household.Device, p *proxy, how way, adjust func(*e2ee.OpenerConfig)) *seen {
	t.Helper()
	clock := w.now
	o, err := d.Opener("door", func(c *e2ee.OpenerConfig) {
		c.Strict, c.Archive = how.strict, how.archive
		c.Now = func() time.Time { return clock }
		if adjust != nil {
			adjust(c)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c := w.consumer(t, "door", p.ts.URL, p.roots(), how.archive)
	events := c.Events(t.Context(), consumer.Earliest())
	if how.archive {
		events = consumer.Replay(c.Archive(t.Context(), consumer.Range{Start: w.now.Add(-time.Hour), End: w.now.Add(time.Hour)}))
	}
	out := &seen{opener: o, clock: &clock}
	for s, err := range c.Opened(t.Context(), events, o) {
		if err != nil {
			out.err = err
			break
		}
		out.steps = append(out.steps, s)
		if s.Kind == consumer.Refused && how.resume {
			o.Resume()
		}
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	return out
}

// code is the first refusal; zero when there was none.
func (s *seen) code() e2ee.Code {
	for i := range s.steps {
		if s.steps[i].Kind == consumer.Refused {
			return s.steps[i].Err.Code
		}
	}
	return 0
}

// confirmed are the reports of what was confirmed.
func (s *seen) confirmed() (all []e2ee.Report) {
	for i := range s.steps {
		if s.steps[i].Kind == consumer.Confirmed {
			all = append(all, s.steps[i].Report)
		}
	}
	return all
}

func (s *seen) missing() (n uint64) {
	for _, r := range s.confirmed() {
		n += r.Missing
	}
	return n
}

// frames are all that were released.
func (s *seen) frames() (all []consumer.Frame) {
	for i := range s.steps {
		all = append(all, s.steps[i].Frames...)
	}
	return all
}

// judge holds what Vera has seen to what is to be held whatever a server does. insiders says that somebody who has had a key of
// what is sealed helps it: then what is provisional may be forged.
func (w *world) judge(t reporter, s *seen, how way, insiders bool) {
	t.Helper()
	j := &judge{world: w, t: t, how: how, insiders: insiders}
	for i := range s.steps {
		j.step(&s.steps[i])
	}
}

// reporter is a test, or a run of a random one.
type reporter interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
}

// judge is one pass over what was seen.
type judge struct {
	*world
	t        reporter
	how      way
	insiders bool

	parts    []consumer.Frame // of the fragment, so far
	meta     []e2ee.Metadata
	last     int  // index of the fragment confirmed last, +1
	doubtful bool // the fragment before released frames and was not confirmed
	halted   bool
}

func (j *judge) step(s *consumer.Sealed) {
	if j.halted && (len(s.Frames) > 0 || s.Kind == consumer.Confirmed) {
		j.t.Errorf("%d frames after tampering, and nobody has said to go on", len(s.Frames))
	}
	switch s.Kind {
	case consumer.Provisional:
		if j.how.strict {
			j.t.Error("provisional frames, though strict")
		}
		if j.doubtful {
			j.t.Errorf("a fragment was released that follows one which was not confirmed")
		}
		j.parts, j.meta = append(j.parts, s.Frames...), append(j.meta, s.Metadata...)
	case consumer.Confirmed:
		j.parts, j.meta = append(j.parts, s.Frames...), append(j.meta, s.Metadata...)
		j.confirmed(s)
		j.doubtful, j.parts, j.meta = false, nil, nil
	case consumer.Refused, consumer.Incomplete:
		j.unconfirmed()
		j.doubtful = j.doubtful || len(j.parts)+len(j.meta) > 0
		j.parts, j.meta = nil, nil
		j.halted = !j.how.resume && s.Kind == consumer.Refused && s.Err.Code.Tampered()
	}
}

// confirmed holds a confirmed fragment to be one of the camera's, whole, and in its place.
func (j *judge) confirmed(s *consumer.Sealed) {
	door := j.of("door")
	at := slices.IndexFunc(door, func(x *taken) bool { return x.link == s.Report.Link })
	if at < 0 {
		j.t.Errorf("confirmed, and the camera has sent no such fragment: %+v", s.Report.Link)
		return
	}
	x := door[at]
	if !slices.EqualFunc(j.parts, x.samples, isSample) {
		j.t.Errorf("fragment %d of %x is confirmed with frames that it has not", s.Report.Sequence, s.Report.Session[:4])
	}
	same := func(a, b e2ee.Metadata) bool { return a.Name == b.Name && bytes.Equal(a.Value, b.Value) }
	if !slices.EqualFunc(j.meta, x.metadata, same) {
		j.t.Errorf("fragment %d is confirmed with %d pieces of metadata, not %d", s.Report.Sequence, len(j.meta), len(x.metadata))
	}
	isTrack := func(a consumer.Track, b e2ee.Track) bool {
		return a.Number == uint64(b.Number) && a.CodecID == b.Codec && bytes.Equal(a.CodecPrivate, b.CodecPrivate) && a.Width == uint64(b.Width)
	}
	if !slices.EqualFunc(s.Tracks, x.tracks, isTrack) {
		j.t.Errorf("fragment %d is confirmed with tracks that it has not: %+v", s.Report.Sequence, s.Tracks)
	}
	if at < j.last {
		j.t.Errorf("fragment %d of the stream is confirmed after fragment %d", at, j.last-1)
	}
	if gap := uint64(at - j.last); j.last > 0 && gap != s.Report.Missing && !s.Report.Unlinked {
		j.t.Errorf("%d fragments are missing, and %d are named", gap, s.Report.Missing)
	}
	if s.Report.Last != x.report.Last || s.Report.RosterVersion != x.link.RosterVersion || s.Report.Recipients != x.report.Recipients {
		j.t.Errorf("%+v is reported of %+v", s.Report, x.report)
	}
	j.last = at + 1
}

// unconfirmed holds frames that were released and not confirmed to be the camera's, unless somebody who has a key helps.
func (j *judge) unconfirmed() {
	if j.insiders {
		return
	}
	for i := range j.parts {
		genuine := slices.ContainsFunc(j.of("door"), func(x *taken) bool {
			return slices.ContainsFunc(x.samples, func(s e2ee.Sample) bool { return isSample(j.parts[i], s) })
		})
		if !genuine {
			j.t.Errorf("a frame was released that the camera has not sent: %+v", j.parts[i])
		}
	}
}

func isSample(f consumer.Frame, s e2ee.Sample) bool {
	return f.Track == uint64(s.Track) && f.Key == s.Key && f.Time.Equal(s.Time) && f.Duration == s.Duration && bytes.Equal(f.Data, s.Data)
}

// want is what must come of an attack: stopped, or named.
type want struct {
	code      e2ee.Code // of the first refusal; 0: nothing is refused
	confirmed int       // fragments
	missing   uint64    // fragments, as the reports say
	// says, when set, is what else must be seen, or why not.
	says func(*seen) error
	// ends is the error with which the answer is given up; "" when it came to its end.
	ends string
}

// check compares. The error at the end is that the attack is over, or none in an archive.
func (x *want) check(t testing.TB, s *seen) {
	t.Helper()
	if got := s.code(); got != x.code {
		t.Errorf("refused as %v, want %v", got, x.code)
	}
	if got := len(s.confirmed()); got != x.confirmed {
		t.Errorf("%d fragments confirmed, want %d", got, x.confirmed)
	}
	if got := s.missing(); got != x.missing {
		t.Errorf("%d fragments named as missing, want %d", got, x.missing)
	}
	if x.says != nil {
		if err := x.says(s); err != nil {
			t.Error(err)
		}
	}
	if err := x.end(s.err); err != nil {
		t.Error(err)
	}
}

func (x *want) end(err error) error {
	var over *consumer.MediaError
	var gone *consumer.ResponseError
	switch text := fmt.Sprint(err); {
	case x.ends != "" && err != nil && bytes.Contains([]byte(text), []byte(x.ends)):
		return nil
	case x.ends == "" && (err == nil || errors.As(err, &over) || errors.As(err, &gone) && gone.Code == "ResourceNotFoundException"):
		return nil
	}
	return fmt.Errorf("ended by %w, want %q", err, x.ends)
}
