// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// quick protects a test's folder without the cost of a passphrase.
type quick struct{}

func (quick) StoreKey([]byte) ([]byte, error) { return make([]byte, 32), nil }

// home is a household of one owner, in a mailbox in memory.
type home struct {
	t     *testing.T
	ctx   context.Context
	box   *Memory
	owner *Device
	kit   *e2ee.KEMKey
	now   time.Time
}

func newHome(t *testing.T) *home {
	h := &home{t: t, ctx: t.Context(), box: &Memory{}, now: time.Now()}
	h.owner = h.create("ana-laptop", Kind{Owner: true, Consumer: true})
	var err error
	h.kit, err = e2ee.NewKEMKey(e2ee.NewSeed())
	h.ok(err)
	signed, err := h.owner.Draft(h.kit)
	h.ok(err)
	h.ok(h.owner.Found(h.ctx, h.box, signed))
	return h
}

func (h *home) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) create(name string, k Kind) *Device {
	h.t.Helper()
	k.Name, k.Household = name, "home"
	d, err := Create(filepath.Join(h.t.TempDir(), name), quick{}, k)
	h.ok(err)
	return h.clocked(d)
}

func (h *home) clocked(d *Device) *Device {
	d.now = func() time.Time { return h.now }
	return d
}

// open opens the folder of a device as another process would.
func (h *home) open(d *Device) *Device {
	h.t.Helper()
	again, err := Open(d.dir, quick{})
	h.ok(err)
	return h.clocked(again)
}

// add puts a new device on the roster by its request, and has it pin what came of that.
func (h *home) add(name string, k Kind, streams ...string) *Device {
	h.t.Helper()
	d := h.create(name, k)
	role := e2ee.RoleConsumer
	if k.Producer {
		role = e2ee.RoleProducer
	}
	q, err := d.Request(role)
	h.ok(err)
	b, err := json.Marshal(q)
	h.ok(err)
	q, m, err := ParseRequest(b)
	h.ok(err)
	for _, s := range streams {
		m.Streams = append(m.Streams, e2ee.StreamIDOf(s))
	}
	h.ok(h.owner.Change(h.ctx, h.box, func(r *e2ee.Roster) error { return AdmitTo(r, m, h.now) }))
	if q.Certificate != nil {
		h.ok(h.owner.PostCertificateOf(h.ctx, h.box, q.Certificate))
	}
	h.ok(d.Join(h.ctx, h.box, PinText(h.owner.Trust().Pin())))
	return d
}

func (h *home) camera(streams ...string) *Device {
	return h.add("Front door", Kind{Producer: true}, streams...)
}

func (h *home) viewer(name string, streams ...string) *Device {
	return h.add(name, Kind{Consumer: true}, streams...)
}

func (h *home) remove(name string) {
	h.t.Helper()
	h.ok(h.owner.Change(h.ctx, h.box, func(r *e2ee.Roster) error {
		m, err := FindMember(r, name, h.now, 0)
		if err != nil {
			return err
		}
		return RemoveFrom(r, m.Fingerprint(), h.now)
	}))
}

// fragment is one fragment as it would be stored.
type fragment []e2ee.Block

var tracks = []e2ee.Track{{Number: 1, Codec: "V_MPEG4/ISO/AVC", Width: 640, Height: 480}}

func (h *home) sealer(camera *Device, stream string) *Sealer {
	h.t.Helper()
	s, err := camera.Sealer(stream, tracks, func(c *e2ee.SealerConfig) { c.Now = func() time.Time { return h.now } })
	h.ok(err)
	return s
}

// seal makes a fragment of one sample, and lets two seconds pass.
func (h *home) seal(s *Sealer, what string) fragment {
	h.t.Helper()
	h.ok(s.Begin(h.now))
	b, err := s.Seal(e2ee.Sample{Track: 1, Key: true, Time: h.now, Data: []byte(what)})
	h.ok(err)
	last, _, err := s.End()
	h.ok(err)
	h.ok(s.Unkept())
	h.now = h.now.Add(2 * time.Second)
	return fragment{b, last}
}

func (h *home) opener(d *Device, stream string) *Opener {
	h.t.Helper()
	o, err := d.Opener(stream, func(c *e2ee.OpenerConfig) { c.Strict = true })
	h.ok(err)
	return o
}

// read opens a fragment and returns its one sample.
func read(o *Opener, f fragment) (string, e2ee.Report, error) {
	for _, b := range f {
		if _, err := o.Block(b); err != nil {
			o.End()
			return "", e2ee.Report{}, err
		}
	}
	r, err := o.End()
	if err != nil {
		return "", r, err
	}
	if len(r.Samples) != 1 {
		return "", r, fmt.Errorf("%d samples", len(r.Samples))
	}
	return string(r.Samples[0].Data), r, nil
}

func (h *home) wantRead(o *Opener, f fragment, want string) e2ee.Report {
	h.t.Helper()
	got, r, err := read(o, f)
	h.ok(err)
	if got != want {
		h.t.Fatalf("read %q, want %q", got, want)
	}
	return r
}

func codeOf(err error) e2ee.Code {
	var c e2ee.Code
	errors.As(err, &c)
	return c
}

func TestFromTheSensorToThePeopleOnTheRoster(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera("front-door")
	ben := h.viewer("Ben's phone")
	stranger := h.create("stranger", Kind{Consumer: true})
	h.ok(stranger.Join(h.ctx, h.box, PinText(h.owner.Trust().Pin())))
	h.ok(camera.Sync(h.ctx, h.box))
	f := h.seal(h.sealer(camera, "front-door"), "a cat")

	h.wantRead(h.opener(h.owner, "front-door"), f, "a cat")
	h.wantRead(h.opener(ben, "front-door"), f, "a cat")
	if _, _, err := read(h.opener(stranger, "front-door"), f); codeOf(err) != e2ee.ErrNotAdmitted {
		t.Fatalf("a stranger: %v", err)
	}
}

func TestRemovedViewerSeesNothingFromTheNextFragmentOn(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera, ben := h.camera(), h.viewer("Ben's phone")
	ctx, cancel := context.WithCancel(h.ctx)
	done := make(chan error)
	go func() { done <- camera.Follow(ctx, h.box, nil) }()
	version := h.owner.Trust().Pin().Version
	h.awaitVersion(camera, version)
	h.ok(camera.Sync(h.ctx, h.box))
	s := h.sealer(camera, "front-door")
	before := h.seal(s, "before")
	h.remove("Ben's phone")
	begun := time.Now()
	h.awaitVersion(camera, version+1)
	if late := time.Since(begun); late > 3*time.Second { // a few milliseconds; the rest is for a busy machine
		t.Errorf("the camera took the removal after %v", late)
	}
	after := h.seal(s, "after")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	h.ok(ben.Sync(h.ctx, h.box))
	o := h.opener(ben, "front-door")
	h.wantRead(o, before, "before")
	if _, _, err := read(o, after); codeOf(err) != e2ee.ErrRevoked {
		t.Fatalf("removed, yet: %v", err)
	}
	r := h.wantRead(h.opener(h.owner, "front-door"), after, "after")
	if r.RosterVersion != version+1 {
		t.Fatalf("sealed under roster %d", r.RosterVersion)
	}
}

// A camera that runs has fetched the viewer's certificate before; it needs it once more.
func TestViewerThatIsBackSeesAgain(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera, ben := h.camera(), h.viewer("Ben's phone")
	h.ok(camera.Sync(h.ctx, h.box))
	s := h.sealer(camera, "front-door")
	h.seal(s, "before")
	member, ok := ben.Admitted()
	if !ok {
		t.Fatal("not admitted")
	}
	h.remove("Ben's phone")
	h.ok(h.owner.Change(h.ctx, h.box, func(r *e2ee.Roster) error { return AdmitTo(r, member, h.now) }))
	h.ok(ben.Sync(h.ctx, h.box))
	h.ok(camera.Sync(h.ctx, h.box))
	h.wantRead(h.opener(ben, "front-door"), h.seal(s, "again"), "again")
}

func (h *home) awaitVersion(d *Device, v uint32) {
	h.t.Helper()
	for late := time.Now().Add(30 * time.Second); d.Trust().Pin().Version < v; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			h.t.Fatalf("roster %d, want %d", d.Trust().Pin().Version, v)
		}
	}
}

func TestRestartedCameraSaysWhereItsLastSessionEnded(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	h.ok(camera.Sync(h.ctx, h.box))
	s := h.sealer(camera, "front-door")
	first, lost := h.seal(s, "first"), h.seal(s, "lost")
	_ = lost
	second := h.seal(h.sealer(h.open(camera), "front-door"), "second")
	o := h.opener(h.owner, "front-door")
	h.wantRead(o, first, "first")
	if r := h.wantRead(o, second, "second"); r.Missing != 1 || r.Unlinked {
		t.Fatalf("missing %d, unlinked %t: the end of the last session is not known", r.Missing, r.Unlinked)
	}
}

func TestViewerRemembersWhatItConfirmed(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	h.ok(camera.Sync(h.ctx, h.box))
	s := h.sealer(camera, "front-door")
	f := h.seal(s, "one")
	o := h.opener(h.owner, "front-door")
	h.wantRead(o, f, "one")
	h.ok(o.Close())
	h.ok(o.Unkept())
	again := h.open(h.owner)
	if links, err := again.Links("front-door"); err != nil || len(links) != 1 || links[0].Session == (e2ee.SessionID{}) {
		t.Fatalf("links %v, %v", links, err)
	}
	if sealed, err := again.Sealed("front-door"); err != nil || !sealed {
		t.Fatalf("not pinned as sealed: %v", err)
	}
	if sealed, err := again.Sealed("garden"); err != nil || sealed {
		t.Fatalf("garden is sealed? %v", err)
	}
	if _, _, err := read(h.opener(again, "front-door"), f); codeOf(err) != e2ee.ErrOrder {
		t.Fatalf("the same fragment again, after a restart: %v", err)
	}
}

func TestLinksAreBounded(t *testing.T) {
	t.Parallel()
	var links []e2ee.Link
	for i := range 3 * maxLinks {
		l := e2ee.Link{Sequence: uint64(i), Capture: time.UnixMilli(int64(i) * 20 * 60 * 1000).UTC()}
		links = mergeLinks(links, []e2ee.Link{l})
	}
	if len(links) > maxLinks || links[len(links)-1].Sequence != 3*maxLinks-1 {
		t.Fatalf("%d links, the last %d", len(links), links[len(links)-1].Sequence)
	}
	for i := 1; i < len(links)-1; i++ {
		if links[i].Capture.Sub(links[i-1].Capture) != time.Hour {
			t.Fatalf("link %d is at %v after %v", i, links[i].Capture, links[i-1].Capture)
		}
	}
	b := []byte(nil)
	for _, l := range links {
		b = appendLink(b, l)
	}
	again, err := readLinks(b)
	if err != nil || len(again) != len(links) || again[5] != links[5] {
		t.Fatalf("links do not survive the folder: %v", err)
	}
}

// TestTwoProcessesOneFolder: a viewer that runs must not keep its owner from changing the roster, nor undo it.
func TestTwoProcessesOneFolder(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	running := h.open(h.owner)
	camera := h.camera()
	v := h.owner.Trust().Pin().Version
	h.ok(running.PinSealed("front-door")) // any write at all
	if got := running.Trust().Pin(); got != h.owner.Trust().Pin() {
		t.Fatalf("the running process has roster %d, want %d", got.Version, v)
	}
	h.ok(running.Rotate(h.ctx, h.box))
	h.ok(h.owner.PinSealed("garden"))
	if len(h.owner.Keys()) != 2 {
		t.Fatalf("%d keys after the other process made the second", len(h.owner.Keys()))
	}
	if got := h.open(h.owner); got.Trust().Pin().Version != v || len(got.Keys()) != 2 {
		t.Fatalf("on disk: roster %d, %d keys", got.Trust().Pin().Version, len(got.Keys()))
	}
	h.ok(camera.Sync(h.ctx, h.box))
	h.wantRead(h.opener(running, "x"), h.seal(h.sealer(camera, "x"), "for the new key"), "for the new key")
}

// TestCrashWhileARosterIsTaken: a process that dies while it takes a roster does not make another one go back.
func TestCrashWhileARosterIsTaken(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	running, died := h.open(h.owner), h.open(h.owner)
	v := died.Trust().Pin().Version
	h.viewer("Ben's phone")
	h.viewer("Cora's phone")
	h.remove("Ben's phone")
	pin := h.owner.Trust().Pin()
	// What is left of it: the Trust went on, and the rosters on the way did not reach the folder.
	for ; v <= pin.Version; v++ {
		err := h.owner.store.Remove(h.owner.rosterValue(v))
		if v > running.Trust().Pin().Version {
			h.ok(err)
		}
	}
	if err := running.PinSealed("door"); err == nil && running.Trust().Pin() != pin {
		t.Fatalf("wrote with roster %d after %d", running.Trust().Pin().Version, pin.Version)
	}
	if got := h.open(h.owner).Trust().Pin(); got != pin {
		t.Fatalf("roster %d on disk, want %d", got.Version, pin.Version)
	}
}

// TestCrashAfterTheTrustWasSaved: of the newest roster the Trust itself is a copy.
func TestCrashAfterTheTrustWasSaved(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	running := h.open(h.owner)
	h.viewer("Ben's phone")
	pin := h.owner.Trust().Pin()
	h.ok(h.owner.store.Remove(h.owner.rosterValue(pin.Version)))
	h.ok(running.PinSealed("door"))
	h.ok(running.Rotate(h.ctx, h.box)) // saves its Trust
	if got := h.open(h.owner).Trust().Pin(); got != pin || running.Trust().Pin() != pin {
		t.Fatalf("roster %d on disk, want %d", got.Version, pin.Version)
	}
}

// TestPairingThatWasCutOff: of a device that is paired anew the Trust is stored first. Nobody puts the old one back.
func TestPairingThatWasCutOff(t *testing.T) {
	t.Parallel()
	h, other := newHome(t), newHome(t)
	ben := h.viewer("Ben's phone")
	running := h.open(ben)
	anew := other.owner.Trust()
	h.ok(ben.change(func() error {
		_, err := e2ee.NewTrust(anew.Pin(), anew.Signed(), ben.self(), ben.saveTrust)
		return err
	}))
	if err := running.PinSealed("door"); !errors.Is(err, ErrReplaced) {
		t.Fatal(err)
	}
	if got := h.open(ben).Trust().Pin(); got != anew.Pin() {
		t.Fatalf("roster %d of the household before", got.Version)
	}
}

func TestCertificateIsRenewedAtHalfItsLife(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera, ben := h.camera(), h.viewer("Ben's phone")
	first, err := ben.Certificate()
	h.ok(err)
	h.now = h.now.Add(certificateRenew - time.Minute)
	h.ok(ben.Sync(h.ctx, h.box))
	if c, _ := ben.Certificate(); string(c) != string(first) {
		t.Fatal("renewed too early")
	}
	h.now = h.now.Add(2 * time.Minute)
	h.ok(ben.Sync(h.ctx, h.box))
	h.now = h.now.Add(certificateRenew) // the first one is over soon
	h.ok(camera.Sync(h.ctx, h.box))
	h.now = h.now.Add(2 * 24 * time.Hour)
	f := h.seal(h.sealer(camera, "x"), "still here")
	h.wantRead(h.opener(ben, "x"), f, "still here")
}

func TestFolderHoldsOneDevice(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	if _, err := Create(h.owner.dir, quick{}, Kind{Producer: true}); !errors.Is(err, ErrDevice) {
		t.Errorf("second device: %v", err)
	}
	if _, err := Open(t.TempDir(), quick{}); !errors.Is(err, ErrNoDevice) {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := Create(t.TempDir(), quick{}, Kind{Producer: true, Consumer: true}); !errors.Is(err, ErrRole) {
		t.Errorf("camera and viewer: %v", err)
	}
	if _, err := h.owner.Draft(h.kit); codeOf(err) != e2ee.ErrMisuse {
		t.Errorf("second household: %v", err)
	}
	if _, err := h.camera().Opener("x", nil); !errors.Is(err, ErrRole) {
		t.Errorf("a camera that watches: %v", err)
	}
	if _, err := h.owner.Sealer("x", tracks, nil); !errors.Is(err, ErrRole) {
		t.Errorf("a viewer that sends: %v", err)
	}
}

// TestTwoProcessesMakeOneDevice: of two that are started at once one makes the device, and the other touches nothing of it.
func TestTwoProcessesMakeOneDevice(t *testing.T) {
	t.Parallel()
	for range 5 {
		dir := filepath.Join(t.TempDir(), "keys")
		made := make(chan *Device, 4)
		var work sync.WaitGroup
		for range cap(made) {
			work.Go(func() {
				d, err := Create(dir, newProtector(dir), Kind{Name: "camera", Household: "home", Producer: true})
				if err != nil && !errors.Is(err, ErrDevice) {
					t.Error(err)
				}
				if err == nil {
					made <- d
				}
			})
		}
		work.Wait()
		if len(made) != 1 {
			t.Fatalf("%d devices were made", len(made))
		}
		again, err := Open(dir, newProtector(dir))
		if err != nil || again.Fingerprint() != (<-made).Fingerprint() {
			t.Fatalf("another device than was made: %v", err)
		}
	}
}

// newProtector keeps a store's key in a file beside the folder, as a keyring does.
func newProtector(dir string) e2ee.Protector {
	return e2ee.KeyringProtector(fileRing(dir+"."), "unlock")
}

type fileRing string

func (r fileRing) Get(name string) ([]byte, error) { return os.ReadFile(string(r) + name) }
func (r fileRing) Set(name string, value []byte) error {
	return os.WriteFile(string(r)+name, value, 0o600)
}

func TestHouseholdNamesAreFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	other := h.create("mallory", Kind{Owner: true, Consumer: true})
	signed, err := other.Draft(nil)
	h.ok(err)
	if err := other.Found(h.ctx, h.box, signed); !errors.Is(err, ErrTaken) || other.Trust() != nil {
		t.Fatalf("second household in one box: %v", err)
	}
}

func TestInterruptedFoundingGoesOn(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	other := h.create("ana", Kind{Owner: true, Consumer: true})
	signed, err := other.Draft(h.kit)
	h.ok(err)
	gone, cancel := context.WithCancel(h.ctx)
	cancel()
	box := &Memory{}
	if err := other.Found(gone, box, signed); err == nil {
		t.Fatal("founded without a mailbox")
	}
	again := h.open(other)
	drafted, err := again.Drafted()
	h.ok(err)
	h.ok(again.Found(h.ctx, box, drafted))
	if h.open(other).Trust().Pin().Version != 1 {
		t.Fatal("not founded")
	}
}
