// SPDX-License-Identifier: Apache-2.0

package household

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// Errors of a folder.
var (
	// ErrNoDevice says that a folder holds no device.
	ErrNoDevice = errors.New("household: no keys here")
	// ErrDevice says that a folder holds a device already. Nothing in it was touched.
	ErrDevice = errors.New("household: there are keys here already")
	// ErrNotPaired says that the device has not pinned a roster yet.
	ErrNotPaired = errors.New("household: this device is not paired")
	// ErrNotOwner says that this device's owner key is not in the roster in force, or that it has none.
	ErrNotOwner = errors.New("household: this device is not an owner")
	// ErrRole says that the device has no key for what was asked of it: a camera cannot watch, a viewer cannot send.
	ErrRole = errors.New("household: not what this device is for")
	// ErrBusy says that another process has held the folder's lock for too long.
	ErrBusy = errors.New("household: the key folder is in use by another process")
	// ErrReplaced says that the folder's device was paired anew by another process: open the folder again.
	ErrReplaced = errors.New("household: this device was paired anew meanwhile")
)

// Names of values in the key store.
const (
	valueState    = "device"
	valueTrust    = "trust"
	valueOwner    = "owner"
	valueConsumer = "consumer"
	valueProducer = "producer"

	stateVersion = 1
)

// Device is a device on the roster, or one that wants to be. It is safe for concurrent use, and its folder may be open in other
// processes.
type Device struct {
	dir   string
	store *e2ee.KeyStore
	now   func() time.Time
	guest bool // of a link, for as long as the process lives

	mu       sync.Mutex // guards what follows; the folder's lock is taken while it is held
	state    state
	owner    *e2ee.Identity
	consumer *e2ee.Identity
	producer *e2ee.Identity
	keys     []*e2ee.KEMKey // newest first
	trust    *e2ee.Trust    // nil before a roster is pinned
	onDisk   []byte         // the stored Trust, as this process last read or wrote it
	posted   uint32         // see Posted
}

// state is what the folder says of its device. It is sealed like everything else there.
type state struct {
	Version   int     `json:"version"`
	Paired    string  `json:"paired,omitempty"` // random; another one with each roster that is pinned
	Name      string  `json:"name"`             // for people
	Household string  `json:"household"`        // the box in the mailbox
	Server    string  `json:"server,omitempty"` // where the device was paired, for people
	Owner     bool    `json:"owner,omitempty"`
	OwnerKey  uint32  `json:"ownerKey,omitempty"` // how often it was replaced
	Consumer  bool    `json:"consumer,omitempty"`
	Producer  bool    `json:"producer,omitempty"`
	Keys      []kem   `json:"keys,omitempty"` // newest first
	Number    uint32  `json:"number,omitempty"`
	Cert      []byte  `json:"certificate,omitempty"` // the newest
	CertFrom  int64   `json:"certificateFrom,omitempty"`
	Kit       *kitRef `json:"kit,omitempty"` // a recovery kit that was proven at this device
	// Verified says how and when this owner's device came to trust others, by fingerprint.
	Verified map[string]Verified `json:"verified,omitempty"`
}

// kem names a key-encapsulation key in the store.
type kem struct {
	Number uint32 `json:"number"`
	Made   int64  `json:"made"` // ms since 1970
}

type kitRef struct {
	Fingerprint string `json:"fingerprint"`
	Tried       int64  `json:"tried"` // ms since 1970
}

// Verified says how an owner's device came to trust another device.
type Verified struct {
	How string    `json:"how"` // code, digits, or request
	At  time.Time `json:"at"`
}

func (k kem) value() string { return fmt.Sprintf("kem-%010d", k.Number) }

// Open opens the device in a folder. Its keys are unsealed into memory until the process ends.
//
// Errors: ErrNoDevice; e2ee.ErrPassphrase; e2ee.ErrMisuse when others may read the folder.
func Open(dir string, p e2ee.Protector) (*Device, error) {
	if !Exists(dir) {
		return nil, fmt.Errorf("%w: %s", ErrNoDevice, dir)
	}
	store, err := e2ee.OpenKeyStore(dir, p)
	if err != nil {
		return nil, err
	}
	d := &Device{dir: dir, store: store, now: time.Now}
	if err := d.load(); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoDevice, dir)
	} else if err != nil {
		return nil, err
	}
	if _, err := store.Load(valueNextOwner); err == nil {
		return d, d.change(d.adoptNextOwner)
	}
	return d, nil
}

// Exists reports whether a folder holds a device, by looking at file names only.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, valueState+".key"))
	return err == nil
}

// Kind is what a new device is to be.
type Kind struct {
	Name      string // suggested to the owner, at most 64 bytes
	Household string // the box in the mailbox
	Server    string // host:port, for people
	Owner     bool
	Consumer  bool
	Producer  bool
}

// Create makes a device with keys of its own in a folder that has none. It is on no roster yet: Join or Found.
// The device is durable when Create returns.
//
// Errors: ErrDevice; ErrRole when a device would be both camera and viewer, or nothing; those of e2ee.OpenKeyStore.
func Create(dir string, p e2ee.Protector, k Kind) (*Device, error) {
	if k.Producer == (k.Owner || k.Consumer) {
		return nil, fmt.Errorf("%w: a device is a camera, or its owner's or viewer's", ErrRole)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("household: %w", err)
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if Exists(dir) {
		return nil, fmt.Errorf("%w: %s", ErrDevice, dir)
	}
	store, err := e2ee.OpenKeyStore(dir, p)
	if err != nil {
		return nil, err
	}
	d := &Device{dir: dir, store: store, now: time.Now}
	d.state = state{
		Version: stateVersion, Name: k.Name, Household: k.Household, Server: k.Server,
		Owner: k.Owner, Consumer: k.Consumer, Producer: k.Producer,
	}
	if err := d.makeKeys(); err != nil {
		return nil, err
	}
	return d, d.load()
}

// makeKeys stores the seeds that the state names, then the state, without which they are nothing.
func (d *Device) makeKeys() error {
	if d.state.Consumer {
		k := kem{Number: 1, Made: d.now().UnixMilli()}
		if err := d.store.Save(k.value(), e2ee.NewSeed()); err != nil {
			return err
		}
		d.state.Keys = []kem{k}
	}
	for _, r := range d.state.roles() {
		if err := d.store.Save(r.value, e2ee.NewSeed()); err != nil {
			return err
		}
	}
	return d.saveState()
}

// identityRole is a signing key that a device has.
type identityRole struct {
	role  e2ee.Role
	value string
	has   bool
}

// roles are the device's identities, by the names that their seeds have in the store.
func (s *state) roles() (has []identityRole) {
	for _, r := range []identityRole{
		{e2ee.RoleOwner, valueOwner, s.Owner}, {e2ee.RoleConsumer, valueConsumer, s.Consumer}, {e2ee.RoleProducer, valueProducer, s.Producer},
	} {
		if r.has {
			has = append(has, r)
		}
	}
	return has
}

func (d *Device) saveState() error {
	b, err := json.Marshal(&d.state)
	if err != nil {
		return err
	}
	return d.store.Save(valueState, b)
}

// load reads the device from its folder.
func (d *Device) load() error {
	if err := d.loadState(); err != nil {
		return err
	}
	if err := d.loadIdentities(); err != nil {
		return err
	}
	if err := d.loadKeys(); err != nil {
		return err
	}
	return d.loadTrust()
}

func (d *Device) loadIdentities() error {
	for _, r := range d.state.roles() {
		if *d.identity(r.role) != nil && r.role != e2ee.RoleOwner {
			continue // an owner's key alone is ever replaced
		}
		seed, err := d.store.Load(r.value)
		if err != nil {
			return err
		}
		id, err := e2ee.IdentityFromSeed(r.role, seed)
		clear(seed)
		if err != nil {
			return err
		}
		*d.identity(r.role) = id
	}
	return nil
}

// identity is where the identity of a role is kept.
func (d *Device) identity(r e2ee.Role) **e2ee.Identity {
	switch r {
	case e2ee.RoleOwner:
		return &d.owner
	case e2ee.RoleConsumer:
		return &d.consumer
	default:
		return &d.producer
	}
}

func (d *Device) loadState() error {
	b, err := d.store.Load(valueState)
	if err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("household: %s: %w", d.dir, err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("household: %s is of version %d, which this program does not know", d.dir, s.Version)
	}
	d.state = s
	return nil
}

// loadKeys takes the key-encapsulation keys that the state names, newest first.
func (d *Device) loadKeys() error {
	d.keys = nil
	for _, k := range d.state.Keys {
		seed, err := d.store.Load(k.value())
		if err != nil {
			return err
		}
		key, err := e2ee.NewKEMKey(seed)
		clear(seed)
		if err != nil {
			return err
		}
		d.keys = append(d.keys, key)
	}
	return nil
}

func (d *Device) loadTrust() error {
	b, err := d.store.Load(valueTrust)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	t, err := e2ee.LoadTrust(b, d.self(), d.saveTrust)
	if err != nil {
		return err
	}
	d.trust, d.onDisk = t, b
	return nil
}

// saveTrust is what the Trust saves itself by; it is only ever called under the folder's lock, from within locked.
func (d *Device) saveTrust(b []byte) error {
	if err := d.store.Save(valueTrust, b); err != nil {
		return err
	}
	d.onDisk = bytes.Clone(b)
	return nil
}

// self is the identity that the device is known by on the roster: who is sealed for, or who seals.
func (d *Device) self() e2ee.Fingerprint {
	if d.guest {
		return d.keys[0].Fingerprint()
	}
	for _, id := range []*e2ee.Identity{d.consumer, d.producer, d.owner} {
		if id != nil {
			return id.Fingerprint()
		}
	}
	return e2ee.Fingerprint{}
}

// Name is what the device calls itself.
func (d *Device) Name() string { d.mu.Lock(); defer d.mu.Unlock(); return d.state.Name }

// Household is the name of the device's box in the mailbox.
func (d *Device) Household() string { d.mu.Lock(); defer d.mu.Unlock(); return d.state.Household }

// Server is where the device was paired, host:port; for people.
func (d *Device) Server() string { d.mu.Lock(); defer d.mu.Unlock(); return d.state.Server }

// Fingerprint names the device as a camera or viewer.
func (d *Device) Fingerprint() e2ee.Fingerprint { return d.self() }

// Identity returns the device's identity in a role, or nil. Its signer is this device's: it does not leave the process.
func (d *Device) Identity(r e2ee.Role) *e2ee.Identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *d.identity(r)
}

// Keys are the device's key-encapsulation keys, newest first. A camera has none.
func (d *Device) Keys() []*e2ee.KEMKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*e2ee.KEMKey(nil), d.keys...)
}

// Trust returns the device's view of the roster, which goes on by itself while Sync and Follow run; nil before the device is
// paired. The caller only reads it: what changes it goes through the Device.
func (d *Device) Trust() *e2ee.Trust { d.mu.Lock(); defer d.mu.Unlock(); return d.trust }

// Roster returns the roster in force. Errors: ErrNotPaired.
func (d *Device) Roster() (*e2ee.Roster, error) {
	t := d.Trust()
	if t == nil {
		return nil, ErrNotPaired
	}
	r, _ := t.Roster()
	return r, nil
}

// Admitted returns the device's own entry in the roster in force, and whether there is one.
func (d *Device) Admitted() (e2ee.Member, bool) {
	r, err := d.Roster()
	if err != nil {
		return e2ee.Member{}, false
	}
	return MemberOf(r, d.self())
}

// MemberOf finds a member of a roster by its fingerprint.
func MemberOf(r *e2ee.Roster, fp e2ee.Fingerprint) (e2ee.Member, bool) {
	for _, m := range r.Members {
		if m.Fingerprint() == fp {
			return m, true
		}
	}
	return e2ee.Member{}, false
}
