// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"

	"github.com/obscura-video/obscura/test/rig"
)

// hlsServer is an obscura view serve that runs.
type hlsServer struct {
	url    string
	cmd    *exec.Cmd
	mu     sync.Mutex // guards stderr
	stderr bytes.Buffer
}

func (s *hlsServer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.Write(b)
}

// serveHLS runs obscura view serve until the test ends, or stop is called.
func serveHLS(t *testing.T, args ...string) (s *hlsServer, stop func()) {
	t.Helper()
	s = &hlsServer{cmd: exec.Command(rig.Binary(t), append([]string{"view", "serve"}, args...)...)}
	s.cmd.Stderr = s
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = s.cmd.Process.Signal(os.Interrupt)
		if err := s.cmd.Wait(); err != nil {
			t.Errorf("view serve: %v\n%s", err, &s.stderr)
		}
	})
	t.Cleanup(stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("view serve gave no address: %v\n%s", err, &s.stderr)
	}
	s.url = strings.TrimSpace(line)
	return s, stop
}

// awaitSegments waits until a live playlist has so many segments.
func (s *hlsServer) awaitSegments(t *testing.T, n int) {
	t.Helper()
	list := strings.Replace(s.url, "index.m3u8", "media.m3u8", 1)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(list)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && bytes.Count(b, []byte(".m4s")) >= n {
			return
		}
	}
	t.Fatalf("there are no %d segments\n%s", n, &s.stderr)
}

// TestPlayersGetTheFootageAsItWas: what ffmpeg reads from the HLS that obscura view serve gives is what was sent, byte for byte, in
// order and at the same times: of a recording all of it, live from the first segment on.
func TestPlayersGetTheFootageAsItWas(t *testing.T) {
	t.Parallel()
	rig.Need(t, "ffmpeg", "-version")
	data := filepath.Join(t.TempDir(), "data")
	server := rig.StartProcess(t, data, "--free-space", "-1")
	all := clips()
	if !rig.Full() {
		all = all[:1]
	}
	for i, c := range all {
		t.Run(c.name, func(t *testing.T) {
			source := c.make(t)
			sent := framehash(t, source)
			camera := func(stream string) {
				obscura(t, "camera", "--data", data, "--stream", stream, "--input", source, "--fast", "--buffer", t.TempDir(),
					"--buffer-key", filepath.Join(t.TempDir(), "buffer.key"))
			}
			camera(fmt.Sprint("recorded-", i))
			s, stop := serveHLS(t, "--data", data, "--stream", fmt.Sprint("recorded-", i), "--from", "earliest", "--until", "+10m")
			got := framehash(t, s.url)
			report(t, "a recording", compare(sent, got))
			control(t, sent, got)
			stop()

			stream := fmt.Sprint("live-", i)
			in := &kinesisvideo.CreateStreamInput{StreamName: &stream, DataRetentionInHours: new(int32(1))}
			if _, err := kinesisvideo.NewFromConfig(server.V2(server.Root)).CreateStream(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			s, _ = serveHLS(t, "--data", data, "--stream", stream, "--window", "1h")
			camera(stream)
			s.awaitSegments(t, 3)
			report(t, "live", comparePrefix(sent, liveHash(t, s.url), 30))
		})
	}
}

func report(t *testing.T, what string, wrong []string) {
	t.Helper()
	for n, w := range wrong {
		if n < 10 {
			t.Errorf("%s: %s", what, w)
		}
	}
}

// liveHash is framehash of the beginning of a presentation that does not end.
func liveHash(t *testing.T, url string) map[int][]packet {
	t.Helper()
	name := filepath.Join(t.TempDir(), "live.mkv")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-live_start_index", "0", "-i", url, "-map", "0", "-c", "copy", "-t", "3", name)
	if out, err := cmd.CombinedOutput(); err != nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return framehash(t, name)
}

// comparePrefix is compare for what was not read to the end: at least so many packets of each stream, and all of them right.
func comparePrefix(sent, got map[int][]packet, least int) []string {
	short := map[int][]packet{}
	for i := range sent {
		n := min(len(sent[i]), len(got[i]))
		if n < least {
			return []string{fmt.Sprintf("stream %d: only %d packets were read", i, n)}
		}
		short[i] = sent[i][:n]
	}
	return compare(short, got)
}
