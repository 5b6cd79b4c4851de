// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

func newKeys(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make and look after this device's end-to-end keys",
		Long: `Make and look after this device's end-to-end keys. They are made here and stay here; the
server has none of them. Who may watch is said by the household's roster, which its owner
signs: see obscura roster.`,
		Example: `  obscura keys init
  obscura keys show
  obscura keys recover --verify --stream front-door`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeysInit(t), newKeysShow(t), newKeysRotate(t), newKeysExport(t), newKeysRecover(t), newKeysRequest(t), newKeysJoin(t))
	return cmd
}

func newKeysShow(t *terminal) *cobra.Command {
	var k keyFolder
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Tell who this device is, and how it stands with its household",
		Long: `Tell who this device is, and how it stands with its household, from what its folder holds;
no server is asked. Keys themselves are never shown.`,
		Example: `  obscura keys show
  obscura keys show --keys front-door-keys
  obscura keys show --json | jq -r .fingerprint`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d, err := k.open(t)
			if err != nil {
				return err
			}
			return showKeys(t, d)
		},
	}
	k.addFlags(cmd.Flags())
	return cmd
}

// shownKeys is keys show as JSON.
type shownKeys struct {
	Name               string     `json:"name"`
	Fingerprint        string     `json:"fingerprint"`
	Roles              []string   `json:"roles"`
	Owner              string     `json:"owner,omitempty"` // fingerprint of the owner's key
	Household          string     `json:"household"`
	Server             string     `json:"server,omitempty"`
	Roster             string     `json:"roster,omitempty"` // version and hash
	Admitted           bool       `json:"admitted"`
	Keys               int        `json:"keys"`
	NewestKey          *time.Time `json:"newestKey,omitempty"`
	CertificateExpires *time.Time `json:"certificateExpires,omitempty"`
}

func describeKeys(d *household.Device) shownKeys {
	s := shownKeys{Name: d.Name(), Fingerprint: d.Fingerprint().String(), Household: d.Household(), Server: d.Server(), Keys: len(d.Keys())}
	for _, r := range []e2ee.Role{e2ee.RoleOwner, e2ee.RoleConsumer, e2ee.RoleProducer} {
		if d.Identity(r) != nil {
			s.Roles = append(s.Roles, sayRole(r))
		}
	}
	if id := d.Identity(e2ee.RoleOwner); id != nil {
		s.Owner = id.Fingerprint().String()
	}
	if tr := d.Trust(); tr != nil {
		s.Roster = household.PinText(tr.Pin())
	}
	_, s.Admitted = d.Admitted()
	if times := d.KeyTimes(); len(times) > 0 {
		s.NewestKey = &times[0]
	}
	if at := d.CertificateExpires(); !at.IsZero() {
		s.CertificateExpires = &at
	}
	return s
}

func showKeys(t *terminal, d *household.Device) error {
	s := describeKeys(d)
	if t.json {
		return json.NewEncoder(t.out).Encode(s)
	}
	standing := "not paired yet"
	switch {
	case s.Admitted:
		standing = "on the roster"
	case s.Roster != "":
		standing = "not on the roster"
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	row("device", s.Name+" ("+strings.Join(s.Roles, ", ")+")")
	row("fingerprint", s.Fingerprint)
	row("owner key", s.Owner)
	row("household", s.Household)
	row("server", s.Server)
	row("roster", s.Roster)
	row("standing", standing)
	if s.NewestKey != nil {
		row("keys", fmt.Sprintf("%d, the newest of %s", s.Keys, s.NewestKey.Format("2006-01-02 15:04")))
	}
	if s.CertificateExpires != nil {
		row("certificate", "good until "+s.CertificateExpires.Format("2006-01-02 15:04"))
	}
	return w.Flush()
}

// sayRole is a role as people say it.
func sayRole(r e2ee.Role) string {
	switch r {
	case e2ee.RoleProducer:
		return "camera"
	case e2ee.RoleConsumer:
		return "viewer"
	case e2ee.RoleRecovery:
		return "recovery kit"
	default:
		return r.String()
	}
}
