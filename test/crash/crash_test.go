// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

// Package crash kills the real server, as a power cut would, while cameras send to it, and holds it to its word:
// what it acknowledged as PERSISTED is there afterwards, once, and as it was sent. It also lets clients go away, which
// the server must bear without harm to anybody.
package crash

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go/service/kinesisvideoarchivedmedia"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/producer"
	"github.com/obscura-video/obscura/test/rig"
)

func TestMain(m *testing.M) {
	code, err := rig.Main(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

const (
	cameras     = 4
	frames      = 3
	frameBytes  = 4000
	fragmentAge = 1000 // milliseconds of media
)

// camera sends fragments without end, each of which follows from its name and timecode, and never one twice. It
// notes which were promised.
type camera struct {
	server *rig.Server
	name   string
	next   uint64
	count  atomic.Int64 // promises so far

	mu      sync.Mutex
	promise map[uint64]string // timecode → fragment number
}

// film runs until ctx ends, from one broken connection to the next. It sends nothing twice, so what was not
// promised may be lost.
func (c *camera) film(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.connect(ctx); err != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (c *camera) connect(ctx context.Context) error {
	p, err := c.server.PutMedia(ctx, c.server.Root, c.name)
	if err != nil {
		return err
	}
	defer p.Cut()
	if _, err := p.Write(rig.Header()); err != nil {
		return err
	}
	go c.listen(p)
	for {
		c.next += fragmentAge
		if _, err := p.Write(rig.Fragment(c.next, rig.Frames(c.name, c.next, frames, frameBytes))); err != nil {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// listen notes promises until the connection breaks.
func (c *camera) listen(p *rig.Put) {
	defer p.Cut()
	for {
		a, err := p.Ack()
		if err != nil {
			return
		}
		if a.EventType == mediaapi.AckPersisted {
			c.mu.Lock()
			c.promise[*a.FragmentTimecode] = a.FragmentNumber
			c.mu.Unlock()
			c.count.Add(1)
		}
	}
}

// filmBySDK does the same with the producer package, which must lose nothing and double nothing at all: so
// everything that it took is a promise.
func (c *camera) filmBySDK(ctx context.Context, t *testing.T) {
	roots := c.server.HTTP.Transport.(*http.Transport).TLSClientConfig.RootCAs
	p, err := producer.Open(producer.Options{
		StreamName: c.name, Endpoint: c.server.API, Region: c.server.Region, RootCAs: roots,
		Credentials: func(context.Context) (producer.Credentials, error) {
			return producer.Credentials{AccessKeyID: c.server.Root.AccessKeyID, SecretAccessKey: c.server.Root.SecretAccessKey}, nil
		},
		Tracks:    []producer.Track{{Number: 1, Type: producer.Video, CodecID: "V_MPEG4/ISO/AVC", CodecPrivate: []byte{1, 0x42, 0xc0, 0x1e, 0xff, 0xe0, 0}}},
		BufferDir: t.TempDir(), BufferKey: make([]byte, 32), BlockWhenFull: true, FragmentDuration: fragmentAge * time.Millisecond,
		OnPersisted: func(producer.Persisted) { c.count.Add(1) },
	})
	if err != nil {
		t.Error(err)
		return
	}
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		c.next += fragmentAge
		for i, data := range rig.Frames(c.name, c.next, frames, frameBytes) {
			at := time.UnixMilli(int64(c.next) + int64(40*i))
			if err := p.Put(context.WithoutCancel(ctx), producer.Frame{Track: 1, Time: at, Key: i == 0, Data: data}); err != nil {
				t.Errorf("%s: %v", c.name, err)
				return
			}
		}
		c.promise[c.next] = anyNumber
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := p.Close(end); err != nil {
		t.Errorf("%s: %v", c.name, err)
	}
}

// anyNumber promises a fragment without saying under which number.
const anyNumber = "any"

// stored reads everything that a stream holds.
func stored(t *testing.T, s *rig.Server, stream string) (all []*rig.Received) {
	t.Helper()
	archive := kinesisvideoarchivedmedia.New(s.V1(s.Root))
	err := archive.ListFragmentsPages(&kinesisvideoarchivedmedia.ListFragmentsInput{StreamName: &stream, MaxResults: aws.Int64(500)},
		func(page *kinesisvideoarchivedmedia.ListFragmentsOutput, _ bool) bool {
			if len(page.Fragments) == 0 {
				return true
			}
			var numbers []*string
			for _, f := range page.Fragments {
				numbers = append(numbers, f.FragmentNumber)
			}
			out, err := archive.GetMediaForFragmentList(&kinesisvideoarchivedmedia.GetMediaForFragmentListInput{StreamName: &stream, Fragments: numbers})
			if err != nil {
				t.Fatal(err)
			}
			defer out.Payload.Close()
			got, err := rig.ReadMedia(out.Payload, 0)
			if err != nil || len(got) != len(numbers) {
				t.Errorf("%s: asked for %d fragments, got %d, %v", stream, len(numbers), len(got), err)
			}
			all = append(all, got...)
			return true
		})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// judge says what is wrong with what is stored of a stream, given what was promised.
func judge(stream string, promise map[uint64]string, all []*rig.Received) (wrong []string) {
	report := func(format string, args ...any) { wrong = append(wrong, stream+": "+fmt.Sprintf(format, args...)) }
	numbers := map[uint64][]string{}
	for _, f := range all {
		numbers[f.Timecode] = append(numbers[f.Timecode], f.Number)
		if !f.Equal(rig.Frames(stream, f.Timecode, frames, frameBytes)) {
			report("fragment %s at %d was changed", f.Number, f.Timecode)
		}
	}
	for timecode, list := range numbers {
		if len(list) > 1 {
			report("fragment at %d is there %d times: %v", timecode, len(list), list)
		}
	}
	for _, timecode := range slices.Sorted(maps.Keys(promise)) {
		if want := promise[timecode]; len(numbers[timecode]) == 0 || want != anyNumber && !slices.Contains(numbers[timecode], want) {
			report("fragment %s at %d was promised and is not there", promise[timecode], timecode)
		}
	}
	return wrong
}

// rounds is how often the server is killed.
func rounds() int {
	switch {
	case rig.Full():
		return 50
	case testing.Short():
		return 2
	}
	return 3
}

func TestKilledServerKeepsItsPromises(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	p := rig.StartProcess(t, data, "--free-space", "-1")
	all := startCameras(t, p.Server)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for i, c := range all {
		if i < cameras/2 {
			work.Go(func() { c.film(ctx) })
		} else {
			work.Go(func() { c.filmBySDK(ctx, t) })
		}
	}
	for i := range rounds() {
		awaitPromises(t, p, all)
		time.Sleep(time.Duration(i*37%120) * time.Millisecond) // at another moment each time
		p.Kill()
		p.Restart()
	}
	awaitPromises(t, p, all)
	stop()
	work.Wait()

	promised := 0
	for _, c := range all {
		media := stored(t, p.Server, c.name)
		promised += len(c.promise)
		for _, w := range judge(c.name, c.promise, media) {
			t.Error(w)
		}
		controlJudge(t, c, media)
	}
	t.Logf("%d kills, %d fragments promised", rounds(), promised)
	if code, err := p.Stop(t.Context()); code != 0 || err != nil {
		t.Errorf("server ended with %d, %v", code, err)
	}
	if out, err := fsck(t, data); err != nil {
		t.Errorf("fsck: %v\n%s", err, out)
	}
	controlFsck(t, data)
}

func startCameras(t *testing.T, s *rig.Server) (all []*camera) {
	t.Helper()
	video := kinesisvideo.NewFromConfig(s.V2(s.Root))
	for i := range cameras {
		c := &camera{server: s, name: fmt.Sprintf("camera-%d", i), promise: map[uint64]string{}}
		if _, err := video.CreateStream(t.Context(), &kinesisvideo.CreateStreamInput{StreamName: &c.name, DataRetentionInHours: aws.Int32(24)}); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// awaitPromises waits until every camera has got another promise.
func awaitPromises(t *testing.T, p *rig.Process, all []*camera) {
	t.Helper()
	for _, c := range all {
		before := c.count.Load()
		for end := time.Now().Add(time.Minute); c.count.Load() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				log := p.Log.String()
				t.Fatalf("%s gets nothing persisted; log ends:\n%s", c.name, log[max(0, len(log)-3000):])
			}
		}
	}
}

func fsck(t *testing.T, data string) (string, error) {
	t.Helper()
	out, err := exec.Command(rig.Binary(t), "fsck", "--data", data).CombinedOutput()
	return string(out), err
}

// controlJudge: a judge that cannot see a loss, a double or a change proves nothing.
func controlJudge(t *testing.T, c *camera, media []*rig.Received) {
	t.Helper()
	i := slices.IndexFunc(media, func(f *rig.Received) bool { return c.promise[f.Timecode] != "" })
	if i < 0 {
		t.Fatalf("%s: nothing that was promised is stored", c.name)
	}
	changed := *media[i]
	changed.Frames = slices.Clone(changed.Frames)
	changed.Frames[0] = append(slices.Clone(changed.Frames[0][1:]), changed.Frames[0][0])
	for what, other := range map[string][]*rig.Received{
		"not there": slices.Concat(media[:i], media[i+1:]),
		"times":     append(slices.Clone(media), media[i]),
		"changed":   slices.Concat(media[:i], []*rig.Received{&changed}, media[i+1:]),
	} {
		if wrong := judge(c.name, c.promise, other); len(wrong) != 1 || !strings.Contains(wrong[0], what) {
			t.Errorf("control %q: the judge says %v", what, wrong)
		}
	}
}

// controlFsck: with part of an acknowledged fragment gone from the disk, fsck must say so.
func controlFsck(t *testing.T, data string) {
	t.Helper()
	wiped := 0 // all segments, since parts of each belong to fragments that a kill cut off
	err := filepath.WalkDir(filepath.Join(data, "blob"), func(name string, _ fs.DirEntry, err error) error {
		if err == nil && wipe(t, name) {
			wiped++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := fsck(t, data)
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 7 || !strings.Contains(out, "camera-") {
		t.Errorf("control: fsck of %d damaged segments: %v\n%s", wiped, err, out)
	}
}

// wipe zeroes some of a file, if it is one that holds media.
func wipe(t *testing.T, name string) bool {
	t.Helper()
	const from, n = 8192, 4096
	info, err := os.Stat(name)
	if err != nil || info.IsDir() || info.Size() < from+n {
		return false
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	old := make([]byte, n)
	if _, err := f.ReadAt(old, from); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(old, func(b byte) bool { return b != 0 }) {
		return false // preallocated, and nothing written yet
	}
	if _, err := f.WriteAt(make([]byte, n), from); err != nil {
		t.Fatal(err)
	}
	return true
}
