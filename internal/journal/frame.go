// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/obscura-video/obscura/internal/seal"
)

// A frame, docs/formats/sealed-frame.md:
//
//	stored    = len(sealed) as uint32 ‖ sealed
//	sealed    = XAES-256-GCM(data key, nonce, plaintext, AAD)
//	plaintext = len(attrs) as uvarint ‖ attrs ‖ payload
//	nonce     = counter as uint64 ‖ index as uint32 ‖ session field ‖ epoch as uint32
//	AAD       = kind ‖ len ‖ stream ‖ len ‖ shard ‖ seq as uint64 ‖ index as uint32
//
// The session field binds the stream as well: were one data key ever used for two
// streams, their nonces would still differ.

const (
	// lengthBytes is the length before each sealed frame.
	lengthBytes = 4
	// trailer is the index under which the end of an entry is sealed.
	trailer = math.MaxUint32
	// nonceLabel begins what the session field of the nonce is hashed from.
	nonceLabel = "obscura journal nonce v1\x00"
)

// binding is what the frames of one entry are sealed to.
type binding struct {
	kind    Kind
	stream  string // shard included
	seq     Seq
	session [8]byte
}

func sessionField(session, stream string) [8]byte {
	h := sha256.Sum256(append(appendSession([]byte(nonceLabel), session), stream...))
	return [8]byte(h[:])
}

func (d *Descriptor) binding() binding {
	return binding{d.Kind, d.Stream, d.Seq, sessionField(d.Session, d.Stream)}
}

func (b *binding) nonce(index uint32) [seal.NonceSize]byte {
	return seal.FrameNonce(uint64(b.seq.Counter()), index, b.session, b.seq.Epoch())
}

// aad returns the additional data of frame 0; setIndex makes it that of another.
func (b *binding) aad() []byte {
	stream, shard := cutShard(b.stream)
	a := append(make([]byte, 0, 64+len(b.stream)), byte(b.kind))
	a = append(binary.BigEndian.AppendUint16(a, uint16(len(stream))), stream...)
	a = append(binary.BigEndian.AppendUint16(a, uint16(len(shard))), shard...)
	a = binary.BigEndian.AppendUint64(a, uint64(b.seq))
	return binary.BigEndian.AppendUint32(a, 0)
}

func setIndex(aad []byte, index uint32) { binary.BigEndian.PutUint32(aad[len(aad)-4:], index) }

// frameSealer seals the frames of one entry, in order, each once.
type frameSealer struct {
	binding
	sealer Sealer
	data   []byte // additional data
	index  uint32
}

func newFrameSealer(b binding, s Sealer) *frameSealer {
	return &frameSealer{binding: b, sealer: s, data: b.aad()}
}

// appendFrame appends the stored form of a frame to dst. Whether it succeeds or not, the
// index is used up.
func (s *frameSealer) appendFrame(dst, payload, attrs []byte) ([]byte, error) {
	if len(payload) > MaxFrameBytes || len(attrs) > MaxAttrsBytes || s.index == trailer {
		return dst, fmt.Errorf("%w: frame %d of %d bytes with %d bytes of attributes", ErrTooLarge, s.index, len(payload), len(attrs))
	}
	nonce := s.nonce(s.index)
	setIndex(s.data, s.index)
	s.index++
	start := len(dst)
	dst = append(dst, make([]byte, lengthBytes)...)
	at := len(dst)
	dst = append(binary.AppendUvarint(dst, uint64(len(attrs))), attrs...)
	dst = append(dst, payload...)
	dst, err := s.sealer.Seal(dst[:at], &nonce, dst[at:], s.data)
	if err != nil {
		return nil, fmt.Errorf("journal: seal frame: %w", err)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-at))
	return dst, nil
}

// storedBytes is the most that a frame needs.
func storedBytes(payload, attrs []byte) int {
	return lengthBytes + binary.MaxVarintLen32 + len(attrs) + len(payload) + seal.Overhead
}

// seal seals the end of an entry: the number of its frames and what describes it.
func (d *Descriptor) seal(s *frameSealer) error {
	nonce := s.nonce(trailer)
	tag, err := s.sealer.Seal(nil, &nonce, nil, d.trailerData(&s.binding))
	if err != nil {
		return fmt.Errorf("journal: seal entry: %w", err)
	}
	copy(d.tag[:], tag)
	return nil
}

func (d *Descriptor) trailerData(b *binding) []byte {
	a := b.aad()
	setIndex(a, trailer)
	a = binary.BigEndian.AppendUint32(a, uint32(d.Frames))
	a = binary.BigEndian.AppendUint64(a, uint64(d.Bytes))
	a = binary.BigEndian.AppendUint64(a, uint64(d.Time.UnixMilli()))
	return append(a, d.Meta...)
}

// verify checks what seal has sealed.
func (d *Descriptor) verify(b *binding, o Opener) error {
	nonce := b.nonce(trailer)
	if _, err := o.Open(nil, &nonce, d.tag[:], d.trailerData(b)); err != nil {
		return d.openError("descriptor", err)
	}
	return nil
}

// openError says what an Opener's error means.
func (d *Descriptor) openError(what string, err error) error {
	if errors.Is(err, seal.ErrOpen) {
		return fmt.Errorf("%w: %s of %s entry %d does not authenticate", ErrCorrupt, what, d.Stream, d.Seq)
	}
	return fmt.Errorf("journal: open %s of %s entry %d: %w", what, d.Stream, d.Seq, err)
}

// StaticKey is a Sealer and a Keyring of one key under a name of its own.
type StaticKey struct {
	id  string
	key *seal.Key
}

var (
	_ Sealer  = (*StaticKey)(nil)
	_ Keyring = (*StaticKey)(nil)
)

// NewStaticKey returns key as a Sealer and Keyring for anybody.
func NewStaticKey(id string, key *seal.Key) *StaticKey { return &StaticKey{id: id, key: key} }

// KeyID implements Sealer.
func (k *StaticKey) KeyID() string { return k.id }

// Seal implements Sealer.
func (k *StaticKey) Seal(dst []byte, nonce *[seal.NonceSize]byte, plaintext, aad []byte) ([]byte, error) {
	return k.key.Seal(dst, nonce, plaintext, aad)
}

// Opener implements Keyring.
func (k *StaticKey) Opener(_ context.Context, keyID string) (Opener, error) {
	if keyID != k.id {
		return nil, fmt.Errorf("journal: no data key %q", hex.EncodeToString([]byte(keyID)))
	}
	return k.key, nil
}
