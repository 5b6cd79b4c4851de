// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"sync"
	"time"
)

// watchInterval is how often it is decided anew whether a consumer that waits for media may go on waiting.
const watchInterval = 500 * time.Millisecond

// watch decides anew, while the consumer waits for what comes next, whether its caller may still read the stream,
// and whether it may still use the key of what it read last. A refusal becomes the cause of the consumer's context,
// so that it ends a wait that no media would end. The function returned stops the watch and waits for its end.
func (c *consumer) watch(conn *connection) (stop func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	own := c.gate // a gate is for one goroutine
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := c.mayWait(&own); err != nil {
				conn.cancel(err)
				return
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// mayWait decides as a frame of the stream would be decided upon.
func (c *consumer) mayWait(g *gate) error {
	if err := g.decide(c.ctx); err != nil {
		return err
	}
	if opener := c.reading.Load(); opener != nil {
		return opener.Check()
	}
	return nil
}
