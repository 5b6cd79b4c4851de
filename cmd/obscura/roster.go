// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

func newRoster(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "roster",
		Short: "Show and change who may send and watch what is end-to-end encrypted",
		Long: `Show and change who may send and watch. The roster is a list of cameras, viewing devices, owners and
recovery kits that an owner signs on their own device. Each version names the one before, and a
device that has pinned one takes only those that its owners signed after it, one by one.

The server keeps and passes on the versions. It can make none, and change none. What it can do is keep
one back: a camera then goes on to seal for those on the one that it has. Refusals name what it looks like:

  … the new roster v11 is older          a server that replays old rosters, or was restored from a backup
  … contradicts it                       a server that shows different rosters to different devices
  … is not signed by its owners          a server that invents rosters
  … is missing, though there are later   a server that keeps rosters back

A device that refuses goes on with the roster that it has, and takes the right one when it comes. After a
restore from a backup any command on an owner's device, such as roster show, brings the newer rosters back.`,
		Example: `  obscura roster show
  obscura roster remove "Ben's phone"
  obscura roster renew`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRosterShow(t), newRosterAdd(t), newRosterRemove(t), newRosterRenew(t), newRosterCosign(t), newRosterThreshold(t))
	return cmd
}

func newRosterShow(t *terminal) *cobra.Command {
	var h householdFlags
	var offline bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show who is on the roster",
		Long: `Show who is on the roster in force, after coming into step with the server; which keys have been
verified here, and how; and under which version each camera last sealed, by its own signed
word in what this device has seen of it.`,
		Example: `  obscura roster show
  obscura roster show --offline
  obscura roster show | cut -f1,2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return rosterShow(cmd.Context(), t, &h, offline) },
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "ask no server; show what the folder has")
	h.addFlags(cmd.Flags())
	return cmd
}

func rosterShow(ctx context.Context, t *terminal, h *householdFlags, offline bool) error {
	var m *member
	if offline {
		d, err := h.open(t)
		if err != nil {
			return err
		}
		m = &member{Device: d, conn: &connection{}}
	} else {
		var err error
		if m, err = h.inStep(ctx, t); err != nil {
			return err
		}
	}
	r, err := m.Roster()
	if err != nil {
		return m.explain("cannot show the roster", err)
	}
	return printRoster(t, m, r)
}

// rosterRow is one line of roster show.
type rosterRow struct {
	Name        string     `json:"name"`
	Role        string     `json:"role"`
	Fingerprint string     `json:"fingerprint"`
	This        bool       `json:"thisDevice,omitempty"`
	Streams     int        `json:"streams,omitempty"` // that it is confined to; 0 for all
	Since       *time.Time `json:"since,omitempty"`
	Verified    string     `json:"verified,omitempty"` // how this device came to trust it
	Ends        *time.Time `json:"ends,omitempty"`
	Ended       bool       `json:"ended,omitempty"`
	Seals       uint32     `json:"rosterVersion,omitempty"` // a camera's last receipt
	SealedAt    *time.Time `json:"sealedAt,omitempty"`
}

func rosterRowOf(e e2ee.Member, m *member, _ *e2ee.Roster) rosterRow {
	fp := e.Fingerprint()
	row := rosterRow{Name: e.Name, Role: sayRole(e.Role), Fingerprint: fp.String(), Streams: len(e.Streams), Ended: household.Ended(e, time.Now())}
	row.This = fp == m.Fingerprint()
	if id := m.Identity(e2ee.RoleOwner); id != nil && id.Fingerprint() == fp {
		row.This = true
	}
	if at := m.Since(fp); !at.IsZero() {
		row.Since = &at
	}
	if !e.NotAfter.IsZero() {
		row.Ends = &e.NotAfter
	}
	if v, ok := m.HowVerified(fp); ok {
		row.Verified = v.How + " " + v.At.Local().Format("2 Jan")
	}
	if at := m.LastKitTried(fp); !at.IsZero() {
		row.Verified = "tried " + at.Local().Format("2 Jan")
	}
	if l, ok := m.Receipt(fp); ok {
		row.Seals, row.SealedAt = l.RosterVersion, &l.Capture
	}
	return row
}

// shownRoster is roster show as JSON.
type shownRoster struct {
	Household  string      `json:"household"`
	Version    uint32      `json:"version"`
	Pin        string      `json:"pin"`
	Issued     time.Time   `json:"issued"`
	Expires    time.Time   `json:"expires"`
	Threshold  uint8       `json:"threshold"`
	NoRecovery bool        `json:"noRecovery,omitempty"`
	Members    []rosterRow `json:"members"`
}

func printRoster(t *terminal, m *member, r *e2ee.Roster) error {
	s := shownRoster{
		Household: m.Household(), Version: r.Version, Pin: household.PinText(m.Trust().Pin()), Issued: r.Issued, Expires: r.Expires,
		Threshold: r.Threshold, NoRecovery: r.NoRecovery,
	}
	for _, e := range r.Members {
		s.Members = append(s.Members, rosterRowOf(e, m, r))
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(s)
	}
	if !t.outIsTerminal() {
		for _, row := range s.Members {
			fmt.Fprintln(t.out, strings.Join([]string{row.Name, row.Role, row.Fingerprint, row.Verified, rfc3339(row.Ends)}, "\t"))
		}
		return nil
	}
	fmt.Fprintf(t.out, "Roster v%d of household %s, signed %s, %s\n", r.Version, s.Household, r.Issued.Local().Format("2 Jan 2006"), sayExpiry(r.Expires, time.Now()))
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tFINGERPRINT\tVERIFIED\tSTANDING")
	for _, row := range s.Members {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", row.Name, row.Role, row.Fingerprint[:9], orDash(row.Verified), row.standing(r.Version, time.Now()))
	}
	if r.NoRecovery {
		fmt.Fprintln(w, "-\trecovery kit\t-\t-\tnone, on purpose: if every device is lost, so is the footage")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Threshold > 1 {
		fmt.Fprintf(t.out, "%d owners must sign each change\n", r.Threshold)
	}
	return nil
}

// standing is what there is to say of a member beside its name.
func (r *rosterRow) standing(version uint32, now time.Time) string {
	var say []string
	if r.This {
		say = append(say, "this device")
	}
	switch {
	case r.Ended:
		say = append(say, "removed "+r.Ends.Local().Format("2 Jan"))
	case r.Ends != nil:
		say = append(say, sayExpiry(*r.Ends, now))
	}
	if r.Streams > 0 {
		say = append(say, count(r.Streams, "stream", "streams")+" only")
	}
	if r.Role == sayRole(e2ee.RoleRecovery) && r.Verified == "" {
		say = append(say, "never tried at this device")
	}
	switch {
	case r.Seals == 0 || r.Ended:
	case r.Seals < version:
		say = append(say, fmt.Sprintf("still on v%d at %s", r.Seals, r.SealedAt.Local().Format("2 Jan 15:04")))
	default:
		say = append(say, fmt.Sprintf("on v%d since %s", r.Seals, r.SealedAt.Local().Format("2 Jan 15:04")))
	}
	return orDash(strings.Join(say, ", "))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func rfc3339(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// sayExpiry says in words when something ends.
func sayExpiry(at, now time.Time) string {
	left := at.Sub(now)
	switch days := int(left / (24 * time.Hour)); {
	case left <= 0:
		return "expired " + at.Local().Format("2 Jan 2006")
	case days < 1:
		return "expires at " + at.Local().Format("15:04")
	case days < 60:
		return "expires in " + count(days, "day", "days")
	default:
		return "expires " + at.Local().Format("2 Jan 2006")
	}
}
