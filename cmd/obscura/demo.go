// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

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
		Long: `Start a server in a temporary folder on free ports, and make the keys of an owner, a camera and
a viewer. Stream the built-in clip into it, end-to-end encrypted; read it back, and check that
every frame is the one that was sent and confirmed by the camera's signature. Then search the
server's folder, and what it gives to an ordinary client, for pieces of the clip: there must be
none. It goes on until Ctrl-C, so that you can look around from another terminal.

It keeps nothing: Ctrl-C removes all, unless --data names a folder. Then the keys stay beside
it, in a folder of that name with -keys.`,
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
	keys := base
	if o.data != "" {
		keys = filepath.Clean(o.data) + "-keys"
	}
	h, err := newDemoHousehold(ctx, t, conn, keys, demoStream)
	if err != nil {
		return err
	}
	// The camera has folders of its own, so that the demo touches nothing of the user's.
	c := &cameraOptions{
		e2ee: true, folder: h.cameraKeys,
		stream: demoStream, input: demoInput, loop: true, retention: 24 * time.Hour, fragment: producer.DefaultFragmentDuration,
		buffer: filepath.Join(base, "buffer"), bufferKey: filepath.Join(base, "buffer.key"), bufferBytes: producer.DefaultBufferBytes,
	}
	return runDemo(ctx, t, o, c, conn, h, base)
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
func runDemo(ctx context.Context, t *terminal, o *demoOptions, c *cameraOptions, conn *connection, h *demoHousehold, base string) (err error) {
	began := time.Now()
	if err := makeDemoStream(ctx, conn, c.retention); err != nil {
		return err
	}
	home, err := c.household(ctx, t, conn)
	if err != nil {
		return err
	}
	defer home.end()
	src, err := openSource(ctx, demoInput)
	if err != nil {
		return err
	}
	p, err := c.open(conn, src.tracks(), home, t.log())
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
	v := &demoViewer{t: t, conn: conn, home: h, began: began}
	seen, err := v.view(ctx, file)
	if err != nil {
		return err
	}
	found, err := v.search(ctx, []string{conn.data, c.buffer}, file, seen.bytes)
	if err != nil {
		return err
	}
	if err := demoReport(ctx, t, conn, seen, found); err != nil || o.once {
		return err
	}
	demoNext(t, conn, o, h, file)
	bar := cameraProgress(t, demoStream, p, home)
	<-ctx.Done()
	bar.stop()
	t.note("stopping")
	return nil
}

// demoNext says what to try.
func demoNext(t *terminal, conn *connection, o *demoOptions, h *demoHousehold, file string) {
	data, keys := shellQuote(conn.data), shellQuote(h.viewerKeys.dir)
	line := func(text string) { t.note("  %s", t.pasteable(text)) }
	t.note("")
	t.note("In another terminal, with the viewer's keys:")
	line(fmt.Sprintf("obscura view --data %s --stream %s --keys %s --output - | ffplay -", data, demoStream, keys))
	line(fmt.Sprintf("obscura view --data %s --stream %s --keys %s --from earliest --until-idle 3s --output demo.mkv", data, demoStream, keys))
	t.note("and without them, as the server's own administrator; ffprobe finds \"Video: none\":")
	line(fmt.Sprintf("obscura view --data %s --stream %s --output nothing.mkv", data, demoStream))
	if e, err := readEndpoints(conn.data); err == nil {
		line(fmt.Sprintf(`eval "$(obscura env --data %s)"; timeout 5 aws kinesis-video-media get-media --endpoint-url %s --stream-name %s --start-selector StartSelectorType=EARLIEST sealed.mkv; ffprobe -hide_banner sealed.mkv`,
			data, e.Media, demoStream))
	}
	t.note("%s is what was viewed and checked.", file)
	t.note("")
	if o.data == "" {
		t.note("It keeps nothing; Ctrl-C removes all.")
	} else {
		t.note("Ctrl-C ends it; %s and the keys beside it stay.", conn.data)
	}
}
