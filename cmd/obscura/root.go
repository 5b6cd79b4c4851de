// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/obscura-video/obscura/internal/rootkey"
	"github.com/obscura-video/obscura/internal/server"
)

func newRootKey(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "root",
		Short: "Show or rotate the root key, which protects everything at rest",
		Example: `  obscura root show
  obscura root rotate
  obscura root rotate --new-root passphrase   protect it by a passphrase from now on`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRootShow(t), newRootRotate(t))
	return cmd
}

// rootFlags are the flags that open or make a root key.
type rootFlags struct {
	options *rootkey.Options
	fd      int
}

// add adds the flags, with a prefix to their names.
func (r *rootFlags) add(f *pflag.FlagSet, prefix string) {
	f.StringVar(&r.options.Provider, prefix+"root", "", "who protects the root key: "+strings.Join(rootkey.Providers(), ", ")+" (default: whoever its file says, file for a new one)")
	f.StringToStringVar(&r.options.Params, prefix+"root-option", nil, "option of that provider, NAME=VALUE, never a secret; may be repeated")
	f.IntVar(&r.fd, prefix+"root-passphrase-fd", -1, "file descriptor to read the passphrase or PIN from, up to the end of the line (default: ask on the terminal)")
}

// use has the options ask on the terminal, or read the descriptor.
func (r *rootFlags) use(t *terminal) {
	r.options.Ask = t.askSecret
	if r.fd >= 0 {
		r.options.Ask = func(string, bool) ([]byte, error) { return readSecret(t.descriptor(r.fd)) }
	}
}

// maxSecretBytes bounds a passphrase.
const maxSecretBytes = 4096

// readSecret reads a line, one byte at a time: what follows is not ours, and may be the next secret.
func readSecret(f *os.File) ([]byte, error) {
	line := make([]byte, 0, maxSecretBytes) // so that it is never copied
	var b [1]byte
	for len(line) < cap(line) {
		n, err := f.Read(b[:])
		if n == 0 && errors.Is(err, io.EOF) || n == 1 && b[0] == '\n' {
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		if err != nil {
			return nil, err
		}
		line = append(line, b[:n]...)
	}
	return nil, fmt.Errorf("more than %d bytes", maxSecretBytes)
}

// askSecret asks on the terminal, without echo; twice for something new.
func (t *terminal) askSecret(prompt string, again bool) ([]byte, error) {
	if !term.IsTerminal(int(t.in.Fd())) {
		return nil, errors.New("there is no terminal to ask on; give --root-passphrase-fd")
	}
	ask := func(prompt string) ([]byte, error) {
		fmt.Fprint(t.err, prompt+": ")
		defer fmt.Fprintln(t.err)
		return term.ReadPassword(int(t.in.Fd()))
	}
	first, err := ask(prompt)
	if err != nil || !again {
		return first, err
	}
	second, err := ask(prompt + ", again")
	defer clear(second)
	if err == nil && !bytes.Equal(first, second) {
		err = errors.New("the two are not the same")
	}
	return first, err
}

func newRootShow(t *terminal) *cobra.Command {
	var data, file string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Tell which root key a data directory has, and who protects it",
		Long: `Tell the root key's ID, who protects it, and where its file is. The key itself is never
shown, and nothing has to be unlocked.`,
		Example: `  obscura root show
  obscura root show --data /srv/obscura --root-file /etc/obscura/root.key
  obscura root show --data /srv/obscura --json | jq -r .id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := server.ShowRoot(cmd.Context(), data, file)
			if err != nil {
				return explainRoot(cmd.Context(), "cannot show the root key of "+data, err)
			}
			return printRoot(t, s)
		},
	}
	cmd.Flags().StringVar(&data, "data", server.DefaultData, "data directory")
	cmd.Flags().StringVar(&file, "root-file", "", "root key's file of a stopped server (default <data>/root.key)")
	return cmd
}

func printRoot(t *terminal, s *server.RootStatus) error {
	if t.json {
		return json.NewEncoder(t.out).Encode(s)
	}
	fmt.Fprintf(t.out, "root key  %s\nprovider  %s\nfile      %s\n", s.ID, s.Provider, s.File)
	if s.Beside && s.Provider == rootkey.ProviderFile {
		fmt.Fprintf(t.err, "%s the root key lies unprotected beside the data: whoever takes the disk can read everything\n", t.yellow("warning:"))
	}
	if s.Interrupted {
		fmt.Fprintf(t.err, "%s a rotation runs, or was interrupted: the next start of the server completes it\n", t.yellow("warning:"))
	}
	return nil
}

func newRootRotate(t *terminal) *cobra.Command {
	var c server.RotateConfig
	old, next := rootFlags{options: &c.Old}, rootFlags{options: &c.New}
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new root key and wrap everything by it, while the server runs or not",
		Long: `Make a new root key and wrap by it what the old one wrapped: the metadata's key, all KMS
key material and the local CAs' keys. Footage is not touched, so it takes seconds. The
server may run and goes on serving. Interrupted at any point, the root key in place
opens everything, and the next start completes the rest.

The old root key is kept beside the new one, since older backups need it. Remove it when
there are none any more, or give --discard-old.`,
		Example: `  obscura root rotate
  obscura root rotate --new-root passphrase
  obscura root rotate --new-root pkcs11 --new-root-option module=/usr/lib/softhsm/libsofthsm2.so --new-root-option token=obscura
  obscura root rotate --new-root transit --new-root-option address=https://vault:8200 --new-root-option key_name=obscura`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			old.use(t)
			next.use(t)
			out, err := server.RotateRoot(cmd.Context(), c)
			if err != nil {
				return explainRoot(cmd.Context(), "cannot rotate the root key of "+c.Data, err)
			}
			return printRotation(t, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Data, "data", server.DefaultData, "data directory")
	f.StringVar(&c.RootFile, "root-file", "", "root key's file of a stopped server (default <data>/root.key)")
	f.BoolVar(&c.Discard, "discard-old", false, "do not keep the old root key: backups made before can then never be opened")
	old.add(f, "")
	next.add(f, "new-")
	return cmd
}

func printRotation(t *terminal, r *server.Rotation) error {
	if t.json {
		return json.NewEncoder(t.out).Encode(r)
	}
	fmt.Fprintf(t.out, "root key  %s\nfile      %s\nwrapped   %s\n", r.New, r.File, count(r.Materials, "key material", "key materials"))
	if r.OldFile != "" {
		fmt.Fprintf(t.out, "old key   %s\n          remove it when no backup from before needs it\n", r.OldFile)
	}
	return nil
}

// explainRoot turns what stopped a command on the root key into what a person can do about it.
func explainRoot(ctx context.Context, what string, err error) error {
	p := &problem{What: what, Why: err.Error(), Exit: exitNoKey, Err: err}
	switch {
	case errors.Is(err, rootkey.ErrProvider):
		p.Exit, p.Next = exitUsage, "see docs/formats/root-key.md for the providers and their options"
	case errors.Is(err, rootkey.ErrLocked):
		p.Next = "give the right passphrase or PIN, or make its token or service reachable; nothing was changed"
	case errors.Is(err, server.ErrBusy):
		p.Exit, p.Next = exitConflict, "wait until it has ended"
	default:
		return explainData(ctx, what, err)
	}
	return p
}
