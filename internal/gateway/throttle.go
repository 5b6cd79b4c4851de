// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Throttle bounds the rate of each access key's calls, so that one client cannot take the server from the
// others. The nil Throttle lets everything pass. It is safe for concurrent use.
type Throttle struct {
	limit rate.Limit
	burst int

	mu   sync.Mutex
	keys map[string]*rate.Limiter
}

// maxThrottled bounds the table. Above it all limiters are forgotten, which lets each key burst once more.
const maxThrottled = 100_000

// NewThrottle allows each key perSecond calls on average and twice as many in a burst. It returns nil, no
// bound, when perSecond is not positive.
func NewThrottle(perSecond float64) *Throttle {
	if perSecond <= 0 {
		return nil
	}
	return &Throttle{limit: rate.Limit(perSecond), burst: max(1, int(2*perSecond)), keys: map[string]*rate.Limiter{}}
}

func (t *Throttle) allow(accessKeyID string, now time.Time) bool {
	if t == nil {
		return true
	}
	t.mu.Lock()
	l, ok := t.keys[accessKeyID]
	if !ok {
		if len(t.keys) >= maxThrottled {
			clear(t.keys)
		}
		l = rate.NewLimiter(t.limit, t.burst)
		t.keys[accessKeyID] = l
	}
	t.mu.Unlock()
	return l.AllowN(now, 1)
}
