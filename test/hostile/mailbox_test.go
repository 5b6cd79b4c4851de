// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"fmt"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

func rosterKey(version uint32) string { return fmt.Sprintf("roster/%010d", version) }

// outsiders is the next roster as an outsider would have it, with herself on it, signed by a key of her own.
func (w *world) outsiders(t testing.TB, d *household.Device) []byte {
	t.Helper()
	owner, err := e2ee.IdentityFromSeed(e2ee.RoleOwner, e2ee.NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	r, hash := w.owner.Trust().Roster()
	next := r.Next(hash, time.Now(), r.Expires)
	next.Admit(e2ee.Member{Role: e2ee.RoleOwner, Name: "Mallory", Key: owner.Public()})
	next.Admit(e2ee.Member{Role: e2ee.RoleConsumer, Name: "Mallory", Key: d.Identity(e2ee.RoleConsumer).Public()})
	signed, err := e2ee.SignRoster(next, owner)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
