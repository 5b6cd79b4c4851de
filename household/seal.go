// SPDX-License-Identifier: Apache-2.0

package household

import (
	"fmt"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// Sealer is an e2ee.Sealer that remembers in the folder where it stands, so that the next session of this camera can say
// where this one ended. It is for one goroutine.
type Sealer struct {
	*e2ee.Sealer
	device *Device
	stream string
	unkept error
}

// Sealer makes a Sealer of a stream for this camera. adjust, when not nil, may set what else an e2ee.SealerConfig has: Epoch,
// KeysInterval, Synced. Run Follow beside it, or the roster stays as it is now.
//
// Errors: ErrRole when this device is no camera; ErrNotPaired; e2ee.ErrMisuse. That the roster has no such camera for the
// stream is said by Begin.
func (d *Device) Sealer(stream string, tracks []e2ee.Track, adjust func(*e2ee.SealerConfig)) (*Sealer, error) {
	d.mu.Lock()
	cfg := e2ee.SealerConfig{Identity: d.producer, Trust: d.trust, Stream: stream, Tracks: tracks, Now: d.now}
	d.mu.Unlock()
	switch {
	case cfg.Identity == nil:
		return nil, fmt.Errorf("%w: it has no camera's key", ErrRole)
	case cfg.Trust == nil:
		return nil, ErrNotPaired
	}
	s, err := d.loadStream(stream)
	if err != nil {
		return nil, err
	}
	last, err := readLinks(s.Sent)
	if err != nil {
		return nil, err
	}
	if len(last) == 1 && last[0].Producer == cfg.Identity.Fingerprint() {
		cfg.Previous = &last[0]
	}
	if adjust != nil {
		adjust(&cfg)
	}
	sealer, err := e2ee.NewSealer(cfg)
	if err != nil {
		return nil, err
	}
	return &Sealer{Sealer: sealer, device: d, stream: stream}, nil
}

// End is e2ee.Sealer.End. The link is in the folder before the block is returned, so that a fragment which a viewer could have
// seen is never forgotten. When it cannot be stored the camera goes on all the same, and Unkept says why: the price is that the
// next session does not name the end of this one.
func (s *Sealer) End() (e2ee.Block, e2ee.Link, error) { return s.keep(s.Sealer.End()) }

// EndSession is End for the last fragment.
func (s *Sealer) EndSession() (e2ee.Block, e2ee.Link, error) { return s.keep(s.Sealer.EndSession()) }

func (s *Sealer) keep(b e2ee.Block, l e2ee.Link, err error) (e2ee.Block, e2ee.Link, error) {
	if err == nil {
		s.unkept = s.device.KeepSent(s.stream, l)
	}
	return b, l, err
}

// KeepSent stores durably where a session of this camera stands, for who seals with the e2ee.Sealer inside of a Sealer.
func (d *Device) KeepSent(name string, l e2ee.Link) error {
	return d.updateStream(name, func(s *stream) { s.Sent = appendLink(nil, l) })
}

// Unkept is why the last fragment's link is not in the folder; nil when it is.
func (s *Sealer) Unkept() error { return s.unkept }

// keepLinksEvery is how often an Opener writes what it has confirmed to the folder.
const keepLinksEvery = 30 * time.Second

// Opener is an e2ee.Opener that remembers in the folder what it has confirmed: history that contradicts it later is refused,
// and the stream is never taken in plain any more. Close it. It is for one goroutine.
type Opener struct {
	*e2ee.Opener
	device *Device
	stream string
	fresh  []e2ee.Link
	kept   time.Time
	pinned bool
	unkept error

	grantBytes int // of all grants that it has
}

// Opener makes an Opener of a stream for this device, with every key that it ever had and every grant that it holds. adjust,
// when not nil, may set what else an e2ee.OpenerConfig has: Strict, LiveWindow, Archive.
//
// Errors: ErrRole when this device is no viewer; ErrNotPaired; e2ee.ErrMisuse.
func (d *Device) Opener(stream string, adjust func(*e2ee.OpenerConfig)) (*Opener, error) {
	d.mu.Lock()
	cfg := e2ee.OpenerConfig{Trust: d.trust, Stream: stream, Self: d.self(), Keys: append([]*e2ee.KEMKey(nil), d.keys...), Now: d.now}
	consumer := d.consumer
	d.mu.Unlock()
	switch {
	case consumer == nil && !d.guest:
		return nil, fmt.Errorf("%w: it has no viewer's key", ErrRole)
	case cfg.Trust == nil:
		return nil, ErrNotPaired
	}
	s, err := d.loadStream(stream)
	if err != nil {
		return nil, err
	}
	if cfg.Known, err = readLinks(s.Links); err != nil {
		return nil, err
	}
	if adjust != nil {
		adjust(&cfg)
	}
	o, err := e2ee.NewOpener(cfg)
	if err != nil {
		return nil, err
	}
	out := &Opener{Opener: o, device: d, stream: stream, pinned: s.Sealed}
	for _, name := range s.Grants {
		g, err := d.store.Load(name)
		if err == nil {
			err = out.addGrant(g)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// addGrant is AddGrant, and counts.
func (o *Opener) addGrant(g []byte) error {
	if err := o.AddGrant(g); err != nil {
		return err
	}
	o.grantBytes += len(g)
	return nil
}

// End is e2ee.Opener.End. What it confirms is written to the folder now and then, and by Close; when that fails, what was
// confirmed is confirmed all the same, and Unkept says why.
func (o *Opener) End() (e2ee.Report, error) {
	r, err := o.Opener.End()
	if err != nil {
		return r, err
	}
	o.fresh = append(o.fresh, r.Link)
	if now := o.device.now(); !o.pinned || now.Sub(o.kept) >= keepLinksEvery {
		o.unkept = o.keep(now)
	}
	return r, nil
}

// Unkept is why the folder does not have what was confirmed lately; nil when nothing went wrong.
func (o *Opener) Unkept() error { return o.unkept }

// keep writes the fresh links, and that the stream is sealed.
func (o *Opener) keep(now time.Time) error {
	err := o.device.updateStream(o.stream, func(s *stream) {
		old, err := readLinks(s.Links)
		if err != nil {
			old = nil // damaged behind our back: what is fresh counts
		}
		s.Links = nil
		for _, l := range mergeLinks(old, o.fresh) {
			s.Links = appendLink(s.Links, l)
		}
		s.Sealed = true
	})
	if err == nil {
		o.kept, o.fresh, o.pinned = now, nil, true
	}
	return err
}

// Close writes what was confirmed to the folder.
func (o *Opener) Close() error {
	if len(o.fresh) == 0 {
		return nil
	}
	return o.keep(o.device.now())
}
