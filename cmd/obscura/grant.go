// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

type grantOptions struct {
	householdFlags
	stream      string
	from, until string
	to          string
	guest       bool
	history     bool
	keep        time.Duration
}

func newGrant(t *terminal) *cobra.Command {
	var o grantOptions
	cmd := &cobra.Command{
		Use:   "grant",
		Short: "Share footage of a time with one person, and nothing before or after it",
		Long: `Share footage of a time with one person: with a viewing device on the roster, which finds the grant by
itself, or with a guest, for whom a secret line is printed. Whoever has that line, and may read the
stream and the mailbox on the server, can open those minutes and no others.

This device must be able to open the footage itself. What was granted and taken cannot be taken back.`,
		Example: `  obscura grant --stream front-door --from "yesterday 14:00" --until "yesterday 15:00" --to "Ben's phone"
  obscura grant --stream front-door --from 14:30 --until 14:40 --guest --keep 72h > link
  obscura grant --stream front-door --from 2026-11-01 --until 2026-11-08 --to "Ben's phone" --history`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return grant(cmd.Context(), t, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.stream, "stream", "", "name of the video stream")
	f.StringVar(&o.from, "from", "", "TIME from which, by the camera's clock")
	f.StringVar(&o.until, "until", "", "TIME before which")
	f.StringVar(&o.to, "to", "", "name of a viewing device on the roster")
	f.BoolVar(&o.guest, "guest", false, "share with whoever has the line that is printed")
	f.BoolVar(&o.history, "history", false, "share whole generations, up to a day more on each side, instead of single minutes")
	f.DurationVar(&o.keep, "keep", 0, "how long the mailbox keeps the grant (default: for ever; a guest's 168h)")
	o.addFlags(f)
	return cmd
}

// guestKeep is how long a guest's grant is kept when nobody says otherwise.
const guestKeep = 7 * 24 * time.Hour

func (o *grantOptions) settle(t *terminal, now time.Time) (s household.Share, err error) {
	switch {
	case o.stream == "" || o.from == "" || o.until == "":
		return s, usageError{errors.New(`grant needs --stream, --from and --until; try: obscura grant --stream front-door --from -1h --until -10m --guest`)}
	case (o.to == "") == !o.guest:
		return s, usageError{errors.New("grant needs one of --to NAME and --guest")}
	}
	s = household.Share{Stream: o.stream, History: o.history, Keep: o.keep}
	if o.guest && o.keep == 0 {
		s.Keep = guestKeep
	}
	if s.From, err = parseMoment(o.from, now); err == nil {
		s.Until, err = parseMoment(o.until, now)
	}
	if err == nil && !s.Until.After(s.From) {
		err = usageError{fmt.Errorf("--until %s is not after --from %s", sayMoment(s.Until), sayMoment(s.From))}
	}
	t.note("from %s until %s", sayMoment(s.From), sayMoment(s.Until))
	return s, err
}

func grant(ctx context.Context, t *terminal, o *grantOptions) error {
	s, err := o.settle(t, time.Now())
	if err != nil {
		return err
	}
	m, err := o.inStep(ctx, t)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("cannot share %q", o.stream)
	var seed []byte
	if o.guest {
		seed, s.To, err = household.NewGuest()
	} else {
		s.To, err = m.grantee(o.to)
	}
	if err != nil {
		return m.explain(what, err)
	}
	footage, done, err := m.conn.footage(o.stream)
	if err != nil {
		return err
	}
	defer done()
	shared, err := m.Share(ctx, m.box, footage, s)
	if err != nil {
		return m.explain(what, err)
	}
	if shared.Refused != nil {
		t.note("%s some of it does not open at this device and is not shared: %v", t.yellow("warning:"), shared.Refused)
	}
	return printGrant(t, m, o, s, shared, seed)
}

// grantee finds a viewing device by its name.
func (m *member) grantee(name string) (e2ee.Grantee, error) {
	r, err := m.Roster()
	if err != nil {
		return e2ee.Grantee{}, err
	}
	e, err := household.FindMember(r, name, time.Now(), e2ee.RoleConsumer)
	if err != nil {
		return e2ee.Grantee{}, err
	}
	g, err := m.Grantee(e.Fingerprint())
	if errors.Is(err, e2ee.ErrCertificate) {
		err = &problem{
			What: "cannot share with " + name, Why: "its certificate is over: it has not run for a month", Exit: exitNoKey, Err: err,
			Code: e2ee.ErrCertificate.String(), Next: "run any obscura command with its keys on that device, then do this again",
		}
	}
	return g, err
}

func printGrant(t *terminal, m *member, o *grantOptions, s household.Share, shared *household.Shared, seed []byte) error {
	answer := map[string]any{"stream": o.stream, "from": s.From.UTC(), "until": s.Until.UTC(), "objects": shared.Objects}
	if o.guest {
		link := household.GuestLink{
			Seed: seed, Stream: o.stream, Household: m.Household(), Server: m.conn.address(), Pin: m.Trust().Pin(), From: s.From, Until: s.Until,
		}
		answer["link"] = link.Text()
	} else {
		answer["to"] = o.to
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(answer)
	}
	if !o.guest {
		fmt.Fprintf(t.out, "%s may open %s from %s until %s\n", o.to, o.stream, sayMoment(s.From), sayMoment(s.Until))
		t.note("its obscura view finds the grant by itself")
		return nil
	}
	fmt.Fprintln(t.out, answer["link"])
	t.note("whoever has this line can open those minutes: send it by a way that you trust. The mailbox keeps the grant for %s.", s.Keep)
	t.note("the guest:  obscura view --grant FILE --output clip.mp4    (with an access key that may read the stream and grant/ in the mailbox)")
	return nil
}
