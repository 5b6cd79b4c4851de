// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	iotapi "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/rig"
)

// OldThingType is a thing type that was deprecated more than five minutes ago, at a server that the run has started.
const OldThingType = "conformance-old"

// past is the clock of a server that the run starts: it is some minutes late until what needs a past has been made. Then
// it is right, so that clients' signatures are of its time.
type past struct{ late atomic.Int64 }

func newPast() *past {
	p := new(past)
	p.late.Store(int64(6 * time.Minute))
	return p
}

func (p *past) now() time.Time { return time.Now().Add(-time.Duration(p.late.Load())) }

// live makes what needs a past, and ends it.
func (p *past) live(ctx context.Context, s *rig.Server) error {
	c := iotapi.NewClient(protocol.Client{Endpoint: s.API, HTTP: s.HTTP, Sign: func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), s.Root, s.Region, "iot", p.now())
		return nil
	}})
	name := OldThingType
	if _, err := c.CreateThingType(ctx, &iotapi.CreateThingTypeInput{ThingTypeName: &name}); err != nil {
		return err
	}
	_, err := c.DeprecateThingType(ctx, &iotapi.DeprecateThingTypeInput{ThingTypeName: &name})
	p.late.Store(0)
	return err
}
