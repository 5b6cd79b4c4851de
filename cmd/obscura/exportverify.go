// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household/evidence"
)

type exportVerifyOptions struct {
	file           string
	owners         []string
	rosters        []string
	output, format string
	allowGaps      bool
}

func newExportVerify(t *terminal) *cobra.Command {
	var o exportVerifyOptions
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify a file of evidence, offline, and decrypt it",
		Long: `Verify a file that obscura export --evidence made. It asks no server and needs no key: only the fingerprint
of an owner of the household, or the hash of a roster, that you know from elsewhere. Without one the file can
be whole, but nothing says whose it is.

It checks the signatures of owners and cameras, that no fragment is missing in between, and that the pictures
are the ones that were signed; prints the facts, and what they do not prove. With --output it writes the clip.
Exit status 0 means that everything was found good, 7 that something was not.`,
		Example: `  obscura export verify door.evidence --owner 7QK4-P2MD-0X9V-TR3B-61HC-M8ZN-5GWA-YE2J
  obscura export verify door.evidence --owner 7QK4-P2MD-0X9V-TR3B-61HC-M8ZN-5GWA-YE2J --output clip.mp4
  obscura export verify door.evidence --roster-hash v7-7QK4-P2MD-0X9V-TR3B-61HC-M8ZN-5GWA-YE2J --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("verify needs one file; try: obscura export verify door.evidence --owner FINGERPRINT")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			o.file = args[0]
			return exportVerify(t, &o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.owners, "owner", nil, "fingerprint of an owner that you know from elsewhere; several must all be found")
	f.StringArrayVar(&o.rosters, "roster-hash", nil, "hash or pin of a roster that you know from elsewhere")
	f.StringVar(&o.output, "output", "", "file to write the clip to, if all is good")
	f.StringVar(&o.format, "format", "", "mp4 or mkv (default: by the file's name)")
	f.BoolVar(&o.allowGaps, "allow-gaps", false, "name fragments that are missing in between, and let that pass")
	return cmd
}

func exportVerify(t *terminal, o *exportVerifyOptions) error {
	f, err := os.Open(o.file)
	if err != nil {
		return &problem{What: "cannot read " + o.file, Why: err.Error(), Exit: exitNotFound, Err: err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	clip, err := o.newClip()
	if err != nil {
		return err
	}
	r, err := evidence.Verify(f, info.Size(), evidence.Config{Owners: o.owners, Rosters: o.rosters, Each: clip.add})
	if err != nil {
		return errors.Join(err, clip.discard())
	}
	table := factsOf(o, info.Size(), r)
	if t.json {
		err = json.NewEncoder(t.out).Encode(table)
	} else {
		err = table.print(t)
	}
	if verdict := o.judge(r); verdict != nil {
		return errors.Join(verdict, err, clip.discard())
	}
	return errors.Join(err, clip.keep(t))
}

// judge is why the file does not pass; nil when it does.
func (o *exportVerifyOptions) judge(r *evidence.Result) error {
	name := filepath.Base(o.file)
	switch {
	case len(r.Problems) > 0:
		p := &problem{What: name + " does not pass", Exit: exitDamaged, Err: &r.Problems[0], Why: printable(r.Problems[0].Error())}
		if n := len(r.Problems) - 1; n > 0 {
			p.Why += fmt.Sprintf("; and %s more", count(n, "thing", "things"))
		}
		var code e2ee.Code
		if errors.As(p.Err, &code) {
			p.Code = code.String()
		}
		return p
	case len(r.Gaps) > 0 && !o.allowGaps:
		return &problem{
			What: name + " does not pass", Why: fmt.Sprintf("it has %s: what is there is good, and what is missing may have been left out or never come to the server", count(len(r.Gaps), "gap", "gaps")),
			Next: "obscura export verify --allow-gaps …    (lets named gaps pass)", Exit: exitDamaged,
		}
	case !r.Anchored():
		p := &problem{
			What: name + " is whole, but nothing says whose it is", Why: "anybody can make cameras and rosters of their own; an owner's fingerprint that you know from elsewhere tells",
			Exit: exitDamaged,
		}
		for _, m := range r.Roster.Members {
			if m.Role == e2ee.RoleOwner {
				p.Next = fmt.Sprintf("ask %q for the owner's fingerprint, not by way of this file; if it is the same:  obscura export verify %s --owner %s", m.Name, shellQuote(o.file), m.Fingerprint())
				break
			}
		}
		return p
	}
	return nil
}

// clip is the file of a verification, nil without --output. It exists only if all is good.
type clip struct {
	file  *outputFile
	video *footage
	err   error // what cannot be written is no fault of the evidence
}

func (o *exportVerifyOptions) newClip() (*clip, error) {
	if o.output == "" {
		return nil, nil
	}
	v := viewOptions{output: o.output, format: o.format}
	if o.output == "-" {
		return nil, usageError{errors.New("verify writes the clip to a file, once all of it is found good")}
	}
	if err := v.settleOutput(nil, time.Time{}); err != nil {
		return nil, err
	}
	f, err := createOutput(o.output)
	if err != nil {
		return nil, err
	}
	return &clip{file: f, video: newFootage(f, v.format)}, nil
}

func (c *clip) add(x evidence.Confirmed) error {
	if c == nil || c.err != nil {
		return nil
	}
	f := &consumer.Fragment{Producer: x.Report.Capture}
	for i := range x.Tracks {
		f.Tracks = append(f.Tracks, consumer.TrackOf(&x.Tracks[i]))
	}
	for _, s := range x.Samples {
		f.Frames = append(f.Frames, consumer.Frame{Track: uint64(s.Track), Time: s.Time, Duration: s.Duration, Key: s.Key, Data: s.Data})
	}
	c.err = c.video.add(f)
	return nil
}

func (c *clip) discard() error {
	if c == nil {
		return nil
	}
	return c.file.discard()
}

// keep gives the clip its name.
func (c *clip) keep(t *terminal) error {
	if c == nil {
		return nil
	}
	if c.err = cmp.Or(c.err, c.video.close()); c.err != nil {
		return errors.Join(&problem{What: "the file is good, but the clip cannot be written", Why: c.err.Error(), Next: "write Matroska: --output clip.mkv", Exit: exitFailed, Err: c.err}, c.file.discard())
	}
	if err := c.file.keep(); err != nil {
		return err
	}
	t.note("%s: %s, %d frames", c.file.path, c.video.length().Round(time.Millisecond), c.video.frames)
	return nil
}
