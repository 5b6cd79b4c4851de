// SPDX-License-Identifier: Apache-2.0

// Command obscura is the whole of Obscura in one binary: the server, the camera's and the viewer's side, and
// the tools that look after a data directory. Each subcommand has a file of its own.
//
// Standard output carries the answer, standard error everything else. See exit.go for the exit codes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	t := newTerminal(os.Stdin, os.Stdout, os.Stderr)
	t.self = calledAs(os.Args[0])
	os.Exit(runOn(t, os.Args[1:]))
}

// calledAs is what a person types to run this program: its name where the PATH leads to it, else as it was called.
func calledAs(arg0 string) string {
	const name = "obscura"
	self, err := os.Executable()
	if err != nil {
		return name
	}
	if found, err := exec.LookPath(name); err == nil && found == self || !strings.ContainsRune(arg0, os.PathSeparator) {
		return name
	}
	return shellQuote(arg0)
}

// run is main with its surroundings given, so that tests can call it. It returns the exit code.
func run(args []string, stdin *os.File, stdout, stderr *os.File) int {
	return runOn(newTerminal(stdin, stdout, stderr), args)
}

func runOn(t *terminal, args []string) int {
	ctx, stop := interruptible(context.Background(), t)
	defer stop()
	root := newRoot(t)
	root.SetArgs(args)
	root.SetOut(t.out)
	root.SetErr(t.err)
	if err := root.ExecuteContext(ctx); err != nil {
		return t.fail(err)
	}
	return exitDone
}

// interruptible returns a context that ends at the first SIGINT or SIGTERM. The second one ends the program.
func interruptible(parent context.Context, t *terminal) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			cancel(interruptedError{s})
		case <-done:
			return
		}
		select {
		case <-signals:
			os.Exit(exitInterrupted)
		case <-done:
		}
	}()
	return ctx, func() { close(done); signal.Stop(signals); cancel(nil) }
}

// interruptedError is the cause of a context that a signal ended.
type interruptedError struct{ signal os.Signal }

func (e interruptedError) Error() string { return "stopped by " + e.signal.String() }

func newRoot(t *terminal) *cobra.Command {
	root := &cobra.Command{
		Use:   "obscura",
		Short: "Encrypted video and data streaming on your own machine, speaking AWS's APIs",
		Long: `Obscura takes the place of Kinesis Video Streams, KMS, IAM/STS and CloudTrail on your
own machine. AWS SDKs, the aws command and Kinesis Video producers work with it
unchanged; only their endpoint changes.`,
		Example: `  obscura serve                                   start the server
  obscura camera --stream front-door --input demo  stream a clip into it
  obscura view --stream front-door --output a.mp4  and play it back`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	t.addFlags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\n  next: %s --help", err, cmd.CommandPath())}
	})
	for _, add := range subcommands {
		root.AddCommand(add(t))
	}
	return root
}

// knownCommand is reached with arguments only if the first is no command.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %q?", near[0])
	}
	return usageError{errors.New(text)}
}

// subcommands are all of the program's, in the order of its help.
var subcommands = []func(*terminal) *cobra.Command{
	newServe, newDemo, newCamera, newView, newExport, newDevice, newEnv,
	newKeys, newPair, newRoster, newGrant, newNotAdmitted,
	newAudit, newBackup, newFsck, newDoctor, newRootKey,
	newVersion,
}
