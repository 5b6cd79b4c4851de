// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

type recoverOptions struct {
	householdFlags
	verify          bool
	kitFile         string
	streams         []string
	name, household string
	from, until     string
}

func newKeysRecover(t *terminal) *cobra.Command {
	var o recoverOptions
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Open the footage again from the recovery kit, or try that it would",
		Long: `Open the footage again from the recovery kit, when every device is lost: a new viewing device is made
in an empty folder, and all that the kit opens is opened to it. The roster's line on the paper proves
that what the server shows is the household's own. The kit can sign nothing: cameras go on to seal for
the roster that they have, until a new household is founded and they are paired with it.

With --verify nothing is recovered. It is the drill: the kit, typed from the paper, really opens the
newest fragment of a stream, or it is said why not. Do it once a year.`,
		Example: `  obscura keys recover --verify --stream front-door
  obscura keys recover --keys new-laptop-keys
  obscura keys recover --keys new-laptop-keys --stream front-door --from 2026-11-01 --until 2026-11-08`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.verify {
				return drill(cmd.Context(), t, &o)
			}
			return keysRecover(cmd.Context(), t, &o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.verify, "verify", false, "only try the kit, with this device's roster")
	f.StringVar(&o.kitFile, "kit-file", "", "file with the kit and its roster's line; - for standard input (default: ask)")
	f.StringSliceVar(&o.streams, "stream", nil, "stream; may be repeated (default: all that the server lists)")
	f.StringVar(&o.from, "from", "", "TIME from which to recover (default: all)")
	f.StringVar(&o.until, "until", "", "TIME before which (default: now)")
	f.StringVar(&o.name, "name", "", "the new device's name (default: the host's)")
	f.StringVar(&o.household, "household", "", "the household's name on this server (default home)")
	o.addPairFlags(f)
	return cmd
}

// readKit reads the kit, and the roster's line when that is wanted.
func (o *recoverOptions) readKit(ctx context.Context, t *terminal, wantPin bool) (kit *e2ee.KEMKey, pin string, err error) {
	if o.kitFile == "" {
		return o.askKit(ctx, t, wantPin)
	}
	in := io.Reader(t.in)
	if o.kitFile != "-" {
		f, err := os.Open(o.kitFile)
		if err != nil {
			return nil, "", err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 4096))
	if err != nil {
		return nil, "", err
	}
	if kit, pin, err = readKitPage(string(text)); err != nil {
		return nil, "", &problem{What: "cannot read the recovery kit", Why: err.Error(), Exit: exitUsage, Err: err}
	}
	if wantPin && pin == "" {
		err = usageError{errors.New("the roster's line is missing: \"Roster  v1-…\", as on the paper")}
	}
	return kit, pin, err
}

func (o *recoverOptions) askKit(ctx context.Context, t *terminal, wantPin bool) (kit *e2ee.KEMKey, pin string, err error) {
	if !t.canAsk() {
		return nil, "", usageError{errors.New("there is no terminal to type the kit on: give --kit-file FILE, or - for standard input")}
	}
	for {
		s, err := t.ask(ctx, "Type the recovery kit from the paper, its 14 groups on one line: ")
		if err != nil {
			return nil, "", err
		}
		if kit, err = e2ee.ParseRecoveryText(s); err == nil {
			break
		}
		t.note("  a letter is wrong or missing; look again")
	}
	if wantPin {
		pin, err = t.ask(ctx, "Type the roster's line from the paper: ")
	}
	return kit, pin, err
}

// drill tries the kit on each stream.
func drill(ctx context.Context, t *terminal, o *recoverOptions) error {
	m, err := o.inStep(ctx, t)
	if err != nil {
		return err
	}
	kit, _, err := o.readKit(ctx, t, false)
	if err != nil {
		return err
	}
	streams, err := o.settleStreams(ctx, m.conn)
	if err != nil {
		return m.explain("cannot list the streams", err)
	}
	var rows []drilled
	for _, s := range streams {
		row, err := m.drillOne(ctx, kit, s)
		if err != nil {
			return m.explain(fmt.Sprintf("the kit does not open %q", s), err)
		}
		rows = append(rows, row)
		if !t.json {
			fmt.Fprintf(t.out, "%s: the kit opens the newest fragment, of %s, signed by %s\n", s, sayMoment(row.Captured.Local()), row.SignedBy)
		}
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(rows)
	}
	t.note("Kit tried %s.", time.Now().Format("2 Jan 2006"))
	return nil
}

// drilled is what a drill found in a stream.
type drilled struct {
	Stream   string    `json:"stream"`
	Captured time.Time `json:"captured"`
	SignedBy string    `json:"signedBy"`
	Roster   uint32    `json:"rosterVersion"`
}

func (m *member) drillOne(ctx context.Context, kit *e2ee.KEMKey, stream string) (drilled, error) {
	footage, done, err := m.conn.footage(stream)
	if err != nil {
		return drilled{}, err
	}
	defer done()
	report, err := m.Drill(ctx, footage, kit, stream, time.Now().Add(time.Minute))
	if err != nil {
		return drilled{}, err
	}
	d := drilled{Stream: stream, Captured: report.Capture, SignedBy: report.Producer.Short(), Roster: report.RosterVersion}
	if r, err := m.Roster(); err == nil {
		if e, ok := household.MemberOf(r, report.Producer); ok {
			d.SignedBy = e.Name
		}
	}
	return d, nil
}

// footage is the archive of a stream; done lets go of it.
func (c *connection) footage(stream string) (f household.Footage, done func(), err error) {
	co := consumer.Options{StreamName: stream}
	c.forConsumer(&co)
	r, err := consumer.Open(co)
	if err != nil {
		return nil, nil, usageError{err}
	}
	return household.NewFootage(r), r.Close, nil
}

// settleStreams are the streams that were named, or all.
func (o *recoverOptions) settleStreams(ctx context.Context, conn *connection) ([]string, error) {
	if len(o.streams) > 0 {
		return o.streams, nil
	}
	names, err := conn.streams(ctx)
	if err == nil && len(names) == 0 {
		err = &problem{What: "there is nothing to open", Why: "the server lists no stream", Exit: exitNotFound}
	}
	return names, err
}

// streams lists the names of all streams.
func (c *connection) streams(ctx context.Context) (names []string, err error) {
	a := &deviceAdmin{conn: c, http: c.httpClient()}
	kv := kvapi.NewClient(protocol.Client{Endpoint: c.endpoint, HTTP: a.http, Sign: a.signer("kinesisvideo")})
	for in := new(kvapi.ListStreamsInput); ; {
		out, err := kv.ListStreams(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, s := range out.StreamInfoList {
			if s != nil && s.StreamName != nil {
				names = append(names, *s.StreamName)
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil || *in.NextToken == "" {
			return names, nil
		}
	}
}

// newcomer is the device that is to have the history: a new one, or one that has been recovering before.
func (o *recoverOptions) newcomer(t *terminal, conn *connection) (*household.Device, error) {
	if !o.exists() {
		return o.create(t, household.Kind{
			Name: cmp.Or(o.name, deviceName()), Household: cmp.Or(o.household, householdName), Server: conn.address(), Consumer: true,
		})
	}
	d, err := o.open(t)
	if err != nil {
		return nil, err
	}
	if d.Identity(e2ee.RoleConsumer) == nil {
		dir, _ := o.path()
		return nil, explainFolder(dir, household.ErrDevice)
	}
	return d, nil
}

func keysRecover(ctx context.Context, t *terminal, o *recoverOptions) error {
	from, until, err := o.span(time.Now())
	if err != nil {
		return err
	}
	conn, err := o.connect(t)
	if err != nil {
		return err
	}
	d, err := o.newcomer(t, conn)
	if err != nil {
		return err
	}
	m := &member{d, conn, conn.mailbox(d.Household())}
	kit, pin, err := o.readKit(ctx, t, d.Trust() == nil)
	if err != nil {
		return err
	}
	const what = "cannot recover"
	if d.Trust() == nil {
		if err := d.Join(ctx, m.box, pin); err != nil {
			return m.explain(what, err)
		}
	}
	streams, err := o.settleStreams(ctx, conn)
	if err != nil {
		return m.explain(what, err)
	}
	for _, s := range streams {
		if err := m.recoverOne(ctx, t, kit, s, from, until); err != nil {
			return m.explain(fmt.Sprintf("cannot recover %q", s), err)
		}
	}
	t.note("cameras go on to seal for the old roster. For what comes now:  obscura pair    (if an owner's device is left),")
	t.note("or found a new household in another folder, and pair the cameras with it:  obscura keys init --household NAME --keys DIR")
	return nil
}

func (o *recoverOptions) span(now time.Time) (from, until time.Time, err error) {
	from, until = time.UnixMilli(0), now.Add(time.Minute)
	if o.from != "" {
		if from, err = parseMoment(o.from, now); err != nil {
			return from, until, err
		}
	}
	if o.until != "" {
		until, err = parseMoment(o.until, now)
	}
	return from, until, err
}

// recoverOne opens one stream. That there is nothing in it, or nothing that the kit opens, is no failure of the others.
func (m *member) recoverOne(ctx context.Context, t *terminal, kit *e2ee.KEMKey, stream string, from, until time.Time) error {
	footage, done, err := m.conn.footage(stream)
	if err != nil {
		return err
	}
	defer done()
	got, err := m.Recover(ctx, footage, kit, stream, from, until)
	var refused *e2ee.Error
	switch {
	case errors.Is(err, household.ErrNoFootage):
		t.note("%s: no footage", stream)
		return nil
	case errors.As(err, &refused) && got != nil && got.Generations == 0:
		t.note("%s: not opened: %s", stream, refused.Code.Error())
		return nil
	case err != nil:
		return err
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(map[string]any{"stream": stream, "generations": got.Generations, "first": got.First, "last": got.Last})
	}
	fmt.Fprintf(t.out, "%s: opened from %s to %s\n", stream, sayMoment(got.First.Local()), sayMoment(got.Last.Local()))
	if got.Refused != nil {
		t.note("%s: some of it was not opened: %v", stream, got.Refused)
	}
	return nil
}

// signer signs requests of one service.
func (a *deviceAdmin) signer(service string) func(*http.Request, []byte) error {
	return func(r *http.Request, payload []byte) error { return a.sign(r, payload, a.conn.region, service) }
}
