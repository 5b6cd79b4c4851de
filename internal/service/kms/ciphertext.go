// SPDX-License-Identifier: Apache-2.0

// Ciphertext blobs in ten lines (byte by byte in docs/formats/ciphertext-blob.md):
//
//	header = "OK" ‖ 1 ‖ kind ‖ key id (16) ‖ material id (32) ‖ N (16) ‖ IV (12) ‖ check (4)
//	check  = SHA-256(header before it), first 4 bytes: tells damage from a foreign key, authenticates nothing
//	K      = SP 800-108 counter mode HMAC-SHA-256(material, "obscura/kms/ciphertext/v1", kind ‖ key id ‖ N)
//	sealed = AES-256-GCM(K, IV, plaintext, AAD = header ‖ canonical encryption context)
//	blob   = header ‖ sealed
//
// N and IV are random for each blob, so K is used for one message only, and the
// number of messages a key can seal is not bounded by GCM's 96-bit IV.

package kms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

const (
	blobMagic   = "OK"
	blobVersion = 1
	blobLabel   = "obscura/kms/ciphertext/v1"

	offKind     = 3
	offKeyID    = offKind + 1
	offMaterial = offKeyID + 16
	offNonce    = offMaterial + 32
	offIV       = offNonce + 16
	offCheck    = offIV + 12
	headerBytes = offCheck + 4
	tagBytes    = 16

	// blobOverheadBytes is what sealing adds to a plaintext.
	blobOverheadBytes = headerBytes + tagBytes

	maxPlaintextBytes = 4096 // API Reference, Encrypt
)

// errBlob says that a blob does not open. Which of damage, another encryption
// context, or a foreign origin it was is never told.
var errBlob = errors.New("kms: ciphertext does not verify")

// ciphertext is a parsed blob; its slices lie in the blob it came from.
type ciphertext struct {
	keyID      string // as users see it
	materialID string
	header     []byte
	sealed     []byte
}

// parseCiphertext reads the header of a blob. It proves nothing but that the
// blob has this format: only open does.
func parseCiphertext(blob []byte) (ciphertext, error) {
	if len(blob) < blobOverheadBytes || len(blob) > blobOverheadBytes+maxSealedBytes {
		return ciphertext{}, errBlob
	}
	header := blob[:headerBytes]
	check := sha256.Sum256(header[:offCheck])
	if string(header[:2]) != blobMagic || header[2] != blobVersion || !bytes.Equal(check[:4], header[offCheck:]) {
		return ciphertext{}, errBlob
	}
	keyID, ok := formatKeyID(header[offKind], [16]byte(header[offKeyID:offMaterial]))
	if !ok {
		return ciphertext{}, errBlob
	}
	return ciphertext{
		keyID:      keyID,
		materialID: hex.EncodeToString(header[offMaterial:offNonce]),
		header:     header,
		sealed:     blob[headerBytes:],
	}, nil
}

// maxSealedBytes bounds what a blob can hold; private keys of data key pairs
// are the largest. A CiphertextBlob has at most 6144 bytes on the wire.
const maxSealedBytes = 6144 - blobOverheadBytes

// open returns the plaintext, in memory of its own, or errBlob.
func (c ciphertext) open(material []byte, context map[string]string) ([]byte, error) {
	aead := messageCipher(material, c.header)
	plaintext, err := aead.Open(nil, c.header[offIV:offCheck], c.sealed, appendContext(bytes.Clone(c.header), context))
	if err != nil {
		return nil, errBlob
	}
	return plaintext, nil
}

// sealCiphertext makes a blob of plaintext under the key's material.
func sealCiphertext(id keyName, materialID [32]byte, material, plaintext []byte, context map[string]string) []byte {
	var random [28]byte
	rand.Read(random[:]) // never fails: it ends the process instead
	return sealWith(id, materialID, material, plaintext, context, random)
}

// sealWith is sealCiphertext with N ‖ IV given, for the vectors.
func sealWith(id keyName, materialID [32]byte, material, plaintext []byte, context map[string]string, random [28]byte) []byte {
	// Header and context lie behind the blob, in the same memory, while it is sealed.
	size := blobOverheadBytes + len(plaintext)
	blob := make([]byte, 0, size+headerBytes+contextBytes(context))
	blob = append(blob, blobMagic...)
	blob = append(blob, blobVersion, id.kind)
	blob = append(blob, id.raw[:]...)
	blob = append(blob, materialID[:]...)
	blob = append(blob, random[:]...)
	check := sha256.Sum256(blob)
	blob = append(blob, check[:4]...)

	aad := appendContext(append(blob[size:size], blob...), context)
	return messageCipher(material, blob).Seal(blob[:headerBytes:size], blob[offIV:offCheck], plaintext, aad)
}

// messageCipher makes the AEAD of the one message whose header this is.
func messageCipher(material, header []byte) cipher.AEAD {
	var bound [33]byte // kind ‖ key id ‖ N
	copy(bound[:], header[offKind:offMaterial])
	copy(bound[17:], header[offNonce:offIV])
	key := deriveKey(material, blobLabel, bound[:])
	block, err := aes.NewCipher(key[:])
	clear(key[:])
	if err != nil {
		panic("kms: aes.NewCipher refused 32 bytes: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("kms: cipher.NewGCM refused AES: " + err.Error())
	}
	return aead
}
