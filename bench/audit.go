// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/obscura-video/obscura/internal/audit/digest"
	trailapi "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	"github.com/obscura-video/obscura/internal/server"
)

const (
	// fewEvents is the control: a record in which nothing can be slow.
	fewEvents = 1000
	// deepPage is how many pages lie before the deep ones.
	deepPage = 1000
	// pagesTimed are timed at each depth.
	pagesTimed = 100
	// startsTimed are the starts of each record.
	startsTimed = 5
)

// auditSuite measures a record of many events beside one of few: look-ups by every attribute, the start, memory, disk,
// and the rates at which events are taken, signed and verified. Both are served at once and asked in turns.
func auditSuite(o options, r *report) error {
	events := o.events
	if len(events) == 0 {
		events = []int{1_000_000}
	}
	for _, n := range events {
		if err := measureLedger(o, r, n); err != nil {
			return err
		}
	}
	return nil
}

func measureLedger(o options, r *report, n int) (err error) {
	few, err := makeLedger(o, fewEvents, "", false)
	if err != nil {
		return err
	}
	defer os.RemoveAll(few.dir)
	many, err := makeLedger(o, n, o.ledger, false)
	if err != nil {
		return err
	}
	if o.ledger == "" {
		defer os.RemoveAll(many.dir)
	}
	c := comparison{o: o, many: many, few: few, large: figures{}, small: figures{}}
	if err := c.run(); err != nil {
		return err
	}
	c.tell(r)
	return nil
}

// figures are what was measured, by case.
type figures map[string][]float64

func (f figures) add(name string, v float64) { f[name] = append(f[name], v) }

// cases are the units of figures, in the order of the table.
var cases = []struct{ name, unit string }{
	{"start until ready", "ms"},
	{"resident after the start", "MiB"},
	{"resident after the look-ups", "MiB"},
	{"verified, everything", "events/s"},
	{"taken up", "events/s"},
	{"digests", "events/s"},
	{"on disk, each event", "bytes"},
}

// comparison is one measurement.
type comparison struct {
	o            options
	many, few    *ledger
	large, small figures
}

func (c *comparison) tell(r *report) {
	told := cases
	for _, l := range lookups {
		for _, depth := range depths {
			told = append(told, struct{ name, unit string }{l.name + ", " + depth, "ms a page"})
		}
	}
	for _, k := range told {
		if len(c.large[k.name]) > 0 {
			r.add(result{Suite: "audit", Case: fmt.Sprintf("%d events: %s", c.many.Events, k.name), Unit: k.unit, Server: c.large[k.name], Ceiling: c.small[k.name]})
		}
	}
}

var depths = []string{"first page", "deep page", "page in the middle of the time"}

// lookups are the searches that are timed: each attribute, by a value that many events have and by one that few have.
var lookups = []struct {
	name, key, value string
	// rare says that a record of fewEvents has no page of them.
	rare bool
}{
	{"no attribute", "", "", false},
	{"EventName, frequent", trailapi.LookupAttributeKeyEventName, "Decrypt", false},
	{"EventName, rare", trailapi.LookupAttributeKeyEventName, "ScheduleKeyDeletion", true},
	{"ReadOnly true", trailapi.LookupAttributeKeyReadOnly, "true", false},
	{"ReadOnly false", trailapi.LookupAttributeKeyReadOnly, "false", true},
	{"Username, frequent", trailapi.LookupAttributeKeyUsername, "user-0", false},
	{"Username, rare", trailapi.LookupAttributeKeyUsername, "user-199", true},
	{"ResourceType", trailapi.LookupAttributeKeyResourceType, "AWS::KMS::Key", false},
	{"ResourceName, frequent", trailapi.LookupAttributeKeyResourceName, keyARN(0), true},
	{"ResourceName, rare", trailapi.LookupAttributeKeyResourceName, keyARN(manyKeys - 1), true},
	{"EventSource", trailapi.LookupAttributeKeyEventSource, "kms.amazonaws.com", false},
	{"AccessKeyId", trailapi.LookupAttributeKeyAccessKeyId, accessKey(0), false},
	{"nothing is found", trailapi.LookupAttributeKeyUsername, "nobody", true},
}

// run starts servers over both records, again and again, looks things up, and verifies them when they have stopped.
func (c *comparison) run() error {
	c.large.add("on disk, each event", c.many.BytesEach)
	c.large.add("taken up", c.many.Taken)
	if c.many.Ended.Sub(c.many.Begun) > 2*digest.Period {
		c.large.add("digests", c.many.Signed)
	}
	for range startsTimed {
		for _, side := range []struct {
			m *ledger
			f figures
		}{{c.few, c.small}, {c.many, c.large}} {
			begun := time.Now()
			t, err := startIn(c.o, side.m.dir)
			if err != nil {
				return err
			}
			side.f.add("start until ready", float64(time.Since(begun))/float64(time.Millisecond))
			if err := stopProcess(t.cmd); err != nil {
				return err
			}
		}
	}
	if err := c.serveBoth(); err != nil {
		return err
	}
	return c.verify()
}

func (c *comparison) serveBoth() (err error) {
	large, err := startIn(c.o, c.many.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopProcess(large.cmd)) }()
	small, err := startIn(c.o, c.few.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopProcess(small.cmd)) }()
	time.Sleep(settle)
	if err := c.weigh("resident after the start", large, small); err != nil {
		return err
	}
	hl, hs := newHTTP(large.roots, 1, false), newHTTP(small.roots, 1, false)
	defer closeAll(hl, hs)
	many := trailapi.NewClient(large.client("cloudtrail", large.at.API, hl))
	few := trailapi.NewClient(small.client("cloudtrail", small.at.API, hs))
	for _, l := range lookups {
		in := trailapi.LookupEventsInput{StartTime: new(time.Unix(0, 0))}
		if l.key != "" {
			in.LookupAttributes = []*trailapi.LookupAttribute{{AttributeKey: &l.key, AttributeValue: &l.value}}
		}
		if err := c.pages(many, few, l.name, in); err != nil {
			return err
		}
	}
	return c.weigh("resident after the look-ups", large, small)
}

func (c *comparison) weigh(name string, large, small *target) error {
	l, _, err := large.memory()
	if err != nil {
		return err
	}
	s, _, err := small.memory()
	c.large.add(name, l)
	c.small.add(name, s)
	return err
}

// pages times the first page many times, those that lie deep, and those before the middle of the record's time. After
// each the first page of the small record is timed.
func (c *comparison) pages(many, few *trailapi.Client, name string, in trailapi.LookupEventsInput) error {
	timed := func(depth string, in *trailapi.LookupEventsInput) (*string, error) {
		begun := time.Now()
		out, err := many.LookupEvents(context.Background(), in)
		if err != nil || depth == "" {
			return next(out), err
		}
		c.large.add(name+", "+depth, float64(time.Since(begun))/float64(time.Millisecond))
		first := *in
		first.NextToken, first.EndTime = nil, nil
		begun = time.Now()
		_, err = few.LookupEvents(context.Background(), &first)
		c.small.add(name+", "+depth, float64(time.Since(begun))/float64(time.Millisecond))
		return next(out), err
	}
	for range pagesTimed / 5 {
		if _, err := timed(depths[0], &in); err != nil {
			return err
		}
	}
	deep := in
	for i := range deepPage + pagesTimed {
		depth := ""
		if i >= deepPage {
			depth = depths[1]
		}
		token, err := timed(depth, &deep)
		if err != nil {
			return err
		}
		if deep.NextToken = token; token == nil {
			break
		}
	}
	middle := in
	middle.EndTime = new(c.many.Begun.Add(c.many.Ended.Sub(c.many.Begun) / 2))
	for range pagesTimed / 5 {
		token, err := timed(depths[2], &middle)
		if err != nil {
			return err
		}
		if middle.NextToken = token; token == nil {
			break
		}
	}
	return nil
}

func next(out *trailapi.LookupEventsOutput) *string {
	if out == nil {
		return nil
	}
	return out.NextToken
}

// verify verifies the large record by itself: of the small one nothing would be measured but the opening of the store.
func (c *comparison) verify() error {
	begun := time.Now()
	v, err := server.VerifyAudit(context.Background(), server.AuditConfig{Data: filepath.Join(c.many.dir, "data")}, server.AuditKept{})
	if err != nil {
		return err
	}
	if !v.Clean() {
		return fmt.Errorf("the record is damaged: %v %v", v.Event, v.Digest)
	}
	c.large.add("verified, everything", float64(v.Events)/time.Since(begun).Seconds())
	return nil
}
