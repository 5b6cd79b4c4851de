// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	iotapi "github.com/obscura-video/obscura/internal/awsapi/iot"
)

func newDevice(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "device",
		Short: "Give cameras an identity, and take it away",
		Long: `Give cameras an identity, and take it away. A camera gets a certificate for a key that it
makes itself, and by it temporary credentials for its own stream; it never holds an
access key. A revoked certificate, and all credentials obtained by it, end at once.`,
		Example: `  obscura device invite front-door                        on the server: prints a token, once
  obscura device enroll --token-file - --endpoint HOST:8445 --dir front-door     on the camera
  obscura device revoke front-door`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDeviceInvite(t), newDeviceEnroll(t), newDeviceRenew(t), newDeviceList(t), newDeviceRevoke(t), newDeviceSetup(t))
	return cmd
}

type inviteOptions struct {
	target
	alias   string
	expires time.Duration
}

func newDeviceInvite(t *terminal) *cobra.Command {
	var o inviteOptions
	cmd := &cobra.Command{
		Use:   "invite NAME",
		Short: "Print a token by which one device becomes NAME, once",
		Long: `Print a token by which one device becomes NAME, once. It is shown this one time; the server
keeps a hash of it. A camera's stream has its device's name.

The role, role alias and policy that the device will use are made when they are missing
(see obscura device setup).`,
		Example: `  obscura device invite front-door
  obscura device invite front-door --expires 30m
  obscura device invite front-door --role-alias two-streams`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return deviceInvite(cmd.Context(), t, &o, args[0]) },
	}
	cmd.Flags().StringVar(&o.alias, "role-alias", defaultRoleAlias, "role alias that the device obtains credentials of")
	cmd.Flags().DurationVar(&o.expires, "expires", 24*time.Hour, "how long the token can be redeemed, 1m to 720h")
	o.addFlags(cmd.Flags())
	return cmd
}

func deviceInvite(ctx context.Context, t *terminal, o *inviteOptions, name string) error {
	a, err := o.admin()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("cannot invite %q", name)
	if err := a.setUp(ctx, t, o.alias); err != nil {
		return a.conn.explainDevice(what, err)
	}
	out, err := a.iot.CreateEnrolmentToken(ctx, &iotapi.CreateEnrolmentTokenInput{
		ThingName: &name, RoleAlias: &o.alias, PolicyName: new(policyFor(o.alias)), ExpiresInSeconds: new(int64(o.expires / time.Second)),
	})
	if err != nil {
		return a.conn.explainDevice(what, err)
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(map[string]any{
			"thingName": name, "tokenId": out.TokenId, "enrolmentToken": out.EnrolmentToken, "endpoint": out.EndpointAddress,
			"expiration": out.ExpirationDate,
		})
	}
	fmt.Fprintln(t.out, *out.EnrolmentToken)
	t.note("it is good once, until %s; on the camera:", out.ExpirationDate.Local().Format("2006-01-02 15:04"))
	t.note("  obscura device enroll --token-file - --endpoint %s --dir %s", *out.EndpointAddress, shellQuote(name))
	t.note("undo:  obscura device revoke %s", shellQuote(name))
	return nil
}

func newDeviceList(t *terminal) *cobra.Command {
	var g target
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List devices, their certificates and open invitations",
		Example: `  obscura device list
  obscura device list --json
  obscura device list | cut -f1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return deviceList(cmd.Context(), t, &g) },
	}
	g.addFlags(cmd.Flags())
	return cmd
}

// deviceRow is one line of the list.
type deviceRow struct {
	ThingName     string     `json:"thingName"`
	Status        string     `json:"status"` // a certificate's, or INVITED
	CertificateID string     `json:"certificateId,omitempty"`
	TokenID       string     `json:"tokenId,omitempty"`
	Expires       *time.Time `json:"expires,omitempty"`
}

func deviceList(ctx context.Context, t *terminal, g *target) error {
	a, err := g.admin()
	if err != nil {
		return err
	}
	rows, err := a.devices(ctx)
	if err != nil {
		return a.conn.explainDevice("cannot list devices", err)
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(rows)
	}
	if !t.outIsTerminal() {
		for _, r := range rows {
			fmt.Fprintf(t.out, "%s\t%s\t%s\t%s\n", r.ThingName, r.Status, r.CertificateID+r.TokenID, r.when(time.RFC3339))
		}
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DEVICE\tSTATUS\tCERTIFICATE\tEXPIRES")
	for _, r := range rows {
		id := r.CertificateID
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.ThingName, r.Status, id[:min(16, len(id))], r.when("2006-01-02 15:04"))
	}
	return w.Flush()
}

func (r *deviceRow) when(layout string) string {
	switch {
	case r.Expires == nil:
		return ""
	case layout == time.RFC3339:
		return r.Expires.UTC().Format(layout)
	}
	return r.Expires.Local().Format(layout)
}

func newDeviceRevoke(t *terminal) *cobra.Command {
	var g target
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Revoke a device's certificates and withdraw its invitations, at once and for good",
		Long: `Revoke every certificate of a device and withdraw its open invitations. Credentials that it
obtained stop working at once. Its streams stay. A revoked certificate stays revoked: to
take the device back, invite it again.`,
		Example: `  obscura device revoke front-door
  obscura device revoke front-door --json
  obscura device invite front-door       to take it back`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return deviceRevoke(cmd.Context(), t, &g, args[0]) },
	}
	g.addFlags(cmd.Flags())
	return cmd
}

func deviceRevoke(ctx context.Context, t *terminal, g *target, name string) error {
	a, err := g.admin()
	if err != nil {
		return err
	}
	certificates, tokens, err := a.revoke(ctx, name)
	if err != nil {
		return a.conn.explainDevice(fmt.Sprintf("cannot revoke %q", name), err)
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(map[string]any{"thingName": name, "certificates": certificates, "invitations": tokens})
	}
	fmt.Fprintf(t.out, "%s: %d certificates revoked, %d invitations withdrawn\n", name, certificates, tokens)
	t.note("to take it back:  obscura device invite %s", shellQuote(name))
	return nil
}

func newDeviceSetup(t *terminal) *cobra.Command {
	var g target
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Make the role, role alias and policy that invited devices use, where they are missing",
		Long: `Make what invited devices use, where it is missing; nothing that is there is changed:

  role obscura-device           may make, describe and send to the stream of the device's name, be paired
                                and follow a household's roster
  role alias obscura-device     what devices ask for; an hour at a time
  IoT policy obscura-device     lets a certificate ask for that alias`,
		Example: `  obscura device setup
  obscura device setup --data /srv/obscura
  obscura device setup --endpoint https://video.example.org:8443 --ca ca.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := g.admin()
			if err != nil {
				return err
			}
			return a.conn.explainDevice("cannot set up devices", a.setUp(cmd.Context(), t, defaultRoleAlias))
		},
	}
	g.addFlags(cmd.Flags())
	return cmd
}

// explainDevice is explain for the API of devices; nil stays nil.
func (c *connection) explainDevice(what string, err error) error {
	if err == nil {
		return nil
	}
	err = c.explain(what, "", err)
	var p *problem
	if errors.As(err, &p) && p.Exit == exitNotFound {
		p.Next = "obscura device list"
	}
	return err
}
