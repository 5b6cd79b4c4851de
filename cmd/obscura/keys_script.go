// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

type requestOptions struct {
	pairOptions
	owner bool
}

func newKeysRequest(t *terminal) *cobra.Command {
	var o requestOptions
	cmd := &cobra.Command{
		Use:   "request",
		Short: "Print this device's request to be on the roster, for set-ups by script",
		Long: `Print this device's request to be on the roster, making its keys when there are none. It holds
public keys only. Bring it to an owner's device by a way that cannot be tampered with, and
add it there by obscura roster add, which prints the pin for obscura keys join.

With --owner a viewing device asks to be a further owner.`,
		Example: `  obscura keys request --camera --name "Front door" > front-door.json
  obscura keys request --name kiosk --passphrase-file /run/secrets/keys > kiosk.json
  obscura keys request --owner > second-owner.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return keysRequest(t, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "this device's name, suggested to the owner (default: the host's)")
	f.StringVar(&o.household, "household", "", "the household's name on the server (default home)")
	f.BoolVar(&o.camera, "camera", false, "a new device is a camera")
	f.BoolVar(&o.owner, "owner", false, "ask to be an owner")
	o.addNewFlags(f)
	return cmd
}

func keysRequest(t *terminal, o *requestOptions) error {
	o.again = true
	d, err := o.requester(t)
	if err != nil {
		return err
	}
	role := e2ee.RoleConsumer
	switch {
	case o.owner:
		role = e2ee.RoleOwner
		if err := d.BecomeOwner(); err != nil && !errors.Is(err, household.ErrDevice) {
			return usageError{errors.New("--owner is for a viewing device")}
		}
	case d.Identity(e2ee.RoleProducer) != nil:
		role = e2ee.RoleProducer
	}
	q, err := d.Request(role)
	if err != nil {
		return err
	}
	id := d.Identity(role).Fingerprint()
	t.note("%s is  %s", q.Name, id)
	t.note("on an owner's device:  obscura roster add FILE")
	return json.NewEncoder(t.out).Encode(q)
}

// requester is the folder's device, made when there is none.
func (o *requestOptions) requester(t *terminal) (*household.Device, error) {
	if o.exists() {
		return o.open(t)
	}
	return o.create(t, household.Kind{
		Name: cmp.Or(o.name, deviceName()), Household: cmp.Or(o.household, householdName),
		Producer: o.camera, Consumer: !o.camera,
	})
}

func newKeysJoin(t *terminal) *cobra.Command {
	var h householdFlags
	cmd := &cobra.Command{
		Use:   "join PIN",
		Short: "Trust the roster that a pin names, for set-ups by script",
		Long: `Trust the roster that a pin names, and what its owners sign after it. The pin, from obscura roster
add or roster show --json, must have come by a way that cannot be tampered with: whoever chooses
it decides for whom this device seals, and whom it believes. A person pairs instead.`,
		Example: `  obscura keys join v2-7QK4-P2MD-0X9V-TR3B-61HC-M8ZN-5GWA-YE2J
  obscura keys join "$(cat pin)" --keys front-door-keys --device front-door
  obscura keys join "$(cat pin)" --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return keysJoin(cmd.Context(), t, &h, args[0]) },
	}
	h.addFlags(cmd.Flags())
	return cmd
}

func keysJoin(ctx context.Context, t *terminal, h *householdFlags, pin string) error {
	m, err := h.member(t)
	if err != nil {
		return err
	}
	if m.Trust() == nil {
		if err := m.Move(m.Household(), m.conn.address()); err != nil {
			return err
		}
	}
	err = m.Join(ctx, m.box, pin)
	if err != nil {
		return m.explain("cannot join household "+m.Household(), err)
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(describeKeys(m.Device))
	}
	r, err := m.Roster()
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "roster v%d received and checked: %s\n", r.Version, countRecipients(r))
	if _, in := m.Admitted(); !in {
		t.note("%s this device is not on it", t.yellow("warning:"))
	}
	return nil
}
