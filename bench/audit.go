// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// auditSuite measures a record of many events beside one of few: look-ups by every attribute, the start, memory, disk, and the
// rates at which events are taken, signed and verified. The ceiling of each figure is the same in the small record.
func auditSuite(o options, r *report) error {
	few, err := makeLedger(o, fewEvents)
	if err != nil {
		return err
	}
	defer os.RemoveAll(few.dir)
	small, err := few.measure(o)
	if err != nil {
		return err
	}
	for _, n := range o.events {
		m, err := makeLedger(o, n)
		if err != nil {
			return err
		}
		large, err := m.measure(o)
		if err := errors.Join(err, os.RemoveAll(m.dir)); err != nil {
			return err
		}
		m.tell(r, large, small)
	}
	return nil
}

// figures are what measure found, by case.
type figures map[string][]float64

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

func (m *ledger) tell(r *report, large, small figures) {
	told := cases
	for _, l := range lookups {
		for _, depth := range depths {
			told = append(told, struct{ name, unit string }{l.name + ", " + depth, "ms a page"})
		}
	}
	for _, c := range told {
		if len(large[c.name]) > 0 {
			r.add(result{Suite: "audit", Case: fmt.Sprintf("%d events: %s", m.events, c.name), Unit: c.unit, Server: large[c.name], Ceiling: small[c.name]})
		}
	}
}

var depths = []string{"first page", "deep page", "page in the middle of the time"}

// lookups are the searches that are timed: each attribute, by a value that many events have and by one that few have.
var lookups = []struct{ name, key, value string }{
	{"no attribute", "", ""},
	{"EventName, frequent", trailapi.LookupAttributeKeyEventName, "Decrypt"},
	{"EventName, rare", trailapi.LookupAttributeKeyEventName, "ScheduleKeyDeletion"},
	{"ReadOnly true", trailapi.LookupAttributeKeyReadOnly, "true"},
	{"ReadOnly false", trailapi.LookupAttributeKeyReadOnly, "false"},
	{"Username, frequent", trailapi.LookupAttributeKeyUsername, "user-0"},
	{"Username, rare", trailapi.LookupAttributeKeyUsername, "user-199"},
	{"ResourceType", trailapi.LookupAttributeKeyResourceType, "AWS::KMS::Key"},
	{"ResourceName, frequent", trailapi.LookupAttributeKeyResourceName, keyARN(0)},
	{"ResourceName, rare", trailapi.LookupAttributeKeyResourceName, keyARN(manyKeys - 1)},
	{"EventSource", trailapi.LookupAttributeKeyEventSource, "kms.amazonaws.com"},
	{"AccessKeyId", trailapi.LookupAttributeKeyAccessKeyId, accessKey(0)},
	{"nothing is found", trailapi.LookupAttributeKeyUsername, "nobody"},
}

// measure starts a server over the record, again and again, looks things up, and verifies it when the server has stopped.
func (m *ledger) measure(o options) (figures, error) {
	f := figures{"taken up": {m.taken}, "on disk, each event": {m.bytesEach}}
	if m.ended.Sub(m.begun) > 2*digest.Period {
		f["digests"] = []float64{m.signed}
	}
	for range startsTimed {
		begun := time.Now()
		t, err := startIn(o, m.dir)
		if err != nil {
			return nil, err
		}
		f["start until ready"] = append(f["start until ready"], float64(time.Since(begun))/float64(time.Millisecond))
		if len(f["start until ready"]) == startsTimed {
			err = m.lookUp(t, f)
		}
		if err := errors.Join(err, stopProcess(t.cmd)); err != nil {
			return nil, err
		}
	}
	begun := time.Now()
	v, err := server.VerifyAudit(context.Background(), server.AuditConfig{Data: filepath.Join(m.dir, "data")}, server.AuditKept{})
	if err != nil {
		return nil, err
	}
	if !v.Clean() {
		return nil, fmt.Errorf("the record is damaged: %v %v", v.Event, v.Digest)
	}
	f["verified, everything"] = []float64{float64(v.Events) / time.Since(begun).Seconds()}
	return f, nil
}

// lookUp times pages of every search.
func (m *ledger) lookUp(t *target, f figures) error {
	time.Sleep(settle)
	resident, _, err := t.memory()
	if err != nil {
		return err
	}
	f["resident after the start"] = []float64{resident}
	h := newHTTP(t.roots, 1, false)
	defer h.CloseIdleConnections()
	for _, l := range lookups {
		in := &trailapi.LookupEventsInput{StartTime: &m.begun}
		if l.key != "" {
			in.LookupAttributes = []*trailapi.LookupAttribute{{AttributeKey: &l.key, AttributeValue: &l.value}}
		}
		if err := m.pages(t, h, f, l.name, in); err != nil {
			return err
		}
	}
	resident, _, err = t.memory()
	f["resident after the look-ups"] = []float64{resident}
	return err
}

// pages times the first page many times, those that lie deep, and those before the middle of the record's time.
func (m *ledger) pages(t *target, h *http.Client, f figures, name string, in *trailapi.LookupEventsInput) error {
	trail := trailapi.NewClient(t.client("cloudtrail", t.at.API, h))
	one := func(depth string, in *trailapi.LookupEventsInput) (*string, error) {
		begun := time.Now()
		out, err := trail.LookupEvents(context.Background(), in)
		if err != nil {
			return nil, err
		}
		if depth != "" {
			f[name+", "+depth] = append(f[name+", "+depth], float64(time.Since(begun))/float64(time.Millisecond))
		}
		return out.NextToken, nil
	}
	for range pagesTimed / 5 {
		if _, err := one(depths[0], in); err != nil {
			return err
		}
	}
	deep := *in
	for i := range deepPage + pagesTimed {
		depth := ""
		if i >= deepPage {
			depth = depths[1]
		}
		token, err := one(depth, &deep)
		if err != nil {
			return err
		}
		if deep.NextToken = token; token == nil {
			break
		}
	}
	middle := *in
	end := m.begun.Add(m.ended.Sub(m.begun) / 2)
	middle.EndTime = &end
	for range pagesTimed / 5 {
		token, err := one(depths[2], &middle)
		if err != nil {
			return err
		}
		if middle.NextToken = token; token == nil {
			break
		}
	}
	return nil
}
