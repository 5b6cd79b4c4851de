// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

func newRosterThreshold(t *terminal) *cobra.Command {
	var h householdFlags
	cmd := &cobra.Command{
		Use:   "threshold N",
		Short: "Say how many owners must sign each change of the roster",
		Long: `Say how many owners must sign each change of the roster. With more than one, a change waits until
enough owners have signed it by obscura roster cosign, and no single stolen device can
admit anybody.`,
		Example: `  obscura roster threshold 2
  obscura roster threshold 1
  obscura roster cosign        on another owner's device`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var n uint8
			if _, err := fmt.Sscanf(args[0], "%d", &n); err != nil || n == 0 {
				return usageError{fmt.Errorf("%q is no number of owners", args[0])}
			}
			m, err := h.inStep(cmd.Context(), t)
			if err != nil {
				return err
			}
			err = m.Change(cmd.Context(), m.box, func(r *e2ee.Roster) error { r.Threshold = n; return nil })
			if err != nil {
				return m.explain(fmt.Sprintf("cannot have %d owners sign", n), err)
			}
			fmt.Fprintf(t.out, "%s must sign each change\n", count(int(n), "owner", "owners"))
			return nil
		},
	}
	h.addFlags(cmd.Flags())
	return cmd
}

func newRosterCosign(t *terminal) *cobra.Command {
	var h householdFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "cosign",
		Short: "Sign a change that another owner has proposed",
		Long: `Sign a change that another owner has proposed, where more than one must sign. It shows what would
change, and asks.`,
		Example: `  obscura roster cosign
  obscura roster cosign --yes
  obscura roster threshold 2    has two owners sign each change from then on`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return rosterCosign(cmd.Context(), t, &h, yes) },
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "sign without asking")
	h.addFlags(cmd.Flags())
	return cmd
}

func rosterCosign(ctx context.Context, t *terminal, h *householdFlags, yes bool) error {
	m, err := h.inStep(ctx, t)
	if err != nil {
		return err
	}
	const what = "cannot sign the proposal"
	waiting, err := m.Proposals(ctx, m.box)
	if err != nil {
		return m.explain(what, err)
	}
	if len(waiting) == 0 {
		return &problem{What: what, Why: "nothing is proposed", Next: "obscura roster show", Exit: exitNotFound}
	}
	now, err := m.Roster()
	if err != nil {
		return err
	}
	for _, p := range waiting {
		r, _, err := e2ee.ReadRoster(p.Signed)
		if err != nil {
			return err
		}
		t.note("Roster v%d, signed by %s, would:\n%s", r.Version, joinNames(p.By, " and "), strings.Join(differences(now, r), "\n"))
		if !yes {
			if !t.canAsk() {
				return usageError{errors.New("there is no terminal to ask on: give --yes")}
			}
			sign, err := t.askYes(ctx, "Sign it? [yes / no]: ")
			if err != nil {
				return err
			}
			if !sign {
				continue
			}
		}
		if err := m.Cosign(ctx, m.box, p.Signed); err != nil {
			return m.explain(what, err)
		}
		fmt.Fprintf(t.out, "Signed. Roster v%d: %s\n", r.Version, countMembers(r))
		return nil
	}
	return nil
}

func joinNames(members []e2ee.Member, between string) string {
	names := make([]string, len(members))
	for i := range members {
		names[i] = members[i].Name
	}
	return strings.Join(names, between)
}

// differences says in lines what a roster changes.
func differences(from, to *e2ee.Roster) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, "  "+fmt.Sprintf(format, args...)) }
	for _, m := range to.Members {
		old, ok := household.MemberOf(from, m.Fingerprint())
		if !ok {
			say("add %s (%s, %s) for %s%s", m.Name, sayRole(m.Role), m.Fingerprint(), sayScope(m), sayUntil(m))
			continue
		}
		switch {
		case old.NotAfter.Equal(m.NotAfter):
		case m.NotAfter.IsZero():
			say("let the membership of %s go on without end", m.Name)
		default:
			say("end the membership of %s:%s", m.Name, sayUntil(m))
		}
		if old.Name != m.Name {
			say("call %s %s", old.Name, m.Name)
		}
		if !sameStreams(old.Streams, m.Streams) {
			say("let %s have %s instead of %s", m.Name, sayScope(m), sayScope(old))
		}
	}
	for _, m := range from.Members {
		if _, ok := household.MemberOf(to, m.Fingerprint()); !ok {
			say("remove %s (%s, %s)", m.Name, sayRole(m.Role), m.Fingerprint().Short())
		}
	}
	if from.Threshold != to.Threshold {
		say("have %s sign each change", count(int(to.Threshold), "owner", "owners"))
	}
	if !from.Expires.Equal(to.Expires) {
		say("expire %s", to.Expires.Local().Format("2 Jan 2006"))
	}
	if to.RecoveryOnlyAfterExpiry != from.RecoveryOnlyAfterExpiry {
		say("once expired, seal for the recovery kits alone: %t", to.RecoveryOnlyAfterExpiry)
	}
	if to.NoRecovery && !from.NoRecovery {
		say("give up the recovery kit")
	}
	if from.GenerationLife != to.GenerationLife {
		say("have cameras use one secret for %s", to.GenerationLife)
	}
	if len(lines) == 0 {
		say("change nothing")
	}
	return lines
}

// sayScope is which streams a member is for. The roster has their hashes alone: of these the first bytes.
func sayScope(m e2ee.Member) string {
	if len(m.Streams) == 0 {
		return "all streams"
	}
	ids := make([]string, len(m.Streams))
	for i, s := range m.Streams {
		ids[i] = fmt.Sprintf("%x", s[:4])
	}
	return count(len(ids), "stream", "streams") + " (" + strings.Join(ids, ", ") + ")"
}

func sameStreams(a, b []e2ee.StreamID) bool {
	in := func(list []e2ee.StreamID) func(e2ee.StreamID) bool {
		return func(s e2ee.StreamID) bool { return !slices.Contains(list, s) }
	}
	return len(a) == len(b) && !slices.ContainsFunc(a, in(b)) && !slices.ContainsFunc(b, in(a))
}
