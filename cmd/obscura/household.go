// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// householdFlags are those of a command that a device on the roster runs: its keys, and the server that has its mailbox.
type householdFlags struct {
	target
	keyFolder
	device string
}

func (h *householdFlags) addFlags(f *pflag.FlagSet) {
	h.target.addFlags(f)
	h.keyFolder.addFlags(f)
	f.StringVar(&h.device, "device", "", "folder of an enrolled device, whose certificate takes the place of an access key")
}

// addPairFlags adds the flags of a command that may make a device.
func (h *householdFlags) addPairFlags(f *pflag.FlagSet) {
	h.target.addFlags(f)
	h.addNewFlags(f)
	f.StringVar(&h.device, "device", "", "folder of an enrolled device, whose certificate takes the place of an access key")
	f.StringVar(&h.endpoint, "server", "", "the same as --endpoint")
}

// connect finds the server, as an enrolled device if one is named.
func (h *householdFlags) connect(t *terminal) (*connection, error) {
	if h.device == "" {
		return h.find()
	}
	d, err := deviceConnection(h.device, t.log())
	if err != nil {
		return nil, err
	}
	return d.conn, nil
}

// mailbox is a household's box on the server.
func (c *connection) mailbox(name string) household.Mailbox {
	return household.NewMailbox(household.Server{
		Endpoint: c.endpoint, Region: c.region, RootCAs: c.roots,
		Credentials: func(ctx context.Context) (household.Credentials, error) {
			k, err := c.credentials(ctx)
			return household.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, err
		},
	}, name)
}

// address is host:port of the server.
func (c *connection) address() string {
	u, err := url.Parse(c.endpoint)
	if err != nil || u.Host == "" {
		return c.endpoint
	}
	return u.Host
}

// member is a device of a household, and how it reaches the others.
type member struct {
	*household.Device
	conn *connection
	box  household.Mailbox
}

// member opens the device and finds its mailbox.
func (h *householdFlags) member(t *terminal) (*member, error) {
	d, err := h.open(t)
	if err != nil {
		return nil, err
	}
	conn, err := h.connect(t)
	if err != nil {
		return nil, err
	}
	return &member{d, conn, conn.mailbox(d.Household())}, nil
}

// inStep opens the device and brings it into step with its household.
func (h *householdFlags) inStep(ctx context.Context, t *terminal) (*member, error) {
	m, err := h.member(t)
	if err != nil {
		return nil, err
	}
	return m, m.sync(ctx, t)
}

// sync brings the device into step. What keeps it from taking a roster is an error; a certificate that is no good is a warning.
func (m *member) sync(ctx context.Context, t *terminal) error {
	before := m.Trust()
	err := m.Sync(ctx, m.box)
	if errors.Is(err, household.ErrUnposted) { // whoever only looks may go on; a change says so again
		t.note("%s %s", t.yellow("warning:"), strings.ReplaceAll(err.Error(), "\n", "; "))
		return nil
	}
	var refused *household.Failure
	var code e2ee.Code
	if err != nil && before != nil && !errors.As(err, &refused) && errors.As(err, &code) {
		t.note("%s %s", t.yellow("warning:"), strings.ReplaceAll(err.Error(), "\n", "; "))
		return nil
	}
	if v := m.Posted(); v > 0 {
		t.note("roster v%d, which this device had signed and could not post, is posted now; obscura roster show says what it has", v)
	}
	if err == nil {
		m.warnOfExpiry(t, time.Now())
	}
	return m.explain("cannot come into step with the household", err)
}

// expiryNotice is how long before its end a roster's renewal is asked for.
const expiryNotice = 30 * 24 * time.Hour

// warnOfExpiry tells ahead of time what would end by itself.
func (m *member) warnOfExpiry(t *terminal, now time.Time) {
	r, err := m.Roster()
	if err != nil {
		return
	}
	if r.Expires.Sub(now) < expiryNotice {
		t.note("%s the roster %s; on an owner's device:  obscura roster renew", t.yellow("warning:"), sayExpiry(r.Expires, now))
	}
	if me, ok := m.Admitted(); ok && !me.NotAfter.IsZero() && me.NotAfter.Sub(now) < expiryNotice {
		t.note("%s this device's membership %s", t.yellow("warning:"), sayExpiry(me.NotAfter, now))
	}
}

// explain turns what went wrong in a household into what a person can do about it; nil stays nil.
func (m *member) explain(what string, err error) error { return m.conn.explainHousehold(what, err) }

func (c *connection) explainHousehold(what string, err error) error {
	var told *problem
	var usage usageError
	var interrupted interruptedError
	if err == nil || errors.As(err, &told) || errors.As(err, &usage) || errors.As(err, &interrupted) {
		return err
	}
	p := &problem{What: what, Why: err.Error(), Exit: exitFailed, Err: err}
	var code e2ee.Code
	if errors.As(err, &code) {
		p.Code = code.String()
	}
	var f *household.Failure
	switch {
	case errors.As(err, &f):
		explainFailure(p, f)
	case explainStanding(p, err):
	case code != 0:
		explainCodeOf(p, code)
	default:
		explained := c.explain(what, "", err)
		var network *problem
		if errors.As(explained, &network) && network.Code == "AccessDeniedException" {
			network.Next = "give this access key the mailbox's permissions: obscura help roster"
		}
		return explained
	}
	return p
}

// explainFailure is what a person does when a pairing came to nothing. The words are the package's, the same in every program.
func explainFailure(p *problem, f *household.Failure) {
	p.Why = f.Error()
	switch f.Reason {
	case household.DigitsDiffer:
		p.Exit, p.Next = exitDamaged, "obscura pair admit    (with a new code; if it happens again, use the square code, on another network)"
	case household.CodeExpired:
		p.Next = "obscura pair    (on the new device: it shows a new code)"
	case household.CodeUsed:
		p.Exit, p.Next = exitConflict, "obscura roster show    (if it was not you, remove what was added; the new device shows a new code when asked again)"
	case household.WrongServer:
		p.Exit, p.Next = exitUsage, "if both are one server under two names: obscura pair admit --same-server"
	case household.SameDevice:
		p.Exit, p.Next = exitUsage, "run obscura pair admit on the owner's device, and scan the new one's code"
	case household.OtherSideGone:
		p.Exit, p.Next = exitUnreachable, "obscura pair    (on the new device, then here again)"
	case household.KeyChanged:
		p.Exit, p.Next = exitDamaged, "pair it by the code on its own screen: obscura pair admit"
	case household.RosterRefused:
		p.Exit, p.Next = exitDamaged, "obscura help roster"
	case household.NotOwner:
		p.Exit, p.Next = exitRefused, "give one of them the code that the new device shows"
	case household.Declined:
		p.Exit = exitRefused
	}
}

// explainStanding explains where this device stands with its household; false when err is of another kind.
func explainStanding(p *problem, err error) bool {
	switch {
	case errors.Is(err, household.ErrNotPaired):
		p.Why, p.Exit, p.Next = "this device is not paired", exitNoKey, "obscura pair    (or obscura camera pair)"
	case errors.Is(err, household.ErrNotOwner):
		p.Why, p.Exit, p.Next = "this device is not an owner", exitRefused, "run it on an owner's device: obscura roster show says who is"
	case errors.Is(err, household.ErrTaken):
		p.Why, p.Exit = "there is another household of that name on this server", exitConflict
		p.Next = "obscura keys init --household NAME    (or have an owner of that one pair this device)"
	case errors.Is(err, household.ErrLastOwner):
		p.Why, p.Exit = "nobody could change the roster any more: it needs the owners that it has", exitRefused
		p.Next = "make another owner first: obscura keys request --owner"
	case errors.Is(err, household.ErrLastRecovery):
		p.Why, p.Exit = "if every device were lost, nothing could open the footage", exitRefused
		p.Next = "obscura keys export-recovery    (makes another kit; then remove this one)"
	case errors.Is(err, household.ErrNoMember):
		p.Exit, p.Next = exitNotFound, "obscura roster show"
	case errors.Is(err, household.ErrNameTaken), errors.Is(err, household.ErrAmbiguous):
		p.Exit, p.Next = exitConflict, "obscura roster show"
	case errors.Is(err, household.ErrProposed):
		p.What, p.Why, p.Exit = "the change waits for other owners", "it is signed here, and more must sign", exitConflict
		p.Next = "on another owner's device:  obscura roster cosign"
	case errors.Is(err, household.ErrMeanwhile):
		p.Why, p.Exit, p.Next = "another owner changed the roster meanwhile", exitConflict, "do it again"
	case errors.Is(err, household.ErrNotTheKit):
		p.Exit, p.Next = exitNoKey, "obscura roster show    (which kits cameras seal for)"
	case errors.Is(err, household.ErrNoFootage):
		p.Why, p.Exit = "there is no footage of that time", exitNotFound
	case errors.Is(err, household.ErrReplaced):
		p.Exit, p.Next = exitConflict, "start the command again"
	default:
		return false
	}
	return true
}

// explainCodeOf explains a refusal of package e2ee.
func explainCodeOf(p *problem, code e2ee.Code) {
	switch code {
	case e2ee.ErrNotAdmitted, e2ee.ErrRevoked, e2ee.ErrHistory, e2ee.ErrNoWrap, e2ee.ErrCertificate:
		p.Exit, p.Next = exitNoKey, "obscura help not-admitted"
	case e2ee.ErrFormat:
		p.Exit = exitUsage
	default:
		if code.Tampered() {
			p.Exit = exitDamaged
		}
	}
}
