// SPDX-License-Identifier: Apache-2.0

//go:build unix

package household

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

var kitGroup = regexp.MustCompile(`\b(\d{1,2}) ([0-9A-Z]{4})\b`)

// found has Ana found the household, and returns the groups of her recovery kit.
func (m *machine) found() (kit []string, pin string) {
	ana := m.at("ana", m.server("keys", "init", "--name", "ana-laptop")...)
	ana.sees("If every device is lost, this paper is the only way to your footage. We cannot help.")
	page := ana.sees("Now prove it works: type group 3 and 7.")
	kit = make([]string, 14)
	for _, g := range kitGroup.FindAllStringSubmatch(page, -1) {
		n := 0
		for _, c := range g[1] {
			n = 10*n + int(c-'0')
		}
		kit[n-1] = g[2]
	}
	pin = regexp.MustCompile(`Roster  (v1-[0-9A-Z-]+)`).FindStringSubmatch(page)[1]
	ana.sees("group 3: ")
	ana.types(kit[3]) // the wrong line
	ana.sees("that is not group 3; look again")
	ana.types(strings.ToLower(kit[2]))
	ana.sees("group 7: ")
	ana.types(kit[6])
	ana.sees("Kit tried ")
	ana.sees("household home: roster v1, 1 owner, 0 cameras, 1 viewer, 1 recovery kit")
	ana.ends(0)
	m.relax("ana")
	return kit, pin
}

// admitCamera pairs a camera by the letters of its code.
func (m *machine) admitCamera() {
	camera := m.at("camera", m.server("camera", "pair", "--name", "Front door", "--text")...)
	camera.sees("Scan this with an admin's device (People > Add camera). Valid 10 min, works once.")
	code := camera.finds(`(?s)pair admit\)\s+([0-9A-Z-]{39,}.*?)\s+This camera is  `)
	camera.sees("waiting for a scan ...  9:5")
	ana := m.at("ana", m.server("pair", "admit")...)
	ana.sees("press Enter if you will type digits: ")
	ana.types(strings.Join(strings.Fields(code), "\n")) // pasted as it is shown
	ana.sees("Front door is in front of you: its code was read from its own screen.")
	ana.sees("name [Front door]: ")
	ana.types("")
	ana.sees("streams that it may send to, with commas between [all]: ")
	ana.types("door")
	ana.sees("until [never]: ")
	ana.types("")
	ana.sees("Sign and add Front door as a camera that may send to door? [yes / no]: ")
	ana.types("yes")
	ana.sees("Added Front door. Roster v2: 1 owner, 1 camera, 1 viewer, 1 recovery kit")
	ana.sees("undo:  obscura roster remove 'Front door'")
	ana.ends(0)
	camera.sees("scanned by ana-laptop; the scan proves it saw this screen")
	camera.sees("ana-laptop asks to be this camera's owner.   owner  ")
	camera.sees("roster v2 received and checked: 1 viewer, 1 recovery kit")
	camera.sees("paired.   Undo: obscura camera unpair")
	camera.ends(0)
}

// admitBen pairs a viewing device by digits.
func (m *machine) admitBen() {
	ben := m.at("ben", m.server("pair", "--name", "Ben's phone")...)
	ben.sees("This device made its own key. It cannot watch until an admin lets it in. Show this code to an admin:")
	ben.sees("█") // the code's picture
	ben.sees("No camera? On the admin's device run")
	ana := m.at("ana", m.server("pair", "admit")...)
	ana.sees("press Enter if you will type digits: ")
	ana.types("")
	ana.sees("Type the 7 digits it shows: ")
	digits := ben.finds(`No camera\? Read these digits aloud: (\d{3} \d{4})`)
	ben.sees("Wait until the admin's screen says Codes match. Does it? [yes, continue / no, stop]: ")
	ana.types(digits)
	ana.sees("Codes match.")
	ben.types("perhaps")
	ben.sees("please type yes or no")
	ben.types("yes")
	ana.sees("name [Ben's phone]: ")
	ana.types("")
	ana.sees("watch, with commas between [all]: ")
	ana.types("")
	ana.sees("until [never]: ")
	ana.types("")
	ana.sees("Sign and add Ben's phone as a viewer that may watch all streams? [yes / no]: ")
	ana.types("yes")
	ana.sees("Added Ben's phone. Roster v3: 1 owner, 1 camera, 2 viewers, 1 recovery kit")
	ana.ends(0)
	ben.sees("roster v3 received and checked: 2 viewers, 1 recovery kit")
	ben.ends(0)
	m.relax("ben")
}

func TestCeremonyAsANewUserDoesIt(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	kit, pin := m.found()
	m.admitCamera()
	m.admitBen()

	live := m.film("door")
	m.wantOpens("ben", "door", true)
	m.wantOpens("ana", "door", true)

	ana := m.at("ana", m.server("roster", "show")...)
	ana.sees("Roster v3 of household home, signed ")
	ana.sees("Front door")
	ana.sees("on v3 since")
	ana.sees("Ben's phone")
	ana.sees("digits ")
	ana.ends(0)

	ana = m.at("ana", m.server("roster", "remove", "Ben's phone")...)
	ana.sees("cannot watch anything recorded after the camera takes roster v4 (normally ≤ 2 s);")
	ana.sees("footage already entitled stays readable to copies.")
	ana.sees(`Type the name "Ben's phone" to have it removed: `)
	ana.types("Ben's phone")
	ana.sees("Removed Ben's phone. Roster v4: 1 owner, 1 camera, 1 viewer, 1 recovery kit")
	ana.ends(0)
	live.awaitRoster(4)
	changed := time.Now()
	m.must("ben", m.server("roster", "show")...)
	m.wantOpens("ben", "door", false)
	m.wantOpens("ana", "door", true)

	ana = m.at("ana", m.server("keys", "recover", "--verify", "--stream", "door")...)
	ana.sees("14 groups on one line: ")
	ana.types(strings.Join(kit[:13], " "))
	ana.sees("a letter is wrong or missing; look again")
	ana.types(strings.Join(kit, " "))
	ana.sees("door: the kit opens the newest fragment, of ")
	ana.sees("signed by Front door")
	ana.ends(0)

	// Kit, who is nobody's, sees the last minute by a line that Ana sends.
	time.Sleep(time.Until(changed.Add(2 * time.Second))) // the second before, where it ends, is under roster 4 too
	m.write("link", m.must("ana", m.server("grant", "--stream", "door", "--from", "-1m", "--until", "-1s", "--guest")...))
	out, errs, code := m.run("nobody", m.server("view", "--grant", m.path("link"), "--output", m.path("clip.mkv"))...)
	if code != 0 || !strings.Contains(errs, `confirmed: signed by "Front door"`) || !strings.Contains(errs, "1 grant of") {
		t.Errorf("the guest: status %d\n%s%s", code, out, errs)
	}
	if clip, err := os.ReadFile(m.path("clip.mkv")); err != nil || !strings.Contains(string(clip), "a picture") {
		t.Errorf("the guest's clip: %v", err)
	}
	_, errs, code = m.run("ana", m.server("grant", "--stream", "door", "--from", "-1m", "--until", "-1s", "--to", "Ben's phone")...)
	if code != 4 || !strings.Contains(errs, "nobody of that name is on the roster") {
		t.Errorf("a grant for who was removed: status %d\n%s", code, errs)
	}

	// Every device is lost but the camera: the paper on a new machine.
	lost := m.at("new", m.server("keys", "recover", "--name", "new-laptop")...)
	lost.sees("14 groups on one line: ")
	lost.types(strings.Join(kit, "-"))
	lost.sees("Type the roster's line from the paper: ")
	lost.types(pin)
	lost.sees("door: opened from ")
	lost.ends(0)
	m.wantOpens("new", "door", true)
	live.stop()
}

func TestWrongDigitsAtTheTerminals(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.found()
	ben := m.at("ben", m.server("pair", "--name", "Ben's phone", "--digits")...)
	ben.sees("asking as ")
	ana := m.at("ana", m.server("pair", "admit")...)
	ana.sees("press Enter if you will type digits: ")
	ana.types("")
	ana.sees("Type the 7 digits it shows: ")
	ben.sees("Does it? [yes, continue / no, stop]: ")
	ana.types("123 4567")
	const words = "The digits do not match. Somebody may be between the two devices, or a digit was misread. Nothing was added."
	ana.sees(words)
	ana.sees("if it happens again, use the square code, on another network")
	ana.ends(7)
	ben.types("no")
	ben.sees(words)
	ben.ends(7)
	if out := m.must("ana", m.server("roster", "show")...); strings.Contains(out, "Ben") {
		t.Errorf("Ben is on the roster:\n%s", out)
	}
}

func TestSkippingTheKitTakesTheWords(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	if _, errs, code := m.run("ana", m.server("keys", "init", "--no-recovery", "yes")...); code != 2 || !strings.Contains(errs, "lose my footage") {
		t.Errorf("status %d: %s", code, errs)
	}
	ana := m.at("ana", m.server("keys", "init")...)
	ana.sees("group 3: ")
	ana.types("lose my footage")
	ana.sees("household home: roster v1, 1 owner, 0 cameras, 1 viewer, 0 recovery kits")
	ana.ends(0)
	ana = m.at("ana", m.server("roster", "show")...)
	ana.sees("none, on purpose: if every device is lost, so is the footage")
	ana.ends(0)
	_, errs, code := m.run("ana", m.server("keys", "init")...)
	if code != 5 || !strings.Contains(errs, "already") {
		t.Errorf("a second household in the folder: status %d: %s", code, errs)
	}
}

func TestPairingThatIsGivenUpChangesNothing(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.found()
	camera := m.at("camera", m.server("camera", "pair")...)
	camera.sees("(Ctrl-C cancels; nothing has been changed)")
	camera.interrupts()
	camera.ends(130)
	if out := m.must("camera", "keys", "show"); !strings.Contains(out, "not paired yet") {
		t.Errorf("%s", out)
	}
	m.admitCamera() // in the same folder, with the same key
}
