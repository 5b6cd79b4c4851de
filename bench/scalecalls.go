// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	trailapi "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// scaleCallers is how many callers there are at once, each with a connection of its own.
const scaleCallers = 8

// scaleClients call one of the two servers.
type scaleClients struct {
	*scaleStore
	http          *http.Client
	kms, grantees *kmsapi.Client
	trail         *trailapi.Client
	next          atomic.Int64
}

func (s *scaleStore) kms(h *http.Client, creds sigv4.Credentials) *kmsapi.Client {
	return kmsapi.NewClient(newClient(s.at.API, h, creds, s.at.Region, "kms"))
}

func (s *scaleStore) clients() *scaleClients {
	h := newHTTP(s.roots, scaleCallers, false)
	return &scaleClients{
		scaleStore: s, http: h, kms: s.kms(h, s.creds), grantees: s.kms(h, s.Grantee),
		trail: trailapi.NewClient(s.client("cloudtrail", s.at.API, h)),
	}
}

// busiest is the key with most grants.
func (c *scaleClients) busiest() *string { return &c.IDs[0] }

// another is another key each time, by a prime: none comes again before most have come.
func (c *scaleClients) another() *string { return &c.IDs[int(c.next.Add(7919))%len(c.IDs)] }

// scaleCall is one call, the same for both servers.
type scaleCall struct {
	name string
	call func(*scaleClients) error
}

// compareCalls measures every call on both.
func compareCalls(o options, r *report, full, empty *scaleStore) error {
	cf, ce := full.clients(), empty.clients()
	defer closeAll(cf.http, ce.http)
	own, err := keyCases(cf.kms)
	if err != nil {
		return err
	}
	other, err := keyCases(ce.kms)
	if err != nil {
		return err
	}
	for i := range own {
		call := func() error { return own[i].call(cf.kms) }
		if err := compare(o, r, own[i].name, call, func() error { return other[i].call(ce.kms) }); err != nil {
			return err
		}
	}
	if err := firstUse(r, cf, ce); err != nil {
		return err
	}
	for _, c := range append(scaleCalls(), lookupCalls()...) {
		if err := compare(o, r, c.name, func() error { return c.call(cf) }, func() error { return c.call(ce) }); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// firstUse uses every key once, by a grant: nothing of it is in memory then but what the start has loaded, and what of
// the files the operating system happens to hold.
func firstUse(r *report, full, empty *scaleClients) error {
	var all [2][]float64
	for i, c := range []*scaleClients{full, empty} {
		var work errgroup.Group
		begun := time.Now()
		for caller := range scaleCallers {
			work.Go(func() error {
				for j := caller; j < len(c.IDs); j += scaleCallers {
					if err := generateOn(c.grantees, &c.IDs[j]); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := work.Wait(); err != nil {
			return err
		}
		all[i] = append(all[i], float64(len(c.IDs))/time.Since(begun).Seconds())
	}
	r.add(result{Suite: "scale", Case: "GenerateDataKey by a grant, first use of each key", Unit: "calls/s", Server: all[0], Ceiling: all[1]})
	return nil
}

func compare(o options, r *report, name string, full, empty func() error) error {
	if !strings.Contains(name, o.calls) {
		return nil
	}
	s, c, err := alternate(o.rounds,
		func() (float64, error) { return rate(scaleCallers, o.round/2, full) },
		func() (float64, error) { return rate(scaleCallers, o.round/2, empty) })
	if err != nil {
		return err
	}
	r.add(result{Suite: "scale", Case: name, Unit: "calls/s", Server: s, Ceiling: c})
	return nil
}

// scaleCalls are those whose work could grow with the number of keys and grants.
func scaleCalls() []scaleCall {
	return []scaleCall{
		{"GenerateDataKey, key with most grants", func(c *scaleClients) error { return generateOn(c.kms, c.busiest()) }},
		{"GenerateDataKey, another key each time", func(c *scaleClients) error { return generateOn(c.kms, c.another()) }},
		{"… by a grant, key with most grants", func(c *scaleClients) error { return generateOn(c.grantees, c.busiest()) }},
		{"… by a grant, another key each time", func(c *scaleClients) error { return generateOn(c.grantees, c.another()) }},
		{"DescribeKey, another key each time", func(c *scaleClients) error { return describe(c.kms, c.another()) }},
		{"ListKeys, page of 100", func(c *scaleClients) error { return listKeys(c.kms) }},
		{"ListGrants, page of 50, key with most grants", func(c *scaleClients) error { return listGrants(c.kms, c.busiest()) }},
		{"ListRetirableGrants, page of 50", func(c *scaleClients) error { return listRetirable(c.kms) }},
		{"CreateGrant and RevokeGrant, most grants", func(c *scaleClients) error { return grantAndRevoke(c.kms, c.busiest()) }},
		{"CreateGrant and RevokeGrant, another key", func(c *scaleClients) error { return grantAndRevoke(c.kms, c.another()) }},
	}
}

// lookupCalls search the events that were there before the calls that are measured.
func lookupCalls() (calls []scaleCall) {
	for _, l := range lookups {
		if l.rare { // the small record has no page of them
			continue
		}
		calls = append(calls, scaleCall{"LookupEvents, " + l.name, func(c *scaleClients) error {
			in := &trailapi.LookupEventsInput{StartTime: new(time.Unix(0, 0)), EndTime: &c.events.Ended}
			if l.key != "" {
				in.LookupAttributes = []*trailapi.LookupAttribute{{AttributeKey: &l.key, AttributeValue: &l.value}}
			}
			_, err := c.trail.LookupEvents(context.Background(), in)
			return err
		}})
	}
	return calls
}

func generateOn(c *kmsapi.Client, id *string) error {
	_, err := c.GenerateDataKey(context.Background(), &kmsapi.GenerateDataKeyInput{KeyId: id, KeySpec: new(kmsapi.DataKeySpecAes256)})
	return err
}

func describe(c *kmsapi.Client, id *string) error {
	_, err := c.DescribeKey(context.Background(), &kmsapi.DescribeKeyInput{KeyId: id})
	return err
}

func listKeys(c *kmsapi.Client) error {
	out, err := c.ListKeys(context.Background(), &kmsapi.ListKeysInput{})
	if err == nil && len(out.Keys) != 100 {
		err = fmt.Errorf("page of %d keys", len(out.Keys))
	}
	return err
}

func listGrants(c *kmsapi.Client, id *string) error {
	out, err := c.ListGrants(context.Background(), &kmsapi.ListGrantsInput{KeyId: id})
	return fullPage(out, err)
}

func listRetirable(c *kmsapi.Client) error {
	out, err := c.ListRetirableGrants(context.Background(), &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: new(retiring)})
	return fullPage((*kmsapi.ListGrantsOutput)(out), err)
}

// fullPage makes sure that both sides give as much.
func fullPage(out *kmsapi.ListGrantsOutput, err error) error {
	if err == nil && len(out.Grants) != 50 {
		err = fmt.Errorf("page of %d grants", len(out.Grants))
	}
	return err
}

func grantAndRevoke(c *kmsapi.Client, id *string) error {
	out, err := c.CreateGrant(context.Background(), grantOn(id, "bench"))
	if err == nil {
		_, err = c.RevokeGrant(context.Background(), &kmsapi.RevokeGrantInput{KeyId: id, GrantId: out.GrantId})
	}
	return err
}

func grantOn(id *string, user string) *kmsapi.CreateGrantInput {
	return &kmsapi.CreateGrantInput{
		KeyId: id, GranteePrincipal: new(grantees + user), RetiringPrincipal: new(retiring), Operations: slices.Clone(grantedOperations),
	}
}
