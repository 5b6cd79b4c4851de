// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
)

// Range is a time span of what is stored, by the beginning of fragments; both ends are included.
type Range struct {
	Start, End   time.Time
	ByServerTime bool // otherwise by the producer's
}

// FragmentInfo is what the service tells of a stored fragment.
type FragmentInfo struct {
	Number           string
	Producer, Server time.Time
	Length           time.Duration
	Bytes            int64
}

// maxListed bounds how many fragments are listed at once: some three months of them.
const maxListed = 1 << 22

// List returns the fragments of a range in the order of the producer's time. Errors: *ResponseError; ErrTooLarge; the
// connection's.
func (c *Consumer) List(ctx context.Context, r Range) ([]FragmentInfo, error) {
	endpoint, err := c.endpoint(ctx, "LIST_FRAGMENTS")
	if err != nil {
		return nil, err
	}
	kind := archiveapi.FragmentSelectorTypeProducerTimestamp
	if r.ByServerTime {
		kind = archiveapi.FragmentSelectorTypeServerTimestamp
	}
	in := &archiveapi.ListFragmentsInput{
		StreamName: c.name, StreamARN: c.arn, MaxResults: new(int64(1000)),
		FragmentSelector: &archiveapi.FragmentSelector{
			FragmentSelectorType: &kind,
			TimestampRange:       &archiveapi.TimestampRange{StartTimestamp: &r.Start, EndTimestamp: &r.End},
		},
	}
	var out []FragmentInfo
	for pages := 0; ; pages++ {
		page, err := c.listPage(ctx, endpoint, in)
		if err != nil {
			return nil, fmt.Errorf("consumer: %w", err)
		}
		for _, f := range page.Fragments {
			out = append(out, infoOf(f))
		}
		if len(out)+pages > c.maxListed { // a page may be empty
			return nil, fmt.Errorf("%w: more than %d fragments are listed", ErrTooLarge, c.maxListed)
		}
		if page.NextToken == nil || *page.NextToken == "" {
			return c.tidy(out), nil
		}
		in = &archiveapi.ListFragmentsInput{StreamName: c.name, StreamARN: c.arn, MaxResults: in.MaxResults, NextToken: page.NextToken}
	}
}

func (c *Consumer) listPage(ctx context.Context, endpoint string, in *archiveapi.ListFragmentsInput) (*archiveapi.ListFragmentsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return archiveapi.NewClient(c.client(ctx, endpoint)).ListFragments(ctx, in)
}

func infoOf(f *archiveapi.Fragment) FragmentInfo {
	var i FragmentInfo
	if f.FragmentNumber != nil {
		i.Number = *f.FragmentNumber
	}
	if f.ProducerTimestamp != nil {
		i.Producer = f.ProducerTimestamp.Round(time.Millisecond)
	}
	if f.ServerTimestamp != nil {
		i.Server = f.ServerTimestamp.Round(time.Millisecond)
	}
	if f.FragmentLengthInMilliseconds != nil {
		i.Length = time.Duration(*f.FragmentLengthInMilliseconds) * time.Millisecond
	}
	if f.FragmentSizeInBytes != nil {
		i.Bytes = *f.FragmentSizeInBytes
	}
	return i
}

// compareNumbers orders decimal numbers without leading zeros.
func compareNumbers(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

// tidy sorts, and of fragments with the same producer's time keeps the one with the larger number.
func (c *Consumer) tidy(list []FragmentInfo) []FragmentInfo {
	slices.SortFunc(list, func(a, b FragmentInfo) int {
		return cmp.Or(a.Producer.Compare(b.Producer), compareNumbers(b.Number, a.Number))
	})
	if c.o.KeepDuplicates {
		return list
	}
	return slices.CompactFunc(list, func(a, b FragmentInfo) bool { return a.Producer.Equal(b.Producer) })
}

// batch is how many fragments one request asks for: a broken connection has to repeat at most one.
const batch = 100

// Archive iterates over the fragments of a range in the order of the producer's time.
// Errors: those of List; *MediaError.
func (c *Consumer) Archive(ctx context.Context, r Range) iter.Seq2[*Fragment, error] {
	return func(yield func(*Fragment, error) bool) {
		list, err := c.List(ctx, r)
		if err == nil {
			numbers := make([]string, len(list))
			for i := range list {
				numbers[i] = list[i].Number
			}
			err = c.media(ctx, numbers, yield)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// errNotAsked says that the service gave something else. It would again.
var errNotAsked = errors.New("consumer: fragment was not asked for here")

// Get iterates over the fragments of these numbers, as List gives them, in the order of the numbers.
// Errors: *ResponseError; *MediaError for a fragment that is not there any more; the connection's.
func (c *Consumer) Get(ctx context.Context, numbers ...string) iter.Seq2[*Fragment, error] {
	return func(yield func(*Fragment, error) bool) {
		if err := c.media(ctx, numbers, yield); err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// maxAttempts is how often a fragment is asked for on connections that break.
const maxAttempts = 5

// media yields the fragments of the numbers in their order.
func (c *Consumer) media(ctx context.Context, numbers []string, yield func(*Fragment, error) bool) error {
	for attempt := 0; len(numbers) > 0; {
		n, err := c.mediaBatch(ctx, numbers[:min(batch, len(numbers))], yield)
		numbers = numbers[n:]
		if n > 0 {
			attempt = 0
		}
		switch {
		case err == nil && n > 0:
			continue
		case err == nil:
			err = fmt.Errorf("consumer: get media for fragment list: %w", io.ErrUnexpectedEOF)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		attempt++
		if errors.Is(err, errStopped) || permanent(err) || attempt == maxAttempts {
			return err
		}
		if err := pause(ctx, c.backoff<<attempt); err != nil {
			return err
		}
	}
	return nil
}

// mediaBatch makes one request and says how many of its fragments were yielded.
func (c *Consumer) mediaBatch(ctx context.Context, numbers []string, yield func(*Fragment, error) bool) (n int, err error) {
	endpoint, err := c.endpoint(ctx, "GET_MEDIA_FOR_FRAGMENT_LIST")
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := &archiveapi.GetMediaForFragmentListInput{StreamName: c.name, StreamARN: c.arn, Fragments: numbers}
	_, body, err := archiveapi.NewClient(c.client(ctx, endpoint)).GetMediaForFragmentList(ctx, in)
	if err != nil {
		return 0, fmt.Errorf("consumer: %w", err)
	}
	var frames []Frame
	p := &parser{listed: true, emit: func(ev Event) error {
		switch ev.Kind {
		case Begin:
			frames = nil
		case Arrived:
			frames = append(frames, ev.Frame)
		case Complete:
			if n == len(numbers) || ev.Fragment.Number != numbers[n] {
				return fmt.Errorf("%w: %s", errNotAsked, ev.Fragment.Number)
			}
			n++
			ev.Fragment.Frames = frames
			if !yield(ev.Fragment, nil) {
				return errStopped
			}
		}
		return nil
	}}
	err = readMedia(body, p)
	return n, err
}
