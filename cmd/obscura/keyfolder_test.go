// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/zalando/go-keyring"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// silent is a terminal that nobody sits at.
func silent(t *testing.T) *terminal {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	return newTerminal(null, null, null)
}

// TestFolderRemembersHowItIsProtected: whoever opens a folder need not know, and what opens one does not open another.
func TestFolderRemembersHowItIsProtected(t *testing.T) {
	keyring.MockInit()
	tm, dir := silent(t), t.TempDir()
	passphrase := filepath.Join(dir, "secret")
	if err := os.WriteFile(passphrase, []byte("dark room\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		anew, open keyFolder
		kind       household.Kind
		secret     string // file without which it does not open
	}{
		"keyring":    {anew: keyFolder{keyring: true, passphraseFD: -1}, open: keyFolder{passphraseFD: -1}, kind: household.Kind{Consumer: true}},
		"passphrase": {anew: keyFolder{passphraseFile: passphrase, passphraseFD: -1}, open: keyFolder{passphraseFile: passphrase, passphraseFD: -1}, kind: household.Kind{Consumer: true}},
		"camera":     {anew: keyFolder{passphraseFD: -1}, open: keyFolder{passphraseFD: -1}, kind: household.Kind{Producer: true}, secret: unlockFile},
	} {
		t.Run(name, func(t *testing.T) {
			tt.anew.dir = filepath.Join(dir, name)
			tt.open.dir = tt.anew.dir
			made, err := tt.anew.create(tm, tt.kind)
			if err != nil {
				t.Fatal(err)
			}
			again, err := tt.open.open(tm)
			if err != nil || again.Fingerprint() != made.Fingerprint() {
				t.Fatalf("opened again: %v", err)
			}
			var p *problem
			if _, err := tt.anew.create(tm, tt.kind); !errors.As(err, &p) || p.Exit != exitConflict || !errors.Is(err, household.ErrDevice) {
				t.Errorf("made over another: %v", err)
			}
			if tt.secret != "" {
				if err := os.WriteFile(filepath.Join(tt.open.dir, tt.secret), make([]byte, 32), 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := tt.open.open(tm); !errors.As(err, &p) || p.Exit != exitNoKey || !errors.Is(err, e2ee.ErrPassphrase) {
					t.Errorf("opened with another key: %v", err)
				}
			}
		})
	}
	keyring.MockInit() // another machine
	ring := keyFolder{dir: filepath.Join(dir, "keyring"), passphraseFD: -1}
	if _, err := ring.open(tm); !errors.Is(err, e2ee.ErrPassphrase) {
		t.Errorf("opened without its keyring: %v", err)
	}
	nobody := keyFolder{dir: filepath.Join(dir, "viewer"), passphraseFD: -1}
	var usage usageError
	if _, err := nobody.create(tm, household.Kind{Consumer: true}); !errors.As(err, &usage) {
		t.Errorf("a viewer without a passphrase, and nobody to ask: %v", err)
	}
	if nobody.exists() {
		t.Error("something was left behind")
	}
}
