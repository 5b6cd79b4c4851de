// SPDX-License-Identifier: Apache-2.0

// Package interop runs programs that are not ours against the real server: ffmpeg, the aws command, boto3.
package interop

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/test/rig"
)

// TestMain lets more tests run at once than there are processors: footage comes in real time, and silence takes its time.
func TestMain(m *testing.M) {
	flag.Parse()
	err := flag.Set("test.parallel", "4")
	code := 1
	if err == nil {
		code, err = rig.Main(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// idle is after what time without media a view is over: a busy machine may take that long to begin.
const idle = "2500ms"

// sweep is sound in which no two moments are alike, so that a packet in a wrong place shows.
const sweep = "aevalsrc=exprs=0.5*sin(2*PI*t*(100+200*t)):sample_rate=44100"

// clip is footage, and how ffmpeg makes it.
type clip struct {
	name string
	args []string
	from string // real footage in testdata, instead of a test picture
}

func clips() []clip {
	picture := []string{"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=6"}
	sound := []string{"-f", "lavfi", "-i", sweep + ":duration=6", "-c:a", "aac", "-b:a", "64k"}
	made := func(codec ...string) []string { return append(append([]string{}, picture...), codec...) }
	return []clip{
		{name: "h264 baseline and aac", args: append(append(append([]string{}, picture...), sound[:4]...),
			"-c:a", "aac", "-b:a", "64k", "-c:v", "libx264", "-profile:v", "baseline", "-g", "25", "-pix_fmt", "yuv420p")},
		{name: "h264 high with b-frames", args: made("-c:v", "libx264", "-profile:v", "high", "-bf", "3", "-g", "50", "-pix_fmt", "yuv420p")},
		{name: "hevc", args: made("-c:v", "libx265", "-x265-params", "log-level=error", "-g", "50", "-pix_fmt", "yuv420p")},
		{name: "traffic camera", from: "car-detection.mp4", args: []string{
			"-f", "lavfi", "-i", sweep, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", "-b:a", "125k", "-shortest",
		}},
		{name: "conveyor", from: "bottle-detection.mp4", args: []string{"-c", "copy"}},
	}
}

// make makes the clip as an MP4 file.
func (c clip) make(t *testing.T) string {
	t.Helper()
	args := []string{"-v", "error", "-y"}
	if c.from != "" {
		args = append(args, "-i", filepath.Join("testdata", c.from))
	}
	name := filepath.Join(t.TempDir(), "clip.mp4")
	ffmpeg(t, append(append(args, c.args...), name)...)
	return name
}

func ffmpeg(t *testing.T, args ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("ffmpeg", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

// packet is one line of ffmpeg's framehash.
type packet struct {
	stream   int
	dts, pts float64 // seconds
	bytes    int
	hash     string
}

// framehash lists the packets of a file, as they are stored, by stream.
func framehash(t *testing.T, name string) map[int][]packet {
	t.Helper()
	packets := map[int][]packet{}
	base := map[int]float64{}
	scan := bufio.NewScanner(bytes.NewReader(ffmpeg(t, "-v", "error", "-i", name, "-map", "0", "-c", "copy", "-f", "framehash", "-")))
	for scan.Scan() {
		var i int
		var num, den float64
		if n, _ := fmt.Sscanf(scan.Text(), "#tb %d: %f/%f", &i, &num, &den); n == 3 {
			base[i] = num / den
		}
		fields := strings.Split(scan.Text(), ",")
		if strings.HasPrefix(scan.Text(), "#") || len(fields) < 6 {
			continue
		}
		value := func(k int) float64 {
			v, err := strconv.ParseFloat(strings.TrimSpace(fields[k]), 64)
			if err != nil {
				t.Fatalf("framehash: %q: %v", scan.Text(), err)
			}
			return v
		}
		i = int(value(0))
		packets[i] = append(packets[i], packet{i, value(1) * base[i], value(2) * base[i], int(value(4)), strings.TrimSpace(fields[5])})
	}
	return packets
}

// compare says what differs: bytes, order, or a time by more than a millisecond each way.
func compare(sent, got map[int][]packet) (wrong []string) {
	report := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if len(sent) != len(got) {
		report("%d streams were sent, %d came back", len(sent), len(got))
	}
	if len(sent[0]) == 0 || len(got[0]) == 0 {
		return append(wrong, "no pictures")
	}
	shift := got[0][0].pts - sent[0][0].pts
	for i := range sent {
		if len(sent[i]) != len(got[i]) {
			report("stream %d: %d packets were sent, %d came back", i, len(sent[i]), len(got[i]))
		}
		for k := range min(len(sent[i]), len(got[i])) {
			a, b := sent[i][k], got[i][k]
			if a.hash != b.hash || a.bytes != b.bytes {
				report("stream %d, packet %d: %d bytes %s, came back as %d bytes %s", i, k, a.bytes, a.hash, b.bytes, b.hash)
			}
			// Each way rounds to a millisecond once: that of the first picture, which is taken off, and its own.
			if off := math.Abs(b.pts - shift - a.pts); off > 0.00101 {
				report("stream %d, packet %d: shown at %.6f, came back %.3f ms off", i, k, a.pts, off*1000)
			}
		}
	}
	return wrong
}

// TestFootageComesBackAsItWas: what ffmpeg reads from a file and what it reads from the recording that was streamed
// to the server and back are the same packets, byte for byte, in order, and at the same times.
func TestFootageComesBackAsItWas(t *testing.T) {
	t.Parallel()
	rig.Need(t, "ffmpeg", "-version")
	data := filepath.Join(t.TempDir(), "data")
	rig.StartProcess(t, data, "--free-space", "-1")
	all := clips()
	if !rig.Full() {
		all = all[:1]
	}
	for i, c := range all {
		t.Run(c.name, func(t *testing.T) {
			source := c.make(t)
			sent := framehash(t, source)
			stream := fmt.Sprint("clip-", i)
			obscura(t, "camera", "--data", data, "--stream", stream, "--input", source, "--fast", "--buffer", t.TempDir(),
				"--buffer-key", filepath.Join(t.TempDir(), "buffer.key"))
			for _, format := range []string{"mkv", "mp4"} {
				out := filepath.Join(t.TempDir(), "back."+format)
				obscura(t, "view", "--data", data, "--stream", stream, "--from", "earliest", "--until-idle", idle, "--output", out)
				got := framehash(t, out)
				for n, w := range compare(sent, got) {
					if n < 10 {
						t.Errorf("%s: %s", format, w)
					}
				}
				control(t, sent, got)
			}
		})
	}
}

// control: a comparison that cannot see two packets swapped, or one gone, proves nothing.
func control(t *testing.T, sent, got map[int][]packet) {
	t.Helper()
	for i := range got {
		if len(got[i]) < 12 {
			t.Errorf("stream %d has only %d packets", i, len(got[i]))
			continue
		}
		swapped := append([]packet{}, got[i]...)
		swapped[10].hash, swapped[11].hash = swapped[11].hash, swapped[10].hash
		for what, other := range map[string][]packet{"swapped": swapped, "lost": append(append([]packet{}, got[i][:10]...), got[i][11:]...)} {
			changed := map[int][]packet{}
			for k := range got {
				changed[k] = got[k]
			}
			changed[i] = other
			if len(compare(sent, changed)) == 0 {
				t.Errorf("control: stream %d with packets %s is not told apart", i, what)
			}
		}
	}
}

// obscura runs the program to its good end.
func obscura(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(rig.Binary(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("obscura %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
