// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
)

// ReapOptions are those of Reap.
type ReapOptions struct {
	// Alone says that no other process uses these stores, so that every session but
	// this one has ended. The embedded store is locked, so there it holds.
	Alone bool
	// Ended reports whether a session that is not marked as ended has: its process is
	// dead. Wrongly true costs that process its streams, not anybody's data. Nil is no.
	Ended func(session string) bool
}

// ReapReport says what Reap did.
type ReapReport struct {
	Deleted      int   // blobs
	DeletedBytes int64 // as listed
	Waiting      int   // garbage that is younger than Options.Horizon
	Live         int   // blobs that something refers to, or that are in use
	// Unknown are sessions that have blobs but no row, as after a restore of an older
	// meta backup. Their blobs are never deleted.
	Unknown []string
}

// Reap frees the blobs that nothing refers to: what Trim and aborted or lost fragments
// left behind. It ends the sessions that are over, so that none of them can commit any
// more; lists the blobs; and only then reads the rows. A blob that no row refers to is
// garbage from then on, and is deleted when it has been that for Options.Horizon.
// Blobs of sessions that live elsewhere are theirs to reap. One Reap runs at a time.
func (j *Journal) Reap(ctx context.Context, o ReapOptions) (ReapReport, error) {
	r := reaper{j: j, o: o}
	if err := r.run(ctx); err != nil {
		return r.report, fmt.Errorf("journal: reap: %w", err)
	}
	return r.report, nil
}

type reaper struct {
	j        *Journal
	o        ReapOptions
	report   ReapReport
	sessions map[string]sessionRow
	garbage  map[string]time.Time // as marked earlier
}

func (r *reaper) run(ctx context.Context) error {
	if err := r.endSessions(ctx); err != nil {
		return err
	}
	candidates, err := r.candidates(ctx)
	if err != nil {
		return err
	}
	// After the list: a ref to any of these blobs is in a row by now, or never will be.
	if err := r.dropReferred(ctx, candidates); err != nil {
		return err
	}
	if err := r.mark(ctx, candidates); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(candidates)) {
		if err := r.delete(ctx, name, candidates[name]); err != nil {
			return err
		}
	}
	return r.forgetSessions(ctx)
}

// endSessions marks the sessions that are over, and reads them all.
func (r *reaper) endSessions(ctx context.Context) error {
	known, err := readSessions(ctx, r.j.db)
	if err != nil {
		return err
	}
	for session, row := range known {
		if session == r.j.session || row.ended || !r.o.Alone && (r.o.Ended == nil || !r.o.Ended(session)) {
			continue
		}
		if err := r.j.endSession(ctx, session); err != nil {
			return err
		}
		row.ended = true
		known[session] = row
	}
	r.sessions = known
	r.garbage, err = readGarbage(ctx, r.j.db)
	return err
}

// candidates lists the blobs that may be garbage: those to which no ref can be added.
func (r *reaper) candidates(ctx context.Context) (map[string]blob.Info, error) {
	found := make(map[string]blob.Info)
	unknown := make(map[string]bool)
	for info, err := range r.j.bs.List(ctx, "b/") {
		if err != nil {
			return nil, err
		}
		session, _ := blob.SessionOf(info.Name)
		row, known := r.sessions[session]
		switch {
		case !known:
			unknown[session] = true
		case info.InUse || session != r.j.session && !row.ended:
			r.report.Live++
		default:
			found[info.Name] = info
		}
	}
	r.report.Unknown = slices.Sorted(maps.Keys(unknown))
	return found, nil
}

// dropReferred takes those out that a row refers to.
func (r *reaper) dropReferred(ctx context.Context, candidates map[string]blob.Info) error {
	for d, err := range allEntries(ctx, r.j.db) {
		if err != nil {
			return err
		}
		for _, ref := range d.refs {
			if _, ok := candidates[ref.Name]; ok {
				delete(candidates, ref.Name)
				r.report.Live++
			}
		}
	}
	return nil
}

// mark writes down since when each blob is garbage, and forgets those that are gone.
func (r *reaper) mark(ctx context.Context, candidates map[string]blob.Info) error {
	now := r.j.o.Now()
	var puts, deletes []string
	for name := range candidates {
		if _, ok := r.garbage[name]; !ok {
			r.garbage[name] = now
			puts = append(puts, name)
		}
	}
	for name := range r.garbage {
		if _, ok := candidates[name]; !ok {
			deletes = append(deletes, name)
		}
	}
	value := binary.BigEndian.AppendUint64([]byte{rowVersion}, uint64(now.UnixMilli()))
	if err := r.each(ctx, puts, func(tx meta.Tx, name string) { tx.Put(garbageKey(name), value) }); err != nil {
		return err
	}
	return r.each(ctx, deletes, func(tx meta.Tx, name string) { tx.Delete(garbageKey(name)) })
}

// each runs do for every name, in transactions of bounded size.
func (r *reaper) each(ctx context.Context, names []string, do func(meta.Tx, string)) error {
	for chunk := range slices.Chunk(names, 1000) {
		err := r.j.db.Update(ctx, func(tx meta.Tx) error {
			for _, name := range chunk {
				do(tx, name)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// delete removes a blob that has been garbage for long enough. Its mark stays until the
// next Reap finds it gone, so that a crash in between costs nothing.
func (r *reaper) delete(ctx context.Context, name string, info blob.Info) error {
	if r.j.o.Now().Sub(r.garbage[name]) < r.j.o.Horizon {
		r.report.Waiting++
		return nil
	}
	if err := r.j.bs.Delete(ctx, name); err != nil {
		return err
	}
	r.report.Deleted++
	r.report.DeletedBytes += info.Size
	return nil
}

// forgetSessions removes the rows of ended sessions that have no blobs left.
func (r *reaper) forgetSessions(ctx context.Context) error {
	have := make(map[string]bool)
	for info, err := range r.j.bs.List(ctx, "b/") {
		if err != nil {
			return err
		}
		session, _ := blob.SessionOf(info.Name)
		have[session] = true
	}
	var gone []string
	for session, row := range r.sessions {
		if row.ended && session != r.j.session && !have[session] {
			gone = append(gone, session)
		}
	}
	return r.each(ctx, gone, func(tx meta.Tx, session string) { tx.Delete(sessionKey(session)) })
}

func readSessions(ctx context.Context, db meta.DB) (map[string]sessionRow, error) {
	rows := make(map[string]sessionRow)
	err := db.View(ctx, func(r meta.Reader) error {
		for kv, err := range scanSpace(r, spaceSession) {
			if err != nil {
				return err
			}
			rest, _ := meta.CutSpace(kv.Key, spaceSession)
			session, rest, ok := meta.CutString(rest)
			row, err := decodeSession(kv.Value)
			if err != nil || !ok || len(rest) != 0 {
				return errors.Join(err, fmt.Errorf("%w: session row %q", ErrCorrupt, kv.Key))
			}
			rows[session] = row
		}
		return nil
	})
	return rows, err
}

func readGarbage(ctx context.Context, db meta.DB) (map[string]time.Time, error) {
	rows := make(map[string]time.Time)
	err := db.View(ctx, func(r meta.Reader) error {
		for kv, err := range scanSpace(r, spaceGarbage) {
			if err != nil {
				return err
			}
			rest, _ := meta.CutSpace(kv.Key, spaceGarbage)
			name, rest, ok := meta.CutString(rest)
			if !ok || len(rest) != 0 || len(kv.Value) != 9 || kv.Value[0] != rowVersion {
				return fmt.Errorf("%w: garbage row %q", ErrCorrupt, kv.Key)
			}
			rows[name] = time.UnixMilli(int64(binary.BigEndian.Uint64(kv.Value[1:])))
		}
		return nil
	})
	return rows, err
}

func scanSpace(r meta.Reader, space string) iter.Seq2[meta.KV, error] {
	prefix := meta.Key(space)
	return r.Scan(prefix, meta.PrefixEnd(prefix))
}

// allEntries yields every entry of every stream, in steps.
func allEntries(ctx context.Context, db meta.DB) iter.Seq2[*Descriptor, error] {
	lo := meta.Key(spaceEntry)
	hi := meta.PrefixEnd(lo)
	return pages(func() (page []*Descriptor, err error) {
		err = db.View(ctx, func(r meta.Reader) error { return collect(r.Scan(lo, hi), &page) })
		if n := len(page); n > 0 {
			lo = append(entryKey(page[n-1].Stream, page[n-1].Seq), 0)
		}
		return page, err
	})
}
