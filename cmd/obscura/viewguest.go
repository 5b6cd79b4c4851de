// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/obscura-video/obscura/household"
)

// readLink reads the line of a guest, and takes from it what no flag has said. It is read from a file, since it is a secret.
func (o *viewOptions) readLink(t *terminal) error {
	in := io.Reader(t.in)
	if o.grant != "-" {
		f, err := os.Open(o.grant)
		if err != nil {
			return &problem{What: "cannot read the grant", Why: err.Error(), Next: "--grant names a file with the line; - is standard input", Exit: exitNotFound, Err: err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 4096))
	if err != nil {
		return err
	}
	if o.link, err = household.ParseGuestLink(string(text)); err != nil {
		return &problem{What: "cannot read the grant", Why: err.Error(), Next: "ask for the whole line again", Exit: exitUsage, Err: err}
	}
	if o.stream == "" {
		o.stream = o.link.Stream
	}
	if o.stream != o.link.Stream {
		return usageError{fmt.Errorf("the grant is for stream %q, not for %q", o.link.Stream, o.stream)}
	}
	if o.from == "now" {
		o.from = o.link.From.UTC().Format(time.RFC3339Nano)
	}
	if o.until == "" {
		o.until = o.link.Until.UTC().Format(time.RFC3339Nano)
	}
	return nil
}

// guest makes this machine the device of a guest's link, until done is called.
func (o *viewOptions) guest(ctx context.Context, conn *connection) (*member, func(), error) {
	box := conn.mailbox(o.link.Household)
	what := fmt.Sprintf("cannot view %q", o.stream)
	d, done, err := o.link.Device(ctx, box)
	if errors.Is(err, household.ErrNoObject) {
		return nil, nil, &problem{
			What: what, Why: "household " + o.link.Household + " is not on this server; the grant is from " + o.link.Server, Exit: exitNotFound, Err: err,
			Next: "name the server with --endpoint",
		}
	}
	if err != nil {
		return nil, nil, conn.explainHousehold(what, err)
	}
	return &member{d, conn, box}, done, nil
}

// takeGrants takes what was shared with this device.
func (m *member) takeGrants(ctx context.Context, t *terminal, stream string) {
	taken, err := m.TakeGrants(ctx, m.box, stream)
	if taken > 0 {
		t.note("%s of %q taken", count(taken, "grant", "grants"), stream)
	}
	var refused *household.ResponseError
	switch {
	case err == nil || errors.As(err, &refused) && refused.Code == "AccessDeniedException":
		// Who may not look for grants has none; the footage says what is missing.
	default:
		t.note("%s grants could not be looked for: %v", t.yellow("warning:"), err)
	}
}
