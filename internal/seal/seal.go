// SPDX-License-Identifier: Apache-2.0

// Package seal is the one AEAD of the server: XAES-256-GCM, exactly as the C2SP
// specification has it (https://c2sp.org/XAES-256-GCM).
//
//	L    = AES-256(K, 0¹²⁸)
//	K1   = L << 1 in GF(2¹²⁸)
//	Kx   = AES-256(K, (00 01 'X' 00 ‖ N[0:12]) ⊕ K1) ‖ AES-256(K, (00 02 'X' 00 ‖ N[0:12]) ⊕ K1)
//	C    = AES-256-GCM(Kx, N[12:24], plaintext, aad), the 16-byte tag at its end
//
// The 192-bit nonce makes a key of its own for every message, so nonces may be
// drawn at random without a practical bound on their number. It manages no keys
// (package envelope) and knows no format but the nonce. The one invariant: a key
// never seals two messages under one nonce; that is the callers' to keep, and
// FrameNonce and SealRandom are the two ways in which they do.
//
// The bytes of a sealed frame are described in docs/formats/sealed-frame.md.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
)

// Sizes in bytes.
const (
	KeySize   = 32
	NonceSize = 24
	// Overhead is what Seal adds to a plaintext.
	Overhead = 16
	// RandomOverhead is what SealRandom adds to a plaintext.
	RandomOverhead = NonceSize + Overhead
)

var (
	// ErrOpen says that a message does not authenticate under this key, nonce and
	// additional data. Which of them is wrong cannot be known.
	ErrOpen = errors.New("seal: message does not authenticate")
	// ErrDestroyed says that the key was destroyed.
	ErrDestroyed = errors.New("seal: key was destroyed")
)

// Key seals and opens messages. Its methods may be called concurrently.
type Key struct{ state atomic.Pointer[state] }

type state struct {
	block cipher.Block
	k1    [aes.BlockSize]byte
}

// NewKey returns a key made of the 32 bytes of material, which remain the caller's
// to clear.
func NewKey(material []byte) (*Key, error) {
	if len(material) != KeySize {
		return nil, fmt.Errorf("seal: key of %d bytes, want %d", len(material), KeySize)
	}
	block, err := aes.NewCipher(material)
	if err != nil {
		return nil, fmt.Errorf("seal: new key: %w", err)
	}
	k := new(Key)
	k.state.Store(&state{block: block, k1: subkey(block)})
	return k, nil
}

// subkey is CMAC's K1 (NIST SP 800-38B, section 6.1).
func subkey(block cipher.Block) (k1 [aes.BlockSize]byte) {
	block.Encrypt(k1[:], k1[:])
	var carry byte
	for i := len(k1) - 1; i >= 0; i-- {
		carry, k1[i] = k1[i]>>7, k1[i]<<1|carry
	}
	k1[len(k1)-1] ^= carry * 0b10000111
	return k1
}

// Seal appends the sealed plaintext, Overhead bytes longer, to dst. The nonce must
// be new to this key. plaintext may lie where the result goes (dst's spare
// capacity, from its end), but must not otherwise overlap it.
//
// Errors: ErrDestroyed.
func (k *Key) Seal(dst []byte, nonce *[NonceSize]byte, plaintext, aad []byte) ([]byte, error) {
	gcm, err := k.derive(nonce)
	if err != nil {
		return nil, err
	}
	return gcm.Seal(dst, nonce[12:], plaintext, aad), nil
}

// Open authenticates a message made by Seal and appends its plaintext to dst.
// ciphertext may lie where the plaintext goes.
//
// Errors: ErrOpen, ErrDestroyed.
func (k *Key) Open(dst []byte, nonce *[NonceSize]byte, ciphertext, aad []byte) ([]byte, error) {
	gcm, err := k.derive(nonce)
	if err != nil {
		return nil, err
	}
	plaintext, err := gcm.Open(dst, nonce[12:], ciphertext, aad)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// SealRandom seals plaintext under a random nonce, and appends nonce and message to dst.
//
// Errors: ErrDestroyed.
func (k *Key) SealRandom(dst, plaintext, aad []byte) ([]byte, error) {
	var nonce [NonceSize]byte
	rand.Read(nonce[:]) // never fails
	return k.Seal(append(dst, nonce[:]...), &nonce, plaintext, aad)
}

// OpenRandom opens what SealRandom made and appends its plaintext to dst.
//
// Errors: ErrOpen, ErrDestroyed.
func (k *Key) OpenRandom(dst, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < RandomOverhead {
		return nil, ErrOpen
	}
	nonce := [NonceSize]byte(sealed[:NonceSize])
	return k.Open(dst, &nonce, sealed[NonceSize:], aad)
}

// Destroy makes the key useless: calls after it fail with ErrDestroyed, those that
// run finish. The subkey is left to the garbage collector together with AES's
// expanded key, which Go gives no way to overwrite; the material that NewKey was
// given should have been cleared by its owner.
func (k *Key) Destroy() { k.state.Store(nil) }

// derive returns AES-256-GCM under the key that belongs to the nonce's first half.
func (k *Key) derive(nonce *[NonceSize]byte) (cipher.AEAD, error) {
	s := k.state.Load()
	if s == nil {
		return nil, ErrDestroyed
	}
	var kx [KeySize]byte
	for i := range 2 {
		m := kx[i*aes.BlockSize:][:aes.BlockSize]
		m[1], m[2] = byte(i+1), 'X'
		copy(m[4:], nonce[:12])
		for j := range m {
			m[j] ^= s.k1[j]
		}
		s.block.Encrypt(m, m)
	}
	block, err := aes.NewCipher(kx[:])
	clear(kx[:])
	if err != nil {
		return nil, fmt.Errorf("seal: derive key: %w", err)
	}
	return cipher.NewGCM(block)
}

// FrameNonce builds the nonce of a frame from numbers that never come twice:
//
//	nonce[0:8]   counter, big-endian: of the entry within its stream and epoch
//	nonce[8:12]  index of the frame within the entry, big-endian
//	nonce[12:20] session: which run of which process, for which stream
//	nonce[20:24] epoch of the stream, big-endian
//
// The first half is what XAES derives the message key from, so that every frame of
// a session has a key of its own; the second keeps nonces apart when a restored
// database makes numbers come again.
func FrameNonce(counter uint64, index uint32, session [8]byte, epoch uint32) (nonce [NonceSize]byte) {
	binary.BigEndian.PutUint64(nonce[0:], counter)
	binary.BigEndian.PutUint32(nonce[8:], index)
	copy(nonce[12:], session[:])
	binary.BigEndian.PutUint32(nonce[20:], epoch)
	return nonce
}
