// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	blobmem "github.com/obscura-video/obscura/internal/blob/mem"
	"github.com/obscura-video/obscura/internal/envelope"
	"github.com/obscura-video/obscura/internal/envelope/envelopetest"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/media/mkv"
	metamem "github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/policy"
)

// The principals and keys of the tests.
const (
	camera  = "arn:aws:iam::000000000000:user/camera"
	viewer  = "arn:aws:iam::000000000000:user/viewer"
	testKey = "test-key"
)

// world is a service over memory. Everything is allowed until a test says otherwise.
type world struct {
	*Service
	t    testing.TB
	kms  *envelopetest.KMS
	auth *fakeAuthorizer

	db, spoolDB *metamem.DB
	bytes       *blobmem.Bytes
	options     journal.Options
	closers     []func()
}

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, kms: envelopetest.New(testKey), auth: &fakeAuthorizer{},
		db: metamem.New(), bytes: blobmem.NewBytes(),
	}
	w.open()
	t.Cleanup(w.close)
	return w
}

// open starts the service over the world's stores, as a new process does.
func (w *world) open() {
	w.spoolDB = metamem.New()
	c := Config{
		DB: w.db, Authorizer: w.auth, Account: "000000000000", Region: "us-east-1",
		MediaEndpoint: "https://media:8444", APIEndpoint: "https://api:8443",
	}
	c.Archive = w.store(w.db, w.bytes)
	c.Spool = w.store(w.spoolDB, blobmem.NewBytes())
	s, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = s
	w.closers = append(w.closers, func() { _ = s.Close() })
}

func (w *world) store(db *metamem.DB, bytes *blobmem.Bytes) Store {
	j, err := journal.Open(context.Background(), db, bytes.Open(), w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	keys := envelope.New(db, w.kms, nil)
	w.closers = append(w.closers, keys.Close, func() { _ = j.Close(context.Background()) })
	return Store{DB: db, Journal: j, Keys: keys}
}

func (w *world) close() {
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
	w.closers = nil
}

// restart ends the process and starts another one over what is durable.
func (w *world) restart() {
	w.close()
	w.open()
}

// fakeAuthorizer allows what deny does not refuse, and remembers what it was asked.
type fakeAuthorizer struct {
	mu    sync.Mutex
	deny  func(who string, r access.Request) bool
	asked []access.Request
}

func (a *fakeAuthorizer) Authorize(ctx context.Context, r access.Request) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r)
	who := ""
	if call, ok := access.FromContext(ctx); ok {
		who = call.Principal.ARN
	}
	if a.deny != nil && a.deny(who, r) {
		return &access.Denied{Message: who + " is not authorized to perform " + r.Action + " on " + r.Resource}
	}
	return nil
}

func (a *fakeAuthorizer) refuse(deny func(who string, r access.Request) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deny = deny
}

func (a *fakeAuthorizer) refuseAction(action string) {
	a.refuse(func(_ string, r access.Request) bool { return r.Action == "kinesisvideo:"+action })
}

func (w *world) as(who string) context.Context {
	p := access.Principal{Principal: policy.Principal{Kind: policy.User, ARN: who, Account: "000000000000"}}
	return access.NewContext(context.Background(), &access.Call{Principal: p})
}

// create makes a stream with retention, or without if hours is 0, and returns its ARN.
func (w *world) create(name string, hours int64) string {
	w.t.Helper()
	out, err := w.CreateStream(w.as(camera), &kvapi.CreateStreamInput{
		StreamName: ptr(name), DataRetentionInHours: ptr(hours), KmsKeyId: ptr(testKey),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.StreamARN
}

func (w *world) describe(name string) *kvapi.StreamInfo {
	w.t.Helper()
	out, err := w.DescribeStream(w.as(camera), &kvapi.DescribeStreamInput{StreamName: ptr(name)})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.StreamInfo
}

// put is a PutMedia that goes on.
type put struct {
	t    testing.TB
	body *io.PipeWriter
	acks *ackRecorder
	done chan error
}

// put begins a PutMedia with absolute timecodes.
func (w *world) put(name string) *put {
	return w.putAs(camera, &mediaapi.PutMediaInput{StreamName: ptr(name), TimecodeType: mediaapi.FragmentTimecodeTypeAbsolute})
}

func (w *world) putAs(who string, in *mediaapi.PutMediaInput) *put {
	r, body := io.Pipe()
	p := &put{t: w.t, body: body, acks: &ackRecorder{}, done: make(chan error, 1)}
	in.Body, in.Acks = r, p.acks
	go func() {
		err := w.PutMedia(w.as(who), in)
		_ = r.CloseWithError(errors.New("connection closed"))
		p.done <- err
	}()
	return p
}

// send writes to the body; that the other side has closed is no failure.
func (p *put) send(parts ...[]byte) *put {
	for _, part := range parts {
		_, _ = p.body.Write(part)
	}
	return p
}

// end ends the body well and waits for the response to end.
func (p *put) end() error {
	_ = p.body.Close()
	return <-p.done
}

// drop loses the connection.
func (p *put) drop() error {
	_ = p.body.CloseWithError(io.ErrUnexpectedEOF)
	return <-p.done
}

// putAll sends a whole body and returns the acks.
func (w *world) putAll(name string, parts ...[]byte) []string {
	w.t.Helper()
	p := w.put(name).send(parts...)
	if err := p.end(); err != nil {
		w.t.Fatalf("put media: %v", err)
	}
	return p.acks.brief()
}

// ackRecorder is an AckWriter.
type ackRecorder struct {
	mu      sync.Mutex
	acks    []mediaapi.Ack
	at      []time.Time
	started bool
	fail    error
}

func (r *ackRecorder) Start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = true
	return r.fail
}

func (r *ackRecorder) SetWriteDeadline(time.Time) error { return nil }

func (r *ackRecorder) WriteAck(a mediaapi.Ack) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.FragmentTimecode != nil {
		a.FragmentTimecode = ptr(*a.FragmentTimecode)
	}
	r.acks = append(r.acks, a)
	r.at = append(r.at, time.Now())
	return r.fail
}

func (r *ackRecorder) all() []mediaapi.Ack {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]mediaapi.Ack(nil), r.acks...)
}

// brief tells acks in few words: "BUFFERING 0", "ERROR 4006 0", "IDLE".
func (r *ackRecorder) brief() (brief []string) {
	for _, a := range r.all() {
		s := a.EventType
		if a.ErrorId != 0 {
			s += fmt.Sprintf(" %d", a.ErrorId)
		}
		if a.FragmentTimecode != nil {
			s += fmt.Sprintf(" %d", *a.FragmentTimecode)
		}
		brief = append(brief, s)
	}
	return brief
}

// numbers returns the fragment numbers of the acks of a type.
func (r *ackRecorder) numbers(event string) (numbers []string) {
	for _, a := range r.all() {
		if a.EventType == event {
			numbers = append(numbers, a.FragmentNumber)
		}
	}
	return numbers
}

func wantAcks(t testing.TB, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Fatalf("acks:\n got %q\nwant %q", got, want)
	}
}

// sink is a StreamWriter. It can be made to wait.
type sink struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	flushed int
	gate    chan struct{} // if not nil, every Write takes from it
	cut     chan struct{} // if not nil, closed when the deadline is over
	fail    error
}

func (s *sink) SetWriteDeadline(t time.Time) error {
	if s.cut != nil {
		time.AfterFunc(time.Until(t), func() { close(s.cut) })
	}
	return nil
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-s.cut:
			return 0, os.ErrDeadlineExceeded
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return 0, s.fail
	}
	return s.buf.Write(p)
}

func (s *sink) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushed = s.buf.Len()
	return s.fail
}

// bytes returns what has left.
func (s *sink) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.buf.Bytes()[:s.flushed])
}

// get is a GetMedia that goes on.
type get struct {
	*sink
	cancel context.CancelFunc
	done   chan error
}

func (w *world) get(name string, selector *mediaapi.StartSelector) *get {
	w.t.Helper()
	return w.getInto(viewer, name, selector, &sink{})
}

func (w *world) getInto(who, name string, selector *mediaapi.StartSelector, to *sink) *get {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.as(who))
	out, err := w.GetMedia(ctx, &mediaapi.GetMediaInput{StreamName: ptr(name), StartSelector: selector})
	if err != nil {
		w.t.Fatal(err)
	}
	g := &get{sink: to, cancel: cancel, done: make(chan error, 1)}
	go func() { g.done <- out.Payload(to) }()
	return g
}

// stop ends the GetMedia as a client does that goes away.
func (g *get) stop() error {
	g.cancel()
	return <-g.done
}

func from(kind string) *mediaapi.StartSelector {
	return &mediaapi.StartSelector{StartSelectorType: ptr(kind)}
}

func earliest() *mediaapi.StartSelector { return from(mediaapi.StartSelectorTypeEarliest) }

// received is a fragment as a consumer sees it.
type received struct {
	number   string
	tags     map[string]string
	blocks   []string
	complete bool // the tags that follow a complete fragment were there
}

// parseMedia reads what GetMedia has sent.
func parseMedia(t testing.TB, media []byte) (fragments []received) {
	t.Helper()
	r := mkv.NewReader(bytes.NewReader(media), mkv.Options{Concatenated: true})
	var f *received
	for {
		ev, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("media is malformed after %d fragments: %v", len(fragments), err)
		}
		switch ev := ev.(type) {
		case *mkv.Header:
			fragments = append(fragments, received{tags: map[string]string{}})
			f = &fragments[len(fragments)-1]
		case *mkv.Tags:
			for _, tag := range ev.Tags {
				f.tags[tag.Name] = tag.Value
			}
			f.number = f.tags[tagFragmentNumber]
			_, f.complete = f.tags[tagContinuationToken]
		case *mkv.Block:
			f.blocks = append(f.blocks, string(ev.Payload))
		}
	}
	return fragments
}

// numbersOf returns the numbers of the complete fragments.
func numbersOf(fragments []received) (numbers []string) {
	for _, f := range fragments {
		if f.complete {
			numbers = append(numbers, f.number)
		}
	}
	return numbers
}

// What producers send.

var testInfo = mkv.Info{TimecodeScale: 1_000_000, MuxingApp: "test", WritingApp: "test", Title: "secret title"}

var videoTrack = mkv.Track{Number: 1, UID: 1, Type: mkv.TrackVideo, CodecID: "V_MPEG4/ISO/AVC", Width: 640, Height: 360, CodecPrivate: []byte("secret codec private")}

var audioTrack = mkv.Track{Number: 2, UID: 2, Type: mkv.TrackAudio, CodecID: "A_AAC", SamplingFrequency: 48000, Channels: 2}

func header(tracks ...mkv.Track) []byte {
	if len(tracks) == 0 {
		tracks = []mkv.Track{videoTrack}
	}
	return mkv.AppendHeader(nil, testInfo, tracks)
}

// cluster is one of unknown size with video blocks 40 ms apart.
func cluster(timecode uint64, blocks ...string) []byte {
	return append(mkv.AppendClusterStart(nil, timecode), videoBlocks(blocks...)...)
}

// sizedCluster is one of known size.
func sizedCluster(timecode uint64, blocks ...string) []byte {
	return mkv.AppendCluster(nil, timecode, videoBlocks(blocks...))
}

func videoBlocks(blocks ...string) (b []byte) {
	for i, payload := range blocks {
		b = mkv.AppendSimpleBlock(b, 1, int16(40*i), i == 0, []byte(payload))
	}
	return b
}

func tag(name, value string) []byte { return mkv.AppendTags(nil, mkv.Tag{Name: name, Value: value}) }

func endOfFragment() []byte { return mkv.AppendEndOfFragment(nil) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func getInput() *mediaapi.GetMediaInput {
	return &mediaapi.GetMediaInput{StreamName: ptr("s"), StartSelector: earliest()}
}
