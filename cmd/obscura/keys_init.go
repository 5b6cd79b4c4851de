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

type initOptions struct {
	householdFlags
	kitFlags
	name, household string
}

func newKeysInit(t *terminal) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Found a household: make its first owner and viewer, its recovery kit and its first roster",
		Long: `Found a household: this device becomes its first owner, who decides about the others, and its
first viewer. The recovery kit comes first: it is shown once and has to be typed back in
part, since it is the only way to the footage if every device is lost.

Then the first roster is signed here and left on the server, which cannot change it. Every
other device is let in by obscura pair.`,
		Example: `  obscura keys init
  obscura keys init --name ana-laptop --household cabin
  obscura keys init --passphrase-file /run/secrets/keys --kit-file kit.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return keysInit(cmd.Context(), t, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "this device's name, for people (default: the host's)")
	f.StringVar(&o.household, "household", "", "the household's name on this server (default home)")
	f.StringVar(&o.file, "kit-file", "", "write the recovery kit to this new file instead of showing it, and do not ask for it back")
	f.StringVar(&o.waived, "no-recovery", "", "the words \""+waiver+"\": make no recovery kit, for good")
	o.addPairFlags(f)
	return cmd
}

func keysInit(ctx context.Context, t *terminal, o *initOptions) error {
	if o.waived != "" && o.waived != waiver {
		return usageError{fmt.Errorf("--no-recovery wants the words %q, and nothing else", waiver)}
	}
	if o.waived == "" && o.file == "" && !t.canAsk() && !o.exists() {
		return errNoKitWay
	}
	conn, err := o.connect(t)
	if err != nil {
		return err
	}
	d, err := o.firstDevice(t, conn)
	if err != nil {
		return err
	}
	m := &member{d, conn, conn.mailbox(d.Household())}
	if err := m.found(ctx, t, o); err != nil {
		return m.explain("cannot found the household "+d.Household(), err)
	}
	return printFounded(t, m)
}

// firstDevice makes the first device, or takes the one whose founding did not get through.
func (o *initOptions) firstDevice(t *terminal, conn *connection) (*household.Device, error) {
	if !o.exists() {
		return o.create(t, household.Kind{
			Name: cmp.Or(o.name, deviceName()), Household: cmp.Or(o.household, householdName), Server: conn.address(),
			Owner: true, Consumer: true,
		})
	}
	d, err := o.open(t)
	if err != nil {
		return nil, err
	}
	if d.Trust() != nil || d.Identity(e2ee.RoleOwner) == nil {
		dir, _ := o.path()
		return nil, explainFolder(dir, household.ErrDevice)
	}
	if err := d.Rename(cmp.Or(o.name, d.Name())); err != nil {
		return nil, err
	}
	return d, d.Move(cmp.Or(o.household, d.Household()), conn.address())
}

// found hands over the recovery kit, then signs the first roster and posts it.
func (m *member) found(ctx context.Context, t *terminal, o *initOptions) error {
	drafted, err := m.Drafted()
	if err != nil {
		return err
	}
	if drafted != nil {
		t.note("the recovery kit was handed over before; finishing what was interrupted")
		return m.Found(ctx, m.box, drafted)
	}
	// Before anybody copies a kit by hand: is the server there, and the name free?
	switch list, err := m.box.List(ctx, "roster/", "", 0); {
	case err != nil:
		return err
	case len(list) > 0:
		return household.ErrTaken
	}
	signed, kit, err := m.draft(ctx, t, o)
	if err != nil {
		return err
	}
	if err := m.Found(ctx, m.box, signed); err != nil || kit == nil || o.file != "" {
		return err
	}
	return m.KitTried(kit.Fingerprint())
}

// draft makes the kit and the roster that it is on; without a kit when the person wants none.
func (m *member) draft(ctx context.Context, t *terminal, o *initOptions) ([]byte, *e2ee.KEMKey, error) {
	if o.waived == "" {
		kit, err := e2ee.NewKEMKey(e2ee.NewSeed())
		if err != nil {
			return nil, nil, err
		}
		signed, err := m.Draft(kit)
		if err != nil {
			return nil, nil, err
		}
		page, err := kitPage(kit, m.Household(), m.conn.address(), signed)
		if err != nil {
			return nil, nil, err
		}
		if err := o.handOver(ctx, t, kit, page); !errors.Is(err, errWaived) {
			return signed, kit, err
		}
	}
	t.note("no recovery kit: the roster says so from now on")
	signed, err := m.Draft(nil)
	return signed, nil, err
}

func printFounded(t *terminal, m *member) error {
	if t.json {
		return json.NewEncoder(t.out).Encode(describeKeys(m.Device))
	}
	r, err := m.Roster()
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "household %s: roster v%d, %s\n", m.Household(), r.Version, countMembers(r))
	t.note("this device is  %s", m.Fingerprint())
	t.note("next:  obscura camera pair    (on a camera; obscura pair on a further viewing device; obscura pair admit here)")
	return nil
}
