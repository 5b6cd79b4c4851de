// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// waiver is what a person types who wants no recovery kit.
const waiver = "lose my footage"

// proofGroups are the groups of the kit that a person types back, counted from 1.
var proofGroups = [...]int{3, 7}

// kitPage is what is printed or copied by hand: the kit, and the roster that it belongs to, by which a new device will know it.
func kitPage(kit *e2ee.KEMKey, box, server string, signed []byte) (string, error) {
	r, hash, err := e2ee.ReadRoster(signed)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Recovery kit of household %s at %s\n\n", box, server)
	for i, g := range strings.Split(kit.RecoveryText(), "-") {
		if i%5 == 0 && i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "  %2d %s", i+1, g)
	}
	fmt.Fprintf(&b, "\n\nRoster  %s\n", household.PinText(e2ee.Pin{Version: r.Version, Hash: hash}))
	return b.String(), nil
}

// kitFlags are how a kit is handed over.
type kitFlags struct {
	file   string
	waived string
}

// handOver shows a kit and has it proven. It returns errWaived when the person typed that they want none.
func (k *kitFlags) handOver(ctx context.Context, t *terminal, kit *e2ee.KEMKey, page string) error {
	if k.file != "" {
		return k.writeFile(t, kit, page)
	}
	if !t.canAsk() {
		return errNoKitWay
	}
	t.note("If every device is lost, this paper is the only way to your footage. We cannot help.")
	fmt.Fprintf(t.out, "\n%s\n", page)
	t.note("Now prove it works: type group %d and %d.", proofGroups[0], proofGroups[1])
	if err := proveKit(ctx, t, kit); err != nil {
		return err
	}
	t.note("Kit tried %s. It is still on this screen: clear it when it is on paper.", time.Now().Format("2 Jan 2006"))
	return nil
}

// errNoKitWay says that nobody could be shown a kit.
var errNoKitWay = usageError{errors.New("there is no terminal to show the recovery kit on: give --kit-file FILE, and print and delete that")}

// errWaived says that the person wants no recovery kit.
var errWaived = errors.New("waived")

// proveKit has a person type two groups back.
func proveKit(ctx context.Context, t *terminal, kit *e2ee.KEMKey) error {
	groups := strings.Split(kit.RecoveryText(), "-")
	for _, n := range proofGroups {
		for {
			typed, err := t.ask(ctx, fmt.Sprintf("  group %d: ", n))
			if err != nil {
				return err
			}
			if strings.EqualFold(strings.TrimSpace(typed), waiver) {
				return errWaived
			}
			if readAs(typed) == groups[n-1] {
				break
			}
			t.note("  that is not group %d; look again (or type the words: %s)", n, waiver)
		}
	}
	return nil
}

// readAs reads letters as Crockford's base 32 does.
func readAs(s string) string {
	return strings.NewReplacer(" ", "", "-", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(s))
}

// writeFile leaves the kit in a file that only this user can read, and reads it back.
func (k *kitFlags) writeFile(t *terminal, kit *e2ee.KEMKey, page string) error {
	if _, err := os.Lstat(k.file); err == nil {
		return &problem{What: "cannot write the recovery kit", Why: k.file + " is there already", Next: "name a new file with --kit-file", Exit: exitConflict}
	}
	if err := writeDurably(k.file, []byte(page), 0o600); err != nil {
		return err
	}
	text, err := os.ReadFile(k.file)
	if err != nil {
		return err
	}
	got, _, err := readKitPage(string(text))
	if err != nil {
		return err
	}
	if got.Fingerprint() != kit.Fingerprint() {
		return fmt.Errorf("%s does not hold what was written", k.file)
	}
	t.note("If every device is lost, this paper is the only way to your footage. We cannot help.")
	t.note("the recovery kit is in %s: print it, and delete the file", k.file)
	return nil
}

// readKitPage reads a page that kitPage made, or the kit alone; the pin is empty when it is not there.
func readKitPage(text string) (kit *e2ee.KEMKey, pin string, err error) {
	var groups []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == "Roster" {
			pin = fields[1]
			continue
		}
		if strings.Contains(line, "Recovery kit") {
			continue
		}
		for _, f := range fields {
			if len(f) >= 4 { // not a group's number
				groups = append(groups, f)
			}
		}
	}
	kit, err = e2ee.ParseRecoveryText(strings.Join(groups, ""))
	return kit, pin, err
}
