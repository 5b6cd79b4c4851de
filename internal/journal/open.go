// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
)

// Journal is an opened session over one meta store and one blob store. Its methods may
// be called concurrently.
type Journal struct {
	db      meta.DB
	bs      blob.Store
	o       Options
	session string
	stopped chan struct{} // closed when the committer has ended

	mu      sync.Mutex // guards the fields below
	row     sessionRow // as it was last seen: the fence
	writers map[*Writer]struct{}
	owned   map[string]int // writers by stream
	hubs    map[string]*hub
	epochs  map[string]uint32 // the last that this session was given, also of dropped streams
	queue   []*entry          // to be committed, in order
	wake    chan struct{}
	failure error // why nothing can be written any more
	closing bool
}

// Open starts a new session, named by bs.Session: a store serves one journal only. It
// scans nothing; whatever a previous session did not commit is unreachable already.
func Open(ctx context.Context, db meta.DB, bs blob.Store, o Options) (*Journal, error) {
	o.setDefaults()
	j := &Journal{
		db: db, bs: bs, o: o, session: bs.Session(),
		stopped: make(chan struct{}), wake: make(chan struct{}, 1),
		writers: make(map[*Writer]struct{}), owned: make(map[string]int), hubs: make(map[string]*hub), epochs: make(map[string]uint32),
		row: sessionRow{generation: 1, opened: o.Now().UnixMilli()},
	}
	if _, ok := blob.SessionOf(blob.Prefix(j.session) + "1"); !ok || len(j.session) != 32 {
		return nil, fmt.Errorf("journal: open: session %q is not 32 hex digits", j.session)
	}
	err := db.Update(ctx, func(tx meta.Tx) error {
		_, err := tx.Get(sessionKey(j.session))
		if err == nil {
			return errors.New("blob store serves another journal")
		}
		tx.Put(sessionKey(j.session), j.row.encode())
		return ignoreNotFound(err)
	})
	if err != nil {
		return nil, fmt.Errorf("journal: open: %w", err)
	}
	go j.commitLoop()
	return j, nil
}

func (o *Options) setDefaults() {
	if o.RingEvents <= 0 {
		o.RingEvents = 4096
	}
	if o.RingBytes <= 0 {
		o.RingBytes = 16 << 20
	}
	if o.InlineBytes == 0 {
		o.InlineBytes = 4096
	}
	o.InlineBytes = min(o.InlineBytes, maxInline)
	if o.PollInterval <= 0 {
		o.PollInterval = 250 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func ignoreNotFound(err error) error {
	if errors.Is(err, meta.ErrNotFound) {
		return nil
	}
	return err
}

// Session returns the name of this session.
func (j *Journal) Session() string { return j.session }

// Close gives up fragments that are open, waits for the commits that run, and marks the
// session as ended, so that Reap need not ask anybody. The stores remain the caller's
// to close. When ctx is done first, commits may still be running.
func (j *Journal) Close(ctx context.Context) error {
	j.mu.Lock()
	first := !j.closing
	j.closing = true
	writers, hubs := j.writersLocked(), j.hubsLocked()
	j.mu.Unlock()
	for _, w := range writers {
		w.lose(ErrClosed)
	}
	j.kick()
	select {
	case <-j.stopped:
	case <-ctx.Done(): // the committer ends by itself when its commit does
		return fmt.Errorf("journal: close: %w", context.Cause(ctx))
	}
	for _, h := range hubs {
		h.close()
	}
	if !first || j.failed() != nil {
		return nil
	}
	if err := j.endSession(ctx, j.session); err != nil {
		return fmt.Errorf("journal: close: %w", err)
	}
	return nil
}

// endSession makes sure that the session never commits again. A session that is not
// known stays so.
func (j *Journal) endSession(ctx context.Context, session string) error {
	return j.db.Update(ctx, func(tx meta.Tx) error {
		row, err := getSession(tx, session)
		if err != nil {
			return ignoreNotFound(err)
		}
		if !row.ended {
			row.ended = true
			row.generation++
			tx.Put(sessionKey(session), row.encode())
		}
		return nil
	})
}

func getSession(r meta.Reader, session string) (sessionRow, error) {
	b, err := r.Get(sessionKey(session))
	if err != nil {
		return sessionRow{}, err
	}
	return decodeSession(b)
}

func getOwner(r meta.Reader, stream string) (Owner, error) {
	b, err := r.Get(ownerKey(stream))
	if err != nil {
		return Owner{}, err
	}
	return decodeOwner(b)
}

// Own takes the stream over: its epoch grows by one, and what its previous owner has not
// committed never will be. The stream need not exist.
//
// Errors: ErrClosed; ErrFenced when somebody else was quicker still, or this session was
// ended by a reaper; ErrTooLarge for the name.
func (j *Journal) Own(ctx context.Context, stream string) (*Writer, error) {
	if len(stream) > MaxStreamBytes || stream == "" {
		return nil, fmt.Errorf("%w: stream name of %d bytes", ErrTooLarge, len(stream))
	}
	if err := j.err(); err != nil {
		return nil, err
	}
	me := Owner{Session: j.session, Address: j.o.Address}
	err := j.db.Update(ctx, func(tx meta.Tx) error { return j.takeOver(tx, stream, &me) })
	if err != nil {
		return nil, fmt.Errorf("journal: own %s: %w", stream, err)
	}
	w := &Writer{j: j, stream: stream, epoch: me.Epoch, field: sessionField(j.session, stream)}
	j.supersede(stream, me.Epoch)
	j.mu.Lock()
	j.writers[w] = struct{}{}
	j.owned[stream]++
	w.hub = j.hubLocked(stream)
	closing := j.closing
	j.mu.Unlock()
	if closing {
		w.lose(ErrClosed)
		return nil, ErrClosed
	}
	// Somebody may have taken the stream over before the committer knew of this writer.
	if err := j.loseTaken(ctx, []*Writer{w}); err != nil {
		w.lose(ErrClosed)
		return nil, fmt.Errorf("journal: own %s: %w", stream, err)
	}
	if err := w.Err(); err != nil {
		return nil, err
	}
	w.hub.publish(Event{Kind: EventOwner})
	return w, nil
}

// takeOver makes me the owner of the stream. Counting up the generation of the previous
// owner's session is what stops it: every commit of that session holds to the old one.
func (j *Journal) takeOver(tx meta.Tx, stream string, me *Owner) error {
	row, err := getSession(tx, me.Session)
	if errors.Is(err, meta.ErrNotFound) || err == nil && row.ended {
		return ErrFenced
	}
	if err != nil {
		return err
	}
	victim, err := getOwner(tx, stream)
	if ignoreNotFound(err) != nil {
		return err
	}
	if err == nil {
		if err := fence(tx, victim.Session); err != nil {
			return err
		}
	}
	if me.Epoch = j.nextEpoch(stream, victim.Epoch); me.Epoch == 0 {
		return fmt.Errorf("%w: epochs are used up", ErrTooLarge)
	}
	tx.Put(ownerKey(stream), me.encode())
	return nil
}

// nextEpoch returns an epoch after the stored one that this session has not used before:
// numbers of a dropped stream may come again, nonces must not. 0 when there is none.
func (j *Journal) nextEpoch(stream string, stored uint32) uint32 {
	j.mu.Lock()
	defer j.mu.Unlock()
	last := max(stored, j.epochs[stream])
	if last == math.MaxUint32 {
		return 0
	}
	j.epochs[stream] = last + 1
	return last + 1
}

func fence(tx meta.Tx, session string) error {
	row, err := getSession(tx, session)
	if err != nil {
		return ignoreNotFound(err) // reaped: it cannot commit anyway
	}
	row.generation++
	tx.Put(sessionKey(session), row.encode())
	return nil
}

// supersede tells older writers of this process that the stream is no longer theirs.
func (j *Journal) supersede(stream string, epoch uint32) {
	j.mu.Lock()
	writers := j.writersLocked()
	j.mu.Unlock()
	for _, w := range writers {
		if w.stream == stream && w.epoch < epoch {
			w.lose(ErrFenced)
		}
	}
}

// Owner says who writes a stream, here or elsewhere. Errors: ErrNotFound.
func (j *Journal) Owner(ctx context.Context, stream string) (o Owner, err error) {
	err = j.db.View(ctx, func(r meta.Reader) error {
		o, err = getOwner(r, stream)
		return err
	})
	if errors.Is(err, meta.ErrNotFound) {
		return Owner{}, fmt.Errorf("%w: stream %s", ErrNotFound, stream)
	}
	return o, err
}

// err says why nothing can be written.
func (j *Journal) err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closing {
		return ErrClosed
	}
	return j.failure
}

func (j *Journal) writersLocked() []*Writer {
	list := make([]*Writer, 0, len(j.writers))
	for w := range j.writers {
		list = append(list, w)
	}
	return list
}

func (j *Journal) forget(w *Writer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.writers[w]; !ok {
		return
	}
	delete(j.writers, w)
	if j.owned[w.stream]--; j.owned[w.stream] == 0 {
		delete(j.owned, w.stream)
	}
}

// owns reports whether this process writes the stream.
func (j *Journal) owns(stream string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.owned[stream] > 0
}
