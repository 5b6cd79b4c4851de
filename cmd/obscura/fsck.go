// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/internal/server"
)

func newFsck(t *terminal) *cobra.Command {
	var c server.FsckConfig
	root := rootFlags{options: &c.Root}
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Judge a data directory by its bytes: is everything there, whole and authentic?",
		Long: `Read a whole data directory and name each damaged thing. Every value in the metadata is
unsealed, every key unwrapped, every frame of every fragment authenticated; index,
segments and audit chain are compared. Nothing is changed or repaired. The server may
run: then a snapshot of it is read.

Exit status 0 means that all is well, 7 that something is damaged.`,
		Example: `  obscura fsck
  obscura fsck --data /srv/obscura --root-file /etc/obscura/root.key
  obscura fsck --json | jq -r '.damage[] | [.stream, .fragment, .what] | @tsv'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root.use(t)
			progress := newBulk(t, "fsck")
			c.Progress = progress.show
			r, err := server.Fsck(cmd.Context(), c)
			progress.end()
			if err != nil {
				return explainData(cmd.Context(), "cannot judge "+c.Data, err)
			}
			return tellFsck(t, r, "restore what is damaged from a backup: obscura backup restore FOLDER --data NEW")
		},
	}
	cmd.Flags().StringVar(&c.Data, "data", server.DefaultData, "data directory")
	cmd.Flags().StringVar(&c.RootFile, "root-file", "", "root key's file (default: the running server's, or <data>/root.key)")
	root.add(cmd.Flags(), "")
	return cmd
}

// tellFsck prints a report. Damage is an error, with what to do about it.
func tellFsck(t *terminal, r *server.FsckReport, next string) error {
	print := printFsck
	if t.json {
		print = func(t *terminal, r *server.FsckReport) error { return json.NewEncoder(t.out).Encode(r) }
	}
	if err := print(t, r); err != nil || r.Clean() {
		return err
	}
	n := len(r.Damage) + r.More
	return &problem{What: fmt.Sprintf("%s is damaged", r.Data), Why: count(n, "thing is", "things are") + " not as written", Next: next, Exit: exitDamaged}
}

func printFsck(t *terminal, r *server.FsckReport) error {
	var b strings.Builder
	for _, d := range r.Damage {
		place := d.File
		if d.Offset > 0 {
			place += fmt.Sprintf(":%d", d.Offset)
		}
		if t.outIsTerminal() {
			fmt.Fprintf(&b, "FAIL  %s\n", strings.Join(nonEmpty(d.Part, d.Stream, d.Fragment, place), "  "))
			fmt.Fprintf(&b, "      %s\n", d.What)
		} else {
			fmt.Fprintf(&b, "FAIL\t%s\t%s\t%s\t%s\t%s\n", d.Part, d.Stream, d.Fragment, place, d.What)
		}
	}
	if r.More > 0 {
		fmt.Fprintf(t.err, "and %d more\n", r.More)
	}
	if r.Clean() {
		fmt.Fprintf(&b, "ok\t%s\n", r.Data)
	}
	fmt.Fprintf(t.err, "read  %s, %s, %s of media\n      %s, %s, %s\n",
		count(r.Streams, "stream", "streams"), count(r.Fragments, "fragment", "fragments"), byteCount(r.Bytes),
		count(r.Rows, "row", "rows"), count(r.Keys, "KMS key", "KMS keys"), count(int(r.AuditEvents), "audit event", "audit events"))
	if r.Objects > 0 {
		fmt.Fprintf(t.err, "      %s of mailboxes\n", count(r.Objects, "object", "objects"))
	}
	for _, line := range []struct {
		n    int
		text string
	}{
		{r.Sealed, "end-to-end encrypted"},
		{r.KeyDeleted, "cannot be opened by anybody: their KMS key was deleted"},
		{r.Deleted, "of deleted streams, yet to be removed"},
	} {
		if line.n > 0 {
			fmt.Fprintf(t.err, "      %s %s\n", count(line.n, "fragment", "fragments"), line.text)
		}
	}
	if r.Orphans > 0 {
		fmt.Fprintf(t.err, "      %s that nothing refers to; the server frees them\n", count(r.Orphans, "segment", "segments"))
	}
	_, err := t.out.WriteString(b.String())
	return err
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func nonEmpty(all ...string) (some []string) {
	for _, s := range all {
		if s != "" {
			some = append(some, s)
		}
	}
	return some
}
