// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
)

// ErrNoFootage says that an archive has nothing of a time.
var ErrNoFootage = errors.New("household: no footage of that time")

// Footage is what sharing and recovery need of one stream's archive.
type Footage interface {
	// Newest returns the newest fragment that began in [from, until), and when it did by the container.
	// Errors: ErrNoFootage; others of the service and the connection.
	Newest(ctx context.Context, from, until time.Time) ([]e2ee.Block, time.Time, error)
}

// archive is the Footage of a stream on a server.
type archive struct{ c *consumer.Consumer }

// NewFootage reads a stream's archive. The caller closes the consumer.
func NewFootage(c *consumer.Consumer) Footage { return archive{c} }

// firstWindow is how far back the newest fragment is looked for at first; each further look goes four times as far.
const firstWindow = time.Minute

// Newest lists back in time until there is something.
func (a archive) Newest(ctx context.Context, from, until time.Time) ([]e2ee.Block, time.Time, error) {
	for window := firstWindow; ; window *= 4 {
		start := until.Add(-window)
		if start.Before(from) {
			start = from
		}
		list, err := a.c.List(ctx, consumer.Range{Start: start, End: until.Add(-time.Millisecond)})
		if err != nil {
			return nil, time.Time{}, err
		}
		if n := len(list); n > 0 {
			at := list[n-1].Producer
			if at.Before(start) || !at.Before(until) {
				return nil, time.Time{}, fmt.Errorf("household: the server lists footage of %s, which was not asked for", at.Format(time.RFC3339Nano))
			}
			return a.at(ctx, at)
		}
		if !start.After(from) {
			return nil, time.Time{}, ErrNoFootage
		}
		until = start
	}
}

// at reads the fragment that began at a moment.
func (a archive) at(ctx context.Context, at time.Time) ([]e2ee.Block, time.Time, error) {
	for f, err := range a.c.Archive(ctx, consumer.Range{Start: at, End: at}) {
		if err != nil {
			return nil, time.Time{}, err
		}
		return BlocksOf(f.Frames), at, nil
	}
	return nil, time.Time{}, ErrNoFootage
}

// BlocksOf takes a fragment's frames as the sealed blocks that they are. The payloads are not copied.
func BlocksOf(frames []consumer.Frame) []e2ee.Block {
	blocks := make([]e2ee.Block, len(frames))
	for i, f := range frames {
		track := uint8(0) // no track that a roster's camera could have sealed
		if f.Track < 256 {
			track = uint8(f.Track)
		}
		blocks[i] = e2ee.Block{Track: track, Key: f.Key, Time: f.Time, Payload: f.Data}
	}
	return blocks
}

// walkStep bounds how much of what cannot be opened is passed over at once.
const walkStep = 10 * time.Minute

// walk opens one fragment of each generation that touches [from, until), going back in time: a fragment says when its
// generation began, so the one before that is the next to open. What does not open is passed over, and the first reason kept.
// visit is called once for each generation that is opened and not in seen, by its statement's hash.
func walk(ctx context.Context, o *e2ee.Opener, f Footage, from, until time.Time, seen map[[32]byte]bool, visit func(e2ee.Report) error) (refused error, err error) {
	step := time.Second
	for until.After(from) {
		blocks, at, err := f.Newest(ctx, from, until)
		if errors.Is(err, ErrNoFootage) {
			return refused, nil
		}
		if err != nil {
			return refused, err
		}
		r, err := openOne(ctx, o, f, blocks)
		var why *e2ee.Error
		switch {
		case err == nil && seen[r.Statement]:
			// The camera's clock was set back, or the server gives what was not asked for.
			until, step = at.Add(-step), min(2*step, walkStep)
		case err == nil:
			seen[r.Statement] = true
			if err := visit(r); err != nil {
				return refused, err
			}
			until, step = earlier(at, r.Begun), time.Second
		case errors.As(err, &why):
			if refused == nil {
				refused = err
			}
			until, step = at.Add(-step), min(2*step, walkStep)
		default:
			return refused, err
		}
	}
	return refused, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// openOne opens a fragment on its own; when its keys are in an earlier one, that one first.
func openOne(ctx context.Context, o *e2ee.Opener, f Footage, blocks []e2ee.Block) (e2ee.Report, error) {
	r, err := openBlocks(o, blocks)
	var why *e2ee.Error
	if !errors.As(err, &why) || why.Code != e2ee.ErrNoPackage || why.SeekTo.IsZero() {
		return r, err
	}
	first, _, err := f.Newest(ctx, why.SeekTo, why.SeekTo.Add(2*time.Millisecond))
	if err != nil {
		return r, fmt.Errorf("household: the fragment with the keys, of %s: %w", why.SeekTo.Format(time.RFC3339Nano), err)
	}
	if _, err := openBlocks(o, first); err != nil {
		return r, err
	}
	return openBlocks(o, blocks)
}

// openBlocks opens a fragment as if it were the first. Tampering with it does not halt what comes after.
func openBlocks(o *e2ee.Opener, blocks []e2ee.Block) (r e2ee.Report, err error) {
	o.Seek()
	for _, b := range blocks {
		if _, err = o.Block(b); err != nil {
			o.Cut()
			o.Resume()
			return r, err
		}
	}
	if r, err = o.End(); err != nil {
		o.Resume()
	}
	return r, err
}
