// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

// scale measures a server over a store with very many keys and grants against one over an empty store: what the same
// calls lose, how long a start takes, and what memory it needs.
func scale(o options, r *report) error {
	empty, err := startTarget(o)
	if err != nil {
		return err
	}
	defer func() { _ = empty.stop() }()
	full, err := startTarget(o)
	if err != nil {
		return err
	}
	defer func() { _ = full.stop() }()
	w, err := prepareScale(o, full)
	if err != nil {
		return err
	}
	size := fmt.Sprintf("%d keys, %d grants", o.keys, o.grants)
	if err := starts(o, r, size, full, empty); err != nil {
		return err
	}
	if err := w.calls(o, r, full, empty); err != nil {
		return err
	}
	return memories(r, size, full, empty)
}

// prepareScale fills the store of a server, which is stopped for that and started again.
func prepareScale(o options, full *target) (*scaleWorld, error) {
	h := newHTTP(full.roots, 1, false)
	defer h.CloseIdleConnections()
	template, err := kmsapi.NewClient(full.client("kms", full.at.API, h)).CreateKey(context.Background(), &kmsapi.CreateKeyInput{})
	if err != nil {
		return nil, err
	}
	if err := stopProcess(full.cmd); err != nil {
		return nil, err
	}
	ids, err := fillStore(full.data(), *template.KeyMetadata.KeyId, o.keys-spareKeys, o.grants)
	if err != nil {
		return nil, err
	}
	if err := full.launch(o); err != nil {
		return nil, err
	}
	return &scaleWorld{ids: ids}, nil
}

// spareKeys are left for the calls to make within the quota.
const spareKeys = 10

// starts measures from the process's beginning to its being ready.
func starts(o options, r *report, size string, full, empty *target) error {
	again := func(t *target) func() (float64, error) {
		return func() (float64, error) {
			if err := stopProcess(t.cmd); err != nil {
				return 0, err
			}
			begin := time.Now()
			err := t.launch(o)
			return time.Since(begin).Seconds(), err
		}
	}
	s, c, err := alternate(o.rounds, again(full), again(empty))
	if err != nil {
		return err
	}
	r.add(result{Suite: "scale", Case: "start, " + size, Unit: "s", Server: s, Ceiling: c})
	return nil
}

func memories(r *report, size string, full, empty *target) error {
	var all [2]float64
	for i, t := range []*target{full, empty} {
		resident, _, err := t.memory()
		if err != nil {
			return err
		}
		all[i] = resident
	}
	r.add(result{Suite: "scale", Case: "resident memory after all, " + size, Unit: "MiB", Server: all[:1], Ceiling: all[1:]})
	return nil
}

// scaleWorld is what the calls need of the store that was filled.
type scaleWorld struct {
	ids  []string // of keys; the first has most grants
	next atomic.Int64
}

// scaleCallers is how many callers there are at once.
const scaleCallers = 8

// calls measures the same calls on both, each caller with a connection of its own.
func (w *scaleWorld) calls(o options, r *report, full, empty *target) error {
	hf, he := newHTTP(full.roots, scaleCallers, false), newHTTP(empty.roots, scaleCallers, false)
	defer closeAll(hf, he)
	cf, ce := kmsapi.NewClient(full.client("kms", full.at.API, hf)), kmsapi.NewClient(empty.client("kms", empty.at.API, he))
	own, err := keyCases(cf)
	if err != nil {
		return err
	}
	other, err := keyCases(ce)
	if err != nil {
		return err
	}
	for i := range own {
		if err := compare(o, r, own[i].name, func() error { return own[i].call(cf) }, func() error { return other[i].call(ce) }); err != nil {
			return err
		}
	}
	return w.managing(o, r, cf, ce)
}

// managing measures calls whose work could grow with the store.
func (w *scaleWorld) managing(o options, r *report, full, empty *kmsapi.Client) error {
	few, err := newKeys(empty, fewKeys)
	if err != nil {
		return err
	}
	one := few[0]
	for range fewGrants {
		if _, err := empty.CreateGrant(context.Background(), grantOn(one)); err != nil {
			return err
		}
	}
	busiest := &w.ids[0]
	for _, c := range []struct {
		name string
		call func(c *kmsapi.Client, id *string) error
		any  bool
	}{
		{"GenerateDataKey, key with most grants", generateOn, false},
		{"GenerateDataKey, another key each time", generateOn, true},
		{"DescribeKey, another key each time", describe, true},
		{"ListKeys, page of 100", listKeys, false},
		{"ListGrants, page of 50, key with most grants", listGrants, false},
		{"ListRetirableGrants, page of 50", listRetirable, false},
		{"CreateGrant and RevokeGrant, key with most grants", grantAndRevoke, false},
	} {
		there, here := func() *string { return busiest }, func() *string { return one }
		if c.any { // by a prime: none comes again before most have come
			there = func() *string { return &w.ids[int(w.next.Add(7919))%len(w.ids)] }
			here = func() *string { return few[int(w.next.Add(7919))%len(few)] }
		}
		if err := compare(o, r, c.name, func() error { return c.call(full, there()) }, func() error { return c.call(empty, here()) }); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// fewKeys and fewGrants, in a store that is empty otherwise, are enough for a page.
const fewKeys, fewGrants = 110, 60

func newKeys(c *kmsapi.Client, n int) (ids []*string, err error) {
	for range n {
		out, err := c.CreateKey(context.Background(), &kmsapi.CreateKeyInput{})
		if err != nil {
			return nil, err
		}
		ids = append(ids, out.KeyMetadata.KeyId)
	}
	return ids, nil
}

func compare(o options, r *report, name string, full, empty func() error) error {
	s, c, err := alternate(o.rounds,
		func() (float64, error) { return rate(scaleCallers, o.round/2, full) },
		func() (float64, error) { return rate(scaleCallers, o.round/2, empty) })
	if err != nil {
		return err
	}
	r.add(result{Suite: "scale", Case: name, Unit: "calls/s", Server: s, Ceiling: c})
	return nil
}

func generateOn(c *kmsapi.Client, id *string) error {
	_, err := c.GenerateDataKey(context.Background(), &kmsapi.GenerateDataKeyInput{KeyId: id, KeySpec: new(kmsapi.DataKeySpecAes256)})
	return err
}

func describe(c *kmsapi.Client, id *string) error {
	_, err := c.DescribeKey(context.Background(), &kmsapi.DescribeKeyInput{KeyId: id})
	return err
}

func listKeys(c *kmsapi.Client, _ *string) error {
	_, err := c.ListKeys(context.Background(), &kmsapi.ListKeysInput{})
	return err
}

func listGrants(c *kmsapi.Client, id *string) error {
	out, err := c.ListGrants(context.Background(), &kmsapi.ListGrantsInput{KeyId: id})
	if err == nil && len(out.Grants) != 50 {
		err = fmt.Errorf("page of %d grants", len(out.Grants))
	}
	return err
}

func listRetirable(c *kmsapi.Client, _ *string) error {
	_, err := c.ListRetirableGrants(context.Background(), &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: new(retiring)})
	return err
}

func grantAndRevoke(c *kmsapi.Client, id *string) error {
	out, err := c.CreateGrant(context.Background(), grantOn(id))
	if err == nil {
		_, err = c.RevokeGrant(context.Background(), &kmsapi.RevokeGrantInput{KeyId: id, GrantId: out.GrantId})
	}
	return err
}

func grantOn(id *string) *kmsapi.CreateGrantInput {
	return &kmsapi.CreateGrantInput{
		KeyId: id, GranteePrincipal: new(grantees + "bench"), RetiringPrincipal: new(retiring), Operations: slices.Clone(grantedOperations),
	}
}
