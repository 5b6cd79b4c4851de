// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/internal/media/hls"
)

type viewServeOptions struct {
	viewOptions
	listen string
	origin string
	window time.Duration
}

// liveMemory bounds what a live presentation keeps.
const liveMemory = 256 << 20

func newViewServe(t *terminal) *cobra.Command {
	o := viewServeOptions{viewOptions: viewOptions{strict: true, giveUp: 5 * time.Minute}}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Let any player on this machine watch a video stream, verified and decrypted",
		Long: `Verify and decrypt a video stream as obscura view does, and serve it as HLS to the players of this
machine: ffplay, mpv, VLC, a browser. Live by default; with --from a recording, in which a player can
go back and forth.

Of an end-to-end encrypted stream only confirmed fragments are served, those that the camera has
signed. What is missing is a discontinuity, and standard error says what and why. Tampering ends the
playlist, and the program with exit status 7.

The address is printed on standard output. It holds a token that is new in each run: whoever knows the
address can watch. Only programs on this machine reach it, pages of other origins may not read it unless
--origin names theirs, and what is served is in memory alone.`,
		Example: `  obscura view serve --stream front-door
  obscura view serve --stream front-door --from "yesterday 14:00" --until "yesterday 15:00"
  ffplay "$(obscura view serve --stream front-door | head -1)"
  obscura view serve --stream front-door --listen 127.0.0.1:8080 --origin http://localhost:3000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return viewServe(cmd.Context(), t, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.stream, "stream", "", "name of the video stream")
	f.StringVar(&o.from, "from", "now", "now, earliest, or a TIME")
	f.StringVar(&o.until, "until", "", "TIME to end before (default: for a recording, now)")
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "address and port on the loopback interface; port 0 is a free one")
	f.StringVar(&o.origin, "origin", "", "another origin whose pages may read, such as http://localhost:3000")
	f.DurationVar(&o.window, "window", 30*time.Second, "how far back a player can go in a live stream")
	f.StringVar(&o.grant, "grant", "", "file with the line that obscura grant --guest printed; - for standard input")
	o.folder.addFlags(f)
	o.target.addFlags(f)
	return cmd
}

func (o *viewServeOptions) check() error {
	if o.window < 0 || o.window > time.Hour {
		return usageError{fmt.Errorf("--window %s: want up to an hour", o.window)}
	}
	if o.origin == "" {
		return nil
	}
	u, err := url.Parse(o.origin)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Scheme+"://"+u.Host != o.origin {
		return usageError{fmt.Errorf("--origin %q: want scheme, host and port alone, such as http://localhost:3000", o.origin)}
	}
	return nil
}

func viewServe(ctx context.Context, t *terminal, o *viewServeOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.grant != "" {
		if err := o.readLink(t); err != nil {
			return err
		}
	}
	now := time.Now()
	if err := o.settleTimes(t, now); err != nil {
		return err
	}
	l, err := listenLoopback(o.listen)
	if err != nil {
		return err
	}
	defer l.Close()
	conn, err := o.target.find()
	if err != nil {
		return err
	}
	if o.from != "now" {
		return o.serveArchive(ctx, t, conn, l, now)
	}
	return o.serveLive(ctx, t, conn, l)
}

// serveLive serves until the view ends.
func (o *viewServeOptions) serveLive(ctx context.Context, t *terminal, conn *connection, l net.Listener) error {
	w := newLiveWindow(hls.Limits{Length: o.window, Bytes: liveMemory})
	door := newDoor(o.stream+", live", l.Addr(), o.origin, w)
	defer o.serve(door, l)()
	ended := make(chan error, 1)
	viewing, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		out, err := o.read(viewing, t, conn, w, o.live)
		w.End()
		ended <- errors.Join(err, out.end)
	}()
	if err, over := o.awaitMedia(w, ended); over {
		return err
	}
	if err := o.announce(t, door, "live"); err != nil {
		cancel()
		return errors.Join(err, <-ended)
	}
	err := <-ended
	if err != nil && ctx.Err() == nil {
		o.linger(ctx, t, door, w.Target(), err)
	}
	return err
}

// announceAfter is how long the address is held back, since a view that is refused ends at once.
const announceAfter = 3 * time.Second

// awaitMedia waits until there is something to play, or it takes too long. over says that the view has ended instead.
func (o *viewServeOptions) awaitMedia(w *liveWindow, ended <-chan error) (err error, over bool) {
	ctx, cancel := context.WithTimeout(context.Background(), announceAfter)
	defer cancel()
	if _, err := w.Playlist(ctx, 0); errors.Is(err, hls.ErrPlaylist) {
		return <-ended, true
	}
	return nil, false
}

// linger lets players learn that it is over, and show what they have not shown yet.
func (o *viewServeOptions) linger(ctx context.Context, t *terminal, door *hlsDoor, target time.Duration, why error) {
	const most = 10 * time.Second
	if target == 0 || door.idle() > most {
		return // nobody watches
	}
	t.note("the playlist ends: %v", why)
	select {
	case <-time.After(min(3*target, most)):
	case <-ctx.Done():
	}
}

// serveArchive serves a recording until a signal ends it, or tampering does.
func (o *viewServeOptions) serveArchive(ctx context.Context, t *terminal, conn *connection, l net.Listener, now time.Time) error {
	m, done, err := o.viewer(ctx, t, conn)
	if err != nil {
		return err
	}
	defer done()
	co := consumer.Options{StreamName: o.stream, Log: t.log()}
	conn.forConsumer(&co)
	c, err := consumer.Open(co)
	if err != nil {
		return usageError{err}
	}
	defer c.Close()
	until := o.deadline
	if until.IsZero() {
		until = now
	}
	a, err := o.newArchivePlay(ctx, t, conn, c, m, until)
	if err != nil {
		return err
	}
	defer a.close()
	door := newDoor(o.stream, l.Addr(), o.origin, a)
	defer o.serve(door, l)()
	last := &a.list[len(a.list)-1]
	t.note("%s from %s until %s", count(len(a.list), "fragment", "fragments"), sayMoment(a.list[0].Producer.In(now.Location())),
		sayMoment(last.Producer.Add(last.Length).In(now.Location())))
	if err := o.announce(t, door, "a recording"); err != nil {
		return err
	}
	select {
	case err := <-a.end:
		return err
	case <-ctx.Done():
		return nil
	}
}

// serve answers players until the returned function is called.
func (o *viewServeOptions) serve(door *hlsDoor, l net.Listener) (stop func()) {
	s := &http.Server{
		Handler: door, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(io.Discard, "", 0), // what clients do wrong
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends when it is closed
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.Shutdown(ctx) != nil { // who is being answered gets a moment
			_ = s.Close()
		}
		<-done
	}
}

// announce prints the address, and how players take it.
func (o *viewServeOptions) announce(t *terminal, door *hlsDoor, what string) (err error) {
	address, page := door.url(masterName), door.url("")
	if t.json {
		err = json.NewEncoder(t.out).Encode(map[string]string{"url": address, "page": page, "stream": o.stream})
	} else {
		_, err = fmt.Fprintln(t.out, address)
	}
	t.note("ready: %q, %s. Whoever has this address can watch, until Ctrl-C:", o.stream, what)
	for _, player := range []string{"ffplay", "mpv", "vlc"} {
		t.note("  %-8s%s", player, address)
	}
	t.note("  %-8s%s", "browser", page)
	t.note("  %-8shls.loadSource(%q)    (its page's origin: %s)", "hls.js", address, cmp.Or(o.origin, "none; name it with --origin"))
	return err
}
