// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/household"
	"github.com/obscura-video/obscura/internal/media/codec"
)

type viewOptions struct {
	target
	stream         string
	from, until    string
	untilIdle      time.Duration
	output, format string
	strict         bool
	folder         keyFolder
	grant          string
	link           *household.GuestLink // of grant
	giveUp         time.Duration        // on a server that does not answer; 0 for the default
	archive        bool                 // what is asked for is there already: nothing is waited for

	start    consumer.Start
	fromTime time.Time // zero for now and earliest
	deadline time.Time // zero without --until
}

func newView(t *terminal) *cobra.Command {
	var o viewOptions
	cmd := &cobra.Command{
		Use:   "view",
		Short: "Read a video stream into a file that plays",
		Long: `Read a video stream, live or from a moment on, into one continuous file: fragmented MP4
or Matroska. Every frame is the one that the camera sent, byte for byte, with its time.

What comes end-to-end encrypted is verified and decrypted here, with the keys of this device; see
obscura pair. A file then holds confirmed fragments alone: those that the camera has signed. On
standard output Matroska is written as it comes, which is provisional until the camera's
signature does, unless --strict is given. Tampering ends the view with exit status 7, and so
does readable media of a stream that is known to be sealed; a missing key with 8.

TIME is 14:32, "yesterday 14:32", 2026-11-22T14:32:07Z or -10m, by the camera's clock. Without
--until and --until-idle it goes on until Ctrl-C.`,
		Example: `  obscura view --stream front-door --output now.mp4
  obscura view --stream front-door --from "yesterday 14:32" --until "yesterday 14:40" --output door.mkv
  obscura view --stream front-door --output - | ffplay -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return view(cmd.Context(), t, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.stream, "stream", "", "name of the video stream")
	f.StringVar(&o.from, "from", "now", "now, earliest, or a TIME")
	f.StringVar(&o.until, "until", "", "TIME to end before")
	f.DurationVar(&o.untilIdle, "until-idle", 0, "end when no media has come for so long")
	f.StringVar(&o.output, "output", "", "file, or - for standard output (default: named by stream and time, .mp4)")
	f.StringVar(&o.format, "format", "", "mp4 or mkv (default: by the file's name; mkv on standard output)")
	f.BoolVar(&o.strict, "strict", false, "of an end-to-end encrypted stream, write confirmed fragments only")
	f.StringVar(&o.grant, "grant", "", "file with the line that obscura grant --guest printed; - for standard input")
	o.folder.addFlags(f)
	o.target.addFlags(f)
	cmd.AddCommand(newViewServe(t))
	return cmd
}

// settle checks the options and reads the times as of now.
func (o *viewOptions) settle(t *terminal, now time.Time) error {
	if err := o.settleTimes(t, now); err != nil {
		return err
	}
	return o.settleOutput(t, now)
}

func (o *viewOptions) settleTimes(t *terminal, now time.Time) error {
	if o.stream == "" {
		return usageError{errors.New("view needs --stream; try: obscura view --stream front-door --output a.mp4")}
	}
	switch o.from {
	case "now":
		o.start = consumer.Now()
	case "earliest":
		o.start = consumer.Earliest()
	default:
		at, err := parseMoment(o.from, now)
		if err != nil {
			return err
		}
		o.start, o.fromTime = consumer.ProducerTime(at), at
		t.note("from %s", sayMoment(at))
	}
	if o.until != "" {
		at, err := parseMoment(o.until, now)
		if err != nil {
			return err
		}
		if !at.After(o.fromTime) {
			return usageError{fmt.Errorf("--until %s is not after --from %s", sayMoment(at), sayMoment(o.fromTime))}
		}
		o.deadline = at
		t.note("until %s", sayMoment(at))
	}
	return nil
}

func (o *viewOptions) settleOutput(t *terminal, now time.Time) (err error) {
	switch {
	case o.output == "-" && t.outIsTerminal():
		return usageError{errors.New("video is not printed to a terminal; name a file with --output, or pipe it: obscura view … --output - | ffplay -")}
	case o.output == "-" && o.format == "":
		o.format = formatMKV
	case o.output == "":
		at := now
		if !o.fromTime.IsZero() {
			at = o.fromTime
		}
		if o.format == "" {
			o.format = formatMP4
		}
		o.output = fmt.Sprintf("%s-%s.%s", o.stream, at.UTC().Format("20060102T150405Z"), o.format)
	}
	switch o.format {
	case "":
		o.format, err = formatOf(o.output)
		return err
	case formatMKV, formatMP4:
		return nil
	}
	return usageError{fmt.Errorf("--format %q: want mp4 or mkv", o.format)}
}

func view(ctx context.Context, t *terminal, o *viewOptions) error {
	if o.grant != "" {
		if err := o.readLink(t); err != nil {
			return err
		}
	}
	if err := o.settle(t, time.Now()); err != nil {
		return err
	}
	conn, err := o.target.find()
	if err != nil {
		return err
	}
	if o.output == "-" {
		out, err := o.read(ctx, t, conn, newFootage(t.out, o.format), o.live)
		if out.sink.tally().fragments == 0 {
			return errors.Join(err, out.end, o.nothing(err, out.end))
		}
		return cmp.Or(err, out.end)
	}
	return o.toFile(ctx, t, conn, o.live)
}

// toFile reads into a file that has its name only when all is in it.
func (o *viewOptions) toFile(ctx context.Context, t *terminal, conn *connection, from origin) error {
	f, err := createOutput(o.output)
	if err != nil {
		return err
	}
	file := newFootage(f, o.format)
	out, err := o.read(ctx, t, conn, file, from)
	switch {
	case file.fragments == 0:
		return errors.Join(err, out.end, f.discard(), o.nothing(err, out.end))
	case err != nil || out.end != nil:
		t.note("what came so far is in %s", f.Name())
		return errors.Join(err, out.end, f.Close())
	}
	if err := f.keep(); err != nil {
		return err
	}
	t.note("%s: %s, %d frames in %d fragments, %s", f.path, file.length().Round(time.Millisecond), file.frames, file.fragments, byteSize(file.bytes))
	if file.skipped > 0 {
		t.note("%d fragments were there already and are left out", file.skipped)
	}
	return nil
}

// nothing is the problem of a view that ended well without any media.
func (o *viewOptions) nothing(errs ...error) error {
	if errors.Join(errs...) != nil {
		return nil
	}
	return &problem{
		What: fmt.Sprintf("no media of %q came", o.stream), Exit: exitNotFound,
		Next: fmt.Sprintf("obscura view --stream %s --from earliest --until-idle 5s", shellQuote(o.stream)),
	}
}

// sink takes what a view reads.
type sink interface {
	// add takes a whole fragment, addPart some frames of one; whole says that they are its last.
	add(f *consumer.Fragment) error
	addPart(f *consumer.Fragment, whole bool) error
	// cut says that the rest of the fragment does not come, gap that something is missing before the next one.
	cut()
	gap()
	close() error
	tally() tally
}

// tally is what a sink has taken.
type tally struct {
	fragments, frames, bytes int64
	end                      time.Time // of the latest frame
}

// viewed is what a view has read. end is why it is not all that was asked for; nil if it is.
type viewed struct {
	sink
	end error
}

// errIdleLongEnough is why reading ends although nothing is wrong.
var errIdleLongEnough = errors.New("no more media")

// untilGrace is how long media of before --until may be late once that time has passed.
const untilGrace = 5 * time.Second

// origin is where a view reads from.
type origin func(context.Context, *consumer.Consumer) iter.Seq2[consumer.Event, error]

// live reads from the start on, for as long as there is something to come.
func (o *viewOptions) live(ctx context.Context, c *consumer.Consumer) iter.Seq2[consumer.Event, error] {
	return c.Events(ctx, o.start)
}

// reading is one run over a stream.
type reading struct {
	conn   *connection
	c      *consumer.Consumer
	events iter.Seq2[consumer.Event, error]
	out    *viewed
	bar    *viewBar
}

// read reads until there is a reason to end. The error is one of writing or of the service.
func (o *viewOptions) read(ctx context.Context, t *terminal, conn *connection, into sink, from origin) (*viewed, error) {
	out := &viewed{sink: into}
	m, done, err := o.viewer(ctx, t, conn)
	if err != nil {
		return out, err
	}
	defer done()
	co := consumer.Options{StreamName: o.stream, GiveUpAfter: cmp.Or(o.giveUp, 30*time.Second), Log: t.log()}
	conn.forConsumer(&co)
	c, err := consumer.Open(co)
	if err != nil {
		return out, usageError{err}
	}
	defer c.Close()
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := o.watchIdle(cancel)
	defer idle.stop()
	sealed, events, stop, err := o.recognise(idle.watch(from(running, c)), m)
	if err != nil {
		return out, err
	}
	defer stop()
	r := &reading{conn: conn, c: c, events: events, out: out, bar: viewProgress(t, o.stream)}
	defer r.bar.stop()
	if sealed {
		return out, o.readSealed(ctx, t, r, m)
	}
	return out, o.readPlain(ctx, t, r, m)
}

// readPlain reads a stream that is not end-to-end encrypted.
func (o *viewOptions) readPlain(ctx context.Context, t *terminal, r *reading, m *member) error {
	doubted := false
	for f, err := range consumer.Whole(r.events) {
		if err != nil {
			return o.ended(ctx, r.conn, r.out, err)
		}
		if !doubted {
			doubted = true
			if err := o.doubt(t, m); err != nil {
				return errors.Join(err, r.out.close())
			}
		}
		if !o.deadline.IsZero() && !f.Producer.Before(o.deadline) {
			break
		}
		if err := r.out.add(f); err != nil {
			return o.explainWrite(r.conn, r.out, f, err)
		}
		r.bar.see(r.out.tally(), f.Behind)
	}
	return r.out.close()
}

// ended settles what the end of the reading means.
func (o *viewOptions) ended(ctx context.Context, conn *connection, out *viewed, err error) error {
	closed := out.close()
	switch {
	case errors.Is(err, errIdleLongEnough):
	case ctx.Err() != nil:
		// Without a bound, a signal is how a view ends.
		if o.untilIdle > 0 || !o.deadline.IsZero() {
			out.end = context.Cause(ctx)
		}
	default:
		return errors.Join(conn.explain(fmt.Sprintf("cannot view %q", o.stream), o.stream, err), closed)
	}
	return closed
}

// explainWrite says why a fragment could not be written.
func (o *viewOptions) explainWrite(conn *connection, out *viewed, f *consumer.Fragment, err error) error {
	p := &problem{What: fmt.Sprintf("cannot view %q", o.stream), Why: err.Error(), Exit: exitFailed, Err: err}
	switch {
	case errors.Is(err, syscall.EPIPE):
		return err
	case errors.Is(err, errContradicted):
		p.Why, p.Exit = "tampered: "+err.Error()+"; playback stopped", exitDamaged
		p.Next = "watch with --strict, which shows nothing before it is confirmed; a viewer's key may be in wrong hands"
	case errors.Is(err, errTracksChanged):
		p.Why = "its encoding changes at " + sayMoment(f.Producer) + ", and one file has one encoding"
		p.Next = fmt.Sprintf("obscura view --stream %s --from %s", shellQuote(o.stream), f.Producer.UTC().Format(time.RFC3339Nano))
	case errors.Is(err, codec.ErrUnsupported):
		p.Next = "write Matroska: --output FILE.mkv"
	}
	return errors.Join(p, out.close())
}

// idleWatch ends a view when no media comes.
type idleWatch struct {
	timer *time.Timer
	after func() time.Duration
}

// watchIdle watches for --until-idle, and for the time of --until to pass.
func (o *viewOptions) watchIdle(cancel context.CancelCauseFunc) *idleWatch {
	if o.archive {
		return &idleWatch{} // else a slow server would make a short file
	}
	w := &idleWatch{after: func() time.Duration {
		d := o.untilIdle
		if past := max(time.Until(o.deadline), 0) + untilGrace; !o.deadline.IsZero() && (d == 0 || past < d) {
			d = past
		}
		return d
	}}
	if d := w.after(); d > 0 {
		w.timer = time.AfterFunc(d, func() { cancel(errIdleLongEnough) })
	}
	return w
}

// watch passes events on. A fragment is written when it is whole, but media comes with each of its frames.
func (w *idleWatch) watch(events iter.Seq2[consumer.Event, error]) iter.Seq2[consumer.Event, error] {
	return func(yield func(consumer.Event, error) bool) {
		for ev, err := range events {
			w.reset()
			if !yield(ev, err) {
				return
			}
		}
	}
}

func (w *idleWatch) reset() {
	if w.timer != nil && w.timer.Stop() {
		w.timer.Reset(w.after())
	}
}

func (w *idleWatch) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// viewBar is the progress of a view.
type viewBar struct {
	*progress
	mu     sync.Mutex
	rates  window
	bytes  int64
	frames int64
	end    time.Time
	behind time.Duration
	state  *trustState // nil when nothing is sealed
}

func viewProgress(t *terminal, stream string) *viewBar {
	b := &viewBar{rates: newWindow(time.Now())}
	text := func() string {
		b.mu.Lock()
		defer b.mu.Unlock()
		rate, fps := b.rates.rates(time.Now(), b.bytes, b.frames)
		at := "waiting for media"
		if !b.end.IsZero() {
			at = "at " + b.end.Format("15:04:05 MST")
		}
		line := fmt.Sprintf("%s  %s  %.0f frames/s  %s  behind %.1f s  %s", stream, rate, fps, at, b.behind.Seconds(), byteSize(b.bytes))
		if b.state != nil {
			line += b.state.text()
		}
		return line
	}
	pair := func() string {
		b.mu.Lock()
		defer b.mu.Unlock()
		at := "-"
		if !b.end.IsZero() {
			at = b.end.UTC().Format(time.RFC3339Nano)
		}
		line := fmt.Sprintf("stream=%s at=%s frames=%d bytes=%d behind=%s", stream, at, b.frames, b.bytes, b.behind)
		if b.state != nil {
			line += b.state.pair()
		}
		return line
	}
	b.progress = t.startProgress(text, pair)
	return b
}

func (b *viewBar) see(n tally, behind time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes, b.frames, b.end, b.behind = n.bytes, n.frames, n.end, behind
}

// trust makes the bar show what is known of the camera.
func (b *viewBar) trust(s *trustState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = s
}
