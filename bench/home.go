// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
	"github.com/obscura-video/obscura/producer"
)

// home is a household whose devices talk through the server's mailbox.
type home struct {
	t             *target
	box           household.Mailbox
	owner, camera *household.Device
	viewers       []*household.Device
	stop          func()
}

// memoryKeyring keeps the keys of key folders.
type memoryKeyring map[string][]byte

func (m memoryKeyring) Get(name string) ([]byte, error) {
	if v, ok := m[name]; ok {
		return v, nil
	}
	return nil, fs.ErrNotExist
}

func (m memoryKeyring) Set(name string, value []byte) error { m[name] = value; return nil }

// newHome founds a household with a camera, which follows the roster until close, and a number of viewers.
func newHome(t *target, viewers int) (_ *home, err error) {
	h := &home{t: t, stop: func() {}, box: household.NewMailbox(household.Server{
		Endpoint: t.at.API, Region: t.at.Region, RootCAs: t.roots,
		Credentials: func(context.Context) (household.Credentials, error) {
			return household.Credentials{AccessKeyID: t.creds.AccessKeyID, SecretAccessKey: t.creds.SecretAccessKey}, nil
		},
	}, "bench")}
	ctx := context.Background()
	if h.owner, err = h.device("owner", household.Kind{Owner: true}); err != nil {
		return nil, err
	}
	first, err := h.owner.Draft(nil)
	if err != nil {
		return nil, err
	}
	if err := h.owner.Found(ctx, h.box, first); err != nil {
		return nil, err
	}
	if h.camera, err = h.device("camera", household.Kind{Producer: true}); err != nil {
		return nil, err
	}
	if err := h.admit(ctx, h.camera, e2ee.RoleProducer); err != nil {
		return nil, err
	}
	for i := range viewers {
		v, err := h.device(fmt.Sprint("viewer-", i), household.Kind{Consumer: true})
		if err != nil {
			return nil, err
		}
		if err := h.admit(ctx, v, e2ee.RoleConsumer); err != nil {
			return nil, err
		}
		h.viewers = append(h.viewers, v)
	}
	if err := h.camera.Sync(ctx, h.box); err != nil {
		return nil, err
	}
	following, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.camera.Follow(following, h.box, nil) // ends with its context only
	}()
	h.stop = func() { stop(); <-done }
	return h, nil
}

func (h *home) device(name string, k household.Kind) (*household.Device, error) {
	k.Name, k.Household = name, "bench"
	dir := filepath.Join(h.t.dir, "keys-"+name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return household.Create(dir, e2ee.KeyringProtector(memoryKeyring{}, name), k)
}

// admit puts a device on the roster; one that was on it before trusts it already.
func (h *home) admit(ctx context.Context, d *household.Device, role e2ee.Role) error {
	q, err := d.Request(role)
	if err != nil {
		return err
	}
	err = h.owner.Change(ctx, h.box, func(r *e2ee.Roster) error {
		return household.AdmitTo(r, e2ee.Member{Role: role, Name: q.Name, Key: q.PublicKey}, time.Now())
	})
	if err == nil && len(q.Certificate) > 0 {
		err = h.owner.PostCertificateOf(ctx, h.box, q.Certificate)
	}
	if err != nil || d.Trust() != nil {
		return err
	}
	return d.Join(ctx, h.box, household.PinText(h.owner.Trust().Pin()))
}

func (h *home) remove(ctx context.Context, d *household.Device) error {
	return h.owner.Change(ctx, h.box, func(r *e2ee.Roster) error { return household.RemoveFrom(r, d.Fingerprint(), time.Now()) })
}

// produce opens a producer of a stream; sealed says whether it seals.
func (h *home) produce(stream string, sealed bool, fragment time.Duration) (*producer.Producer, error) {
	o := producer.Options{
		StreamName: stream, Endpoint: h.t.at.API, Region: h.t.at.Region, RootCAs: h.t.roots, Create: true, Retention: 24 * time.Hour,
		Credentials: func(context.Context) (producer.Credentials, error) {
			return producer.Credentials{AccessKeyID: h.t.creds.AccessKeyID, SecretAccessKey: h.t.creds.SecretAccessKey}, nil
		},
		Tracks:           []producer.Track{{Number: 1, Type: producer.Video, CodecID: "V_MPEG4/ISO/AVC", Width: 1920, Height: 1080}},
		FragmentDuration: fragment, BlockWhenFull: true,
	}
	if sealed {
		o.Seal = &producer.Seal{
			New: func(stream string, tracks []e2ee.Track) (*e2ee.Sealer, error) {
				s, err := h.camera.Sealer(stream, tracks, nil)
				if err != nil {
					return nil, err
				}
				return s.Sealer, nil
			},
			Keep: func(l e2ee.Link) error { return h.camera.KeepSent(stream, l) },
		}
	}
	return producer.Open(o)
}

func (h *home) consume(stream string) (*consumer.Consumer, error) {
	return consumer.Open(consumer.Options{
		StreamName: stream, Endpoint: h.t.at.API, Region: h.t.at.Region, RootCAs: h.t.roots,
		Credentials: func(context.Context) (consumer.Credentials, error) {
			return consumer.Credentials{AccessKeyID: h.t.creds.AccessKeyID, SecretAccessKey: h.t.creds.SecretAccessKey}, nil
		},
	})
}

// openAs gives what a viewer makes of a stream, from its newest fragment on.
func (h *home) openAs(ctx context.Context, viewer *household.Device, stream string, each func(*consumer.Sealed) bool) error {
	c, err := h.consume(stream)
	if err != nil {
		return err
	}
	defer c.Close()
	o, err := viewer.Opener(stream, func(c *e2ee.OpenerConfig) { c.Archive = true })
	if err != nil {
		return err
	}
	for s, err := range c.Opened(ctx, c.Events(ctx, consumer.Now()), o) {
		if err != nil {
			return err
		}
		if !each(&s) {
			return nil
		}
	}
	return errors.New("the stream has ended")
}
