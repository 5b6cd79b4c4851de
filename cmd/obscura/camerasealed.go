// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
	"github.com/obscura-video/obscura/producer"
)

// syncPatience is how long a command waits at its start for the newest roster before it goes on with the one it has.
const syncPatience = 5 * time.Second

// sealedCamera is a camera on the roster of a household. Nil is one that does not seal.
type sealedCamera struct {
	*member
	log  *slog.Logger
	stop func()

	mu     sync.Mutex // guards what follows
	unkept bool       // it was said that links cannot be kept
}

// household opens the camera's keys and keeps its roster up to date until stop is called. Nil without --e2ee.
func (o *cameraOptions) household(ctx context.Context, t *terminal, conn *connection) (*sealedCamera, error) {
	if !o.e2ee {
		return nil, nil
	}
	d, err := o.folder.open(t)
	if err != nil {
		return nil, err
	}
	m := &member{d, conn, conn.mailbox(d.Household())}
	switch {
	case d.Identity(e2ee.RoleProducer) == nil:
		return nil, &problem{
			What: fmt.Sprintf("cannot seal %q", o.stream), Why: "these are no camera's keys", Exit: exitNoKey, Err: household.ErrRole,
			Next: "obscura camera pair --keys DIR    (a camera has a folder of its own)",
		}
	case d.Trust() == nil:
		return nil, m.explain(fmt.Sprintf("cannot seal %q", o.stream), household.ErrNotPaired)
	}
	m.catchUp(ctx, t)
	c := &sealedCamera{member: m, log: t.log()}
	c.stop = m.follow(ctx, t)
	return c, nil
}

// catchUp takes the newest roster if it can be had soon. Without it the device goes on with the one it has, and says so.
func (m *member) catchUp(ctx context.Context, t *terminal) {
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	err := m.Sync(ctx, m.box)
	if err == nil {
		return
	}
	var refused *household.Failure
	if errors.As(err, &refused) {
		t.note("%s %s", t.red("warning:"), refused)
		return
	}
	t.note("%s no newer roster than v%d could be asked for: %s", t.yellow("warning:"), m.Trust().Pin().Version, err)
}

// follow keeps the device in step with its household until stop is called, which waits for it.
func (m *member) follow(ctx context.Context, t *terminal) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	work.Go(func() { _ = m.Follow(ctx, m.box, t.log()) }) // ends with ctx only, and has told all else
	return func() {
		cancel()
		work.Wait()
	}
}

// end lets go of the household; nil does nothing.
func (c *sealedCamera) end() {
	if c != nil {
		c.stop()
	}
}

// seal is what the Producer needs; nil without a household.
func (c *sealedCamera) seal(stream string) *producer.Seal {
	if c == nil {
		return nil
	}
	return &producer.Seal{
		New: func(_ string, tracks []e2ee.Track) (*e2ee.Sealer, error) {
			s, err := c.Sealer(stream, tracks, func(cfg *e2ee.SealerConfig) { cfg.Synced = clockSynced })
			if err != nil {
				return nil, err
			}
			return s.Sealer, nil
		},
		Keep: func(l e2ee.Link) error { return c.keep(stream, l) },
	}
}

// keep stores where the session stands. A camera that cannot do so goes on: the price is that its next session does not say
// where this one ended, and a camera that records nothing protects nobody.
func (c *sealedCamera) keep(stream string, l e2ee.Link) error {
	err := c.KeepSent(stream, l)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && !c.unkept {
		c.log.Warn("where the session stands cannot be stored in the key folder; viewers will not be told how this session ended", "error", err)
	}
	c.unkept = err != nil
	return nil
}

// refusal is why nothing more can be sealed, for a person; nil when that is not why the sending ended.
func (c *sealedCamera) refusal(stream string, err error) error {
	var refused *e2ee.Error
	if c == nil || !errors.As(err, &refused) {
		return nil
	}
	p := &problem{
		What: fmt.Sprintf("cannot seal %q any more", stream), Why: refused.Error(), Code: refused.Code.String(), Exit: exitNoKey, Err: err,
	}
	r, _ := c.Trust().Roster()
	switch refused.Code {
	case e2ee.ErrProducer:
		p.What = fmt.Sprintf("this camera may not send into %q any more", stream)
		p.Why = fmt.Sprintf("roster v%d of %s, signed by %s, does not have it for this stream; what it records now is not kept",
			r.Version, r.Issued.Local().Format("2 Jan 15:04"), household.Owners(r))
		p.Next = "on an owner's device:  obscura pair admit    (after obscura camera pair --again here)"
	case e2ee.ErrNoRecipients:
		p.What = fmt.Sprintf("nobody could open what this camera records for %q", stream)
		p.Why = fmt.Sprintf("roster v%d has no viewer with a valid certificate, and no recovery kit; what it records now is not kept", r.Version)
		p.Next = "on a viewer's device:  obscura keys show    (obscura view and pair renew its certificate)"
	}
	return p
}

// version is the roster in force; 0 without a household.
func (c *sealedCamera) version() uint32 {
	if c == nil {
		return 0
	}
	return c.Trust().Pin().Version
}
