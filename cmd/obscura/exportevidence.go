// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
	"github.com/obscura-video/obscura/household/evidence"
)

// evidenceRun is one file of evidence that is being made.
type evidenceRun struct {
	o    *footageOptions
	t    *terminal
	m    *member
	c    *consumer.Consumer
	view *sealedView
	w    *evidence.Writer
}

// writeEvidence makes the file of one stream.
func (o *footageOptions) writeEvidence(ctx context.Context, t *terminal, conn *connection, now time.Time) error {
	m, done, err := o.viewer(ctx, t, conn)
	if err != nil {
		return err
	}
	defer done()
	co := consumer.Options{StreamName: o.stream, Log: t.log()}
	conn.forConsumer(&co)
	c, err := consumer.Open(co)
	if err != nil {
		return usageError{err}
	}
	defer c.Close()
	what := fmt.Sprintf("cannot export %q", o.stream)
	list, err := o.listRange(ctx, c, o.deadline)
	if err != nil {
		return conn.explain(what, o.stream, err)
	}
	if len(list) == 0 {
		return o.nothing()
	}
	if m == nil {
		return o.noEvidence(ctx, c, list[0].Number)
	}
	if m.Trust() != nil {
		m.takeGrants(ctx, t, o.stream)
	}
	opener, err := m.Opener(o.stream, o.openerConfig)
	if err != nil {
		return m.explain(what, err)
	}
	f, err := createOutput(o.evidence)
	if err != nil {
		return err
	}
	r := &evidenceRun{o: o, t: t, m: m, c: c}
	r.view = &sealedView{
		o: &o.viewOptions, t: t, m: m, out: &viewed{sink: &oneFragment{}}, state: newTrustState(), open: opener, said: map[e2ee.Code]bool{},
	}
	err = r.view.finish(r.write(ctx, f, list, now))
	err = errors.Join(err, opener.Close())
	if err != nil {
		return errors.Join(err, f.discard())
	}
	if err := f.keep(); err != nil {
		return err
	}
	return r.tell()
}

// noEvidence is why there can be none without keys.
func (o *footageOptions) noEvidence(ctx context.Context, c *consumer.Consumer, number string) error {
	for f, err := range c.Get(ctx, number) {
		if err == nil && consumer.IsSealed(f.Tracks) {
			return o.needsKeys()
		}
	}
	return &problem{
		What: fmt.Sprintf("there is no evidence of %q", o.stream), Why: "it is not end-to-end encrypted: no camera has signed what the server has", Exit: exitFailed,
		Next: fmt.Sprintf("obscura export --stream %s --output FILE.mp4 …    (a plain clip)", shellQuote(o.stream)),
	}
}

// write writes everything.
func (r *evidenceRun) write(ctx context.Context, f *outputFile, list []consumer.FragmentInfo, now time.Time) (err error) {
	buffered := bufio.NewWriterSize(f, 1<<20)
	if r.w, err = evidence.NewWriter(buffered, r.view.open); err != nil {
		return err
	}
	for i := range list {
		done, err := r.fragment(ctx, list[i].Number)
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	if r.w.Fragments() == 0 {
		return r.o.nothing()
	}
	rosters, err := r.m.Chain(ctx, r.m.box)
	if err != nil {
		return r.m.explain("cannot read the rosters", err)
	}
	if err := r.w.Close(r.facts(now), rosters, r.maker()); err != nil {
		return err
	}
	return buffered.Flush()
}

// fragment adds one fragment, once it is confirmed. done says that it is after what was asked for.
func (r *evidenceRun) fragment(ctx context.Context, number string) (done bool, err error) {
	media, err := r.c.Raw(ctx, number)
	if err != nil {
		return false, r.m.conn.explain(fmt.Sprintf("cannot export %q", r.o.stream), r.o.stream, err)
	}
	f, err := consumer.Parse(media)
	if err != nil {
		return false, err
	}
	one := func(yield func(*consumer.Fragment, error) bool) { yield(f, nil) }
	for s, err := range r.c.Opened(ctx, consumer.Replay(one), r.view.open) {
		if err != nil {
			return false, err
		}
		if done, err = r.view.step(&s); err != nil || done {
			return done, err
		}
		switch s.Kind {
		case consumer.Confirmed:
			if err := r.w.Add(media, s.Report); err != nil {
				return false, err
			}
		case consumer.Refused:
			return false, r.view.noKey(s.Err)
		}
	}
	return false, nil
}

// maker is who signs the file: this device, if the roster in force has it.
func (r *evidenceRun) maker() *e2ee.Identity {
	if _, in := r.m.Admitted(); !in {
		return nil
	}
	return r.m.Identity(e2ee.RoleConsumer)
}

func (r *evidenceRun) facts(now time.Time) evidence.Facts {
	v := readVersion()
	from := r.o.fromTime
	if from.IsZero() {
		from = time.UnixMilli(0)
	}
	return evidence.Facts{
		Stream: r.o.stream, From: from, Until: r.o.deadline, Zone: zoneName(now), Made: now,
		Tool: strings.TrimSpace("obscura " + v.Version + " " + v.Revision), Pin: r.m.Trust().Pin(),
	}
}

// tell prints the file's name, and what its receiver needs beside it.
func (r *evidenceRun) tell() error {
	confirmed, missing, _ := r.view.state.totals()
	r.t.note("%s: %s of %q, %d missing. Whoever has this file can watch it.", r.o.evidence, count(int(confirmed), "fragment", "fragments"), r.o.stream, missing)
	roster, _ := r.m.Trust().Roster()
	for _, m := range roster.Members {
		if m.Role == e2ee.RoleOwner {
			r.t.note("verify it with the fingerprint of the owner %q, told by another way than the file:\n  obscura export verify %s --owner %s", m.Name, shellQuote(r.o.evidence), m.Fingerprint())
		}
	}
	_, err := fmt.Fprintln(r.t.out, r.o.evidence)
	return err
}

// zoneName names the zone of this machine: Europe/Berlin if that is to be found out, else CET.
func zoneName(now time.Time) string {
	if name := now.Location().String(); name != "Local" && name != "" {
		return name
	}
	if link, err := os.Readlink("/etc/localtime"); err == nil {
		if _, name, ok := strings.Cut(link, "zoneinfo/"); ok {
			return name
		}
	}
	return now.Format("MST -07:00")
}

var _ evidence.Granter = (*household.Opener)(nil)
