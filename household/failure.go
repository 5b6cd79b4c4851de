// SPDX-License-Identifier: Apache-2.0

package household

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// Reason is why a pairing or a change of the roster did not come to be.
type Reason uint8

// Reasons. Their sentences are Failure's Error, and the same in every program.
const (
	DigitsDiffer  Reason = iota + 1 // what the owner typed is not what the device shows
	CodeExpired                     // the code is over ten minutes old
	CodeUsed                        // the code was scanned before
	WrongServer                     // the code belongs to another server
	SameDevice                      // the device's own code
	OtherSideGone                   // nothing came when something should have
	KeyChanged                      // a name on the roster now comes with another key
	RosterRefused                   // a roster does not follow the one in force
	NotOwner                        // only owners can admit
	Declined                        // the person at the owner's device said no
	Withdrawn                       // the person at the new device gave up
)

// Failure is a pairing or a change of the roster that did not come to be. Nothing was changed by it.
type Failure struct {
	Reason Reason
	Device string    // this device, or the one that wants in
	Other  string    // who else has to do with it: the other server, who used the code, who may admit
	Here   string    // the server that this device talks to
	Since  time.Time // when the code was made or used, when the other side was last heard, or when the key was admitted
	Now    time.Time

	Kept, Offered uint32 // versions of a roster refused

	Err error // what lies beneath; may be nil
}

// Unwrap lets errors.Is find the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Error is the sentence that a person reads.
func (f *Failure) Error() string {
	switch f.Reason {
	case DigitsDiffer:
		return "The digits do not match. Somebody may be between the two devices, or a digit was misread. Nothing was added."
	case CodeExpired:
		return fmt.Sprintf("This code is %d min old.", int(max(f.Now.Sub(f.Since), e2ee.PairingLife)/time.Minute))
	case CodeUsed:
		return "This code was already used" + f.by() + "."
	case WrongServer:
		return fmt.Sprintf("This code belongs to %s, you are signed in to %s.", f.Other, f.Here)
	case SameDevice:
		return "This is this device's own code. Scan it from another one."
	case OtherSideGone:
		return fmt.Sprintf("%s stopped answering %d s ago. Keep its page open.", f.Device, int(f.Now.Sub(f.Since)/time.Second))
	case KeyChanged:
		return fmt.Sprintf("%s now has a different key than on %s. Reinstalled? Pair it again in front of it. Otherwise do not.",
			f.Device, f.Since.Local().Format("2 Jan"))
	case RosterRefused:
		return f.refused()
	case NotOwner:
		return fmt.Sprintf("Only %s can admit devices. Send them this request.", f.Other)
	case Declined:
		return fmt.Sprintf("%s did not admit this device. Nothing was added.", f.Other)
	case Withdrawn:
		return f.Device + " gave up. Nothing was added."
	default:
		return fmt.Sprintf("household: reason %d", f.Reason)
	}
}

// by says who used a code, and when, as far as the mailbox tells.
func (f *Failure) by() (s string) {
	if f.Other != "" {
		s += " by " + f.Other
	}
	if !f.Since.IsZero() {
		s += " at " + f.Since.Local().Format("15:04")
	}
	return s
}

// refused says what is wrong with a roster, and what it looks like.
func (f *Failure) refused() string {
	s := fmt.Sprintf("%s kept v%d: ", f.Device, f.Kept)
	offered := fmt.Sprintf("the new roster v%d ", f.Offered)
	switch {
	case errors.Is(f.Err, e2ee.ErrRosterOld):
		return s + offered + "is older. A server replaying old rosters looks like this."
	case errors.Is(f.Err, e2ee.ErrRosterFork):
		return s + offered + "contradicts it. A server that shows different rosters to different devices looks like this."
	case errors.Is(f.Err, e2ee.ErrRosterSign):
		return s + offered + "is not signed by its owners. A server that invents rosters looks like this."
	case errors.Is(f.Err, e2ee.ErrRosterGap):
		return s + fmt.Sprintf("roster v%d is missing, though there are later ones. A server that keeps rosters back looks like this.", f.Offered)
	default:
		return s + offered + "is not a roster."
	}
}

// rosterRefused is a roster that the mailbox gave a device as version, and that was not taken.
func rosterRefused(device string, kept, version uint32, said *e2ee.Roster, err error) error {
	f := &Failure{Reason: RosterRefused, Device: device, Kept: kept, Offered: version, Err: err}
	if said != nil {
		f.Offered = said.Version
	}
	return f
}

// Owners names the owners of a roster for a sentence: "Ana and Kit".
func Owners(r *e2ee.Roster) string {
	var names []string
	for _, m := range r.Members {
		if m.Role == e2ee.RoleOwner {
			names = append(names, m.Name)
		}
	}
	switch n := len(names); n {
	case 0:
		return "an owner"
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}
