// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// ErrNotTheKit says that a recovery kit is not on the roster: cameras do not seal for it.
var ErrNotTheKit = errors.New("household: this recovery kit is not on the roster")

// kitOpener opens a stream with a recovery kit, trusting what this device trusts.
func (d *Device) kitOpener(kit *e2ee.KEMKey, stream string) (*e2ee.Opener, error) {
	t := d.Trust()
	if t == nil {
		return nil, ErrNotPaired
	}
	cfg := e2ee.OpenerConfig{Trust: t, Stream: stream, Self: kit.Fingerprint(), Keys: []*e2ee.KEMKey{kit}, Now: d.now}
	archived(&cfg)
	return e2ee.NewOpener(cfg)
}

// Drill tries whether a recovery kit really opens a stream: it opens the newest fragment that began before until with nothing but the
// kit, and verifies it. A drill that went well is remembered.
//
// Errors: ErrNotTheKit; ErrNotPaired; ErrNoFootage; *e2ee.Error, which says why the fragment does not open.
func (d *Device) Drill(ctx context.Context, f Footage, kit *e2ee.KEMKey, stream string, until time.Time) (e2ee.Report, error) {
	r, err := d.Roster()
	if err != nil {
		return e2ee.Report{}, err
	}
	if _, ok := MemberOf(r, kit.Fingerprint()); !ok {
		return e2ee.Report{}, fmt.Errorf("%w: roster %d, kit %s", ErrNotTheKit, r.Version, kit.Fingerprint().Short())
	}
	o, err := d.kitOpener(kit, stream)
	if err != nil {
		return e2ee.Report{}, err
	}
	blocks, _, err := f.Newest(ctx, time.UnixMilli(0), until)
	if err != nil {
		return e2ee.Report{}, err
	}
	report, err := openOne(ctx, o, f, blocks)
	if err != nil {
		return report, err
	}
	return report, d.KitTried(kit.Fingerprint())
}

// Recover opens all footage of a stream with a recovery kit and gives this device the history: from then on its own keys open
// it, and the kit goes back into its drawer. The grants stay in the folder. It changes no roster: cameras go on to seal for the
// roster that they have.
//
// Errors: ErrRole; those of Drill and Share.
func (d *Device) Recover(ctx context.Context, f Footage, kit *e2ee.KEMKey, stream string, from, until time.Time) (*Shared, error) {
	keys := d.Keys()
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: it has no viewer's key", ErrRole)
	}
	s := Share{Stream: stream, From: from, Until: until, History: true}
	s.To = e2ee.Grantee{Fingerprint: d.Fingerprint(), Key: keys[0].Public()}
	open := func() (*e2ee.Opener, error) { return d.kitOpener(kit, stream) }
	return share(ctx, f, s, open, func(grant []byte) (string, error) {
		name := grantValue(randomName())
		return name, d.storeGrant(stream, name, grant)
	})
}
