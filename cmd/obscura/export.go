// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/consumer"
)

type footageOptions struct {
	viewOptions
	streams  []string
	evidence string
}

const evidenceExtension = "evidence"

func newExport(t *terminal) *cobra.Command {
	o := footageOptions{viewOptions: viewOptions{strict: true, archive: true}}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write footage of a time into a file, or into one that proves itself",
		Long: `Write the recorded footage of a time into a file that plays, one for each stream: fragmented MP4 or
Matroska. Of an end-to-end encrypted stream it holds confirmed fragments alone; see obscura view.

With --evidence the file holds the fragments as the server stores them, sealed and signed by the camera,
with the keys of those minutes and no others, and the rosters that say whose the camera is. Anybody can
verify it offline with obscura export verify and the fingerprint of an owner. Whoever has the file can
watch what is in it.

TIME is 14:32, "yesterday 14:32", 2026-11-22T14:32:07Z or -10m, by the camera's clock.`,
		Example: `  obscura export --stream front-door --from "yesterday 14:00" --until "yesterday 14:10" --output door.mp4
  obscura export --stream front-door --stream yard --from -1h --until -10m --output clips/
  obscura export --stream front-door --from "yesterday 14:00" --until "yesterday 14:10" --evidence door.evidence`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return export(cmd.Context(), t, &o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.streams, "stream", nil, "name of the video stream; several make a file each")
	f.StringVar(&o.from, "from", "", "TIME from which")
	f.StringVar(&o.until, "until", "", "TIME to end before")
	f.StringVar(&o.output, "output", "", "file, or a folder (default: named by stream and time, .mp4)")
	f.StringVar(&o.format, "format", "", "mp4 or mkv (default: by the file's name)")
	f.StringVar(&o.evidence, "evidence", "", "file of evidence to write, or a folder, instead of --output")
	f.StringVar(&o.grant, "grant", "", "file with the line that obscura grant --guest printed; - for standard input")
	o.folder.addFlags(f)
	o.target.addFlags(f)
	cmd.AddCommand(newExportVerify(t))
	return cmd
}

// check takes what a guest's line says, and refuses what does not go together.
func (o *footageOptions) check(t *terminal) error {
	if o.grant != "" {
		o.stream = strings.Join(o.streams, ", ")
		if o.from == "" {
			o.from = "now" // which the line replaces
		}
		if err := o.readLink(t); err != nil {
			return err
		}
		o.streams = []string{o.stream}
	}
	switch {
	case len(o.streams) == 0 || o.from == "" || o.until == "":
		return usageError{errors.New("export needs --stream, --from and --until; try: obscura export --stream front-door --from -1h --until -10m")}
	case o.from == "now":
		return usageError{errors.New("export is of a time that is over: --from TIME; obscura view --from now goes on")}
	case o.evidence != "" && (o.output != "" || o.format != ""):
		return usageError{errors.New("--evidence is instead of --output; a clip comes of it by: obscura export verify FILE --output clip.mp4")}
	}
	for i, s := range o.streams {
		if s == "" || slices.Contains(o.streams[:i], s) {
			return usageError{fmt.Errorf("--stream %q: want names, each once", s)}
		}
	}
	o.stream = o.streams[0]
	return nil
}

func export(ctx context.Context, t *terminal, o *footageOptions) error {
	if err := o.check(t); err != nil {
		return err
	}
	now := time.Now()
	if err := o.settleTimes(t, now); err != nil {
		return err
	}
	conn, err := o.target.find()
	if err != nil {
		return err
	}
	var errs []error
	for _, stream := range o.streams {
		if ctx.Err() != nil {
			break
		}
		one := *o
		one.stream = stream
		errs = append(errs, one.write(ctx, t, conn, now))
	}
	return errors.Join(errs...)
}

// write writes one stream's file.
func (o *footageOptions) write(ctx context.Context, t *terminal, conn *connection, now time.Time) (err error) {
	if o.evidence != "" {
		if o.evidence, err = o.place(o.evidence, evidenceExtension); err != nil {
			return err
		}
		return o.writeEvidence(ctx, t, conn, now)
	}
	extension := o.format
	if extension == "" {
		extension = formatMP4
	}
	if o.output, err = o.place(o.output, extension); err != nil {
		return err
	}
	if err := o.settleOutput(t, now); err != nil {
		return err
	}
	return o.toFile(ctx, t, conn, o.recorded)
}

// place is where the file of a stream goes: the path itself, or by stream and time into a folder.
func (o *footageOptions) place(path, extension string) (string, error) {
	at := o.fromTime
	if at.IsZero() {
		at = o.deadline
	}
	name := fmt.Sprintf("%s-%s.%s", filepath.Base(o.stream), at.UTC().Format("20060102T150405Z"), extension)
	info, err := os.Stat(path)
	folder := err == nil && info.IsDir()
	switch {
	case path == "-":
		return "", usageError{errors.New("export writes files; obscura view --output - writes to standard output")}
	case path == "":
		return name, nil
	case folder:
		return filepath.Join(path, name), nil
	case len(o.streams) > 1 || strings.HasSuffix(path, string(filepath.Separator)):
		return "", usageError{fmt.Errorf("%s is no folder: with several streams, or a slash at its end, it must be one that is there", path)}
	}
	return path, nil
}

// recorded reads what the archive has of the time.
func (o *viewOptions) recorded(ctx context.Context, c *consumer.Consumer) iter.Seq2[consumer.Event, error] {
	return func(yield func(consumer.Event, error) bool) {
		list, err := o.listRange(ctx, c, o.deadline)
		if err != nil {
			yield(consumer.Event{}, err)
			return
		}
		numbers := make([]string, len(list))
		for i := range list {
			numbers[i] = list[i].Number
		}
		consumer.Replay(c.Get(ctx, numbers...))(yield)
	}
}
