// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/e2ee/e2eetest"
	"github.com/obscura-video/obscura/household"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/producer"
	"github.com/obscura-video/obscura/test/rig"
)

// world is an honest server with what real cameras have recorded there: one session of a while ago, and two of just now.
//
//	door    session 1    8 minutes ago           fragments 0–3    roster 5
//	        session 2    20 seconds ago          fragments 0–2    roster 5
//	                     Mallory is removed      fragments 3–5    roster 6
//	        session 3    4 seconds ago           fragments 0–3    roster 6
//	garden  session 1    20 seconds ago, by another camera, whose clock is not synchronised
//
// Vera watches. Mallory did, and has told the server all that she knows.
type world struct {
	t      testing.TB
	server *rig.Server
	ca     *authority
	dir    string
	now    time.Time // when it was recorded: what clients take for now
	clock  atomic.Int64

	box                                household.Mailbox
	owner, door, garden, vera, mallory *household.Device
	malloryKey                         []byte // seed
	fifth                              []byte // roster

	truth  []*taken       // every fragment, in order of stream and capture
	stored map[string]int // fragments by stream

	mu       sync.Mutex             // guards what follows
	recorded map[string][]*fragment // answers of GetMedia by stream
}

// taken is a fragment as its camera took it.
type taken struct {
	stream   string
	link     e2ee.Link
	report   e2ee.Report
	tracks   []e2ee.Track
	samples  []e2ee.Sample
	metadata []e2ee.Metadata
	wire     *fragment // as it is stored
}

// quick is the key of a device's folder, beside it, as obscura keeps it for a camera.
type quick struct{ dir string }

func (q quick) Get(name string) ([]byte, error) { return os.ReadFile(filepath.Join(q.dir, name)) }
func (q quick) Set(name string, key []byte) error {
	return os.WriteFile(filepath.Join(q.dir, name), key, 0o600)
}

func protector(dir string) e2ee.Protector { return e2ee.KeyringProtector(quick{dir}, "unlock") }

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, server: rig.Start(t), dir: t.TempDir(), now: time.Now().Truncate(time.Millisecond), stored: map[string]int{}, recorded: map[string][]*fragment{},
	}
	var err error
	w.ca, err = newAuthority()
	w.ok(err)
	w.box = w.mailbox("home", w.server.API, w.roots())
	w.owner = w.create("ana", household.Kind{Owner: true, Consumer: true})
	first, err := w.owner.Draft(nil)
	w.ok(err)
	w.ok(w.owner.Found(t.Context(), w.box, first))
	w.door = w.admit("Front door", e2ee.RoleProducer, "door", "porch")
	w.garden = w.admit("Garden", e2ee.RoleProducer, "garden")
	w.vera = w.admit("Vera", e2ee.RoleConsumer)
	w.mallory = w.admit("Mallory", e2ee.RoleConsumer)
	w.malloryKey, w.fifth = w.secretOf("Mallory", "kem-0000000001"), w.owner.Trust().Signed()
	w.record()
	w.readTruth("door")
	w.readTruth("garden")
	for stream, n := range w.stored {
		w.fetch(stream, n)
	}
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) path(name string) string {
	return filepath.Join(w.dir, strings.ReplaceAll(name, " ", "-"))
}

func (w *world) roots() *x509.CertPool {
	pem, err := os.ReadFile(w.server.CAFile)
	w.ok(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

// mailbox is a household's box at a server, honest or not.
func (w *world) mailbox(name, endpoint string, roots *x509.CertPool) household.Mailbox {
	return household.NewMailbox(household.Server{
		Endpoint: endpoint, Region: rig.Region, RootCAs: roots,
		Credentials: func(context.Context) (household.Credentials, error) {
			return household.Credentials{AccessKeyID: w.server.Root.AccessKeyID, SecretAccessKey: w.server.Root.SecretAccessKey}, nil
		},
	}, name)
}

func (w *world) create(name string, k household.Kind) *household.Device {
	w.t.Helper()
	k.Name, k.Household = name, "home"
	return createIn(w.t, w.path(name), k)
}

// createIn makes a device in a folder, as obscura makes one for a camera.
func createIn(t testing.TB, dir string, k household.Kind) *household.Device {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "protection"), []byte("file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := household.Create(dir, protector(dir), k)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// admit puts a new device on the roster by its request.
func (w *world) admit(name string, role e2ee.Role, streams ...string) *household.Device {
	w.t.Helper()
	d := w.create(name, household.Kind{Producer: role == e2ee.RoleProducer, Consumer: role == e2ee.RoleConsumer})
	w.admitTo(w.owner, w.box, d, role, streams...)
	return d
}

func (w *world) admitTo(owner *household.Device, box household.Mailbox, d *household.Device, role e2ee.Role, streams ...string) {
	w.t.Helper()
	q, err := d.Request(role)
	w.ok(err)
	m := e2ee.Member{Role: role, Name: q.Name, Key: q.PublicKey}
	for _, s := range streams {
		m.Streams = append(m.Streams, e2ee.StreamIDOf(s))
	}
	w.ok(owner.Change(w.t.Context(), box, func(r *e2ee.Roster) error { return household.AdmitTo(r, m, time.Now()) }))
	if q.Certificate != nil {
		w.ok(owner.PostCertificateOf(w.t.Context(), box, q.Certificate))
	}
	w.ok(d.Join(w.t.Context(), box, household.PinText(owner.Trust().Pin())))
}

// copyOf is a device's folder, copied and opened: so that each test has one that remembers nothing of the others.
func (w *world) copyOf(t testing.TB, name string) (*household.Device, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.CopyFS(dir, os.DirFS(w.path(name))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := household.Open(dir, protector(dir))
	if err != nil {
		t.Fatal(err)
	}
	return d, dir
}

var tracks = []producer.Track{
	{Number: 1, Type: producer.Video, CodecID: "V_MPEG4/ISO/AVC", CodecPrivate: []byte{1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1e, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80}, Width: 640, Height: 360},
	{Number: 2, Type: producer.Audio, CodecID: "A_AAC", CodecPrivate: []byte{0x11, 0x90}, SamplingFrequency: 48000, Channels: 2},
}

// filming is one session of a camera.
type filming struct {
	w      *world
	p      *producer.Producer
	name   string
	at     time.Time
	second int
	sent   []producer.Frame
}

// film begins a session at a time ago; a negative one is in the future of now.
func (w *world) film(d *household.Device, stream, name string, ago time.Duration, synced bool) *filming {
	w.t.Helper()
	f := &filming{w: w, name: name, at: w.now.Add(-ago)}
	w.clock.Store(f.at.UnixMilli())
	p, err := producer.Open(producer.Options{
		StreamName: stream, Endpoint: w.server.API, Region: rig.Region, RootCAs: w.roots(), Create: true, Retention: time.Hour,
		Credentials: func(context.Context) (producer.Credentials, error) {
			return producer.Credentials{AccessKeyID: w.server.Root.AccessKeyID, SecretAccessKey: w.server.Root.SecretAccessKey}, nil
		},
		Tracks: tracks, FragmentDuration: time.Second, BufferKey: make([]byte, 32),
		Seal: &producer.Seal{
			New: func(stream string, tracks []e2ee.Track) (*e2ee.Sealer, error) {
				s, err := d.Sealer(stream, tracks, func(c *e2ee.SealerConfig) {
					c.Now = func() time.Time { return time.UnixMilli(w.clock.Load()) }
					c.Epoch = time.Second
					c.Synced = func() bool { return synced }
				})
				if err != nil {
					return nil, err
				}
				return s.Sealer, nil
			},
			Keep: func(l e2ee.Link) error { return d.KeepSent(stream, l) },
		},
	})
	w.ok(err)
	f.p = p
	return f
}

// pictures is how many a second has; with a piece of sound each.
const pictures = 4

// take films seconds, each of which is a fragment.
func (f *filming) take(seconds int) {
	f.w.t.Helper()
	for range seconds {
		for i := range pictures {
			at := f.at.Add(time.Duration(f.second)*time.Second + time.Duration(i)*250*time.Millisecond)
			f.w.clock.Store(at.UnixMilli())
			f.put(producer.Frame{Track: 1, Time: at, Key: i == 0, Data: picture(f.name, f.second, i)})
			f.put(producer.Frame{Track: 2, Time: at.Add(20 * time.Millisecond), Key: true, Data: fmt.Appendf(nil, "sound %d of second %d of %s", i, f.second, f.name)})
		}
		f.w.ok(f.p.Tag("motion", "porch"))
		f.second++
	}
}

// picture is an H.264 access unit of a kind: one NAL unit after its length.
func picture(name string, second, i int) []byte {
	b := append([]byte{0, 0, 0, 0, 0x65}, bytes.Repeat(fmt.Appendf(nil, "picture %d of second %d of %s; ", i, second, name), 8)...)
	b[3] = byte(len(b) - 4)
	b[2] = byte((len(b) - 4) >> 8)
	return b
}

func (f *filming) put(frame producer.Frame) {
	f.w.t.Helper()
	f.sent = append(f.sent, frame)
	f.w.ok(f.p.Put(f.w.t.Context(), frame))
}

// end ends the session, when all of it is durable.
func (f *filming) end() {
	f.w.t.Helper()
	f.w.ok(f.p.Close(f.w.t.Context()))
}

// record has the cameras record.
func (w *world) record() {
	ctx := w.t.Context()
	w.ok(w.door.Sync(ctx, w.box))
	w.ok(w.garden.Sync(ctx, w.box))
	old := w.film(w.door, "door", "session 1", 8*time.Minute, true)
	old.take(4)
	old.end()
	other := w.film(w.garden, "garden", "the garden", 20*time.Second, false)
	other.take(3)
	other.end()
	now := w.film(w.door, "door", "session 2", 20*time.Second, true)
	now.take(3)
	w.ok(w.owner.Change(ctx, w.box, func(r *e2ee.Roster) error {
		return household.RemoveFrom(r, w.mallory.Fingerprint(), time.Now())
	}))
	w.ok(w.door.Sync(ctx, w.box))
	now.take(3)
	now.end()
	last := w.film(w.door, "door", "session 3", 4*time.Second, true)
	last.take(4)
	last.end()
	w.ok(w.vera.Sync(ctx, w.box))
	var sent []producer.Frame
	for _, f := range []*filming{old, now, last} {
		sent = append(sent, f.sent...)
	}
	w.sentIs(sent)
}

// sentIs remembers what was filmed at the door, to compare the truth with.
func (w *world) sentIs(sent []producer.Frame) {
	w.truth = append(w.truth, &taken{stream: "put"})
	for _, f := range sent {
		w.truth[0].samples = append(w.truth[0].samples, e2ee.Sample{Track: uint8(f.Track), Key: f.Key, Time: f.Time, Data: f.Data})
	}
}

// readTruth reads a stream from the honest server, as its owner, and confirms all of it.
func (w *world) readTruth(stream string) {
	w.t.Helper()
	c := w.consumer(w.t, stream, w.server.API, w.roots(), true)
	o, err := w.owner.Opener(stream, func(c *e2ee.OpenerConfig) { c.Archive, c.Strict = true, true })
	w.ok(err)
	all := consumer.Range{Start: w.now.Add(-time.Hour), End: w.now.Add(time.Hour)}
	var infos []consumer.FragmentInfo
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if infos, err = c.List(w.t.Context(), all); err == nil && len(infos) == map[string]int{"door": 14, "garden": 3}[stream] {
			break
		}
	}
	w.ok(err)
	for f, err := range c.Archive(w.t.Context(), all) {
		w.ok(err)
		x := &taken{stream: stream, wire: &fragment{}}
		for _, frame := range f.Frames {
			b := e2ee.Block{Track: uint8(frame.Track), Key: frame.Key, Payload: frame.Data}
			_, err := o.Block(b)
			w.ok(err)
			x.wire.blocks = append(x.wire.blocks, block{frame.Track, int16(frame.Time.Sub(f.Producer).Milliseconds()), frame.Key, frame.Data})
		}
		x.report, err = o.End()
		w.ok(err)
		x.link, x.tracks, x.samples, x.metadata = x.report.Link, x.report.Tracks, x.report.Samples, x.report.Metadata
		w.truth = append(w.truth, x)
		w.stored[stream]++
	}
	if stream == "door" {
		w.compareWithPut()
	}
}

// compareWithPut holds what the owner opened against what the camera was given.
func (w *world) compareWithPut() {
	w.t.Helper()
	var got []e2ee.Sample
	for _, x := range w.of("door") {
		got = append(got, x.samples...)
	}
	put := w.truth[0].samples
	w.truth = w.truth[1:]
	same := func(a, b e2ee.Sample) bool {
		return a.Track == b.Track && a.Key == b.Key && a.Time.Equal(b.Time) && bytes.Equal(a.Data, b.Data)
	}
	if !slices.EqualFunc(put, got, same) {
		w.t.Fatalf("%d frames were put, %d came, or others", len(put), len(got))
	}
}

// fetch asks the honest server for a stream, once, for all lies to be made of: it bounds how often it may be asked.
func (w *world) fetch(stream string, fragments int) {
	w.t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots()}}}
	defer client.CloseIdleConnections()
	body := w.getMedia(w.t, client, w.server.API, stream)
	defer body.Close()
	all, err := readFragments(body, fragments)
	w.ok(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recorded[stream] = all
}

// getMedia asks for a stream from its start.
func (w *world) getMedia(t testing.TB, client *http.Client, endpoint, stream string) io.ReadCloser {
	t.Helper()
	api := mediaapi.NewClient(protocol.Client{Endpoint: endpoint, HTTP: client, Sign: func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), w.server.Root, rig.Region, "kinesisvideo", time.Now())
		return nil
	}})
	earliest := mediaapi.StartSelectorTypeEarliest
	_, body, err := api.GetMedia(t.Context(), &mediaapi.GetMediaInput{StreamName: &stream, StartSelector: &mediaapi.StartSelector{StartSelectorType: &earliest}})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// of are a stream's fragments.
func (w *world) of(stream string) (all []*taken) {
	for _, x := range w.truth {
		if x.stream == stream {
			all = append(all, x)
		}
	}
	return all
}

// at finds a fragment of the door by the number of its session, from 1, and its own.
func (w *world) at(session int, sequence uint64) *taken {
	var sessions []e2ee.SessionID
	for _, x := range w.of("door") {
		if !slices.Contains(sessions, x.link.Session) {
			sessions = append(sessions, x.link.Session)
		}
		if x.link.Session == sessions[len(sessions)-1] && len(sessions) == session && x.link.Sequence == sequence {
			return x
		}
	}
	w.t.Fatalf("no fragment %d of session %d", sequence, session)
	return nil
}

// consumer reads a stream from a server, honest or not.
func (w *world) consumer(t testing.TB, stream, endpoint string, roots *x509.CertPool, duplicates bool) *consumer.Consumer {
	t.Helper()
	c, err := consumer.Open(consumer.Options{
		StreamName: stream, Endpoint: endpoint, Region: rig.Region, RootCAs: roots, KeepDuplicates: duplicates,
		Credentials: func(context.Context) (consumer.Credentials, error) {
			return consumer.Credentials{AccessKeyID: w.server.Root.AccessKeyID, SecretAccessKey: w.server.Root.SecretAccessKey}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// malloryKnows is the secret of a generation that Mallory was a recipient of: of session 1, or of the first part of session 2.
func (w *world) malloryKnows(session int) *e2eetest.Secret {
	s, ok := e2eetest.Unwrap(w.at(session, 0).wire.blocks[0].payload, w.door.Fingerprint(), w.mallory.Fingerprint(), w.malloryKey)
	if !ok {
		w.t.Fatalf("Mallory was no recipient in session %d", session)
	}
	return s
}
