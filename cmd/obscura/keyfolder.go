// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"github.com/zalando/go-keyring"
	"golang.org/x/term"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

// keyFolder is where a device's end-to-end keys are, and how they are unsealed.
type keyFolder struct {
	dir            string
	passphraseFile string
	passphraseFD   int
	keyring        bool
}

func (k *keyFolder) addFlags(f *pflag.FlagSet) {
	f.StringVar(&k.dir, "keys", "", "folder of this device's end-to-end keys (default: in the user's configuration)")
	f.StringVar(&k.passphraseFile, "passphrase-file", "", "file with the passphrase of that folder; - for standard input (default: ask on the terminal)")
	f.IntVar(&k.passphraseFD, "passphrase-fd", -1, "file descriptor to read that passphrase from, up to the end of the line")
}

// addNewFlags adds addFlags and what only a new folder needs.
func (k *keyFolder) addNewFlags(f *pflag.FlagSet) {
	k.addFlags(f)
	f.BoolVar(&k.keyring, "keyring", false, "let the operating system's keyring protect a new folder, instead of a passphrase")
}

// How a folder is protected. The file says which, so that nobody has to remember; it decides nothing.
const (
	protectionFile = "protection"
	unlockFile     = "unlock"

	byPassphrase = "passphrase"
	byKeyring    = "keyring"
	byFile       = "file" // its key lies beside it: the file system's permissions are all there is
)

// line is a command line to paste that goes on with the same keys.
func (k *keyFolder) line(t *terminal, command string) string {
	if k.dir != "" {
		command += " --keys " + shellQuote(k.dir)
	}
	return t.pasteable(command)
}

// path is the folder, absolute.
func (k *keyFolder) path() (string, error) {
	dir := k.dir
	if dir == "" {
		config, err := os.UserConfigDir()
		if err != nil {
			return "", &problem{What: "no place for keys", Why: err.Error(), Next: "name a folder with --keys DIR", Exit: exitFailed, Err: err}
		}
		dir = filepath.Join(config, "obscura", "keys")
	}
	return filepath.Abs(dir)
}

// exists reports whether there is a device in the folder.
func (k *keyFolder) exists() bool {
	dir, err := k.path()
	return err == nil && household.Exists(dir)
}

// open unseals the device of the folder.
func (k *keyFolder) open(t *terminal) (*household.Device, error) {
	dir, err := k.path()
	if err != nil {
		return nil, err
	}
	kind, err := os.ReadFile(filepath.Join(dir, protectionFile))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !household.Exists(dir) {
		return nil, &problem{
			What: "this device has no end-to-end keys", Why: "there is nothing in " + dir, Exit: exitNoKey, Err: household.ErrNoDevice,
			Next: "obscura pair    (or obscura keys init, on the first device of a household; or name a folder with --keys)",
		}
	}
	if err != nil {
		return nil, err
	}
	by := strings.TrimSpace(string(kind))
	d, err := household.Open(dir, k.protector(t, by, dir, false))
	return d, explainLocked(dir, by, explainFolder(dir, err))
}

// create makes a device. A camera starts by itself, so its keys are protected by the file system unless asked otherwise.
func (k *keyFolder) create(t *terminal, what household.Kind) (*household.Device, error) {
	kind := byPassphrase
	switch {
	case k.keyring:
		kind = byKeyring
	case what.Producer && k.passphraseFile == "" && k.passphraseFD < 0:
		kind = byFile
	}
	return k.createBy(t, kind, what)
}

// createBy makes a device with a kind of protection.
func (k *keyFolder) createBy(t *terminal, kind string, what household.Kind) (*household.Device, error) {
	dir, err := k.path()
	if err != nil {
		return nil, err
	}
	if household.Exists(dir) {
		return nil, explainFolder(dir, household.ErrDevice)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p := k.protector(t, kind, dir, true)
	if asked, ok := p.(*askedPassphrase); ok { // before anything is written
		if err := asked.askOnce(); err != nil {
			return nil, explainFolder(dir, err)
		}
	}
	if err := writeDurably(filepath.Join(dir, protectionFile), []byte(kind+"\n"), 0o600); err != nil {
		return nil, err
	}
	d, err := household.Create(dir, p, what)
	return d, explainFolder(dir, err)
}

// protector is what unseals a folder of a kind of protection; anew for one that is to be made.
func (k *keyFolder) protector(t *terminal, kind, dir string, anew bool) e2ee.Protector {
	switch kind {
	case byKeyring:
		return e2ee.KeyringProtector(systemKeyring{}, dir)
	case byFile:
		return e2ee.KeyringProtector(fileKeyring{dir}, unlockFile)
	default:
		return &askedPassphrase{ask: func() ([]byte, error) { return k.passphrase(t, dir, anew) }}
	}
}

// passphrase reads the passphrase from wherever it is.
func (k *keyFolder) passphrase(t *terminal, dir string, anew bool) ([]byte, error) {
	switch {
	case k.passphraseFile == "-":
		return readSecret(t.in)
	case k.passphraseFile != "":
		f, err := os.Open(k.passphraseFile)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readSecret(f)
	case k.passphraseFD >= 0:
		return readSecret(t.descriptor(k.passphraseFD))
	case !term.IsTerminal(int(t.in.Fd())):
		return nil, usageError{errors.New("there is no terminal to ask for the passphrase on: give --passphrase-file or --passphrase-fd")}
	}
	return t.askSecret("passphrase of "+dir, anew)
}

// askedPassphrase asks once, however often the key is needed.
type askedPassphrase struct {
	ask   func() ([]byte, error)
	asked []byte
}

// StoreKey derives the store's key from the passphrase.
func (p *askedPassphrase) StoreKey(salt []byte) ([]byte, error) {
	if err := p.askOnce(); err != nil {
		return nil, err
	}
	return e2ee.Passphrase(p.asked).StoreKey(salt)
}

// askOnce asks for the passphrase where it was not asked for yet.
func (p *askedPassphrase) askOnce() error {
	if p.asked != nil {
		return nil
	}
	b, err := p.ask()
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return usageError{errors.New("the passphrase is empty")}
	}
	p.asked = b
	return nil
}

const keyringService = "obscura"

// systemKeyring is the operating system's: Secret Service, Keychain or the Credential Manager.
type systemKeyring struct{}

// Get returns a value, or an error that wraps fs.ErrNotExist.
func (systemKeyring) Get(name string) ([]byte, error) {
	s, err := keyring.Get(keyringService, name)
	if errors.Is(err, keyring.ErrNotFound) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(s)
}

// Set stores a value.
func (systemKeyring) Set(name string, value []byte) error {
	return keyring.Set(keyringService, name, base64.StdEncoding.EncodeToString(value))
}

// fileKeyring keeps a store's key in a file beside the store.
type fileKeyring struct{ dir string }

// Get returns the key, or an error that wraps fs.ErrNotExist.
func (r fileKeyring) Get(name string) ([]byte, error) { return os.ReadFile(filepath.Join(r.dir, name)) }

// Set stores the key durably, mode 0600.
func (r fileKeyring) Set(name string, value []byte) error {
	return writeDurably(filepath.Join(r.dir, name), value, 0o600)
}

// explainFolder turns what is wrong with a key folder into what a person can do about it; nil stays nil.
func explainFolder(dir string, err error) error {
	var usage usageError
	if err == nil || errors.As(err, &usage) {
		return err
	}
	p := &problem{What: "cannot open the keys in " + dir, Why: err.Error(), Exit: exitFailed, Err: err}
	switch {
	case errors.Is(err, e2ee.ErrPassphrase):
		p.Why, p.Exit, p.Code = "the passphrase is wrong", exitNoKey, e2ee.ErrPassphrase.String()
	case errors.Is(err, household.ErrDevice):
		p.What, p.Why, p.Exit = "there are end-to-end keys in "+dir+" already", "nothing was touched", exitConflict
		p.Next = "obscura keys show    (or name another folder with --keys)"
	case errors.Is(err, household.ErrBusy):
		p.Exit, p.Next = exitConflict, "wait until the other command has ended"
	case errors.Is(err, e2ee.ErrMisuse):
		p.Exit, p.Next = exitRefused, "chmod 700 "+shellQuote(dir)
	case errors.Is(err, fs.ErrPermission):
		p.Exit = exitRefused
	}
	return p
}

// explainLocked names who is to blame when what protects a folder does not open it.
func explainLocked(dir, by string, err error) error {
	var p *problem
	if !errors.As(err, &p) || p.Code != e2ee.ErrPassphrase.String() {
		return err
	}
	switch by {
	case byKeyring:
		p.Why = "this system's keyring has another key for it"
		p.Next = "open it where it was made: keys that a keyring protects cannot be moved by copying"
	case byFile:
		p.Why = filepath.Join(dir, unlockFile) + " is not this folder's, or a file in it was changed"
	}
	return p
}

// householdName is the name of a household's box when nobody says otherwise.
const householdName = "home"

// deviceName is what this machine calls itself when nobody says otherwise.
func deviceName() string {
	host, err := os.Hostname()
	if err != nil {
		return "device"
	}
	return cmp.Or(strings.SplitN(host, ".", 2)[0], "device")
}
