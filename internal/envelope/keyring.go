// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/seal"
)

const (
	// MaxPlaintext is how long a plaintext data key is kept.
	MaxPlaintext = 5 * time.Minute
	// RotateAfter is the age from which a data key is given to no new fragment; what
	// remains until MaxPlaintext is for the fragment that is being written.
	RotateAfter = 4 * time.Minute
	// Recheck is how old a decision may be at most when a frame is sealed or opened.
	Recheck = 200 * time.Millisecond
	// maxCached bounds the number of plaintext keys kept for readers.
	maxCached = 4096
)

var (
	// ErrShredded says that the wrapped data key is gone: what was sealed under it
	// cannot be read by anybody any more.
	ErrShredded = errors.New("envelope: data key was deleted")
	// ErrClosed says that the Keyring was closed.
	ErrClosed = errors.New("envelope: closed")
)

// Scope says whose data a key protects.
type Scope struct {
	// Name is the owner of the data keys in the store, unique for ever: never the name
	// of something that can be deleted and made again. At most 1 kB.
	Name string
	// KMSKey is the ID, ARN or alias that new data keys are made under.
	KMSKey string
	// Context is the encryption context of every data key. It must not be changed.
	Context map[string]string
}

// Keyring makes, finds and forgets data keys. It may be used concurrently.
type Keyring struct {
	db  meta.DB
	kms KeyService
	now func() time.Time

	mu      sync.Mutex // guards the fields below
	closed  bool
	writing map[string]*plainKey   // newest data key of each scope
	reading map[cacheKey]*plainKey // by who unwrapped it
	making  map[string]*sync.Mutex // one GenerateDataKey at a time for each scope
	timers  map[*plainKey]*time.Timer
}

// cacheKey keeps what one principal unwrapped apart from what another one did.
type cacheKey struct {
	scope, principal string
	ordinal          uint64
}

// plainKey is a data key in memory.
type plainKey struct {
	*seal.Key
	ordinal   uint64
	kmsKey    string // ARN
	principal string // who had it made or unwrapped
	made      time.Time
}

// New returns a Keyring that stores wrapped keys in db. now may be nil; Close it after use.
func New(db meta.DB, kms KeyService, now func() time.Time) *Keyring {
	if now == nil {
		now = time.Now
	}
	return &Keyring{
		db: db, kms: kms, now: now,
		writing: map[string]*plainKey{},
		reading: map[cacheKey]*plainKey{},
		making:  map[string]*sync.Mutex{},
		timers:  map[*plainKey]*time.Timer{},
	}
}

// Close destroys every plaintext key. Sealers and Openers fail from then on.
func (k *Keyring) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for key := range k.timers {
		k.forget(key)
	}
	clear(k.writing)
	clear(k.reading)
}

// Sealer returns a Sealer for one fragment of s: with the scope's newest data key if
// the caller of ctx had it made less than RotateAfter ago, otherwise with a new one.
// The Sealer goes on to decide for that caller, so ctx must outlive it.
//
// Errors: those of the KeyService; ErrClosed; the store's.
func (k *Keyring) Sealer(ctx context.Context, s Scope) (*Sealer, error) {
	lock := k.maker(s.Name)
	lock.Lock()
	defer lock.Unlock()
	who := principal(ctx)
	key := k.current(s.Name, who)
	if key != nil {
		if err := k.kms.Authorize(ctx, OpGenerateDataKey, key.kmsKey, s.Context); err != nil {
			return nil, fmt.Errorf("envelope: seal: %w", err)
		}
	} else {
		var err error
		if key, err = k.generate(ctx, s, who); err != nil {
			return nil, err
		}
	}
	return &Sealer{ring: k, ctx: ctx, scope: s, key: key, gate: gate{checked: k.now()}}, nil
}

// maker returns the lock under which data keys of a scope are made.
func (k *Keyring) maker(scope string) *sync.Mutex {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.making[scope]
	if m == nil {
		m = new(sync.Mutex)
		k.making[scope] = m
	}
	return m
}

// current returns the scope's newest key if the principal may go on with it. Another
// principal gets a new one, so that ordinals never descend from fragment to fragment:
// Retire depends on that.
func (k *Keyring) current(scope, who string) *plainKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := k.writing[scope]
	if key == nil || key.principal != who || k.now().Sub(key.made) >= RotateAfter {
		return nil
	}
	return key
}

// generate makes a data key and stores its wrapped form before it is used.
func (k *Keyring) generate(ctx context.Context, s Scope, who string) (*plainKey, error) {
	data, err := k.kms.GenerateDataKey(ctx, s.KMSKey, s.Context)
	if err != nil {
		return nil, fmt.Errorf("envelope: generate data key: %w", err)
	}
	defer clear(data.Plaintext)
	made := k.now()
	ordinal, err := k.store(ctx, s.Name, row{KMSKey: data.KeyARN, Wrapped: data.Ciphertext, Created: made.UnixMilli()})
	if err != nil {
		return nil, fmt.Errorf("envelope: store data key: %w", err)
	}
	key, err := seal.NewKey(data.Plaintext)
	if err != nil {
		return nil, fmt.Errorf("envelope: data key: %w", err)
	}
	p := &plainKey{Key: key, ordinal: ordinal, kmsKey: data.KeyARN, principal: who, made: made}
	if err := k.keep(p, func() { k.writing[s.Name] = p }, func() {
		if k.writing[s.Name] == p {
			delete(k.writing, s.Name)
			delete(k.making, s.Name)
		}
	}); err != nil {
		return nil, err
	}
	return p, nil
}

// keep starts the clock of a key; add and remove run under mu.
func (k *Keyring) keep(p *plainKey, add, remove func()) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		p.Destroy()
		return ErrClosed
	}
	add()
	k.timers[p] = time.AfterFunc(MaxPlaintext, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		remove()
		k.forget(p)
	})
	return nil
}

// forget destroys a key. mu is held.
func (k *Keyring) forget(p *plainKey) {
	p.Destroy()
	if t := k.timers[p]; t != nil {
		t.Stop()
		delete(k.timers, p)
	}
}

// open returns the plaintext of a wrapped key for the caller of ctx, who is authorised
// by this very call: by Decrypt, or by Authorize when the plaintext is still there.
func (k *Keyring) open(ctx context.Context, s Scope, ordinal uint64) (*plainKey, error) {
	id := cacheKey{scope: s.Name, principal: principal(ctx), ordinal: ordinal}
	k.mu.Lock()
	key, closed := k.reading[id], k.closed
	k.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if key != nil {
		if err := k.kms.Authorize(ctx, OpDecrypt, key.kmsKey, s.Context); err != nil {
			return nil, fmt.Errorf("envelope: open: %w", err)
		}
		return key, nil
	}
	return k.unwrap(ctx, s, id)
}

func (k *Keyring) unwrap(ctx context.Context, s Scope, id cacheKey) (*plainKey, error) {
	r, err := k.load(ctx, s.Name, id.ordinal)
	if err != nil {
		return nil, err
	}
	plaintext, err := k.kms.Decrypt(ctx, r.KMSKey, r.Wrapped, s.Context)
	if err != nil {
		return nil, fmt.Errorf("envelope: decrypt data key: %w", err)
	}
	defer clear(plaintext)
	key, err := seal.NewKey(plaintext)
	if err != nil {
		return nil, fmt.Errorf("envelope: data key: %w", err)
	}
	p := &plainKey{Key: key, ordinal: id.ordinal, kmsKey: r.KMSKey, principal: id.principal, made: k.now()}
	return p, k.keep(p, func() { k.cache(id, p) }, func() {
		if k.reading[id] == p {
			delete(k.reading, id)
		}
	})
}

// cache makes room for one key by dropping any other. mu is held. Whoever still uses
// the dropped one unwraps it anew.
func (k *Keyring) cache(id cacheKey, p *plainKey) {
	for other, q := range k.reading {
		if len(k.reading) < maxCached {
			break
		}
		delete(k.reading, other)
		k.forget(q)
	}
	k.reading[id] = p
}

// Reader returns what opens the data of s for the caller of a context. It decides at
// each use and can be kept for as long as a connection lasts.
func (k *Keyring) Reader(s Scope) *Reader { return &Reader{ring: k, scope: s} }

// Reader is a journal.Keyring for one scope. It may be used concurrently.
type Reader struct {
	ring  *Keyring
	scope Scope
}

var _ journal.Keyring = (*Reader)(nil)

// Opener implements journal.Keyring; it is Open.
func (r *Reader) Opener(ctx context.Context, keyID string) (journal.Opener, error) {
	return r.Open(ctx, keyID)
}

// Open returns an Opener for what the data key has sealed. It decides for the caller of
// ctx, and so does the Opener as long as it is used.
//
// Errors: those of the KeyService; ErrShredded; ErrClosed; the store's.
func (r *Reader) Open(ctx context.Context, keyID string) (*Opener, error) {
	ordinal, err := parseKeyID(keyID)
	if err != nil {
		return nil, err
	}
	key, err := r.ring.open(ctx, r.scope, ordinal)
	if err != nil {
		return nil, err
	}
	return &Opener{ring: r.ring, ctx: ctx, scope: r.scope, key: key, gate: gate{checked: r.ring.now()}}, nil
}

// Shred deletes all data keys of a scope: what they sealed cannot be read any more. nil
// means that the deletion is durable.
func (k *Keyring) Shred(ctx context.Context, scope string) error {
	prefix := meta.Key(space, scope)
	err := k.db.Update(ctx, func(tx meta.Tx) error {
		tx.DeleteRange(prefix, meta.PrefixEnd(prefix))
		return nil
	})
	if err != nil {
		return fmt.Errorf("envelope: shred: %w", err)
	}
	k.drop(scope)
	return nil
}

// drop destroys the plaintexts of a scope.
func (k *Keyring) drop(scope string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.writing[scope]; p != nil {
		k.forget(p)
		delete(k.writing, scope)
	}
	delete(k.making, scope)
	for id, p := range k.reading {
		if id.scope == scope {
			k.forget(p)
			delete(k.reading, id)
		}
	}
}

// principal names the caller of ctx as far as a cached plaintext is concerned.
func principal(ctx context.Context) string {
	call, ok := access.FromContext(ctx)
	if !ok {
		return ""
	}
	p := &call.Principal
	return p.ARN + "\x00" + p.UniqueID + "\x00" + p.AccessKeyID
}
