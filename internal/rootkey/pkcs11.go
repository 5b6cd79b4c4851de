// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package rootkey

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/ThalesGroup/crypto11"
)

// defaultTokenKey is the label of the token's key.
const defaultTokenKey = "obscura-root"

// pkcs11Guard seals with an AES-256 key that never leaves its token, by CKM_AES_GCM.
type pkcs11Guard struct {
	config *crypto11.Config
	label  string
}

// newPKCS11 uses the parameters module (path of the PKCS #11 library), token (its label) and key (the key's label, made
// on the token when it is not there and a root key is made). The user PIN is asked for.
func newPKCS11(_ context.Context, params map[string]string, o *Options, create bool) (guard, error) {
	if params["module"] == "" || params["token"] == "" {
		return nil, fmt.Errorf("%w: pkcs11 needs the options module and token", ErrProvider)
	}
	if params["key"] == "" {
		params["key"] = defaultTokenKey
	}
	if o.Ask == nil {
		return nil, fmt.Errorf("%w: the token needs its PIN", ErrLocked)
	}
	pin, err := o.Ask("PIN of token "+params["token"], false)
	if err != nil {
		return nil, fmt.Errorf("%w: PIN: %w", ErrLocked, err)
	}
	defer clear(pin)
	g := &pkcs11Guard{
		config: &crypto11.Config{Path: params["module"], TokenLabel: params["token"], Pin: string(pin)},
		label:  params["key"],
	}
	if create {
		err = g.with(func(c *crypto11.Context) error { return g.makeKey(c) })
	}
	return g, err
}

// with logs in to the token for the time of do.
func (g *pkcs11Guard) with(do func(*crypto11.Context) error) (err error) {
	c, err := crypto11.Configure(g.config)
	if err != nil {
		return fmt.Errorf("%w: token %s: %w", ErrLocked, g.config.TokenLabel, err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return do(c)
}

func (g *pkcs11Guard) makeKey(c *crypto11.Context) error {
	keys, err := c.FindKeys(nil, []byte(g.label))
	if err != nil || len(keys) > 0 {
		return err
	}
	id := make([]byte, 16)
	rand.Read(id) // never fails
	_, err = c.GenerateSecretKeyWithLabel(id, []byte(g.label), 256, crypto11.CipherAES)
	return err
}

// aead is what the token's key does.
type aead interface {
	NonceSize() int
	Seal(dst, nonce, plaintext, aad []byte) []byte
	Open(dst, nonce, ciphertext, aad []byte) ([]byte, error)
}

// withGCM gives do the AEAD of the token's key.
func (g *pkcs11Guard) withGCM(do func(aead) error) error {
	return g.with(func(c *crypto11.Context) error {
		key, err := c.FindKey(nil, []byte(g.label))
		if err != nil {
			return fmt.Errorf("key %s: %w", g.label, err)
		}
		gcm, err := key.NewGCM()
		if err != nil {
			return err
		}
		return do(gcm)
	})
}

// seal returns nonce ‖ ciphertext ‖ tag. One key seals few messages in its life, so random nonces of 96 bits do.
func (g *pkcs11Guard) seal(_ context.Context, secret, aad []byte) (out []byte, err error) {
	err = g.withGCM(func(a aead) (err error) {
		// The library panics where the token refuses.
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("token: %v", r)
			}
		}()
		nonce := make([]byte, a.NonceSize())
		rand.Read(nonce) // never fails
		out = a.Seal(nonce, nonce, secret, aad)
		return nil
	})
	return out, err
}

func (g *pkcs11Guard) open(_ context.Context, sealed, aad []byte) (out []byte, err error) {
	err = g.withGCM(func(a aead) error {
		if len(sealed) < a.NonceSize() {
			return errors.New("too short")
		}
		n := a.NonceSize()
		out, err = a.Open(nil, sealed[:n], sealed[n:], aad)
		return err
	})
	return out, err
}
