// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/netip"
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

// allow counts a call of a key, and says whether it is within the bound.
func (t *Throttle) allow(key string, now time.Time) bool {
	if t == nil {
		return true
	}
	t.mu.Lock()
	l, ok := t.keys[key]
	if !ok {
		if len(t.keys) >= maxThrottled {
			clear(t.keys)
		}
		l = rate.NewLimiter(t.limit, t.burst)
		t.keys[key] = l
	}
	t.mu.Unlock()
	return l.AllowN(now, 1)
}

// spent says whether the next call of a key would be above the bound. It counts nothing.
func (t *Throttle) spent(key string, now time.Time) bool {
	t.mu.Lock()
	l, ok := t.keys[key]
	t.mu.Unlock()
	return ok && l.TokensAt(now) < 1
}

// refusalsPerSecond bounds, for each address, the calls of operations that nobody signs and that were refused: who
// cannot prove who he is can neither keep the server busy nor fill the audit log.
const refusalsPerSecond = 5

// neighbourhood is what one client has of addresses: one of IPv4, a /64 of IPv6.
func neighbourhood(sourceIP string) string {
	a, err := netip.ParseAddr(sourceIP)
	if err != nil || a.Unmap().Is4() {
		return sourceIP
	}
	p, _ := a.Prefix(64)
	return p.String()
}
