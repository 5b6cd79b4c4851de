// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/e2ee"
)

type exportOptions struct {
	householdFlags
	kitFlags
	name string
}

func newKeysExport(t *terminal) *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export-recovery",
		Short: "Make a further recovery kit, and put it on the roster",
		Long: `Make a further recovery kit, and put it on the roster by signing it here. It opens what is recorded from
then on; a kit of before opens what was before, too. To replace a kit that may have been seen, make this
one and then remove the other from the roster.`,
		Example: `  obscura keys export-recovery --name "Kit in the safe"
  obscura keys export-recovery --kit-file kit.txt
  obscura roster remove "Recovery kit"       takes the first one off`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return keysExport(cmd.Context(), t, &o) },
	}
	cmd.Flags().StringVar(&o.name, "name", "Second recovery kit", "the kit's name on the roster")
	cmd.Flags().StringVar(&o.file, "kit-file", "", "write the kit to this new file instead of showing it, and do not ask for it back")
	o.addFlags(cmd.Flags())
	return cmd
}

func keysExport(ctx context.Context, t *terminal, o *exportOptions) error {
	m, err := o.inStep(ctx, t)
	if err != nil {
		return err
	}
	const what = "cannot make a recovery kit"
	kit, err := e2ee.NewKEMKey(e2ee.NewSeed())
	if err != nil {
		return err
	}
	err = m.AddKit(ctx, m.box, o.name, kit, func(signed []byte) error {
		page, err := kitPage(kit, m.Household(), m.conn.address(), signed)
		if err != nil {
			return err
		}
		return o.handOver(ctx, t, kit, page)
	})
	if errors.Is(err, errWaived) {
		return usageError{errors.New("this household has made up its mind about kits already; nothing was changed")}
	}
	if err == nil && o.file == "" {
		err = m.KitTried(kit.Fingerprint())
	}
	if err != nil {
		return m.explain(what, err)
	}
	r, err := m.Roster()
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%s is on roster v%d: %s\n", o.name, r.Version, countMembers(r))
	t.note("undo:  %s", o.line(t, "obscura roster remove "+shellQuote(o.name)))
	return nil
}
