// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

var start = time.UnixMilli(1_700_000_000_000)

// clip makes n pictures, 10 ms apart with a key frame every 4, and audio between them.
func clip(n int) (out []Frame) {
	for i := range n {
		at := start.Add(time.Duration(i) * 10 * time.Millisecond)
		out = append(out,
			Frame{Track: 1, Time: at, Key: i%4 == 0, Data: []byte(fmt.Sprintf("picture %d", i))},
			Frame{Track: 2, Time: at.Add(3 * time.Millisecond), Key: true, Data: []byte(fmt.Sprintf("sound %d", i))})
	}
	return out
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
}

func putAll(t tester, p *Producer, frames []Frame) {
	t.Helper()
	for _, f := range frames {
		if err := p.Put(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	}
}

func closeSoon(t tester, p *Producer) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return p.Close(ctx)
}

func mustOpen(t tester, o Options) *Producer {
	t.Helper()
	p, err := open(o, fastTiming())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEverythingPutIsPersistedInOrder(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := mustOpen(t, s.options())
	want := clip(50)
	putAll(t, p, want)
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.all()); diff != "" {
		t.Error(diff)
	}
	if len(s.fragments) != 13 {
		t.Errorf("%d fragments, want 13", len(s.fragments))
	}
	for _, f := range s.fragments {
		if !f.frames[0].Key {
			t.Errorf("fragment %d does not begin with a key frame", f.timecode)
		}
	}
	if got := p.Stats(); got.Persisted != 13 || got.Connections != 1 || got.BufferedFragments != 0 {
		t.Errorf("%+v", got)
	}
}

// Whatever becomes of connections, what the service has persisted in the end is what was put, each frame once.
func TestNothingIsLostAndNothingIsDoubled(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		plan := rapid.SliceOfN(rapid.IntRange(0, int(refuse)), 0, 12).Draw(r, "fates")
		refused := rapid.SliceOfN(rapid.Bool(), 0, 4).Draw(r, "refused")
		restarts := rapid.IntRange(0, 2).Draw(r, "restarts")
		s := newService(t)
		s.decide = func(n int) fate {
			if n < len(plan) {
				if fate(plan[n]) == keepAndSilent && n > 0 {
					return keepAndCut // silence takes long
				}
				return fate(plan[n])
			}
			return keep
		}
		s.refusePut = func(n int) error {
			if n < len(refused) && refused[n] {
				return protocol.NewError("InternalFailure", 500, "try later")
			}
			return nil
		}
		o := s.options()
		dir := t.TempDir()
		o.BufferDir, o.BufferKeyFile = filepath.Join(dir, "buffer"), filepath.Join(dir, "key")
		want := clip(40)
		rest := want
		for range restarts {
			p := mustOpen(r, o)
			putAll(r, p, rest[:20])
			rest = rest[20:]
			kill(p)
		}
		p := mustOpen(r, o)
		putAll(r, p, rest)
		if err := closeSoon(r, p); err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(want, s.all()); diff != "" {
			r.Fatal(diff)
		}
	})
}

// kill ends a Producer as the end of its process would: nothing is completed, nothing waits.
func kill(p *Producer) {
	p.stop()
	p.work.Wait()
	p.control.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = true
	_ = p.buffer.store.close()
}

func TestRefusedFragmentIsSkippedAndReported(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.decide = func(n int) fate {
		if n == 1 {
			return refuseForGood
		}
		return keep
	}
	p := mustOpen(t, s.options())
	putAll(t, p, clip(12))
	var unsent *UnsentError
	if err := closeSoon(t, p); !errors.As(err, &unsent) || unsent.Lost != 1 || unsent.Fragments != 0 {
		t.Fatalf("got %v", err)
	}
	if len(s.fragments) != 2 {
		t.Errorf("%d fragments", len(s.fragments))
	}
}

func TestTrackWithoutFramesIsLeftOutOfTheHeader(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := mustOpen(t, s.options())
	want := clip(8)
	for _, f := range clip(24)[16:] {
		if f.Track == 1 {
			want = append(want, f)
		}
	}
	want = append(want, clip(36)[48:]...)
	putAll(t, p, want)
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.all()); diff != "" {
		t.Error(diff)
	}
}

func TestTimeThatStepsBackGoesOnANewConnection(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := mustOpen(t, s.options())
	want := clip(8)
	for _, f := range clip(8) {
		f.Time = f.Time.Add(-time.Hour)
		want = append(want, f)
	}
	putAll(t, p, want)
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.all()); diff != "" {
		t.Error(diff)
	}
}

func TestStreamIsCreatedWhenMissing(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.exists = false
	o := s.options()
	o.Create, o.Retention, o.KMSKeyID = true, 48*time.Hour, "alias/cameras"
	p := mustOpen(t, o)
	putAll(t, p, clip(4))
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	if c := s.created; c == nil || *c.DataRetentionInHours != 48 || *c.KmsKeyId != "alias/cameras" || *c.MediaType != "video/h264" {
		t.Errorf("created %+v", c)
	}
}

func TestMissingStreamIsAnErrorWithoutCreate(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.exists = false
	p := mustOpen(t, s.options())
	putAll(t, p, clip(1))
	err := closeSoon(t, p)
	var r *ResponseError
	if !errors.As(err, &r) || r.Code != "ResourceNotFoundException" || r.RequestID != "r-1" {
		t.Fatalf("got %v", err)
	}
}

func TestStreamWithoutRetentionIsDoneWhenReceived(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.retention = 0
	p := mustOpen(t, s.options())
	want := clip(12)
	putAll(t, p, want)
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.all()); diff != "" {
		t.Error(diff)
	}
}

func TestTagsReachTheFragmentOfTheLastFrame(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := mustOpen(t, s.options())
	if err := p.Tag("first", "1"); err != nil {
		t.Fatal(err)
	}
	frames := clip(8)
	putAll(t, p, frames[:10])
	if err := p.Tag("second", "2"); err != nil {
		t.Fatal(err)
	}
	putAll(t, p, frames[10:])
	if err := p.Tag("AWS_SECRET", ""); !errors.Is(err, ErrTag) {
		t.Errorf("got %v", err)
	}
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"first", "second"} {
		if tags := s.fragments[i].tags; len(tags) != 1 || tags[0].Name != name {
			t.Errorf("fragment %d: %v", i, tags)
		}
	}
}

func TestFullBufferGivesUpTheOldest(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.refusePut = func(int) error { return protocol.NewError("InternalFailure", 500, "down") }
	o := s.options()
	o.BufferBytes = minBufferBytes
	p := mustOpen(t, o)
	for _, f := range clip(200) {
		f.Data = make([]byte, 1000)
		if err := p.Put(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if b := p.Stats().BufferedBytes; b > o.BufferBytes+2000 {
			t.Fatalf("%d bytes buffered", b)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	var unsent *UnsentError
	if err := p.Close(ctx); !errors.As(err, &unsent) || unsent.Lost == 0 || unsent.Fragments == 0 {
		t.Fatalf("got %v", err)
	}
}

func TestBlockWhenFullWaits(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o := s.options()
	o.BufferBytes, o.BlockWhenFull = minBufferBytes, true
	p := mustOpen(t, o)
	want := clip(200)
	for i := range want {
		want[i].Data = bytes.Repeat([]byte{byte(i)}, 1000)
	}
	putAll(t, p, want)
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.all()); diff != "" {
		t.Error(diff)
	}
}

func TestBufferSurvivesATornWrite(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o := s.options()
	dir := t.TempDir()
	o.BufferDir, o.BufferKeyFile = dir, filepath.Join(dir, "key")
	s.refusePut = func(int) error { return protocol.NewError("InternalFailure", 500, "down") }
	p := mustOpen(t, o)
	want := clip(7)
	putAll(t, p, want)
	kill(p)
	files, _ := filepath.Glob(filepath.Join(dir, "stream-cam", "*"+fileSuffix))
	if len(files) != 2 {
		t.Fatalf("%d files", len(files))
	}
	torn := files[1]
	info, err := os.Stat(torn)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s", info.Mode())
	}
	content, _ := os.ReadFile(torn)
	if bytes.Contains(content, []byte("picture")) {
		t.Error("the buffer holds plaintext")
	}
	if err := os.Truncate(torn, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	s.refusePut = nil
	p = mustOpen(t, o)
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[:len(want)-1], s.all()); diff != "" {
		t.Error(diff)
	}
}

func TestBufferIsOnesOwnAndItsKeyIsNeeded(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.refusePut = func(int) error { return protocol.NewError("InternalFailure", 500, "down") }
	o := s.options()
	o.BufferDir, o.BufferKey = t.TempDir(), bytes.Repeat([]byte{1}, 32)
	p := mustOpen(t, o)
	putAll(t, p, clip(4))
	if _, err := Open(o); !errors.Is(err, ErrBufferInUse) {
		t.Errorf("second: %v", err)
	}
	kill(p)
	o.BufferKey = bytes.Repeat([]byte{2}, 32)
	if _, err := Open(o); !errors.Is(err, ErrBufferKey) {
		t.Errorf("wrong key: %v", err)
	}
	o.BufferKey = bytes.Repeat([]byte{1}, 32)
	s.refusePut = nil
	p = mustOpen(t, o)
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
}

func TestLookUpThatIsDeniedOnlyWarns(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.noList = true
	s.decide = func(n int) fate {
		if n == 1 {
			return keepAndCut
		}
		return keep
	}
	p := mustOpen(t, s.options())
	putAll(t, p, clip(12))
	if err := closeSoon(t, p); err != nil {
		t.Fatal(err)
	}
	if len(s.fragments) != 4 {
		t.Errorf("%d fragments, want 3 and one double", len(s.fragments))
	}
}

func FuzzRecord(f *testing.F) {
	for _, r := range []record{
		{kind: recordHeader, time: 5, data: []byte("h")},
		{kind: recordFrame, time: 5, track: 1, key: true, data: []byte("f")},
		{kind: recordTag, name: "n", data: []byte("v")},
		{kind: recordEnd, end: []span{{track: 1, first: 2, last: 3, frames: 4}}},
	} {
		f.Add(r.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		again, err := parseRecord(r.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, again, cmp.AllowUnexported(record{}, span{})); diff != "" {
			t.Fatal(diff)
		}
	})
}
