// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/obscura-video/obscura/internal/meta"
)

// space is the prefix of every key of this package.
const space = "aud"

// Kinds of row, the byte after the space.
const (
	kindBlock = 'b' // ‖ block seq ‖ part: the blocks
	kindHead  = 'h' // the newest block
	kindIndex = 'i' // ‖ attribute ‖ value's hash ‖ time of the block's last event ‖ block seq: see indexRow
)

func rowKey(kind byte) []byte { return append(meta.Key(space), kind) }

func blockKey(seq uint64, part int) []byte {
	return append(meta.AppendUint64(rowKey(kindBlock), seq), byte(part))
}

// cutBlockKey returns the block number and the part that a key of kindBlock names.
func cutBlockKey(key []byte) (seq uint64, part int, ok bool) {
	prefix := rowKey(kindBlock)
	if len(key) != len(prefix)+9 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(key[len(prefix):]), int(key[len(key)-1]), true
}

// indexPrefix is what the index rows of one attribute's value begin with. The value itself does not appear,
// since key names are not sealed: its hash does, cut to 16 bytes. A collision costs a wasted look, no more,
// because what is found is compared with the value.
func indexPrefix(a Attribute, value string) []byte {
	k := append(rowKey(kindIndex), byte(a))
	h := sha256.Sum256(append([]byte{byte(a)}, value...))
	return append(k, h[:16]...)
}

// indexKey names the row of one block below a prefix. lastT is not negative.
func indexKey(prefix []byte, lastT int64, seq uint64) []byte {
	k := append([]byte(nil), prefix...)
	return meta.AppendUint64(meta.AppendUint64(k, uint64(max(lastT, 0))), seq)
}

// cutIndexKey is the inverse of indexKey for a key below a prefix of n bytes.
func cutIndexKey(key []byte, n int) (lastT int64, seq uint64, ok bool) {
	if len(key) != n+16 {
		return 0, 0, false
	}
	t := binary.BigEndian.Uint64(key[n:])
	return int64(t), binary.BigEndian.Uint64(key[n+8:]), t <= math.MaxInt64
}

// head names the newest block: the end of the chain.
type head struct {
	block uint64 // its number, 0 when there is none
	event uint64 // number of its last event
	hash  digest
}

const headVersion = 1

func (h head) marshal() []byte {
	b := binary.BigEndian.AppendUint64([]byte{headVersion}, h.block)
	b = binary.BigEndian.AppendUint64(b, h.event)
	return append(b, h.hash[:]...)
}

func parseHead(b []byte) (h head, ok bool) {
	if len(b) != 1+16+len(h.hash) || b[0] != headVersion {
		return head{}, false
	}
	h.block, h.event = binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:])
	copy(h.hash[:], b[17:])
	return h, h.block > 0
}
