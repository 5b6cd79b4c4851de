// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

type pairOptions struct {
	householdFlags
	name, household string
	text, digits    bool
	again           bool
	camera          bool
}

func newPair(t *terminal) *cobra.Command {
	var o pairOptions
	cmd := &cobra.Command{
		Use:   "pair",
		Short: "Let this viewing device into a household, by an owner who is near",
		Long: `Let this viewing device into a household. It makes its own keys and shows a square code; an
owner runs obscura pair admit on their device and scans or pastes it. The code holds a
secret that never passes the server, so both know that nobody is between them.

Without a camera, the owner's side answers without a code and seven digits appear here to
be read aloud. Nothing is trusted before the person at this device has said that the owner's
screen shows a match.`,
		Example: `  obscura pair --name "Ben's phone"
  obscura pair --server https://nvr.lan:8443 --text
  obscura pair --digits`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return pair(cmd.Context(), t, &o) },
	}
	o.addJoinFlags(cmd)
	cmd.Flags().BoolVar(&o.digits, "digits", false, "show no code, only digits")
	cmd.AddCommand(newPairAdmit(t), newUnpair(t, "viewing device"))
	return cmd
}

// addJoinFlags adds the flags of a device that wants in.
func (o *pairOptions) addJoinFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "this device's name, suggested to the owner (default: the host's)")
	f.StringVar(&o.household, "household", "", "the household's name on this server (default home)")
	f.BoolVar(&o.text, "text", false, "print the code in letters instead of as a picture")
	f.BoolVar(&o.again, "again", false, "pair although this device is on a roster")
	o.addPairFlags(f)
}

func newCameraPair(t *terminal) *cobra.Command {
	o := pairOptions{camera: true}
	cmd := &cobra.Command{
		Use:   "pair",
		Short: "Let this camera into a household, by an owner who stands in front of it",
		Long: `Let this camera into a household. It makes its own keys and shows a square code; an owner runs
obscura pair admit on their device and scans or pastes it. From then on it seals for whoever
is on the owner's roster, and the server can read nothing of it.

A camera starts by itself, so its keys are protected by the permissions of their folder alone,
unless --passphrase-file or --keyring says otherwise.`,
		Example: `  obscura camera pair --server https://nvr.lan:8443 --name "Front door"
  obscura camera pair --device front-door --text
  obscura camera pair --keys /var/lib/front-door/keys --name "Front door"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return pair(cmd.Context(), t, &o) },
	}
	o.addJoinFlags(cmd)
	return cmd
}

// joiner is a device that is being paired.
type joiner struct {
	*member
	t     *terminal
	o     *pairOptions
	begun time.Time
}

func pair(ctx context.Context, t *terminal, o *pairOptions) error {
	conn, err := o.connect(t)
	if err != nil {
		return err
	}
	d, err := o.newcomer(t, conn)
	if err != nil {
		return err
	}
	j := &joiner{member: &member{d, conn, conn.mailbox(d.Household())}, t: t, o: o, begun: time.Now()}
	ctx, cancel := context.WithTimeoutCause(ctx, e2ee.PairingLife, &household.Failure{
		Reason: household.CodeExpired, Since: j.begun, Now: j.begun.Add(e2ee.PairingLife), Err: e2ee.ErrExpired,
	})
	defer cancel()
	if err := j.run(ctx); err != nil {
		return j.explain("cannot pair "+d.Name(), err)
	}
	return j.printPaired()
}

// newcomer is the device that is to be paired: a new one, or one that is on no roster.
func (o *pairOptions) newcomer(t *terminal, conn *connection) (*household.Device, error) {
	if !o.exists() {
		return o.create(t, household.Kind{
			Name: cmp.Or(o.name, deviceName()), Household: cmp.Or(o.household, householdName), Server: conn.address(),
			Producer: o.camera, Consumer: !o.camera,
		})
	}
	d, err := o.open(t)
	if err != nil {
		return nil, err
	}
	dir, _ := o.path()
	_, admitted := d.Admitted()
	switch {
	case d.Identity(e2ee.RoleOwner) != nil || (d.Identity(e2ee.RoleProducer) != nil) != o.camera:
		return nil, explainFolder(dir, household.ErrDevice)
	case admitted && !o.again:
		return nil, &problem{
			What: d.Name() + " is paired already", Why: "it is on the roster of household " + d.Household(), Exit: exitConflict,
			Next: "obscura keys show    (or pair it again all the same: --again)",
		}
	}
	if o.name != "" && o.name != d.Name() {
		if err := d.Rename(o.name); err != nil {
			return nil, err
		}
	}
	if o.household != "" && d.Trust() == nil {
		err = d.Move(o.household, conn.address())
	}
	return d, err
}

// run pairs by whatever the owner's side chooses first: the code, or digits.
func (j *joiner) run(ctx context.Context) error {
	byCode := !j.o.digits
	byDigits := !j.o.camera && j.t.canAsk()
	if !byCode && !byDigits {
		return usageError{errors.New("pairing by digits needs a terminal, where a person can say that they match")}
	}
	var ways []*way
	if byCode {
		w, err := j.showCode()
		if err != nil {
			return err
		}
		ways = append(ways, w)
	}
	if byDigits {
		w, err := j.askByDigits(ctx, byCode)
		if err != nil {
			return err
		}
		ways = append(ways, w)
	}
	w, err := j.first(ctx, ways)
	if err != nil {
		return err
	}
	if w.digits {
		if err := j.confirm(ctx, w); err != nil {
			return err
		}
	}
	j.sayOffered(w)
	if err := w.AwaitWelcome(ctx); err != nil {
		if ctx.Err() != nil {
			j.withdraw(w)
		}
		return err
	}
	return nil
}

// way is one way in: by code or by digits.
type way struct {
	*household.Joining
	digits  bool
	offered *household.Offered
	err     error
}

func (j *joiner) showCode() (*way, error) {
	joining, err := j.StartJoin(j.box, j.conn.address())
	if err != nil {
		return nil, err
	}
	code, err := joining.Code()
	if err != nil {
		return nil, err
	}
	if j.o.camera {
		j.t.note("Scan this with an admin's device (People > Add camera). Valid 10 min, works once.")
	} else {
		j.t.note("This device made its own key. It cannot watch until an admin lets it in. Show this code to an admin:")
	}
	j.t.note("(With the command line, on the admin's device:  obscura pair admit)")
	j.printCode(code)
	if j.o.camera {
		j.t.note("This camera is  %s", j.Fingerprint())
	} else {
		j.t.note("This device is  %s", j.Fingerprint())
	}
	return &way{Joining: joining}, nil
}

// printCode shows the code where a person looks: as a picture on the terminal, else as letters on standard output.
func (j *joiner) printCode(code e2ee.PairingCode) {
	picture, width, err := drawQR(code.Text(), j.t.colored(), localeIsUTF8())
	if err == nil && !j.o.text && j.t.live() && width < j.t.width() {
		fmt.Fprintf(j.t.err, "\n%s\n", picture)
		j.t.note("in letters:\n%s\n", lettered(code.Groups()))
		return
	}
	if j.t.live() && !j.o.text {
		j.t.note("(the window is too narrow for the picture of it)")
	}
	fmt.Fprintln(j.t.out, lettered(code.Groups()))
}

func (j *joiner) askByDigits(ctx context.Context, also bool) (*way, error) {
	joining, err := j.StartJoin(j.box, j.conn.address())
	if err != nil {
		return nil, err
	}
	id, err := joining.Ask(ctx)
	if err != nil {
		return nil, err
	}
	if also {
		j.t.note("No camera? On the admin's device run  obscura pair admit  and press Enter; digits will appear here. (Asking as %s.)", id[:4])
	} else {
		j.t.note("This device made its own key. It cannot watch until an admin lets it in, by  obscura pair admit  (asking as %s)", id[:4])
	}
	return &way{Joining: joining, digits: true}, nil
}

// first waits until an owner comes one way, and withdraws from the other.
func (j *joiner) first(ctx context.Context, ways []*way) (*way, error) {
	bar := j.countdown()
	defer bar.stop()
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	came := make(chan *way, len(ways))
	for _, w := range ways {
		go func() {
			w.offered, w.err = w.AwaitOffer(waiting)
			came <- w
		}()
	}
	w := <-came
	stop()
	for _, other := range ways {
		if other != w {
			<-came
		}
		if other != w || w.err != nil {
			j.withdraw(other)
		}
	}
	if w.err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return w, w.err
}

// withdraw tells an owner's side that may yet come that it comes in vain.
func (j *joiner) withdraw(w *way) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	w.Withdraw(ctx)
}

// countdown shows how long the code is still good.
func (j *joiner) countdown() *progress {
	left := func() time.Duration {
		return max(time.Until(j.begun.Add(e2ee.PairingLife)), 0).Truncate(time.Second)
	}
	what := "a scan"
	if j.o.digits {
		what = "an admin"
	}
	return j.t.startProgress(func() string {
		d := left()
		return fmt.Sprintf("waiting for %s ...  %d:%02d left            (Ctrl-C cancels; nothing has been changed)",
			what, int(d.Minutes()), int(d.Seconds())%60)
	}, func() string { return fmt.Sprintf("waiting=%q left=%s", what, left()) })
}

// confirm shows the digits, and asks whether the owner's screen says that they match.
func (j *joiner) confirm(ctx context.Context, w *way) error {
	j.t.note("No camera? Read these digits aloud: %s", j.t.bold(w.Digits()))
	yes, err := j.t.askYes(ctx, "Wait until the admin's screen says Codes match. Does it? [yes, continue / no, stop]: ")
	if err != nil {
		return err
	}
	if !yes {
		j.withdraw(w)
		return &household.Failure{Reason: household.DigitsDiffer, Err: e2ee.ErrDigits}
	}
	return w.Confirm()
}

func (j *joiner) sayOffered(w *way) {
	by := w.offered.By
	if w.digits {
		j.t.note("%s asks to be this device's owner.   owner  %s", by.Name, by.Fingerprint())
		return
	}
	j.t.note("scanned by %s; the scan proves it saw this screen", by.Name)
	what := "device"
	if j.o.camera {
		what = "camera"
	}
	j.t.note("%s asks to be this %s's owner.   owner  %s", by.Name, what, by.Fingerprint())
}

func (j *joiner) printPaired() error {
	r, err := j.Roster()
	if err != nil {
		return err
	}
	me, _ := j.Admitted()
	if j.t.json {
		return json.NewEncoder(j.t.out).Encode(describeKeys(j.Device))
	}
	j.t.note("roster v%d received and checked: %s", r.Version, countRecipients(r))
	undo := "obscura pair unpair"
	if j.o.camera {
		undo = "obscura camera unpair"
	}
	fmt.Fprintln(j.t.out, "paired.   Undo: "+j.o.line(j.t, undo))
	if j.o.camera {
		j.t.note("next:  %s", j.o.line(j.t, "obscura camera --e2ee --stream "+streamFor(me)+" --input demo --loop"))
	} else {
		j.t.note("next:  %s", j.o.line(j.t, "obscura view --stream front-door --output now.mp4"))
	}
	return nil
}

// streamFor is a stream for a camera, quoted for a shell: its own name in small letters, if it may send there. The roster
// does not tell the names of streams.
func streamFor(m e2ee.Member) string {
	name := strings.ReplaceAll(strings.ToLower(cmp.Or(m.Name, "front-door")), " ", "-")
	if len(m.Streams) > 0 && !slices.Contains(m.Streams, e2ee.StreamIDOf(name)) {
		return "STREAM"
	}
	return shellQuote(name)
}

// countRecipients counts who can open what is sealed under a roster: "4 viewers, 1 recovery kit".
func countRecipients(r *e2ee.Roster) string {
	n := membersByRole(r)
	return count(n[e2ee.RoleConsumer], "viewer", "viewers") + ", " + count(n[e2ee.RoleRecovery], "recovery kit", "recovery kits")
}

// countMembers counts who is on a roster.
func countMembers(r *e2ee.Roster) string {
	n := membersByRole(r)
	return count(n[e2ee.RoleOwner], "owner", "owners") + ", " + count(n[e2ee.RoleProducer], "camera", "cameras") + ", " + countRecipients(r)
}

func membersByRole(r *e2ee.Roster) map[e2ee.Role]int {
	n := map[e2ee.Role]int{}
	for _, m := range r.Members {
		if !household.Ended(m, time.Now()) {
			n[m.Role]++
		}
	}
	return n
}
