// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/obscura-video/obscura/internal/audit"
	api "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
)

const (
	// defaultRange is how far back LookupEvents looks when the caller names no start.
	defaultRange = 90 * 24 * time.Hour
	maxResults   = 50
	// categoryInsight is the one event category that can be asked for.
	categoryInsight = "insight"
)

// LookupEvents returns management events, newest first. An event shows up as soon as the audit log has
// written it: at once when it changed something, within 100 ms otherwise.
//
// Errors: InvalidLookupAttributesException for more than one attribute; InvalidTimeRangeException;
// InvalidMaxResultsException; InvalidEventCategoryException; InvalidNextTokenException for a token that is
// not ours or comes with other parameters than the first page's.
//
// Source: CloudTrail API Reference, LookupEvents.
func (s *Service) LookupEvents(ctx context.Context, in *api.LookupEventsInput) (*api.LookupEventsOutput, error) {
	if err := s.authorize(ctx, "LookupEvents", "*"); err != nil {
		return nil, err
	}
	q, err := s.query(in)
	if err != nil {
		return nil, err
	}
	if c := in.EventCategory; c != nil {
		if *c != categoryInsight {
			return nil, &api.InvalidEventCategoryException{Message: "The event category is not valid."}
		}
		return &api.LookupEventsOutput{Events: []*api.Event{}}, nil // there are no insights
	}
	page, err := s.Events.Lookup(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("cloudtrail: lookup events: %w", err)
	}
	out := &api.LookupEventsOutput{Events: make([]*api.Event, 0, len(page.Events))}
	for i := range page.Events {
		out.Events = append(out.Events, lookupEvent(&page.Events[i]))
	}
	if page.Next != (audit.Cursor{}) {
		out.NextToken = new(encodeToken(page.Next, in))
	}
	return out, nil
}

func (s *Service) query(in *api.LookupEventsInput) (q audit.Query, err error) {
	switch len(in.LookupAttributes) {
	case 0:
	case 1:
		a := in.LookupAttributes[0]
		q.Value = *a.AttributeValue
		if q.Attribute, err = attribute(*a.AttributeKey); err != nil {
			return q, err
		}
	default:
		return q, &api.InvalidLookupAttributesException{Message: "You can only specify one lookup attribute."}
	}
	q.Start = s.Now().Add(-defaultRange)
	if in.StartTime != nil {
		q.Start = *in.StartTime
	}
	if in.EndTime != nil {
		q.End = *in.EndTime
		if in.StartTime != nil && q.Start.Unix() > q.End.Unix() {
			return q, &api.InvalidTimeRangeException{Message: "The start time must not be later than the end time."}
		}
	}
	q.Limit = maxResults
	if in.MaxResults != nil {
		if *in.MaxResults < 1 || *in.MaxResults > maxResults {
			return q, &api.InvalidMaxResultsException{Message: "MaxResults must be between 1 and 50."}
		}
		q.Limit = int(*in.MaxResults)
	}
	if in.NextToken != nil {
		var ok bool
		if q.After, ok = decodeToken(*in.NextToken, in); !ok {
			return q, &api.InvalidNextTokenException{Message: "The token is not valid, or the parameters are not those of the call that it came from."}
		}
	}
	return q, nil
}

func attribute(key string) (audit.Attribute, error) {
	switch key {
	case api.LookupAttributeKeyEventId:
		return audit.EventID, nil
	case api.LookupAttributeKeyEventName:
		return audit.EventName, nil
	case api.LookupAttributeKeyReadOnly:
		return audit.ReadOnly, nil
	case api.LookupAttributeKeyUsername:
		return audit.Username, nil
	case api.LookupAttributeKeyResourceType:
		return audit.ResourceType, nil
	case api.LookupAttributeKeyResourceName:
		return audit.ResourceName, nil
	case api.LookupAttributeKeyEventSource:
		return audit.EventSource, nil
	case api.LookupAttributeKeyAccessKeyId:
		return audit.AccessKeyID, nil
	}
	return audit.Any, &api.InvalidLookupAttributesException{Message: "The lookup attribute key is not valid."}
}

func lookupEvent(f *audit.Found) *api.Event {
	e := &api.Event{
		EventId:         new(f.EventID),
		EventName:       new(f.EventName),
		ReadOnly:        new(strconv.FormatBool(f.Event.ReadOnly)),
		EventTime:       new(f.EventTime),
		EventSource:     new(f.EventSource),
		Resources:       make([]*api.Resource, 0, len(f.Resources)),
		CloudTrailEvent: new(string(f.Record)),
	}
	if u := f.Username(); u != "" {
		e.Username = new(u)
	}
	if k := f.UserIdentity.AccessKeyID; k != "" {
		e.AccessKeyId = new(k)
	}
	for _, r := range f.Resources {
		e.Resources = append(e.Resources, &api.Resource{ResourceType: new(r.Type), ResourceName: new(r.ARN)})
	}
	return e
}

// A token is a cursor and the digest of the parameters that it belongs to. It needs no seal: it is a place in
// the log, and who presents it is authorised anew.
const (
	tokenVersion = 1
	tokenBytes   = 1 + 8 + 8 + 2 + 16
)

func encodeToken(c audit.Cursor, in *api.LookupEventsInput) string {
	b := []byte{tokenVersion}
	b = binary.BigEndian.AppendUint64(b, uint64(c.LastT))
	b = binary.BigEndian.AppendUint64(b, c.Block)
	b = binary.BigEndian.AppendUint16(b, c.Place)
	b = append(b, parameters(in)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeToken(token string, in *api.LookupEventsInput) (c audit.Cursor, ok bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return c, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != tokenBytes || b[0] != tokenVersion || string(b[19:]) != string(parameters(in)) {
		return c, false
	}
	c.LastT = int64(binary.BigEndian.Uint64(b[1:]))
	c.Block = binary.BigEndian.Uint64(b[9:])
	c.Place = binary.BigEndian.Uint16(b[17:])
	return c, c.LastT >= 0 && c.Block > 0
}

// parameters digests what a token must come with again. MaxResults may differ from page to page.
func parameters(in *api.LookupEventsInput) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d", len(in.LookupAttributes))
	for _, a := range in.LookupAttributes {
		fmt.Fprintf(h, "%q=%q", *a.AttributeKey, *a.AttributeValue)
	}
	for _, t := range []*time.Time{in.StartTime, in.EndTime} {
		if t == nil {
			h.Write([]byte("-"))
			continue
		}
		fmt.Fprintf(h, "@%d", t.Unix())
	}
	return h.Sum(nil)[:16]
}
