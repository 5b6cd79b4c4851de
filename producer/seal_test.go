// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// household is an owner, a camera and a viewer, and what the camera keeps.
type household struct {
	t                     tester
	owner, camera, viewer *e2ee.Identity
	key                   *e2ee.KEMKey
	roster, certificate   []byte
	trust                 *e2ee.Trust // the camera's
	kept                  *e2ee.Link
	keepErr               error
}

func newHousehold(t tester) *household {
	h := &household{t: t}
	identity := func(r e2ee.Role) *e2ee.Identity {
		id, err := e2ee.IdentityFromSeed(r, e2ee.NewSeed())
		h.ok(err)
		return id
	}
	h.owner, h.camera, h.viewer = identity(e2ee.RoleOwner), identity(e2ee.RoleProducer), identity(e2ee.RoleConsumer)
	var err error
	h.key, err = e2ee.NewKEMKey(e2ee.NewSeed())
	h.ok(err)
	h.roster, err = e2ee.SignRoster(e2ee.Roster{
		Version: 1, Issued: time.Now(), Expires: time.Now().AddDate(1, 0, 0), Threshold: 1, GenerationLife: 24 * time.Hour, NoRecovery: true,
		Members: []e2ee.Member{
			{Role: e2ee.RoleOwner, Name: "Ana", Key: h.owner.Public()},
			{Role: e2ee.RoleProducer, Name: "Door", Key: h.camera.Public()},
			{Role: e2ee.RoleConsumer, Name: "Phone", Key: h.viewer.Public()},
		},
	}, h.owner)
	h.ok(err)
	h.certificate, err = e2ee.NewCertificate(h.viewer, h.key, 1, time.Now(), 24*time.Hour)
	h.ok(err)
	h.trust = h.pin(h.camera)
	return h
}

func (h *household) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *household) pin(self *e2ee.Identity) *e2ee.Trust {
	h.t.Helper()
	r, hash, err := e2ee.ReadRoster(h.roster)
	h.ok(err)
	t, err := e2ee.NewTrust(e2ee.Pin{Version: r.Version, Hash: hash}, h.roster, self.Fingerprint(), func([]byte) error { return nil })
	h.ok(err)
	h.ok(t.AddCertificate(h.certificate))
	return t
}

// change signs the next roster and gives it to the camera.
func (h *household) change(edit func(*e2ee.Roster)) {
	h.t.Helper()
	r, hash, err := e2ee.ReadRoster(h.trust.Signed())
	h.ok(err)
	next := r.Next(hash, time.Now(), time.Now().AddDate(1, 0, 0))
	edit(&next)
	signed, err := e2ee.SignRoster(next, h.owner)
	h.ok(err)
	h.ok(h.trust.Advance(signed))
}

// seal is what a camera's Options have; it makes a new session each time.
func (h *household) seal() *Seal {
	return &Seal{
		New: func(stream string, tracks []e2ee.Track) (*e2ee.Sealer, error) {
			return e2ee.NewSealer(e2ee.SealerConfig{Identity: h.camera, Trust: h.trust, Stream: stream, Tracks: tracks, Previous: h.kept})
		},
		Keep: func(l e2ee.Link) error {
			if h.keepErr == nil {
				h.kept = &l
			}
			return h.keepErr
		},
	}
}

func (s *service) sealedOptions(h *household) Options {
	o := s.options()
	o.Seal = h.seal()
	o.Tracks[0].CodecPrivate, o.Tracks[0].Name = []byte("decoder configuration"), "back yard"
	return o
}

// opened is what a viewer made of all that the service has.
type opened struct {
	frames  []Frame
	meta    []string
	tracks  []e2ee.Track
	reports []e2ee.Report
}

func (o *opened) add(x e2ee.Opened) {
	for _, f := range x.Samples {
		o.frames = append(o.frames, Frame{Track: uint64(f.Track), Time: f.Time.Local(), Key: f.Key, Data: f.Data})
	}
	for _, m := range x.Metadata {
		o.meta = append(o.meta, m.Name+"="+string(m.Value))
	}
	if x.Tracks != nil {
		o.tracks = x.Tracks
	}
}

// open opens what the service has stored as the viewer, who lets nothing pass that is not as the camera sealed it.
func (h *household) open(s *service) *opened {
	h.t.Helper()
	o, err := e2ee.NewOpener(e2ee.OpenerConfig{
		Trust: h.pin(h.viewer), Stream: "cam", Self: h.viewer.Fingerprint(), Keys: []*e2ee.KEMKey{h.key},
	})
	h.ok(err)
	out := &opened{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fragments {
		for _, b := range f.frames {
			x, err := o.Block(e2ee.Block{Track: uint8(b.Track), Key: b.Key, Time: b.Time, Payload: b.Data})
			h.ok(err)
			out.add(x)
		}
		r, err := o.End()
		h.ok(err)
		out.add(r.Opened)
		out.reports = append(out.reports, r)
	}
	return out
}

// fine makes times that no millisecond holds.
func fine(frames []Frame) []Frame {
	for i := range frames {
		frames[i].Time = frames[i].Time.Add(time.Duration(i%7) * 37 * time.Microsecond)
	}
	return frames
}

func TestViewerOpensWhatWasPutAndTheServiceSeesNothing(t *testing.T) {
	t.Parallel()
	s, h := newService(t), newHousehold(t)
	s.exists = false
	o := s.sealedOptions(h)
	o.Create = true
	p, err := open(o, defaultTiming())
	h.ok(err)
	want := fine(clip(50))
	putAll(t, p, want[:20])
	if err := p.Tag("motion", "porch"); err != nil {
		t.Fatal(err)
	}
	if err := p.Tag(TagNotification, ""); !errors.Is(err, ErrTag) {
		t.Errorf("a tag for the service: %v", err)
	}
	putAll(t, p, want[20:])
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	if n := p.Stats().Connections; n != 1 {
		t.Errorf("%d connections: the signature's time collides with the next fragment", n)
	}
	got := h.open(s)
	if diff := cmp.Diff(want, got.frames); diff != "" {
		t.Error(diff)
	}
	if len(got.meta) != 1 || got.meta[0] != "motion=porch" || string(got.tracks[0].CodecPrivate) != "decoder configuration" || got.tracks[1].SampleRate != 48000 {
		t.Errorf("%q, %+v", got.meta, got.tracks)
	}
	for i, r := range got.reports {
		if r.Sequence != uint64(i) || r.Missing != 0 || r.Last != (i == len(got.reports)-1) {
			t.Errorf("fragment %d: %+v", i, r)
		}
	}
	if s.created.Tags["obscura:RequireE2EE"] != "true" || s.created.MediaType != nil {
		t.Errorf("created as %+v", s.created)
	}
	for _, f := range s.fragments {
		if len(f.tags) != 1 || f.early != 1 || !e2ee.IsTag(f.tags[0].Name, f.tags[0].Value) {
			t.Errorf("tags %v, %d of them before the cluster", f.tags, f.early)
		}
		for i, tr := range f.tracks {
			if want := []string{"V_E2EE/1", "A_E2EE/1"}[i]; tr.CodecID != want || tr.CodecPrivate != nil || tr.Name != "" || tr.Width == 64 || tr.SamplingFrequency == 48000 {
				t.Errorf("the container says %+v", tr)
			}
		}
	}
	if found := s.contains("picture", "sound", "porch", "motion", "decoder", "back yard", "AVC"); found != "" {
		t.Errorf("the service has seen %q", found)
	}
}

// contains tells which of the words the service has seen in any fragment.
func (s *service) contains(words ...string) string {
	for _, f := range s.fragments {
		all := []byte{}
		for _, x := range f.frames {
			all = append(all, x.Data...)
		}
		for _, x := range f.tags {
			all = append(all, x.Name+x.Value...)
		}
		for _, x := range f.tracks {
			all = append(append(all, x.CodecPrivate...), x.Name+x.CodecID...)
		}
		for _, w := range words {
			if bytes.Contains(all, []byte(w)) {
				return w
			}
		}
	}
	return ""
}

// The control: the same search finds all of it when nothing is sealed.
func TestSearchFindsPlainMedia(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := mustOpen(t, s.options())
	putAll(t, p, clip(8))
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	if s.contains("picture") == "" || s.contains("AVC") == "" {
		t.Error("not found")
	}
}

// Whatever becomes of connections and of the process, the viewer confirms all that was put, without a gap.
func TestSealedMediaSurvivesWhatPlainMediaDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		plan := rapid.SliceOfN(rapid.IntRange(0, int(refuse)), 0, 8).Draw(r, "fates")
		restarts := rapid.IntRange(0, 2).Draw(r, "restarts")
		torn := rapid.IntRange(13, 20).Draw(r, "put before the process is killed") // at least one whole fragment
		s, h := newService(t), newHousehold(r)
		s.decide = func(n int) fate {
			switch {
			case n >= len(plan):
				return keep
			case fate(plan[n]) == keepAndSilent:
				return keepAndCut // silence takes long
			}
			return fate(plan[n])
		}
		o := s.sealedOptions(h)
		dir := t.TempDir()
		o.BufferDir, o.BufferKeyFile = filepath.Join(dir, "buffer"), filepath.Join(dir, "key")
		var want []Frame
		rest := clip(40)
		for range restarts {
			p := mustOpen(r, o)
			putAll(r, p, rest[:torn])
			want, rest = append(want, rest[:torn]...), rest[20:]
			kill(p)
		}
		p := mustOpen(r, o)
		putAll(r, p, rest)
		if err := closeSoon(r, p); err != nil {
			r.Fatal(err)
		}
		got := h.open(s)
		if diff := cmp.Diff(append(want, rest...), got.frames); diff != "" {
			r.Fatal(diff)
		}
		for _, x := range got.reports {
			if x.Missing != 0 || x.Unlinked {
				r.Fatalf("%+v", x)
			}
		}
	})
}

func TestRefusedBeginIsTheCallersToHandle(t *testing.T) {
	t.Parallel()
	s, h := newService(t), newHousehold(t)
	p := mustOpen(t, s.sealedOptions(h))
	frames := clip(16)
	putAll(t, p, frames[:10]) // a fragment, and the beginning of the next one
	h.change(func(r *e2ee.Roster) { r.Remove(h.viewer.Fingerprint(), time.Now()) })
	putAll(t, p, frames[10:16]) // those that complete the open one
	for range 2 {
		if err := p.Put(t.Context(), frames[16]); !errors.Is(err, e2ee.ErrNoRecipients) {
			t.Fatalf("nobody to seal for: %v", err)
		}
	}
	h.change(func(r *e2ee.Roster) {
		r.Admit(e2ee.Member{Role: e2ee.RoleConsumer, Name: "Phone", Key: h.viewer.Public()})
	})
	h.ok(h.trust.AddCertificate(h.certificate))
	putAll(t, p, frames[16:24])
	h.change(func(r *e2ee.Roster) { r.Remove(h.camera.Fingerprint(), time.Now()) })
	if err := p.Put(t.Context(), frames[24]); !errors.Is(err, e2ee.ErrProducer) {
		t.Fatalf("a camera that was removed: %v", err)
	}
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	got := h.open(s)
	if diff := cmp.Diff(frames[:24], got.frames); diff != "" {
		t.Error(diff)
	}
	if v := []uint32{got.reports[1].RosterVersion, got.reports[2].RosterVersion}; v[0] != 1 || v[1] != 3 {
		t.Errorf("rosters %v", v)
	}
}

func TestBufferHoldsOnlyWhatIsSealed(t *testing.T) {
	t.Parallel()
	s, h := newService(t), newHousehold(t)
	s.refusePut = func(int) error { return protocol.NewError("InternalFailure", 500, "down") }
	o := s.sealedOptions(h)
	o.BufferDir, o.BufferKey = t.TempDir(), bytes.Repeat([]byte{1}, 32)
	p := mustOpen(t, o)
	h.ok(p.Tag("motion", "porch"))
	putAll(t, p, clip(10))
	kill(p)
	words := [][]byte{[]byte("picture"), []byte("sound"), []byte("porch"), []byte("back yard"), []byte("decoder")}
	if n, found := inBuffer(t, o, words); n < 20 || found != "" {
		t.Errorf("%d records, found %q", n, found)
	}
	o.Seal, o.BufferDir = nil, t.TempDir()
	p = mustOpen(t, o)
	putAll(t, p, clip(10))
	kill(p)
	if _, found := inBuffer(t, o, words); found == "" {
		t.Error("control: plain media was not found")
	}
}

// inBuffer reads all records with the buffer's own key, and tells which of the words are in them.
func inBuffer(t *testing.T, o Options, words [][]byte) (records int, found string) {
	t.Helper()
	st, key, err := openStore(&o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	s := &sealer{key: key, stream: o.StreamName}
	ns, err := st.list()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range ns {
		f, err := st.open(n)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for offset, i := int64(0), uint32(0); ; i++ {
			r, next, err := s.read(f, offset, n, i)
			if err != nil {
				break
			}
			offset = next
			records++
			for _, w := range words {
				if bytes.Contains(append([]byte(r.name), r.data...), w) {
					found = string(w)
				}
			}
		}
	}
	return records, found
}

// full is a disk that has no room for one write.
type full struct {
	file
	left int // writes that succeed before it
}

var errFull = errors.New("no space left")

func (f *full) WriteAt(p []byte, off int64) (int, error) {
	if f.left--; f.left == -1 {
		return 0, errFull
	}
	return f.file.WriteAt(p, off)
}

func TestFragmentIsWholeThoughTheDiskWasFullForAMoment(t *testing.T) {
	t.Parallel()
	for left := range 8 {
		s, h := newService(t), newHousehold(t)
		p := mustOpen(t, s.sealedOptions(h))
		all := clip(12)
		putAll(t, p, all[:4])
		p.mu.Lock()
		p.buffer.open.w = &full{p.buffer.open.w, left}
		p.mu.Unlock()
		refused := map[string]bool{}
		for _, f := range all[4:] {
			switch err := p.Put(t.Context(), f); {
			case errors.Is(err, errFull):
				refused[string(f.Data)] = true
			case err != nil:
				t.Fatal(err)
			}
		}
		if err := closeSoon(t, p); err != nil {
			t.Fatal(err)
		}
		got := h.open(s)
		missing := slices.DeleteFunc(slices.Clone(all), func(f Frame) bool {
			return slices.ContainsFunc(got.frames, func(g Frame) bool { return bytes.Equal(f.Data, g.Data) })
		})
		for _, f := range missing {
			if !refused[string(f.Data)] {
				t.Errorf("%d writes, then none: %s is missing", left, f.Data)
			}
		}
		if len(got.frames)+len(missing) != len(all) || len(refused) > 1 {
			t.Errorf("%d writes, then none: %d of %d frames, %d refused", left, len(got.frames), len(all), len(refused))
		}
	}
}

func TestLinkThatIsNotKeptStopsTheFragmentFromBeingSent(t *testing.T) {
	t.Parallel()
	s, h := newService(t), newHousehold(t)
	p := mustOpen(t, s.sealedOptions(h))
	frames := clip(12)
	h.keepErr = errors.New("no space left")
	putAll(t, p, frames[:8])
	for range 2 {
		if err := p.Put(t.Context(), frames[8]); !errors.Is(err, h.keepErr) {
			t.Fatalf("got %v", err)
		}
	}
	if len(s.all()) != 0 {
		t.Fatal("a fragment was sent whose link is not kept")
	}
	h.keepErr = nil
	putAll(t, p, frames[8:])
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(frames, h.open(s).frames); diff != "" {
		t.Error(diff)
	}
}

func TestIdleFragmentIsSignedAndTheSessionStillEnds(t *testing.T) {
	t.Parallel()
	s, h := newService(t), newHousehold(t)
	timing := fastTiming()
	timing.idleFragment = 20 * time.Millisecond
	p, err := open(s.sealedOptions(h), timing)
	if err != nil {
		t.Fatal(err)
	}
	want := clip(2)
	putAll(t, p, want)
	for deadline := time.Now().Add(5 * time.Second); len(s.all()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the fragment was not completed")
		}
	}
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	got := h.open(s)
	if diff := cmp.Diff(want, got.frames); diff != "" {
		t.Error(diff)
	}
	if n := len(got.reports); n != 2 || got.reports[0].Last || !got.reports[1].Last {
		t.Errorf("%+v", got.reports)
	}
}

func TestLostFragmentIsAGap(t *testing.T) {
	t.Parallel()
	s, h := newService(t), newHousehold(t)
	s.decide = func(n int) fate {
		if n == 1 {
			return refuseForGood
		}
		return keep
	}
	p := mustOpen(t, s.sealedOptions(h))
	putAll(t, p, clip(12))
	var unsent *UnsentError
	if err := closeSoon(t, p); !errors.As(err, &unsent) || unsent.Lost != 1 {
		t.Fatalf("got %v", err)
	}
	missing := slices.IndexFunc(h.open(s).reports, func(r e2ee.Report) bool { return r.Missing == 1 })
	if missing != 1 {
		t.Errorf("the gap is before fragment %d", missing)
	}
}

func TestPlainAndSealedMediaDoNotMixInTheBuffer(t *testing.T) {
	t.Parallel()
	s, h := newService(t), newHousehold(t)
	s.refusePut = func(int) error { return protocol.NewError("InternalFailure", 500, "down") }
	o := s.options()
	o.BufferDir, o.BufferKey = t.TempDir(), bytes.Repeat([]byte{1}, 32)
	p := mustOpen(t, o)
	putAll(t, p, clip(4))
	kill(p)
	o.Seal = h.seal()
	if _, err := open(o, fastTiming()); !errors.Is(err, ErrBufferPlain) {
		t.Errorf("sealed over plain: %v", err)
	}
	o.BufferDir = t.TempDir()
	p = mustOpen(t, o)
	want := clip(8)
	putAll(t, p, append(want, clip(12)[16:20]...))
	kill(p)
	o.Seal, s.refusePut = nil, nil
	p = mustOpen(t, o) // cannot sign the fragment that was cut short
	var unsent *UnsentError
	if err := closeSoon(t, p); !errors.As(err, &unsent) || unsent.Lost != 1 {
		t.Errorf("plain over sealed: %v", err)
	}
	if diff := cmp.Diff(want, h.open(s).frames); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeDescribedIsNotSealed(t *testing.T) {
	t.Parallel()
	s, h := newService(t), newHousehold(t)
	for name, tr := range map[string]Track{
		"a high number": {Number: 16, Type: Video, CodecID: "V_AV1"},
		"no media":      {Number: 1, Type: Metadata, CodecID: "S_TEXT/UTF8"},
		"another kind":  {Number: 1, Type: Video, CodecID: "A_AAC"},
		"raw sound":     {Number: 1, Type: Audio, CodecID: "A_PCM/INT/LIT", BitDepth: 16},
		"half a hertz":  {Number: 1, Type: Audio, CodecID: "A_AAC", SamplingFrequency: 0.5},
	} {
		o := s.sealedOptions(h)
		o.Tracks = []Track{tr}
		if _, err := Open(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := s.sealedOptions(h)
	o.Seal = &Seal{New: o.Seal.New}
	if _, err := Open(o); !errors.Is(err, ErrOptions) {
		t.Errorf("without Keep: %v", err)
	}
}
