// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"time"

	"github.com/obscura-video/obscura/internal/envelope"
)

// gate authorises a connection's own action anew while it lasts, and keeps the stream that it works
// on up to date. It is for one goroutine.
type gate struct {
	s       *Service
	action  string
	stream  *stream
	checked time.Time
}

// pass decides if the last decision is older than envelope.Recheck.
func (g *gate) pass(ctx context.Context) error {
	if g.s.Now().Sub(g.checked) < envelope.Recheck {
		return nil
	}
	return g.decide(ctx)
}

// decide loads the stream and authorises the caller.
//
// Errors: errDeleted; *refusal around the Authorizer's; the store's.
func (g *gate) decide(ctx context.Context) error {
	st, err := g.s.loadStream(ctx, g.stream.Name)
	if err != nil {
		return err
	}
	if st == nil || st.ID != g.stream.ID {
		return errDeleted
	}
	if err := g.s.authorize(ctx, request{action: g.action}, g.s.arnOf(st), st.Tags); err != nil {
		return &refusal{err}
	}
	g.stream, g.checked = st, g.s.Now()
	return nil
}
