// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

type addOptions struct {
	householdFlags
	memberOptions
}

func newRosterAdd(t *terminal) *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "add FILE",
		Short: "Add a device by its request file, for set-ups by script",
		Long: `Add a device by its request file, from obscura keys request, for set-ups by script. The file must
have come by a way that cannot be tampered with: nothing else says that the key is the device's.
A person pairs instead (obscura pair admit).

It prints the roster's pin, by which the device joins: obscura keys join PIN. FILE may be - for
standard input, and may also hold a recovery kit's public key or an owner's.`,
		Example: `  obscura roster add front-door.json --stream front-door
  obscura roster add - --name "Front door" < request.json
  obscura roster add kit-laptop.json --json | jq -r .pin`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return rosterAdd(cmd.Context(), t, &o, args[0]) },
	}
	o.memberOptions.addFlags(cmd)
	o.householdFlags.addFlags(cmd.Flags())
	return cmd
}

func rosterAdd(ctx context.Context, t *terminal, o *addOptions, file string) error {
	q, e, err := readRequest(t, file)
	if err != nil {
		return err
	}
	if e, err = o.apply(e, time.Now()); err != nil {
		return err
	}
	m, err := o.inStep(ctx, t)
	if err != nil {
		return err
	}
	what := "cannot add " + e.Name
	err = m.Change(ctx, m.box, func(r *e2ee.Roster) error {
		if o.replace != "" {
			old, err := household.FindMember(r, o.replace, time.Now(), e.Role)
			if err == nil {
				err = household.RemoveFrom(r, old.Fingerprint(), time.Now())
			}
			if err != nil {
				return err
			}
		}
		return household.AdmitTo(r, e, time.Now())
	})
	if err != nil {
		return m.explain(what, err)
	}
	if q.Certificate != nil {
		if err := m.PostCertificateOf(ctx, m.box, q.Certificate); err != nil {
			return m.explain(what, err)
		}
	}
	if err := m.NoteVerified(e.Fingerprint(), "request"); err != nil {
		return m.explain(what, err)
	}
	return o.printAdded(t, m, e)
}

func readRequest(t *terminal, file string) (household.Request, e2ee.Member, error) {
	in := io.Reader(t.in)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return household.Request{}, e2ee.Member{}, &problem{What: "cannot read the request", Why: err.Error(), Exit: exitNotFound, Err: err}
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, household.MaxRequestBytes+1))
	if err != nil {
		return household.Request{}, e2ee.Member{}, err
	}
	q, m, err := household.ParseRequest(b)
	if err != nil {
		err = &problem{
			What: "cannot read the request", Why: err.Error(), Exit: exitUsage, Err: err,
			Next: "obscura keys request > request.json    (on the device that wants in)",
		}
	}
	return q, m, err
}

func (o *addOptions) printAdded(t *terminal, m *member, e e2ee.Member) error {
	r, err := m.Roster()
	if err != nil {
		return err
	}
	pin := household.PinText(m.Trust().Pin())
	if t.json {
		return json.NewEncoder(t.out).Encode(map[string]any{"pin": pin, "member": rosterRowOf(e, m, r)})
	}
	fmt.Fprintln(t.out, pin)
	t.note("Added %s (%s). Roster v%d: %s", e.Name, e.Fingerprint(), r.Version, countMembers(r))
	t.note("on the device:  obscura keys join %s", pin)
	t.note("undo:  %s", o.line(t, "obscura roster remove "+shellQuote(e.Name)))
	return nil
}

type removeOptions struct {
	householdFlags
	confirm string
	dryRun  bool
}

func newRosterRemove(t *terminal) *cobra.Command {
	var o removeOptions
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a device off the roster, so that nothing is sealed for it any more",
		Long: `Take a device off the roster, by its name or the beginning of its fingerprint. Cameras seal
nothing for it from the next fragment after they take the new roster, which they wait for. A
camera that is removed can send nothing more; what it sent stays verifiable.

The last owner and the last recovery kit cannot be removed.`,
		Example: `  obscura roster remove "Ben's phone"
  obscura roster remove "Ben's phone" --dry-run
  obscura roster remove 7QK4-P2MD --confirm "Ben's phone"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return rosterRemove(cmd.Context(), t, &o, args[0]) },
	}
	cmd.Flags().StringVar(&o.confirm, "confirm", "", "the device's name, where there is no terminal to type it on")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be, and change nothing")
	o.addFlags(cmd.Flags())
	return cmd
}

// deviceOf are the entries of one device: a person's owner key and viewing key go by one name.
func deviceOf(r *e2ee.Roster, name string) ([]e2ee.Member, error) {
	var found []e2ee.Member
	var last error
	for _, role := range []e2ee.Role{e2ee.RoleOwner, e2ee.RoleProducer, e2ee.RoleConsumer, e2ee.RoleRecovery} {
		m, err := household.FindMember(r, name, time.Now(), role)
		switch {
		case err == nil:
			found = append(found, m)
		case !errors.Is(err, household.ErrNoMember) || last == nil:
			last = err
		}
	}
	if len(found) > 0 && !errors.Is(last, household.ErrAmbiguous) {
		return found, nil
	}
	return nil, last
}

func rosterRemove(ctx context.Context, t *terminal, o *removeOptions, name string) error {
	m, err := o.inStep(ctx, t)
	if err != nil {
		return err
	}
	what := "cannot remove " + name
	r, err := m.Roster()
	if err != nil {
		return m.explain(what, err)
	}
	found, err := deviceOf(r, name)
	if err == nil {
		trial := r.Next([32]byte{}, time.Now(), r.Expires)
		err = removeAll(&trial, found)
	}
	if err != nil {
		return m.explain(what, err)
	}
	name = found[0].Name
	sayRemoval(t, found, r.Version+1)
	if o.dryRun {
		t.note("dry run: nothing was changed")
		return nil
	}
	if err := t.confirmName(ctx, name, o.confirm, "removed"); err != nil {
		return err
	}
	err = m.Change(ctx, m.box, func(r *e2ee.Roster) error { return removeAll(r, found) })
	if err != nil {
		return m.explain(what, err)
	}
	return printRemoved(t, m, found)
}

func removeAll(r *e2ee.Roster, members []e2ee.Member) error {
	for _, e := range members {
		if err := household.RemoveFrom(r, e.Fingerprint(), time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// sayRemoval spells out what the removal does and does not do, before it is confirmed.
func sayRemoval(t *terminal, found []e2ee.Member, version uint32) {
	for _, e := range found {
		t.note("%s (%s, %s)", e.Name, sayRole(e.Role), e.Fingerprint().Short())
		switch e.Role {
		case e2ee.RoleConsumer, e2ee.RoleRecovery:
			t.note("  cannot watch anything recorded after the camera takes roster v%d (normally ≤ 2 s);", version)
			t.note("  footage already entitled stays readable to copies.")
		case e2ee.RoleProducer:
			t.note("  what it captures after roster v%d is refused by viewers; what it sent before stays verifiable.", version)
		case e2ee.RoleOwner:
			t.note("  can sign no roster after v%d; what it signed stays in force.", version)
		}
	}
}

func printRemoved(t *terminal, m *member, found []e2ee.Member) error {
	r, err := m.Roster()
	if err != nil {
		return err
	}
	if t.json {
		rows := []rosterRow{}
		for _, e := range found {
			rows = append(rows, rosterRowOf(e, m, r))
		}
		return json.NewEncoder(t.out).Encode(map[string]any{"version": r.Version, "removed": rows})
	}
	fmt.Fprintf(t.out, "Removed %s. Roster v%d: %s\n", found[0].Name, r.Version, countMembers(r))
	t.note("cameras take it as they hear of it; obscura roster show says which have")
	t.note("undo:  pair it again: obscura pair admit")
	return nil
}

type renewOptions struct {
	householdFlags
	name, until, after string
}

func newRosterRenew(t *terminal) *cobra.Command {
	var o renewOptions
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Put off the end of the roster, or of one device's membership",
		Long: `Put off the end of the roster, by signing it anew. A roster that has expired stays in force, with a
warning; renew it at least once a year, and look at who is on it.

With --name it puts off the end of that device's membership instead. --after-expiry says what cameras do
with a roster that has expired: go on, or seal for the recovery kits alone, which bounds how long a server
that works with a removed device can keep the removal from a camera.`,
		Example: `  obscura roster renew
  obscura roster renew --until 2027-12-31 --after-expiry recovery
  obscura roster renew --name Kiosk --until 2027-03-01`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return rosterRenew(cmd.Context(), t, &o) },
	}
	cmd.Flags().StringVar(&o.name, "name", "", "device whose membership is put off")
	cmd.Flags().StringVar(&o.until, "until", "", "TIME of the new end (default: a year from now; with --name: never)")
	cmd.Flags().StringVar(&o.after, "after-expiry", "", "go-on or recovery (default: as it is)")
	o.addFlags(cmd.Flags())
	return cmd
}

// end reads the options.
func (o *renewOptions) end(now time.Time) (end time.Time, err error) {
	if o.after != "" && o.after != "go-on" && o.after != "recovery" || o.after != "" && o.name != "" {
		return end, usageError{errors.New("--after-expiry is go-on or recovery, and of the roster as a whole")}
	}
	if o.until == "" {
		return end, nil
	}
	if end, err = parseMoment(o.until, now); err == nil && !end.After(now) {
		err = usageError{fmt.Errorf("--until %s is over already", sayMoment(end))}
	}
	return end, err
}

// edit changes the roster.
func (o *renewOptions) edit(r *e2ee.Roster, end, now time.Time) error {
	if o.name == "" {
		if r.Expires = end; end.IsZero() {
			r.Expires = now.Add(household.DefaultRosterLife)
		}
		if o.after == "recovery" && r.NoRecovery {
			return &problem{
				What: "cannot have cameras seal for the recovery kits alone", Why: "there is none", Exit: exitRefused, Next: "obscura keys export-recovery",
			}
		}
		if o.after != "" {
			r.RecoveryOnlyAfterExpiry = o.after == "recovery"
		}
		return nil
	}
	found, err := deviceOf(r, o.name)
	for _, e := range found {
		e.NotAfter = end
		r.Admit(e)
	}
	return err
}

func rosterRenew(ctx context.Context, t *terminal, o *renewOptions) error {
	end, err := o.end(time.Now())
	if err != nil {
		return err
	}
	m, err := o.inStep(ctx, t)
	if err != nil {
		return err
	}
	err = m.Change(ctx, m.box, func(r *e2ee.Roster) error { return o.edit(r, end, time.Now()) })
	if err != nil {
		return m.explain("cannot renew", err)
	}
	r, err := m.Roster()
	if err != nil {
		return err
	}
	return printRoster(t, m, r)
}
