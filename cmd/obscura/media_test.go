// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/producer"
)

// idle is after what time without media a view is over: a busy machine may take that long to begin.
const idle = "2500ms"

// serveIn runs a server in this process until the test or stop ends it.
func serveIn(t *testing.T, data string) (stop func()) {
	t.Helper()
	end, err := demoServer(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

// command runs the program and returns its exit code and output.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	var files [2]*os.File
	for i := range files {
		f, err := os.Create(filepath.Join(dir, string(rune('a'+i))))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	code = run(args, os.Stdin, files[0], files[1])
	var text [2]string
	for i := range files {
		b, err := os.ReadFile(files[i].Name())
		if err != nil {
			t.Fatal(err)
		}
		text[i] = string(b)
	}
	return code, text[0], text[1]
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := command(t, args...)
	if code != 0 {
		t.Fatalf("obscura %s: exit %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// sameFrames holds two Matroska files against each other: tracks, bytes, key flags and times to the millisecond.
func sameFrames(t *testing.T, got, want []byte) {
	t.Helper()
	nothing := func() error { return nil }
	g, err := openMatroska(bytes.NewReader(got), nothing)
	if err != nil {
		t.Fatal(err)
	}
	w, err := openMatroska(bytes.NewReader(want), nothing)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		a, errA := g.next()
		b, errB := w.next()
		if errA == io.EOF && errB == io.EOF {
			if n == 0 {
				t.Error("no frames")
			}
			return
		}
		if errA != nil || errB != nil {
			t.Fatalf("frame %d: %v, want %v", n, errA, errB)
		}
		if a.track != b.track || a.key != b.key || !bytes.Equal(a.data, b.data) || (a.at-b.at).Abs() > time.Millisecond {
			t.Fatalf("frame %d: track %d at %s, %d bytes; want track %d at %s, %d bytes",
				n, a.track, a.at, len(a.data), b.track, b.at, len(b.data))
		}
	}
}

func TestCameraThenViewGivesTheFramesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	serveIn(t, data)
	mustRun(t, "camera", "--data", data, "--stream", "door", "--input", "demo", "--fast")
	view := func(t *testing.T, more ...string) string {
		return mustRun(t, append([]string{"view", "--data", data, "--stream", "door", "--until-idle", idle}, more...)...)
	}
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(dir, "a.mkv")
		view(t, "--from", "earliest", "--output", file)
		sameFrames(t, readFile(t, file), demoClip)
		if _, err := os.Stat(file + ".part"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the part file is there still: %v", err)
		}
	})
	t.Run("pipe", func(t *testing.T) {
		t.Parallel()
		sameFrames(t, []byte(view(t, "--from", "earliest", "--output", "-")), demoClip)
	})
	t.Run("mp4", func(t *testing.T) {
		t.Parallel()
		mp4 := filepath.Join(dir, "a.mp4")
		view(t, "--from", "-1m", "--until", "+20s", "--output", mp4)
		holdsTheClipAsMP4(t, mp4)
	})
}

func holdsTheClipAsMP4(t *testing.T, mp4 string) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is not installed")
	}
	back, err := exec.Command("ffmpeg", "-v", "error", "-i", mp4, "-c", "copy", "-f", "matroska", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	sameTrackFrames(t, back, demoClip)
}

// sameTrackFrames is sameFrames for files that interleave their tracks differently.
func sameTrackFrames(t *testing.T, got, want []byte) {
	t.Helper()
	for _, number := range []uint64{1, 2} {
		a, b := framesOf(t, got, number), framesOf(t, want, number)
		if len(a) != len(b) || len(b) == 0 {
			t.Fatalf("track %d: %d frames, want %d", number, len(a), len(b))
		}
		for i := range a {
			if !bytes.Equal(a[i].data, b[i].data) || (a[i].at-b[i].at).Abs() > time.Millisecond {
				t.Fatalf("track %d, frame %d: at %s, want %s", number, i, a[i].at, b[i].at)
			}
		}
	}
}

func framesOf(t *testing.T, file []byte, track uint64) (out []picture) {
	t.Helper()
	s, err := openMatroska(bytes.NewReader(file), func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := s.next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.track == track {
			p.data = bytes.Clone(p.data)
			out = append(out, p)
		}
	}
}

// Pictures that are shown before the key frame that precedes them, and fragments that do not begin with their
// earliest picture.
func TestReorderedPicturesComeBack(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is not installed")
	}
	dir := t.TempDir()
	data, in, out := filepath.Join(dir, "data"), filepath.Join(dir, "in.mkv"), filepath.Join(dir, "out.mkv")
	made, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=8",
		"-c:v", "libx264", "-g", "50", "-bf", "3", "-x264-params", "open-gop=1", in).CombinedOutput()
	if err != nil {
		t.Skipf("this ffmpeg cannot make the input: %s", made)
	}
	serveIn(t, data)
	mustRun(t, "camera", "--data", data, "--stream", "b", "--input", in, "--fast")
	mustRun(t, "view", "--data", data, "--stream", "b", "--from", "earliest", "--until-idle", idle, "--output", out)
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	sameFrames(t, got, want)
}

func TestCameraSurvivesAServerRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	api, media, off := freeAddress(t), freeAddress(t), server.Listener{Listen: server.Off}
	start := func() (stop func()) {
		s, err := server.Open(t.Context(), server.Config{
			Data: data, API: server.Listener{Listen: api}, Media: server.Listener{Listen: media}, Device: off, Admin: off,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	stop := start()
	conn, err := (&target{data: data}).find()
	if err != nil {
		t.Fatal(err)
	}
	o := &cameraOptions{stream: "door", input: demoInput, retention: time.Hour, fragment: time.Second, buffer: dir, bufferBytes: 1 << 26}
	src, err := openSource(t.Context(), demoInput)
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.open(conn, src.tracks(), nil, newTerminal(os.Stdin, os.Stdout, os.Stderr).log())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for n := 0; ; n++ {
		pic, err := src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 400 { // in the middle of the second fragment
			for p.Stats().Persisted == 0 && time.Since(began) < 10*time.Second {
				time.Sleep(5 * time.Millisecond)
			}
			stop()
			stop = start()
		}
		err = p.Put(t.Context(), producer.Frame{Track: pic.track, Time: began.Add(pic.at), Key: pic.key, Data: pic.data})
		if err != nil {
			t.Fatal(err)
		}
	}
	defer func() { stop() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	sameFrames(t, []byte(mustRun(t, "view", "--data", data, "--stream", "door", "--from", "earliest", "--until-idle", idle, "--output", "-")), demoClip)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestDemoOnceVerifies(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes the length of a fragment")
	}
	out := mustRun(t, "demo", "--once")
	for _, want := range []string{
		"60 pictures", `1 fragment confirmed by the signature of "Front door", 0 missing; sealed for 1 viewer`, "has none of 180 pieces", "the viewer has 60",
		"TLS 1.3", "arn:aws:kms:us-east-1:000000000000:key/", "events recorded",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestExitCodesAreTold(t *testing.T) {
	t.Chdir(t.TempDir())
	data := filepath.Join(t.TempDir(), "data")
	serveIn(t, data)
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"view"}, exitUsage, "--stream"},
		{[]string{"camera", "--stream", "a"}, exitUsage, "--input"},
		{[]string{"view", "--stream", "a"}, exitUsage, "no server to talk to"},
		{[]string{"view", "--data", data, "--stream", "nothing", "--output", "a.mp4"}, exitNotFound, "next:"},
		{[]string{"view", "--data", data, "--stream", "a", "--output", "a.avi"}, exitUsage, ".mp4 or .mkv"},
		{[]string{"view", "--data", data, "--stream", "a", "--from", "noon"}, exitUsage, "yesterday 14:32"},
		{[]string{"camera", "--data", data, "--stream", "nothing", "--input", "demo", "--no-create", "--fast"}, exitNotFound, "code:"},
		{[]string{"camera", "--data", data, "--stream", "a", "--input", "missing.mp4"}, exitNotFound, "missing.mp4"},
		{[]string{"camera", "--data", filepath.Join(data, "no"), "--stream", "a", "--input", "demo"}, exitNotFound, "obscura serve"},
	} {
		code, _, stderr := command(t, tc.args...)
		if code != tc.code || !strings.Contains(stderr, tc.says) {
			t.Errorf("obscura %s: exit %d, want %d and %q\n%s", strings.Join(tc.args, " "), code, tc.code, tc.says, stderr)
		}
	}
	left, _ := filepath.Glob("*")
	if len(left) > 0 {
		t.Errorf("files were left: %v", left)
	}
}

func TestMomentsAreReadAsPeopleWriteThem(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	now := time.Date(2026, 11, 23, 9, 30, 0, 0, zone)
	for in, want := range map[string]time.Time{
		"14:32":                     time.Date(2026, 11, 23, 14, 32, 0, 0, zone),
		"14:32:07":                  time.Date(2026, 11, 23, 14, 32, 7, 0, zone),
		"yesterday 14:32":           time.Date(2026, 11, 22, 14, 32, 0, 0, zone),
		"2026-11-22 14:32":          time.Date(2026, 11, 22, 14, 32, 0, 0, zone),
		"2026-11-22T14:32:07Z":      time.Date(2026, 11, 22, 14, 32, 7, 0, time.UTC),
		"2026-11-22T14:32:07+02:00": time.Date(2026, 11, 22, 12, 32, 7, 0, time.UTC),
		"-10m":                      now.Add(-10 * time.Minute),
	} {
		got, err := parseMoment(in, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: %v %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "noon", "25:00", "friday 12:00", "-x"} {
		if _, err := parseMoment(in, now); err == nil {
			t.Errorf("%q was read", in)
		}
	}
}
