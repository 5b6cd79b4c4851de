// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"slices"
	"time"
)

// place checks a fragment against the ones confirmed before: order, chain, generation and roster only go forward.
func (o *Opener) place(f *fragment, link *Link) error {
	h := &f.header
	if d, ok := o.links[linkKey{f.session, h.sequence - 1}]; ok && d != h.previous {
		return refuse(ErrFork, "fragment %d does not follow the one confirmed earlier", h.sequence)
	}
	last, ok := o.position[f.fp]
	if !ok {
		return nil
	}
	if f.rosterVersion < last.RosterVersion {
		return refuse(ErrStale, "roster %d after %d", f.rosterVersion, last.RosterVersion)
	}
	if f.session != last.Session {
		return o.placeSession(f, last, link)
	}
	switch {
	case f.generation < last.Generation:
		return refuse(ErrStale, "generation %d after %d", f.generation, last.Generation)
	case h.sequence <= last.Sequence:
		return refuse(ErrOrder, "fragment %d after %d", h.sequence, last.Sequence)
	case h.sequence == last.Sequence+1 && h.previous != last.Digest:
		return refuse(ErrChain, "fragment %d", h.sequence)
	}
	f.missing = h.sequence - last.Sequence - 1
	return nil
}

// linkBefore opens what the producer says of where its session before ended; nil when it says nothing.
func (f *fragment) linkBefore(records []record) (*Link, error) {
	at := slices.IndexFunc(records, func(r record) bool { return r.kind == recPrevious })
	if at < 0 {
		return nil, nil
	}
	plain, err := f.open(records[at], 0, 0)
	if err != nil {
		return nil, err
	}
	l, ok := parseLink(plain)
	if !ok {
		return nil, refuse(ErrFrame, "link to the session before")
	}
	return &l, nil
}

// placeSession checks a fragment of another session than the last one confirmed: by what the producer says of where that one
// ended, or else by time. The time is that of the generation's beginning, which is signed: who only knows the secret of a session
// before can say what it likes in a header, and in such a link. So a link to the present from a session that has begun before it,
// as one after which a camera's clock was set back has, counts when it is confirmed.
func (o *Opener) placeSession(f *fragment, last Link, p *Link) error {
	earlier := f.start <= millis(last.Capture)
	if p != nil && p.Session == last.Session && p.Sequence >= last.Sequence {
		if p.Sequence == last.Sequence && p.Digest != last.Digest {
			return refuse(ErrFork, "the session before ended otherwise")
		}
		f.missing = p.Sequence - last.Sequence + f.header.sequence
		f.hold = f.hold || earlier
		return nil
	}
	if earlier {
		return refuse(ErrOrder, "an older session")
	}
	f.unlinked = true
	f.missing = f.header.sequence
	return nil
}

// timely refuses recordings served as live.
func (o *Opener) timely(f *fragment) error {
	if f.header.flags&flagSynced == 0 || o.cfg.LiveWindow == 0 {
		return nil
	}
	if age := o.cfg.Now().Sub(fromMillis(f.header.capture)); age.Abs() > o.cfg.LiveWindow {
		return refuse(ErrNotLive, "captured %v ago", age.Round(time.Second))
	}
	f.fresh = ByClock
	return nil
}

// End confirms the fragment whose blocks came since the last End: call it at every fragment boundary.
//
// Errors: ErrSignature when the signature is missing or wrong; the fragment's own refusal, again, when there was one; ErrMisuse
// when no block came. When the transport knows that the fragment was cut short, call Cut instead.
func (o *Opener) End() (Report, error) {
	f := o.cur
	if o.halted != nil {
		return Report{}, o.halted
	}
	if f == nil {
		return Report{}, o.locate(nil, refuse(ErrMisuse, "no fragment is open"))
	}
	o.cur = nil
	if f.err != nil {
		return Report{}, f.err
	}
	if err := o.confirm(f); err != nil {
		return Report{}, o.stop(f, err)
	}
	return o.report(f), nil
}

// Cut drops a fragment that the transport did not deliver whole. What Block returned of it stays unconfirmed.
func (o *Opener) Cut() {
	if o.cur != nil {
		o.holdBack = o.holdBack || o.cur.released
		o.cur = nil
	}
}

// confirm verifies the signature over all blocks of the fragment, and that it is the one known, when it is known.
func (o *Opener) confirm(f *fragment) error {
	d := f.digest.sum()
	if !verify(f.public, "signature", f.sig, d[:]) {
		return refuse(ErrSignature, "fragment %d", f.header.sequence)
	}
	if known, ok := o.links[linkKey{f.session, f.header.sequence}]; ok && known != d {
		return refuse(ErrFork, "fragment %d", f.header.sequence)
	}
	return nil
}

// report moves the position to a confirmed fragment.
func (o *Opener) report(f *fragment) Report {
	l := Link{
		Producer: f.fp, Session: f.session, Sequence: f.header.sequence, Digest: f.digest.sum(),
		Capture: fromMillis(f.header.capture), Generation: f.generation, RosterVersion: f.rosterVersion,
	}
	if last := o.position[f.fp]; last.Session == l.Session && last.Sequence+1 == l.Sequence {
		o.nominal = l.Capture.Sub(last.Capture)
	}
	o.position[f.fp] = l
	if f.gs == nil && len(o.lent) < maxLent {
		o.lent[lentKey{f.hash, f.header.epoch}] = f.epochKey
	}
	o.lastSeen, o.stopped, o.holdBack = o.cfg.Now(), f.last, false
	if f.echoed {
		f.fresh = ByEcho
	}
	return Report{
		Link: l, Epoch: f.header.epoch, Statement: f.hash, Synced: f.header.flags&flagSynced != 0, Recipients: f.recipients, Begun: fromMillis(f.start),
		Missing: f.missing, Unlinked: f.unlinked, Last: f.last, Freshness: f.fresh, Opened: f.held,
	}
}

// Presence is whether a live producer can be heard.
type Presence uint8

// Presences.
const (
	Heard   Presence = iota // a confirmed fragment came lately
	Silent                  // none for three times the usual time: offline, or withheld
	Stopped                 // the producer signed that it stopped
)

// Presence tells whether the producer is heard, at the time of the Opener's clock.
func (o *Opener) Presence() Presence {
	nominal := o.nominal
	if nominal <= 0 {
		nominal = DefaultLiveWindow / 3
	}
	switch {
	case o.stopped:
		return Stopped
	case o.cfg.Now().Sub(o.lastSeen) > 3*nominal:
		return Silent
	default:
		return Heard
	}
}

// locate adds the Opener's place to an error.
func (o *Opener) locate(f *fragment, err error) error {
	e, ok := err.(*Error)
	if !ok {
		e = &Error{Code: ErrFormat, Detail: err.Error()}
	}
	e.Stream = o.cfg.Stream
	if f != nil && f.secretOf != nil {
		e.Producer, e.Session, e.Generation = f.fp, f.session, f.generation
		if e.Producer == (Fingerprint{}) {
			copy(e.Producer[:], f.producer[:])
		}
		e.Epoch, e.Sequence, e.located = f.header.epoch, f.header.sequence, true
	}
	return e
}
