// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

type admitOptions struct {
	householdFlags
	codeFile   string
	sameServer bool
	yes        bool
	memberOptions
}

// memberOptions are what an owner decides about a device.
type memberOptions struct {
	name    string
	streams []string
	until   string
	replace string
}

func newPairAdmit(t *terminal) *cobra.Command {
	var o admitOptions
	cmd := &cobra.Command{
		Use:   "admit",
		Short: "Let a new camera or viewing device in, on an owner's device",
		Long: `Let a new camera or viewing device in: paste the code that it shows, or type the seven digits
that it reads out. Then decide under which name, for which streams and until when; the roster
is signed here, and every camera takes it within about a second.`,
		Example: `  obscura pair admit
  obscura pair admit --code-file - --yes < code.txt
  obscura pair admit --name "Kiosk" --stream lobby --until 2027-03-01`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return pairAdmit(cmd.Context(), t, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.codeFile, "code-file", "", "file with the code that the new device shows; - for standard input (default: ask)")
	f.BoolVar(&o.sameServer, "same-server", false, "the code's server and this one are the same, under two names")
	f.BoolVar(&o.yes, "yes", false, "do not ask; take what the flags and the device say")
	o.memberOptions.addFlags(cmd)
	o.householdFlags.addFlags(f)
	return cmd
}

func (o *memberOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "the device's name on the roster (default: what it calls itself)")
	f.StringSliceVar(&o.streams, "stream", nil, "stream that it may send to or watch; may be repeated (default: all)")
	f.StringVar(&o.until, "until", "", "TIME at which its membership ends (default: never)")
	f.StringVar(&o.replace, "replace", "", "name of the device whose key this one's takes the place of")
}

// admitter is an owner's device that lets another one in.
type admitter struct {
	*member
	*household.Admitting
	t *terminal
	o *admitOptions
}

func pairAdmit(ctx context.Context, t *terminal, o *admitOptions) error {
	if o.codeFile == "" && !t.canAsk() {
		return usageError{errors.New("there is no terminal to ask for the code on: give --code-file FILE, or - for standard input")}
	}
	m, err := o.member(t)
	if err != nil {
		return err
	}
	const what = "cannot admit the device"
	admitting, err := m.StartAdmit(ctx, m.box)
	if err != nil {
		return m.explain(what, err)
	}
	a := &admitter{member: m, Admitting: admitting, t: t, o: o}
	if err := a.run(ctx); err != nil {
		return m.explain(what, err)
	}
	return nil
}

// run authenticates the device, has the person decide, and signs.
func (a *admitter) run(ctx context.Context) error {
	if err := a.authenticate(ctx); err != nil {
		return err
	}
	candidate, err := a.Candidate()
	if err := a.judge(ctx, candidate, err); err != nil {
		return a.decline(ctx, err)
	}
	decided, err := a.decide(ctx, candidate)
	if err != nil {
		return a.decline(ctx, err)
	}
	err = a.Sign(ctx, decided)
	if errors.Is(err, household.ErrProposed) {
		a.t.note("signed here; more owners must sign, within the code's ten minutes:  obscura roster cosign")
		err = a.AwaitCosigned(ctx, decided)
	}
	if err != nil {
		return err
	}
	return a.printAdmitted(decided)
}

// decline tells the device, and passes the reason on.
func (a *admitter) decline(ctx context.Context, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	a.Decline(ctx)
	return why
}

// authenticate makes sure which device it is: by its code, or by digits.
func (a *admitter) authenticate(ctx context.Context) error {
	code, err := a.readCode(ctx)
	if err != nil {
		return err
	}
	if code == "" {
		return a.byDigits(ctx)
	}
	server := a.conn.address()
	if a.o.sameServer {
		server = ""
	}
	return a.insist(ctx, a.Scan(ctx, code, server))
}

func (a *admitter) readCode(ctx context.Context) (string, error) {
	if a.o.codeFile == "" {
		return a.askCode(ctx)
	}
	in := io.Reader(a.t.in)
	if a.o.codeFile != "-" {
		f, err := os.Open(a.o.codeFile)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, 4096))
	if err == nil && len(strings.TrimSpace(string(b))) == 0 {
		err = usageError{errors.New("there is no code in " + a.o.codeFile)}
	}
	return strings.TrimSpace(string(b)), err
}

// askCode reads a code that may be pasted in several lines, as it is shown: until it is whole, or an empty line.
func (a *admitter) askCode(ctx context.Context) (string, error) {
	code, err := a.t.ask(ctx, "Paste the code that the new device shows, or press Enter if you will type digits: ")
	for err == nil && code != "" && len(code) < 2048 {
		if _, bad := e2ee.ParseCode(code); bad == nil {
			break
		}
		more, failed := a.t.ask(ctx, "  its next line (Enter ends): ")
		if failed != nil || more == "" {
			return code, failed
		}
		code += more
	}
	return code, err
}

// insist waits on while the other side does not answer and the person wants to.
func (a *admitter) insist(ctx context.Context, err error) error {
	for {
		var f *household.Failure
		if !errors.As(err, &f) || f.Reason != household.OtherSideGone || !a.t.canAsk() {
			return err
		}
		a.t.note("%s", f.Error())
		on, asked := a.t.askYes(ctx, "Keep waiting? [yes / no, cancel]: ")
		if asked != nil {
			return asked
		}
		if !on {
			return err
		}
		err = a.AwaitRequest(ctx)
	}
}

func (a *admitter) byDigits(ctx context.Context) error {
	p, err := a.choosePending(ctx)
	if err != nil {
		return err
	}
	if err := a.insist(ctx, a.Answer(ctx, p)); err != nil {
		return err
	}
	typed, err := a.t.ask(ctx, "A device wants in. Type the 7 digits it shows: ")
	if err != nil {
		return a.decline(ctx, err)
	}
	if err := a.Digits(ctx, typed); err != nil {
		return err
	}
	a.t.note("Codes match.")
	return nil
}

// choosePending is the one device that asks; of several, the one that the person names.
func (a *admitter) choosePending(ctx context.Context) (household.Pending, error) {
	waiting, err := a.Pending(ctx)
	if err != nil {
		return household.Pending{}, err
	}
	switch len(waiting) {
	case 0:
		return household.Pending{}, &problem{
			What: "cannot admit the device", Why: "no device asks to be let in by digits", Exit: exitNotFound,
			Next: "obscura pair --digits    (on the new device; then here again)",
		}
	case 1:
		return waiting[0], nil
	}
	a.t.note("several devices ask:")
	for i, p := range waiting[:min(len(waiting), 10)] {
		a.t.note("  %d  asking as %s, since %s", i+1, p.ID[:4], p.Asked.Local().Format("15:04:05"))
	}
	for {
		s, err := a.t.ask(ctx, "Which one? It shows what it asks as. Type its number: ")
		if err != nil {
			return household.Pending{}, err
		}
		if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= len(waiting) {
			return waiting[n-1], nil
		}
	}
}

// judge decides about a device whose name another key has: only in front of it, and never by one press.
func (a *admitter) judge(ctx context.Context, m e2ee.Member, err error) error {
	var f *household.Failure
	if !errors.As(err, &f) || f.Reason != household.KeyChanged {
		return err
	}
	switch {
	case !a.ByCode():
		return err
	case a.o.replace == m.Name:
		return nil
	case a.o.yes || !a.t.canAsk():
		return &problem{
			What: "cannot admit " + m.Name, Why: f.Error(), Exit: exitDamaged, Err: err,
			Next: "obscura pair admit --replace " + shellQuote(m.Name) + "    (if you stand in front of it)",
		}
	}
	a.t.note("%s", f.Error())
	typed, asked := a.t.ask(ctx, "If you stand in front of it, type its name to replace the old key: ")
	if asked != nil {
		return asked
	}
	if typed != m.Name {
		return err
	}
	return nil
}

// decide fills in what the person wants of the roster's entry.
func (a *admitter) decide(ctx context.Context, m e2ee.Member) (e2ee.Member, error) {
	verb, kind := "watch", "viewer"
	if m.Role == e2ee.RoleProducer {
		verb, kind = "send to", "camera"
		a.t.note("%s is in front of you: its code was read from its own screen.", m.Name)
	}
	o := a.o.memberOptions
	if a.t.canAsk() && !a.o.yes {
		if err := o.ask(ctx, a.t, m, verb); err != nil {
			return m, err
		}
	}
	m, err := o.apply(m, time.Now())
	if err != nil || a.o.yes || !a.t.canAsk() {
		return m, err
	}
	yes, err := a.t.askYes(ctx, fmt.Sprintf("Sign and add %s as a %s that may %s %s%s? [yes / no]: ", m.Name, kind, verb, o.sayStreams(), sayUntil(m)))
	if err == nil && !yes {
		err = &household.Failure{Reason: household.Declined, Device: m.Name, Other: a.Name()}
	}
	return m, err
}

// ask asks for what no flag has said.
func (o *memberOptions) ask(ctx context.Context, t *terminal, m e2ee.Member, verb string) (err error) {
	if o.name == "" {
		if o.name, err = t.askDefault(ctx, "name", m.Name); err != nil {
			return err
		}
	}
	if len(o.streams) == 0 {
		s, err := t.askDefault(ctx, "streams that it may "+verb+", with commas between", "all")
		if err != nil {
			return err
		}
		if s != "all" {
			o.streams = strings.Split(s, ",")
		}
	}
	if o.until == "" {
		s, err := t.askDefault(ctx, "until", "never")
		if err != nil {
			return err
		}
		if s != "never" {
			o.until = s
		}
	}
	return nil
}

// apply writes the decisions into the roster's entry.
func (o *memberOptions) apply(m e2ee.Member, now time.Time) (e2ee.Member, error) {
	if o.name != "" {
		m.Name = o.name
	}
	for _, s := range o.streams {
		if s = strings.TrimSpace(s); s != "" {
			m.Streams = append(m.Streams, e2ee.StreamIDOf(s))
		}
	}
	if o.until == "" {
		return m, nil
	}
	at, err := parseMoment(o.until, now)
	if err == nil && !at.After(now) {
		err = usageError{fmt.Errorf("--until %s is over already", sayMoment(at))}
	}
	m.NotAfter = at
	return m, err
}

func (o *memberOptions) sayStreams() string {
	if len(o.streams) == 0 {
		return "all streams"
	}
	return strings.Join(o.streams, ", ")
}

func sayUntil(m e2ee.Member) string {
	if m.NotAfter.IsZero() {
		return ""
	}
	return " until " + m.NotAfter.Local().Format("2006-01-02 15:04")
}

func (a *admitter) printAdmitted(m e2ee.Member) error {
	r, err := a.Roster()
	if err != nil {
		return err
	}
	if a.t.json {
		return json.NewEncoder(a.t.out).Encode(rosterRowOf(m, a.member, r))
	}
	fmt.Fprintf(a.t.out, "Added %s. Roster v%d: %s\n", m.Name, r.Version, countMembers(r))
	a.t.note("undo:  %s", a.o.line(a.t, "obscura roster remove "+shellQuote(m.Name)))
	if m.Role == e2ee.RoleConsumer {
		a.t.note("it sees what is recorded from now on; for what was before:")
		a.t.note("  %s", a.o.line(a.t, "obscura grant --to "+shellQuote(m.Name)+" --stream STREAM --from TIME --until TIME"))
	}
	return nil
}
