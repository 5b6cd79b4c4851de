// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package interop

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"

	"github.com/obscura-video/obscura/test/rig"
)

// devices are an owner, who watches too, and a camera: key folders that were set up by script.
type devices struct {
	owner, camera []string // flags
}

// newDevices founds a household, and lets a camera in.
func newDevices(t *testing.T, data string) devices {
	t.Helper()
	dir := t.TempDir()
	passphrase := filepath.Join(dir, "passphrase")
	if err := os.WriteFile(passphrase, []byte("correct horse battery staple\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := devices{
		owner:  []string{"--data", data, "--keys", filepath.Join(dir, "owner"), "--passphrase-file", passphrase},
		camera: []string{"--data", data, "--keys", filepath.Join(dir, "camera")},
	}
	answer(t, d.owner, "keys", "init", "--name", "Ana", "--kit-file", filepath.Join(dir, "kit.txt"))
	request := filepath.Join(dir, "camera.json")
	if err := os.WriteFile(request, answer(t, d.camera[2:], "keys", "request", "--camera", "--name", "Front door"), 0o600); err != nil {
		t.Fatal(err)
	}
	var added struct{ Pin string }
	if err := json.Unmarshal(answer(t, d.owner, "roster", "add", request, "--json"), &added); err != nil {
		t.Fatal(err)
	}
	answer(t, d.camera, "keys", "join", added.Pin)
	return d
}

// answer runs the program, with flags after the arguments, and returns its standard output.
func answer(t *testing.T, flags []string, args ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(rig.Binary(t), append(args, flags...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("obscura %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

// TestSealedFootageComesBackAsItWas: real footage, sealed by the camera and opened by the viewer, is the same packets, byte for byte, in
// order, and at the same times, although the server is killed in the middle; ffprobe, given what the server has, finds no codec.
func TestSealedFootageComesBackAsItWas(t *testing.T) {
	t.Parallel()
	rig.Need(t, "ffmpeg", "-version")
	data := filepath.Join(t.TempDir(), "data")
	p := rig.StartProcess(t, data, "--free-space", "-1")
	d := newDevices(t, data)
	source := filepath.Join(t.TempDir(), "clip.mp4")
	ffmpeg(t, "-v", "error", "-i", filepath.Join("testdata", "car-detection.mp4"), "-f", "lavfi", "-i", sweep,
		"-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", "-t", "5.5", source)
	sent := framehash(t, source)

	var said bytes.Buffer
	camera := exec.Command(rig.Binary(t), append([]string{
		"camera", "--stream", "yard", "--input", source, "--e2ee", "--fragment", "1s", "--buffer", t.TempDir(),
		"--buffer-key", filepath.Join(t.TempDir(), "key"),
	}, d.camera...)...)
	camera.Stderr = &said
	if err := camera.Start(); err != nil {
		t.Fatal(err)
	}
	awaitStream(t, p.Server, "yard")
	time.Sleep(time.Second) // inside the first fragment: it comes in real time
	p.Kill()
	time.Sleep(time.Second / 2)
	p.Restart()
	if err := camera.Wait(); err != nil {
		t.Fatalf("camera: %v\n%s", err, &said)
	}
	for _, format := range []string{"mkv", "mp4"} {
		out := filepath.Join(t.TempDir(), "back."+format)
		answer(t, d.owner, "view", "--stream", "yard", "--from", "earliest", "--until-idle", idle, "--output", out)
		got := framehash(t, out)
		for n, w := range compare(sent, got) {
			if n < 10 {
				t.Errorf("%s: %s", format, w)
			}
		}
		control(t, sent, got)
	}
	if !strings.Contains(said.String(), "connection is over") {
		t.Error("the server was not killed in the middle")
	}
	seesNothing(t, p.Server)
}

// awaitStream waits until the camera has made its stream: from then on it connects.
func awaitStream(t *testing.T, s *rig.Server, name string) {
	t.Helper()
	c := kinesisvideo.NewFromConfig(s.V2(s.Root))
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, err := c.DescribeStream(t.Context(), &kinesisvideo.DescribeStreamInput{StreamName: &name})
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// seesNothing looks at the stream as the server's administrator can.
func seesNothing(t *testing.T, s *rig.Server) {
	t.Helper()
	live, err := kinesisvideomedia.New(s.V1(s.Root)).GetMediaWithContext(t.Context(), &kinesisvideomedia.GetMediaInput{
		StreamName: aws.String("yard"), StartSelector: &kinesisvideomedia.StartSelector{StartSelectorType: aws.String("EARLIEST")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Payload.Close()
	raw := filepath.Join(t.TempDir(), "raw.mkv")
	f, err := os.Create(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.CopyN(f, live.Payload, 100_000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "stream=codec_type,codec_name,width,profile", "-of", "csv", raw).CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	text := string(out)
	if !strings.Contains(text, "video") || strings.Contains(text, "h264") || strings.Contains(text, "aac") || strings.Contains(text, "768") {
		t.Errorf("ffprobe finds %s", text)
	}
}
