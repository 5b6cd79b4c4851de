// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// TestWordsOfEveryFailure: the sentences are the same in every program, and each has an exit status and what to do next.
func TestWordsOfEveryFailure(t *testing.T) {
	at := time.Date(2026, 11, 3, 14, 31, 0, 0, time.Local)
	for _, tt := range []struct {
		failure household.Failure
		words   string
		exit    int
		next    string
	}{
		{
			household.Failure{Reason: household.DigitsDiffer},
			"The digits do not match. Somebody may be between the two devices, or a digit was misread. Nothing was added.",
			exitDamaged, "if it happens again, use the square code, on another network",
		},
		{
			household.Failure{Reason: household.CodeExpired, Since: at, Now: at.Add(10 * time.Minute)},
			"This code is 10 min old.", exitFailed, "it shows a new code",
		},
		{
			household.Failure{Reason: household.CodeUsed, Other: "ana-phone", Since: at},
			"This code was already used by ana-phone at 14:31.", exitConflict, "if it was not you, remove",
		},
		{
			household.Failure{Reason: household.CodeUsed},
			"This code was already used.", exitConflict, "roster show",
		},
		{
			household.Failure{Reason: household.WrongServer, Other: "cam.example", Here: "nvr.lan"},
			"This code belongs to cam.example, you are signed in to nvr.lan.", exitUsage, "--same-server",
		},
		{
			household.Failure{Reason: household.SameDevice},
			"This is this device's own code. Scan it from another one.", exitUsage, "on the owner's device",
		},
		{
			household.Failure{Reason: household.OtherSideGone, Device: "Ben's phone", Since: at, Now: at.Add(20 * time.Second)},
			"Ben's phone stopped answering 20 s ago. Keep its page open.", exitUnreachable, "obscura pair",
		},
		{
			household.Failure{Reason: household.KeyChanged, Device: "Front door", Since: at},
			"Front door now has a different key than on 3 Nov. Reinstalled? Pair it again in front of it. Otherwise do not.",
			exitDamaged, "pair it by the code on its own screen",
		},
		{
			household.Failure{Reason: household.RosterRefused, Device: "Camera", Kept: 12, Offered: 11, Err: e2ee.ErrRosterOld},
			"Camera kept v12: the new roster v11 is older. A server replaying old rosters looks like this.", exitDamaged, "obscura help roster",
		},
		{
			household.Failure{Reason: household.RosterRefused, Device: "Camera", Kept: 12, Offered: 13, Err: e2ee.ErrRosterFork},
			"Camera kept v12: the new roster v13 contradicts it. A server that shows different rosters to different devices looks like this.", exitDamaged, "obscura help roster",
		},
		{
			household.Failure{Reason: household.NotOwner, Other: "Ana and Kit"},
			"Only Ana and Kit can admit devices. Send them this request.", exitRefused, "",
		},
		{
			household.Failure{Reason: household.Declined, Other: "ana-laptop"},
			"ana-laptop did not admit this device. Nothing was added.", exitRefused, "",
		},
		{
			household.Failure{Reason: household.Withdrawn, Device: "Ben's phone"},
			"Ben's phone gave up. Nothing was added.", exitFailed, "",
		},
	} {
		err := (&connection{}).explainHousehold("cannot pair", fmt.Errorf("while pairing: %w", &tt.failure))
		var p *problem
		if !errors.As(err, &p) {
			t.Fatalf("%v: %v", tt.failure.Reason, err)
		}
		if p.Why != tt.words || p.Exit != max(tt.exit, exitFailed) || !strings.Contains(p.Next, tt.next) {
			t.Errorf("reason %d:\n%s\nwant\n%s\nexit %d, next %q", tt.failure.Reason, p.Why, tt.words, p.Exit, p.Next)
		}
	}
}

func TestKitIsReadAsItIsWritten(t *testing.T) {
	kit, err := e2ee.NewKEMKey(e2ee.NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	owner, err := e2ee.IdentityFromSeed(e2ee.RoleOwner, e2ee.NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := e2ee.SignRoster(e2ee.Roster{
		Version: 1, Issued: time.Now(), Expires: time.Now().Add(time.Hour), Threshold: 1, GenerationLife: time.Hour,
		Members: []e2ee.Member{{Role: e2ee.RoleOwner, Key: owner.Public()}, {Role: e2ee.RoleRecovery, Key: kit.Public()}},
	}, owner)
	if err != nil {
		t.Fatal(err)
	}
	page, err := kitPage(kit, "home", "nvr.lan:8443", signed)
	if err != nil {
		t.Fatal(err)
	}
	_, hash, err := e2ee.ReadRoster(signed)
	if err != nil {
		t.Fatal(err)
	}
	pin := household.PinText(e2ee.Pin{Version: 1, Hash: hash})
	for name, text := range map[string]string{
		"page": page, "typed small": strings.ToLower(kit.RecoveryText()), "in lines": strings.ReplaceAll(kit.RecoveryText(), "-", "\n"),
	} {
		got, gotPin, err := readKitPage(text)
		if err != nil || got.Fingerprint() != kit.Fingerprint() {
			t.Errorf("%s: %v", name, err)
		}
		if name == "page" && gotPin != pin {
			t.Errorf("pin %q, want %q", gotPin, pin)
		}
	}
	if _, _, err := readKitPage(page[:len(page)/2]); err == nil {
		t.Error("half a page")
	}
}

func TestExpiryInWords(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	for left, want := range map[time.Duration]string{
		12*24*time.Hour + time.Hour: "expires in 12 days", 25 * time.Hour: "expires in 1 day", 2 * time.Hour: "expires at 14:00",
		-time.Hour: "expired 22 Nov 2026", 100 * 24 * time.Hour: "expires 2 Mar 2027",
	} {
		if got := sayExpiry(now.Add(left), now); got != want {
			t.Errorf("%v: %q, want %q", left, got, want)
		}
	}
}
