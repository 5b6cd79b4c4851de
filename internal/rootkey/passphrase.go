// SPDX-License-Identifier: Apache-2.0

package rootkey

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/crypto/argon2"

	"github.com/obscura-video/obscura/internal/seal"
)

// Argon2id's parameters for new files: RFC 9106, section 4, second recommended option, with its memory and passes.
// Bounds are for what a file asks for: it may come from elsewhere.
const (
	argonPasses    = 3
	argonMemoryKiB = 64 << 10
	argonLanes     = 4
	saltBytes      = 16

	maxArgonPasses    = 64
	maxArgonMemoryKiB = 4 << 20
	minArgonMemoryKiB = 8 << 10
	maxArgonLanes     = 64
)

// Names of the parameters in the file.
const (
	paramSalt   = "salt" // base64
	paramPasses = "passes"
	paramMemory = "memory-kib"
	paramLanes  = "lanes"
)

// passphrase seals by XAES-256-GCM under a key that Argon2id derives from a passphrase.
type passphrase struct {
	key *seal.Key
}

func newPassphrase(_ context.Context, params map[string]string, o *Options, create bool) (guard, error) {
	if create {
		salt := make([]byte, saltBytes)
		rand.Read(salt) // never fails
		params[paramSalt] = base64.StdEncoding.EncodeToString(salt)
		for name, value := range map[string]int{paramPasses: argonPasses, paramMemory: argonMemoryKiB, paramLanes: argonLanes} {
			if params[name] == "" {
				params[name] = strconv.Itoa(value)
			}
		}
	}
	salt, passes, memory, lanes, err := argonParams(params)
	if err != nil {
		return nil, err
	}
	if o.Ask == nil {
		return nil, fmt.Errorf("%w: it needs a passphrase", ErrLocked)
	}
	words, err := o.Ask("Passphrase of the root key", create)
	if err != nil {
		return nil, fmt.Errorf("%w: passphrase: %w", ErrLocked, err)
	}
	defer clear(words)
	if len(words) == 0 {
		return nil, fmt.Errorf("%w: the passphrase is empty", ErrLocked)
	}
	raw := argon2.IDKey(words, salt, passes, memory, lanes, seal.KeySize)
	defer clear(raw)
	key, err := seal.NewKey(raw)
	return passphrase{key}, err
}

func argonParams(params map[string]string) (salt []byte, passes, memory uint32, lanes uint8, err error) {
	number := func(name string, least, most uint64) uint64 {
		n, e := strconv.ParseUint(params[name], 10, 32)
		if e != nil || n < least || n > most {
			err = errors.Join(err, fmt.Errorf("%w: passphrase: %s must be %d to %d", ErrProvider, name, least, most))
		}
		return n
	}
	passes = uint32(number(paramPasses, 1, maxArgonPasses))
	memory = uint32(number(paramMemory, minArgonMemoryKiB, maxArgonMemoryKiB))
	lanes = uint8(number(paramLanes, 1, maxArgonLanes))
	salt, e := base64.StdEncoding.DecodeString(params[paramSalt])
	if e != nil || len(salt) < saltBytes {
		err = errors.Join(err, fmt.Errorf("%w: passphrase: no salt", ErrProvider))
	}
	return salt, passes, memory, lanes, err
}

func (p passphrase) seal(_ context.Context, secret, aad []byte) ([]byte, error) {
	return p.key.SealRandom(nil, secret, aad)
}

func (p passphrase) open(_ context.Context, sealed, aad []byte) ([]byte, error) {
	raw, err := p.key.OpenRandom(nil, sealed, aad)
	if err != nil {
		return nil, errors.New("wrong passphrase, or the file was altered")
	}
	return raw, nil
}
