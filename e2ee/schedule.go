// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
)

// The key schedule (docs/formats/e2ee.md §4):
//
//	GS ── Extract(salt) ─▶ PRK ─┬─ "commit" ─▶ in the signed statement
//	                            └─ "chain"  ─▶ chain₀ ─ "next" ─▶ chain₁ ─ "next" ─▶ …
//	                                             │                 │
//	                                          "epoch"           "epoch"
//	                                             ▼                 ▼
//	                                             ES₀ ─┬─ "header" ─▶ key of the header's MAC
//	                                                  └─ "track" t ─▶ SFrame base key of track t
const (
	secretBytes = 32
	// maxEpochs bounds the hashing that a header can ask of a consumer: 16384 steps take some 15 ms.
	maxEpochs = 1 << 14
)

// StreamID is the name of a stream, hashed: a fragment of one stream is refused in another.
type StreamID [16]byte

// StreamIDOf hashes a stream's name.
func StreamIDOf(name string) StreamID {
	h := sum("stream", []byte(name))
	return StreamID(h[:16])
}

// SessionID is one run of a producer: random, so that no counter must survive a crash.
type SessionID [16]byte

// expand is HKDF-Expand with SHA-256 to 32 bytes. It cannot fail for these lengths.
func expand(secret []byte, info string) []byte {
	out, err := hkdf.Expand(sha256.New, secret, label+info, secretBytes)
	if err != nil {
		panic("e2ee: hkdf: " + err.Error())
	}
	return out
}

// generationKeys derives the commitment and the first chain key of a generation.
func generationKeys(gs []byte, stream StreamID, producer Fingerprint, session SessionID, generation uint32) (commit, chain []byte) {
	salt := sum("salt", stream[:], producer[:], session[:], appendU32(nil, generation))
	prk, err := hkdf.Extract(sha256.New, gs, salt[:])
	if err != nil {
		panic("e2ee: hkdf: " + err.Error())
	}
	defer clear(prk)
	return expand(prk, "commit"), expand(prk, "chain")
}

// ratchet is a generation's chain at one epoch.
type ratchet struct {
	epoch uint32
	chain []byte
}

// at steps forward to an epoch, erasing what it leaves, and returns the epoch's secret. It never goes back.
func (r *ratchet) at(epoch uint32) []byte {
	for r.epoch < epoch {
		next := expand(r.chain, "next")
		clear(r.chain)
		r.chain = next
		r.epoch++
	}
	return expand(r.chain, "epoch")
}

func headerMAC(epochSecret, statementHash, header []byte) []byte {
	m := hmac.New(sha256.New, expand(epochSecret, "header"))
	m.Write(statementHash)
	m.Write(header)
	return m.Sum(nil)[:macBytes]
}

// trackKey is the SFrame key of a track in an epoch; track 0 seals configuration and metadata.
func trackKey(epochSecret []byte, track uint8) (*frameKey, error) {
	base := expand(epochSecret, "track"+string([]byte{track}))
	defer clear(base)
	return newFrameKey(base, uint64(track))
}
