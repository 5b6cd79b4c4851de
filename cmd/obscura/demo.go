// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/producer"
)

type demoOptions struct {
	data string
	once bool
}

func newDemo(t *terminal) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a server, a camera and a verified view in one command",
		Long: `Start a server in a temporary folder on free ports, stream the built-in clip into it, read it
back, and check that every frame is the one that was sent. It then goes on until Ctrl-C, so
that you can look around from another terminal.

It keeps nothing: Ctrl-C removes all, unless --data names a folder.`,
		Example: `  obscura demo
  obscura demo --once              end after the first verified view
  obscura demo --data ./demo-data  and keep what was recorded`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return demo(cmd.Context(), t, &o) },
	}
	cmd.Flags().StringVar(&o.data, "data", "", "data directory to use and keep (default: a temporary one, removed in the end)")
	cmd.Flags().BoolVar(&o.once, "once", false, "end after the first verified view")
	return cmd
}

// demoStream is the stream's name.
const demoStream = "demo"

// viewerFirst is how long the camera waits for the viewer, who else would see the first fragment when it is complete
// only, and not as it comes.
const viewerFirst = 300 * time.Millisecond

// demoCheck is how much of the clip the first view checks, at least: the first fragment ends there.
const demoCheck = 4 * time.Second

func demo(ctx context.Context, t *terminal, o *demoOptions) (err error) {
	base, err := os.MkdirTemp("", "obscura-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(base)) }()
	data := o.data
	if data == "" {
		data = filepath.Join(base, "data")
	}
	stop, err := demoServer(ctx, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	conn, err := (&target{data: data}).find()
	if err != nil {
		return err
	}
	// The camera has a folder and a key of its own, so that the demo touches nothing of the user's.
	c := &cameraOptions{
		stream: demoStream, input: demoInput, loop: true, retention: 24 * time.Hour, fragment: producer.DefaultFragmentDuration,
		buffer: filepath.Join(base, "buffer"), bufferKey: filepath.Join(base, "buffer.key"), bufferBytes: producer.DefaultBufferBytes,
	}
	return runDemo(ctx, t, o, c, conn, base)
}

// demoServer runs a server until stop is called, which waits for it.
func demoServer(ctx context.Context, data string) (stop func() error, err error) {
	free, off := server.Listener{Listen: "127.0.0.1:0"}, server.Listener{Listen: server.Off}
	s, err := server.Open(ctx, server.Config{
		Data: data, API: free, Media: free, Device: off, Admin: off, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, explainStart(&serveOptions{}, err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- s.Run(running) }()
	return func() error {
		cancel()
		return <-done
	}, nil
}

// runDemo streams, views and verifies, and then goes on.
func runDemo(ctx context.Context, t *terminal, o *demoOptions, c *cameraOptions, conn *connection, base string) (err error) {
	began := time.Now()
	if err := makeDemoStream(ctx, conn, c.retention); err != nil {
		return err
	}
	src, err := openSource(ctx, demoInput)
	if err != nil {
		return err
	}
	p, err := c.open(conn, src.tracks(), nil, t.log())
	if err != nil {
		return err
	}
	feeding, enough := context.WithCancel(ctx)
	sent := make(chan error, 1)
	go func() {
		time.Sleep(viewerFirst)
		sent <- (&feed{o: c, p: p, src: src}).run(feeding)
	}()
	defer func() {
		enough()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if closed := errors.Join(<-sent, p.Close(closing)); err == nil && closed != nil {
			err = conn.explain("cannot stream the demo", demoStream, closed)
		}
	}()
	file := filepath.Join(base, "demo.mp4")
	seen, err := demoView(ctx, t, conn, began, file)
	if err != nil {
		return err
	}
	if err := demoReport(ctx, t, conn, seen); err != nil || o.once {
		return err
	}
	demoNext(t, conn, o, file)
	bar := cameraProgress(t, demoStream, p, nil)
	<-ctx.Done()
	bar.stop()
	t.note("stopping")
	return nil
}

// demoSeen is what the first view found.
type demoSeen struct {
	pictures, sounds int
	length           time.Duration
}

// demoView reads the stream from its beginning into a file, and holds each frame against the clip.
func demoView(ctx context.Context, t *terminal, conn *connection, began time.Time, file string) (seen demoSeen, err error) {
	co := consumer.Options{StreamName: demoStream, GiveUpAfter: 10 * time.Second, Log: slog.New(slog.DiscardHandler)}
	conn.forConsumer(&co)
	c, err := consumer.Open(co)
	if err != nil {
		return seen, err
	}
	defer c.Close()
	f, err := createOutput(file)
	if err != nil {
		return seen, err
	}
	out := newFootage(f, formatMP4)
	check, err := newClipCheck(ctx)
	if err != nil {
		return seen, err
	}
	var frames []consumer.Frame
	for ev, err := range c.Events(ctx, consumer.ServerTime(began.Add(-time.Second))) {
		if err != nil {
			return seen, conn.explain("cannot view the demo", demoStream, err)
		}
		if ev.Fragment.Producer.Before(began) {
			continue // of an earlier demo with the same data
		}
		switch ev.Kind {
		case consumer.Begin:
			frames = nil
		case consumer.Arrived:
			if check.frames == 0 && len(frames) == 0 {
				t.note("first picture after %.1f s", time.Since(began).Seconds())
			}
			frames = append(frames, ev.Frame)
		case consumer.Complete:
			ev.Fragment.Frames = frames
			if err := errors.Join(check.add(ev.Fragment), out.add(ev.Fragment)); err != nil {
				return seen, &problem{What: "the demo's frames are not the ones that were sent", Why: err.Error(), Exit: exitDamaged, Err: err}
			}
		}
		if ev.Kind == consumer.Complete && check.length() >= demoCheck {
			break
		}
	}
	return check.seen(), errors.Join(out.close(), f.keep())
}

// clipCheck holds frames against those of the clip, in their order.
type clipCheck struct {
	clip   *source
	zero   time.Time // of the clip
	last   time.Time
	frames int
	found  demoSeen
}

func newClipCheck(ctx context.Context) (*clipCheck, error) {
	src, err := openSource(ctx, demoInput)
	return &clipCheck{clip: src}, err
}

// add checks a fragment: bytes, track, key flag and, to the millisecond, time.
func (c *clipCheck) add(f *consumer.Fragment) error {
	for _, got := range f.Frames {
		want, err := c.clip.next()
		if err == io.EOF {
			return nil // the clip has begun again
		}
		if err != nil {
			return err
		}
		if c.frames == 0 {
			c.zero = got.Time.Add(-want.at)
		}
		off := got.Time.Sub(c.zero) - want.at
		if got.Track != want.track || got.Key != want.key || string(got.Data) != string(want.data) || off.Abs() > time.Millisecond {
			return fmt.Errorf("frame %d at %s differs", c.frames, want.at)
		}
		c.frames++
		c.last = got.Time
		if isVideo(f.Tracks, got.Track) {
			c.found.pictures++
		} else {
			c.found.sounds++
		}
	}
	return nil
}

func (c *clipCheck) length() time.Duration { return c.last.Sub(c.zero) }

func (c *clipCheck) seen() demoSeen {
	s := c.found
	s.length = c.length()
	return s
}

// demoNext says what to try.
func demoNext(t *terminal, conn *connection, o *demoOptions, file string) {
	data := shellQuote(conn.data)
	t.note("")
	t.note("In another terminal:")
	for _, line := range []string{
		fmt.Sprintf("obscura view --data %s --stream %s --output - | ffplay -", data, demoStream),
		fmt.Sprintf("obscura view --data %s --stream %s --from earliest --until-idle 3s --output demo.mkv", data, demoStream),
		fmt.Sprintf(`eval "$(obscura env --data %s)"; aws kinesisvideo list-streams`, data),
	} {
		t.note("  %s", t.pasteable(line))
	}
	t.note("  %s   is what was viewed and checked", file)
	t.note("")
	if o.data == "" {
		t.note("It keeps nothing; Ctrl-C removes all.")
	} else {
		t.note("Ctrl-C ends it; %s stays.", conn.data)
	}
}
