// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/media/fmp4"
	"github.com/obscura-video/obscura/internal/media/mkv"
	"github.com/obscura-video/obscura/producer"
)

//go:embed demo/clip.mkv
var demoClip []byte

// picture is one frame of a source; its data is good until the next one.
type picture struct {
	track uint64
	at    time.Duration // from the source's zero
	key   bool
	data  []byte
}

// source is Matroska that is being read. It is for one goroutine.
type source struct {
	header *mkv.Header
	reader *mkv.Reader
	queue  []fmp4.Sample // of the block that is being delivered
	close  func() error
}

// openMatroska reads the header of r.
func openMatroska(r io.Reader, closer func() error) (*source, error) {
	s := &source{reader: mkv.NewReader(r, mkv.Options{}), close: closer}
	ev, err := s.reader.Next()
	h, ok := ev.(*mkv.Header)
	if err == nil && !ok {
		err = errors.New("it does not begin with a header")
	}
	if err != nil {
		return nil, errors.Join(err, closer())
	}
	s.header = h
	return s, nil
}

// tracks returns what the frames belong to.
func (s *source) tracks() []producer.Track { return s.header.Tracks }

// next returns the next frame, or io.EOF.
func (s *source) next() (picture, error) {
	for len(s.queue) == 0 {
		ev, err := s.reader.Next()
		if err != nil {
			return picture{}, err
		}
		if b, ok := ev.(*mkv.Block); ok {
			s.queue = fmp4.AppendSamples(s.queue, s.header, b)
		}
	}
	f := s.queue[0]
	s.queue = s.queue[1:]
	return picture{track: uint64(f.Track), at: f.PTS, key: f.Keyframe, data: f.Data}, nil
}

// demoInput is the name of the clip that is built in.
const demoInput = "demo"

// isLive tells whether an input comes at its own pace and does not end by itself.
func isLive(input string) bool {
	for _, prefix := range []string{"rtsp:", "rtsps:", "rtmp:", "srt:", "udp:", "rtp:", "/dev/video"} {
		if strings.HasPrefix(input, prefix) {
			return true
		}
	}
	return false
}

// openSource opens an input: the demo clip, or anything that ffmpeg reads.
func openSource(ctx context.Context, input string) (*source, error) {
	if input == demoInput {
		return openMatroska(bytes.NewReader(demoClip), func() error { return nil })
	}
	if !strings.Contains(input, "://") {
		if _, err := os.Stat(input); err != nil {
			return nil, &problem{What: "cannot read " + input, Why: err.Error(), Exit: exitNotFound, Err: err}
		}
	}
	return openFFmpeg(ctx, input)
}

// ffmpegArgs copies the first video and the first audio track into Matroska. Only a bare device, which gives no
// coded video, is encoded.
func ffmpegArgs(input string) []string {
	args := []string{"-nostdin", "-hide_banner", "-loglevel", "error"}
	switch {
	case strings.HasPrefix(input, "rtsp"):
		args = append(args, "-rtsp_transport", "tcp")
	case strings.HasPrefix(input, "/dev/video"):
		args = append(args, "-f", "v4l2")
	}
	args = append(args, "-i", input, "-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy")
	if strings.HasPrefix(input, "/dev/video") {
		args = append(args, "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
			"-force_key_frames", "expr:gte(t,n_forced*2)")
	}
	// ffmpeg keeps a cluster back until it is complete, so short ones come sooner.
	return append(args, "-cluster_time_limit", "100", "-flush_packets", "1", "-f", "matroska", "-")
}

func openFFmpeg(ctx context.Context, input string) (*source, error) {
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil, &problem{
			What: "cannot read " + input, Why: "ffmpeg is not installed, and it reads every input but demo",
			Next: "apt install ffmpeg    (or brew install ffmpeg)", Exit: exitFailed, Err: err,
		}
	}
	cmd := exec.CommandContext(ctx, path, ffmpegArgs(input)...)
	var said tail
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start ffmpeg: %w", err)
	}
	closer := sync.OnceValue(func() error {
		out.Close() // ffmpeg ends when nobody reads
		err := cmd.Wait()
		if ctx.Err() != nil || said.String() == "" {
			return nil
		}
		return err
	})
	s, err := openMatroska(out, closer)
	if err != nil {
		why := said.String()
		if why == "" {
			why = err.Error()
		}
		return nil, &problem{What: "cannot read " + input, Why: why, Next: "ffprobe " + shellQuote(input), Exit: exitFailed, Err: err}
	}
	return s, nil
}

// tail keeps the last of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 1000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-tailBytes):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
