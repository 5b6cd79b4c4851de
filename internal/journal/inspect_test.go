// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"testing"

	"github.com/obscura-video/obscura/internal/blob"
)

func TestDamageNamesThePlaceInItsBlob(t *testing.T) {
	d := Descriptor{refs: []blob.Ref{{Name: "b/x/1", Off: 64, Len: 100}, {Name: "b/x/2", Off: 1000, Len: 50}}}
	for at, want := range map[int64]Damage{
		0:   {Blob: "b/x/1", Off: 64},
		99:  {Blob: "b/x/1", Off: 163},
		100: {Blob: "b/x/2", Off: 1000},
		150: {}, // after the end: nowhere
	} {
		place, ok := errors.AsType[*Damage](d.damage(3, at, ErrCorrupt))
		if !ok || place.Blob != want.Blob || place.Off != want.Off || place.Frame != 3 || !errors.Is(place, ErrCorrupt) {
			t.Errorf("at %d: %+v, want %+v", at, place, want)
		}
	}
	if err := d.damage(0, 0, context.Canceled); err != context.Canceled {
		t.Errorf("what is no damage: %v", err)
	}
}
