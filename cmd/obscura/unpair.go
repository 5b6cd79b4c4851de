// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/household"
)

func newUnpair(t *terminal, what string) *cobra.Command {
	var k keyFolder
	var confirm string
	command, again := "pair", "obscura pair"
	if what == "camera" {
		command, again = "camera", "obscura camera pair"
	}
	cmd := &cobra.Command{
		Use:   "unpair",
		Short: "Have this " + what + " forget its household",
		Long: `Have this ` + what + ` forget its household: it no longer seals or opens for its roster. Its keys stay,
and it stays on the roster until an owner removes it there. To come back it has to be paired
again.`,
		Example: `  obscura ` + command + ` unpair
  obscura ` + command + ` unpair --confirm "Front door"
  obscura ` + command + ` unpair --keys front-door-keys --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := k.open(t)
			if err != nil {
				return err
			}
			if err := t.confirmName(cmd.Context(), d.Name(), confirm, "forget its household"); err != nil {
				return err
			}
			if err := d.Unpair(); err != nil {
				return explainUnpair(&k, d, err)
			}
			return printUnpaired(t, d, again)
		},
	}
	cmd.Flags().StringVar(&confirm, "confirm", "", "this "+what+"'s name, where there is no terminal to type it on")
	k.addFlags(cmd.Flags())
	return cmd
}

func explainUnpair(k *keyFolder, d *household.Device, err error) error {
	p := &problem{What: "cannot unpair " + d.Name(), Why: err.Error(), Exit: exitRefused, Err: err}
	switch {
	case errors.Is(err, household.ErrNotPaired):
		p.Why, p.Exit = "it is not paired", exitConflict
	case errors.Is(err, household.ErrRole):
		p.Why = "it is an owner's device: without it nobody might be able to change the roster"
		p.Next = "on another owner's device:  obscura roster remove " + shellQuote(d.Name())
	default:
		dir, _ := k.path()
		return explainFolder(dir, err)
	}
	return p
}

func printUnpaired(t *terminal, d *household.Device, again string) error {
	if t.json {
		return json.NewEncoder(t.out).Encode(describeKeys(d))
	}
	fmt.Fprintf(t.out, "%s has forgotten household %s\n", d.Name(), d.Household())
	t.note("it is on the roster still; on an owner's device:  obscura roster remove %s", shellQuote(d.Name()))
	t.note("undo:  %s", again)
	return nil
}
