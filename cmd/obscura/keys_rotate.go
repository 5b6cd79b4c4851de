// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func newKeysRotate(t *terminal) *cobra.Command {
	var h householdFlags
	var owner bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new key for this device; the old ones stay for older footage",
		Long: `Make a new key that cameras seal for, and certify it by this device's identity; no owner is needed.
Cameras use it within about a minute. The old keys stay, since older footage needs them.

With --owner an owner's device signs a roster that replaces its owner key by a new one. From then on
the old one can sign nothing.`,
		Example: `  obscura keys rotate
  obscura keys rotate --owner
  obscura keys rotate --keys kiosk-keys --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return keysRotate(cmd.Context(), t, &h, owner) },
	}
	cmd.Flags().BoolVar(&owner, "owner", false, "replace this owner's signing key")
	h.addFlags(cmd.Flags())
	return cmd
}

func keysRotate(ctx context.Context, t *terminal, h *householdFlags, owner bool) error {
	m, err := h.inStep(ctx, t)
	if err != nil {
		return err
	}
	if owner {
		err = m.RotateOwner(ctx, m.box)
	} else {
		err = m.Rotate(ctx, m.box)
	}
	if err != nil {
		return m.explain("cannot rotate the keys of "+m.Name(), err)
	}
	s := describeKeys(m.Device)
	switch {
	case t.json:
		return json.NewEncoder(t.out).Encode(s)
	case owner:
		fmt.Fprintf(t.out, "owner key  %s\nroster     %s\n", s.Owner, s.Roster)
	default:
		fmt.Fprintf(t.out, "keys       %d, the newest in force\n", s.Keys)
	}
	return nil
}
