// SPDX-License-Identifier: Apache-2.0

package e2eetest

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// world is a camera and a viewer on a roster, and all their secrets.
type world struct {
	t              *testing.T
	now            time.Time
	camera, viewer *e2ee.Identity
	cameraKey      ed25519.PrivateKey
	seed           []byte
	key            *e2ee.KEMKey
	sealer         *e2ee.Sealer
	opener         *e2ee.Opener
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.UnixMilli(1_780_000_000_000), seed: e2ee.NewSeed()}
	identity := func(r e2ee.Role, seed []byte) *e2ee.Identity {
		id, err := e2ee.IdentityFromSeed(r, seed)
		w.ok(err)
		return id
	}
	seed := e2ee.NewSeed()
	w.cameraKey = ed25519.NewKeyFromSeed(seed)
	owner := identity(e2ee.RoleOwner, e2ee.NewSeed())
	w.camera, w.viewer = identity(e2ee.RoleProducer, seed), identity(e2ee.RoleConsumer, e2ee.NewSeed())
	var err error
	w.key, err = e2ee.NewKEMKey(w.seed)
	w.ok(err)
	roster, err := e2ee.SignRoster(e2ee.Roster{
		Version: 1, Issued: w.now, Expires: w.now.AddDate(1, 0, 0), Threshold: 1, GenerationLife: time.Hour, NoRecovery: true,
		Members: []e2ee.Member{
			{Role: e2ee.RoleOwner, Name: "Ana", Key: owner.Public()},
			{Role: e2ee.RoleProducer, Name: "Door", Key: w.camera.Public()},
			{Role: e2ee.RoleConsumer, Name: "Phone", Key: w.viewer.Public()},
		},
	}, owner)
	w.ok(err)
	certificate, err := e2ee.NewCertificate(w.viewer, w.key, 1, w.now, 24*time.Hour)
	w.ok(err)
	trust := func(self *e2ee.Identity) *e2ee.Trust {
		r, hash, err := e2ee.ReadRoster(roster)
		w.ok(err)
		t, err := e2ee.NewTrust(e2ee.Pin{Version: r.Version, Hash: hash}, roster, self.Fingerprint(), func([]byte) error { return nil })
		w.ok(err)
		w.ok(t.AddCertificate(certificate))
		return t
	}
	clock := func() time.Time { return w.now }
	w.sealer, err = e2ee.NewSealer(e2ee.SealerConfig{
		Identity: w.camera, Trust: trust(w.camera), Stream: "door", Tracks: tracks(), Now: clock, Epoch: time.Second,
	})
	w.ok(err)
	w.opener, err = e2ee.NewOpener(e2ee.OpenerConfig{
		Trust: trust(w.viewer), Stream: "door", Self: w.viewer.Fingerprint(), Keys: []*e2ee.KEMKey{w.key}, Now: clock,
	})
	w.ok(err)
	return w
}

func tracks() []e2ee.Track {
	return []e2ee.Track{
		{Number: 1, Codec: "V_AV1", CodecPrivate: []byte("av1C"), Width: 640, Height: 360, Name: "yard"},
		{Number: 2, Codec: "A_OPUS", SampleRate: 48000, Channels: 2, Language: "en"},
	}
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// samples are more than seven of a track, so that the counter needs its long form.
func (w *world) samples(n int) (all []e2ee.Sample) {
	for i := range 12 {
		at := w.now.Add(time.Duration(i) * 40 * time.Millisecond).UTC()
		all = append(all, e2ee.Sample{Track: 1, Key: i == 0, Time: at, Duration: 40 * time.Millisecond, Data: fmt.Appendf(nil, "picture %d of %d", i, n)})
	}
	return append(all, e2ee.Sample{Track: 2, Key: true, Time: w.now.UTC(), Data: []byte("sound")})
}

// seal makes a fragment with package e2ee.
func (w *world) seal(n int) (blocks []e2ee.Block) {
	w.t.Helper()
	w.ok(w.sealer.Begin(w.now))
	for _, s := range w.samples(n) {
		b, err := w.sealer.Seal(s)
		w.ok(err)
		blocks = append(blocks, b)
	}
	last, _, err := w.sealer.End()
	w.ok(err)
	return append(blocks, last)
}

// open opens a fragment with package e2ee.
func (w *world) open(blocks []e2ee.Block) (all []e2ee.Sample, meta []e2ee.Metadata, r e2ee.Report, err error) {
	for _, b := range blocks {
		got, err := w.opener.Block(b)
		if err != nil {
			return all, meta, r, err
		}
		all, meta = append(all, got.Samples...), append(meta, got.Metadata...)
	}
	r, err = w.opener.End()
	return all, meta, r, err
}

// TestTakesGenuineFragmentsApart: what the camera seals is found by the document alone.
func TestTakesGenuineFragmentsApart(t *testing.T) {
	w := newWorld(t)
	w.seal(0)
	w.now = w.now.Add(3 * time.Second) // epoch 3
	w.sealer.Rotate()
	first := w.seal(1)
	w.now = w.now.Add(5 * time.Second)
	blocks := w.seal(2)
	secret, ok := Unwrap(first[0].Payload, w.camera.Fingerprint(), w.viewer.Fingerprint(), w.seed)
	if !ok {
		t.Fatal("no secret")
	}
	st, h, ok := HeaderOf(blocks[0].Payload)
	if !ok || h.Epoch != 5 || h.Sequence != 2 || st.Generation != 1 || !bytes.Equal(st.Body(), secret.Statement.Body()) {
		t.Fatalf("%+v %+v", st, h)
	}
	epoch := secret.Epoch(h.Epoch)
	if epoch.MAC(&st, &h) != h.MAC {
		t.Error("the header's MAC is another")
	}
	var got []e2ee.Sample
	for _, b := range blocks {
		for _, r := range Split(b.Payload) {
			plain, sealed := epoch.Believe(b.Track, r.Body)
			if s, ok := SampleOf(plain, h.Capture); r.Kind == Frame && sealed && ok {
				s.Track, s.Key, s.Time = b.Track, b.Key, s.Time.UTC()
				got = append(got, s)
			}
		}
	}
	if want := w.samples(2); !reflect.DeepEqual(want, got) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	signature := Split(blocks[len(blocks)-1].Payload)
	d := Digest(blocks)
	if !bytes.Equal(Sign(w.cameraKey, "signature", d[:]), signature[len(signature)-1].Body) {
		t.Error("the signature is another")
	}
}

// TestMakesGenuineFragments: with the camera's own secrets, what it makes is confirmed; with any of them wrong it is not.
func TestMakesGenuineFragments(t *testing.T) {
	rewrap := func(w *world, f *Fragment) { f.Keys = f.Secret.Wrap(w.viewer.Fingerprint(), w.key.Public()) }
	for name, spoil := range map[string]func(*world, *Fragment){
		"":              func(*world, *Fragment) {},
		"ERR_SIGNATURE": func(_ *world, f *Fragment) { f.Signer = nil },
		"ERR_STATEMENT": func(w *world, f *Fragment) { f.Secret.Statement.Signature[0]++ },
		"ERR_COMMITMENT": func(w *world, f *Fragment) {
			f.Secret.Statement.Commit[0]++
			f.Secret.Statement.Sign(f.Signer)
			rewrap(w, f)
		},
		"ERR_STREAM":     func(_ *world, f *Fragment) { f.Secret.Statement.Stream[0]++ },
		"ERR_PRODUCER":   func(_ *world, f *Fragment) { f.Secret.Statement.Producer[0]++ },
		"ERR_NO_PACKAGE": func(_ *world, f *Fragment) { f.Keys = nil },
		"ERR_NO_WRAP":    func(w *world, f *Fragment) { f.Keys = f.Secret.Wrap(e2ee.Fingerprint{1}, w.key.Public()) },
		"ERR_VERSION":    func(_ *world, f *Fragment) { f.Secret.Statement.Suite++ },
		"ERR_FORMAT":     func(_ *world, f *Fragment) { f.Header.Epoch = 1 << 14 },
		"ERR_FRAME":      func(_ *world, f *Fragment) { f.Samples[0].Track = 3 },
	} {
		t.Run("refused by "+name, func(t *testing.T) {
			w := newWorld(t)
			f := w.make()
			spoil(w, f)
			got, meta, r, err := w.open(f.Blocks())
			var code e2ee.Code
			if errors.As(err, &code); name != "" {
				if code.String() != name {
					t.Fatalf("%v", err)
				}
				return
			}
			w.ok(err)
			for i := range got {
				got[i].Shift = 0
			}
			if !reflect.DeepEqual(f.Samples, got) || !reflect.DeepEqual(f.Metadata, meta) {
				t.Errorf("%+v %+v", got, meta)
			}
			if r.Sequence != 0 || !r.Last || r.RosterVersion != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// make prepares a fragment with all of the camera's secrets.
func (w *world) make() *Fragment {
	s := &Secret{Producer: w.camera.Fingerprint(), GS: e2ee.NewSeed(), Statement: Statement{
		Version: 1, Suite: 1, Stream: e2ee.StreamIDOf("door"), Session: e2ee.SessionID{1, 2, 3}, EpochMillis: 60000, Start: w.now.UnixMilli(),
		RosterVersion: 1, RosterHash: [8]byte(w.rosterHash()), Recipients: 1,
	}}
	copy(s.Statement.Producer[:], s.Producer[:])
	s.Commit()
	s.Statement.Sign(w.cameraKey)
	return &Fragment{
		Secret: s, Header: Header{Epoch: 2, Capture: w.now.UnixMilli(), KeysAt: w.now.UnixMilli()}, Keys: s.Wrap(w.viewer.Fingerprint(), w.key.Public()),
		Tracks: tracks(), Samples: w.samples(0), Metadata: []e2ee.Metadata{{Name: "motion", Value: []byte("porch")}}, End: true, Signer: w.cameraKey,
	}
}

func (w *world) rosterHash() []byte {
	st, _, _ := HeaderOf(w.seal(0)[0].Payload)
	return st.RosterHash[:]
}
