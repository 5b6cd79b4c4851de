// SPDX-License-Identifier: Apache-2.0

//go:build unix

package household

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
	"github.com/obscura-video/obscura/producer"
	"github.com/obscura-video/obscura/test/rig"
)

// device opens the keys of a device as the program does.
func (m *machine) device(name string) *household.Device {
	m.t.Helper()
	d, err := household.Open(m.path(name), rig.Protector(m.path(name), passphrase))
	if err != nil {
		m.t.Fatal(err)
	}
	return d
}

// roots are what the server's certificate is signed by.
func (m *machine) roots() *x509.CertPool {
	m.t.Helper()
	ca, err := os.ReadFile(m.serverProcess.CAFile)
	if err != nil {
		m.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return pool
}

// filming is a camera that streams until it is stopped.
type filming struct {
	t      *testing.T
	roster atomic.Uint32 // under which the last durable fragment is sealed
	stop   func()
}

// film has the camera stream, following its roster.
func (m *machine) film(stream string) *filming {
	m.t.Helper()
	d, s := m.device("camera"), m.serverProcess
	box := household.NewMailbox(household.Server{
		Endpoint: s.API, Region: s.Region, RootCAs: m.roots(),
		Credentials: func(context.Context) (household.Credentials, error) {
			return household.Credentials{AccessKeyID: s.Root.AccessKeyID, SecretAccessKey: s.Root.SecretAccessKey}, nil
		},
	}, d.Household())
	if err := d.Sync(m.t.Context(), box); err != nil {
		m.t.Fatal(err)
	}
	f := &filming{t: m.t}
	var sealed sync.Map // capture time in ms → roster version
	p, err := producer.Open(producer.Options{
		StreamName: stream, Endpoint: s.API, Region: s.Region, RootCAs: m.roots(), Create: true, Retention: 24 * time.Hour,
		Credentials: func(context.Context) (producer.Credentials, error) {
			return producer.Credentials{AccessKeyID: s.Root.AccessKeyID, SecretAccessKey: s.Root.SecretAccessKey}, nil
		},
		Tracks:           []producer.Track{{Number: 1, Type: producer.Video, CodecID: "V_MPEG4/ISO/AVC", CodecPrivate: []byte{1, 2, 3}, Width: 640, Height: 480}},
		FragmentDuration: 100 * time.Millisecond, BufferKey: make([]byte, 32),
		Seal: &producer.Seal{
			New: func(name string, tracks []e2ee.Track) (*e2ee.Sealer, error) {
				s, err := d.Sealer(name, tracks, nil)
				if err != nil {
					return nil, err
				}
				return s.Sealer, nil
			},
			Keep: func(l e2ee.Link) error {
				sealed.Store(l.Capture.UnixMilli(), l.RosterVersion)
				return d.KeepSent(stream, l)
			},
		},
		OnPersisted: func(p producer.Persisted) {
			if v, ok := sealed.Load(p.Start.UnixMilli()); ok {
				f.roster.Store(v.(uint32))
			}
		},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = d.Follow(ctx, box, nil) })
	work.Go(func() {
		for ctx.Err() == nil {
			if err := p.Put(ctx, producer.Frame{Track: 1, Time: time.Now(), Key: true, Data: []byte("a picture")}); err != nil && ctx.Err() == nil {
				m.t.Errorf("put: %v", err)
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		closing, done := context.WithTimeout(context.Background(), patience)
		defer done()
		if err := p.Close(closing); err != nil {
			m.t.Errorf("close: %v", err)
		}
	})
	f.stop = sync.OnceFunc(func() { cancel(); work.Wait() })
	m.t.Cleanup(f.stop)
	v := d.Trust().Pin().Version
	f.awaitRoster(v)
	return f
}

// awaitRoster waits until a fragment under a roster is durable.
func (f *filming) awaitRoster(v uint32) {
	f.t.Helper()
	for late := time.Now().Add(patience); f.roster.Load() < v; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			f.t.Fatalf("no fragment under roster %d", v)
		}
	}
}

// wantOpens wants a device to open the newest fragment of a stream, or not.
func (m *machine) wantOpens(device, stream string, want bool) {
	m.t.Helper()
	s := m.serverProcess
	c, err := consumer.Open(consumer.Options{
		StreamName: stream, Endpoint: s.API, Region: s.Region, RootCAs: m.roots(),
		Credentials: func(context.Context) (consumer.Credentials, error) {
			return consumer.Credentials{AccessKeyID: s.Root.AccessKeyID, SecretAccessKey: s.Root.SecretAccessKey}, nil
		},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close()
	// A fragment is listed within a second.
	time.Sleep(200 * time.Millisecond)
	blocks, at, err := household.NewFootage(c).Newest(m.t.Context(), time.UnixMilli(0), time.Now().Add(time.Minute))
	if err != nil {
		m.t.Fatal(err)
	}
	d := m.device(device)
	o, err := d.Opener(stream, func(cfg *e2ee.OpenerConfig) { cfg.Strict, cfg.Archive = true, true })
	if err != nil {
		m.t.Fatal(err)
	}
	report, err := open(o, blocks)
	var why *e2ee.Error
	if errors.As(err, &why) && why.Code == e2ee.ErrNoPackage {
		with, _, err2 := household.NewFootage(c).Newest(m.t.Context(), why.SeekTo, why.SeekTo.Add(2*time.Millisecond))
		if err2 != nil {
			m.t.Fatal(err2)
		}
		if _, err = open(o, with); err == nil {
			report, err = open(o, blocks)
		}
	}
	switch {
	case want && err != nil:
		m.t.Fatalf("%s does not open the fragment of %v: %v", device, at, err)
	case want && (len(report.Samples) == 0 || string(report.Samples[0].Data) != "a picture"):
		m.t.Fatalf("%s opens something else: %v", device, report.Samples)
	case !want && !errors.Is(err, e2ee.ErrRevoked):
		m.t.Fatalf("%s: %v, want that it was removed", device, err)
	}
	if err := o.Close(); err != nil {
		m.t.Fatal(err)
	}
}

// open opens a fragment as if it were the first.
func open(o *household.Opener, blocks []e2ee.Block) (e2ee.Report, error) {
	o.Cut()
	o.Seek()
	for _, b := range blocks {
		if _, err := o.Block(b); err != nil {
			return e2ee.Report{}, err
		}
	}
	return o.End()
}
