// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/internal/server"
)

func newBackup(t *terminal) *cobra.Command {
	var c server.BackupConfig
	cmd := &cobra.Command{
		Use:   "backup --to FOLDER",
		Short: "Copy a data directory, of a running or a stopped server; check and restore copies",
		Long: `Copy a data directory to a new folder. The server may run: what it had acknowledged
before is in the copy.

The root key is not in the copy unless --with-root-key is given: keep it elsewhere,
since without it nobody can open the copy. The file credentials is never in it; a
restored server writes it anew.`,
		Example: `  obscura backup --to /mnt/backup/2026-11-22
  obscura backup --data /srv/obscura --to /mnt/backup/monday && obscura backup check /mnt/backup/monday
  obscura backup restore /mnt/backup/monday --data /srv/restored`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.To == "" {
				return usageError{fmt.Errorf("backup: --to is missing: where should the copy go?")}
			}
			return backup(cmd.Context(), t, c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Data, "data", server.DefaultData, "data directory")
	f.StringVar(&c.To, "to", "", "new or empty folder for the copy")
	f.StringVar(&c.RootFile, "root-file", "", "root key's file of a stopped server (default <data>/root.key)")
	f.BoolVar(&c.WithRootKey, "with-root-key", false, "put the root key into the copy: whoever has it can then read everything")
	cmd.AddCommand(newBackupCheck(t), newBackupRestore(t))
	return cmd
}

// backupAnswer is what `obscura backup --json` prints.
type backupAnswer struct {
	To          string `json:"to"`
	Files       int    `json:"files"`
	Bytes       int64  `json:"bytes"`
	WithRootKey bool   `json:"withRootKey"`
	RootFile    string `json:"rootFile,omitempty"`
	RootKeyID   string `json:"rootKeyId,omitempty"`
}

func backup(ctx context.Context, t *terminal, c server.BackupConfig) error {
	progress := newBulk(t, "backup")
	c.Progress = progress.show
	m, err := server.Backup(ctx, c)
	progress.end()
	if err != nil {
		return explainData(ctx, "cannot back up "+c.Data, err)
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(backupAnswer{c.To, len(m.Files), m.Bytes, m.WithRootKey, m.RootFile, m.RootKeyID})
	}
	if _, err := fmt.Fprintf(t.out, "%s\t%d files\t%d bytes\n", c.To, len(m.Files), m.Bytes); err != nil {
		return err
	}
	rootKeyAdvice(t, m)
	fmt.Fprintf(t.err, "  next  %s\n", t.pasteable("obscura backup check "+shellQuote(c.To)))
	return nil
}

// rootKeyAdvice says what the backup is worth without the root key, or with it.
func rootKeyAdvice(t *terminal, m *server.Manifest) {
	where := m.RootFile
	if where == "" {
		where = "not where it was looked for (name it with --root-file)"
	}
	if m.RootKeyID != "" {
		where += "  (key " + m.RootKeyID + ")"
	}
	if m.WithRootKey {
		fmt.Fprintf(t.err, "%s the root key is in this backup: whoever has the backup can read everything in it\n", t.yellow("warn"))
		return
	}
	fmt.Fprintf(t.err, "The root key is not in this backup, and without it nobody can open the backup, you neither.\n"+
		"Keep a copy of it in another place.\n  it lies at  %s\n", where)
}

func newBackupCheck(t *terminal) *cobra.Command {
	var c server.CheckConfig
	rootKey := rootFlags{options: &c.Root}
	cmd := &cobra.Command{
		Use:   "check FOLDER",
		Short: "Prove that a backup can be restored: compare every file, open every fragment",
		Long: `The restore drill. Every file is compared with the manifest; then the copy is opened
with the root key, as a server would after a restore, and judged like by fsck: each
fragment of each stream is decrypted and authenticated. The backup is not changed.`,
		Example: `  obscura backup check /mnt/backup/monday
  obscura backup check /mnt/backup/monday --root-file /media/stick/root.key
  obscura backup check /mnt/backup/monday --json | jq .damage`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Dir = args[0]
			rootKey.use(t)
			progress := newBulk(t, "check")
			c.Progress = progress.show
			r, err := server.CheckBackup(cmd.Context(), c)
			progress.end()
			if err != nil {
				return explainData(cmd.Context(), "cannot check the backup "+c.Dir, err)
			}
			return tellFsck(t, r, "use another backup; this one does not give back all that was in it")
		},
	}
	cmd.Flags().StringVar(&c.RootFile, "root-file", "", "root key's file (default: the one in the backup, or where it lay)")
	rootKey.add(cmd.Flags(), "")
	return cmd
}

func newBackupRestore(t *terminal) *cobra.Command {
	var c server.RestoreConfig
	cmd := &cobra.Command{
		Use:   "restore FOLDER --data NEW",
		Short: "Make a new data directory of a backup",
		Long: `Copy a backup to a new data directory, comparing every file with the manifest on the
way. The server that then serves it needs the root key of the original one.

Do not let the original and the restored server serve the same cameras: each would
hold a part of the footage.`,
		Example: `  obscura backup restore /mnt/backup/monday --data /srv/restored
  obscura serve --data /srv/restored --root-file /etc/obscura/root.key
  obscura fsck --data /srv/restored --root-file /etc/obscura/root.key`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.Dir = args[0]; c.Data == "" {
				return usageError{fmt.Errorf("backup restore: --data is missing: where should the new data directory be?")}
			}
			progress := newBulk(t, "restore")
			c.Progress = progress.show
			m, err := server.Restore(cmd.Context(), c)
			progress.end()
			if err != nil {
				return explainData(cmd.Context(), "cannot restore "+c.Dir, err)
			}
			return tellRestore(t, m, c)
		},
	}
	cmd.Flags().StringVar(&c.Data, "data", "", "new or empty folder for the data directory")
	return cmd
}

func tellRestore(t *terminal, m *server.Manifest, c server.RestoreConfig) error {
	if t.json {
		return json.NewEncoder(t.out).Encode(backupAnswer{c.Data, len(m.Files), m.Bytes, m.WithRootKey, m.RootFile, m.RootKeyID})
	}
	if _, err := fmt.Fprintf(t.out, "%s\t%d files\t%d bytes\n", c.Data, len(m.Files), m.Bytes); err != nil {
		return err
	}
	next := "obscura serve --data " + shellQuote(c.Data)
	if !m.WithRootKey {
		file := m.RootFile
		if file == "" || filepath.Dir(file) == m.Source {
			file = "FILE" // it lay in the data directory that is to be replaced
		}
		next += " --root-file " + shellQuote(file)
		fmt.Fprintln(t.err, "The root key was not in the backup; the server needs it.")
	}
	fmt.Fprintf(t.err, "  next  %s\n", t.pasteable(next))
	return nil
}
