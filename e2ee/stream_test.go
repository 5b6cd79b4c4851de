// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"
)

// world is a household: an owner, a camera, two viewers, a recovery kit, and a clock.
type world struct {
	t      testing.TB
	now    time.Time
	owner  *Identity
	camera *Identity
	anna   *Identity
	ben    *Identity
	kit    *KEMKey
	keys   map[Fingerprint]*KEMKey
	roster []byte // in force
	trust  *Trust // the camera's
}

const testStream = "front-door"

func testTracks() []Track {
	return []Track{
		{Number: 1, Codec: "V_MPEG4/ISO/AVC", CodecPrivate: []byte{1, 100, 0, 31, 255}, Width: 1920, Height: 1080, Name: "Front door"},
		{Number: 2, Codec: "A_AAC", CodecPrivate: []byte{0x12, 0x10}, SampleRate: 48000, Channels: 2, Language: "en"},
	}
}

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, now: time.Date(2026, 11, 3, 14, 30, 0, 0, time.UTC),
		owner: mustIdentity(t, RoleOwner, "owner"), camera: mustIdentity(t, RoleProducer, "camera"),
		anna: mustIdentity(t, RoleConsumer, "anna"), ben: mustIdentity(t, RoleConsumer, "ben"),
		kit: mustKEM(t, "kit"), keys: map[Fingerprint]*KEMKey{},
	}
	w.keys[w.anna.fp], w.keys[w.ben.fp], w.keys[w.kit.Fingerprint()] = mustKEM(t, "anna"), mustKEM(t, "ben"), w.kit
	w.roster = w.must(SignRoster(Roster{
		Version: 1, Issued: w.now, Expires: w.now.Add(365 * 24 * time.Hour), Threshold: 1, GenerationLife: 24 * time.Hour,
		Members: []Member{
			{Role: RoleOwner, Name: "Ana", Key: w.owner.Public()},
			{Role: RoleProducer, Name: "Front door", Key: w.camera.Public(), Streams: []StreamID{StreamIDOf(testStream)}},
			{Role: RoleConsumer, Name: "Anna's phone", Key: w.anna.Public()},
			{Role: RoleRecovery, Name: "Kit", Key: w.kit.Public()},
		},
	}, w.owner))
	w.trust = w.newTrust(w.camera.fp)
	w.certify(w.trust, w.anna, 1)
	return w
}

func (w *world) must(b []byte, err error) []byte {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func discard([]byte) error { return nil }

func (w *world) newTrust(self Fingerprint) *Trust {
	w.t.Helper()
	r, h, err := ReadRoster(w.roster)
	w.ok(err)
	t, err := NewTrust(Pin{r.Version, h}, w.roster, self, discard)
	w.ok(err)
	return t
}

func (w *world) certify(t *Trust, device *Identity, number uint32) {
	w.t.Helper()
	w.ok(t.AddCertificate(w.must(NewCertificate(device, w.keys[device.fp], number, w.now, 30*24*time.Hour))))
}

// change signs the next roster. It reaches nobody by itself.
func (w *world) change(edit func(*Roster)) []byte {
	w.t.Helper()
	r, h, err := ReadRoster(w.roster)
	w.ok(err)
	next := r.Next(h, w.now, w.now.Add(365*24*time.Hour))
	edit(&next)
	w.roster = w.must(SignRoster(next, w.owner))
	return w.roster
}

func (w *world) clock() time.Time { return w.now }

func (w *world) sealer(previous *Link) *Sealer {
	w.t.Helper()
	s, err := NewSealer(SealerConfig{
		Identity: w.camera, Trust: w.trust, Stream: testStream, Tracks: testTracks(), Previous: previous,
		Now: w.clock, Synced: func() bool { return true },
	})
	w.ok(err)
	return s
}

func (w *world) openerConfig(self Fingerprint) OpenerConfig {
	return OpenerConfig{Trust: w.newTrust(self), Stream: testStream, Self: self, Keys: []*KEMKey{w.keys[self]}, Now: w.clock}
}

func (w *world) opener(self Fingerprint) *Opener {
	w.t.Helper()
	o, err := NewOpener(w.openerConfig(self))
	w.ok(err)
	return o
}

// sample is what the nth sample of a fragment is.
func (w *world) sample(seq uint64, n int) Sample {
	s := Sample{Track: 1, Key: n == 0, Time: w.now.Add(time.Duration(n) * 40 * time.Millisecond), Duration: 40 * time.Millisecond}
	if n%3 == 2 {
		s.Track = 2
	}
	s.Data = bytes.Repeat([]byte(fmt.Sprintf("fragment %d sample %d ", seq, n)), 50)
	return s
}

// produce seals a fragment of six samples and moves the clock by two seconds.
func (w *world) produce(s *Sealer) []Block {
	w.t.Helper()
	w.ok(s.Begin(w.now))
	w.ok(s.Meta(Metadata{"motion", []byte("porch")}))
	var blocks []Block
	for n := range 6 {
		b, err := s.Seal(w.sample(s.next, n))
		w.ok(err)
		blocks = append(blocks, b)
	}
	last, _, err := s.End()
	w.ok(err)
	w.now = w.now.Add(2 * time.Second)
	return append(blocks, last)
}

func (w *world) produceAll(s *Sealer, n int) (fragments [][]Block) {
	for range n {
		fragments = append(fragments, w.produce(s))
	}
	return fragments
}

// consume opens a fragment and returns the number of samples it gave, wherever they came from.
func consume(o *Opener, blocks []Block) (n int, r Report, err error) {
	for _, b := range blocks {
		out, err := o.Block(b)
		n += len(out.Samples)
		if err != nil {
			return n, Report{}, err
		}
	}
	r, err = o.End()
	return n + len(r.Samples), r, err
}

func (w *world) consumeAll(o *Opener, fragments [][]Block) {
	w.t.Helper()
	for i, f := range fragments {
		if n, r, err := consume(o, f); err != nil || n != 6 || r.Missing != 0 {
			w.t.Fatalf("fragment %d: %d samples, %d missing, %v", i, n, r.Missing, err)
		}
	}
}

func cloneBlocks(blocks []Block) []Block {
	c := slices.Clone(blocks)
	for i := range c {
		c[i].Payload = bytes.Clone(c[i].Payload)
	}
	return c
}

func TestWhatIsSealedOpensAsItWas(t *testing.T) {
	w := newWorld(t)
	s, o := w.sealer(nil), w.opener(w.anna.fp)
	for seq := range uint64(40) { // into the next epoch
		start := w.now
		blocks := w.produce(s)
		for n, b := range blocks {
			out, err := o.Block(b)
			w.ok(err)
			if n == 0 && (len(out.Tracks) != 2 || out.Tracks[0].Codec != "V_MPEG4/ISO/AVC" || len(out.Metadata) != 1 || string(out.Metadata[0].Value) != "porch") {
				t.Fatalf("first block: %+v", out)
			}
			if n == 6 {
				continue
			}
			saved := w.now
			w.now = start
			want := w.sample(seq, n)
			w.now = saved
			got := out.Samples[0]
			if !bytes.Equal(got.Data, want.Data) || !got.Time.Equal(want.Time) || got.Duration != want.Duration || got.Key != want.Key || got.Track != want.Track || got.Shift != 0 {
				t.Fatalf("sample %d: %v, want %v", n, got, want)
			}
		}
		r, err := o.End()
		if err != nil || r.Sequence != seq || r.Producer != w.camera.fp || r.RosterVersion != 1 || r.Recipients != 2 || r.Epoch != uint32(seq/30) {
			t.Fatalf("fragment %d: %+v %v", seq, r, err)
		}
	}
}

func TestNothingReadableInBlocks(t *testing.T) {
	w := newWorld(t)
	for _, b := range w.produce(w.sealer(nil)) {
		for _, secret := range []string{"sample", "AVC", "porch", "motion", "Front door", "AAC"} {
			if bytes.Contains(b.Payload, []byte(secret)) {
				t.Errorf("block shows %q", secret)
			}
		}
	}
}

func TestLateJoinTakesOneFragment(t *testing.T) {
	w := newWorld(t)
	f := w.produceAll(w.sealer(nil), 40)
	for at := range f {
		o := w.opener(w.anna.fp)
		n, _, err := consume(o, f[at])
		if at < 15 && at > 0 {
			// Small test fragments: the package is at the start and every 30 s; the error says where.
			var e *Error
			if codeOf(err) != ErrNoPackage {
				t.Fatalf("fragment %d without keys: %v", at, err)
			}
			if e, _ = err.(*Error); !e.SeekTo.Equal(time.Date(2026, 11, 3, 14, 30, 0, 0, time.UTC)) {
				t.Fatalf("seek to %v", e.SeekTo)
			}
			continue
		}
		if at%15 == 0 && (err != nil || n != 6) {
			t.Fatalf("fragment %d: %d samples, %v", at, n, err)
		}
	}
}

func TestKeysStandInEveryFragmentWhileCheap(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	for i := range 4 {
		w.ok(s.Begin(w.now))
		var blocks []Block
		for n := range 10 {
			sm := w.sample(0, n)
			sm.Data = make([]byte, 20_000)
			b, err := s.Seal(sm)
			w.ok(err)
			blocks = append(blocks, b)
		}
		last, _, err := s.End()
		w.ok(err)
		if n, _, err := consume(w.opener(w.anna.fp), append(blocks, last)); err != nil || n != 10 {
			t.Fatalf("joined at %d: %v", i, err)
		}
		w.now = w.now.Add(2 * time.Second)
	}
}

func TestStrictReleasesOnlyConfirmed(t *testing.T) {
	w := newWorld(t)
	f := w.produceAll(w.sealer(nil), 2)
	cfg := w.openerConfig(w.anna.fp)
	cfg.Strict = true
	o, err := NewOpener(cfg)
	w.ok(err)
	for _, b := range f[0] {
		out, err := o.Block(b)
		if err != nil || len(out.Samples)+len(out.Metadata) > 0 {
			t.Fatalf("%v before the signature, %v", out, err)
		}
	}
	r, err := o.End()
	if err != nil || len(r.Samples) != 6 || len(r.Metadata) != 1 || len(r.Tracks) != 2 {
		t.Fatalf("%d samples, %v", len(r.Samples), err)
	}
	f[1][3].Payload[40] ^= 1
	if n, _, err := consume(o, f[1]); n != 0 || codeOf(err) != ErrFrame {
		t.Fatalf("%d samples of a changed fragment, %v", n, err)
	}
}

func TestUnconfirmedFragmentsCannotFollowEachOther(t *testing.T) {
	w := newWorld(t)
	f := w.produceAll(w.sealer(nil), 3)
	for name, leave := range map[string]func(*Opener){"cut": (*Opener).Cut, "sought past": (*Opener).Seek} {
		o := w.opener(w.anna.fp)
		for _, b := range f[0][:3] {
			_, err := o.Block(b)
			w.ok(err)
		}
		leave(o)
		out, err := o.Block(f[1][0])
		if err == nil && len(out.Samples) > 0 {
			t.Fatalf("%s: a second fragment is released before any was confirmed", name)
		}
		leave(o)
		if n, r, err := consume(o, f[2]); codeOf(err) != 0 || n != 6 || len(r.Samples) != 6 {
			t.Fatalf("%s: held back: %d, %v", name, n, err)
		}
	}
}

func TestRecoveryKitOpens(t *testing.T) {
	w := newWorld(t)
	w.consumeAll(w.opener(w.kit.Fingerprint()), w.produceAll(w.sealer(nil), 3))
}

func TestHeartbeatWithoutSamples(t *testing.T) {
	w := newWorld(t)
	s, o := w.sealer(nil), w.opener(w.anna.fp)
	w.ok(s.Begin(w.now))
	b, _, err := s.End()
	w.ok(err)
	if n, r, err := consume(o, []Block{b}); err != nil || n != 0 || r.Last {
		t.Fatalf("%d %v %v", n, r, err)
	}
	w.ok(s.Begin(w.now))
	b, _, err = s.EndSession()
	w.ok(err)
	if _, r, err := consume(o, []Block{b}); err != nil || !r.Last || o.Presence() != Stopped {
		t.Fatalf("%v %v", r, err)
	}
	if err := s.Begin(w.now); codeOf(err) != ErrMisuse {
		t.Fatalf("fragment after the end: %v", err)
	}
}

func TestSilenceIsNoticed(t *testing.T) {
	w := newWorld(t)
	f := w.produceAll(w.sealer(nil), 3)
	o := w.opener(w.anna.fp)
	w.consumeAll(o, f)
	if w.now = w.now.Add(5 * time.Second); o.Presence() != Heard {
		t.Fatal("silent after two missed fragments")
	}
	if w.now = w.now.Add(2 * time.Second); o.Presence() != Silent {
		t.Fatal("not silent after three missed fragments")
	}
}

func TestLiveWindowAndEcho(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	cfg := w.openerConfig(w.anna.fp)
	cfg.LiveWindow = DefaultLiveWindow
	o, err := NewOpener(cfg)
	w.ok(err)
	if _, r, err := consume(o, w.produce(s)); err != nil || r.Freshness != ByClock {
		t.Fatalf("%v %v", r.Freshness, err)
	}
	w.ok(s.Begin(w.now))
	w.ok(s.Echo(o.Challenge(), [16]byte{1}))
	b, _, err := s.End()
	w.ok(err)
	if _, r, err := consume(o, []Block{b}); err != nil || r.Freshness != ByEcho {
		t.Fatalf("%v %v", r.Freshness, err)
	}
	old := w.produce(s)
	w.now = w.now.Add(time.Minute)
	if n, _, err := consume(o, old); n != 0 || codeOf(err) != ErrNotLive {
		t.Fatalf("a minute old: %d samples, %v", n, err)
	}
}

func TestSessionsAreTied(t *testing.T) {
	w := newWorld(t)
	s1 := w.sealer(nil)
	first := w.produceAll(s1, 4)
	link := s1.last
	second := w.produceAll(w.sealer(&link), 2)
	o := w.opener(w.anna.fp)
	w.consumeAll(o, first)
	w.consumeAll(o, second)

	o = w.opener(w.anna.fp) // the server holds back the end of the first session
	w.consumeAll(o, first[:2])
	if n, r, err := consume(o, second[0]); err != nil || n != 6 || r.Missing != 2 {
		t.Fatalf("%d samples, %d missing, %v", n, r.Missing, err)
	}
	unlinked := w.produceAll(w.sealer(nil), 1)
	if _, r, err := consume(o, unlinked[0]); err != nil || !r.Unlinked {
		t.Fatalf("unlinked session: %+v, %v", r, err)
	}
}

func TestSealerRefusesMisuse(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	if _, err := s.Seal(w.sample(0, 0)); codeOf(err) != ErrMisuse {
		t.Errorf("sample outside: %v", err)
	}
	if _, _, err := s.End(); codeOf(err) != ErrMisuse {
		t.Errorf("end outside: %v", err)
	}
	w.ok(s.Begin(w.now))
	if err := s.Begin(w.now); codeOf(err) != ErrMisuse {
		t.Errorf("begin twice: %v", err)
	}
	if _, err := s.Seal(Sample{Track: 3, Time: w.now}); codeOf(err) != ErrMisuse {
		t.Errorf("unknown track: %v", err)
	}
	if _, err := s.Seal(Sample{Track: 1, Time: w.now.Add(time.Hour)}); codeOf(err) != ErrMisuse {
		t.Errorf("far time: %v", err)
	}
	if n, v := s.Tag(); !IsTag(n, v) || IsTag(n, v[1:]) || IsTag("X", v) {
		t.Errorf("tag %s=%s", n, v)
	}
	if _, err := NewSealer(SealerConfig{Identity: w.owner, Trust: w.trust, Stream: "x", Tracks: testTracks()}); codeOf(err) != ErrMisuse {
		t.Errorf("owner as producer: %v", err)
	}
}

func TestAbandonedFragmentIsAGap(t *testing.T) {
	w := newWorld(t)
	s, o := w.sealer(nil), w.opener(w.anna.fp)
	w.consumeAll(o, w.produceAll(s, 1))
	w.ok(s.Begin(w.now))
	_, err := s.Seal(w.sample(1, 0))
	w.ok(err)
	s.Abandon()
	if _, r, err := consume(o, w.produce(s)); err != nil || r.Missing != 1 {
		t.Fatalf("%d missing, %v", r.Missing, err)
	}
}

func TestPastEpochsAreGoneFromTheSealer(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	w.produce(s)
	old, chain := bytes.Clone(s.gen.secret), s.gen.ratchet.chain
	held := s.gen.secret
	w.now = w.now.Add(time.Minute)
	w.produce(s)
	if bytes.Equal(s.gen.secret, old) || !bytes.Equal(held, make([]byte, 32)) || !bytes.Equal(chain, make([]byte, 32)) {
		t.Fatal("the epoch before can still be derived")
	}
}
