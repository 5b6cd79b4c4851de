// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/obscura-video/obscura/e2ee"
)

// Bounds of the grants that are kept for one stream: whoever may write into the mailbox could send any number.
const (
	maxGrants     = 256
	maxGrantBytes = 16 << 20 // which an Opener takes some ten times of in memory
)

// ErrGrantsFull says that this device holds as many grants for a stream as it takes: more are not taken.
var ErrGrantsFull = errors.New("household: this device holds as many grants for the stream as it takes")

// TakeGrants takes the grants of a stream that the mailbox has for this device and the folder has not, and returns how many
// there were. The next Opener of the stream uses them. Each is opened before it is stored.
//
// Errors: ErrRole for a camera; ErrNotPaired; the mailbox's; of a grant that does not open, or ErrGrantsFull, after the good ones
// were taken.
func (d *Device) TakeGrants(ctx context.Context, box Mailbox, streamName string) (taken int, err error) {
	o, err := d.Opener(streamName, nil)
	if err != nil {
		return 0, err
	}
	all, _, err := listAll(ctx, box, grantPrefix(d.self(), e2ee.StreamIDOf(streamName)))
	if err != nil {
		return 0, fmt.Errorf("household: list grants: %w", err)
	}
	var errs []error
	for _, object := range all {
		took, err := d.takeGrant(ctx, box, o, object.Key)
		if errors.Is(err, ErrGrantsFull) {
			errs = append(errs, err)
			break
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("household: grant %s: %w", object.Key, err))
		}
		if took {
			taken++
		}
	}
	return taken, errors.Join(errs...)
}

// takeGrant takes one grant, unless it is there already. The Opener is one of its stream, to try it on.
func (d *Device) takeGrant(ctx context.Context, box Mailbox, o *Opener, key string) (took bool, err error) {
	name := grantValue(key)
	s, err := d.loadStream(o.stream)
	if err != nil || slices.Contains(s.Grants, name) {
		return false, err
	}
	if len(s.Grants) >= maxGrants || o.grantBytes >= maxGrantBytes {
		return false, ErrGrantsFull
	}
	g, err := box.Get(ctx, key, 0)
	if err == nil {
		err = o.addGrant(g)
	}
	if err != nil {
		return false, err
	}
	return true, d.storeGrant(o.stream, name, g)
}

// storeGrant keeps a grant that opens, and then says so in what is remembered of its stream.
func (d *Device) storeGrant(streamName, name string, g []byte) error {
	if err := d.store.Save(name, g); err != nil {
		return err
	}
	return d.updateStream(streamName, func(s *stream) {
		if !slices.Contains(s.Grants, name) {
			s.Grants = append(s.Grants, name)
		}
	})
}

// grantValue is under what the grant of an object's name is kept.
func grantValue(key string) string {
	h := sha256.Sum256([]byte(key))
	return fmt.Sprintf("grant-%x", h[:16])
}
