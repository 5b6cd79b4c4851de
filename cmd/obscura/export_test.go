// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestExportWritesAFileForEachStream(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, clips := filepath.Join(dir, "data"), filepath.Join(dir, "clips")
	serveIn(t, data)
	for _, stream := range []string{"door", "yard"} {
		mustRun(t, "camera", "--data", data, "--stream", stream, "--input", "demo", "--fast")
	}
	export := func(more ...string) (code int, stderr string) {
		t.Helper()
		code, _, stderr = command(t, append([]string{"export", "--data", data, "--from", "-1m"}, more...)...)
		return code, stderr
	}
	if code, stderr := export("--stream", "door", "--until", "+1m", "--output", filepath.Join(dir, "a.mkv")); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	sameFrames(t, readFile(t, filepath.Join(dir, "a.mkv")), demoClip)
	if err := os.Mkdir(clips, 0o700); err != nil {
		t.Fatal(err)
	}
	if code, stderr := export("--stream", "door", "--stream", "yard", "--until", "+1m", "--format", "mkv", "--output", clips); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	files, err := filepath.Glob(filepath.Join(clips, "*.mkv"))
	if err != nil || len(files) != 2 || !strings.Contains(files[0], "/door-2") || !strings.Contains(files[1], "/yard-2") {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		sameFrames(t, readFile(t, f), demoClip)
	}
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--stream", "door"}, exitUsage, "--until"},
		{[]string{"--stream", "door", "--until", "-2m"}, exitUsage, "not after"},
		{[]string{"--stream", "door", "--until", "+1m", "--from", "now"}, exitUsage, "over"},
		{[]string{"--stream", "door", "--stream", "door", "--until", "+1m"}, exitUsage, "each once"},
		{[]string{"--stream", "door", "--stream", "yard", "--until", "+1m", "--output", filepath.Join(dir, "b.mp4")}, exitUsage, "no folder"},
		{[]string{"--stream", "door", "--until", "+1m", "--output", filepath.Join(dir, "none") + "/"}, exitUsage, "no folder"},
		{[]string{"--stream", "door", "--until", "+1m", "--evidence", "a", "--output", "b.mp4"}, exitUsage, "instead"},
		{[]string{"--stream", "door", "--from", "-9m", "--until", "-8m", "--output", filepath.Join(dir, "c.mp4")}, exitNotFound, "no media"},
		{[]string{"--stream", "nothing", "--until", "+1m", "--output", filepath.Join(dir, "d.mp4")}, exitNotFound, "code:"},
		{[]string{"--stream", "door", "--until", "+1m", "--evidence", filepath.Join(dir, "e.evidence")}, exitFailed, "no camera has signed"},
	} {
		if code, stderr := export(tc.args...); code != tc.code || !strings.Contains(stderr, tc.says) {
			t.Errorf("%v: exit %d, want %d and %q\n%s", tc.args, code, tc.code, tc.says, stderr)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "[b-e]*.*")); len(left) > 0 {
		t.Errorf("files were left: %v", left)
	}
}

func (h *sealedHome) export(more ...string) (code int, stdout, stderr string) {
	h.t.Helper()
	return command(h.t, append([]string{"export", "--data", h.data, "--stream", "door", "--keys", h.viewerKeys.dir}, more...)...)
}

// TestEvidenceIsVerifiedOffline: from the camera to somebody who has nothing but the file and a fingerprint.
func TestEvidenceIsVerifiedOffline(t *testing.T) {
	t.Parallel()
	h := newSealedHome(t)
	h.record("door")
	owner := h.owner.Identity(e2ee.RoleOwner).Fingerprint().String()
	file := filepath.Join(h.dir, "door.evidence")
	code, stdout, stderr := h.export("--from", "-1m", "--until", "+1m", "--evidence", file)
	if code != 0 || stdout != file+"\n" {
		t.Fatalf("exit %d, %q\n%s", code, stdout, stderr)
	}
	says(t, stderr, `confirmed: signed by "Front door"`, "0 missing", "Whoever has this file can watch it", "obscura export verify", "--owner "+owner)
	verify := func(more ...string) (code int, stdout, stderr string) {
		t.Helper()
		return command(t, append([]string{"export", "verify"}, more...)...)
	}

	clip := filepath.Join(h.dir, "clip.mkv")
	code, stdout, stderr = verify(file, "--owner", owner, "--output", clip)
	if code != 0 {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	says(t, stdout, `"Front door"  `+h.camera.Fingerprint().String(), `by owner "Ana"  `+owner, "none in between", `"Ana's laptop" `+h.viewer.Fingerprint().String()+", signed by it",
		"VERIFIED", "not proven", "asked for", "by the camera's own word")
	sameFrames(t, readFile(t, clip), demoClip)

	_, stdout, _ = verify(file, "--owner", owner, "--json")
	var facts evidenceFacts
	if err := json.Unmarshal([]byte(stdout), &facts); err != nil || !facts.Verified || facts.Confirmed == 0 || len(facts.NotProven) == 0 || facts.Vouched[0].Name != "Ana" {
		t.Errorf("%v\n%s", err, stdout)
	}
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"nothing known":    {nil, `ask "Ana" for the owner's fingerprint`},
		"another's owner":  {[]string{"--owner", h.camera.Fingerprint().String()}, "vouches"},
		"another roster's": {[]string{"--roster-hash", "v1-" + owner}, "vouches"},
	} {
		other := filepath.Join(h.dir, "other.mkv")
		code, stdout, stderr := verify(append([]string{file, "--output", other}, tt.args...)...)
		if code != exitDamaged || !strings.Contains(stderr, tt.says) || !strings.Contains(stdout, "NOT VERIFIED") {
			t.Errorf("%s: exit %d\n%s%s", name, code, stdout, stderr)
		}
		if left, _ := filepath.Glob(other + "*"); len(left) > 0 {
			t.Errorf("%s: a clip was left: %v", name, left)
		}
	}
	b := readFile(t, file)
	b[len(b)/2] ^= 1
	changed := filepath.Join(h.dir, "changed.evidence")
	if err := os.WriteFile(changed, b, 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = verify(changed, "--owner", owner)
	if code != exitDamaged || !strings.Contains(stdout, "FAIL") || !strings.Contains(stderr, "fragments/0000000") {
		t.Errorf("changed: exit %d\n%s%s", code, stdout, stderr)
	}
	if code, _, _ := verify(filepath.Join(h.dir, "none"), "--owner", owner); code != exitNotFound {
		t.Errorf("no file: exit %d", code)
	}
	if code, _, _ := verify(); code != exitUsage {
		t.Errorf("no name: exit %d", code)
	}
	t.Run("without keys", func(t *testing.T) {
		code, _, stderr := command(t, "export", "--data", h.data, "--stream", "door", "--from", "-1m", "--until", "+1m", "--evidence", filepath.Join(h.dir, "x.evidence"))
		if code != exitNoKey {
			t.Errorf("exit %d\n%s", code, stderr)
		}
	})
	t.Run("strict clip", func(t *testing.T) {
		clip := filepath.Join(h.dir, "strict.mkv")
		if code, _, stderr := h.export("--from", "-1m", "--until", "+1m", "--output", clip); code != 0 {
			t.Fatalf("exit %d\n%s", code, stderr)
		}
		sameFrames(t, readFile(t, clip), demoClip)
	})
	t.Run("guest", func(t *testing.T) { h.evidenceOfAGuest(t, owner) })
	if left, _ := filepath.Glob(filepath.Join(h.dir, "*.part")); len(left) > 0 {
		t.Errorf("files were left: %v", left)
	}
}

// evidenceOfAGuest: who was shared some minutes with can hand them on as evidence, and no more.
func (h *sealedHome) evidenceOfAGuest(t *testing.T, owner string) {
	from, until := time.Now().Add(-time.Minute).Format(time.RFC3339), time.Now().Add(time.Minute).Format(time.RFC3339)
	link := filepath.Join(h.dir, "link")
	text := mustRun(t, "grant", "--data", h.data, "--stream", "door", "--from", from, "--until", until, "--guest", "--keys", h.viewerKeys.dir)
	if err := os.WriteFile(link, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(h.dir, "guest.evidence")
	code, _, stderr := command(t, "export", "--data", h.data, "--grant", link, "--evidence", file)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	code, stdout, stderr := command(t, "export", "verify", file, "--owner", owner)
	if code != 0 {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	says(t, stdout, "a guest, who cannot sign", "VERIFIED", "who made the file")
}
