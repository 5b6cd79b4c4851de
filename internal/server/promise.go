// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/meta"
)

// A service makes a change durable before the gateway records the call, so a crash between the two would leave a
// change without an event. Therefore the transaction of the change also holds a promise: the event as far as it is
// known by then. The transaction that writes the event deletes the promise. What is left at a start belongs to calls
// that a crash cut off, and is recorded then.
//
// Row: "pr/" ‖ string(request ID) ‖ string(operation), value: audit.Event in JSON. The operation is in it since a call
// can make others, whose events are of the same request.

// promises are what calls that run have promised. Its methods may be called concurrently.
type promises struct {
	account, region string

	mu   sync.Mutex
	rows map[promised][]byte
}

// promised is the call whose event is promised.
type promised struct{ requestID, operation string }

func newPromises(c Config) *promises {
	return &promises{account: c.Account, region: c.Region, rows: map[promised][]byte{}}
}

const promiseSpace = "pr"

// settle is audit.Config.Settle.
func (p *promises) settle(requestID, operation string) (row []byte, ok bool) {
	at := promised{requestID, operation}
	p.mu.Lock()
	defer p.mu.Unlock()
	if row, ok = p.rows[at]; ok {
		delete(p.rows, at)
	}
	return row, ok
}

// make puts the promise of a call into its transaction.
func (p *promises) make(tx meta.Tx, call *access.Call) error {
	text, err := json.Marshal(audit.NewEvent(call, audit.Outcome{Account: p.account, Region: p.region}))
	if err != nil {
		return fmt.Errorf("promise of an event: %w", err)
	}
	row := meta.Key(promiseSpace, call.RequestID, call.Operation)
	p.mu.Lock()
	p.rows[promised{call.RequestID, call.Operation}] = row
	p.mu.Unlock()
	tx.Put(row, text)
	return nil
}

// keep records what a crash has left, before anybody is served. The events say that they were interrupted.
func (p *promises) keep(ctx context.Context, db meta.DB, log *audit.Log) error {
	var left []audit.Event
	prefix := meta.Key(promiseSpace)
	err := db.View(ctx, func(r meta.Reader) error {
		left = nil
		for row, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			var e audit.Event
			if err := json.Unmarshal(row.Value, &e); err != nil {
				return fmt.Errorf("row %q: %w", row.Key, err)
			}
			p.rows[promised{e.RequestID, e.EventName}] = row.Key
			left = append(left, e)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("promised events: %w", err)
	}
	for _, e := range left {
		if e.AdditionalEventData == nil {
			e.AdditionalEventData = map[string]any{}
		}
		e.AdditionalEventData["interrupted"] = true
		if err := log.Record(ctx, e); err != nil {
			return err
		}
	}
	return log.Flush(ctx)
}

// recordCall writes the event of ctx's call, which then promises nothing more: nothing would settle that.
func recordCall(ctx context.Context, log *audit.Log, e audit.Event) error {
	err := log.Record(ctx, e)
	if call, ok := access.FromContext(ctx); ok && err == nil {
		call.MarkRecorded()
	}
	return err
}

// promising is a store in which every change that a call makes carries the promise of the call's event.
type promising struct {
	meta.DB
	promises *promises
}

// Update implements meta.DB.
func (d *promising) Update(ctx context.Context, fn func(meta.Tx) error) error {
	call, ok := access.FromContext(ctx)
	if !ok || call.RequestID == "" || call.Recorded() {
		return d.DB.Update(ctx, fn) // the server's own doing, or that of a call whose event needs no promise any more
	}
	return d.DB.Update(ctx, func(tx meta.Tx) error {
		watched := &watchedTx{Tx: tx}
		if err := fn(watched); err != nil || !watched.wrote {
			return err
		}
		return d.promises.make(tx, call)
	})
}

// watchedTx notes whether anything is written.
type watchedTx struct {
	meta.Tx
	wrote bool
}

// Put implements meta.Tx.
func (t *watchedTx) Put(key, value []byte) {
	t.wrote = true
	t.Tx.Put(key, value)
}

// Delete implements meta.Tx.
func (t *watchedTx) Delete(key []byte) {
	t.wrote = true
	t.Tx.Delete(key)
}

// DeleteRange implements meta.Tx.
func (t *watchedTx) DeleteRange(from, to []byte) {
	t.wrote = true
	t.Tx.DeleteRange(from, to)
}
