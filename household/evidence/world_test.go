// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// world is an owner, a camera, a viewer, and what the camera has recorded. The rosters are four: with the owner and the viewer, then the
// camera, then a second owner, then one that this second owner has signed.
type world struct {
	t        testing.TB
	now      time.Time
	owner    *e2ee.Identity
	second   *e2ee.Identity
	camera   *e2ee.Identity
	viewer   *e2ee.Identity
	key      *e2ee.KEMKey
	rosters  [][]byte
	trust    *e2ee.Trust // the camera's
	sealer   *e2ee.Sealer
	recorded [][]byte // fragments as a server gives them
}

const stream = "front-door"

var begun = time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)

func identity(t testing.TB, role e2ee.Role) *e2ee.Identity {
	t.Helper()
	id, err := e2ee.IdentityFromSeed(role, e2ee.NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, now: begun, owner: identity(t, e2ee.RoleOwner), second: identity(t, e2ee.RoleOwner),
		camera: identity(t, e2ee.RoleProducer), viewer: identity(t, e2ee.RoleConsumer),
	}
	var err error
	w.key, err = e2ee.NewKEMKey(e2ee.NewSeed())
	w.ok(err)
	w.sign(e2ee.Roster{
		Version: 1, Issued: w.now, Expires: w.now.AddDate(1, 0, 0), Threshold: 1, NoRecovery: true, GenerationLife: time.Minute,
		Members: []e2ee.Member{
			{Role: e2ee.RoleOwner, Name: "Ana", Key: w.owner.Public()},
			{Role: e2ee.RoleConsumer, Name: "Ana's laptop", Key: w.viewer.Public()},
		},
	}, w.owner)
	w.change(w.owner, e2ee.Member{Role: e2ee.RoleProducer, Name: "Front door", Key: w.camera.Public()})
	w.change(w.owner, e2ee.Member{Role: e2ee.RoleOwner, Name: "Kit", Key: w.second.Public()})
	w.change(w.second, e2ee.Member{Role: e2ee.RoleProducer, Name: "Yard", Key: identity(t, e2ee.RoleProducer).Public()})
	w.trust = w.newTrust(w.camera.Fingerprint())
	certificate, err := e2ee.NewCertificate(w.viewer, w.key, 1, w.now, 24*time.Hour)
	w.ok(err)
	w.ok(w.trust.AddCertificate(certificate))
	w.start(nil)
	return w
}

func (w *world) sign(r e2ee.Roster, by *e2ee.Identity) {
	w.t.Helper()
	signed, err := e2ee.SignRoster(r, by)
	w.ok(err)
	w.rosters = append(w.rosters, signed)
}

func (w *world) change(by *e2ee.Identity, m e2ee.Member) {
	w.t.Helper()
	r, hash, err := e2ee.ReadRoster(w.rosters[len(w.rosters)-1])
	w.ok(err)
	next := r.Next(hash, w.now, w.now.AddDate(1, 0, 0))
	next.Admit(m)
	w.sign(next, by)
}

func (w *world) newTrust(self e2ee.Fingerprint) *e2ee.Trust {
	w.t.Helper()
	c, _, err := readChain(w.rosters, self)
	w.ok(err)
	return c.trust
}

// start begins a session of the camera.
func (w *world) start(previous *e2ee.Link) {
	w.t.Helper()
	s, err := e2ee.NewSealer(e2ee.SealerConfig{
		Identity: w.camera, Trust: w.trust, Stream: stream, Previous: previous, Now: func() time.Time { return w.now },
		Tracks: []e2ee.Track{{Number: 1, Codec: "V_MPEG4/ISO/AVC", CodecPrivate: []byte{1, 2, 3}, Width: 4, Height: 2}},
		Synced: func() bool { return true },
	})
	w.ok(err)
	w.sealer = s
}

// record makes fragments of two seconds with two samples, as a server gives them.
func (w *world) record(n int) (last e2ee.Link) {
	w.t.Helper()
	for range n {
		w.ok(w.sealer.Begin(w.now))
		ms := w.now.UnixMilli()
		b := mkv.AppendHeader(nil, mkv.Info{}, []mkv.Track{{Number: 1, Type: mkv.TrackVideo, CodecID: "V_E2EE/1", Width: 4, Height: 2}})
		b = mkv.AppendTags(b, mkv.Tag{Name: mkv.FragmentNumber, Value: fmt.Sprint(100 + len(w.recorded))},
			mkv.Tag{Name: mkv.ServerTimestamp, Value: fmt.Sprintf("%d.%03d", ms/1000, ms%1000)},
			mkv.Tag{Name: mkv.ProducerTimestamp, Value: fmt.Sprintf("%d.%03d", ms/1000, ms%1000)})
		b = mkv.AppendClusterStart(b, uint64(ms))
		put := func(x e2ee.Block, err error) {
			w.ok(err)
			b = mkv.AppendSimpleBlock(b, uint64(x.Track), int16(x.Time.UnixMilli()-ms), x.Key, x.Payload)
		}
		for i := range 2 {
			put(w.sealer.Seal(e2ee.Sample{
				Track: 1, Key: i == 0, Time: w.now.Add(time.Duration(i) * time.Second), Duration: time.Second, Data: w.sample(len(w.recorded), i),
			}))
		}
		x, l, err := w.sealer.End()
		put(x, err)
		last = l
		w.recorded = append(w.recorded, b)
		w.now = w.now.Add(2 * time.Second)
	}
	return last
}

func (w *world) sample(fragment, i int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("picture %d of fragment %d ", i, fragment)), 4)
}

func (w *world) opener() *e2ee.Opener {
	w.t.Helper()
	o, err := e2ee.NewOpener(e2ee.OpenerConfig{
		Trust: w.newTrust(w.viewer.Fingerprint()), Stream: stream, Self: w.viewer.Fingerprint(), Keys: []*e2ee.KEMKey{w.key}, Strict: true, Archive: true,
	})
	w.ok(err)
	return o
}

// open confirms a fragment.
func open(o *e2ee.Opener, media []byte) (e2ee.Report, error) {
	v := &verifier{open: o}
	return v.fragment(media)
}

func (w *world) factsFor() Facts {
	r, hash, err := e2ee.ReadRoster(w.rosters[len(w.rosters)-1])
	w.ok(err)
	return Facts{
		Stream: stream, From: begun, Until: begun.Add(time.Hour), Zone: "Europe/Berlin", Made: begun.Add(24 * time.Hour), Tool: "obscura test",
		Pin: e2ee.Pin{Version: r.Version, Hash: hash},
	}
}

// file exports some of the fragments.
func (w *world) file(maker *e2ee.Identity, from, until int) []byte {
	w.t.Helper()
	o := w.opener()
	var b bytes.Buffer
	out, err := NewWriter(&b, o)
	w.ok(err)
	for i, media := range w.recorded[:until] {
		r, err := open(o, media) // the keys may be in one before
		w.ok(err)
		if i >= from {
			w.ok(out.Add(media, r))
		}
	}
	w.ok(out.Close(w.factsFor(), w.rosters, maker))
	return b.Bytes()
}

// verify verifies with what an outsider knows: the first owner's fingerprint.
func (w *world) verify(file []byte, c Config) *Result {
	w.t.Helper()
	if c.Owners == nil && c.Rosters == nil {
		c.Owners = []string{w.owner.Fingerprint().String()}
	}
	r, err := Verify(bytes.NewReader(file), int64(len(file)), c)
	w.ok(err)
	return r
}

// frames of a fragment's blocks, to be changed and written again.
func parsed(t testing.TB, media []byte) *consumer.Fragment {
	t.Helper()
	f, err := consumer.Parse(media)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var _ Granter = (*household.Opener)(nil)
