// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/media/mkv"
)

// Fragment is one of a stream. It and everything in it belongs to whoever got it.
type Fragment struct {
	Number           string    // of the service; decimal digits
	Producer, Server time.Time // when its first frame was taken, and when the service got it
	Tracks           []Track
	Frames           []Frame // in decode order; empty in an Event
	Tags             []Tag   // the producer's
	// Behind is how far the reader lags behind the newest fragment; 0 when it is not known.
	Behind time.Duration
	// Token continues after this fragment; empty for one of an archive.
	Token string
}

// Frame is one coded picture, or a piece of audio.
type Frame struct {
	Track    uint64
	Time     time.Time     // of its presentation
	Duration time.Duration // 0 when the producer has not said
	Key      bool
	Data     []byte
}

// EventKind says what an Event tells.
type EventKind int

// The kinds of events. A fragment is a Begin, Arrived frames, and a Complete or an Aborted.
const (
	Begin    EventKind = iota + 1 // a fragment begins
	Arrived                       // a frame has come; it is provisional until Complete
	Complete                      // the fragment is complete and durable
	Aborted                       // the fragment will not be complete; its frames do not exist in the archive
)

// Event is a step in the arrival of a fragment.
type Event struct {
	Kind     EventKind
	Fragment *Fragment // without frames; its tags, Behind and Token are there when it is Complete
	Frame    Frame     // with Arrived
}

// Limits on what an answer makes a reader hold. The service's own are 50 MB for a fragment and ten tags from its producer, so who
// is over these is none.
const (
	maxFragmentBytes = 64 << 20
	maxTagBytes      = 1 << 20
	// itemBytes is what a frame or a tag costs beside its bytes.
	itemBytes = 128
)

// ErrTooLarge says that an answer of the service is larger than anything that the service takes.
var ErrTooLarge = errors.New("consumer: answer is too large")

// parser turns the answer of GetMedia into events. It is for one goroutine.
type parser struct {
	emit   func(Event) error
	listed bool // an archive's, whose fragments end without a token

	header   *mkv.Header
	tags     []Tag
	tagBytes int // of tags
	cluster  uint64
	inside   bool // a cluster
	fragment *Fragment
	bytes    int // of the fragment
}

// parse reads r to its end. Errors: *MediaError; ErrTooLarge; emit's; r's; the reader's about bytes that are no Matroska.
func (p *parser) parse(r io.Reader) error {
	for in := mkv.NewReader(r, mkv.Options{Concatenated: true, MaxFrameBytes: 50 << 20}); ; {
		ev, err := in.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return p.close(p.listed)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("consumer: %w", err), p.close(false))
		}
		if err := p.handle(ev); err != nil {
			return err
		}
	}
}

func (p *parser) handle(ev mkv.Event) error {
	switch ev := ev.(type) {
	case *mkv.Header:
		if err := p.close(p.listed); err != nil {
			return err
		}
		p.header = ev
	case *mkv.Tags:
		return p.addTags(ev.Tags)
	case *mkv.ClusterStart:
		return p.begin(ev.Timecode)
	case *mkv.Block:
		return p.block(ev)
	case *mkv.ClusterEnd:
		p.inside = false
	}
	return nil
}

// begin starts a fragment.
func (p *parser) begin(timecode uint64) error {
	if p.fragment != nil {
		return errors.New("consumer: two clusters in one fragment")
	}
	f := &Fragment{Tracks: p.header.Tracks}
	for _, t := range p.tags {
		var err error
		switch t.Name {
		case mkv.FragmentNumber:
			f.Number = t.Value
		case mkv.ProducerTimestamp:
			f.Producer, err = parseSeconds(t.Value)
		case mkv.ServerTimestamp:
			f.Server, err = parseSeconds(t.Value)
		}
		if err != nil {
			return err
		}
	}
	if f.Number == "" {
		return errors.New("consumer: fragment without a number")
	}
	p.fragment, p.cluster, p.inside, p.bytes = f, timecode, true, 0
	return p.emit(Event{Kind: Begin, Fragment: f})
}

// block emits the frames of a block. Their times count from the producer's timestamp of the fragment, since a
// producer may send relative timecodes.
func (p *parser) block(b *mkv.Block) error {
	f := p.fragment
	if f == nil {
		return errors.New("consumer: block outside of a fragment")
	}
	at := f.Producer.Add(p.header.Timestamp(b.Timecode) - p.header.Timestamp(int64(p.cluster)))
	frames := b.Frames(nil)
	var step time.Duration
	if t := p.header.Track(b.Track); t != nil {
		step = t.DefaultDuration
	}
	duration := p.header.Timestamp(int64(min(b.Duration, math.MaxInt64)))
	if duration > 0 {
		duration /= time.Duration(len(frames))
		step = duration
	}
	for i, data := range frames {
		if p.bytes += len(data) + itemBytes; p.bytes > maxFragmentBytes {
			return fmt.Errorf("%w: fragment %s of more than %d bytes", ErrTooLarge, f.Number, maxFragmentBytes)
		}
		err := p.emit(Event{Kind: Arrived, Fragment: f, Frame: Frame{
			Track: b.Track, Time: at.Add(time.Duration(i) * step), Duration: duration, Key: b.Keyframe, Data: slices.Clone(data),
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// addTags notes tags; a continuation token completes the fragment.
func (p *parser) addTags(tags []Tag) error {
	for _, t := range tags {
		if p.tagBytes += len(t.Name) + len(t.Value) + itemBytes; p.tagBytes > maxTagBytes {
			return fmt.Errorf("%w: tags of more than %d bytes", ErrTooLarge, maxTagBytes)
		}
	}
	p.tags = append(p.tags, tags...)
	if p.fragment == nil {
		return nil
	}
	for _, t := range tags {
		if t.Name == mkv.ContinuationToken {
			p.fragment.Token = t.Value
			return p.complete()
		}
	}
	return nil
}

func (p *parser) complete() error {
	f := p.fragment
	p.fragment = nil
	for _, t := range p.tags {
		if ms, err := strconv.ParseInt(t.Value, 10, 64); t.Name == mkv.MillisBehindNow && err == nil {
			f.Behind = time.Duration(ms) * time.Millisecond
		}
		if !strings.HasPrefix(t.Name, "AWS_KINESISVIDEO_") {
			f.Tags = append(f.Tags, t)
		}
	}
	p.tags, p.tagBytes = nil, 0
	return p.emit(Event{Kind: Complete, Fragment: f})
}

// close ends the file that has been read; what lacks its end is aborted, unless whole says that it has none.
func (p *parser) close(whole bool) error {
	defer func() { p.tags, p.tagBytes, p.fragment, p.header = nil, 0, nil, nil }()
	if f := p.fragment; f != nil {
		if whole && !p.inside {
			return p.complete()
		}
		return p.emit(Event{Kind: Aborted, Fragment: f})
	}
	return p.failure()
}

// failure returns the error that a file without a cluster tells.
func (p *parser) failure() error {
	e := &MediaError{}
	for _, t := range p.tags {
		switch t.Name {
		case mkv.FragmentNumber:
			e.FragmentNumber = t.Value
		case mkv.ErrorID, "AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE":
			e.ID, _ = strconv.Atoi(t.Value) // 0 where it is none
		case mkv.ErrorCode, "AWS_KINESISVIDEO_EXCEPTION_MESSAGE":
			e.Code = t.Value
		}
	}
	if e.ID == 0 && e.Code == "" {
		return nil
	}
	return e
}

// parseSeconds reads a timestamp of the service: seconds with three decimals, exactly.
func parseSeconds(s string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 {
		return time.Time{}, fmt.Errorf("consumer: timestamp %q", s)
	}
	nanos, err := strconv.ParseUint(fraction+strings.Repeat("0", 9-len(fraction)), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("consumer: timestamp %q", s)
	}
	return time.Unix(sec, int64(nanos)), nil
}
