// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	trailapi "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
)

// lookupFlags are what `obscura audit lookup` looks for. One goes to the server, the others are compared here.
type lookupFlags struct {
	target
	user, name, source, resource, kind, key, id string
	from, until                                 string
	denied, changes                             bool
	limit                                       int
}

func newAuditLookup(t *terminal) *cobra.Command {
	var o lookupFlags
	cmd := &cobra.Command{
		Use:   "lookup",
		Short: "Find who did what: by user, operation, resource, key, time",
		Long: `Find management events by LookupEvents, the newest first. Conditions are all to hold, and
are compared letter for letter. The server searches by one of them; the others are
compared here. It searches by ID, access key, resource, user, operation, source, type,
whichever is given first in this order. With --json events are whole records, one to a
line.`,
		Example: `  obscura audit lookup --user ana --from yesterday
  obscura audit lookup --denied --from -24h
  obscura audit lookup --resource front-door --changes --json | jq -r .eventName
  obscura audit lookup --name Decrypt --user ana --limit 0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), t) },
	}
	f := cmd.Flags()
	o.addFlags(f)
	f.StringVar(&o.user, "user", "", "IAM user, or name of a role's session; root for the root user")
	f.StringVar(&o.name, "name", "", "operation, such as DeleteStream")
	f.StringVar(&o.source, "source", "", "service, such as kms or kms.amazonaws.com")
	f.StringVar(&o.resource, "resource", "", "ARN of a resource, or the name in it")
	f.StringVar(&o.kind, "type", "", "type of a resource, such as AWS::KMS::Key")
	f.StringVar(&o.key, "access-key", "", "access key ID")
	f.StringVar(&o.id, "id", "", "event ID")
	f.StringVar(&o.from, "from", "", "no earlier than: 14:32, \"yesterday 14:32\", 2026-11-22T14:32:07Z, -10h (default: 90 days ago)")
	f.StringVar(&o.until, "until", "", "no later than")
	f.BoolVar(&o.denied, "denied", false, "only calls that were refused or failed")
	f.BoolVar(&o.changes, "changes", false, "only calls that may have changed something")
	f.IntVar(&o.limit, "limit", 50, "at most so many events; 0: all")
	return cmd
}

// request is what the server is asked, with the rarest of the conditions.
func (o *lookupFlags) request(now time.Time) (*trailapi.LookupEventsInput, error) {
	in := &trailapi.LookupEventsInput{}
	if o.source != "" && !strings.Contains(o.source, ".") {
		o.source += ".amazonaws.com"
	}
	for _, a := range []struct{ key, value string }{
		{trailapi.LookupAttributeKeyEventId, o.id},
		{trailapi.LookupAttributeKeyAccessKeyId, o.key},
		{trailapi.LookupAttributeKeyResourceName, o.resource},
		{trailapi.LookupAttributeKeyUsername, o.user},
		{trailapi.LookupAttributeKeyEventName, o.name},
		{trailapi.LookupAttributeKeyEventSource, o.source},
		{trailapi.LookupAttributeKeyResourceType, o.kind},
		{trailapi.LookupAttributeKeyReadOnly, map[bool]string{true: "false"}[o.changes]},
	} {
		if a.value != "" {
			in.LookupAttributes = []*trailapi.LookupAttribute{{AttributeKey: new(a.key), AttributeValue: new(a.value)}}
			break
		}
	}
	for _, m := range []struct {
		text string
		at   **time.Time
	}{{o.from, &in.StartTime}, {o.until, &in.EndTime}} {
		if m.text == "" {
			continue
		}
		at, err := parseMoment(m.text, now)
		if err != nil {
			return nil, err
		}
		*m.at = &at
	}
	return in, nil
}

// shownEvent is what is shown of a record.
type shownEvent struct {
	EventTime       time.Time
	EventSource     string
	EventName       string
	SourceIPAddress string
	ErrorCode       string
}

// wanted compares an event with the conditions that the server was not asked.
func (o *lookupFlags) wanted(e *trailapi.Event, s *shownEvent) bool {
	is := func(want string, got *string) bool { return want == "" || got != nil && *got == want }
	if !is(o.id, e.EventId) || !is(o.key, e.AccessKeyId) || !is(o.user, e.Username) || !is(o.name, e.EventName) || !is(o.source, e.EventSource) {
		return false
	}
	if o.denied && s.ErrorCode == "" || o.changes && !is("false", e.ReadOnly) {
		return false
	}
	named, kind := o.resource == "", o.kind == ""
	for _, r := range e.Resources {
		kind = kind || is(o.kind, r.ResourceType)
		named = named || r.ResourceName != nil && (*r.ResourceName == o.resource || nameIn(*r.ResourceName, o.resource))
	}
	return named && kind
}

// nameIn says whether a name is a whole part of an ARN's last field.
func nameIn(arn, name string) bool {
	for part := range strings.FieldsFuncSeq(arn[strings.LastIndex(arn, ":")+1:], func(r rune) bool { return r == '/' }) {
		if part == name {
			return true
		}
	}
	return false
}

func (o *lookupFlags) run(ctx context.Context, t *terminal) error {
	in, err := o.request(time.Now())
	if err != nil {
		return err
	}
	conn, err := o.find()
	if err != nil {
		return err
	}
	trail := trailapi.NewClient(conn.caller(ctx, "cloudtrail"))
	for shown := 0; ; {
		page, err := trail.LookupEvents(ctx, in)
		if err != nil {
			return conn.explain("cannot search the record", "", err)
		}
		for _, e := range page.Events {
			var s shownEvent
			if err := json.Unmarshal([]byte(*e.CloudTrailEvent), &s); err != nil {
				return err
			}
			if !o.wanted(e, &s) {
				continue
			}
			if err := showEvent(t, e, &s); err != nil {
				return err
			}
			if shown++; shown == o.limit {
				return nil
			}
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return nil
		}
	}
}

// showEvent prints an event: time, who, service, operation, error, the first resource, event ID. Identity providers
// choose names as they like: none is to look like another column, another line or a command to the terminal.
func showEvent(t *terminal, e *trailapi.Event, s *shownEvent) error {
	if t.json {
		_, err := fmt.Fprintln(t.out, *e.CloudTrailEvent)
		return err
	}
	who, what := "-", ""
	if e.Username != nil {
		who = printable(*e.Username)
	}
	if len(e.Resources) > 0 {
		what = printable(*e.Resources[0].ResourceName)
	}
	service := strings.TrimSuffix(s.EventSource, ".amazonaws.com")
	if !t.outIsTerminal() {
		_, err := fmt.Fprintln(t.out, strings.Join([]string{s.EventTime.Format(time.RFC3339), who, service, s.EventName, s.ErrorCode, what, *e.EventId}, "\t"))
		return err
	}
	_, err := fmt.Fprintf(t.out, "%s  %-16s %-12s %-28s %-20s %s\n", s.EventTime.Local().Format("2006-01-02 15:04:05"), who, service, s.EventName, s.ErrorCode, what)
	return err
}
