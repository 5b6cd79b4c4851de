// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/meta"
)

// UpdateDataRetention changes how long fragments are kept, by a number of hours. An increase holds
// for what is stored already; a decrease deletes what is now too old, before it returns.
//
// Between some retention and none the stream changes its store: consumers are disconnected and go
// on with their continuation tokens, producers go on at their next fragment, and what was in the
// buffer is not taken over.
//
// Errors: InvalidArgumentException when the result is negative or more than ten years;
// VersionMismatchException; ResourceNotFoundException.
func (s *Service) UpdateDataRetention(ctx context.Context, in *kvapi.UpdateDataRetentionInput) (*kvapi.UpdateDataRetentionOutput, error) {
	delta := *in.DataRetentionChangeInHours
	if *in.Operation == kvapi.UpdateDataRetentionOperationDecreaseDataRetention {
		delta = -delta
	}
	q := request{action: "UpdateDataRetention", name: in.StreamName, arn: in.StreamARN}
	before, after, err := s.update(ctx, q, in.CurrentVersion, func(st *stream) error {
		// The API bounds neither number, so compare before adding.
		if delta > maxRetentionHours-st.RetentionHours || delta < -st.RetentionHours {
			return invalid("The resulting data retention must be between 0 and 87600 hours.")
		}
		st.RetentionHours += delta
		return nil
	})
	if err != nil {
		return nil, err
	}
	if (before.RetentionHours == 0) != (after.RetentionHours == 0) {
		s.active.interrupt(after.ID, errMoved, false)
	}
	if delta < 0 {
		// The caller may have gone: what is too old goes all the same.
		if err := s.sweepStream(context.WithoutCancel(ctx), after); err != nil {
			// The stream has its new retention, and the sweeper will come by again.
			s.Logger.ErrorContext(ctx, "old fragments were not deleted", "stream", after.Name, "error", err)
		}
	}
	return &kvapi.UpdateDataRetentionOutput{}, nil
}

// DeleteStream deletes a stream with all that is in it. When it returns, the stream is not found
// any more, its connections are ended and its data keys are deleted, so that its media cannot be
// read by anybody. The sealed bytes are removed after that, by the sweeper if the process ends before.
//
// Errors: ResourceNotFoundException, VersionMismatchException, InvalidArgumentException.
func (s *Service) DeleteStream(ctx context.Context, in *kvapi.DeleteStreamInput) (*kvapi.DeleteStreamOutput, error) {
	found, err := s.find(ctx, request{action: "DeleteStream", arn: in.StreamARN})
	if err != nil {
		return nil, err
	}
	err = s.DB.Update(ctx, func(tx meta.Tx) error {
		st, err := getStream(tx, found.Name)
		if err != nil {
			return err
		}
		if st == nil || st.ID != found.ID {
			return notFound()
		}
		if in.CurrentVersion != nil && *in.CurrentVersion != st.Version {
			return versionMismatch()
		}
		tx.Delete(meta.Key(space, rowStream, st.Name))
		tx.Delete(meta.Key(space, rowEpoch, st.ID))
		tx.Put(meta.Key(space, rowDeleted, st.ID), []byte{})
		return nil
	})
	if err != nil {
		return nil, err
	}
	awaitEnd(s.active.interrupt(found.ID, errDeleted, true)...)
	if err := s.shred(context.WithoutCancel(ctx), found.ID); err != nil {
		return nil, err // the stream is gone, and the sweeper tries again
	}
	s.background(func(ctx context.Context) {
		if err := s.remove(ctx, found.ID); err != nil {
			s.Logger.ErrorContext(ctx, "data of a deleted stream was not removed", "stream", found.Name, "error", err)
		}
	})
	return &kvapi.DeleteStreamOutput{}, nil
}

// shred deletes the data keys of a stream.
func (s *Service) shred(ctx context.Context, id string) error {
	return errors.Join(s.Archive.Keys.Shred(ctx, streamSpace+id), s.Spool.Keys.Shred(ctx, streamSpace+id))
}

// background runs work until it is done or the service is closed.
func (s *Service) background(work func(ctx context.Context)) {
	s.starting.Lock()
	defer s.starting.Unlock()
	if s.ctx.Err() == nil {
		s.work.Go(func() { work(s.ctx) })
	}
}

// remove deletes the data of a deleted stream, keys first. It can be repeated.
func (s *Service) remove(ctx context.Context, id string) error {
	if err := s.shred(ctx, id); err != nil {
		return err
	}
	for _, store := range []Store{s.Archive, s.Spool} {
		if err := store.Journal.Drop(ctx, streamSpace+id); err != nil && !errors.Is(err, journal.ErrNotFound) {
			return fmt.Errorf("kinesisvideo: drop stream %s: %w", id, err)
		}
		if err := removeHeaders(ctx, store.DB, id); err != nil {
			return err
		}
		s.tidied.Delete(tidiness{store.Journal, id})
	}
	// A fragment that was begun meanwhile may have made one more key.
	if err := s.shred(ctx, id); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx meta.Tx) error {
		tx.Delete(meta.Key(space, rowDeleted, id))
		return nil
	})
}

func removeHeaders(ctx context.Context, db meta.DB, id string) error {
	prefix := meta.Key(space, rowHeader, id)
	return db.Update(ctx, func(tx meta.Tx) error {
		tx.DeleteRange(prefix, meta.PrefixEnd(prefix))
		return nil
	})
}

// Sweep deletes what is older than its stream's retention, with the headers and data keys that
// nothing refers to any more, and what is left of deleted streams. The server calls it again and
// again; one run at a time. It goes on after an error with the next stream, and returns them all.
func (s *Service) Sweep(ctx context.Context) error {
	streams, deleted, err := s.sweepable(ctx)
	if err != nil {
		return fmt.Errorf("kinesisvideo: sweep: %w", err)
	}
	var failed []error
	for _, id := range deleted {
		failed = append(failed, s.remove(ctx, id))
	}
	for _, st := range streams {
		if err := ctx.Err(); err != nil {
			return err
		}
		failed = append(failed, s.sweepStream(ctx, st))
	}
	return errors.Join(failed...)
}

func (s *Service) sweepable(ctx context.Context) (streams []*stream, deleted []string, err error) {
	err = s.DB.View(ctx, func(r meta.Reader) error {
		prefix := meta.Key(space, rowStream)
		for kv, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			st, err := parseStream(kv.Value)
			if err != nil {
				return err
			}
			streams = append(streams, st)
		}
		prefix = meta.Key(space, rowDeleted)
		for kv, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			id, _, ok := meta.CutString(kv.Key[len(prefix):])
			if ok {
				deleted = append(deleted, id)
			}
		}
		return nil
	})
	return streams, deleted, err
}

// spoolTrim is what the buffer of a stream without retention does not keep.
func spoolTrim(now time.Time) journal.TrimOptions {
	return journal.TrimOptions{OlderThan: now.Add(-spoolAge), KeepBytes: spoolBytes}
}

// sweepStream deletes what is too old in both stores.
func (s *Service) sweepStream(ctx context.Context, st *stream) error {
	now := s.Now()
	o := journal.TrimOptions{OlderThan: now.Add(-st.retention())}
	if st.RetentionHours == 0 {
		o.Before = math.MaxUint64
	}
	err := s.trim(ctx, s.Archive, st, o)
	return errors.Join(err, s.trim(ctx, s.Spool, st, spoolTrim(now)))
}

// tidiness is a stream in one of the stores.
type tidiness struct {
	in *journal.Journal
	id string
}

// trim deletes the oldest fragments, and then what only they needed. Where that was cut off, by the end of ctx or of
// an earlier process, the next call makes up for it: a data key must not outlive what it sealed.
func (s *Service) trim(ctx context.Context, store Store, st *stream, o journal.TrimOptions) error {
	n, err := store.Journal.Trim(ctx, st.key(), o)
	at := tidiness{store.Journal, st.ID}
	if n > 0 {
		s.tidied.Delete(at)
	}
	if err != nil {
		return fmt.Errorf("kinesisvideo: trim %s: %w", st.Name, err)
	}
	if _, tidied := s.tidied.Load(at); tidied {
		return nil
	}
	if err := retire(ctx, store, st); err != nil {
		return err
	}
	s.tidied.Store(at, nil)
	return nil
}

// retire deletes the headers and data keys that only fragments needed which are gone.
func retire(ctx context.Context, store Store, st *stream) error {
	keyID, header := "", uint64(0)
	for d, err := range store.Journal.Scan(ctx, st.key(), 0, 0) {
		if err != nil {
			return fmt.Errorf("kinesisvideo: trim %s: %w", st.Name, err)
		}
		m, _, err := parseFragmentMeta(d.Meta)
		if err != nil {
			return fmt.Errorf("kinesisvideo: trim %s: %w", st.Name, err)
		}
		keyID, header = d.KeyID, m.header
		break
	}
	if err := retireHeaders(ctx, store.DB, st.ID, header); err != nil {
		return fmt.Errorf("kinesisvideo: trim %s: %w", st.Name, err)
	}
	return store.Keys.Retire(ctx, st.key(), keyID)
}
