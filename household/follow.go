// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	// syncEvery is how often a program that runs looks for certificates and grants; rosters it waits for.
	syncEvery = time.Minute
	// followBackoff is the shortest and the longest pause after a failure.
	followBackoffMin = time.Second
	followBackoffMax = 30 * time.Second
)

// Follow keeps the device in step with the mailbox until ctx ends. It waits for the next roster at the mailbox, so that a
// removal is taken as soon as it is posted; a Sealer of this device counts it from its next fragment. Certificates, this
// device's own too, are looked after every minute.
//
// What goes wrong is told to log, once for as long as it stays the same, and tried again: a camera goes on with the roster
// that it has. Follow returns the cause of ctx. Errors: ErrNotPaired, at once.
func (d *Device) Follow(ctx context.Context, box Mailbox, log *slog.Logger) error {
	if d.Trust() == nil {
		return ErrNotPaired
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if d.guest {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	f := follower{Device: d, box: steady{Mailbox: box}, log: log}
	for ctx.Err() == nil {
		err := f.step(ctx)
		if ctx.Err() != nil {
			break
		}
		f.tell(err)
		if err == nil {
			f.pause = 0
			continue
		}
		f.pause = min(max(2*f.pause, followBackoffMin), followBackoffMax)
		_ = sleep(ctx, f.pause)
	}
	return context.Cause(ctx)
}

// follower is one Follow.
type follower struct {
	*Device
	box    Mailbox
	log    *slog.Logger
	synced time.Time
	pause  time.Duration
	told   string
}

// step syncs when it is time, and else waits for the next roster.
func (f *follower) step(ctx context.Context) error {
	left := syncEvery - time.Since(f.synced)
	if f.synced.IsZero() || left <= 0 {
		f.synced = time.Now()
		return f.Sync(ctx, f.box)
	}
	took, err := f.advanceOne(ctx, f.box, min(left, MaxWait))
	if took && err == nil {
		f.log.Info("roster taken", "version", f.Trust().Pin().Version)
		f.synced = time.Time{} // a new viewer's certificate was posted before its roster
	}
	return err
}

// tell logs what changed.
func (f *follower) tell(err error) {
	switch {
	case err == nil && f.told != "":
		f.told = ""
		f.log.Info("in step with the household again")
	case err != nil && err.Error() != f.told:
		f.told = err.Error()
		var refused *Failure
		if errors.As(err, &refused) {
			f.log.Error(refused.Error())
			return
		}
		f.log.Warn("cannot keep in step with the household; going on as before", "error", err)
	}
}
