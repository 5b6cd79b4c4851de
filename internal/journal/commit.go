// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/obscura-video/obscura/internal/meta"
)

// sealOverhead is more than a decorator of the meta store adds to a row.
const sealOverhead = 64

// entry is a number that was given out, until it is committed or given up.
type entry struct {
	w          *Writer
	seq        Seq
	state      entryState // guarded by w.mu
	rows       []meta.KV
	descriptor *Descriptor
	err        error
	done       chan struct{} // closed when err is final
}

type entryState uint8

const (
	entryOpen    entryState = iota // the caller still writes
	entryReady                     // staged; waits for the numbers before it
	entryQueued                    // with the committer; its outcome comes through done
	entryDropped                   // will never be committed
)

func (e *entry) finish(err error) {
	e.err = err
	close(e.done)
}

// size counts the entry's rows as the meta store will.
func (e *entry) size() (rows, bytes int) {
	for _, kv := range e.rows {
		bytes += len(kv.Key) + len(kv.Value) + sealOverhead
	}
	return len(e.rows), bytes
}

// check finds out early what would make a whole group fail.
func (e *entry) check() error {
	var size meta.Size
	for _, kv := range e.rows {
		if len(kv.Value) > meta.MaxValueBytes {
			return fmt.Errorf("%w: row of %d bytes", ErrTooLarge, len(kv.Value))
		}
		size.Put(kv.Key, kv.Value)
	}
	rows, bytes := e.size()
	if size.Err() != nil || !new(meta.Size).Fits(rows, bytes) {
		return fmt.Errorf("%w: %d rows of %d bytes in one commit", ErrTooLarge, rows, bytes)
	}
	return nil
}

// kick wakes the committer.
func (j *Journal) kick() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// commitLoop commits what is queued, in order. While one commit runs, the next group
// gathers: the busier the journal, the fewer syncs per entry.
func (j *Journal) commitLoop() {
	defer close(j.stopped)
	for range j.wake {
		for group := j.nextGroup(); len(group) > 0; group = j.nextGroup() {
			j.commit(group)
		}
		j.mu.Lock()
		ended := j.closing && len(j.queue) == 0
		j.mu.Unlock()
		if ended {
			return
		}
	}
}

// nextGroup takes as many entries off the queue as fit into one commit.
func (j *Journal) nextGroup() []*entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	var rows, bytes, n int
	for ; n < len(j.queue); n++ {
		r, b := j.queue[n].size()
		if n > 0 && !new(meta.Size).Fits(rows+r, bytes+b) {
			break
		}
		rows, bytes = rows+r, bytes+b
	}
	group := j.queue[:n:n]
	if j.queue = j.queue[n:]; len(j.queue) == 0 {
		j.queue = nil
	}
	return group
}

// commit writes a group under the session's fence. When the fence was moved, somebody has
// taken streams over: the entries of those are dropped, the others tried again.
func (j *Journal) commit(group []*entry) {
	for {
		group = j.dropLost(group)
		if len(group) == 0 {
			return
		}
		err := j.tryCommit(group)
		if errors.Is(err, meta.ErrFenced) {
			err = j.refresh(group)
			if err == nil {
				continue
			}
		}
		if err != nil && !errors.Is(err, ErrFenced) {
			err = fmt.Errorf("%w: %w", ErrBroken, err)
		}
		if err != nil {
			j.fail(err)
		}
		for _, e := range group {
			if err == nil {
				e.w.hub.publish(Event{Kind: EventCommit, Seq: e.seq, Descriptor: e.descriptor})
				e.finish(nil)
			} else {
				e.finish(j.failed())
			}
		}
		return
	}
}

func (j *Journal) dropLost(group []*entry) []*entry {
	kept := group[:0]
	for _, e := range group {
		err := e.w.lostError()
		if err == nil || errors.Is(err, ErrClosed) { // Close waits for what was queued
			err = j.failed()
		}
		if err == nil {
			kept = append(kept, e)
			continue
		}
		e.w.hub.publish(Event{Kind: EventAbort, Seq: e.seq})
		e.finish(err)
	}
	return kept
}

func (j *Journal) tryCommit(group []*entry) error {
	var rows []meta.KV
	for _, e := range group {
		rows = append(rows, e.rows...)
	}
	j.mu.Lock()
	f := meta.Fence{Key: sessionKey(j.session), Value: j.row.encode()}
	j.mu.Unlock()
	// Never cancelled: an outcome that nobody waits for is still an outcome.
	return j.db.Commit(context.Background(), f, rows)
}

// refresh learns the session's generation and which writers, those of the group included,
// have lost their streams. Errors: ErrFenced when the session has ended.
//
// The order is what makes it safe: a takeover that the generation speaks of is seen by the
// look at the owners that follows, for every writer that was registered by then; one that
// is registered later looks for itself (Own).
func (j *Journal) refresh(group []*entry) error {
	var row sessionRow
	err := j.db.View(context.Background(), func(r meta.Reader) (err error) {
		row, err = getSession(r, j.session)
		return err
	})
	if errors.Is(err, meta.ErrNotFound) || err == nil && row.ended {
		err = fmt.Errorf("%w: session was ended", ErrFenced)
	}
	if err != nil {
		return err
	}
	j.mu.Lock()
	writers := j.writersLocked()
	j.mu.Unlock()
	for _, e := range group { // they may have been closed since
		if !slices.Contains(writers, e.w) {
			writers = append(writers, e.w)
		}
	}
	if err := j.loseTaken(context.Background(), writers); err != nil {
		return err
	}
	j.mu.Lock() // after the writers know: nothing of theirs goes under the new fence
	j.row = row
	j.mu.Unlock()
	return nil
}

// loseTaken tells those writers whose streams have other owners by now.
func (j *Journal) loseTaken(ctx context.Context, writers []*Writer) error {
	var lost []*Writer
	err := j.db.View(ctx, func(r meta.Reader) error {
		for _, w := range writers {
			o, err := getOwner(r, w.stream)
			if ignoreNotFound(err) != nil {
				return err
			}
			if o.Session != j.session || o.Epoch != w.epoch {
				lost = append(lost, w)
			}
		}
		return nil
	})
	for _, w := range lost {
		w.lose(ErrFenced)
	}
	return err
}

// fail ends all writing.
func (j *Journal) fail(err error) {
	j.mu.Lock()
	if j.failure == nil {
		j.failure = err
	}
	writers := j.writersLocked()
	j.mu.Unlock()
	for _, w := range writers {
		w.lose(err)
	}
}

func (j *Journal) failed() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failure
}
