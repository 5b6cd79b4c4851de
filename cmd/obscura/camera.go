// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/producer"
)

type cameraOptions struct {
	target
	stream, input string
	loop, fast    bool
	noCreate      bool
	retention     time.Duration
	kmsKey        string
	fragment      time.Duration
	buffer        string
	bufferKey     string
	bufferBytes   int64
	stopWait      time.Duration
	device        string
	e2ee          bool
	folder        keyFolder
}

func newCamera(t *terminal) *cobra.Command {
	var o cameraOptions
	cmd := &cobra.Command{
		Use:   "camera",
		Short: "Stream a camera or a file into a video stream",
		Long: `Stream a camera or a file into a video stream, which is made when it is missing.

Everything waits in a sealed buffer on this machine's disk until the server has acknowledged
it as durable; after a lost connection, or when this command is started again, it goes on
right there. Files are sent in real time and end by themselves, with exit status 0 when
the last fragment is durable. Ctrl-C stops after the current fragment; twice stops now.

With --e2ee all of it is end-to-end encrypted for the people on the household's roster, before
it goes into the buffer: the server can read nothing and change nothing unseen. The camera
is paired once, by obscura camera pair. It follows the roster while it runs: who is taken off
sees nothing from the next fragment on. Taken off itself, it stops with exit status 8.`,
		Example: `  obscura camera --stream front-door --input demo
  obscura camera --stream front-door --input rtsp://user:password@10.0.0.7/stream1
  obscura camera --stream tape --input recording.mp4 --fast
  obscura camera --stream front-door --input rtsp://10.0.0.7/stream1 --e2ee --keys front-door-keys`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return camera(cmd.Context(), t, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.stream, "stream", "", "name of the video stream")
	f.StringVar(&o.input, "input", "", "file, URL or /dev/video0, read by ffmpeg; or demo, a clip that is built in")
	f.BoolVar(&o.loop, "loop", false, "begin again at the end, with time going on")
	f.BoolVar(&o.fast, "fast", false, "send a file as fast as it is acknowledged, not in real time")
	f.BoolVar(&o.noCreate, "no-create", false, "do not make a missing stream")
	f.DurationVar(&o.retention, "retention", 24*time.Hour, "how long a new stream keeps its media, in full hours; 0 keeps nothing")
	f.StringVar(&o.kmsKey, "kms-key", "", "KMS key of a new stream (default: the service's)")
	f.DurationVar(&o.fragment, "fragment", producer.DefaultFragmentDuration, "length of fragments; they begin with key frames")
	f.StringVar(&o.buffer, "buffer", "", "folder for what is not durable yet (default: in the user's cache)")
	f.StringVar(&o.bufferKey, "buffer-key", "", "file of the key that seals the buffer, made when missing (default: in the user's configuration)")
	f.Int64Var(&o.bufferBytes, "buffer-bytes", producer.DefaultBufferBytes, "bound on the buffer; live input gives up the oldest when it is full")
	f.DurationVar(&o.stopWait, "stop-wait", 30*time.Second, "how long to wait for acknowledgements after Ctrl-C")
	f.StringVar(&o.device, "device", "", "folder of an enrolled device: its certificate takes the place of an access key, its name that of --stream")
	f.BoolVar(&o.e2ee, "e2ee", false, "encrypt end to end, for the household that this camera is paired with")
	o.folder.addFlags(f)
	o.target.addFlags(f)
	cmd.AddCommand(newCameraPair(t), newUnpair(t, "camera"))
	return cmd
}

func (o *cameraOptions) check() error {
	if o.stream == "" || o.input == "" {
		return usageError{errors.New("camera needs --stream and --input; try: obscura camera --stream front-door --input demo")}
	}
	return nil
}

func camera(ctx context.Context, t *terminal, o *cameraOptions) error {
	conn, err := o.connect(t)
	if err != nil {
		return err
	}
	home, err := o.household(ctx, t, conn)
	if err != nil {
		return err
	}
	defer home.end()
	return runCamera(ctx, t, o, conn, home)
}

// connect settles who sends, and where: a device by its certificate, or whoever has an access key.
func (o *cameraOptions) connect(t *terminal) (*connection, error) {
	if o.device == "" {
		if err := o.check(); err != nil {
			return nil, err
		}
		return o.target.find()
	}
	d, err := deviceConnection(o.device, t.log())
	if err != nil {
		return nil, err
	}
	o.stream = cmp.Or(o.stream, d.device)
	return d.conn, o.check()
}

// log is where warnings of the SDK go.
func (t *terminal) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(noteWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// noteWriter writes lines above the progress line.
type noteWriter struct{ t *terminal }

func (w noteWriter) Write(p []byte) (int, error) {
	if w.t.live() {
		fmt.Fprint(w.t.err, "\r\x1b[K")
	}
	return w.t.err.Write(p)
}

func runCamera(ctx context.Context, t *terminal, o *cameraOptions, conn *connection, home *sealedCamera) error {
	src, err := openSource(ctx, o.input)
	if err != nil {
		return err
	}
	p, err := o.open(conn, src.tracks(), home, t.log())
	if err != nil {
		return errors.Join(err, src.close())
	}
	bar := cameraProgress(t, o.stream, p, home)
	f := &feed{o: o, p: p, src: src, start: time.Now()}
	sent := f.run(ctx)
	interrupted := ctx.Err() != nil
	closing := context.WithoutCancel(ctx)
	if interrupted {
		t.note("stopping after this fragment; again to stop now")
		var cancel context.CancelFunc
		closing, cancel = context.WithTimeout(closing, o.stopWait)
		defer cancel()
	} else {
		var cancel context.CancelFunc
		closing, cancel = context.WithCancel(closing)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
	}
	closed := p.Close(closing)
	bar.stop()
	if refused := home.refusal(o.stream, sent); refused != nil {
		return refused
	}
	if err := o.outcome(conn, sent, closed, interrupted, context.Cause(ctx)); err != nil {
		return err
	}
	end := "the input has ended"
	if interrupted {
		end = "stopped"
	}
	t.note("%s: %s; %s durable", o.stream, end, count(int(p.Stats().Persisted), "fragment is", "fragments are"))
	return nil
}

// outcome says how it ended. What was interrupted is done only if it could not have ended by itself.
func (o *cameraOptions) outcome(conn *connection, sent, closed error, interrupted bool, cause error) error {
	what := fmt.Sprintf("cannot stream into %q", o.stream)
	var unsent *producer.UnsentError
	if errors.As(closed, &unsent) {
		var err error = unsent
		if unsent.Err != nil && !interrupted {
			err = unsent.Err
		}
		p := conn.explain(what, o.stream, err)
		if pr, ok := p.(*problem); ok && unsent.Fragments > 0 && pr.Next == "" {
			pr.Next = "start the same command again: it goes on with what is buffered"
		}
		return p
	}
	switch {
	case closed != nil:
		return conn.explain(what, o.stream, closed)
	case interrupted && (o.loop || isLive(o.input)):
		return nil
	case interrupted:
		return cause
	case sent != nil:
		return conn.explain(what, o.stream, sent)
	}
	return nil
}

func (o *cameraOptions) open(conn *connection, tracks []producer.Track, home *sealedCamera, log *slog.Logger) (*producer.Producer, error) {
	dir, err := o.bufferDir(conn)
	if err != nil {
		return nil, err
	}
	po := producer.Options{
		StreamName: o.stream, Tracks: tracks, FragmentDuration: o.fragment,
		BufferDir: dir, BufferBytes: o.bufferBytes, BufferKeyFile: o.bufferKey, BlockWhenFull: !isLive(o.input),
		Create: !o.noCreate, Retention: o.retention, KMSKeyID: o.kmsKey, Log: log,
		Seal: home.seal(o.stream),
	}
	conn.forProducer(&po)
	p, err := producer.Open(po)
	switch {
	case errors.Is(err, producer.ErrBufferInUse):
		return nil, &problem{
			What: fmt.Sprintf("cannot stream into %q", o.stream), Why: "another obscura camera on this machine does so",
			Next: "stop it, or choose another --stream or --buffer", Exit: exitConflict, Err: err,
		}
	case errors.Is(err, producer.ErrBufferPlain):
		return nil, &problem{
			What: fmt.Sprintf("cannot seal %q", o.stream), Why: "the buffer holds media of this stream that is not end-to-end encrypted",
			Next: "remove it: rm -r " + shellQuote(filepath.Join(dir, "stream-"+o.stream)) + "    (or send it first, without --e2ee)",
			Exit: exitConflict, Err: err,
		}
	case errors.Is(err, producer.ErrOptions):
		return nil, usageError{err}
	}
	return p, err
}

// bufferDir keeps the buffers for different servers apart.
func (o *cameraOptions) bufferDir(conn *connection) (string, error) {
	dir := o.buffer
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", &problem{What: "no place for the buffer", Why: err.Error(), Next: "name a folder with --buffer DIR", Exit: exitFailed, Err: err}
		}
		dir = filepath.Join(cache, "obscura", "buffer")
	}
	sum := sha256.Sum256([]byte(conn.identity()))
	return filepath.Join(dir, hex.EncodeToString(sum[:6])), nil
}

// feed moves frames from a source to a Producer.
type feed struct {
	o     *cameraOptions
	p     *producer.Producer
	src   *source
	start time.Time // of the first frame, by the wall clock

	offset time.Duration // added to the source's times
	last   map[uint64]time.Duration
	end    time.Duration // when the frames so far end
	begun  bool
}

// run returns nil at the end of the input, or when ctx has ended.
func (f *feed) run(ctx context.Context) error {
	for {
		err := f.once(ctx)
		closed := f.src.close()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case closed != nil:
			return fmt.Errorf("read %s: %w", f.o.input, closed)
		case !f.o.loop:
			return nil
		}
		f.offset = f.end
		if f.src, err = openSource(ctx, f.o.input); err != nil {
			return err
		}
	}
}

// once puts all frames of the source.
func (f *feed) once(ctx context.Context) error {
	f.last = map[uint64]time.Duration{}
	for {
		pic, err := f.src.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", f.o.input, err)
		}
		if !f.begun {
			f.begun, f.offset = true, -pic.at
			f.start = time.Now()
		}
		at := pic.at + f.offset
		f.note(pic.track, at)
		if err := f.pace(ctx, at); err != nil {
			return err
		}
		err = f.p.Put(ctx, producer.Frame{Track: pic.track, Time: f.start.Add(at), Key: pic.key, Data: pic.data})
		if err != nil {
			return err
		}
	}
}

// note keeps where the frame ends, if it is as long as the one before it.
func (f *feed) note(track uint64, at time.Duration) {
	if last, ok := f.last[track]; ok && at > last {
		f.end = max(f.end, at+at-last)
	}
	f.end = max(f.end, at)
	f.last[track] = at
}

// pace waits until a file's frame is due.
func (f *feed) pace(ctx context.Context, at time.Duration) error {
	if f.o.fast || isLive(f.o.input) {
		return nil
	}
	wait := time.Until(f.start.Add(at))
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// cameraProgress shows what the Producer says of itself.
func cameraProgress(t *terminal, stream string, p *producer.Producer, home *sealedCamera) *progress {
	var mu sync.Mutex
	w := newWindow(time.Now())
	state := func() (s producer.Stats, rate string, fps float64, acked, age string) {
		mu.Lock()
		defer mu.Unlock()
		s = p.Stats()
		rate, fps = w.rates(time.Now(), s.Bytes, s.Frames)
		acked, age = "-", "-"
		if !s.Acked.IsZero() {
			acked, age = s.Acked.Format("15:04:05"), fmt.Sprintf("%.1f s", max(time.Since(s.Acked), 0).Seconds())
		}
		return s, rate, fps, acked, age
	}
	text := func() string {
		s, rate, fps, acked, age := state()
		line := fmt.Sprintf("%s  %s  %.0f frames/s  acked %s (%s)  buffered %d  lost %d",
			stream, rate, fps, acked, age, s.BufferedFragments, s.Lost)
		if !s.Connected && s.BufferedFragments > 0 {
			line += "  not connected"
		}
		if home != nil {
			line += fmt.Sprintf("  roster v%d", home.version())
		}
		return line
	}
	pair := func() string {
		s, rate, fps, _, age := state()
		acked := "-"
		if !s.Acked.IsZero() {
			acked = s.Acked.UTC().Format(time.RFC3339Nano)
		}
		line := fmt.Sprintf("stream=%s rate=%q fps=%.1f acked=%s age=%q buffered=%d bufferedBytes=%d persisted=%d lost=%d connected=%t",
			cmp.Or(stream, "-"), rate, fps, acked, age, s.BufferedFragments, s.BufferedBytes, s.Persisted, s.Lost, s.Connected)
		if home != nil {
			line += fmt.Sprintf(" roster=%d", home.version())
		}
		return line
	}
	return t.startProgress(text, pair)
}
