// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// sealedHome is a server and a household on it.
type sealedHome struct {
	*demoHousehold
	t         *testing.T
	dir, data string
	conn      *connection
}

func newSealedHome(t *testing.T) *sealedHome {
	t.Helper()
	dir := t.TempDir()
	h := &sealedHome{t: t, dir: dir, data: filepath.Join(dir, "data")}
	serveIn(t, h.data)
	var err error
	if h.conn, err = (&target{data: h.data}).find(); err != nil {
		t.Fatal(err)
	}
	h.demoHousehold, err = newDemoHousehold(t.Context(), newTerminal(os.Stdin, os.Stdout, os.Stderr), h.conn, dir, "home")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *sealedHome) record(stream string, more ...string) {
	h.t.Helper()
	mustRun(h.t, append([]string{"camera", "--data", h.data, "--stream", stream, "--input", "demo", "--fast", "--e2ee", "--keys", h.cameraKeys.dir}, more...)...)
}

// view runs obscura view from the earliest fragment to the end.
func (h *sealedHome) view(stream string, more ...string) (code int, stdout, stderr string) {
	h.t.Helper()
	return command(h.t, append([]string{"view", "--data", h.data, "--stream", stream, "--from", "earliest", "--until-idle", idle, "--keys", h.viewerKeys.dir}, more...)...)
}

// of is the same home, for a part of the test.
func (h *sealedHome) of(t *testing.T) *sealedHome {
	part := *h
	part.t = t
	return &part
}

func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in\n%s", w, text)
		}
	}
}

func TestSealedCameraThenViewGivesTheFramesBackConfirmed(t *testing.T) {
	t.Parallel()
	h := newSealedHome(t)
	h.record("door")
	for name, how := range map[string][]string{
		"file":        {"--output", filepath.Join(h.dir, "a.mkv")},
		"provisional": {"--output", "-"}, // as it comes
		"strict":      {"--output", "-", "--strict"},
		"mp4":         {"--output", filepath.Join(h.dir, "a.mp4")},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "mp4" {
				t.Parallel() // after it: no more than three may watch at once
			}
			code, got, stderr := h.of(t).view("door", how...)
			if code != 0 {
				t.Fatalf("exit %d\n%s", code, stderr)
			}
			if name == "file" {
				says(t, stderr, `confirmed: signed by "Front door"`, "stopped: at", " 0 missing, 0 refused")
				got = string(readFile(t, how[1]))
			}
			if name != "mp4" {
				sameFrames(t, []byte(got), demoClip)
			}
		})
	}
	t.Run("without keys", h.withoutKeys)
}

func (h *sealedHome) withoutKeys(t *testing.T) {
	out := filepath.Join(h.dir, "nothing.mkv")
	args := []string{"view", "--data", h.data, "--stream", "door", "--from", "earliest", "--until-idle", idle, "--output", out}
	code, _, stderr := command(t, args...)
	if code != exitNoKey {
		t.Errorf("exit %d", code)
	}
	says(t, stderr, "end-to-end encrypted, and this device has no keys", "obscura pair")
	code, _, stderr = command(t, append(args, "--keys", h.cameraKeys.dir)...)
	if code != exitNoKey {
		t.Errorf("exit %d", code)
	}
	says(t, stderr, "a camera's keys")
	if _, err := os.Stat(out); err == nil {
		t.Error("a file was left")
	}
}

func TestReadableMediaOfASealedStreamIsRefused(t *testing.T) {
	t.Parallel()
	h := newSealedHome(t)
	h.record("door")
	if code, _, stderr := h.view("door", "--output", filepath.Join(h.dir, "a.mkv")); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	// A server of the same household's name that never heard of sealing.
	other := filepath.Join(h.dir, "other")
	serveIn(t, other)
	mustRun(t, "camera", "--data", other, "--stream", "door", "--input", "demo", "--fast")
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		mustRun(t, "view", "--data", other, "--stream", "door", "--from", "earliest", "--until-idle", idle, "--output", filepath.Join(h.dir, "control.mkv"))
	})
	out := filepath.Join(h.dir, "b.mkv")
	code, _, stderr := command(t, "view", "--data", other, "--stream", "door", "--from", "earliest", "--until-idle", idle, "--keys", h.viewerKeys.dir, "--output", out)
	if code != exitDamaged {
		t.Errorf("exit %d", code)
	}
	says(t, stderr, "plaintext refused", "not shown", "ERR_DOWNGRADE")
	if _, err := os.Stat(out); err == nil {
		t.Error("readable media was written")
	}
}

// TestReadableMediaThatACameraMightHaveSealedIsTold: before a stream was ever seen sealed, a server can still be trying.
func TestReadableMediaThatACameraMightHaveSealedIsTold(t *testing.T) {
	t.Parallel()
	h := newSealedHome(t) // its camera may send to all streams
	mustRun(t, "camera", "--data", h.data, "--stream", "door", "--input", "demo", "--fast")
	t.Run("who has no household is told nothing, for there is nothing to tell", func(t *testing.T) {
		t.Parallel()
		code, _, stderr := command(t, "view", "--data", h.data, "--stream", "door", "--from", "earliest", "--until-idle", idle, "--output", filepath.Join(h.dir, "c.mkv"))
		if code != 0 || strings.Contains(stderr, "not end-to-end encrypted") {
			t.Errorf("exit %d\n%s", code, stderr)
		}
	})
	t.Run("who has one is told", func(t *testing.T) { t.Parallel(); h.tellsThatItIsReadable(t) })
}

func (h *sealedHome) tellsThatItIsReadable(t *testing.T) {
	code, _, stderr := h.of(t).view("door", "--output", filepath.Join(h.dir, "a.mkv"))
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	says(t, stderr, `"door" is not end-to-end encrypted: whoever runs the server can see it and change it. If it is of Front door, it is not what that sends`)
	code, _, stderr = h.of(t).view("door", "--strict", "--output", filepath.Join(h.dir, "b.mkv"))
	if code != exitDamaged {
		t.Errorf("exit %d", code)
	}
	says(t, stderr, "plaintext refused", "ERR_DOWNGRADE")
	if _, err := os.Stat(filepath.Join(h.dir, "b.mkv")); err == nil {
		t.Error("it was written")
	}
}

func TestRemovedViewerAndRemovedCameraAreTold(t *testing.T) {
	t.Parallel()
	h := newSealedHome(t)
	h.record("door")
	remove := func(fp e2ee.Fingerprint) {
		t.Helper()
		err := h.owner.Change(t.Context(), h.box, func(r *e2ee.Roster) error { r.Remove(fp, time.Now()); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	remove(h.viewer.Fingerprint())
	code, _, stderr := command(t, "camera", "--data", h.data, "--stream", "door", "--input", "demo", "--fast", "--e2ee", "--keys", h.cameraKeys.dir)
	if code != exitNoKey {
		t.Errorf("exit %d", code)
	}
	says(t, stderr, "nobody could open what this camera records", "ERR_NO_RECIPIENTS")
	// What was sealed for the viewer before stays its own to open.
	if code, _, stderr := h.view("door", "--output", filepath.Join(h.dir, "a.mkv")); code != 0 {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	remove(h.camera.Fingerprint())
	code, _, stderr = command(t, "camera", "--data", h.data, "--stream", "door", "--input", "demo", "--fast", "--e2ee", "--keys", h.cameraKeys.dir)
	if code != exitNoKey {
		t.Errorf("exit %d", code)
	}
	says(t, stderr, "this camera may not send", "roster v5", "ERR_PRODUCER")
}
