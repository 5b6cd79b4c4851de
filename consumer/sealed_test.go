// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// sealedWorld is a camera that seals and a viewer on its roster.
type sealedWorld struct {
	t      *testing.T
	sealer *e2ee.Sealer
	config e2ee.OpenerConfig
	next   int
	sent   []Frame
}

func newSealedWorld(t *testing.T) *sealedWorld {
	identity := func(r e2ee.Role) *e2ee.Identity {
		id, err := e2ee.IdentityFromSeed(r, e2ee.NewSeed())
		must(t, err)
		return id
	}
	owner, camera, viewer := identity(e2ee.RoleOwner), identity(e2ee.RoleProducer), identity(e2ee.RoleConsumer)
	key, err := e2ee.NewKEMKey(e2ee.NewSeed())
	must(t, err)
	roster, err := e2ee.SignRoster(e2ee.Roster{
		Version: 1, Issued: time.Now(), Expires: time.Now().AddDate(1, 0, 0), Threshold: 1, GenerationLife: time.Hour, NoRecovery: true,
		Members: []e2ee.Member{
			{Role: e2ee.RoleOwner, Name: "Ana", Key: owner.Public()},
			{Role: e2ee.RoleProducer, Name: "Door", Key: camera.Public()},
			{Role: e2ee.RoleConsumer, Name: "Phone", Key: viewer.Public()},
		},
	}, owner)
	must(t, err)
	cert, err := e2ee.NewCertificate(viewer, key, 1, time.Now(), time.Hour)
	must(t, err)
	trust := func(self *e2ee.Identity) *e2ee.Trust {
		r, hash, err := e2ee.ReadRoster(roster)
		must(t, err)
		tr, err := e2ee.NewTrust(e2ee.Pin{Version: r.Version, Hash: hash}, roster, self.Fingerprint(), func([]byte) error { return nil })
		must(t, err)
		must(t, tr.AddCertificate(cert))
		return tr
	}
	w := &sealedWorld{t: t, config: e2ee.OpenerConfig{
		Trust: trust(viewer), Stream: "cam", Self: viewer.Fingerprint(), Keys: []*e2ee.KEMKey{key},
	}}
	w.sealer, err = e2ee.NewSealer(e2ee.SealerConfig{
		Identity: camera, Trust: trust(camera), Stream: "cam", KeysPerMille: 1, // keys in the first fragment alone
		Tracks: []e2ee.Track{{Number: 1, Codec: "V_MPEG4/ISO/AVC", CodecPrivate: []byte("avcC"), Width: 64, Height: 36, Name: "door"}},
	})
	must(t, err)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *sealedWorld) opener(strict bool) *e2ee.Opener {
	w.t.Helper()
	cfg := w.config
	cfg.Strict = strict
	o, err := e2ee.NewOpener(cfg)
	must(w.t, err)
	return o
}

// fragment seals three frames at second n, and gives them as GetMedia does.
func (w *sealedWorld) fragment() *Fragment {
	w.t.Helper()
	at := time.UnixMilli(zero + int64(w.next)*1000)
	f := &Fragment{
		Number: strconv.Itoa(100 + w.next), Producer: at, Server: at, Tags: []Tag{{Name: "room", Value: "hall"}},
		Tracks: []Track{{Number: 1, Type: Video, CodecID: "V_E2EE/1", Width: 16, Height: 16}},
	}
	must(w.t, w.sealer.Begin(at))
	must(w.t, w.sealer.Meta(e2ee.Metadata{Name: "motion", Value: []byte("porch")}))
	add := func(b e2ee.Block, err error) {
		must(w.t, err)
		f.Frames = append(f.Frames, Frame{Track: uint64(b.Track), Time: b.Time.Truncate(time.Millisecond), Key: b.Key, Data: b.Payload})
	}
	for i := range 3 {
		frame := Frame{
			Track: 1, Time: at.Add(time.Duration(i) * 33333 * time.Microsecond).UTC(), Duration: 33 * time.Millisecond, Key: i == 0,
			Data: fmt.Appendf(nil, "picture %d/%d", w.next, i),
		}
		w.sent = append(w.sent, frame)
		add(w.sealer.Seal(e2ee.Sample{Track: 1, Key: frame.Key, Time: frame.Time, Duration: frame.Duration, Data: frame.Data}))
	}
	last, _, err := w.sealer.End()
	add(last, err)
	w.next++
	return f
}

func (w *sealedWorld) fragments(n int) (out []*Fragment) {
	for range n {
		out = append(out, w.fragment())
	}
	return out
}

// watched is what a loop over Opened has given.
type watched struct {
	kinds  []SealedKind
	frames []Frame // all
	sure   []Frame // of confirmed fragments
	codes  []error
	last   Sealed
}

// watch opens events. between is called after each step.
func (w *sealedWorld) watch(c *Consumer, events func(func(Event, error) bool), o *e2ee.Opener, between func(*Sealed)) *watched {
	w.t.Helper()
	out := &watched{}
	var pending []Frame
	for s, err := range c.Opened(w.t.Context(), events, o) {
		if err != nil {
			break
		}
		out.kinds = append(out.kinds, s.Kind)
		out.frames = append(out.frames, s.Frames...)
		pending = append(pending, s.Frames...)
		switch s.Kind {
		case Confirmed:
			out.sure, pending = append(out.sure, pending...), nil
		case Refused:
			out.codes, pending = append(out.codes, s.Err.Code), nil
		case Incomplete:
			pending = nil
		}
		out.last = s
		if between != nil {
			between(&s)
		}
	}
	return out
}

// live gives fragments as events, and then ends as a stream does.
func live(fragments ...*Fragment) func(func(Event, error) bool) {
	return Replay(func(yield func(*Fragment, error) bool) {
		for _, f := range fragments {
			if !yield(f, nil) {
				return
			}
		}
		yield(nil, io.EOF)
	})
}

var idle = &Consumer{}

func TestOpenedFramesAreWhatTheProducerSealed(t *testing.T) {
	w := newSealedWorld(t)
	got := w.watch(idle, live(w.fragments(2)...), w.opener(false), nil)
	if diff := cmp.Diff(w.sent, got.sure); diff != "" {
		t.Error(diff)
	}
	want := []SealedKind{Provisional, Provisional, Provisional, Confirmed, Provisional, Provisional, Provisional, Confirmed}
	if diff := cmp.Diff(want, got.kinds); diff != "" {
		t.Error(diff)
	}
	s := got.last
	track := Track{Number: 1, UID: 1, Type: Video, Name: "door", CodecID: "V_MPEG4/ISO/AVC", CodecPrivate: []byte("avcC"), Width: 64, Height: 36}
	if diff := cmp.Diff([]Track{track}, s.Tracks); diff != "" {
		t.Error(diff)
	}
	if s.Report.Sequence != 1 || s.Said.Number != "101" || s.Shift.Abs() >= time.Millisecond || len(s.Frames) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestStrictOpenerGivesConfirmedFramesOnly(t *testing.T) {
	w := newSealedWorld(t)
	f := w.fragments(2)
	f[1].Frames = f[1].Frames[:3] // without its signature
	got := w.watch(idle, live(f...), w.opener(true), nil)
	if diff := cmp.Diff([]SealedKind{Confirmed, Refused}, got.kinds); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(w.sent[:3], got.frames); diff != "" || !errors.Is(got.last.Err, e2ee.ErrSignature) {
		t.Errorf("%v %s", got.last.Err, diff)
	}
}

func TestMetadataIsTheSealedOne(t *testing.T) {
	w := newSealedWorld(t)
	seen := 0
	w.watch(idle, live(w.fragments(2)...), w.opener(false), func(s *Sealed) {
		for _, m := range s.Metadata {
			if m.Name != "motion" || string(m.Value) != "porch" {
				t.Errorf("%+v", m)
			}
			seen++
		}
	})
	if seen != 2 {
		t.Errorf("%d", seen)
	}
}

// What is readable never passes, wherever it comes.
func TestReadableFragmentNeverPasses(t *testing.T) {
	for name, spoil := range map[string]func([]*Fragment){
		"first": func(f []*Fragment) { f[0].Frames = []Frame{{Track: 1, Key: true, Data: []byte("picture")}} },
		"later": func(f []*Fragment) {
			f[1].Frames = []Frame{{Track: 1, Key: true, Data: []byte("picture")}}
			f[1].Tracks = []Track{{Number: 1, Type: Video, CodecID: "V_VP8"}}
		},
		"empty":    func(f []*Fragment) { f[1].Frames = nil },
		"no bytes": func(f []*Fragment) { f[1].Frames = []Frame{{Track: 1}} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSealedWorld(t)
			f := w.fragments(3)
			spoil(f)
			got := w.watch(idle, live(f...), w.opener(false), nil)
			if len(got.codes) == 0 || got.codes[0] != e2ee.ErrDowngrade || !errors.Is(got.last.Err, e2ee.ErrDowngrade) {
				t.Errorf("refused as %v", got.codes)
			}
			if len(got.frames) > 3 {
				t.Errorf("%d frames passed", len(got.frames))
			}
		})
	}
}

func TestTamperingEndsTheFragmentAtOnceAndAPersonMayGoOn(t *testing.T) {
	w := newSealedWorld(t)
	f := w.fragments(3)
	f[1].Frames[1].Data[20] ^= 1
	got := w.watch(idle, live(f...), w.opener(false), nil)
	want := []SealedKind{Provisional, Provisional, Provisional, Confirmed, Provisional, Refused, Refused}
	if diff := cmp.Diff(want, got.kinds); diff != "" || got.codes[0] != e2ee.ErrFrame {
		t.Errorf("%v %s", got.codes, diff)
	}
	o := w.opener(false)
	got = w.watch(idle, live(f...), o, func(s *Sealed) {
		if s.Kind == Refused {
			o.Resume()
		}
	})
	// The rest of the spoilt fragment is not looked at, and the next one is held back until it is confirmed.
	want = []SealedKind{Provisional, Provisional, Provisional, Confirmed, Provisional, Refused, Confirmed}
	if diff := cmp.Diff(want, got.kinds); diff != "" || got.last.Report.Missing != 1 {
		t.Errorf("%d missing %s", got.last.Report.Missing, diff)
	}
	if diff := cmp.Diff(slices.Concat(w.sent[:3], w.sent[6:]), got.sure); diff != "" {
		t.Error(diff)
	}
}

func TestFragmentThatIsDeliveredAgainIsConfirmedOnce(t *testing.T) {
	w := newSealedWorld(t)
	f := w.fragments(1)
	events := func(yield func(Event, error) bool) {
		yield(Event{Kind: Begin, Fragment: f[0]}, nil)
		yield(Event{Kind: Arrived, Fragment: f[0], Frame: f[0].Frames[0]}, nil)
		yield(Event{Kind: Aborted, Fragment: f[0]}, nil)
		live(f...)(yield)
	}
	got := w.watch(idle, events, w.opener(false), nil)
	if diff := cmp.Diff([]SealedKind{Provisional, Incomplete, Confirmed}, got.kinds); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(w.sent, got.sure); diff != "" {
		t.Error(diff)
	}
}

func TestRewrittenTimeIsToldAndDoesNotCount(t *testing.T) {
	w := newSealedWorld(t)
	f := w.fragment()
	for i := range f.Frames {
		f.Frames[i].Time = f.Frames[i].Time.Add(-time.Hour)
	}
	got := w.watch(idle, live(f), w.opener(false), nil)
	if diff := cmp.Diff(w.sent, got.sure); diff != "" || got.last.Shift.Round(time.Second) != -time.Hour {
		t.Errorf("shift %s %s", got.last.Shift, diff)
	}
}

func TestTrackNumbersDoNotWrap(t *testing.T) {
	w := newSealedWorld(t)
	f := w.fragment()
	f.Frames[1].Track += 256
	if got := w.watch(idle, live(f), w.opener(false), nil); !errors.Is(got.last.Err, e2ee.ErrFrame) {
		t.Errorf("got %v", got.last.Err)
	}
}

// wire is a fragment as the service sends it in an archive.
func wire(f *Fragment) []byte {
	ms := f.Producer.UnixMilli()
	b := mkv.AppendHeader(nil, mkv.Info{}, f.Tracks)
	b = mkv.AppendTags(b, mkv.Tag{Name: mkv.FragmentNumber, Value: f.Number},
		mkv.Tag{Name: mkv.ServerTimestamp, Value: fmt.Sprintf("%d.%03d", ms/1000, ms%1000)},
		mkv.Tag{Name: mkv.ProducerTimestamp, Value: fmt.Sprintf("%d.%03d", ms/1000, ms%1000)})
	b = mkv.AppendClusterStart(b, uint64(ms))
	for _, x := range f.Frames {
		b = mkv.AppendSimpleBlock(b, x.Track, int16(x.Time.UnixMilli()-ms), x.Key, x.Data)
	}
	return b
}

// archived serves fragments as an archive does.
func archived(fragments []*Fragment) *script {
	var list []map[string]any
	for _, f := range fragments {
		list = append(list, map[string]any{"FragmentNumber": f.Number, "ProducerTimestamp": float64(f.Producer.UnixMilli()) / 1000})
	}
	return &script{list: map[string]any{"Fragments": list}, byList: func(numbers []string) (a answer) {
		for _, n := range numbers {
			a.body = append(a.body, wire(fragments[slices.IndexFunc(fragments, func(f *Fragment) bool { return f.Number == n })])...)
		}
		return a
	}}
}

func TestKeysAreFetchedWhereTheyAre(t *testing.T) {
	w := newSealedWorld(t)
	f := w.fragments(3) // with keys in the first one alone
	c := open(t, archived(f[:1]), Options{})
	got := w.watch(c, live(f[2]), w.opener(false), nil)
	if diff := cmp.Diff(w.sent[6:], got.sure); diff != "" {
		t.Errorf("%v %s", got.codes, diff)
	}
	if got := w.watch(open(t, archived(nil), Options{}), live(f[1:]...), w.opener(false), nil); len(got.frames) != 0 || !slices.Equal(got.codes, []error{e2ee.ErrNoPackage, e2ee.ErrNoPackage}) {
		t.Errorf("without them: %v", got.codes)
	}
	f[0].Frames[0].Data[4+10] ^= 1 // not the fragment that it says
	if got := w.watch(c, live(f[2]), w.opener(false), nil); len(got.frames) != 0 || !slices.Equal(got.codes, []error{e2ee.ErrNoPackage}) {
		t.Errorf("with others: %v", got.codes)
	}
	w.config.Self = e2ee.Fingerprint{1} // a device that no camera seals for
	w.config.Keys = nil
	f[0].Frames[0].Data[4+10] ^= 1
	if got := w.watch(c, live(f[2]), w.opener(false), nil); !slices.Equal(got.codes, []error{e2ee.ErrNoWrap}) {
		t.Errorf("for nobody: %v", got.codes)
	}
}

func TestArchiveIsOpenedAsLiveMediaIs(t *testing.T) {
	w := newSealedWorld(t)
	f := w.fragments(3)
	c := open(t, archived(f), Options{})
	all := Range{Start: time.UnixMilli(zero), End: time.UnixMilli(zero + 9000)}
	got := w.watch(c, Replay(c.Archive(t.Context(), all)), w.opener(true), nil)
	if diff := cmp.Diff(w.sent, got.sure); diff != "" {
		t.Error(diff)
	}
	why := errors.New("gone")
	failing := func(yield func(*Fragment, error) bool) { yield(nil, why) }
	for _, err := range c.Opened(context.Background(), Replay(failing), w.opener(true)) {
		if !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
	}
}

// FuzzOpened feeds what a hostile service may send: nothing passes but what was sealed.
func FuzzOpened(f *testing.F) {
	f.Add(uint8(0), uint16(30), byte(1))
	f.Add(uint8(3), uint16(2), byte(0x80))
	f.Fuzz(func(t *testing.T, block uint8, at uint16, flip byte) {
		w := newSealedWorld(t)
		fr := w.fragment()
		x := &fr.Frames[int(block)%len(fr.Frames)]
		x.Data[int(at)%len(x.Data)] ^= flip
		got := w.watch(idle, live(fr), w.opener(false), nil)
		if flip != 0 && len(got.sure) > 0 {
			t.Errorf("confirmed with byte %d of block %d changed", at, block)
		}
		for i := range got.frames {
			if !slices.ContainsFunc(w.sent, func(s Frame) bool { return string(s.Data) == string(got.frames[i].Data) }) {
				t.Errorf("%q passed", got.frames[i].Data)
			}
		}
	})
}
