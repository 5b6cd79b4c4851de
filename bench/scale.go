// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// scale measures a server over one store with very many keys, grants and audit events against one over an almost empty
// store: what the same calls lose, how long a start takes, and what memory it needs. The two servers take turns.
func scale(o options, r *report) (err error) {
	full, err := fullStore(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, full.close()) }()
	empty, err := emptyStore(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, empty.close()) }()
	size := fmt.Sprintf("%d keys, %d grants, %d events", len(full.IDs), full.Grants, full.events.Events)
	fmt.Fprintf(r.w, "scale: %s, against %d, %d, %d\n", size, len(empty.IDs), empty.Grants, empty.events.Events)
	if err := starts(o, r, full, empty); err != nil {
		return err
	}
	if err := compareCalls(o, r, full, empty); err != nil {
		return err
	}
	return memories(r, "resident, the most of all", peak, full, empty)
}

// scaleStore is one of the two stores, and the server over it.
type scaleStore struct {
	*target
	events *ledger
	keep   bool

	IDs    []string // of keys; the first has most grants
	Grants int
	// Grantee may use every key, by a grant on it and by nothing else.
	Grantee sigv4.Credentials
}

// scaleFile beside the data directory says what is in it, once it is complete.
const scaleFile = "scale.json"

// spareKeys are left for the calls to make within the quota.
const spareKeys = 10

// fullStore makes the large store, or takes the one that was kept, and starts a server over it.
func fullStore(o options) (*scaleStore, error) {
	n := 10_000_000
	if len(o.events) > 0 {
		n = o.events[0]
	}
	s, err := openScale(o, n, o.ledger)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(s.dir, scaleFile))
	if err == nil {
		return s, json.Unmarshal(text, s)
	}
	template, err := s.prepare()
	if err != nil {
		return s, errors.Join(err, s.close())
	}
	if err := stopProcess(s.cmd); err != nil {
		return nil, err
	}
	s.Grants = o.grants
	if s.IDs, err = fillStore(s.data(), template, o.keys-spareKeys, o.grants); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(s); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(s.dir, scaleFile), text, 0o600); err != nil {
		return nil, err
	}
	return s, s.launch(o)
}

// openScale starts a server over a record of n events.
func openScale(o options, n int, in string) (*scaleStore, error) {
	events, err := makeLedger(o, n, in, true)
	if err != nil {
		return nil, err
	}
	t, err := startIn(o, events.dir)
	return &scaleStore{target: t, events: events, keep: in != ""}, err
}

func (s *scaleStore) close() error {
	err := stopProcess(s.cmd)
	if !s.keep {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// prepare makes a key like which all others will be, and the user who gets grants.
func (s *scaleStore) prepare() (template string, err error) {
	ctx, h := context.Background(), newHTTP(s.roots, 1, false)
	defer h.CloseIdleConnections()
	out, err := s.kms(h, s.creds).CreateKey(ctx, &kmsapi.CreateKeyInput{})
	if err != nil {
		return "", err
	}
	users := iam.New(iam.Options{
		Region: s.at.Region, BaseEndpoint: &s.at.API, HTTPClient: h,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: s.creds.AccessKeyID, SecretAccessKey: s.creds.SecretAccessKey}, nil
		}),
	})
	if _, err := users.CreateUser(ctx, &iam.CreateUserInput{UserName: new(granteeName)}); err != nil {
		return "", err
	}
	key, err := users.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new(granteeName)})
	if err != nil {
		return "", err
	}
	s.Grantee = sigv4.Credentials{AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey}
	return *out.KeyMetadata.KeyId, nil
}

// fewKeys and fewGrants, in a store that is empty otherwise, are enough for a page.
const fewKeys, fewGrants = 110, 60

// emptyStore makes the small store by calls, and leaves its server running.
func emptyStore(o options) (*scaleStore, error) {
	s, err := openScale(o, fewEvents, "")
	if err != nil {
		return nil, err
	}
	if err := s.fillFew(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *scaleStore) fillFew() error {
	ctx, h := context.Background(), newHTTP(s.roots, 1, false)
	defer h.CloseIdleConnections()
	id, err := s.prepare()
	if err != nil {
		return err
	}
	c := s.kms(h, s.creds)
	for s.IDs = []string{id}; len(s.IDs) < fewKeys; {
		out, err := c.CreateKey(ctx, &kmsapi.CreateKeyInput{})
		if err != nil {
			return err
		}
		s.IDs = append(s.IDs, *out.KeyMetadata.KeyId)
	}
	for _, id := range s.IDs {
		if _, err := c.CreateGrant(ctx, grantOn(&id, granteeName)); err != nil {
			return err
		}
	}
	for i := range fewGrants {
		if _, err := c.CreateGrant(ctx, grantOn(&s.IDs[0], fmt.Sprint("other-", i))); err != nil {
			return err
		}
	}
	s.Grants = fewKeys + fewGrants
	return nil
}

// starts measures from the process's beginning to its being ready, and to all keys being loaded; then memory.
func starts(o options, r *report, full, empty *scaleStore) error {
	var ready, loaded [2][]float64
	for range o.rounds {
		for i, s := range []*scaleStore{full, empty} {
			if err := stopProcess(s.cmd); err != nil {
				return err
			}
			begin := time.Now()
			if err := s.launch(o); err != nil {
				return err
			}
			ready[i] = append(ready[i], time.Since(begin).Seconds()*1000)
			if err := s.awaitKeys(); err != nil {
				return err
			}
			loaded[i] = append(loaded[i], time.Since(begin).Seconds()*1000)
		}
	}
	r.add(result{Suite: "scale", Case: "start until ready", Unit: "ms", Server: ready[0], Ceiling: ready[1]})
	r.add(result{Suite: "scale", Case: "start until all keys are loaded", Unit: "ms", Server: loaded[0], Ceiling: loaded[1]})
	time.Sleep(settle)
	return memories(r, "resident, all keys loaded", resident, full, empty)
}

// awaitKeys waits until all keys are loaded: a list of them waits for that.
func (s *scaleStore) awaitKeys() error {
	h := newHTTP(s.roots, 1, false)
	defer h.CloseIdleConnections()
	_, err := s.kms(h, s.creds).ListKeys(context.Background(), &kmsapi.ListKeysInput{})
	return err
}

func memories(r *report, name string, of func(*target) (float64, error), full, empty *scaleStore) error {
	var all [2]float64
	for i, s := range []*scaleStore{full, empty} {
		var err error
		if all[i], err = of(s.target); err != nil {
			return err
		}
	}
	r.add(result{Suite: "scale", Case: name, Unit: "MiB", Server: all[:1], Ceiling: all[1:]})
	return nil
}

func resident(t *target) (float64, error) { v, _, err := t.memory(); return v, err }

func peak(t *target) (float64, error) { return t.status("VmHWM:") }
