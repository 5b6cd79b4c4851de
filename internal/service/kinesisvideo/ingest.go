// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"time"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/media/mkv"
	"github.com/obscura-video/obscura/internal/meta"
)

// producer is one PutMedia. It is for one goroutine.
type producer struct {
	s    *Service
	ctx  context.Context
	in   *mediaapi.PutMediaInput
	gate gate

	header       *mkv.Header
	markedHeader bool // its tags have the mark of sealed fragments
	tags         mkv.TagQueue[fragmentTags]
	queued       int // bytes in tags

	store  Store // where writer writes to
	writer *journal.Writer
	epoch  uint32 // of its fragment numbers

	// Where the header was put, and under which data key.
	headerAt  uint64
	headerKey string

	fragment   *fragment
	pending    *uint64 // timecode of the cluster that an error would be about
	previous   *uint64 // timecode of the cluster before
	lastBlock  map[uint64]int64
	lastServer int64 // server time of the last fragment, so that they never descend
	lastTrim   time.Time
}

// maxQueuedTags bounds the Tags elements that wait for their fragment, in bytes.
const maxQueuedTags = 64 << 10

// fragmentTags is a Tags element that was sent between clusters.
type fragmentTags struct {
	raw  []byte
	tags []mkv.Tag
}

// ingest handles events until there is an error; io.EOF is the good end.
func (p *producer) ingest(r *mkv.Reader) error {
	for {
		ev, err := r.Next()
		if err != nil {
			return err
		}
		if err := p.handle(ev); err != nil {
			return err
		}
	}
}

func (p *producer) handle(ev mkv.Event) error {
	switch ev := ev.(type) {
	case *mkv.Header:
		return p.begin(ev)
	case *mkv.Tags:
		return p.handleTags(ev)
	case *mkv.ClusterStart:
		return p.startFragment(ev)
	case *mkv.Block:
		return p.fragment.block(p, ev)
	case *mkv.Element:
		return p.handleElement(ev)
	case *mkv.ClusterEnd:
		p.fragment.ended = true
		return nil
	}
	return nil
}

func (p *producer) begin(h *mkv.Header) error {
	p.header = h
	if len(h.Tracks) > maxTracks {
		return errTooManyTracks
	}
	return nil
}

// handleTags keeps the element until it is known which fragment it belongs to.
func (p *producer) handleTags(t *mkv.Tags) error {
	if t.InHeader {
		p.markedHeader = p.markedHeader || marked(t.Tags)
		return checkHeaderTags(t)
	}
	if p.queued += len(t.Raw); p.queued > maxQueuedTags {
		return errFragmentMetadata
	}
	taken := p.tags.Add(fragmentTags{raw: bytes.Clone(t.Raw), tags: t.Tags}, t.EndOfFragment)
	if !t.EndOfFragment {
		return p.checkTags(fragmentTags{tags: t.Tags})
	}
	p.queued -= len(t.Raw)
	if p.fragment == nil {
		// The fragment just sent is complete already, so these wait for the next one.
		for _, tags := range taken[:len(taken)-1] {
			p.tags.Add(tags, false)
		}
		return nil
	}
	p.queued = 0
	for _, tags := range taken {
		if err := p.fragment.addTags(p, frameTagsAfter, tags); err != nil {
			p.fragment.ended = false // without its tags it is not whole
			return err
		}
	}
	return p.complete()
}

// reserved are the tags of the service that a producer may send.
var reserved = map[string]bool{
	mkv.EndOfFragment:                     true,
	"AWS_KINESISVIDEO_IMAGE_GENERATION":   true,
	"AWS_KINESISVIDEO_IMAGE_PREFIX":       true,
	"AWS_KINESISVIDEO_NOTIFICATION":       true,
	"AWS_KINESISVIDEO_NOTIFICATION_EVENT": true,
}

// checkTags checks each tag by itself.
func (p *producer) checkTags(t fragmentTags) error {
	for _, tag := range t.tags {
		switch {
		case reserved[tag.Name]:
		case len(tag.Name) > maxTagNameBytes, len(tag.Value) > maxTagValueBytes, strings.HasPrefix(tag.Name, "AWS"):
			return errFragmentMetadata
		}
	}
	return nil
}

// checkHeaderTags checks tags that are part of the header's bytes, of which ffmpeg writes many and long ones. They
// go to viewers with every fragment, so they must not look like what the service itself says there.
func checkHeaderTags(t *mkv.Tags) error {
	for _, tag := range t.Tags {
		if strings.HasPrefix(tag.Name, "AWS") && !reserved[tag.Name] {
			return errFragmentMetadata
		}
	}
	return nil
}

// startFragment completes the fragment before and begins one with the cluster.
func (p *producer) startFragment(c *mkv.ClusterStart) error {
	if p.fragment != nil {
		if err := p.complete(); err != nil {
			return err
		}
	}
	timecode := c.Timecode
	p.pending = &timecode
	if p.previous != nil && timecode < *p.previous {
		return errTimecode
	}
	p.previous = &timecode
	before := p.tags.Take()
	p.queued = 0
	f, err := p.newFragment(timecode, before)
	if err != nil {
		return err
	}
	p.fragment = f
	if c.Size > maxFragmentBytes {
		return errFragmentSize
	}
	err = p.ack(mediaapi.Ack{EventType: mediaapi.AckBuffering, FragmentTimecode: &timecode, FragmentNumber: f.number.String()})
	if err != nil {
		return err
	}
	p.s.metrics.Observe("PutMedia.BufferingAckLatency", p.gate.stream.Name, p.s.Now().Sub(f.begun))
	for _, tags := range before {
		if err := f.addTags(p, frameTagsBefore, tags); err != nil {
			return err
		}
	}
	return f.write(p, c.Raw, &frameAttrs{kind: frameCluster, timecode: int64(timecode), rest: clusterRest(c)})
}

// clusterRest is how much of the cluster follows its start.
func clusterRest(c *mkv.ClusterStart) int64 {
	if c.Size < 0 {
		return unknownRest
	}
	const idBytes = 4
	sizeBytes := 1
	for c.Raw[idBytes]<<(sizeBytes-1)&0x80 == 0 {
		sizeBytes++
	}
	return c.Size - int64(len(c.Raw)-idBytes-sizeBytes)
}

// newFragment authorises, and begins an entry in the journal for a fragment that these tags precede.
func (p *producer) newFragment(timecode uint64, before []fragmentTags) (*fragment, error) {
	if err := p.gate.decide(p.ctx); err != nil {
		return nil, err
	}
	st := p.gate.stream
	hide, err := p.require(st, before)
	if err != nil {
		return nil, err
	}
	if err := p.own(st); err != nil {
		return nil, err
	}
	produced, err := p.producerTime(timecode)
	if err != nil {
		return nil, err
	}
	sealer, err := p.store.Keys.Sealer(context.WithoutCancel(p.ctx), p.s.scope(st))
	if err != nil {
		return nil, err
	}
	now := p.s.Now()
	p.lastServer = max(p.lastServer, now.UnixMilli())
	server := time.UnixMilli(p.lastServer)
	m := fragmentMeta{
		number:   newNumber(uint64(p.epoch)<<32, server),
		producer: produced,
		timecode: timecode,
		sealed:   slices.ContainsFunc(p.header.Tracks, sealedTrack),
	}
	live := liveStart{fragmentMeta: m, keyID: sealer.KeyID(), header: p.header.Raw}
	o := journal.BeginOptions{Class: retentionClass(st), Sealer: sealer, Time: server}
	if !hide {
		o.Live = live.append(nil)
	}
	entry, err := p.writer.Begin(p.ctx, o)
	if err != nil {
		return nil, fmt.Errorf("kinesisvideo: begin fragment: %w", err)
	}
	m.number = m.number.withCounter(entry.Seq().Counter())
	return &fragment{
		fragmentMeta: m, entry: entry, sealer: sealer, stream: st, begun: now, hidden: hide,
		tracks: map[uint64]*span{},
	}, nil
}

// own makes this connection the writer of the stream, in the store that its retention asks for.
func (p *producer) own(st *stream) error {
	store := p.s.store(st)
	if p.writer != nil && p.store.Journal == store.Journal {
		return nil
	}
	w, err := store.Journal.Own(p.ctx, st.key())
	if err != nil {
		return fmt.Errorf("kinesisvideo: own stream: %w", err)
	}
	epoch, err := p.s.newEpoch(p.ctx, st, w.Epoch())
	if err != nil {
		w.Close()
		if errors.Is(err, errDeleted) { // nobody else removes what Own has made
			err = errors.Join(err, store.Journal.Drop(context.WithoutCancel(p.ctx), st.key()))
		}
		return err
	}
	if p.writer != nil {
		p.writer.Close()
	}
	p.store, p.writer, p.epoch, p.headerKey = store, w, epoch, ""
	return nil
}

// newEpoch returns an epoch for fragment numbers that is higher than every one before, whatever
// store the fragments were in: that of the journal, as long as there was but one.
//
// Errors: errDeleted when the stream is gone; the store's.
func (s *Service) newEpoch(ctx context.Context, st *stream, least uint32) (epoch uint32, err error) {
	key := meta.Key(space, rowEpoch, st.ID)
	err = s.DB.Update(ctx, func(tx meta.Tx) error {
		if now, err := getStream(tx, st.Name); err != nil {
			return err
		} else if now == nil || now.ID != st.ID {
			return errDeleted
		}
		old, err := tx.Get(key)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		epoch = least
		if len(old) == 4 {
			epoch = max(least, binary.BigEndian.Uint32(old)+1)
		}
		tx.Put(key, binary.BigEndian.AppendUint32(nil, epoch))
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("kinesisvideo: new epoch: %w", err)
	}
	return epoch, nil
}

// maxProducerTime is the last millisecond of the year 9999, after which timestamps have no form.
const maxProducerTime = 253402300799999

// producerTime converts a cluster's timecode to Unix milliseconds.
func (p *producer) producerTime(timecode uint64) (int64, error) {
	// Not by time.Duration, which ends after 292 years.
	const nanos = 1_000_000 // of a millisecond
	hi, lo := bits.Mul64(timecode, p.header.Info.TimecodeScale)
	if hi >= nanos {
		return 0, errProducerTime
	}
	quotient, _ := bits.Div64(hi, lo, nanos)
	if quotient > maxProducerTime {
		return 0, errProducerTime
	}
	millis := int64(quotient)
	if p.in.TimecodeType == mediaapi.FragmentTimecodeTypeRelative {
		millis += p.in.ProducerStartTimestamp.UnixMilli()
	}
	if millis < 0 || millis > maxProducerTime {
		return 0, errProducerTime
	}
	return millis, nil
}

func (p *producer) handleElement(e *mkv.Element) error {
	if p.fragment == nil || p.fragment.ended {
		return nil // between clusters: Cues, Void and the like are of no use any more
	}
	rest := e.Size - e.Offset - int64(len(e.Raw))
	return p.fragment.write(p, e.Raw, &frameAttrs{kind: frameElement, rest: rest})
}

// complete commits the fragment and acknowledges it.
func (p *producer) complete() error {
	f := p.fragment
	st := f.stream
	whole := p.s.Now()
	err := f.commit(p)
	p.s.metrics.success("PutMedia", st.Name, err)
	if err != nil {
		f.ended = false // it is not tried again
		return err
	}
	p.fragment, p.pending = nil, nil
	p.s.metrics.Add("PutMedia.IncomingFragments", st.Name, 1)
	if f.sealed {
		p.s.metrics.Add("Obscura.SealedFragments", st.Name, 1)
	}
	p.s.metrics.Observe("PutMedia.FragmentIngestionLatency", st.Name, whole.Sub(f.begun))
	p.s.metrics.Observe("PutMedia.FragmentPersistLatency", st.Name, p.s.Now().Sub(whole))
	number := f.number.String()
	if err := p.ack(mediaapi.Ack{EventType: mediaapi.AckReceived, FragmentTimecode: &f.timecode, FragmentNumber: number}); err != nil {
		return err
	}
	p.s.metrics.Observe("PutMedia.ReceivedAckLatency", st.Name, p.s.Now().Sub(whole))
	if st.RetentionHours == 0 {
		p.trimSpool(st)
		return nil
	}
	if err := p.ack(mediaapi.Ack{EventType: mediaapi.AckPersisted, FragmentTimecode: &f.timecode, FragmentNumber: number}); err != nil {
		return err
	}
	p.s.metrics.Observe("PutMedia.PersistedAckLatency", st.Name, p.s.Now().Sub(whole))
	return nil
}

// trimSpool keeps the buffer of a stream without retention within its limits.
func (p *producer) trimSpool(st *stream) {
	now := p.s.Now()
	if now.Sub(p.lastTrim) < time.Second {
		return
	}
	p.lastTrim = now
	if err := p.s.trim(p.ctx, p.store, st, spoolTrim(now)); err != nil {
		p.s.Logger.WarnContext(p.ctx, "buffer was not trimmed", "stream", st.Name, "error", err)
	}
}

// release gives the open fragment up, if there is one, and the stream.
func (p *producer) release() {
	if p.fragment != nil {
		p.fragment.entry.Abort()
		p.s.metrics.success("PutMedia", p.gate.stream.Name, io.ErrUnexpectedEOF)
		p.fragment = nil
	}
	if p.writer != nil {
		p.writer.Close()
	}
}
