// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/obscura-video/obscura/e2ee"
)

// The files of a device's folder that say how its keys are protected, and the key of a store that a file protects.
const (
	protectionFile = "protection"
	unlockFile     = "unlock"
	storeHeader    = "store.head" // a byte for its version, then the salt
	storeSalt      = 16
)

// Relax has a device's folder that a passphrase protects open as a camera's does, by a file in it: the passphrase costs a
// fifth of a second of computing in each command that follows, and what they are tested for is something else. In a full
// run it does nothing, and each command takes the passphrase.
func Relax(dir, passphrase string) error {
	if Full() {
		return nil
	}
	head, err := os.ReadFile(filepath.Join(dir, storeHeader))
	if err != nil {
		return err
	}
	if len(head) < 1+storeSalt {
		return fmt.Errorf("rig: the header of %s is too short", dir)
	}
	key, err := e2ee.Passphrase([]byte(passphrase)).StoreKey(head[1 : 1+storeSalt])
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, unlockFile), key, 0o600),
		os.WriteFile(filepath.Join(dir, protectionFile), []byte("file\n"), 0o600),
	)
}

// Protector is what opens a device's folder, relaxed or not.
func Protector(dir, passphrase string) e2ee.Protector {
	if _, err := os.Stat(filepath.Join(dir, unlockFile)); err == nil {
		return e2ee.KeyringProtector(folder(dir), unlockFile)
	}
	return e2ee.Passphrase([]byte(passphrase))
}

// folder is the keyring of a device that a file protects.
type folder string

// Get returns the key, or an error that wraps fs.ErrNotExist.
func (f folder) Get(name string) ([]byte, error) { return os.ReadFile(filepath.Join(string(f), name)) }

// Set refuses, for the program has made the key.
func (folder) Set(string, []byte) error { return errors.New("rig: the program makes the key") }
